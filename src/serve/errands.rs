//! The errands that are run for connections by the threads of [`jobs`](super::jobs).

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::files::{FileNo, Files};
use super::finder::{Finder, Unserved};
use super::session::{Answered, Opening};
use crate::pos::{FileFacts, Token};
use crate::proto::request::Request;
use crate::sys::clock;
use crate::sys::logs::{DiskLogs, Stoppable};

/// How an errand ended.
#[derive(Debug)]
pub enum Done {
    /// What was asked for is open, or there is a reason why not.
    Found(Result<Found, Unserved>),
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
