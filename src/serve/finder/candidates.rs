//! The files that may have the bytes asked for, in order, while they are being renamed.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Finder, LOOKS_MAX, Nothing, Unserved, cannot, is_gone_or_closed};
use crate::pos::{FileFacts, FileId};
use crate::serve::files::Served;
use crate::serve::order::{Age, Rank, Times, plain_name, sort_oldest_first};
use crate::sys::logs::Logs;
use crate::sys::unpack::Format;

/// Names looked at in one directory of rotated files: a directory with more is not one that a
/// rotation made. Then nothing is served that needs the list: with a part of it a generation would be
/// skipped, or given up as lost.
const NAMES_MAX: usize = 100_000;

/// Rotated files of one served file, each of which is looked at: one an hour for a year, and it takes
/// a few hundredths of a second.
const ROTATED_MAX: usize = 10_000;

/// A file that may have the bytes asked for.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) facts: FileFacts,
    rank: Rank,
    /// It may not be looked at, so nothing is known of it but its place: the facts are no one's.
    pub(super) closed: bool,
    /// Keeps its place, but its bytes are not those of the generation.
    pub(super) compressed: bool,
    /// How to get at these.
    pub(super) packed: Option<Format>,
    /// At the served path; the last of all, if there is one.
    pub(super) current: bool,
}

impl Candidate {
    /// Whether the bytes of its generation can be had in protocol 2.
    pub(super) fn is_readable(&self) -> bool {
        !self.closed && (!self.compressed || self.packed.is_some())
    }

    /// Whether they can be had in protocol 1.
    pub(super) fn is_plain(&self) -> bool {
        !self.closed && !self.compressed
    }

    /// Whether its name has a number of another kind.
    pub(super) fn is_named_otherwise(&self, other: &Candidate) -> bool {
        std::mem::discriminant(&self.rank) != std::mem::discriminant(&other.rank)
    }

    /// Whether both were compressed from one file: it was compressed again, to another format, and each has
    /// its time.
    pub(super) fn is_twin(&self, other: &Candidate) -> bool {
        let plain = |one: &Candidate| {
            let name = one.path.as_os_str().as_bytes();
            plain_name(name).filter(|_| one.compressed && !one.closed).map(<[u8]>::to_vec)
        };
        let changed = self.facts.modified_ns == other.facts.modified_ns;
        changed && plain(self).is_some_and(|name| plain(other) == Some(name))
    }

    /// One that may not be looked at.
    fn closed(served: &Served, path: &Path) -> Candidate {
        let id = FileId { inode: 0, generation: None, birth_ns: None };
        let facts = FileFacts { id, device: 0, size: 0, modified_ns: 0, links: 0, regular: true };
        Candidate { closed: true, ..named(served, path, facts) }
    }
}

