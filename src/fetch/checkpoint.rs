//! Checkpoints: what is right in a copy becomes durable, and the pointer says so. One alone, or many
//! of one file system together.
//!
//! Alone, a checkpoint waits for the disk three times: for the copy, the new pointer and its name.
//! Together all of them wait twice, as long as an error is told of with certainty
//! ([`Fs::sync_volume`]):
//!
//! | step | call | if the crash comes after it, recovery |
//! |---|---|---|
//! | C1 | each new pointer written under its scratch name | removes it |
//! | C2 | all copies and new pointers written out, their file systems synced | removes it |
//! | C3 | each new pointer gets its name | finds the old pointer or the new |
//! | C4 | the directory, or where there are several the file system, synced | finds the new |
//!
//! What a new pointer says is on disk before it has its name. Whatever fails for one source alone
//! takes it out of the group; the others go on. A sync of a file system that fails takes out all of
//! the group that are on it: nothing tells whom it was about. Who is not in the group need not know: an
//! error in writing its bytes is told of its file as well, when that is written out or synced next.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::copy::Place;
use super::pointer::{State, discard_scratch, scratch_path, write_scratch};
use super::store::{Doing, Done, OpenCopy, Store, StoreFault};
use crate::pos::{Generation, Offset};
use crate::sys::fs::{Fs, Volume, dir_of};

/// A source that is to be made durable as far as it is.
#[derive(Debug)]
pub struct Checkpoint<F: Fs> {
    /// Its names.
    pub store: Store<F>,
    /// Its copy. One that is being adopted is not for this: nothing of it counts before all of it was
    /// compared.
    pub copy: OpenCopy<F>,
    /// What the copy holds.
    pub generation: Generation,
    /// How far.
    pub place: Place,
}

/// The place of which the pointer is to tell.
fn after(place: &Place) -> Place {
    Place { durable: place.right(), ..*place }
}

impl<F: Fs> Store<F> {
    /// Makes what is right in the copy durable, and says so in the pointer. Gives how much it is.
    pub fn checkpoint(
        &self,
        copy: &OpenCopy<F>,
        generation: Generation,
        place: &Place,
    ) -> Done<Offset> {
        self.check(copy, place)?;
        self.fs.sync_data(&copy.file).doing("sync", &self.copy)?;
        self.point(generation, &after(place), copy.id, State::Active)?;
        Ok(place.right())
    }

    /// A copy that somebody has cut or removed is not what its place says.
    fn check(&self, copy: &OpenCopy<F>, place: &Place) -> Done<()> {
        let facts = self.fs.facts(&copy.file).doing("look at", &self.copy)?;
        self.check_there(copy, &facts)?;
        if facts.size < place.size { Err(StoreFault::Changed(self.copy.clone())) } else { Ok(()) }
    }
}

impl<F: Fs> Checkpoint<F> {
    /// Does it alone. Gives how much of the copy is durable.
    pub fn alone(&self) -> Done<Offset> {
        self.store.checkpoint(&self.copy, self.generation, &self.place)
    }

    /// C1. What can't be done together is done alone at once.
    fn prepare(self) -> Result<Member<F>, Done<Offset>> {
        let Store { fs, copy, pointer, .. } = &self.store;
        // Noted before anything is written out: what fails from here on is told in C2.
        let (Some(of_copy), Some(of_pointer)) = (fs.volume(copy), fs.volume(pointer)) else {
            return Err(self.alone());
        };
        if self.copy.device != Some(of_copy.device) {
            return Err(self.alone());
        }
        let prepared = self.store.check(&self.copy, &self.place).and_then(|()| {
            let (place, copy) = (after(&self.place), self.copy.id);
            let new = self.store.pointer_of(self.generation, &place, copy, State::Active);
            let scratch = write_scratch(fs, pointer, &new).doing("replace pointer", pointer)?;
            let facts = fs.facts(&scratch).doing("look at", &scratch_path(pointer))?;
            Ok((scratch, facts.device))
        });
        match prepared {
            Ok((scratch, device)) if device == of_pointer.device => {
                Ok(Member { of_copy, of_pointer, scratch, checkpoint: self })
            }
            // Something was mounted there after the name was locked.
            Ok(_) => Err(self.alone()),
            Err(fault) => Err(Err(fault)),
        }
    }
}

