//! Where a source is, found out from the disk alone.

use std::path::PathBuf;

use super::{Doing, Done, OpenCopy, Stamp, Standing, Store};
use crate::fetch::copy::{Place, Rest, Trust};
use crate::fetch::pointer::{
    BOOT_UNKNOWN, Held, Pointer, State, read_pointer, remove_if_there, scratch_path,
};
use crate::pos::{FileId, Generation, Inode};
use crate::status::event::Event;
use crate::sys::fs::{Fs, dir_of, may_be};

impl<F: Fs> Store<F> {
    /// Finds out, from the disk alone, where the source is. The names are locked.
    pub fn recover(&self, stamp: &Stamp) -> Done<Standing<F>> {
        self.recover_believing(Rest::Arrived, stamp)
    }

    /// The same for a process that goes on after a step failed. It may have been a sync: then not even
    /// what this process wrote itself can be read from the copy with certainty.
    pub fn recover_from_fault(&self, stamp: &Stamp) -> Done<Standing<F>> {
        self.recover_believing(Rest::Doubtful, stamp)
    }

    /// What is behind the durable part of a copy is `rest`, if the machine ran on.
    fn recover_believing(&self, rest: Rest, stamp: &Stamp) -> Done<Standing<F>> {
        // What a killed process renamed may be in memory only: before anything is built on it, it
        // has to be on disk.
        for path in [&self.pointer, &self.copy] {
            self.fs.sync_dir(dir_of(path)).doing("sync directory", dir_of(path))?;
        }
        let mut standing = self.recover_pointer(rest, stamp)?;
        if standing.ended.is_none() {
            let (ended, events) = self.last_complete()?;
            standing.ended = ended.map(Box::new);
            // It is told once, and not again at each fault.
            if rest == Rest::Arrived {
                standing.events.extend(events);
            }
        }
        Ok(standing)
    }

    fn recover_pointer(&self, rest: Rest, stamp: &Stamp) -> Done<Standing<F>> {
        let scratch = scratch_path(&self.pointer);
        remove_if_there(&self.fs, &scratch).doing("remove", &scratch)?;
        match read_pointer(&self.fs, &self.pointer).doing("read pointer", &self.pointer)? {
            None => self.recover_without_pointer(Vec::new()),
            Some(Err(why)) => {
                let path = self.pointer.clone();
                self.recover_without_pointer(vec![Event::PointerUnusable { path, why }])
            }
            Some(Ok(Held::Original(inode))) => self.recover_original(inode),
            Some(Ok(Held::Pointer(pointer))) => {
                let mut had = self.manifest();
                *had = pointer.manifest.max(*had);
                drop(had);
                self.recover_pointed(&pointer, rest, stamp)
            }
        }
    }

    fn recover_pointed(&self, pointer: &Pointer, rest: Rest, stamp: &Stamp) -> Done<Standing<F>> {
        match &pointer.state {
            State::Rotating { suffix, next, ended } => {
                let archive = self.archive_path(suffix);
                self.finish_rotation(pointer, &archive, *next, ended)
            }
            State::Active | State::Adopting => {
                let rest = match &*pointer.boot {
                    boot if *boot == *self.boot => rest,
                    // A sync had failed.
                    BOOT_UNKNOWN => Rest::Doubtful,
                    _ => Rest::Torn,
                };
                self.recover_active(pointer, rest, stamp)
            }
        }
    }

    /// An empty copy is no copy yet; any other is compared from its beginning with what the source
    /// has now.
    fn recover_without_pointer(&self, events: Vec<Event>) -> Done<Standing<F>> {
        let Some((copy, size)) = self.open_copy()? else {
            return Ok(Standing::without(None, Place::default(), events));
        };
        let trust = if size == 0 { Trust::Whole } else { Trust::Nothing };
        let place = Place { size, trust, ..Place::default() };
        Ok(Standing::without(Some(copy), place, events))
    }

    /// fetchlogs 1.1 says which generation it is; how far, is what the copy has. It never synced the
    /// copy, so that is done first.
    fn recover_original(&self, inode: Inode) -> Done<Standing<F>> {
        if inode.number() == 0 {
            return self.recover_without_pointer(Vec::new());
        }
        let (copy, size) = match self.open_copy()? {
            Some(found) => found,
            None => (self.create_copy()?, 0),
        };
        self.fs.sync_data(&copy.file).doing("sync", &self.copy)?;
        let place = Place { durable: size, size, at: size, ..Place::default() };
        let generation = Generation::of(inode);
        self.point(generation, &place, copy.id, State::Active)?;
        Ok(Standing::at(copy, generation, place, Vec::new()))
    }

