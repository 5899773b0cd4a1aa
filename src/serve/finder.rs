//! Which file has the bytes that a fetcher asks for.
//!
//! The candidates are the current file, at the served path, and the rotated ones, whose names match
//! the patterns, from the oldest to the newest ([`order`](super::order)). A protocol 1 request
//! names a generation by its inode number, so number and size decide:
//!
//! 1. A candidate with that number and at least `offset` bytes is the one asked for, and goes on
//!    there; but a rotated one that has been sent whole and grows no more is over, and then its
//!    successor begins: the *next* candidate, never simply the current file.
//! 2. One with that number and fewer bytes was truncated, or its number was given to another file:
//!    the answer is `L` and that file from 0, under [another name](crate::pos::Inode::renamed) of
//!    the number.
//! 3. None: `L` and the current file.
//!
//! A compressed candidate has its place in the order, but not the bytes of its generation: to step
//! over one is told as `L`. In protocol 2 it is [unpacked](packed).
//!
//! A rotated file that is only a copy of the beginning of another one is stepped over without a
//! word.
//!
//! Files are renamed, removed and made while this looks. So a list counts only when it was the same
//! twice in a row (a rename under way could hide a generation from a single look, and it would be
//! skipped), and a file only when what was opened is what was listed. Otherwise it looks again, a
//! few times; then the fetcher gets no answer and asks again.
//!
//! A protocol 2 request says more, and [`content`] decides then.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::files::{Files, Served};
use super::tail::is_over;
use crate::pos::{FileFacts, Inode, Offset, Position};
use crate::proto::refusal::Code;
use crate::proto::status::{Status, Verdict};
use crate::sys::cause::cause;
use crate::sys::logs::Logs;

use candidates::Candidate;

mod candidates;
pub mod content;
mod copies;
pub mod packed;

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
    /// How long it has been without its name and nothing was written to it; nothing for the current
    /// file.
    pub quiet: Duration,
}

/// Why nothing is served.
#[derive(PartialEq, Eq, Debug)]
pub struct Unserved {
    /// For a fetcher of protocol 2. One of protocol 1 is told nothing.
    pub code: Code,
    /// For people.
    pub why: String,
}

impl Unserved {
    /// Nobody may ask for it.
    pub(super) fn not_configured() -> Unserved {
        let why = "it is not in the configuration".to_owned();
        Unserved { code: Code::NotServed, why }
    }

    /// There is nothing at the path.
    fn missing() -> Unserved {
        Unserved { code: Code::Missing, why: "there is no such file".to_owned() }
    }

    /// The system has no means for it now.
    fn busy(why: String) -> Unserved {
        Unserved { code: Code::Busy, why }
    }

    /// It can't be read.
    pub fn unreadable(error: io::Error) -> Unserved {
        Unserved::busy(format!("it cannot be read: {}", cause(&error)))
    }

    /// The files were others each time they were looked at.
    fn restless() -> Unserved {
        Unserved::busy("its files are renamed all the time".to_owned())
    }
}

/// Why there is nothing to serve.
#[derive(Debug)]
enum Nothing {
    /// The files changed meanwhile: look again.
    Changed,
    /// This file is kept from us, or not a log: as good as gone. Why.
    Closed(String),
    /// The system has no means for it now, or there is no such file.
    Refused(Unserved),
}

impl Nothing {
    /// What to say of it where only the current file would do.
    fn of_current(self) -> Unserved {
        match self {
            Nothing::Changed => Unserved::missing(),
            Nothing::Closed(why) => Unserved { code: Code::Missing, why },
            Nothing::Refused(unserved) => unserved,
        }
    }
}

