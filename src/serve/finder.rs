//! Which file has the bytes that a fetcher asks for.
//!
//! The candidates are the current file, at the served path, and the rotated ones, whose names match
//! the patterns, from the oldest to the newest ([`order`](super::order)). A protocol 1 request names
//! a generation by its inode number, so number and size decide:
//!
//! 1. A candidate with that number and at least `offset` bytes is the one asked for, and goes on
//!    there; but a rotated one that has been sent whole and grows no more is over, and then its
//!    successor begins: the *next* candidate, never simply the current file.
//! 2. One with that number and fewer bytes was truncated, or its number was given to another file:
//!    the answer is `L`, under [another name](crate::pos::Inode::renamed) of the number.
//! 3. None: `L` and the current file.
//!
//! A compressed candidate has its place in the order, but not the bytes of its generation: to step
//! over one is told as `L`.
//!
//! Files are renamed, removed and made while this looks. So a list counts only when it was the same
//! twice in a row (a rename under way could hide a generation from a single look, and it would be
//! skipped), and a file only when what was opened is what was listed. Otherwise it looks again, a few
//! times; then the fetcher gets no answer and asks again.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::{Files, Served};
use super::order::{Rank, plain_name};
use super::tail::is_over;
use crate::pos::{FileFacts, Inode, Offset, Position};
use crate::proto::status::{Status, Verdict};
use crate::sys::logs::Logs;

/// Names looked at in one directory of rotated files: a directory with more is not one that a
/// rotation made, and a request must not stall the loop.
const NAMES_MAX: usize = 100_000;

/// Looks at files that change under it before it gives up.
const LOOKS_MAX: usize = 8;

/// Looks for generations among the served files.
#[derive(Debug)]
pub struct Finder<'a, L> {
    /// The files.
    pub logs: &'a L,
    /// What is served.
    pub files: &'a Files,
    /// Quiet after which a rotated file has ended, whoever has it open.
    pub linger: Duration,
    /// Wall time in nanoseconds since 1970, to compare times of change with.
    pub wall_ns: u64,
}

/// A generation, found and opened.
#[derive(Debug)]
pub struct Generation<F> {
    /// Its file.
    pub file: F,
    /// What was seen of the open file.
    pub facts: FileFacts,
    /// The answer to the request.
    pub status: Status,
    /// Where to begin.
    pub from: Offset,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Candidate {
    path: PathBuf,
    facts: FileFacts,
    rank: Rank,
    compressed: bool,
    current: bool,
}

/// Why there is nothing to serve.
#[derive(Debug)]
enum Nothing {
    /// The files changed meanwhile: look again.
    Changed,
    /// This file is kept from us, or not a log: as good as gone.
    Closed,
    /// The system has no means for it now, or there is no such file.
    Refused,
}

/// How long nothing was written to a file; a time of change that lies ahead counts as now.
pub fn quiet_since(facts: &FileFacts, wall_ns: u64) -> Duration {
    Duration::from_nanos(wall_ns.saturating_sub(facts.modified_ns))
}

impl<L: Logs> Finder<'_, L> {
    /// The generation to serve to a fetcher that has `have`. `None`: nothing.
    pub fn find(&self, served: &Served, have: Option<Position>) -> Option<Generation<L::File>> {
        let current = self.open(&served.path);
        let Some(asked) = have else {
            let (file, facts) = current.ok()?;
            return Some(generation(file, facts, None, Verdict::Found));
        };
        // Mostly the current file is meant. It comes first among its equals anyway, so no
        // directory needs to be read then.
        if let Ok((file, facts)) = current
            && is_asked(&facts, asked)
        {
            return Some(same(file, facts, asked));
        }
        for _ in 0..LOOKS_MAX {
            match self.choose(&self.candidates(served)?, asked) {
                Ok(generation) => return Some(generation),
                Err(Nothing::Changed) => {}
                Err(Nothing::Closed | Nothing::Refused) => return None,
            }
        }
        None
    }

