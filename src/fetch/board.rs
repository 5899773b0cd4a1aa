//! When the status files are written, and what they say.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::entry::Entry;
use crate::status::event::Fault;
use crate::status::hosts::{Health, Hosts, TOUCH_INTERVAL};
use crate::sys::cause::cause;

/// The files lag behind the state by at most this: many changes are written as one.
const DELAY: Duration = Duration::from_millis(100);

/// Files that can't be written are tried again after this.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// What a source that was never well is reported with.
const NOT_YET: &str = "not connected yet";

/// The status files and their times.
#[derive(Debug)]
pub struct Board {
    hosts: Hosts,
    dir: PathBuf,
    show_at: Option<Instant>,
    touch_at: Instant,
}

impl Board {
    /// Files in `dir`, which is made if it is missing.
    pub fn new(dir: &Path, now: Instant) -> io::Result<Board> {
        let (hosts, dir) = (Hosts::new(dir)?, dir.to_path_buf());
        Ok(Board { hosts, dir, show_at: None, touch_at: now + TOUCH_INTERVAL })
    }

    /// Something has changed: the files will say so soon.
    pub fn note(&mut self, now: Instant) {
        self.show_at.get_or_insert(now + DELAY);
    }

    /// Nothing more is to be written: the files get stale from now on.
    pub fn close(&mut self) {
        self.show_at = None;
    }

    /// Whether the files say what there is to say.
    pub fn settled(&self) -> bool {
        self.show_at.is_none()
    }

    /// When [`Board::show`] has something to do.
    pub fn deadline(&self) -> Instant {
        self.show_at.map_or(self.touch_at, |at| at.min(self.touch_at))
    }

    /// Writes and touches what is due.
    pub fn show<'a>(&mut self, now: Instant, entries: impl Iterator<Item = &'a Entry>) {
        let mut failed = Vec::new();
        if self.show_at.is_some_and(|at| at <= now) {
            self.show_at = None;
            failed = self.hosts.show(&health(entries));
        }
        if self.touch_at <= now {
            self.touch_at = now + TOUCH_INTERVAL;
            failed.extend(self.hosts.touch());
        }
        if let Some(error) = failed.first() {
            let dir = self.dir.display();
            let why = cause(error);
            log::error!("cannot write {} status files in {dir}: {why}", failed.len());
            self.show_at = Some(now + RETRY_INTERVAL);
        }
    }
}

/// How every host is that has a source, the sources in the order of their lines.
fn health<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeMap<String, Health> {
    let mut entries: Vec<&Entry> = entries.collect();
    entries.sort_by_key(|entry| entry.config.line);
    let mut hosts: BTreeMap<String, Health> = BTreeMap::new();
    for entry in entries {
        let health = hosts.entry(entry.config.host.to_string()).or_default();
        health.sources += 1;
        if entry.well {
            continue;
        }
        health.failing += 1;
        health.first.get_or_insert_with(|| {
            let fault = entry.repeats.fault().map_or(NOT_YET.to_owned(), Fault::to_string);
            format!("{}: {fault}", entry.config.remote_word())
        });
    }
    hosts
}
