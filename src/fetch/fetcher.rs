//! The loop: readiness, reports and deadlines in; connections, jobs and event lines out.
//!
//! It owns the tables and carries out what the cores say. It decides nothing about protocol,
//! offsets or retries.

mod coming;
mod late;
mod once;
mod room;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Interest;

pub use once::Unfinished;

use super::board::Board;
use super::conn::{Conn, Role};
use super::due::GROUP_MIN;
use super::entry::Entry;
use super::jobs::{Jobs, LookedUp, Report};
use super::reading::{read, wants};
use super::room::Rooms;
use super::settings::Settings;
use super::terms::{Job, Output, Wants};
use crate::config::{FetchConfig, SourceConfig};
use crate::evloop::deadlines::Deadlines;
use crate::evloop::ready::ReadyQueue;
use crate::evloop::slots::{Slot, Slots};
use crate::evloop::stopper::Stopper;
use crate::evloop::who::Who;
use crate::evloop::{EventLoop, Readiness};
use crate::status::event::{self, Fault};
use crate::status::output::Output as EventLog;
use crate::sys::cause::cause;
use crate::sys::fs::{DiskFs, Fs};
use crate::sys::signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, Signals};
use crate::sys::{clock, net, service, signal};

/// What one source may read in one turn before the others have theirs.
const BUDGET_BYTES: usize = 1024 * 1024;

/// The one buffer through which everything goes.
const BUFFER_BYTES: usize = 256 * 1024;

/// And then so long for whoever reads the event log.
const FLUSH_PATIENCE: Duration = Duration::from_millis(150);

/// The fetcher.
pub struct Fetcher {
    settings: Settings,
    evloop: EventLoop,
    stopper: Stopper,
    signals: Option<Signals>,
    jobs: Jobs,
    sources: Slots<Entry>,
    conns: Slots<Conn>,
    ready: ReadyQueue,
    deadlines: Deadlines,
    buffer: Box<[u8]>,
    event_log: EventLog,
    board: Board,
    fs: DiskFs,
    boot: Arc<str>,
    seed: u64,
    /// Sources taken out of the configuration while a job of theirs ran.
    leaving: HashMap<Slot, Entry>,
    /// Sources taken out of the configuration whose last job runs.
    retiring: usize,
    /// Sources that begin when those are done: they may use the same names.
    arriving: Vec<SourceConfig>,
    ending: Option<Instant>,
    asking: late::Asking,
    rooms: Rooms,
    /// A file system has too little room, or enough again, and its sources were not told.
    rooms_changed: bool,
    /// Sources for which nothing more is done, since they were fetched once.
    finished: usize,
    unfinished: Vec<Unfinished>,
    /// A checkpoint has been begun in this turn.
    checkpoints: bool,
}

impl Fetcher {
    /// Sets everything up; nothing is connected or written but the status directory.
    pub fn new(settings: Settings, event_log: EventLog) -> io::Result<Fetcher> {
        signal::ignore_sigxfsz()?;
        let evloop = EventLoop::new()?;
        let waker = Arc::new(evloop.waker()?);
        let jobs = Jobs::start(Arc::clone(&waker))?;
        let fs = DiskFs::with_network(settings.network_disk);
        let boot = fs.boot_id()?.into();
        let board = Board::new(&settings.snmp_dir, clock::now()).map_err(|error| {
            let (dir, cause) = (settings.snmp_dir.display(), cause(&error));
            io::Error::new(error.kind(), format!("cannot use directory {dir}: {cause}"))
        })?;
        Ok(Fetcher {
            rooms: Rooms::new(settings.floor),
            rooms_changed: false,
            settings,
            evloop,
            stopper: Stopper::new(waker),
            signals: None,
            jobs,
            sources: Slots::default(),
            conns: Slots::default(),
            ready: ReadyQueue::default(),
            deadlines: Deadlines::default(),
            buffer: vec![0; BUFFER_BYTES].into(),
            event_log,
            board,
            fs,
            boot,
            seed: clock::wall_ns(),
            leaving: HashMap::new(),
            retiring: 0,
            arriving: Vec::new(),
            ending: None,
            asking: late::Asking::default(),
            finished: 0,
            unfinished: Vec::new(),
            checkpoints: false,
        })
    }

    /// Obeys signals from now on: SIGHUP reads the configuration again, SIGUSR1 looks whether copies
    /// were renamed, SIGTERM and SIGINT end.
    pub fn obey_signals(&mut self) -> io::Result<()> {
        let mut signals = signal::catch(&[SIGHUP, SIGUSR1, SIGTERM, SIGINT])?;
        self.evloop.register(&mut signals, Who::Signals, Interest::READABLE)?;
        self.signals = Some(signals);
        Ok(())
    }

