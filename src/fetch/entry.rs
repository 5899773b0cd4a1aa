//! One source in the fetcher's table: its core, and everything of it that is not pure.

mod late;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Instant;

use super::copy::{Place, Took, Trust, sample_before, sample_first, take, write_again};
use super::jobs::{Stored, Task};
use super::late::Late;
use super::source::Source;
use super::store::{Doing, Locks, OpenCopy, Store, StoreFault};
use super::terms::{Job, Recheck, Timing};
use crate::config::{Host, Protocol, SourceConfig};
use crate::evloop::deadlines::Alarm;
use crate::evloop::slots::Slot;
use crate::pos::Offset;
use crate::proto::request::Request;
use crate::status::event::{Event, Fault};
use crate::status::repeats::Repeats;
use crate::sys::fs::{DiskFs, Fs};

/// Bytes at the beginning that a request has the digest of.
const HEAD_BYTES: Offset = 4096;

/// A source that is configured.
#[derive(Debug)]
pub struct Entry<F: Fs = DiskFs> {
    /// Its line.
    pub config: SourceConfig,
    /// What is to be done and when.
    pub core: Source,
    /// Its names on disk.
    pub store: Store<F>,
    /// Held from the first recovery on.
    pub locks: Option<Locks<F>>,
    /// A job failed, and none has found out since where it is.
    faulted: bool,
    /// Its copy, once there is one.
    pub copy: Option<OpenCopy<F>>,
    /// The device of the file system of its copy, once that was looked at.
    pub disk: Option<u64>,
    /// Its connection.
    pub conn: Option<Slot>,
    /// Its generations that have ended, as far as they are asked for once more.
    pub late: Late,
    /// The connection for that.
    pub late_conn: Option<Slot>,
    /// The archive for that.
    pub archive: Option<OpenCopy<F>>,
    /// When its deadline is looked at.
    pub alarm: Alarm,
    /// What was told of its troubles.
    pub repeats: Repeats,
    /// It has been well, and is not in error.
    pub well: bool,
    /// Nothing more is done for it, since all of it is here or that was given up.
    pub done: bool,
    /// Its name is being looked up.
    pub looking_up: bool,
    /// Addresses not tried yet in this round.
    addresses: VecDeque<SocketAddr>,
    /// The address that was connected to last.
    proven: Option<SocketAddr>,
}

impl<F: Fs> Entry<F> {
    /// A source that begins.
    pub fn new(config: SourceConfig, timing: Timing, fs: F, boot: Arc<str>, seed: u64) -> Entry<F> {
        let remote = config.remote.as_os_str().as_bytes().to_vec();
        let (copy, pointer) = (config.local.clone(), config.pointer.clone());
        // Protocol 1 has no way to ask for one that has ended.
        let recheck = match config.protocol {
            Protocol::One => Recheck::Never,
            Protocol::Two => timing.recheck,
        };
        let late_timing = Timing { recheck, ..timing };
        Entry {
            late: Late::new(remote.clone(), late_timing, !seed),
            late_conn: None,
            archive: None,
            core: Source::new(remote, timing, seed).starting(config.start),
            store: Store::new(fs, copy, pointer, boot),
            locks: None,
            faulted: false,
            copy: None,
            disk: None,
            conn: None,
            alarm: Alarm::default(),
            repeats: Repeats::default(),
            well: false,
            done: false,
            looking_up: false,
            addresses: VecDeque::new(),
            proven: None,
            config,
        }
    }

    /// The next address to try, if it is known without a lookup; else the name.
    pub fn next_address(&mut self) -> Result<SocketAddr, &str> {
        match &self.config.host {
            Host::Address(address) => Ok(SocketAddr::new(*address, self.config.port)),
            Host::Name(name) => self.addresses.pop_front().ok_or(name),
        }
    }

    /// An address of the name that was not tried yet. A host that listens at one of two is well, so
    /// all are tried before a failure is told.
    pub fn other_address(&mut self) -> Option<SocketAddr> {
        self.addresses.pop_front()
    }

    /// A lookup has given these. The one that is known to work comes first.
    pub fn take_addresses(&mut self, found: &[SocketAddr]) {
        let port = self.config.port;
        let mut known: Vec<IpAddr> = Vec::new();
        for address in found.iter().map(SocketAddr::ip) {
            if !known.contains(&address) {
                known.push(address);
            }
        }
        let mut addresses: Vec<_> = known.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        addresses.sort_by_key(|&address| Some(address) != self.proven);
        self.addresses = addresses.into();
    }