    /// Whether a fetcher that has all of the file known by `facts` would be given a later one.
    pub fn has_successor(&self, served: &Served, facts: &FileFacts) -> bool {
        let Some(candidates) = self.candidates(served) else { return false };
        let Some(at) = candidates.iter().position(|one| one.facts.same_file(facts)) else {
            return false;
        };
        candidates[at + 1..].iter().any(|one| !one.compressed && self.open(&one.path).is_ok())
    }

    fn choose(
        &self,
        candidates: &[Candidate],
        asked: Position,
    ) -> Result<Generation<L::File>, Nothing> {
        let fits = |one: &Candidate| !one.compressed && is_asked(&one.facts, asked);
        let found = match candidates.last() {
            Some(last) if last.current && fits(last) => Some(candidates.len() - 1),
            _ => candidates.iter().position(fits),
        };
        let Some(at) = found else { return self.lost(candidates, asked) };
        let (file, facts) = match self.open_listed(&candidates[at]) {
            Err(Nothing::Closed) => return self.lost(candidates, asked),
            other => other?,
        };
        if !is_asked(&facts, asked) {
            return Err(Nothing::Changed);
        }
        if candidates[at].current || !self.is_complete(&file, &facts, asked.offset) {
            return Ok(same(file, facts, asked));
        }
        match self.successor(&candidates[at + 1..], asked) {
            // Between the rename and the creation of the new file, or rotated for good.
            Ok(None) => Ok(same(file, facts, asked)),
            Ok(Some(next)) => Ok(next),
            Err(nothing) => Err(nothing),
        }
    }

    /// The first of `later` that can be served.
    fn successor(
        &self,
        later: &[Candidate],
        asked: Position,
    ) -> Result<Option<Generation<L::File>>, Nothing> {
        let mut verdict = Verdict::Found;
        for next in later {
            if !next.compressed {
                match self.open_listed(next) {
                    Err(Nothing::Closed) => {}
                    other => {
                        let (file, facts) = other?;
                        return Ok(Some(generation(file, facts, Some(asked), verdict)));
                    }
                }
            }
            verdict = Verdict::Lost;
        }
        Ok(None)
    }

    /// The current file, to a fetcher whose generation is not there.
    fn lost(
        &self,
        candidates: &[Candidate],
        asked: Position,
    ) -> Result<Generation<L::File>, Nothing> {
        let current = candidates.last().filter(|one| one.current).ok_or(Nothing::Refused)?;
        let (file, facts) = self.open_listed(current)?;
        if is_asked(&facts, asked) {
            return Err(Nothing::Changed);
        }
        Ok(generation(file, facts, Some(asked), Verdict::Lost))
    }

    /// Whether all of a rotated file was sent and it grows no more.
    fn is_complete(&self, file: &L::File, facts: &FileFacts, offset: Offset) -> bool {
        if facts.size != offset {
            return false;
        }
        // The size after the lease counts: what was written before is in it, and nobody is left
        // to write more.
        let writers = self.logs.writers(file);
        self.logs.facts(file).is_ok_and(|facts| facts.size == offset)
            && is_over(writers, quiet_since(facts, self.wall_ns), self.linger)
    }

    /// All candidates, the oldest first, seen twice in a row.
    fn candidates(&self, served: &Served) -> Option<Vec<Candidate>> {
        let mut before = self.list(served)?;
        for _ in 0..LOOKS_MAX {
            let after = self.list(served)?;
            let agree = before.len() == after.len()
                && before.iter().zip(&after).all(|(one, other)| {
                    one.path == other.path && one.facts.same_file(&other.facts)
                });
            if agree {
                return Some(after);
            }
            before = after;
        }
        None
    }