/// A checkpoint in a group, and what is known of it there.
struct Member<F: Fs> {
    checkpoint: Checkpoint<F>,
    of_copy: Volume,
    of_pointer: Volume,
    scratch: F::File,
}

/// Does many, which are known by their keys. Gives how much of each copy is durable.
pub fn checkpoint_together<F: Fs, K>(all: Vec<(K, Checkpoint<F>)>) -> Vec<(K, Done<Offset>)> {
    let mut done = Vec::with_capacity(all.len());
    let mut group = Vec::with_capacity(all.len());
    for (key, checkpoint) in all {
        match checkpoint.prepare() {
            Ok(member) => group.push((key, member)),
            Err(result) => done.push((key, result)),
        }
    }
    for step in [write_out, sync, rename, sync_names] {
        let members: Vec<&Member<F>> = group.iter().map(|(_, member)| member).collect();
        let results = step(&members);
        let before = std::mem::take(&mut group);
        for ((key, member), result) in before.into_iter().zip(results) {
            match result {
                Ok(()) => group.push((key, member)),
                Err(fault) => {
                    discard_scratch(&member.checkpoint.store.fs, &member.checkpoint.store.pointer);
                    done.push((key, Err(fault)));
                }
            }
        }
    }
    done.extend(group.into_iter().map(|(key, member)| (key, Ok(member.checkpoint.place.right()))));
    done
}

/// C2, the bytes: an error is about one source.
fn write_out<F: Fs>(group: &[&Member<F>]) -> Vec<Done<()>> {
    let Some(first) = group.first() else { return Vec::new() };
    let files = group.iter().flat_map(|member| [&*member.checkpoint.copy.file, &member.scratch]);
    let mut results = first.checkpoint.store.fs.write_out(&files.collect::<Vec<_>>()).into_iter();
    let mut next = || results.next().unwrap_or_else(|| Err(io::ErrorKind::Other.into()));
    group
        .iter()
        .map(|member| {
            let (of_copy, of_pointer) = (next(), next());
            let Store { copy, pointer, .. } = &member.checkpoint.store;
            of_copy.doing("sync", copy)?;
            of_pointer.doing("replace pointer", pointer)
        })
        .collect()
}

/// C2, what belongs to the bytes: an error is about all on that file system.
fn sync<F: Fs>(group: &[&Member<F>]) -> Vec<Done<()>> {
    let mut synced = BTreeMap::new();
    group
        .iter()
        .map(|member| {
            let Store { fs, copy, pointer, .. } = &member.checkpoint.store;
            let mut sync = |volume: Volume| {
                again(synced.entry(volume).or_insert_with(|| fs.sync_volume(volume)))
            };
            sync(member.of_copy).doing("sync file system of", copy)?;
            sync(member.of_pointer).doing("sync file system of", pointer)
        })
        .collect()
}

/// C3.
fn rename<F: Fs>(group: &[&Member<F>]) -> Vec<Done<()>> {
    let rename = |member: &&Member<F>| {
        let Store { fs, pointer, .. } = &member.checkpoint.store;
        fs.rename(&scratch_path(pointer), pointer).doing("replace pointer", pointer)
    };
    group.iter().map(rename).collect()
}

/// C4.
fn sync_names<F: Fs>(group: &[&Member<F>]) -> Vec<Done<()>> {
    let mut dirs: BTreeMap<Volume, BTreeSet<_>> = BTreeMap::new();
    for member in group {
        let dir = dir_of(&member.checkpoint.store.pointer);
        dirs.entry(member.of_pointer).or_default().insert(dir);
    }
    let mut synced = BTreeMap::new();
    group
        .iter()
        .map(|member| {
            let (fs, volume) = (&member.checkpoint.store.fs, member.of_pointer);
            let dir = dir_of(&member.checkpoint.store.pointer);
            let several = dirs.get(&volume).is_some_and(|dirs| dirs.len() > 1);
            let sync = || if several { fs.sync_volume(volume) } else { fs.sync_dir(dir) };
            again(synced.entry(volume).or_insert_with(sync)).doing("sync directory", dir)
        })
        .collect()
}

/// What a call that was made for several gave, for one of them.
fn again(result: &io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) => Ok(()),
        Err(error) => Err(match error.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::new(error.kind(), error.to_string()),
        }),
    }
}

#[cfg(test)]
mod tests;