    /// Something to end it by from another thread.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Follows the sources of `config` until it is told to end, or fetches them once. Gives those of
    /// which not all was fetched then.
    pub fn run(mut self, config: FetchConfig) -> io::Result<Vec<Unfinished>> {
        self.arriving = config.sources;
        self.let_arrive();
        service::ready();
        let mut told = Vec::new();
        loop {
            let now = clock::now();
            self.evloop.wait(now, self.wake_at(now), &mut told)?;
            let now = clock::now();
            for &(who, readiness) in &told {
                self.handle_ready(now, who, readiness);
            }
            while let Some(report) = self.jobs.poll_report() {
                self.handle_report(now, report);
            }
            for _ in 0..self.ready.len() {
                self.take_turn(now);
            }
            while let Some((slot, at)) = self.deadlines.pop_due(now) {
                self.handle_due(now, slot, at);
            }
            self.watch_rooms(now);
            self.admit_late(now);
            if std::mem::take(&mut self.checkpoints) {
                self.gather_checkpoints(now);
            }
            self.board.show(now, self.sources.iter().map(|(_, entry)| entry));
            if self.all_done() {
                self.end(now);
            }
            if self.ended(now) {
                self.event_log.flush(FLUSH_PATIENCE);
                self.unfinished.sort_by_key(|source| source.source.line);
                return Ok(self.unfinished);
            }
        }
    }

