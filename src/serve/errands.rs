//! The errands that are run for connections by the threads of [`jobs`](super::jobs).

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::files::{FileNo, Files};
use super::finder::{Finder, Unserved};
use super::session::{Answered, Opening};
use crate::pos::{FileFacts, Offset, Token};
use crate::proto::answer::Answer;
use crate::proto::ask::Extent;
use crate::proto::digest::{Digester, Whole};
use crate::proto::request::Request;
use crate::sys::clock;
use crate::sys::logs::{DiskLogs, Logs, Stoppable};

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// Bytes hashed before the next errand has its turn.
const HASHED_BYTES: Offset = 16 << 20;

/// How an errand ended.
#[derive(Debug)]
pub enum Done {
    /// What was asked for is open, or there is a reason why not.
    Found(Result<Found, Unserved>),
    /// The generation of which a range is to be proved is open, or there is a reason why not.
    Located(Result<Located, Unserved>),
    /// A piece of a range was hashed.
    Hashed(Box<Proof>),
    /// Whether a later generation exists.
    Successor(bool),
    /// It has not ended as it should.
    Failed,
}

/// A generation to be served.
#[derive(Debug)]
pub struct Found {
    /// Its file.
    pub file: File,
    /// What the session is told of it.
    pub opening: Opening,
}

/// A generation of which a range is to be proved, or what would follow it.
#[derive(Debug)]
pub struct Located {
    /// Its file.
    pub file: File,
    /// The answer.
    pub answer: Box<Answer>,
    /// The end of the range.
    pub to: Offset,
}

/// A range of a file that is being hashed.
#[derive(Debug)]
pub struct Proof {
    file: File,
    rest: Range<Offset>,
    digester: Digester,
    failed: bool,
}

impl Proof {
    /// Nothing of the range is hashed yet.
    pub fn new(file: File, range: Range<Offset>) -> Proof {
        Proof { file, rest: range, digester: Digester::new(), failed: false }
    }

    /// The digest, once all of the range is hashed; an error if it cannot be read.
    pub fn result(&self) -> Option<Result<Whole, ()>> {
        if self.failed {
            return Some(Err(()));
        }
        self.rest.is_empty().then(|| Ok(self.digester.whole()))
    }

    /// Hashes the next piece.
    pub fn go_on(mut self, logs: &DiskLogs, stop: &AtomicBool) -> Done {
        let logs = Stoppable { logs, stop };
        let mut buffer = vec![0; READ_BYTES];
        let end = self.rest.end.min(self.rest.start.saturating_add(HASHED_BYTES));
        while self.rest.start < end && !self.failed {
            let room = usize::try_from(end - self.rest.start)
                .map_or(READ_BYTES, |room| room.min(READ_BYTES));
            match logs.read_at(&self.file, &mut buffer[..room], self.rest.start) {
                Ok(0) | Err(_) => self.failed = true,
                Ok(count) => {
                    self.digester.update(&buffer[..count]);
                    self.rest.start += count as Offset;
                }
            }
        }
        Done::Hashed(Box::new(self))
    }
}

/// What it takes to look for a generation. The table is that of the time when it was asked for.
#[derive(Clone, Debug)]
pub struct Search {
    /// The file system.
    pub logs: Arc<DiskLogs>,
    /// What is served.
    pub files: Arc<Files>,
    /// The file asked for.
    pub number: FileNo,
    /// Quiet after which a rotated file has ended.
    pub linger: Duration,
    /// Which run of this host it is.
    pub boot: Token,
}

impl Search {
    /// Finds and opens what is asked for.
    pub fn follow(&self, request: &Request, stop: &AtomicBool) -> Done {
        let logs = Stoppable { logs: &*self.logs, stop };
        let (finder, served) = (self.finder(&logs), self.files.get(self.number));
        let found = match &request.two {
            None => finder.find(served, request.have).map(|found| {
                let answer = Answered::One(found.status);
                let (from, size, quiet) = (found.from, found.facts.size, found.quiet);
                Found { file: found.file, opening: Opening { answer, from, size, quiet } }
            }),
            Some(asked) => finder.compare(served, request.have, asked).map(|found| {
                let answer = Answered::Two(Box::new(found.answer(self.boot)));
                let (from, size, quiet) = (found.from, found.facts.size, found.quiet);
                Found { file: found.file, opening: Opening { answer, from, size, quiet } }
            }),
        };
        Done::Found(found)
    }

    /// Finds and opens the generation of which a range is to be proved.
    pub fn locate(&self, extent: &Extent, stop: &AtomicBool) -> Done {
        let logs = Stoppable { logs: &*self.logs, stop };
        let found = self.finder(&logs).prove(self.files.get(self.number), extent);
        Done::Located(found.map(|found| {
            let answer = Box::new(found.answer(self.boot));
            Located { file: found.file, answer, to: extent.to.offset }
        }))
    }

    /// Looks whether who has all of the file known by `facts` would be given a later one.
    pub fn successor(&self, facts: &FileFacts, stop: &AtomicBool) -> Done {
        let logs = Stoppable { logs: &*self.logs, stop };
        Done::Successor(self.finder(&logs).has_successor(self.files.get(self.number), facts))
    }

    fn finder<'a>(
        &'a self,
        logs: &'a Stoppable<'a, DiskLogs>,
    ) -> Finder<'a, Stoppable<'a, DiskLogs>> {
        Finder { logs, files: &self.files, linger: self.linger, wall_ns: clock::wall_ns() }
    }
}
