//! The copy becomes an archive, or loses its end; and how archives are called.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Cut, Doing, Done, OpenCopy, Standing, Store, StoreFault};
use crate::fetch::copy::{Place, Trust, read_exact_at};
use crate::fetch::pointer::{Pointer, State, replace_pointer, write_all_at};
use crate::pos::{FileFacts, Generation, Offset};
use crate::status::event::Event;
use crate::sys::fs::{Fs, dir_of, may_be};

impl<F: Fs> Store<F> {
    /// R1 to R6: the copy becomes an archive and a new copy begins. `stamp` is the archive's name
    /// after the copy's and a dot, as far as it is free.
    pub fn rotate(
        &self,
        copy: &OpenCopy<F>,
        generation: Generation,
        place: &Place,
        cut: Option<Cut>,
        next: Generation,
        stamp: &str,
    ) -> Done<Standing<F>> {
        let mut events = Vec::new();
        let mut place = *place;
        if let Some(cut) = cut {
            events.push(self.cut_tail(copy, &mut place, cut)?);
        }
        let facts = self.fs.facts(&copy.file).doing("look at", &self.copy)?;
        if facts.size != place.size {
            return Err(StoreFault::Changed(self.copy.clone()));
        }
        self.write_again(&copy.file, &self.copy, place.right(), place.size)?;
        self.fs.sync_data(&copy.file).doing("sync", &self.copy)?;
        let (suffix, archive) = self.free_archive(stamp)?;
        let durable = Place { durable: place.size, ..place };
        let state = State::Rotating { suffix, next };
        self.point(generation, &durable, copy.id, state.clone())?;
        let pointer = self.pointer_of(generation, &durable, copy.id, state);
        let mut standing = self.finish_rotation(&pointer, &archive, next)?;
        standing.events.splice(0..0, events);
        Ok(standing)
    }

    /// R3 to R6, from wherever a crash left them.
    pub(super) fn finish_rotation(
        &self,
        pointer: &Pointer,
        archive: &Path,
        next: Generation,
    ) -> Done<Standing<F>> {
        let dir = dir_of(&self.copy);
        let is_old = |facts: &FileFacts| may_be(facts, &pointer.copy);
        let here = self.fs.facts_at(&self.copy).doing("look at", &self.copy)?;
        let there = self.fs.facts_at(archive).doing("look at", archive)?;
        match (here.filter(is_old), there) {
            // A file system without an exclusive rename: linked, and not yet unlinked.
            (Some(_), Some(there)) if is_old(&there) => {
                self.fs.remove(&self.copy).doing("remove", &self.copy)?;
            }
            (Some(_), Some(_)) => {
                // Somebody took the archive's name meanwhile: another one, told to the pointer first.
                let stamp = archive_stamp(pointer);
                let (suffix, free) = self.free_archive(stamp)?;
                let state = State::Rotating { suffix, next };
                let renamed = Pointer { state, boot: self.boot.to_string(), ..pointer.clone() };
                replace_pointer(&self.fs, &self.pointer, &renamed)
                    .doing("replace pointer", &self.pointer)?;
                self.fs.rename_new(&self.copy, &free).doing("rename copy to", &free)?;
            }
            (Some(_), None) => {
                self.fs.rename_new(&self.copy, archive).doing("rename copy to", archive)?;
            }
            (None, _) => {}
        }
        self.fs.sync_dir(dir).doing("sync directory", dir)?;
        let (copy, size) = match self.open_copy()? {
            Some(found) => found,
            None => (self.create_copy()?, 0),
        };
        // Where a file appeared that is not ours, it is compared, never overwritten.
        let (trust, state) = match size {
            0 => (Trust::Whole, State::Active),
            _ => (Trust::Nothing, State::Adopting),
        };
        let place = Place { size, trust, ..Place::default() };
        self.point(next, &place, copy.id, state)?;
        let events = vec![Event::Rotated { to: next.inode }];
        Ok(Standing { copy: Some(copy), generation: Some(next), place, events })
    }

    /// The copy is cut; what is cut off is kept or not. The pointer stays as it is: it says less.
    pub fn cut(
        &self,
        copy: &OpenCopy<F>,
        generation: Generation,
        place: &Place,
        cut: Cut,
    ) -> Done<Standing<F>> {
        let mut place = *place;
        let event = self.cut_tail(copy, &mut place, cut)?;
        let copy = Some(copy.clone());
        Ok(Standing { copy, generation: Some(generation), place, events: vec![event] })
    }