    fn wake_at(&self, now: Instant) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(now);
        }
        let of_board = Some(self.board.deadline());
        [self.deadlines.next(), self.rooms.deadline(), self.ending, of_board]
            .into_iter()
            .flatten()
            .min()
    }

    // ---- inputs ----

    fn handle_ready(&mut self, now: Instant, who: Who, readiness: Readiness) {
        match who {
            Who::Signals => self.handle_signals(now),
            Who::Conn(slot) => {
                let Some(conn) = self.conns.get_mut(slot) else { return };
                conn.readable |= readiness.readable;
                self.ready.push(slot, &mut conn.queued);
            }
            Who::Wake => {
                // The reports are looked at in every turn.
                if self.stopper.stopped() {
                    self.end(now);
                }
            }
            Who::Watch | Who::Listener(_) => {}
        }
    }

    fn handle_signals(&mut self, now: Instant) {
        let Some(signals) = &mut self.signals else { return };
        let arrived: Vec<i32> = signals.pending().collect();
        for signal in arrived {
            match signal {
                SIGHUP => {
                    service::reloading();
                    self.reload(now);
                    service::ready();
                }
                SIGUSR1 => {
                    for slot in self.sources.slots() {
                        if let Some(entry) = self.sources.get_mut(slot) {
                            entry.core.handle_reopen();
                        }
                        self.drain(now, slot);
                    }
                }
                _ => self.end(now),
            }
        }
    }

    fn handle_due(&mut self, now: Instant, slot: Slot, at: Instant) {
        let Some(entry) = self.sources.get_mut(slot) else { return };
        if entry.alarm.rings(at) {
            if entry.core.deadline().is_some_and(|deadline| deadline <= now) {
                entry.core.handle_due(now);
            }
            if entry.late.deadline().is_some_and(|deadline| deadline <= now) {
                entry.late.handle_due(now);
            }
            self.drain(now, slot);
        }
    }

    /// One checkpoint is due: if there are enough for a group, those that would be due soon come too.
    fn gather_checkpoints(&mut self, now: Instant) {
        let soon = |(slot, entry): (Slot, &Entry)| entry.core.may_checkpoint(now).then_some(slot);
        let slots: Vec<Slot> = self.sources.iter().filter_map(soon).collect();
        if slots.len() < GROUP_MIN {
            return;
        }
        for slot in slots {
            if let Some(entry) = self.sources.get_mut(slot) {
                entry.core.handle_gathering(now);
            }
            self.drain(now, slot);
        }
        self.checkpoints = false;
    }

    fn handle_report(&mut self, now: Instant, report: Report) {
        match report {
            Report::Stored(slot, stored) if self.leaving.contains_key(&slot) => {
                if let Some(mut entry) = self.leaving.remove(&slot) {
                    for event in entry.handle_stored(now, *stored) {
                        self.tell_of(&entry.config, &event.to_string());
                    }
                    self.leave(slot, entry);
                }
                self.let_arrive();
            }
            Report::Rechecked(slot, done) => self.handle_rechecked(now, slot, done),
            Report::Stored(slot, stored) => {
                let Some(entry) = self.sources.get_mut(slot) else { return };
                for event in entry.handle_stored(now, *stored) {
                    self.tell(slot, &event.to_string());
                }
                self.drain(now, slot);
                // What waited in the socket while the disk was busy has its turn now.
                if let Some(conn_slot) = self.sources.get(slot).and_then(|entry| entry.conn)
                    && let Some(conn) = self.conns.get_mut(conn_slot)
                {
                    self.ready.push(conn_slot, &mut conn.queued);
                }
            }
            Report::Retired => {
                self.retiring -= 1;
                self.let_arrive();
            }
            Report::LookedUp(name, found) => {
                for slot in self.jobs.take_waiting(&name) {
                    self.handle_looked_up(now, slot, &name, &found);
                    self.drain(now, slot);
                }
            }
        }
    }

    fn handle_looked_up(&mut self, now: Instant, slot: Slot, name: &str, found: &LookedUp) {
        let Some(entry) = self.sources.get_mut(slot) else { return };
        entry.looking_up = false;
        if let Ok(addresses) = found {
            entry.take_addresses(addresses);
        }
        if !entry.core.connecting() {
            // It took too long: what was found is for the next try.
            return;
        }
        match (entry.other_address(), found) {
            (Some(address), _) => self.connect(now, slot, address),
            (None, found) => {
                let why = found.as_ref().err().map_or("no address", String::as_str);
                let why = format!("cannot look up {name}: {why}");
                entry.core.handle_unreachable(now, Fault::InitConnect(why));
            }
        }
    }

    // ---- connections ----

    /// One connection's share of the turn.
    fn take_turn(&mut self, now: Instant) {
        let Some(slot) = self.ready.pop() else { return };
        let Some(conn) = self.conns.get_mut(slot) else { return };
        conn.queued = false;
        let source = conn.source;
        if conn.role == Role::Late {
            self.take_late_turn(now, slot, source);
            return;
        }
        if !conn.connected {
            match conn.poll_connected() {
                Ok(false) => return,
                Ok(true) => {
                    let peer = conn.stream.peer_addr().ok();
                    if let Some(entry) = self.sources.get_mut(source) {
                        entry.forget_addresses(peer);
                        entry.core.handle_connected(now);
                        entry.late.handle_reachable(now);
                    }
                }
                Err(error) => self.fail_to_connect(now, source, &error),
            }
        } else if let Err(error) = conn.send_rest() {
            self.fail_to_ask(now, source, &error);
        }
        self.drain(now, source);
        self.read(now, slot, source);
    }

    fn begin_to_connect(&mut self, now: Instant, source: Slot) {
        let Some(entry) = self.sources.get_mut(source) else { return };
        if !entry.core.connecting() {
            return;
        }
        match entry.next_address() {
            Ok(address) => self.connect(now, source, address),
            Err(name) => {
                let name = name.to_owned();
                if !std::mem::replace(&mut entry.looking_up, true) {
                    self.jobs.look_up(&name, source);
                }
            }
        }
    }

    /// Reads what one connection may read in one turn.
    fn read(&mut self, now: Instant, slot: Slot, source: Slot) {
        let mut budget = BUDGET_BYTES;
        loop {
            self.see_room_for_data(now, slot, source);
            // Carrying out what the last bytes meant may have closed the connection.
            let Some(conn) = self.conns.get_mut(slot) else { return };
            let Some(entry) = self.sources.get_mut(source) else { return };
            if !conn.readable {
                return;
            }
            if budget == 0 {
                self.ready.push(slot, &mut conn.queued);
                return;
            }
            let Some(bytes) = read(now, entry, conn, &mut self.buffer) else { return };
            budget = budget.saturating_sub(bytes);
            self.note_taken(source, bytes);
            self.drain(now, source);
        }
    }

    /// Data that is there is read only if there is room for it.
    fn see_room_for_data(&mut self, now: Instant, slot: Slot, source: Slot) {
        let (Some(conn), Some(entry)) = (self.conns.get_mut(slot), self.sources.get(source)) else {
            return;
        };
        if conn.readable && wants(entry, conn.role) == Wants::Data {
            self.see_room(now, source);
            self.drain(now, source);
        }
    }

    fn connect(&mut self, now: Instant, source: Slot, address: SocketAddr) {
        if let Err(error) = self.open_conn(source, Role::Main, address) {
            self.fail_to_connect(now, source, &error);
        }
    }

    fn open_conn(&mut self, source: Slot, role: Role, address: SocketAddr) -> io::Result<()> {
        let stream = net::connect(address)?;
        let slot = self.conns.insert_with(|_| Conn::new(stream, source, role));
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Some(entry) = self.sources.get_mut(source) {
            match role {
                Role::Main => entry.conn = Some(slot),
                Role::Late => entry.late_conn = Some(slot),
            }
        }
        match self.conns.get_mut(slot) {
            Some(conn) => self.evloop.register(&mut conn.stream, Who::Conn(slot), interest),
            None => Ok(()),
        }
    }

    fn fail_to_connect(&mut self, now: Instant, source: Slot, error: &io::Error) {
        self.close_conn(source);
        let Some(entry) = self.sources.get_mut(source) else { return };
        if let Some(address) = entry.other_address() {
            self.connect(now, source, address);
        } else {
            entry.core.handle_unreachable(now, Fault::InitConnect(cause(error)));
        }
    }

    fn fail_to_ask(&mut self, now: Instant, source: Slot, error: &io::Error) {
        if let Some(entry) = self.sources.get_mut(source) {
            entry.core.handle_unreachable(now, Fault::InitWrite(cause(error)));
        }
    }

    fn close_conn(&mut self, source: Slot) {
        let conn = self.sources.get_mut(source).and_then(|entry| entry.conn.take());
        // Closing the descriptor takes it out of the poll.
        drop(conn.and_then(|slot| self.conns.remove(slot)));
    }

    // ---- outputs ----

    /// Carries out everything that the core of `slot` wants done, and sets its alarm.
    fn drain(&mut self, now: Instant, slot: Slot) {
        while let Some(output) =
            self.sources.get_mut(slot).and_then(|entry| entry.core.poll_output())
        {
            self.carry_out(now, slot, output);
        }
        self.drain_late(now, slot);
        if let Some(entry) = self.sources.get_mut(slot) {
            let deadline = entry.deadline();
            self.deadlines.arm(&mut entry.alarm, slot, deadline);
        }
    }

    fn carry_out(&mut self, now: Instant, slot: Slot, output: Output) {
        let Some(entry) = self.sources.get_mut(slot) else { return };
        match output {
            Output::Connect => {
                self.see_room(now, slot);
                self.begin_to_connect(now, slot);
            }
            Output::Ask(request) => {
                let request = match entry.with_samples(request) {
                    Ok(request) => request,
                    Err(fault) => {
                        return entry.core.handle_unreadable(now, Fault::Store(fault.to_string()));
                    }
                };
                let conn = entry.conn.and_then(|conn| self.conns.get_mut(conn));
                let sent = conn.map_or(Ok(()), |conn| conn.ask(request));
                if let Err(error) = sent {
                    self.fail_to_ask(now, slot, &error);
                }
            }
            Output::Acknowledge(durable) => {
                let conn = entry.conn.and_then(|conn| self.conns.get_mut(conn));
                if let Some(Err(error)) = conn.map(|conn| conn.acknowledge(durable)) {
                    // Reading will show that the connection is broken.
                    log::debug!("cannot acknowledge: {}", cause(&error));
                }
            }
            Output::Close => self.close_conn(slot),
            Output::Do(job) => {
                self.checkpoints |= job == Job::Checkpoint;
                self.jobs.run(entry.task(slot, job));
            }
            Output::Tell(event) => self.tell(slot, &event.to_string()),
            Output::Fail(fault) => {
                self.board.note(now);
                entry.well = false;
                if let Some(sentence) = entry.repeats.fail(now, &fault) {
                    self.tell(slot, &sentence);
                }
            }
            Output::Complete => self.finish(slot, true),
            Output::GiveUp => self.finish(slot, false),
            Output::Succeed => {
                if !std::mem::replace(&mut entry.well, true) {
                    self.board.note(now);
                }
                if entry.repeats.is_unsettled()
                    && let Some(sentence) = entry.repeats.succeed(now)
                {
                    self.tell(slot, &sentence);
                }
            }
        }
    }

    fn tell(&self, slot: Slot, sentence: &str) {
        if let Some(entry) = self.sources.get(slot) {
            self.tell_of(&entry.config, sentence);
        }
    }

    fn tell_of(&self, source: &SourceConfig, sentence: &str) {
        let (host, path) = (source.host.to_string(), source.remote_word());
        self.event_log.tell(event::line(clock::wall(), &host, &path, sentence));
    }
}
