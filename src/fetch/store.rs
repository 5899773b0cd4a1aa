//! What one source keeps on disk, and the crash-safe sequences that change it.
//!
//! A source has a *copy*, a *pointer* to it, and *archives*: copies that were renamed when their
//! generation ended. Each sequence here is a list of file system calls after any of which the process
//! may be killed or the machine lose power; [`Store::recover`] then finds where it was and goes on.
//!
//! | rotation | call | if the crash comes after it, recovery |
//! |---|---|---|
//! | R1 | sync the copy, take its digest | compares the rest and arrives here again |
//! | R2 | pointer: rotating, with the archive's name, its line and the next generation | does R3 |
//! | R3 | rename the copy, replacing nothing | finds the archive in its place, does R3b |
//! | R3b | sync the directory | same |
//! | R3c | append the archive's line to the manifest | finds it there, or torn and cuts it; writes it, does R3d |
//! | R3d | sync the manifest; its directory, if it is new | same |
//! | R4 | create the new copy | finds it empty, does R5 |
//! | R5 | sync the directory | same |
//! | R6 | pointer: active, with the new copy's identity | is done |
//!
//! The new generation's name is in the pointer before the old one's is forgotten, and both name
//! files by identity, so no step is done twice. Everything that the manifest's line says is in the
//! pointer by then, so a recovery writes the same line. All of this may wait for the disk: the loop has it
//! done by a worker, one job of a source at a time.

mod late;
mod recovery;
mod rotation;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::copy::{Place, Rest, Trust};
use super::manifest::Line;
use super::pointer::{BOOT_UNKNOWN, Pointer, State, replace_pointer};
use crate::pos::{FileFacts, FileId, Generation, Offset, Space};
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
    /// How many bytes the manifest has had, as far as this process knows. Held by the worker that adds to
    /// it.
    manifest: Arc<Mutex<u64>>,
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
    /// Locks, renames and syncs are not what they are on a disk of this machine.
    #[error("cannot keep copies in {}: it is on {kind}, see --network-disk", dir.display())]
    Network {
        /// The directory.
        dir: PathBuf,
        /// What its file system is called.
        kind: &'static str,
    },
    /// The copy was removed: what is written to it is nowhere.
    #[error("cannot go on with {}: it was removed by somebody else", .0.display())]
    Removed(PathBuf),
    /// The copy is not what this process left there.
    #[error("cannot go on with {}: it was changed by somebody else", .0.display())]
    Changed(PathBuf),
}

pub(super) type Done<T> = Result<T, StoreFault>;

/// Names the call that failed.
pub(super) trait Doing<T> {
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
    /// The device of its file system, where checkpoints can be made together.
    pub device: Option<u64>,
}

impl<F: Fs> Clone for OpenCopy<F> {
    fn clone(&self) -> OpenCopy<F> {
        OpenCopy { file: Arc::clone(&self.file), ..*self }
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
    /// Somebody renamed the copy: what of it is not known to be durable is to be compared, and then a new
    /// one begins behind it.
    pub renamed: bool,
    /// A generation has ended, and this is its archive's line; after a start, the last one that did.
    pub ended: Option<Box<Line>>,
}

impl<F: Fs> Standing<F> {
    fn at(
        copy: OpenCopy<F>,
        generation: Generation,
        place: Place,
        events: Vec<Event>,
    ) -> Standing<F> {
        let generation = Some(generation);
        Standing { copy: Some(copy), generation, place, events, renamed: false, ended: None }
    }

    /// Nothing is known of the generation.
    fn without(copy: Option<OpenCopy<F>>, place: Place, events: Vec<Event>) -> Standing<F> {
        Standing { copy, generation: None, place, events, renamed: false, ended: None }
    }
}

/// The end of a copy that is to be cut off before it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The copy's length afterwards.
    pub at: Offset,
    /// The bytes cut off did arrive once: they are kept under another name.
    pub keep: bool,
}