    fn cut_tail(&self, copy: &OpenCopy<F>, place: &mut Place, cut: Cut) -> Done<Event> {
        let (from, to) = (cut.at, place.size);
        let kept = if cut.keep { Some(self.keep_tail(copy, from, to)?) } else { None };
        self.fs.set_len(&copy.file, cut.at).doing("cut", &self.copy)?;
        (place.size, place.at, place.trust) = (cut.at, cut.at, Trust::Whole);
        Ok(Event::TailCut { from, to, kept })
    }

    /// Writes bytes `from..to` once more, as they are read: nobody can compare them any more, and they
    /// may be clean in the cache and not on disk, if a process before this one failed to sync them.
    pub(super) fn write_again(
        &self,
        file: &F::File,
        path: &Path,
        from: Offset,
        to: Offset,
    ) -> Done<()> {
        let mut buf = vec![0; 64 * 1024];
        let mut at = from;
        while at < to {
            let part = (to - at).min(buf.len() as u64) as usize;
            read_exact_at(&self.fs, file, &mut buf[..part], at).doing("read", path)?;
            write_all_at(&self.fs, file, &buf[..part], at).doing("write", path)?;
            at += part as u64;
        }
        Ok(())
    }

    /// Copies bytes `from..to` to a file of their own, durably.
    fn keep_tail(&self, copy: &OpenCopy<F>, from: Offset, to: Offset) -> Done<PathBuf> {
        let (_, path) = self.free_archive(&format!("unverified.{from}-{to}"))?;
        let file = self.fs.create_new(&path).doing("create", &path)?;
        let mut buf = vec![0; 64 * 1024];
        let mut at = from;
        while at < to {
            let part = (to - at).min(buf.len() as u64) as usize;
            read_exact_at(&self.fs, &copy.file, &mut buf[..part], at).doing("read", &self.copy)?;
            write_all_at(&self.fs, &file, &buf[..part], at - from).doing("write", &path)?;
            at += part as u64;
        }
        self.fs.sync_data(&file).doing("sync", &path)?;
        self.fs.sync_dir(dir_of(&path)).doing("sync directory", dir_of(&path))?;
        Ok(path)
    }

    /// Somebody's log rotation may have renamed the copy: if so, a new one goes on from here. `None`
    /// if the copy is still where it was.
    pub fn reopen(
        &self,
        copy: &OpenCopy<F>,
        generation: Generation,
        place: &Place,
    ) -> Done<Option<Standing<F>>> {
        let here = self.fs.facts_at(&self.copy).doing("look at", &self.copy)?;
        let size = self.fs.facts(&copy.file).doing("look at", &self.copy)?.size;
        if here.is_some_and(|facts| may_be(&facts, &copy.id)) {
            return if size < place.size {
                Err(StoreFault::Changed(self.copy.clone()))
            } else {
                Ok(None)
            };
        }
        self.fs.sync_data(&copy.file).doing("sync", &self.copy)?;
        self.settle_moved()?;
        let new = match self.open_copy()? {
            Some((found, 0)) => found,
            Some(_) => return Err(StoreFault::Changed(self.copy.clone())),
            None => self.create_copy()?,
        };
        let place = Place { base: place.base + place.size, ..Place::default() };
        self.point(generation, &place, new.id, State::Active)?;
        let events = vec![Event::CopyReopened { base: place.base }];
        Ok(Some(Standing { copy: Some(new), generation: Some(generation), place, events }))
    }

    /// A new copy takes the name of the renamed one only when that has another on disk, too: else a power
    /// loss could leave the new one in its place.
    pub(super) fn settle_moved(&self) -> Done<()> {
        let dir = dir_of(&self.copy);
        self.fs.sync_dir(dir).doing("sync directory", dir)
    }

    pub(super) fn archive_path(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(self.copy.file_name().unwrap_or_default());
        name.push(".");
        name.push(suffix);
        self.copy.with_file_name(name)
    }

    /// `stamp`, or `stamp.1`, `stamp.2` ... : the first whose file does not exist.
    fn free_archive(&self, stamp: &str) -> Done<(String, PathBuf)> {
        let mut suffix = stamp.to_owned();
        let mut number = 0_u64;
        loop {
            let path = self.archive_path(&suffix);
            if self.fs.facts_at(&path).doing("look at", &path)?.is_none() {
                return Ok((suffix, path));
            }
            number += 1;
            suffix = format!("{stamp}.{number}");
        }
    }
}

/// The stamp of an archive's suffix, without the number that made it free.
fn archive_stamp(pointer: &Pointer) -> &str {
    match &pointer.state {
        State::Rotating { suffix, .. } => suffix.split('.').next().unwrap_or(suffix),
        _ => "",
    }
}
