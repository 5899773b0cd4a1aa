//! What one source keeps on disk, and the crash-safe sequences that change it.
//!
//! A source has a *copy*, a *pointer* to it, and *archives*: copies that were renamed when their
//! generation ended. Each sequence here is a list of file system calls after any of which the process
//! may be killed or the machine lose power; [`Store::recover`] then finds where it was and goes on.
//!
//! | rotation | call | if the crash comes after it, recovery |
//! |---|---|---|
//! | R1 | sync the copy | compares the rest and arrives here again |
//! | R2 | pointer: rotating, with the archive's name and the next generation | does R3 |
//! | R3 | rename the copy, replacing nothing | finds the archive in its place, does R4 |
//! | R3b | sync the directory | same |
//! | R4 | create the new copy | finds it empty, does R5 |
//! | R5 | sync the directory | same |
//! | R6 | pointer: active, with the new copy's identity | is done |
//!
//! The new generation's name is in the pointer before the old one's is forgotten, and both name
//! files by identity, so no step is done twice. All of this may wait for the disk: the loop has it
//! done by a worker, one job of a source at a time.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::copy::{Place, Rest, Trust, read_exact_at};
use super::pointer::{
    BOOT_UNKNOWN, Held, Pointer, State, read_pointer, remove_if_there, replace_pointer,
    scratch_path, write_all_at,
};
use crate::pos::{FileFacts, FileId, Generation, Inode, Offset};
use crate::status::event::Event;
use crate::sys::cause::cause as in_words;
use crate::sys::fs::{Fs, dir_of, may_be};

/// The names of one source on disk, and what is needed to act on them.
#[derive(Clone, Debug)]
pub struct Store<F> {
    /// The file system.
    pub fs: F,
    /// The live copy.
    pub copy: PathBuf,
    /// The pointer file.
    pub pointer: PathBuf,
    /// This machine's boot.
    pub boot: Arc<str>,
}

/// A step that failed, in the operator's words: `cannot VERB OBJECT PATH: CAUSE`.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// A call failed.
    #[error("cannot {doing} {}: {}", path.display(), in_words(cause))]
    Call {
        /// Verb and object.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Another process keeps this copy or pointer.
    #[error("cannot lock {}: another fetch_logs keeps it", .0.display())]
    Locked(PathBuf),
    /// The copy is not what this process left there.
    #[error("cannot go on with {}: it was changed by somebody else", .0.display())]
    Changed(PathBuf),
}

type Done<T> = Result<T, StoreFault>;

/// Names the call that failed.
trait Doing<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Done<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Done<T> {
        self.map_err(|cause| StoreFault::Call { doing, path: path.to_path_buf(), cause })
    }
}

/// Copy and pointer are ours while this lives.
#[derive(Debug)]
pub struct Locks<F: Fs> {
    _copy: F::Lock,
    _pointer: F::Lock,
}

/// An open copy and who it is.
#[derive(Debug)]
pub struct OpenCopy<F: Fs> {
    /// The file.
    pub file: Arc<F::File>,
    /// Who it is.
    pub id: FileId,
}

impl<F: Fs> Clone for OpenCopy<F> {
    fn clone(&self) -> OpenCopy<F> {
        OpenCopy { file: Arc::clone(&self.file), id: self.id }
    }
}

/// What a source stands on after a job.
#[derive(Debug)]
pub struct Standing<F: Fs> {
    /// The copy; `None` before the first contact.
    pub copy: Option<OpenCopy<F>>,
    /// The generation it holds; `None` if it is to be asked for anew.
    pub generation: Option<Generation>,
    /// Where we are in it.
    pub place: Place,
    /// What the operator should know.
    pub events: Vec<Event>,
}

/// The end of a copy that is to be cut off before it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The copy's length afterwards.
    pub at: Offset,
    /// The bytes cut off did arrive once: they are kept under another name.
    pub keep: bool,
}

