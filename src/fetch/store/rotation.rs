//! The copy becomes an archive, or loses its end; and how archives are called.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Cut, Doing, Done, OpenCopy, Stamp, Standing, Store, StoreFault};
use crate::fetch::copy::{Place, Trust, sample_before};
use crate::fetch::manifest::{Ended, Ending, Line, Outcome, manifest_path, read_last};
use crate::fetch::pointer::{Pointer, State, replace_pointer};
use crate::pos::{FileFacts, Generation, Offset};
use crate::proto::digest::{Digester, Whole};
use crate::status::event::Event;
use crate::sys::fs::{Fs, dir_of, may_be, read_exact_at, write_all_at};

impl<F: Fs> Store<F> {
    /// R1 to R6: the copy becomes an archive and a new copy begins.
    pub fn rotate(
        &self,
        copy: &OpenCopy<F>,
        generation: Generation,
        place: &Place,
        cut: Option<Cut>,
        (next, outcome): (Generation, Outcome),
        stamp: &Stamp,
    ) -> Done<Standing<F>> {
        let mut events = Vec::new();
        let mut place = *place;
        if let Some(cut) = cut {
            events.push(self.cut_tail(copy, &mut place, cut)?);
        }
        let facts = self.fs.facts(&copy.file).doing("look at", &self.copy)?;
        self.check_there(copy, &facts)?;
        if facts.size != place.size {
            return Err(StoreFault::Changed(self.copy.clone()));
        }
        self.write_again(&copy.file, &self.copy, place.right(), place.size)?;
        self.fs.sync_data(&copy.file).doing("sync", &self.copy)?;
        let digest = self.digest(&copy.file, &self.copy, place.size)?;
        let ended = Ended { time: stamp.time, outcome, digest };
        let (suffix, archive) = self.free_archive(&stamp.name)?;
        let durable = Place { durable: place.size, ..place };
        let state = State::Rotating { suffix, next, ended: Box::new(ended) };
        self.point(generation, &durable, copy.id, state.clone())?;
        let pointer = self.pointer_of(generation, &durable, copy.id, state);
        let mut standing = self.finish_rotation(&pointer, &archive, next, &ended)?;
        standing.events.splice(0..0, events);
        Ok(standing)
    }

    /// R3 to R6, from wherever a crash left them.
    pub(super) fn finish_rotation(
        &self,
        pointer: &Pointer,
        archive: &Path,
        next: Generation,
        ended: &Ended,
    ) -> Done<Standing<F>> {
        let dir = dir_of(&self.copy);
        let is_old = |facts: &FileFacts| may_be(facts, &pointer.copy);
        let here = self.fs.facts_at(&self.copy).doing("look at", &self.copy)?;
        let there = self.fs.facts_at(archive).doing("look at", archive)?;
        let archive = match (here.filter(is_old), there) {
            // A file system without an exclusive rename: linked, and not yet unlinked.
            (Some(_), Some(there)) if is_old(&there) => {
                self.fs.remove(&self.copy).doing("remove", &self.copy)?;
                Some(archive.to_path_buf())
            }
            (Some(_), Some(_)) => {
                // Somebody took the archive's name meanwhile: another one, told to the pointer first.
                let stamp = archive_stamp(pointer);
                let (suffix, free) = self.free_archive(stamp)?;
                let state = State::Rotating { suffix, next, ended: Box::new(*ended) };
                let renamed = Pointer { state, boot: self.boot.to_string(), ..pointer.clone() };
                replace_pointer(&self.fs, &self.pointer, &renamed)
                    .doing("replace pointer", &self.pointer)?;
                self.fs.rename_new(&self.copy, &free).doing("rename copy to", &free)?;
                Some(free)
            }
            (Some(_), None) => {
                self.fs.rename_new(&self.copy, archive).doing("rename copy to", archive)?;
                Some(archive.to_path_buf())
            }
            (None, Some(there)) if is_old(&there) => Some(archive.to_path_buf()),
            // Somebody renamed it once more.
            (None, _) => self.find_moved(&pointer.copy)?,
        };
        self.fs.sync_dir(dir).doing("sync directory", dir)?;
        let place = Place { base: pointer.base, size: pointer.durable, ..Place::default() };
        let (line, mut events) =
            self.record(pointer.generation, &place, archive.as_deref(), ended)?;
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
        events.push(Event::Rotated { to: next.inode });
        Ok(Standing { ended: Some(Box::new(line)), ..Standing::at(copy, next, place, events) })
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
        Ok(Standing::at(copy.clone(), generation, place, vec![event]))
    }

