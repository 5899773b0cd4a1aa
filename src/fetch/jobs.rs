//! What workers do for the loop, and how they tell it.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use chrono::DateTime;
use mio::Waker;

use super::checkpoint::{Checkpoint, checkpoint_together};
use super::copy::Place;
use super::due::{Begin, Due, Lane};
use super::recheck::{Recheck, Rechecked, recheck};
use super::store::{Locks, OpenCopy, Stamp, Standing, Store, StoreFault};
use super::terms::Job;
use crate::evloop::slots::Slot;
use crate::pos::{Generation, Offset};
use crate::sys::clock;
use crate::sys::fs::{DiskFs, Fs};
use crate::sys::workers::Workers;

/// Threads that sync and rename. More than one, so that a slow disk under one copy does not hold up
/// the others; few, since most syncs end in the same journal.
const STORE_THREADS: usize = 4;

/// One of them is left for rotations and recoveries: these have a connection wait.
const CHECKPOINT_THREADS: usize = STORE_THREADS - 1;

/// Threads that look names up. (One reads archives for late bytes: nobody waits for it.)
const LOOKUP_THREADS: usize = 4;

/// How an archive is named after its copy and a dot: local time, as fetchlogs 1.1 documents it.
const STAMP: &str = "%Y%m%d%H%M%S";

/// What a worker has done.
#[derive(Debug)]
pub enum Report {
    /// A job of a source.
    Stored(Slot, Box<Stored<DiskFs>>),
    /// An archive was looked at, or recorded.
    Rechecked(Slot, Rechecked),
    /// A source that is no longer configured has left its copy in order.
    Retired,
    /// The addresses of a host, or why there are none.
    LookedUp(String, LookedUp),
}

/// The addresses of a host, or why there are none.
pub type LookedUp = Result<Vec<SocketAddr>, String>;

/// How a job of a source ended.
#[derive(Debug)]
pub enum Stored<F: Fs> {
    /// It stands there now; and holds these locks, if it had none.
    Standing(Box<Standing<F>>, Option<Locks<F>>),
    /// The copy was where it was.
    NotReopened,
    /// So much of the copy is durable.
    Checkpointed(Offset),
    /// It failed.
    Failed(StoreFault),
}

/// What a job needs to know of its source; taken when the job begins.
#[derive(Debug)]
pub struct Task<F: Fs> {
    /// Whose job it is.
    pub slot: Slot,
    /// What is to be done.
    pub job: Job,
    /// Where.
    pub store: Store<F>,
    /// The names are locked already.
    pub locked: bool,
    /// A job failed in this process since the last one that found out where the source is.
    pub faulted: bool,
    /// The open copy.
    pub copy: Option<OpenCopy<F>>,
    /// Its generation.
    pub generation: Option<Generation>,
    /// How far it is.
    pub place: Place,
}

impl<F: Fs> Task<F> {
    /// The checkpoint that it is; else itself.
    pub fn into_checkpoint(self) -> Result<Checkpoint<F>, Box<Task<F>>> {
        match self {
            Task {
                job: Job::Checkpoint,
                store,
                copy: Some(copy),
                generation: Some(generation),
                place,
                ..
            } => Ok(Checkpoint { store, copy, generation, place }),
            other => Err(Box::new(other)),
        }
    }
}

/// Who wants a checkpoint.
#[derive(Debug)]
enum Whose {
    /// A source that goes on.
    Configured(Slot),
    /// One that is no longer configured: its locks are let go after it.
    Retired(Option<Locks<DiskFs>>),
}

/// What workers send.
#[derive(Debug)]
enum Mail {
    /// Something for the loop.
    Report(Box<Report>),
    /// A checkpoint that was made alone has been reported.
    AloneDone,
    /// All of a group have been reported.
    GroupDone(Lane),
}

/// A worker's end of the mailbox.
#[derive(Clone, Debug)]
struct Outbox {
    sender: Sender<Mail>,
    waker: Arc<Waker>,
}

impl Outbox {
    fn send(&self, mail: impl IntoIterator<Item = Mail>) {
        // The loop may have ended meanwhile: then nobody wants to know.
        let sent = mail.into_iter().all(|one| self.sender.send(one).is_ok());
        if sent && let Err(error) = self.waker.wake() {
            log::error!("cannot wake the loop: {error}");
        }
    }
}

/// The workers and their mailbox.
#[derive(Debug)]
pub struct Jobs {
    store: Workers,
    recheck: Workers,
    lookup: Workers,
    outbox: Outbox,
    mail: Receiver<Mail>,
    due: Due<(Whose, Checkpoint<DiskFs>)>,
    lookups: HashMap<String, Vec<Slot>>,
}

impl Jobs {
    /// Starts the workers; `waker` wakes the loop.
    pub fn start(waker: Arc<Waker>) -> std::io::Result<Jobs> {
        let (sender, mail) = channel();
        Ok(Jobs {
            store: Workers::start("store", STORE_THREADS)?,
            recheck: Workers::start("recheck", 1)?,
            lookup: Workers::start("lookup", LOOKUP_THREADS)?,
            outbox: Outbox { sender, waker },
            mail,
            due: Due::new(CHECKPOINT_THREADS),
            lookups: HashMap::new(),
        })
    }

    /// The next report, if there is one.
    pub fn poll_report(&mut self) -> Option<Report> {
        loop {
            match self.mail.try_recv().ok()? {
                Mail::Report(report) => return Some(*report),
                Mail::AloneDone => self.due.handle_alone_done(),
                Mail::GroupDone(lane) => self.due.handle_group_done(lane),
            }
            self.begin_due();
        }
    }