impl<L: Logs> Finder<'_, L> {
    /// The generation to serve to a fetcher of protocol 1 that has `have`.
    pub fn find(
        &self,
        served: &Served,
        have: Option<Position>,
    ) -> Result<Generation<L::File>, Unserved> {
        let current = self.open(&served.path);
        let Some(asked) = have else {
            let (file, facts) = current.map_err(Nothing::of_current)?;
            return Ok(generation(file, facts, None, Verdict::Found, Duration::ZERO));
        };
        // Mostly the current file is meant. It comes first among its equals anyway, so no
        // directory needs to be read then.
        if let Ok((file, facts)) = current
            && is_asked(&facts, asked)
        {
            return Ok(same(file, facts, asked, Duration::ZERO));
        }
        self.look_again(|| self.choose(&self.candidates(served)?, asked))
    }

    /// What `look` finds, once the files do not change under it.
    fn look_again<T>(&self, mut look: impl FnMut() -> Result<T, Nothing>) -> Result<T, Unserved> {
        for _ in 0..LOOKS_MAX {
            match look() {
                Err(Nothing::Changed) => {}
                found => return found.map_err(Nothing::of_current),
            }
        }
        Err(Unserved::restless())
    }

    /// Whether a fetcher that has all of the file known by `facts` would be given a later one.
    pub fn has_successor(&self, served: &Served, facts: &FileFacts) -> bool {
        let Ok(candidates) = self.candidates(served) else { return false };
        let Some(at) = candidates.iter().position(|one| one.facts.same_file(facts)) else {
            return false;
        };
        (at + 1..candidates.len()).any(|next| {
            let one = &candidates[next];
            one.is_plain()
                && self.open(&one.path).is_ok()
                && !self.is_copy(&candidates, next).unwrap_or(true)
        })
    }

    fn choose(
        &self,
        candidates: &[Candidate],
        asked: Position,
    ) -> Result<Generation<L::File>, Nothing> {
        let fits = |one: &Candidate| one.is_plain() && is_asked(&one.facts, asked);
        let found = match candidates.last() {
            Some(last) if last.current && fits(last) => Some(candidates.len() - 1),
            _ => candidates.iter().position(fits),
        };
        let Some(at) = found else { return self.lost(candidates, asked) };
        let (file, facts) = match self.open_listed(&candidates[at]) {
            Err(Nothing::Closed(_)) => return self.lost(candidates, asked),
            other => other?,
        };
        if !is_asked(&facts, asked) {
            return Err(Nothing::Changed);
        }
        if candidates[at].current {
            return Ok(same(file, facts, asked, Duration::ZERO));
        }
        let later = &candidates[at + 1..];
        let quiet = self.quiet(&facts, later);
        if !self.is_complete(&file, &facts, asked.offset, quiet) {
            return Ok(same(file, facts, asked, quiet));
        }
        // Without a successor this is between a rename and the creation of the new file.
        let next = self.successor(candidates, at, asked)?;
        Ok(next.unwrap_or_else(|| same(file, facts, asked, quiet)))
    }

    /// The first behind the one at `at` that can be served.
    fn successor(
        &self,
        candidates: &[Candidate],
        at: usize,
        asked: Position,
    ) -> Result<Option<Generation<L::File>>, Nothing> {
        let mut verdict = Verdict::Found;
        for (at, next) in candidates.iter().enumerate().skip(at + 1) {
            if self.is_copy(candidates, at)? {
                continue;
            }
            if next.is_plain() {
                match self.open_listed(next) {
                    Err(Nothing::Closed(_)) => {}
                    other => {
                        let (file, facts) = other?;
                        let quiet = self.quiet(&facts, &candidates[at + 1..]);
                        return Ok(Some(generation(file, facts, Some(asked), verdict, quiet)));
                    }
                }
            }
            verdict = Verdict::Lost;
        }
        Ok(None)
    }

    /// What begins for a fetcher whose generation is not there: a rotated file that took its number,
    /// or was cut in place before it was rotated, since what is in it would be skipped; else the
    /// current file.
    fn lost(
        &self,
        candidates: &[Candidate],
        asked: Position,
    ) -> Result<Generation<L::File>, Nothing> {
        let number = asked.inode.number();
        let renewed = |one: &Candidate| {
            one.is_plain() && one.facts.id.inode == number && one.facts.size < asked.offset
        };
        if let Some(at) = candidates.iter().position(renewed) {
            match self.open_listed(&candidates[at]) {
                Err(Nothing::Closed(_)) => {}
                other => return self.begin_lost(other?, &candidates[at..], asked),
            }
        }
        let missing = || Nothing::Refused(Unserved::missing());
        let current = candidates.last().filter(|one| one.current).ok_or_else(missing)?;
        self.begin_lost(self.open_listed(current)?, &[], asked)
    }

    /// The first of `from_here`, opened, from its beginning.
    fn begin_lost(
        &self,
        (file, facts): (L::File, FileFacts),
        from_here: &[Candidate],
        asked: Position,
    ) -> Result<Generation<L::File>, Nothing> {
        if is_asked(&facts, asked) {
            return Err(Nothing::Changed);
        }
        let quiet = self.quiet(&facts, from_here.get(1..).unwrap_or_default());
        Ok(generation(file, facts, Some(asked), Verdict::Lost, quiet))
    }

    /// Whether all of a rotated file was sent and it grows no more.
    fn is_complete(
        &self,
        file: &L::File,
        facts: &FileFacts,
        offset: Offset,
        quiet: Duration,
    ) -> bool {
        if facts.size != offset {
            return false;
        }
        // The size after the lease counts: what was written before is in it, and nobody is left
        // to write more.
        let writers = self.logs.writers(file);
        self.logs.facts(file).is_ok_and(|facts| facts.size == offset)
            && is_over(writers, quiet, self.linger)
    }

    /// How long a file has been without its name and nothing was written to it; a time that lies
    /// ahead counts as now. It lost its name no later than the next of `later` was made, and a log
    /// that was quiet before may be written to once more before its daemon opens that one.
    fn quiet(&self, facts: &FileFacts, later: &[Candidate]) -> Duration {
        let next = later.iter().find(|one| one.is_plain());
        let Some(next) = next else { return Duration::ZERO };
        let since = next.facts.id.birth_ns.unwrap_or(0).max(facts.modified_ns);
        Duration::from_nanos(self.wall_ns.saturating_sub(since))
    }

    /// Opens a candidate, and makes sure that it is the one that was listed.
    fn open_listed(&self, candidate: &Candidate) -> Result<(L::File, FileFacts), Nothing> {
        let (file, facts) = self.open(&candidate.path)?;
        if facts.same_file(&candidate.facts) { Ok((file, facts)) } else { Err(Nothing::Changed) }
    }

    fn open(&self, path: &Path) -> Result<(L::File, FileFacts), Nothing> {
        let file = self.logs.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Nothing::Changed,
            _ if is_gone_or_closed(&error) => Nothing::Closed(cannot("open", path, &error)),
            _ => Nothing::Refused(Unserved::busy(cannot("open", path, &error))),
        })?;
        let facts = self.logs.facts(&file);
        let facts = facts
            .map_err(|error| Nothing::Refused(Unserved::busy(cannot("look at", path, &error))))?;
        if facts.regular {
            Ok((file, facts))
        } else {
            Err(Nothing::Closed(format!("{} is no regular file", path.display())))
        }
    }
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {verb} {}: {}", path.display(), cause(error))
}

