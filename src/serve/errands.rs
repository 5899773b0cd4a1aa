//! The errands that are run for connections by the threads of [`jobs`](super::jobs).

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::files::{FileNo, Files};
use super::finder::content::Match;
use super::finder::packed::Body;
use super::finder::{Finder, Generation, Unserved};
use super::listing::Listing;
use super::seam::Seam;
use super::session::Answered;
use super::unpacking::Unpacking;
use crate::pos::{FileFacts, Offset, Token};
use crate::proto::answer::Answer;
use crate::proto::ask::Extent;
use crate::proto::digest::{Digester, Whole};
use crate::proto::request::Request;
use crate::sys::logs::{Logs, Stoppable};

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// Bytes hashed before the next errand has its turn.
const HASHED_BYTES: Offset = 16 << 20;

/// How an errand ended.
#[derive(Debug)]
pub enum Done<F> {
    /// What was asked for is open, or there is a reason why not.
    Found(Result<Found<F>, Unserved>),
    /// It is not the current file, so it has to be looked for.
    Elsewhere(Request),
    /// The generation of which a range is to be proved is open, or there is a reason why not.
    Located(Result<Located<F>, Unserved>),
    /// A piece of a range was hashed.
    Hashed(Box<Proof<F>>),
    /// A piece of a compressed file was read.
    Unpacked(Box<Unpacking>),
    /// News were looked for; what is to be told.
    Listed(Box<Listing>, Vec<u8>),
    /// Whether a later generation exists.
    Successor(bool),
    /// It has not ended as it should.
    Failed,
}

/// A generation to be served.
#[derive(Debug)]
pub struct Found<F> {
    /// Its bytes.
    pub body: Body<F>,
    /// What a plain file has where it is sent from.
    pub seam: Seam,
    /// Its size and time of change when it was found.
    pub seen: (Offset, u64),
    /// The answer.
    pub answer: Answered,
    /// The first byte to be sent.
    pub from: Offset,
    /// The file's length.
    pub size: Offset,
    /// How long it has been without its name and nothing was written to it.
    pub quiet: Duration,
}

/// A generation of which a range is to be proved, or what would follow it.
#[derive(Debug)]
pub struct Located<F> {
    /// Its bytes; those of a compressed file from the beginning.
    pub body: Body<F>,
    /// The answer.
    pub answer: Box<Answer>,
    /// The end of the range.
    pub to: Offset,
}

/// A range of a generation that is being hashed.
#[derive(Debug)]
pub struct Proof<F> {
    body: Body<F>,
    /// What was read of a compressed file, and of all others what was hashed.
    at: Offset,
    range: Range<Offset>,
    digester: Digester,
    failed: bool,
}

impl<F> Proof<F> {
    /// Nothing of the range is hashed yet.
    pub fn new(body: Body<F>, range: Range<Offset>) -> Proof<F> {
        let at = match &body {
            Body::Plain(_) => range.start,
            Body::Packed(..) => 0,
        };
        Proof { body, at, range, digester: Digester::new(), failed: false }
    }

    /// The digest, once all of the range is hashed; an error if it cannot be read.
    pub fn result(&self) -> Option<Result<Whole, ()>> {
        if self.failed {
            return Some(Err(()));
        }
        (self.at >= self.range.end).then(|| Ok(self.digester.whole()))
    }

    /// Hashes the next piece.
    pub fn go_on<L: Logs<File = F>>(mut self, logs: &L, stop: &AtomicBool) -> Done<F> {
        let logs = Stoppable { logs, stop };
        let mut buffer = vec![0; READ_BYTES];
        let end = self.range.end.min(self.at.saturating_add(HASHED_BYTES));
        while self.at < end && !self.failed {
            let room =
                usize::try_from(end - self.at).map_or(READ_BYTES, |room| room.min(READ_BYTES));
            let read = match &mut self.body {
                Body::Plain(file) => logs.read_at(file, &mut buffer[..room], self.at),
                Body::Packed(_, unpacking) => logs.check_wanted().map(|()| {
                    unpacking.refill();
                    let count = unpacking.rest().len().min(room);
                    buffer[..count].copy_from_slice(&unpacking.rest()[..count]);
                    unpacking.consume(count);
                    count
                }),
            };
            match read {
                Ok(0) | Err(_) => self.failed = true,
                Ok(count) => {
                    let before = self.range.start.saturating_sub(self.at);
                    let before = usize::try_from(before).map_or(count, |before| before.min(count));
                    self.digester.update(&buffer[before..count]);
                    self.at += count as Offset;
                }
            }
        }
        Done::Hashed(Box::new(self))
    }
}