impl<F: Fs> Store<F> {
    /// Makes the directories, if they are missing, and claims copy and pointer.
    pub fn lock(&self) -> Done<Locks<F>> {
        for path in [&self.copy, &self.pointer] {
            self.make_dirs(dir_of(path))?;
        }
        let lock = |path: &Path| match self.fs.lock(path) {
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                Err(StoreFault::Locked(path.to_path_buf()))
            }
            other => other.doing("lock", path),
        };
        Ok(Locks { _copy: lock(&self.copy)?, _pointer: lock(&self.pointer)? })
    }

    /// Makes `dir` and what is missing above it, each durable in its parent.
    fn make_dirs(&self, dir: &Path) -> Done<()> {
        match self.fs.make_dir(dir) {
            Ok(()) => {
                let parent = dir_of(dir);
                self.fs.sync_dir(parent).doing("sync directory", parent)
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound && dir.parent().is_some() => {
                self.make_dirs(dir_of(dir))?;
                self.make_dirs(dir)
            }
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(cause) => Err(cause).doing("make directory", dir),
        }
    }

    /// Finds out, from the disk alone, where the source is. The names are locked.
    pub fn recover(&self) -> Done<Standing<F>> {
        self.recover_believing(Rest::Arrived)
    }

    /// The same for a process that goes on after a step failed. It may have been a sync: then not even
    /// what this process wrote itself can be read from the copy with certainty.
    pub fn recover_from_fault(&self) -> Done<Standing<F>> {
        self.recover_believing(Rest::Doubtful)
    }

    /// What is behind the durable part of a copy is `rest`, if the machine ran on.
    fn recover_believing(&self, rest: Rest) -> Done<Standing<F>> {
        // What a killed process renamed may be in memory only: before anything is built on it, it
        // has to be on disk.
        for path in [&self.pointer, &self.copy] {
            self.fs.sync_dir(dir_of(path)).doing("sync directory", dir_of(path))?;
        }
        let scratch = scratch_path(&self.pointer);
        remove_if_there(&self.fs, &scratch).doing("remove", &scratch)?;
        match read_pointer(&self.fs, &self.pointer).doing("read pointer", &self.pointer)? {
            None => self.recover_without_pointer(Vec::new()),
            Some(Err(why)) => {
                let path = self.pointer.clone();
                self.recover_without_pointer(vec![Event::PointerUnusable { path, why }])
            }
            Some(Ok(Held::Original(inode))) => self.recover_original(inode),
            Some(Ok(Held::Pointer(pointer))) => match &pointer.state {
                State::Rotating { suffix, next } => {
                    let archive = self.archive_path(suffix);
                    self.finish_rotation(&pointer, &archive, *next)
                }
                State::Active | State::Adopting => {
                    let rest = if *pointer.boot == *self.boot { rest } else { Rest::Torn };
                    self.recover_active(&pointer, rest)
                }
            },
        }
    }

    /// An empty copy is no copy yet; any other is compared from its beginning with what the source
    /// has now.
    fn recover_without_pointer(&self, events: Vec<Event>) -> Done<Standing<F>> {
        let Some((copy, size)) = self.open_copy()? else {
            return Ok(Standing { copy: None, generation: None, place: Place::default(), events });
        };
        let trust = if size == 0 { Trust::Whole } else { Trust::Nothing };
        let place = Place { size, trust, ..Place::default() };
        Ok(Standing { copy: Some(copy), generation: None, place, events })
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
        Ok(Standing { copy: Some(copy), generation: Some(generation), place, events: Vec::new() })
    }

    fn recover_active(&self, pointer: &Pointer, rest: Rest) -> Done<Standing<F>> {
        let Some((copy, size)) = self.open_copy()? else {
            return self.recover_missing(pointer, rest);
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
            let place = Place { base: pointer.base, durable: pointer.durable, at: 0, size, trust };
            let (generation, events) = (Some(pointer.generation), Vec::new());
            return Ok(Standing { copy: Some(copy), generation, place, events });
        };
        // Somebody's log rotation may have renamed the copy and made a new, empty one.
        let renamed = if size == 0 { self.find_moved(&pointer.copy)? } else { None };
        if let Some(moved) = renamed {
            return self.go_on_behind(pointer, moved, Some(copy), rest);
        }
        let trust = if size == 0 { Trust::Whole } else { Trust::Nothing };
        let place = Place { base: pointer.base, size, trust, ..Place::default() };
        let state = if size == 0 { State::Active } else { State::Adopting };
        self.point(pointer.generation, &place, copy.id, state)?;
        let events = vec![Event::CopyDoubted { path: self.copy.clone(), why }];
        Ok(Standing { copy: Some(copy), generation: Some(pointer.generation), place, events })
    }

    /// The copy is gone. If it was renamed, a new one goes on behind it; else it is fetched again.
    fn recover_missing(&self, pointer: &Pointer, rest: Rest) -> Done<Standing<F>> {
        if let Some(moved) = self.find_moved(&pointer.copy)? {
            return self.go_on_behind(pointer, moved, None, rest);
        }
        let copy = self.create_copy()?;
        let place = Place { base: pointer.base, ..Place::default() };
        self.point(pointer.generation, &place, copy.id, State::Active)?;
        let why = "is missing".to_owned();
        let events = vec![Event::CopyDoubted { path: self.copy.clone(), why }];
        Ok(Standing { copy: Some(copy), generation: Some(pointer.generation), place, events })
    }

    /// Another name in the copy's directory that begins with the copy's and is the file `id`.
    fn find_moved(&self, id: &FileId) -> Done<Option<PathBuf>> {
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

    /// The copy was renamed to `moved`: a new copy begins where that one ends. What of it was not
    /// known to be durable is taken as it is if it did arrive, and else cut off and fetched again.
    fn go_on_behind(
        &self,
        pointer: &Pointer,
        moved: PathBuf,
        empty: Option<OpenCopy<F>>,
        rest: Rest,
    ) -> Done<Standing<F>> {
        let file = self.fs.open(&moved).doing("open", &moved)?;
        let size = self.fs.facts(&file).doing("look at", &moved)?.size;
        let kept = if rest == Rest::Arrived { size } else { size.min(pointer.durable) };
        if kept < size {
            self.fs.set_len(&file, kept).doing("cut", &moved)?;
        }
        self.write_again(&file, &moved, pointer.durable, kept)?;
        self.fs.sync_data(&file).doing("sync", &moved)?;
        let copy = match empty {
            Some(copy) => copy,
            None => self.create_copy()?,
        };
        let place = Place { base: pointer.base + kept, ..Place::default() };
        self.point(pointer.generation, &place, copy.id, State::Active)?;
        let events = vec![Event::CopyReopened { base: place.base }];
        Ok(Standing { copy: Some(copy), generation: Some(pointer.generation), place, events })
    }

    /// The first contact has named the generation: from here on the pointer says whose the copy is,
    /// before its first byte is written.
    pub fn begin(
        &self,
        copy: Option<OpenCopy<F>>,
        generation: Generation,
        place: Place,
    ) -> Done<Standing<F>> {
        let copy = match copy {
            Some(copy) => copy,
            None => self.create_copy()?,
        };
        let state = if place.trust == Trust::Nothing { State::Adopting } else { State::Active };
        self.point(generation, &place, copy.id, state)?;
        Ok(Standing { copy: Some(copy), generation: Some(generation), place, events: Vec::new() })
    }

    /// Makes what is right in the copy durable, and says so in the pointer. Not for a copy that is
    /// being adopted: nothing of it counts before all of it was compared.
    pub fn checkpoint(
        &self,
        copy: &OpenCopy<F>,
        generation: Generation,
        place: &Place,
    ) -> Done<Offset> {
        let size = self.fs.facts(&copy.file).doing("look at", &self.copy)?.size;
        if size < place.size {
            return Err(StoreFault::Changed(self.copy.clone()));
        }
        self.fs.sync_data(&copy.file).doing("sync", &self.copy)?;
        let durable = place.right();
        self.point(generation, &Place { durable, ..*place }, copy.id, State::Active)?;
        Ok(durable)
    }

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
    fn finish_rotation(
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
    fn write_again(&self, file: &F::File, path: &Path, from: Offset, to: Offset) -> Done<()> {
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

    /// The copy, if there is one, and its length.
    fn open_copy(&self) -> Done<Option<(OpenCopy<F>, Offset)>> {
        let file = match self.fs.open(&self.copy) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.doing("open copy", &self.copy)?,
        };
        let facts = self.fs.facts(&file).doing("look at", &self.copy)?;
        Ok(Some((OpenCopy { file: Arc::new(file), id: facts.id }, facts.size)))
    }

    /// A new copy, durable in its directory.
    fn create_copy(&self) -> Done<OpenCopy<F>> {
        let dir = dir_of(&self.copy);
        let file = self.fs.create_new(&self.copy).doing("create copy", &self.copy)?;
        let id = self.fs.facts(&file).doing("look at", &self.copy)?.id;
        self.fs.sync_dir(dir).doing("sync directory", dir)?;
        Ok(OpenCopy { file: Arc::new(file), id })
    }

    fn pointer_of(
        &self,
        generation: Generation,
        place: &Place,
        copy: FileId,
        state: State,
    ) -> Pointer {
        // A pointer of this boot would make a later process believe what is behind the durable part.
        let boot = match place.trust {
            Trust::Durable { rest: Rest::Doubtful | Rest::Torn } => BOOT_UNKNOWN.to_owned(),
            Trust::Durable { rest: Rest::Arrived } | Trust::Whole | Trust::Nothing => {
                self.boot.to_string()
            }
        };
        let (base, durable) = (place.base, place.durable);
        Pointer { generation, base, durable, copy, boot, state }
    }

    fn point(&self, generation: Generation, place: &Place, copy: FileId, state: State) -> Done<()> {
        let pointer = self.pointer_of(generation, place, copy, state);
        replace_pointer(&self.fs, &self.pointer, &pointer).doing("replace pointer", &self.pointer)
    }

    fn archive_path(&self, suffix: &str) -> PathBuf {
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
