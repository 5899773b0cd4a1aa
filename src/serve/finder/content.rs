//! Which file has the bytes that a protocol 2 request asks for: identity and content decide.
//!
//! 0. Where a rotated file has the digests as well, was born after the current file and changed after the
//!    fetcher heard of it, and the current file does not begin with it, the current file was emptied in
//!    place after that copy of it was made: the copy is meant, the oldest of them. Where births are not known
//!    it is enough that the current file was changed last; but if its number is all that tells it, it may have
//!    been given that since: then what was asked for is gone.
//! 1. A candidate with the number asked for, at least `offset` bytes and, as far as the request tells
//!    them, its identity and its digests: `same`. The number alone is never enough if more is told.
//! 2. Else a candidate in which the digests are right: what `copytruncate` made, what a backup brought
//!    back, another file with the same beginning. First those changed since the fetcher heard of its
//!    file, the oldest of them first, since to take a newer one would skip what is between.
//! 3. One that was found, is rotated, has no byte more and grows no more: its successor, as ever.
//! 4. None: `L`, why, and the oldest candidate that is later than what was asked for; else the
//!    current one.
//!
//! What was seen of a file counts as it was before the comparison, and the bytes around the offset are looked at
//! once more after it, and by the [seam](crate::serve::seam) with each read from then on: so what is sent is
//! what was compared.
//!
//! To compare is to read, so this is done beside the loop. How much may be read is not limited: it goes
//! through one small buffer, ends when the fetcher goes away, and to leave a file out would be to call
//! it lost. The shorter sample is compared first, since it mostly tells a file apart.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fits::Fit;
use later::Later;

use super::candidates::Candidate;
use super::packed::{Body, Reached};
use super::{Finder, Nothing, Unserved};
use crate::pos::{FileFacts, Inode, Offset, PATH_BYTES_MAX, Position, Start, Token};
use crate::proto::answer::{Answer, File, Why};
use crate::proto::ask::Extent;
use crate::proto::asked::{Asked, Sample};
use crate::serve::files::Served;
use crate::serve::seam::Seam;
use crate::serve::unpacking::{Ending, Unpacking};
use crate::sys::logs::Logs;

mod emptied;
mod fits;
mod later;

/// Bytes read at once to be compared.
const PIECE_BYTES: usize = 64 << 10;

/// The longest samples that are compared at once. Those of our fetcher have 68 KiB mostly.
const AT_ONCE_BYTES: Offset = 1 << 20;

/// A generation found for a protocol 2 request, and opened.
#[derive(Debug)]
pub struct Match<F> {
    /// Its bytes.
    pub body: Body<F>,
    /// What was seen of the open file, the inode's generation included.
    pub facts: FileFacts,
    /// How it relates to what the fetcher has.
    pub how: File,
    /// Where to begin.
    pub from: Offset,
    /// Bytes of the generation as far as they are known.
    pub size: Offset,
    /// The time of its last change, as it is told.
    pub mtime_ns: u64,
    /// How long it has been without its name and nothing was written to it; nothing for the current
    /// file.
    pub quiet: Duration,
    /// Where it is, if that is not the served path.
    pub rotated: Option<PathBuf>,
    /// What is before `from`, where the fetcher will never have it.
    pub tail: Option<Sample>,
    /// What a plain file has where it is sent from: taken before it was compared.
    pub seam: Seam,
}

impl<F> Match<F> {
    /// The status line that tells of it.
    pub fn answer(&self, boot: Token) -> Answer {
        Answer {
            inode: Inode::new(self.facts.id.inode),
            file: self.how,
            id: match self.body {
                Body::Plain(_) => Token::of_file(&self.facts.id),
                Body::Packed(..) => Token::of_packed_file(&self.facts.id),
            },
            boot,
            from: self.from,
            size: self.size,
            mtime_ns: self.mtime_ns,
            name: self.rotated.as_deref().map(told_as),
            tail: self.tail,
        }
    }
}

/// A path as it is told: of one that is too long its last name.
fn told_as(path: &Path) -> Vec<u8> {
    let name = path.as_os_str().as_bytes();
    if name.len() <= PATH_BYTES_MAX {
        return name.to_vec();
    }
    [b"/", path.file_name().unwrap_or_default().as_bytes()].concat()
}

/// An open file, and what was seen of it before anything in it was compared.
struct Opened<F> {
    body: Body<F>,
    facts: FileFacts,
    /// What a plain file has where it is to be sent from.
    seam: Seam,
}

