//! Signals, and going on with another configuration.
//!
//! A configuration is taken as a whole or not at all: it is read, its directories are watched and
//! its addresses listened at before anything of the old one is given up.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::{Responder, limits_of, times_of};
use crate::config::ServeConfig;
use crate::evloop::Interest;
use crate::evloop::who::Who;
use crate::serve::allow::Allow;
use crate::serve::files::{FileNo, Files};
use crate::serve::hints::Hints;
use crate::serve::listing::Look;
use crate::serve::session::CloseReason;
use crate::serve::{read_config, sentences};
use crate::sys::logs::{DiskLogs, Logs};
use crate::sys::service;
use crate::sys::signal::{self, SIGHUP, SIGINT, SIGTERM};

impl Responder {
    /// Ends on SIGTERM and SIGINT, and reads its configuration again from `path` on SIGHUP.
    pub fn obey_signals(&mut self, path: PathBuf) -> io::Result<()> {
        let mut signals = signal::catch(&[SIGTERM, SIGINT, SIGHUP])?;
        self.evloop.register(&mut signals, Who::Signals, Interest::READABLE)?;
        self.signals = Some((signals, path));
        Ok(())
    }

    /// Does what the signals say that have arrived.
    pub(super) fn obey(&mut self, now: Instant) {
        self.signalled = false;
        let Some((signals, path)) = &mut self.signals else { return };
        let arrived: Vec<i32> = signals.pending().collect();
        if arrived.iter().any(|&signal| signal == SIGTERM || signal == SIGINT) {
            self.stopper.mark();
        } else if arrived.contains(&SIGHUP) {
            let path = path.clone();
            service::reloading();
            let done = read_config(&path)
                .and_then(|config| self.apply(config, now).map_err(|error| error.to_string()));
            match done {
                Ok(()) => sentences::reloaded(&path),
                Err(faults) => sentences::not_reloaded(&path, &faults),
            }
            service::ready();
        }
    }

    /// Goes on with another configuration; if it cannot be had, with the old one.
    fn apply(&mut self, config: ServeConfig, now: Instant) -> io::Result<()> {
        let (times, limits) = (times_of(&config), limits_of(&config));
        let files = Files::new(config.files, DiskLogs::resolve);
        let hints = Hints::new(&files);
        if let Some(watch) = hints.watch() {
            self.evloop.register_readable(watch, Who::Watch)?;
        }
        self.listeners.set(&config.listen, &self.evloop)?;
        self.hints = hints;
        self.allow = Allow::new(config.allow);
        self.crowd.set_limits(limits);
        self.check = config.check;
        self.next_check = now;
        self.desk.times = times;
        self.exchange_files(files);
        self.warn_of_refusals();
        Ok(())
    }

    /// Closes what is served no longer, and gives all others the new numbers and times.
    fn exchange_files(&mut self, files: Files) {
        let mut numbers: HashMap<FileNo, FileNo> = HashMap::new();
        for (number, served) in self.desk.files.iter() {
            if let Some(new) = files.look_up(served.asked_as.as_os_str().as_encoded_bytes()) {
                numbers.insert(number, new);
            }
        }
        for slot in self.conns.slots() {
            let Some(conn) = self.conns.get_mut(slot) else { continue };
            let gone = conn.asked().is_some_and(|path| files.look_up(path).is_none());
            if gone || !self.allow.permits(conn.peer().ip()) {
                self.close(slot, &CloseReason::Withdrawn);
            }
        }
        self.followers = files.iter().map(|_| BTreeSet::new()).collect();
        self.desk.files = Arc::new(files);
        // What was hinted at had numbers of the old table.
        self.hint_lists(&Look::All);
        for slot in self.conns.slots() {
            let Some(conn) = self.conns.get_mut(slot) else { continue };
            conn.set_times(self.desk.times);
            if let Some(new) = conn.followed().and_then(|number| numbers.get(&number)) {
                conn.renumber(*new);
                self.followers[*new].insert(slot);
            }
        }
    }

    /// Tells what will be refused with things as they are now.
    pub(super) fn warn_of_refusals(&self) {
        if self.allow.is_empty() {
            sentences::nobody_allowed();
        }
        for (_, served) in self.desk.files.iter() {
            match self.desk.logs.facts_at(&served.path) {
                Ok(Some(facts)) if !facts.regular => sentences::not_regular(&served.path),
                Ok(None) => sentences::missing(&served.path),
                Ok(Some(_)) | Err(_) => {}
            }
        }
    }
}