/// The time of a job that may make an archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// What the archive's name has after the copy's and a dot, as far as it is free.
    pub name: String,
    /// What the manifest says.
    pub time: DateTime<Utc>,
}

/// Refuses a directory on a file system that another machine keeps.
fn local(dir: &Path, space: &Space) -> Done<()> {
    match space.network {
        Some(kind) => Err(StoreFault::Network { dir: dir.to_path_buf(), kind }),
        None => Ok(()),
    }
}

impl<F: Fs> Store<F> {
    /// A source that keeps its copy and pointer there.
    pub fn new(fs: F, copy: PathBuf, pointer: PathBuf, boot: Arc<str>) -> Store<F> {
        Store { fs, copy, pointer, boot, manifest: Arc::default() }
    }

    /// Makes the directories, if they are missing, and claims copy and pointer.
    pub fn lock(&self) -> Done<Locks<F>> {
        for path in [&self.copy, &self.pointer] {
            self.make_dirs(dir_of(path))?;
            let dir = dir_of(path);
            local(dir, &self.fs.space(dir).doing("look at file system of", dir)?)?;
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
        Ok(Standing::at(copy, generation, place, Vec::new()))
    }

    /// The copy, if there is one, and its length.
    fn open_copy(&self) -> Done<Option<(OpenCopy<F>, Offset)>> {
        let file = match self.fs.open(&self.copy) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.doing("open copy", &self.copy)?,
        };
        let facts = self.fs.facts(&file).doing("look at", &self.copy)?;
        Ok(Some((self.opened(file, &facts), facts.size)))
    }

    /// A new copy, durable in its directory.
    fn create_copy(&self) -> Done<OpenCopy<F>> {
        let dir = dir_of(&self.copy);
        let file = self.fs.create_new(&self.copy).doing("create copy", &self.copy)?;
        let facts = self.fs.facts(&file).doing("look at", &self.copy)?;
        self.fs.sync_dir(dir).doing("sync directory", dir)?;
        Ok(self.opened(file, &facts))
    }

    /// A file that is open can be written to when it has no name any more. (Who tells no number of names
    /// is asked by name.)
    pub(super) fn check_there(&self, copy: &OpenCopy<F>, facts: &FileFacts) -> Done<()> {
        if facts.links > 0 {
            return Ok(());
        }
        let here = self.fs.facts_at(&self.copy).doing("look at", &self.copy)?;
        match here.is_some_and(|facts| may_be(&facts, &copy.id)) {
            true => Ok(()),
            false => Err(StoreFault::Removed(self.copy.clone())),
        }
    }

    fn opened(&self, file: F::File, facts: &FileFacts) -> OpenCopy<F> {
        let device = self.fs.volume(&self.copy).map(|volume| volume.device);
        let device = device.filter(|&device| device == facts.device);
        OpenCopy { file: Arc::new(file), id: facts.id, device }
    }

    pub(super) fn pointer_of(
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
        let Place { base, before, masked, durable, .. } = *place;
        let manifest = *self.manifest();
        Pointer { generation, base, before, masked, durable, copy, manifest, boot, state }
    }

    fn manifest(&self) -> MutexGuard<'_, u64> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn point(
        &self,
        generation: Generation,
        place: &Place,
        copy: FileId,
        state: State,
    ) -> Done<()> {
        let pointer = self.pointer_of(generation, place, copy, state);
        replace_pointer(&self.fs, &self.pointer, &pointer).doing("replace pointer", &self.pointer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pos::Share;

    #[test]
    fn a_directory_that_another_machine_keeps_is_refused_by_its_kind() {
        let share = Share { free: 1, all: 1 };
        let space = |network| Space { device: 1, bytes: share, files: share, network };
        assert!(local(Path::new("/logs"), &space(None)).is_ok());
        assert_eq!(
            local(Path::new("/logs"), &space(Some("NFS"))).unwrap_err().to_string(),
            "cannot keep copies in /logs: it is on NFS, see --network-disk"
        );
    }
}