    fn recover_active(&self, pointer: &Pointer, rest: Rest, stamp: &Stamp) -> Done<Standing<F>> {
        let Some((copy, size)) = self.open_copy()? else {
            return self.recover_missing(pointer, rest, stamp);
        };
        let doubt = if copy.id != pointer.copy {
            Some("is not the file that its pointer names".to_owned())
        } else if size < pointer.durable {
            Some(format!("has {size} bytes, its pointer says {}", pointer.durable))
        } else {
            None
        };
        let Some(why) = doubt else {
            let trust = match (&pointer.state, size == pointer.durable) {
                (State::Adopting, _) => Trust::Nothing,
                (_, true) => Trust::Whole,
                (_, false) => Trust::Durable { rest },
            };
            let durable = pointer.durable;
            let masked = pointer.masked;
            let place = Place { masked, durable, size, trust, ..beginning(pointer) };
            // A process that comes after this one must not believe the rest either.
            if trust == (Trust::Durable { rest: Rest::Doubtful }) && *pointer.boot == *self.boot {
                self.point(pointer.generation, &place, copy.id, State::Active)?;
            }
            return Ok(Standing::at(copy, pointer.generation, place, Vec::new()));
        };
        // Somebody's log rotation may have renamed the copy and made a new, empty one.
        let renamed = if size == 0 { self.find_moved(&pointer.copy)? } else { None };
        if let Some(moved) = renamed {
            return self.go_on_behind(pointer, moved, Some(copy), (rest, stamp));
        }
        let trust = if size == 0 { Trust::Whole } else { Trust::Nothing };
        let place = Place { size, trust, ..beginning(pointer) };
        let state = if size == 0 { State::Active } else { State::Adopting };
        self.point(pointer.generation, &place, copy.id, state)?;
        let events = vec![Event::CopyDoubted { path: self.copy.clone(), why }];
        Ok(Standing::at(copy, pointer.generation, place, events))
    }

    /// The copy is gone. If it was renamed, a new one goes on behind it; else it is fetched again.
    fn recover_missing(&self, pointer: &Pointer, rest: Rest, stamp: &Stamp) -> Done<Standing<F>> {
        if let Some(moved) = self.find_moved(&pointer.copy)? {
            return self.go_on_behind(pointer, moved, None, (rest, stamp));
        }
        let copy = self.create_copy()?;
        let place = beginning(pointer);
        self.point(pointer.generation, &place, copy.id, State::Active)?;
        let why = "is missing".to_owned();
        let events = vec![Event::CopyDoubted { path: self.copy.clone(), why }];
        Ok(Standing::at(copy, pointer.generation, place, events))
    }

    /// Another name in the copy's directory that begins with the copy's and is the file `id`.
    pub(super) fn find_moved(&self, id: &FileId) -> Done<Option<PathBuf>> {
        let dir = dir_of(&self.copy);
        let name = self.copy.file_name().unwrap_or_default().as_encoded_bytes();
        for entry in self.fs.names(dir).doing("list directory", dir)? {
            let entry_name = entry.as_encoded_bytes();
            if entry_name == name || !entry_name.starts_with(name) {
                continue;
            }
            let path = dir.join(&entry);
            let facts = self.fs.facts_at(&path).doing("look at", &path)?;
            if facts.is_some_and(|facts| facts.regular && may_be(&facts, id)) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// The copy was renamed to `moved`: a new copy begins where that one ends. What of it was not known to
    /// be durable is cut off after a power loss or a failed sync, and fetched again. If it may have
    /// arrived, it is compared before: whoever renamed the copy may have written a line behind it, and
    /// as many bytes of the source would be passed over. The file stays as somebody left it.
    fn go_on_behind(
        &self,
        pointer: &Pointer,
        moved: PathBuf,
        empty: Option<OpenCopy<F>>,
        (rest, stamp): (Rest, &Stamp),
    ) -> Done<Standing<F>> {
        let file = self.fs.open(&moved).doing("open", &moved)?;
        let facts = self.fs.facts(&file).doing("look at", &moved)?;
        let size = facts.size;
        let kept = size.min(pointer.durable);
        if kept < size && rest == Rest::Arrived {
            let trust = match pointer.state {
                State::Adopting => Trust::Nothing,
                _ => Trust::Durable { rest },
            };
            let masked = pointer.masked;
            let place = Place { masked, durable: kept, size, trust, ..beginning(pointer) };
            let copy = self.opened(file, &facts);
            let standing = Standing::at(copy, pointer.generation, place, Vec::new());
            return Ok(Standing { renamed: true, ..standing });
        }
        if kept < size {
            self.fs.set_len(&file, kept).doing("cut", &moved)?;
        }
        self.fs.sync_data(&file).doing("sync", &moved)?;
        self.settle_moved()?;
        let place = Place { masked: pointer.masked, size: kept, ..beginning(pointer) };
        let mut events =
            self.record_reopened(pointer.generation, &place, &file, Some(&moved), stamp)?;
        let next = self.behind(&file, &moved, &place)?;
        let copy = match empty {
            Some(copy) => copy,
            None => self.create_copy()?,
        };
        let place = next;
        self.point(pointer.generation, &place, copy.id, State::Active)?;
        events.push(Event::CopyReopened { base: place.base });
        Ok(Standing::at(copy, pointer.generation, place, events))
    }
}

/// The place of a copy of which nothing is there.
fn beginning(pointer: &Pointer) -> Place {
    Place { base: pointer.base, before: pointer.before, ..Place::default() }
}