impl<F> Opened<F> {
    fn packed(file: F, unpacking: Unpacking, facts: FileFacts) -> Opened<F> {
        let body = Body::Packed(file, Box::new(unpacking));
        Opened { body, facts, seam: Seam::default() }
    }
}

/// The number of a candidate, and the candidate.
type Placed<F> = (usize, Opened<F>);

/// Where the generation asked for is.
enum Located<F> {
    /// In the candidate of this number.
    Here(usize, Opened<F>),
    /// In none, and why.
    Nowhere(Why),
}

/// What a candidate turned out to be.
enum Tried<F> {
    /// The one asked for; a compressed one stands at the offset.
    Same(Opened<F>),
    /// Another one, and why if that can be told.
    Other(Option<Why>),
    /// It is being compressed, so it may be the one.
    Unfinished(Unserved),
}

/// What is looked for.
pub(super) struct Wanted<'a> {
    pub(super) have: Position,
    asked: &'a Asked,
}

impl Wanted<'_> {
    fn has_number(&self, facts: &FileFacts) -> bool {
        facts.id.inode == self.have.inode.number()
    }

    /// Where each sample begins, the shorter one first.
    pub(super) fn samples(&self) -> impl Iterator<Item = (Offset, Sample)> {
        let tail = self.asked.tail;
        let tail = tail.map(|sample| (self.have.offset.saturating_sub(sample.len), sample));
        let head = self.asked.head.map(|sample| (0, sample));
        let mut samples = [tail, head];
        samples.sort_by_key(|sample| sample.map(|(_, sample)| sample.len));
        samples.into_iter().flatten()
    }

    fn has_samples(&self) -> bool {
        self.asked.tail.is_some() || self.asked.head.is_some()
    }
}