/// Reads the next piece of a compressed file.
pub fn unpack<F>(mut unpacking: Box<Unpacking>) -> Done<F> {
    unpacking.refill();
    Done::Unpacked(unpacking)
}

/// What it takes to look for a generation. The table is that of the time when it was asked for.
#[derive(Debug)]
pub struct Search<L> {
    /// The file system.
    pub logs: Arc<L>,
    /// What is served.
    pub files: Arc<Files>,
    /// The file asked for.
    pub number: FileNo,
    /// Quiet after which a rotated file has ended.
    pub linger: Duration,
    /// Which run of this host it is.
    pub boot: Token,
}

impl<L: Logs> Search<L> {
    /// Opens what is asked for if that takes no long search, as in protocol 1 it never does.
    pub fn follow_at_once(&self, request: Request, stop: &AtomicBool) -> Done<L::File> {
        let logs = Stoppable { logs: &*self.logs, stop };
        let (finder, served) = (self.finder(&logs), self.files.get(self.number));
        let found = match &request.two {
            None => finder.find(served, request.have).and_then(|found| {
                let Generation { file, facts, status, from, quiet } = found;
                let seam = Seam::around(&logs, &file, from).map_err(Unserved::unreadable)?;
                let (size, seen) = (facts.size, (facts.size, facts.modified_ns));
                let (body, answer) = (Body::Plain(file), Answered::One(status));
                Ok(Found { body, seam, seen, answer, from, size, quiet })
            }),
            Some(asked) => match finder.compare_at_once(served, request.have, asked) {
                Some(found) => found.map(|found| self.answered(found)),
                None => return Done::Elsewhere(request),
            },
        };
        Done::Found(found)
    }

    /// Finds and opens what is asked for in protocol 2, wherever it is.
    pub fn follow(&self, request: &Request, stop: &AtomicBool) -> Done<L::File> {
        let logs = Stoppable { logs: &*self.logs, stop };
        let (finder, served) = (self.finder(&logs), self.files.get(self.number));
        let asked = request.two.as_deref().copied().unwrap_or_default();
        let found = finder.compare(served, request.have, &asked);
        Done::Found(found.map(|found| self.answered(found)))
    }

    fn answered(&self, found: Match<L::File>) -> Found<L::File> {
        let answer = Answered::Two(Box::new(found.answer(self.boot)));
        let Match { body, facts, from, size, quiet, seam, .. } = found;
        Found { body, seam, seen: (facts.size, facts.modified_ns), answer, from, size, quiet }
    }

    /// Finds and opens the generation of which a range is to be proved.
    pub fn locate(&self, extent: &Extent, stop: &AtomicBool) -> Done<L::File> {
        let logs = Stoppable { logs: &*self.logs, stop };
        let found = self.finder(&logs).prove(self.files.get(self.number), extent);
        Done::Located(found.map(|found| {
            let answer = Box::new(found.answer(self.boot));
            Located { body: found.body, answer, to: extent.to.offset }
        }))
    }

    /// Looks whether who has all of the file known by `facts` would be given a later one.
    pub fn successor(&self, facts: &FileFacts, stop: &AtomicBool) -> Done<L::File> {
        let logs = Stoppable { logs: &*self.logs, stop };
        Done::Successor(self.finder(&logs).has_successor(self.files.get(self.number), facts))
    }

    fn finder<'a>(&'a self, logs: &'a Stoppable<'a, L>) -> Finder<'a, Stoppable<'a, L>> {
        Finder { logs, files: &self.files, linger: self.linger, wall_ns: logs.wall_ns() }
    }
}
