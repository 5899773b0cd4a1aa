//! A source's generations that have ended, and the archive of the one that is asked for once more.

use std::io;
use std::time::Instant;

use super::{Entry, samples};
use crate::evloop::slots::Slot;
use crate::fetch::copy::{Place, Took, take};
use crate::fetch::recheck::{Recheck, Rechecked};
use crate::proto::request::Request;
use crate::sys::fs::Fs;

impl<F: Fs> Entry<F> {
    /// It may ask now.
    pub fn admit_late(&mut self, now: Instant) {
        self.archive = self.late.line().and_then(|line| self.store.open_archive(line));
        self.late.handle_admitted(now, self.archive.is_some());
    }

    /// The request as it is sent, with digests of what the archive has before the position.
    /// An error if it can't be read.
    pub fn with_archive_samples(&self, mut request: Request) -> io::Result<Request> {
        if let (Some(archive), Some(line)) = (&self.archive, self.late.line()) {
            let place = Place { base: line.from, ..Place::default() };
            samples(&self.store.fs, &archive.file, &place, &mut request)?;
        }
        Ok(request)
    }

    /// Puts late bytes into the archive.
    pub fn take_late(&mut self, now: Instant, content: &[u8]) {
        let took = match (self.late.place_mut(), &self.archive) {
            (Some(place), Some(archive)) => take(&self.store.fs, &archive.file, place, content),
            _ => Took::All,
        };
        self.late.handle_data(now, took);
    }

    /// What a worker needs to know to look at the archive, or to record it.
    pub fn recheck(&self, slot: Slot, place: Option<Place>) -> Option<Recheck<F>> {
        let (archive, line) = (self.archive.clone()?, self.late.line()?.clone());
        Some(Recheck { slot, store: self.store.clone(), archive, line, place })
    }

    /// A worker is done with the archive.
    pub fn handle_rechecked(&mut self, now: Instant, done: Rechecked) {
        match done {
            Rechecked::Opened(opened) => self.late.handle_opened(now, opened),
            Rechecked::Recorded(recorded) => self.late.handle_recorded(now, recorded),
        }
    }
}