impl<L: Logs> Finder<'_, L> {
    /// The generation to serve to a fetcher of protocol 2 that has `have` and says what it `asked`.
    pub fn compare(
        &self,
        served: &Served,
        have: Option<Position>,
        asked: &Asked,
    ) -> Result<Match<L::File>, Unserved> {
        let Some(have) = have else { return self.begin(served, asked.start) };
        let wanted = Wanted { have, asked };
        let mut buffer = vec![0; PIECE_BYTES];
        if let Some(opened) = self.current(served, &wanted, &mut buffer) {
            return Ok(self.found(None, opened, File::Same, have.offset, Duration::ZERO));
        }
        self.look_again(|| {
            let candidates = self.candidates(served)?;
            let found = match self.locate(&candidates, &wanted, &mut buffer)? {
                Located::Here(at, opened) => self.go_on(&candidates, at, opened, have)?,
                Located::Nowhere(why) => self.after_lost(&candidates, &wanted, why)?,
            };
            // A log that was emptied in place since it was listed begins with another generation, and
            // the copy that was made of it before is what follows. Nor was anything compared for the first byte.
            let compared = found.how == File::Same && wanted.has_samples();
            if !compared && found.rotated.is_none() {
                self.check_unchanged(served, &candidates)?;
            }
            // A copy that was still being made then may have by now what is missing.
            if matches!(found.how, File::Lost(_)) {
                self.check_settled(served, &candidates)?;
            }
            Ok(found)
        })
    }

    /// The same where the current file is enough for it and little has to be read; `None`: it has to be
    /// looked for.
    pub fn compare_at_once(
        &self,
        served: &Served,
        have: Option<Position>,
        asked: &Asked,
    ) -> Option<Result<Match<L::File>, Unserved>> {
        let Some(have) = have else {
            return (asked.start != Start::History).then(|| self.begin(served, asked.start));
        };
        let wanted = Wanted { have, asked };
        let len: Offset = wanted.samples().map(|(_, sample)| sample.len).sum();
        if len > AT_ONCE_BYTES {
            return None;
        }
        let opened = self.current(served, &wanted, &mut vec![0; PIECE_BYTES])?;
        Some(Ok(self.found(None, opened, File::Same, have.offset, Duration::ZERO)))
    }

    /// The generation of which a range is to be proved, and never another: what would follow it is named
    /// only where it cannot be had. A compressed one is at its beginning.
    pub fn prove(&self, served: &Served, extent: &Extent) -> Result<Match<L::File>, Unserved> {
        let wanted = Wanted { have: extent.to, asked: &extent.asked };
        let mut buffer = vec![0; PIECE_BYTES];
        if let Some(opened) = self.current(served, &wanted, &mut buffer) {
            return Ok(self.found(None, opened, File::Same, extent.from, Duration::ZERO));
        }
        self.look_again(|| {
            let candidates = self.candidates(served)?;
            let (at, opened) = match self.locate(&candidates, &wanted, &mut buffer)? {
                Located::Here(at, opened) => (at, opened),
                Located::Nowhere(why) => return self.after_lost(&candidates, &wanted, why),
            };
            let one = &candidates[at];
            let Opened { body, facts, seam } = opened;
            let opened = match (one.packed, body) {
                (Some(format), Body::Packed(file, read)) => {
                    // The first decoder is gone before there is another.
                    drop(read);
                    let unpacking = self.unpack(format, &file)?;
                    Opened::packed(file, unpacking, facts)
                }
                (_, body) => Opened { body, facts, seam },
            };
            let found = self.found(Some(one), opened, File::Same, extent.to.offset, Duration::ZERO);
            Ok(Match { from: extent.from, ..found })
        })
    }

    /// The current file, if it is the one asked for. Mostly it is, and no directory needs to be read.
    fn current(
        &self,
        served: &Served,
        wanted: &Wanted<'_>,
        buffer: &mut [u8],
    ) -> Option<Opened<L::File>> {
        let (file, facts) = self.open(&served.path).ok()?;
        let meant = wanted.has_number(&facts)
            && wanted.asked.seen_ns.is_none_or(|seen| facts.modified_ns <= seen);
        if !meant {
            return None;
        }
        match self.fit_as_it_stays(wanted, buffer, &file, &facts) {
            Ok((Fit::Same, seam)) => Some(Opened { body: Body::Plain(file), facts, seam }),
            _ => None,
        }
    }

    /// What begins where nothing was fetched yet.
    fn begin(&self, served: &Served, start: Start) -> Result<Match<L::File>, Unserved> {
        if start == Start::History {
            return self.look_again(|| {
                let candidates = self.candidates(served)?;
                self.oldest(&candidates, File::First, |_| true)
            });
        }
        let (file, facts) = self.open(&served.path).map_err(Nothing::of_current)?;
        let from = if start == Start::End { facts.size } else { 0 };
        let seam = Seam::around(self.logs, &file, from).map_err(Unserved::unreadable)?;
        // Without it nobody could tell the file from another before its next line comes.
        let tail = self.sample_before(&file, from);
        let opened = Opened { body: Body::Plain(file), facts, seam };
        Ok(Match { tail, ..self.found(None, opened, File::First, from, Duration::ZERO) })
    }

    /// The candidate that is the one asked for.
    fn locate(
        &self,
        candidates: &[Candidate],
        wanted: &Wanted<'_>,
        buffer: &mut [u8],
    ) -> Result<Located<L::File>, Nothing> {
        let mut why = Why::Gone;
        // One that could not be looked into now may be the one, if no other is.
        let mut unclear = None;
        let all = || candidates.iter().enumerate().filter(|(_, one)| one.is_readable());
        for (at, one) in all().rev().filter(|(_, one)| wanted.has_number(&one.facts)) {
            match self.try_one(one, wanted, buffer) {
                Ok(Tried::Same(opened)) => {
                    let copy = self.copied_before(candidates, at, &opened, wanted, buffer)?;
                    return Ok(match copy {
                        Some((copy, _))
                            if self.has_only_number(&opened, wanted)
                                && !is_older_left(&candidates[..copy], wanted) =>
                        {
                            Located::Nowhere(Why::Gone)
                        }
                        Some((at, copy)) => Located::Here(at, copy),
                        None => Located::Here(at, opened),
                    });
                }
                Ok(Tried::Other(told)) => why = told.unwrap_or(why),
                Ok(Tried::Unfinished(unserved)) => unclear = Some(unserved),
                Err(Nothing::Closed(_)) => {}
                // For want of means: what has the number is the one before all that only begin alike.
                Err(nothing) => return Err(nothing),
            }
        }
        if wanted.has_samples() {
            let seen = wanted.asked.seen_ns.unwrap_or(0);
            let newer = |one: &Candidate| one.facts.modified_ns >= seen;
            let others = || all().filter(|(_, one)| !wanted.has_number(&one.facts));
            let since = others().filter(|(_, one)| newer(one));
            let before = others().rev().filter(|(_, one)| !newer(one));
            for (at, one) in since.chain(before) {
                if !one.compressed && one.facts.size < wanted.have.offset {
                    continue;
                }
                // A file that cannot be read can't be told to be the one; the others may be.
                match self.try_one(one, wanted, buffer) {
                    Ok(Tried::Same(opened)) => return Ok(Located::Here(at, opened)),
                    Ok(Tried::Unfinished(unserved)) | Err(Nothing::Refused(unserved)) => {
                        unclear = Some(unserved);
                    }
                    // A search may take long, and files are renamed meanwhile.
                    Err(Nothing::Changed) => return Err(Nothing::Changed),
                    Ok(Tried::Other(_)) | Err(Nothing::Closed(_)) => {}
                }
            }
        }
        match unclear {
            Some(unserved) => Err(Nothing::Refused(unserved)),
            None => Ok(Located::Nowhere(why)),
        }
    }

    /// Whether a candidate is the one asked for.
    fn try_one(
        &self,
        one: &Candidate,
        wanted: &Wanted<'_>,
        buffer: &mut [u8],
    ) -> Result<Tried<L::File>, Nothing> {
        let (file, facts) = self.open_listed(one)?;
        let Some(format) = one.packed else {
            let (fit, seam) = self.fit_as_it_stays(wanted, buffer, &file, &facts)?;
            return Ok(match fit {
                Fit::Same => Tried::Same(Opened { body: Body::Plain(file), facts, seam }),
                Fit::Other => Tried::Other(None),
                Fit::Differs => Tried::Other(Some(Why::Digest)),
                Fit::Short => Tried::Other(Some(Why::Short)),
            });
        };
        if !wanted.has_samples() && !self.is_known(wanted, &file, &facts, Token::of_packed_file) {
            return Ok(Tried::Other(None));
        }
        let mut unpacking = self.unpack(format, &file)?;
        Ok(match self.reach(wanted, &mut unpacking)? {
            Reached::Here => Tried::Same(Opened::packed(file, unpacking, facts)),
            Reached::Differs => Tried::Other(Some(Why::Digest)),
            Reached::Short => Tried::Other(Some(Why::Short)),
            Reached::Damaged(why) => match self.check_unfinished(one, &file, &facts, &why) {
                Err(Nothing::Refused(unserved)) => Tried::Unfinished(unserved),
                other => other.map(|()| Tried::Other(None))?,
            },
        })
    }

    /// What begins where the generation asked for cannot be had: what is later than it.
    fn after_lost(
        &self,
        candidates: &[Candidate],
        wanted: &Wanted<'_>,
        why: Why,
    ) -> Result<Match<L::File>, Nothing> {
        let later = Later::than(wanted, candidates);
        self.oldest(candidates, File::Lost(why), |at| later.has(wanted, candidates, at))
    }

    /// The candidate asked for goes on, or what follows it begins.
    fn go_on(
        &self,
        candidates: &[Candidate],
        at: usize,
        opened: Opened<L::File>,
        have: Position,
    ) -> Result<Match<L::File>, Nothing> {
        let (one, later) = (&candidates[at], &candidates[at + 1..]);
        let Opened { body, facts, .. } = &opened;
        let quiet = if one.current { Duration::ZERO } else { self.quiet(facts, later) };
        let how = match body {
            Body::Plain(file) => {
                let complete = !one.current && self.is_complete(file, facts, have.offset, quiet);
                complete.then_some(File::Next)
            }
            Body::Packed(file, unpacking) => match unpacking.ending() {
                None => None,
                Some(Ending::Whole) => Some(File::Next),
                Some(Ending::Damaged(why)) => {
                    self.check_unfinished(one, file, facts, why)?;
                    Some(File::Lost(Why::Gone))
                }
            },
        };
        if let Some(how) = how {
            if let Some(next) = self.next(candidates, at, how)? {
                return Ok(next);
            }
            if one.compressed {
                // Nobody will write to it, so it can't be followed until there is one.
                return Err(Nothing::Refused(Unserved::missing()));
            }
        }
        Ok(self.found(Some(one), opened, File::Same, have.offset, quiet))
    }

    /// The first behind the one at `ended` that can be served, from its beginning.
    fn next(
        &self,
        candidates: &[Candidate],
        ended: usize,
        how: File,
    ) -> Result<Option<Match<L::File>>, Nothing> {
        let mut how = how;
        for (at, one) in candidates.iter().enumerate().skip(ended + 1) {
            let again = how == File::Next && candidates[ended].is_twin(one);
            if again || self.is_copy(candidates, at)? {
                continue;
            }
            match self.open_first(one) {
                Ok(Some(opened)) => {
                    let quiet = self.quiet(&opened.facts, &candidates[at + 1..]);
                    let mut found = self.found(Some(one), opened, how, 0, quiet);
                    found.mtime_ns = told_behind(&candidates[ended].facts, &found.facts);
                    return Ok(Some(found));
                }
                Ok(None) | Err(Nothing::Closed(_)) => how = File::Lost(Why::Gone),
                Err(nothing) => return Err(nothing),
            }
        }
        Ok(None)
    }

    /// Opens a candidate to be served from its beginning; nothing if none of its bytes can be had.
    fn open_first(&self, one: &Candidate) -> Result<Option<Opened<L::File>>, Nothing> {
        if !one.is_readable() {
            return Ok(None);
        }
        let (file, facts) = self.open_listed(one)?;
        let Some(format) = one.packed else {
            let seam = Seam::around(self.logs, &file, 0)
                .map_err(|error| Nothing::Refused(Unserved::unreadable(error)))?;
            return Ok(Some(Opened { body: Body::Plain(file), facts, seam }));
        };
        let mut unpacking = self.unpack(format, &file)?;
        unpacking.refill();
        if let Some(Ending::Damaged(why)) = unpacking.ending() {
            self.check_unfinished(one, &file, &facts, why)?;
            return Ok(None);
        }
        Ok(Some(Opened::packed(file, unpacking, facts)))
    }

    /// The oldest candidate that is `eligible` and can be served, from its beginning; else the
    /// current one.
    fn oldest(
        &self,
        candidates: &[Candidate],
        how: File,
        eligible: impl Fn(usize) -> bool,
    ) -> Result<Match<L::File>, Nothing> {
        for (at, one) in candidates.iter().enumerate() {
            if !(one.current || eligible(at)) || self.is_copy(candidates, at)? {
                continue;
            }
            match self.open_first(one) {
                Ok(Some(opened)) => {
                    let quiet = self.quiet(&opened.facts, &candidates[at + 1..]);
                    return Ok(self.found(Some(one), opened, how, 0, quiet));
                }
                Err(Nothing::Closed(why)) if one.current => return Err(Nothing::Closed(why)),
                Ok(None) | Err(Nothing::Closed(_)) => {}
                Err(nothing) => return Err(nothing),
            }
        }
        Err(Nothing::Refused(Unserved::missing()))
    }

    fn found(
        &self,
        one: Option<&Candidate>,
        opened: Opened<L::File>,
        how: File,
        from: Offset,
        quiet: Duration,
    ) -> Match<L::File> {
        let Opened { body, mut facts, seam } = opened;
        facts.id.generation = self.logs.generation(body.file());
        let size = match &body {
            Body::Plain(_) => facts.size,
            Body::Packed(_, unpacking) => from.saturating_add(unpacking.rest().len() as Offset),
        };
        let rotated = one.filter(|one| !one.current).map(|one| one.path.clone());
        let mtime_ns = facts.modified_ns;
        Match { body, facts, how, from, size, mtime_ns, quiet, rotated, tail: None, seam }
    }
}

/// Whether a file is left that was not changed since the fetcher heard of its own: rotated files are deleted the
/// oldest first, so its own is not deleted.
fn is_older_left(older: &[Candidate], wanted: &Wanted<'_>) -> bool {
    let seen = wanted.asked.seen_ns.unwrap_or(0);
    older.iter().any(|one| !one.closed && one.facts.modified_ns <= seen)
}

/// The time that is told of what follows a copy of which it was emptied in place. A file that is just being
/// emptied has no bytes before it has another time (ext4); with its old time the copy, which is
/// complete at the fetcher, would seem to be newer than what was heard of.
fn told_behind(ended: &FileFacts, next: &FileFacts) -> u64 {
    match (ended.id.birth_ns, next.id.birth_ns) {
        (Some(ended), Some(begun)) if begun > ended => next.modified_ns,
        _ => next.modified_ns.max(ended.modified_ns),
    }
}

#[cfg(test)]
mod tests;
