//! Room on the file systems of copies: carries out what [`Rooms`](crate::fetch::room::Rooms) says.

use std::path::Path;
use std::time::Instant;

use super::Fetcher;
use crate::evloop::slots::Slot;
use crate::fetch::entry::Entry;
use crate::fetch::terms::End;
use crate::status::event::Fault;
use crate::sys::cause::cause;
use crate::sys::fs::{Fs, dir_of};

impl Fetcher {
    /// Before something is written for a source: looks at the file system of its copy if it is time to.
    /// Where it can't be looked at, writing will fail, and be told.
    pub(super) fn see_room(&mut self, now: Instant, slot: Slot) {
        let Some(entry) = self.sources.get_mut(slot) else { return };
        let known = entry.disk;
        if known.is_none_or(|device| self.rooms.is_due(now, device)) {
            let device = self.look_at(now, slot);
            if let Some(entry) = self.sources.get_mut(slot) {
                entry.disk = device;
            }
        }
        self.tell_room(now, slot);
    }

    /// Bytes have come for a source.
    pub(super) fn note_taken(&mut self, slot: Slot, bytes: usize) {
        if let Some(device) = self.sources.get(slot).and_then(|entry| entry.disk) {
            self.rooms.handle_taken(device, bytes as u64);
        }
    }

    /// Looks at what is short, and tells the sources what has changed.
    pub(super) fn watch_rooms(&mut self, now: Instant) {
        while let Some(device) = self.rooms.poll_due(now) {
            let of_device =
                |(slot, entry): (Slot, &Entry)| (entry.disk == Some(device)).then_some(slot);
            let one = self.sources.iter().find_map(of_device);
            let seen = one.and_then(|slot| self.look_at(now, slot));
            // Nobody has a copy there any more, or it is another file system now.
            if seen != Some(device) {
                self.rooms.forget(device);
                self.rooms_changed = true;
            }
        }
        if std::mem::take(&mut self.rooms_changed) {
            for slot in self.sources.slots() {
                self.tell_room(now, slot);
                self.drain(now, slot);
            }
        }
    }

    /// Looks at the file system of a copy; gives its device.
    fn look_at(&mut self, now: Instant, slot: Slot) -> Option<u64> {
        let copy = &self.sources.get(slot)?.store.copy;
        match self.fs.space(dir_of(copy)) {
            Ok(space) => {
                self.rooms_changed |= self.rooms.handle_look(now, &space);
                Some(space.device)
            }
            Err(error) => {
                log::debug!(
                    "cannot look at the file system of {}: {}",
                    copy.display(),
                    cause(&error)
                );
                None
            }
        }
    }

    /// Tells a source whether there is room for it.
    fn tell_room(&mut self, now: Instant, slot: Slot) {
        let floor = self.rooms.floor();
        let Some(entry) = self.sources.get_mut(slot) else { return };
        let short = entry.disk.is_some_and(|device| self.rooms.is_short(device));
        match (short, entry.core.lacks_room()) {
            (true, false) => {
                entry.core.handle_no_room(no_room(&entry.store.copy, &floor.to_string()));
                // Late bytes go to the same file system.
                entry.late.handle_end(now, End::Broken("no room".to_owned()));
            }
            (false, true) => entry.core.handle_room(now),
            (true, true) | (false, false) => {}
        }
    }
}

fn no_room(copy: &Path, floor: &str) -> Fault {
    Fault::NoRoom { copy: copy.to_path_buf(), floor: floor.to_owned() }
}
