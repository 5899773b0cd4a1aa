//! Sources come and go: at the start, at a reload, at the end.
//!
//! Those that come may use the names of those that go. So they begin only when the last job of each
//! that goes is done and its locks are let go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Fetcher;
use crate::config::SourceConfig;
use crate::evloop::slots::Slot;
use crate::fetch::entry::Entry;
use crate::fetch::settings::read_config;
use crate::fetch::terms::{Goal, Job};
use crate::sys::{clock, service};

/// Asked to end, the fetcher waits so long for the disk. What is not durable then is fetched again.
const END_PATIENCE: Duration = Duration::from_millis(700);

impl Fetcher {
    pub(super) fn let_arrive(&mut self) {
        if self.retiring > 0 || !self.leaving.is_empty() || self.ending.is_some() {
            return;
        }
        for config in std::mem::take(&mut self.arriving) {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (fs, boot) = (self.fs.clone(), Arc::clone(&self.boot));
            let entry = Entry::new(config, self.settings.timing, fs, boot, self.seed);
            let slot = self.sources.insert_with(|_| entry);
            if let Some(entry) = self.sources.get_mut(slot) {
                entry.core.aim(self.settings.goal);
            }
            self.drain(clock::now(), slot);
        }
        self.board.note(clock::now());
    }

    /// Applies the difference to the configuration: a line that is still there goes on untouched.
    pub(super) fn reload(&mut self, now: Instant) {
        if self.ending.is_some() {
            return;
        }
        if self.settings.goal == Goal::Once {
            log::warn!("the configuration is not read again while it is fetched once");
            return;
        }
        let conf = self.settings.conf.clone();
        let config = match read_config(&conf) {
            Ok(config) => config,
            Err(fault) => {
                log::error!("the configuration stays as it was: {fault}");
                return;
            }
        };
        let mut wanted: HashMap<&SourceConfig, &SourceConfig> =
            config.sources.iter().map(|source| (source, source)).collect();
        let mut removed = Vec::new();
        for slot in self.sources.slots() {
            let Some(entry) = self.sources.get_mut(slot) else { continue };
            match wanted.remove(&entry.config) {
                Some(source) => entry.config.line = source.line,
                None => removed.push(slot),
            }
        }
        let mut added: Vec<SourceConfig> = wanted.into_values().cloned().collect();
        added.sort_by_key(|source| source.line);
        for source in &added {
            if let Some(dir) = self.settings.reach.lacks(source) {
                log::error!("cannot write below {} before a restart: {source}", dir.display());
            }
        }
        log::info!("configuration read: {} lines go, {} come", removed.len(), added.len());
        for slot in removed {
            self.retire(now, slot);
        }
        self.arriving = added;
        self.let_arrive();
        self.board.note(now);
    }

    /// Takes a source out. What it has is made durable, and its names are let go after that.
    fn retire(&mut self, now: Instant, slot: Slot) {
        self.close_conn(slot);
        let Some(mut entry) = self.sources.remove(slot) else { return };
        self.leave_late(&mut entry);
        log::debug!("{} is no longer configured", entry.config);
        self.board.note(now);
        self.leave(slot, entry);
    }

    /// Once no worker is at it, it lets go.
    pub(super) fn leave(&mut self, slot: Slot, entry: Entry) {
        if entry.core.busy() || entry.late.busy() {
            self.leaving.insert(slot, entry);
        } else {
            self.let_go(slot, entry);
        }
    }

    fn let_go(&mut self, slot: Slot, mut entry: Entry) {
        if entry.core.dirty() {
            self.retiring += 1;
            let task = entry.task(slot, Job::Checkpoint);
            self.jobs.retire(task, entry.locks.take());
        }
    }

    pub(super) fn end(&mut self, now: Instant) {
        if self.ending.is_some() {
            return;
        }
        service::stopping();
        self.ending = Some(now + END_PATIENCE);
        self.arriving = Vec::new();
        for slot in self.sources.slots() {
            self.note_missing(slot);
            self.retire(now, slot);
        }
        // The files stay as they were: nobody touches them any more, so they will be stale.
        self.board.close();
    }

    pub(super) fn ended(&self, now: Instant) -> bool {
        let gone = self.retiring == 0 && self.leaving.is_empty();
        self.ending.is_some_and(|until| gone || now >= until)
    }
}