/// Whether an error says something of the file, rather than of the means to look at it.
pub(super) fn is_gone_or_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | PermissionDenied | InvalidInput | NotADirectory)
        || error.raw_os_error() == Some(libc::ELOOP)
}

/// Whether a file can be the one asked for: protocol 1 has only number and size to tell it by.
fn is_asked(facts: &FileFacts, asked: Position) -> bool {
    facts.id.inode == asked.inode.number() && facts.size >= asked.offset
}

/// The generation asked for, from where the fetcher is; under the very name it has for it.
fn same<F>(file: F, facts: FileFacts, asked: Position, quiet: Duration) -> Generation<F> {
    let status = Status { verdict: Verdict::Found, inode: asked.inode };
    Generation { file, facts, status, from: asked.offset, quiet }
}

/// Another generation than the one asked for, from its beginning; under another name than that.
fn generation<F>(
    file: F,
    facts: FileFacts,
    asked: Option<Position>,
    verdict: Verdict,
    quiet: Duration,
) -> Generation<F> {
    let plain = Inode::new(facts.id.inode);
    let inode = match asked {
        Some(asked) if asked.inode.number() == plain.number() => asked.inode.renamed(),
        _ => plain,
    };
    Generation { file, facts, status: Status { verdict, inode }, from: 0, quiet }
}

#[cfg(test)]
mod tests;
