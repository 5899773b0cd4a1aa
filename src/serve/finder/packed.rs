//! Generations that were compressed: they are compared and served as what they were.
//!
//! One pass leads from the beginning to the offset asked for. The samples are compared on the way, the
//! shorter of them, which is mostly that of the beginning, soon; and what is served goes on where the
//! comparison ended. So nothing is read twice, and nothing is written.
//!
//! A file that ends early may be one that is just being compressed: as long as somebody has it open for
//! writing, and until it was left alone for the linger time. It is waited for. Otherwise it is damaged:
//! what is before the damage is served, and what is behind it is lost.

use std::time::Duration;

use super::candidates::Candidate;
use super::content::Wanted;
use super::{Finder, Nothing, Unserved};
use crate::pos::{FileFacts, Offset, Writers};
use crate::proto::ALIVE;
use crate::proto::asked::Sample;
use crate::proto::digest::Digester;
use crate::proto::serve::mask;
use crate::serve::sentences;
use crate::serve::unpacking::{Ending, Unpacking};
use crate::sys::logs::Logs;
use crate::sys::unpack::{Format, Unpacker};

/// Where the bytes of a generation come from.
#[derive(Debug)]
pub enum Body<F> {
    /// The file.
    Plain(F),
    /// The file, and what it held, from the first byte to be served on.
    Packed(F, Box<Unpacking>),
}

impl<F> Body<F> {
    /// The file, compressed or not.
    pub fn file(&self) -> &F {
        match self {
            Body::Plain(file) | Body::Packed(file, _) => file,
        }
    }
}

/// What a compressed file turned out to be.
pub(super) enum Reached {
    /// It has the samples asked for, and stands at the offset.
    Here,
    /// It has other bytes before the offset.
    Differs,
    /// It has fewer bytes than the offset.
    Short,
    /// It can't be read as far as the offset, and why.
    Damaged(String),
}

impl<L: Logs> Finder<'_, L> {
    /// The bytes of an open compressed file.
    pub(super) fn unpack(&self, format: Format, file: &L::File) -> Result<Unpacking, Nothing> {
        let stream = self.logs.stream(file).map_err(|error| {
            Nothing::Refused(Unserved::busy(format!("cannot unpack it: {error}")))
        })?;
        Ok(Unpacking::new(Unpacker::new(format, stream)))
    }

    /// Goes to the offset asked for, comparing what is asked about the bytes before it.
    pub(super) fn reach(
        &self,
        wanted: &Wanted<'_>,
        unpacking: &mut Unpacking,
    ) -> Result<Reached, Nothing> {
        let offset = wanted.have.offset;
        let mut probes: Vec<Probe> = wanted.samples().map(Probe::new).collect();
        let mut at = 0;
        while at < offset {
            self.logs
                .check_wanted()
                .map_err(|error| Nothing::Refused(Unserved::busy(error.to_string())))?;
            unpacking.refill();
            match unpacking.ending() {
                Some(Ending::Whole) => return Ok(Reached::Short),
                Some(Ending::Damaged(why)) => return Ok(Reached::Damaged(why.clone())),
                None => {}
            }
            let rest = unpacking.rest();
            let left = usize::try_from(offset - at).unwrap_or(usize::MAX);
            let bytes = &rest[..rest.len().min(left)];
            if !probes.iter_mut().all(|probe| probe.agrees(at, bytes)) {
                return Ok(Reached::Differs);
            }
            let count = bytes.len();
            at += count as Offset;
            unpacking.consume(count);
        }
        // So that it is known whether it goes on.
        unpacking.refill();
        Ok(Reached::Here)
    }

    /// What to do about a file that can't be read any further, and `why`: it is waited for as long as
    /// somebody may be writing it.
    pub(super) fn check_unfinished(
        &self,
        one: &Candidate,
        file: &L::File,
        facts: &FileFacts,
        why: &str,
    ) -> Result<(), Nothing> {
        if is_unfinished(self.logs, file, facts, self.linger, self.wall_ns) {
            let why = format!("{} is being compressed", one.path.display());
            return Err(Nothing::Refused(Unserved::busy(why)));
        }
        sentences::damaged(&one.path, why);
        Ok(())
    }
}

/// Whether more may come of a compressed file that ends early.
pub fn is_unfinished<L: Logs>(
    logs: &L,
    file: &L::File,
    facts: &FileFacts,
    linger: Duration,
    wall_ns: u64,
) -> bool {
    let quiet = Duration::from_nanos(wall_ns.saturating_sub(facts.modified_ns));
    logs.writers(file) == Writers::Somebody || quiet < linger
}

/// A sample that is compared while the bytes go by.
struct Probe {
    from: Offset,
    to: Offset,
    sample: Sample,
    exact: Digester,
    /// As protocol 1 sends them, from the first byte on that it sends as another.
    masked: Option<Digester>,
}

impl Probe {
    fn new((from, sample): (Offset, Sample)) -> Probe {
        let to = from.saturating_add(sample.len);
        Probe { from, to, sample, exact: Digester::new(), masked: None }
    }

    /// Takes the bytes at `at`. False: these are not the bytes.
    fn agrees(&mut self, at: Offset, bytes: &[u8]) -> bool {
        let end = at + bytes.len() as Offset;
        let (first, last) = (self.from.max(at), self.to.min(end));
        if first >= last {
            return true;
        }
        let bytes = &bytes[(first - at) as usize..(last - at) as usize];
        if self.masked.is_none() && memchr::memchr(ALIVE, bytes).is_some() {
            self.masked = Some(self.exact.clone());
        }
        if let Some(masked) = &mut self.masked {
            let mut copy = bytes.to_vec();
            mask(&mut copy);
            masked.update(&copy);
        }
        self.exact.update(bytes);
        last < self.to || self.fits()
    }

    fn fits(&self) -> bool {
        let digests = [Some(&self.exact), self.masked.as_ref()];
        digests.into_iter().flatten().any(|digester| digester.digest() == self.sample.digest)
    }
}

#[cfg(test)]
mod tests;