    /// All candidates as they are now, the oldest first; `None` if a directory can't be read for
    /// want of descriptors and the like, which must not look as if it were empty.
    fn list(&self, served: &Served) -> Option<Vec<Candidate>> {
        let mut rotated = Vec::new();
        let mut seen = HashSet::new();
        for place in &served.rotated {
            let names = match self.logs.names(&place.dir, NAMES_MAX) {
                Ok(names) => names,
                Err(error) if is_gone_or_closed(&error) => continue,
                Err(_) => return None,
            };
            for name in names.iter().filter(|name| place.names.matches(name)) {
                let path = place.dir.join(name);
                if !self.files.is_current(&path) && seen.insert(path.clone()) {
                    rotated.extend(self.candidate(served, path));
                }
            }
        }
        // What is being compressed has two names for a while: the plain one counts.
        rotated.retain(|one| match plain_name(one.path.as_os_str().as_bytes()) {
            Some(plain) if one.compressed => !seen.contains(Path::new(OsStr::from_bytes(plain))),
            _ => true,
        });
        rotated.sort_by(|a, b| {
            let key = |one: &Candidate| (one.facts.modified_ns, one.rank.clone());
            key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
        });
        // A file with two names is one candidate, and the current file is no rotated one.
        let current = self.candidate(served, served.path.clone());
        let mut known: HashSet<_> = current.iter().map(identity).collect();
        rotated.retain(|one| known.insert(identity(one)));
        rotated.extend(current);
        Some(rotated)
    }

    fn candidate(&self, served: &Served, path: PathBuf) -> Option<Candidate> {
        let facts = self.logs.facts_at(&path).ok()?.filter(|facts| facts.regular)?;
        let current = path == served.path;
        let name = path.file_name()?.as_bytes();
        let rank = Rank::of(served.path.file_name()?.as_bytes(), name);
        let compressed = !current && plain_name(name).is_some();
        Some(Candidate { facts, rank, compressed, current, path })
    }

    /// Opens a candidate, and makes sure that it is the one that was listed.
    fn open_listed(&self, candidate: &Candidate) -> Result<(L::File, FileFacts), Nothing> {
        let (file, facts) = self.open(&candidate.path)?;
        if facts.same_file(&candidate.facts) { Ok((file, facts)) } else { Err(Nothing::Changed) }
    }

    fn open(&self, path: &Path) -> Result<(L::File, FileFacts), Nothing> {
        let file = self.logs.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Nothing::Changed,
            _ if is_gone_or_closed(&error) => Nothing::Closed,
            _ => Nothing::Refused,
        })?;
        let facts = self.logs.facts(&file).map_err(|_| Nothing::Refused)?;
        if facts.regular { Ok((file, facts)) } else { Err(Nothing::Closed) }
    }
}

/// Whether an error says something of the file, rather than of the means to look at it.
fn is_gone_or_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | PermissionDenied | InvalidInput | NotADirectory)
        || error.raw_os_error() == Some(libc::ELOOP)
}

fn identity(candidate: &Candidate) -> (u64, u64) {
    (candidate.facts.device, candidate.facts.id.inode)
}

/// Whether a file can be the one asked for: protocol 1 has only number and size to tell it by.
fn is_asked(facts: &FileFacts, asked: Position) -> bool {
    facts.id.inode == asked.inode.number() && facts.size >= asked.offset
}

/// The generation asked for, from where the fetcher is; under the very name it has for it.
fn same<F>(file: F, facts: FileFacts, asked: Position) -> Generation<F> {
    let status = Status { verdict: Verdict::Found, inode: asked.inode };
    Generation { file, facts, status, from: asked.offset }
}

/// Another generation than the one asked for, from its beginning; under another name than that.
fn generation<F>(
    file: F,
    facts: FileFacts,
    asked: Option<Position>,
    verdict: Verdict,
) -> Generation<F> {
    let plain = Inode::new(facts.id.inode);
    let inode = match asked {
        Some(asked) if asked.inode.number() == plain.number() => asked.inode.renamed(),
        _ => plain,
    };
    Generation { file, facts, status: Status { verdict, inode }, from: 0 }
}