impl<L: Logs> Finder<'_, L> {
    /// All candidates, the oldest first, seen twice in a row.
    pub(super) fn candidates(&self, served: &Served) -> Result<Vec<Candidate>, Nothing> {
        let mut before: Option<Vec<Candidate>> = None;
        for _ in 0..LOOKS_MAX {
            let after = match self.list(served) {
                Ok(list) => Some(list),
                Err(Nothing::Changed) => None,
                Err(nothing) => return Err(nothing),
            };
            match (before, after) {
                (Some(before), Some(after)) if agree(&before, &after) => return Ok(after),
                (_, after) => before = after,
            }
        }
        Err(Nothing::Refused(Unserved::restless()))
    }

    /// Whether the candidates are still those.
    pub(super) fn check_unchanged(
        &self,
        served: &Served,
        before: &[Candidate],
    ) -> Result<(), Nothing> {
        if agree(before, &self.list(served)?) { Ok(()) } else { Err(Nothing::Changed) }
    }

    /// The same, and whether none of the rotated ones has grown.
    pub(super) fn check_settled(
        &self,
        served: &Served,
        before: &[Candidate],
    ) -> Result<(), Nothing> {
        let after = self.list(served)?;
        let grown = |(one, other): (&Candidate, &Candidate)| {
            !one.current && other.facts.size > one.facts.size
        };
        if agree(before, &after) && !before.iter().zip(&after).any(grown) {
            Ok(())
        } else {
            Err(Nothing::Changed)
        }
    }

    /// All candidates as they are now, the oldest first.
    fn list(&self, served: &Served) -> Result<Vec<Candidate>, Nothing> {
        let mut seen = BTreeSet::new();
        for place in &served.rotated {
            let names = match self.logs.names(&place.dir, NAMES_MAX) {
                Ok(names) => names,
                Err(error) if is_gone_or_closed(&error) => continue,
                // Too many, or for want of descriptors: that must not look as if it were empty.
                Err(error) => {
                    let why = cannot("list", &place.dir, &error);
                    return Err(Nothing::Refused(Unserved::busy(why)));
                }
            };
            let rotated = names.iter().filter(|name| place.names.matches(name));
            seen.extend(
                rotated
                    .map(|name| place.dir.join(name))
                    .filter(|path| !self.files.is_current(path)),
            );
        }
        if seen.len() > ROTATED_MAX {
            let why = format!("it has {} rotated files, more than {ROTATED_MAX}", seen.len());
            return Err(Nothing::Refused(Unserved::busy(why)));
        }
        let mut rotated = Vec::new();
        for path in &seen {
            // What is being compressed has two names for a while: the plain one counts.
            let plain = plain_name(path.as_os_str().as_bytes()).map(OsStr::from_bytes);
            if plain.is_some_and(|plain| seen.contains(Path::new(plain))) {
                continue;
            }
            match self.logs.facts_at(path) {
                Ok(Some(facts)) => rotated.extend(candidate(served, path, facts)),
                Ok(None) => return Err(Nothing::Changed),
                // Who steps over it has to tell.
                Err(error) if is_gone_or_closed(&error) => {
                    rotated.push(Candidate::closed(served, path));
                }
                Err(error) => return Err(blurred(path, &error)),
            }
        }
        let rotated = in_order(rotated);
        let current = match self.logs.facts_at(&served.path) {
            Ok(facts) => facts.and_then(|facts| candidate(served, &served.path, facts)),
            Err(error) if is_gone_or_closed(&error) => None,
            Err(error) => return Err(blurred(&served.path, &error)),
        };
        without_second_names(rotated, current)
    }
}

/// A file that the system can't tell of now: without it the next one would be the wrong one.
fn blurred(path: &Path, error: &std::io::Error) -> Nothing {
    Nothing::Refused(Unserved::busy(cannot("look at", path, error)))
}

/// Rotated files, the oldest first, as [`order`](crate::serve::order) says.
fn in_order(mut rotated: Vec<Candidate>) -> Vec<Candidate> {
    // What nothing tells apart has an order all the same, the same each time.
    rotated.sort_by(|a, b| a.path.cmp(&b.path));
    let aged = rotated.into_iter().map(|one| {
        let times = Times {
            birth_ns: one.facts.id.birth_ns,
            modified_ns: one.facts.modified_ns,
            size: one.facts.size,
            compressed: one.compressed,
        };
        let age = Age { rank: one.rank.clone(), times: (!one.closed).then_some(times) };
        (age, one)
    });
    sort_oldest_first(aged.collect()).into_iter().map(|(_, one)| one).collect()
}

fn candidate(served: &Served, path: &Path, facts: FileFacts) -> Option<Candidate> {
    facts.regular.then(|| named(served, path, facts))
}

fn named(served: &Served, path: &Path, facts: FileFacts) -> Candidate {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let current = path == served.path;
    Candidate {
        facts,
        rank: Rank::of(served.path.file_name().unwrap_or_default().as_bytes(), name),
        closed: false,
        compressed: !current && plain_name(name).is_some(),
        packed: Format::of_name(name).filter(|_| !current),
        current,
        path: path.to_path_buf(),
    }
}

/// A file with two names is one candidate, and the current file is no rotated one. But a file that
/// was seen under two names and has one was renamed between the looks.
fn without_second_names(
    rotated: Vec<Candidate>,
    current: Option<Candidate>,
) -> Result<Vec<Candidate>, Nothing> {
    let identity = |one: &Candidate| (one.facts.device, one.facts.id.inode);
    let mut known: HashSet<_> = current.iter().map(identity).collect();
    let mut list = Vec::new();
    for one in rotated {
        if one.closed || known.insert(identity(&one)) {
            list.push(one);
        } else if one.facts.links < 2 {
            return Err(Nothing::Changed);
        }
    }
    list.extend(current);
    Ok(list)
}

fn agree(before: &[Candidate], after: &[Candidate]) -> bool {
    before.len() == after.len()
        && before
            .iter()
            .zip(after)
            .all(|(one, other)| one.path == other.path && one.facts.same_file(&other.facts))
}