    /// Has a job of a source done.
    pub fn run(&mut self, task: Task<DiskFs>) {
        let slot = task.slot;
        let task = match task.into_checkpoint() {
            Ok(checkpoint) => return self.checkpoint(Whose::Configured(slot), checkpoint),
            Err(task) => task,
        };
        let outbox = self.outbox.clone();
        self.store.run(move || {
            let stored = perform(*task, &stamp()).unwrap_or_else(Stored::Failed);
            outbox.send([Mail::Report(Report::Stored(slot, stored.into()).into())]);
        });
    }

    /// Has an archive looked at, or recorded.
    pub fn recheck(&self, task: Recheck<DiskFs>) {
        let outbox = self.outbox.clone();
        self.recheck.run(move || {
            let done = recheck(&task, &stamp());
            outbox.send([Mail::Report(Report::Rechecked(task.slot, done).into())]);
        });
    }

    /// Makes durable what a source has that is no longer configured; its locks are let go then.
    pub fn retire(&mut self, task: Task<DiskFs>, locks: Option<Locks<DiskFs>>) {
        match task.into_checkpoint() {
            Ok(checkpoint) => self.checkpoint(Whose::Retired(locks), checkpoint),
            Err(_) => {
                drop(locks);
                self.outbox.send([Mail::Report(Report::Retired.into())]);
            }
        }
    }

    fn checkpoint(&mut self, whose: Whose, checkpoint: Checkpoint<DiskFs>) {
        self.due.push(checkpoint.copy.device, (whose, checkpoint));
        self.begin_due();
    }

    fn begin_due(&mut self) {
        while let Some(begin) = self.due.poll_begin() {
            let outbox = self.outbox.clone();
            self.store.run(move || match begin {
                Begin::Alone((whose, checkpoint)) => {
                    let report = checkpointed(whose, checkpoint.alone());
                    outbox.send([Mail::Report(report.into()), Mail::AloneDone]);
                }
                Begin::Together(lane, all) => {
                    let done = checkpoint_together(all).into_iter();
                    let reports = done
                        .map(|(whose, result)| Mail::Report(checkpointed(whose, result).into()));
                    outbox.send(reports.chain([Mail::GroupDone(lane)]));
                }
            });
        }
    }

    /// Has a name looked up for a source. Sources that ask for the same name meanwhile share one
    /// lookup.
    pub fn look_up(&mut self, name: &str, slot: Slot) {
        let waiting = self.lookups.entry(name.to_owned()).or_default();
        waiting.push(slot);
        if waiting.len() > 1 {
            return;
        }
        let outbox = self.outbox.clone();
        let name = name.to_owned();
        self.lookup.run(move || {
            let found = match (name.as_str(), 0).to_socket_addrs() {
                Ok(addresses) => Ok(addresses.collect()),
                Err(error) => Err(error.to_string()),
            };
            outbox.send([Mail::Report(Report::LookedUp(name, found).into())]);
        });
    }

    /// The sources that wait for a lookup that has ended.
    pub fn take_waiting(&mut self, name: &str) -> Vec<Slot> {
        self.lookups.remove(name).unwrap_or_default()
    }
}

fn stamp() -> Stamp {
    let now = clock::wall();
    let whole_secs = DateTime::from_timestamp(now.timestamp(), 0);
    Stamp { name: now.format(STAMP).to_string(), time: whole_secs.unwrap_or_default() }
}

/// What the loop is told of a checkpoint; locks that nobody needs any more are let go.
fn checkpointed(whose: Whose, result: Result<Offset, StoreFault>) -> Report {
    match (whose, result) {
        (Whose::Configured(slot), Ok(durable)) => {
            Report::Stored(slot, Box::new(Stored::Checkpointed(durable)))
        }
        (Whose::Configured(slot), Err(fault)) => {
            Report::Stored(slot, Box::new(Stored::Failed(fault)))
        }
        (Whose::Retired(locks), result) => {
            if let Err(fault) = result {
                log::warn!("{fault}");
            }
            drop(locks);
            Report::Retired
        }
    }
}

/// Does a job; may wait for the disk. A copy that becomes an archive now has `stamp` in its name.
pub fn perform<F: Fs>(task: Task<F>, stamp: &Stamp) -> Result<Stored<F>, StoreFault> {
    let Task { job, store, locked, faulted, copy, generation, place, .. } = task;
    let standing = match (job, &copy, generation) {
        (Job::Recover, ..) => {
            let locks = if locked { None } else { Some(store.lock()?) };
            let standing =
                if faulted { store.recover_from_fault(stamp)? } else { store.recover(stamp)? };
            return Ok(Stored::Standing(Box::new(standing), locks));
        }
        (Job::Begin(inode), ..) => store.begin(copy, inode, place)?,
        (Job::Rotate { next, cut, outcome }, Some(copy), Some(inode)) => {
            store.rotate(copy, inode, &place, cut, (next, outcome), stamp)?
        }
        (Job::Cut(cut), Some(copy), Some(inode)) => store.cut(copy, inode, &place, cut)?,
        (Job::Reopen, Some(copy), Some(inode)) => match store.reopen(copy, inode, &place, stamp)? {
            Some(standing) => standing,
            None => return Ok(Stored::NotReopened),
        },
        (Job::Checkpoint, Some(copy), Some(inode)) => {
            return Ok(Stored::Checkpointed(store.checkpoint(copy, inode, &place)?));
        }
        // A core that has no copy or no generation yet asks for none of these.
        (Job::Rotate { .. } | Job::Cut(_) | Job::Reopen | Job::Checkpoint, ..) => {
            return Ok(Stored::NotReopened);
        }
    };
    Ok(Stored::Standing(Box::new(standing), None))
}