    fn cut_tail(&self, copy: &OpenCopy<F>, place: &mut Place, cut: Cut) -> Done<Event> {
        let (from, to) = (cut.at, place.size);
        let kept = if cut.keep { Some(self.keep_tail(copy, from, to)?) } else { None };
        self.fs.set_len(&copy.file, cut.at).doing("cut", &self.copy)?;
        (place.size, place.at, place.trust) = (cut.at, cut.at, Trust::Whole);
        place.masked = place.masked.min(cut.at);
        Ok(Event::TailCut { from, to, kept })
    }

    /// The manifest says of an archive, which is all of `place`, how it ended. Done once, however often
    /// it is asked for. Gives the line, and what the operator should know of the manifest.
    pub(super) fn record(
        &self,
        generation: Generation,
        place: &Place,
        archive: Option<&Path>,
        ended: &Ended,
    ) -> Done<(Line, Vec<Event>)> {
        let line = Line {
            time: ended.time,
            inode: generation.inode,
            from: place.base,
            to: place.base + place.size,
            digest: ended.digest,
            archive: archive.and_then(Path::file_name).map(OsString::from),
            ending: ended.outcome.ending,
            id: generation.id,
            seen_ns: generation.seen_ns,
            lost: ended.outcome.lost,
            late: None,
        };
        let events = self.append(&line)?;
        Ok((line, events))
    }

    /// The digest of the first `len` bytes of a file.
    pub(super) fn digest(&self, file: &F::File, path: &Path, len: Offset) -> Done<Whole> {
        let mut digester = Digester::new();
        let mut buf = vec![0; 64 * 1024];
        let mut at = 0;
        while at < len {
            let part = (len - at).min(buf.len() as u64) as usize;
            read_exact_at(&self.fs, file, &mut buf[..part], at).doing("read", path)?;
            digester.update(&buf[..part]);
            at += part as u64;
        }
        Ok(digester.whole())
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
        stamp: &Stamp,
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
        let moved = self.find_moved(&copy.id)?;
        self.settle_moved()?;
        let mut events =
            self.record_reopened(generation, place, &copy.file, moved.as_deref(), stamp)?;
        let next = self.behind(&copy.file, &self.copy, place)?;
        let new = match self.open_copy()? {
            Some((found, 0)) => found,
            Some(_) => return Err(StoreFault::Changed(self.copy.clone())),
            None => self.create_copy()?,
        };
        let place = next;
        self.point(generation, &place, new.id, State::Active)?;
        events.push(Event::CopyReopened { base: place.base });
        Ok(Some(Standing::at(new, generation, place, events)))
    }

    /// Where a new copy begins behind all of `place`, which is in `file`. What is there is known by its
    /// digest from then on: the new copy has nothing yet that could be compared.
    pub(super) fn behind(&self, file: &F::File, path: &Path, place: &Place) -> Done<Place> {
        let before = sample_before(&self.fs, file, place, place.size).doing("read", path)?;
        Ok(Place { base: place.base + place.size, before, ..Place::default() })
    }

    /// A new copy takes the name of the renamed one only when that has another on disk, too: else a power
    /// loss could leave the new one in its place.
    pub(super) fn settle_moved(&self) -> Done<()> {
        let dir = dir_of(&self.copy);
        self.fs.sync_dir(dir).doing("sync directory", dir)
    }

    /// The manifest says of a copy that somebody renamed that its generation goes on behind it.
    pub(super) fn record_reopened(
        &self,
        generation: Generation,
        place: &Place,
        file: &F::File,
        moved: Option<&Path>,
        stamp: &Stamp,
    ) -> Done<Vec<Event>> {
        let digest = self.digest(file, moved.unwrap_or(&self.copy), place.size)?;
        let outcome = Outcome { ending: Ending::Reopened, lost: None };
        let ended = Ended { time: stamp.time, outcome, digest };
        let (_, events) = self.record(generation, place, moved, &ended)?;
        Ok(events)
    }

    pub(super) fn archive_path(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(self.copy.file_name().unwrap_or_default());
        name.push(".");
        name.push(suffix);
        self.copy.with_file_name(name)
    }

    /// `stamp`, or `stamp.1`, `stamp.2` ... : the first whose file does not exist, and that none of the
    /// manifest's last lines has. An archive that somebody moved keeps its name there, and where a clock
    /// is put back an hour the same second comes twice.
    fn free_archive(&self, stamp: &str) -> Done<(String, PathBuf)> {
        let manifest = manifest_path(&self.pointer);
        let last = read_last(&self.fs, &manifest).doing("read manifest", &manifest)?;
        let is_listed =
            |path: &Path| last.lines.iter().any(|line| line.archive.as_deref() == path.file_name());
        let mut suffix = stamp.to_owned();
        let mut number = 0_u64;
        loop {
            let path = self.archive_path(&suffix);
            let taken = self.fs.facts_at(&path).doing("look at", &path)?.is_some();
            if !taken && !is_listed(&path) {
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