    /// An address that is known to work; a name's is, once it was connected to.
    pub fn known_address(&self) -> Option<SocketAddr> {
        match &self.config.host {
            Host::Address(address) => Some(SocketAddr::new(*address, self.config.port)),
            Host::Name(_) => self.proven,
        }
    }

    /// A connection was made: the next one begins with a fresh lookup.
    pub fn forget_addresses(&mut self, connected: Option<SocketAddr>) {
        self.addresses = VecDeque::new();
        self.proven = connected;
    }

    /// Puts content that was read into the copy; `alive` says whether a heartbeat was among it.
    pub fn take_data(&mut self, now: Instant, content: &[u8], alive: bool) {
        let Some(copy) = self.copy.clone() else { return };
        let before = self.core.place().at;
        let took = match content {
            [] => Took::All,
            content => take(&self.store.fs, &copy.file, self.core.place_mut(), content),
        };
        let moved = self.core.place().at - before;
        self.core.handle_data(now, took, moved, alive);
    }

    /// The request as it is sent: in the protocol that is configured; in protocol 2 with digests of
    /// what the copy has before the position, so that the responder can see whether it is the same. An
    /// error if the copy can't be read: without digests another file might be taken for it, or it be told
    /// as lost.
    pub fn with_samples(&self, mut request: Request) -> Result<Request, StoreFault> {
        if self.config.protocol == Protocol::One {
            request.two = None;
        }
        if let Some(copy) = &self.copy {
            samples(&self.store.fs, &copy.file, self.core.place(), &mut request)
                .doing("read copy", &self.store.copy)?;
        }
        Ok(request)
    }

    /// A job has ended. Gives what is to be told of it.
    pub fn handle_stored(&mut self, now: Instant, stored: Stored<F>) -> Vec<Event> {
        match stored {
            Stored::Standing(standing, locks) => {
                let standing = *standing;
                self.faulted = false;
                self.copy = standing.copy;
                // Something else may be mounted there now.
                self.disk = None;
                self.locks = locks.or(self.locks.take());
                self.core.handle_standing(now, standing.generation, standing.place);
                if standing.renamed {
                    self.core.handle_renamed();
                }
                if let Some(line) = standing.ended {
                    self.late.handle_ended(now, *line);
                }
                if let Some(id) = self.core.generation().and_then(|known| known.id) {
                    self.late.handle_followed(id);
                }
                return standing.events;
            }
            Stored::NotReopened => self.core.handle_not_reopened(now),
            Stored::Checkpointed(durable) => self.core.handle_checkpointed(now, durable),
            Stored::Failed(fault) => {
                self.faulted = true;
                self.core.handle_store_fault(now, Fault::Store(fault.to_string()));
            }
        }
        Vec::new()
    }

    /// When the nearest deadline of both cores is.
    pub fn deadline(&self) -> Option<Instant> {
        [self.core.deadline(), self.late.deadline()].into_iter().flatten().min()
    }

    /// Whether a generation that has ended is still to be asked for once more; not one that waits for
    /// the next to end.
    pub fn pending(&self) -> bool {
        self.late.pending()
    }

    /// What a worker needs to know to do `job`.
    pub fn task(&mut self, slot: Slot, job: Job) -> Task<F> {
        if let Job::Begin(next) | Job::Rotate { next, .. } = &job
            && let Some(id) = next.id
        {
            self.late.handle_chosen(id);
        }
        Task {
            slot,
            job,
            store: self.store.clone(),
            locked: self.locks.is_some(),
            faulted: self.faulted || self.locks.is_some(),
            copy: self.copy.clone(),
            generation: self.core.generation(),
            place: *self.core.place(),
        }
    }
}

/// Adds to a request the digests of what is before the position and at the beginning; `file` has the
/// bytes from `place.base` on.
fn samples<F: Fs>(fs: &F, file: &F::File, place: &Place, request: &mut Request) -> io::Result<()> {
    let (Some(have), Some(asked)) = (request.have, &mut request.two) else { return Ok(()) };
    let end = have.offset.saturating_sub(place.base);
    if matches!(place.trust, Trust::Durable { .. }) && end > place.right() {
        // Once the responder says that it has them they count as compared, so they are written again, too.
        write_again(fs, file, end)?;
    }
    asked.tail = sample_before(fs, file, place, end)?;
    if place.base == 0 {
        asked.head = sample_first(fs, file, place, end.min(HEAD_BYTES))?;
    }
    Ok(())
}
