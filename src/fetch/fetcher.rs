//! The loop: readiness, reports and deadlines in; connections, jobs and event lines out.
//!
//! It owns the tables and carries out what the cores say. It decides nothing about protocol,
//! offsets or retries.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Interest;

use super::conn::{Conn, Heard};
use super::copy::{Took, take};
use super::entry::Entry;
use super::jobs::{Jobs, LookedUp, Report};
use super::terms::{End, Job, Output, Timing, Wants};
use crate::config::{FetchConfig, SourceConfig};
use crate::evloop::deadlines::Deadlines;
use crate::evloop::ready::ReadyQueue;
use crate::evloop::slots::{Slot, Slots};
use crate::evloop::stopper::Stopper;
use crate::evloop::who::Who;
use crate::evloop::{EventLoop, Readiness};
use crate::proto::request::emit_request;
use crate::status::event::{self, Fault};
use crate::status::hosts::{Health, Hosts, TOUCH_INTERVAL};
use crate::status::output::Output as EventLog;
use crate::sys::cause::cause;
use crate::sys::fs::{DiskFs, Fs};
use crate::sys::signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, Signals};
use crate::sys::{clock, net, service, signal};

/// What one source may read in one turn before the others have theirs.
const BUDGET_BYTES: usize = 1024 * 1024;

/// The one buffer through which everything goes.
const BUFFER_BYTES: usize = 256 * 1024;

/// Status files lag behind the state by at most this: many changes are written as one.
const STATUS_DELAY: Duration = Duration::from_millis(100);

/// Asked to end, the fetcher waits so long for the disk. What is not durable then is fetched again.
const END_PATIENCE: Duration = Duration::from_millis(700);

/// And then so long for whoever reads the event log.
const FLUSH_PATIENCE: Duration = Duration::from_millis(150);

/// What a source that was never well is reported with.
const NOT_YET: &str = "not connected yet";

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the status files are.
    pub snmp_dir: PathBuf,
    /// The configuration file, read again at SIGHUP.
    pub conf: PathBuf,
    /// Time limits.
    pub timing: Timing,
}

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
    hosts: Hosts,
    status_at: Option<Instant>,
    touch_at: Instant,
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
}

impl Fetcher {
    /// Sets everything up; nothing is connected or written but the status directory.
    pub fn new(settings: Settings, event_log: EventLog) -> io::Result<Fetcher> {
        let evloop = EventLoop::new()?;
        let waker = Arc::new(evloop.waker()?);
        let jobs = Jobs::start(Arc::clone(&waker))?;
        let fs = DiskFs::default();
        let boot = fs.boot_id()?.into();
        let hosts = Hosts::new(&settings.snmp_dir)?;
        Ok(Fetcher {
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
            hosts,
            status_at: None,
            touch_at: clock::now() + TOUCH_INTERVAL,
            fs,
            boot,
            seed: clock::wall_ns(),
            leaving: HashMap::new(),
            retiring: 0,
            arriving: Vec::new(),
            ending: None,
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

    /// Follows the sources of `config` until it is told to end.
    pub fn run(mut self, config: FetchConfig) -> io::Result<()> {
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
            self.show_status(now);
            if self.ended(now) {
                self.event_log.flush(FLUSH_PATIENCE);
                return Ok(());
            }
        }
    }

    fn wake_at(&self, now: Instant) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(now);
        }
        [self.deadlines.next(), self.status_at, self.ending, Some(self.touch_at)]
            .into_iter()
            .flatten()
            .min()
    }

    // ---- sources come and go ----

    fn let_arrive(&mut self) {
        if self.retiring > 0 || !self.leaving.is_empty() || self.ending.is_some() {
            return;
        }
        for config in std::mem::take(&mut self.arriving) {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (fs, boot) = (self.fs.clone(), Arc::clone(&self.boot));
            let entry = Entry::new(config, self.settings.timing, fs, boot, self.seed);
            let slot = self.sources.insert_with(|_| entry);
            self.drain(clock::now(), slot);
        }
        self.status_at.get_or_insert(clock::now());
    }

    /// Applies the difference to the configuration: a line that is still there goes on untouched.
    fn reload(&mut self, now: Instant) {
        if self.ending.is_some() {
            return;
        }
        let conf = self.settings.conf.clone();
        let config = match super::cli::read_config(&conf) {
            Ok(config) => config,
            Err(fault) => {
                log::error!("the configuration stays as it was: {fault}");
                return;
            }
        };
        let mut wanted: HashMap<&SourceConfig, &SourceConfig> =
            config.sources.iter().map(|source| (source, source)).collect();
        let mut removed = Vec::new();
        for slot in self.sources.slots() {
            let Some(entry) = self.sources.get_mut(slot) else { continue };
            match wanted.remove(&entry.config) {
                Some(source) => entry.config.line = source.line,
                None => removed.push(slot),
            }
        }
        let mut added: Vec<SourceConfig> = wanted.into_values().cloned().collect();
        added.sort_by_key(|source| source.line);
        log::info!("configuration read: {} lines go, {} come", removed.len(), added.len());
        for slot in removed {
            self.retire(now, slot);
        }
        self.arriving = added;
        self.let_arrive();
        self.status_at.get_or_insert(now);
    }

    /// Takes a source out. What it has is made durable, and its names are let go after that.
    fn retire(&mut self, now: Instant, slot: Slot) {
        self.close_conn(slot);
        let Some(entry) = self.sources.remove(slot) else { return };
        log::debug!("{} is no longer configured", entry.config);
        self.status_at.get_or_insert(now);
        if entry.core.busy() {
            self.leaving.insert(slot, entry);
        } else {
            self.let_go(slot, entry);
        }
    }

    fn let_go(&mut self, slot: Slot, mut entry: Entry) {
        if entry.core.dirty() {
            self.retiring += 1;
            let task = entry.task(slot, Job::Checkpoint);
            self.jobs.retire(task, entry.locks.take());
        }
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
            self.drain(now, slot);
        }
    }

    fn handle_report(&mut self, now: Instant, report: Report) {
        match report {
            Report::Stored(slot, stored) if self.leaving.contains_key(&slot) => {
                if let Some(mut entry) = self.leaving.remove(&slot) {
                    for event in entry.handle_stored(now, stored) {
                        self.tell_of(&entry.config, &event.to_string());
                    }
                    self.let_go(slot, entry);
                }
                self.let_arrive();
            }
            Report::Stored(slot, stored) => {
                let Some(entry) = self.sources.get_mut(slot) else { return };
                for event in entry.handle_stored(now, stored) {
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
        if !conn.connected {
            match conn.poll_connected() {
                Ok(false) => return,
                Ok(true) => {
                    let peer = conn.stream.peer_addr().ok();
                    if let Some(entry) = self.sources.get_mut(source) {
                        entry.forget_addresses(peer);
                        entry.core.handle_connected(now);
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

    fn read(&mut self, now: Instant, slot: Slot, source: Slot) {
        let mut budget = BUDGET_BYTES;
        loop {
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
            match entry.core.wants() {
                Wants::Nothing => return,
                Wants::Status => match conn.read_status() {
                    Heard::Something(status) => entry.core.handle_status(now, status),
                    other => hear_no_more(entry, now, other),
                },
                Wants::Data => match conn.read_data(&mut self.buffer) {
                    Heard::Something(content) => {
                        budget = budget.saturating_sub(content.received);
                        take_data(entry, now, &self.buffer[..content.len], content.alive);
                    }
                    other => hear_no_more(entry, now, other),
                },
            }
            self.drain(now, source);
        }
    }

    fn connect(&mut self, now: Instant, source: Slot, address: SocketAddr) {
        let connected = net::connect(address).and_then(|stream| {
            let slot = self.conns.insert_with(|_| Conn::new(stream, source));
            let interest = Interest::READABLE | Interest::WRITABLE;
            if let Some(entry) = self.sources.get_mut(source) {
                entry.conn = Some(slot);
            }
            match self.conns.get_mut(slot) {
                Some(conn) => self.evloop.register(&mut conn.stream, Who::Conn(slot), interest),
                None => Ok(()),
            }
        });
        if let Err(error) = connected {
            self.fail_to_connect(now, source, &error);
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
        if let Some(entry) = self.sources.get_mut(slot) {
            self.deadlines.arm(&mut entry.alarm, slot, entry.core.deadline());
        }
    }

    fn carry_out(&mut self, now: Instant, slot: Slot, output: Output) {
        let Some(entry) = self.sources.get_mut(slot) else { return };
        match output {
            Output::Connect => match entry.next_address() {
                Ok(address) => self.connect(now, slot, address),
                Err(name) => {
                    let name = name.to_owned();
                    if !std::mem::replace(&mut entry.looking_up, true) {
                        self.jobs.look_up(&name, slot);
                    }
                }
            },
            Output::Ask(request) => {
                let conn = entry.conn.and_then(|conn| self.conns.get_mut(conn));
                let sent = conn.map_or(Ok(()), |conn| conn.send(emit_request(&request)));
                if let Err(error) = sent {
                    self.fail_to_ask(now, slot, &error);
                }
            }
            Output::Close => self.close_conn(slot),
            Output::Do(job) => self.jobs.run(entry.task(slot, job)),
            Output::Tell(event) => self.tell(slot, &event.to_string()),
            Output::Fail(fault) => {
                self.status_at.get_or_insert(now + STATUS_DELAY);
                entry.well = false;
                if let Some(sentence) = entry.repeats.fail(now, &fault) {
                    self.tell(slot, &sentence);
                }
            }
            Output::Succeed => {
                if !std::mem::replace(&mut entry.well, true) {
                    self.status_at.get_or_insert(now + STATUS_DELAY);
                    if let Some(sentence) = entry.repeats.succeed(now) {
                        self.tell(slot, &sentence);
                    }
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
        let (host, path) = (source.host.to_string(), source.remote.to_string_lossy());
        self.event_log.tell(event::line(clock::wall(), &host, &path, sentence));
    }

    fn show_status(&mut self, now: Instant) {
        let mut failed = Vec::new();
        if self.status_at.is_some_and(|at| at <= now) {
            self.status_at = None;
            failed = self.hosts.show(&self.health());
        }
        if self.touch_at <= now {
            self.touch_at = now + TOUCH_INTERVAL;
            failed.extend(self.hosts.touch());
        }
        if let Some(error) = failed.first() {
            let dir = self.settings.snmp_dir.display();
            log::error!("cannot write {} status files in {dir}: {error}", failed.len());
            self.status_at.get_or_insert(now + self.settings.timing.reconnect);
        }
    }

    /// How every host is that has a source, the sources in the order of their lines.
    fn health(&self) -> BTreeMap<String, Health> {
        let mut entries: Vec<&Entry> = self.sources.iter().map(|(_, entry)| entry).collect();
        entries.sort_by_key(|entry| entry.config.line);
        let mut hosts: BTreeMap<String, Health> = BTreeMap::new();
        for entry in entries {
            let health = hosts.entry(entry.config.host.to_string()).or_default();
            health.sources += 1;
            if entry.well {
                continue;
            }
            health.failing += 1;
            health.first.get_or_insert_with(|| {
                let fault = entry.repeats.fault().map_or(NOT_YET.to_owned(), Fault::to_string);
                format!("{}: {fault}", entry.config.remote.to_string_lossy())
            });
        }
        hosts
    }

    // ---- the end ----

    fn end(&mut self, now: Instant) {
        if self.ending.is_some() {
            return;
        }
        service::stopping();
        self.ending = Some(now + END_PATIENCE);
        self.arriving = Vec::new();
        for slot in self.sources.slots() {
            self.retire(now, slot);
        }
        // The files stay as they were: nobody touches them any more, so they will be stale.
        self.status_at = None;
    }

    fn ended(&self, now: Instant) -> bool {
        let gone = self.retiring == 0 && self.leaving.is_empty();
        self.ending.is_some_and(|until| gone || now >= until)
    }
}

/// Puts what was read into the copy.
fn take_data(entry: &mut Entry, now: Instant, bytes: &[u8], alive: bool) {
    let Some(copy) = entry.copy.clone() else { return };
    let before = entry.core.place().at;
    let took = match bytes {
        [] => Took::All,
        bytes => take(&entry.store.fs, &copy.file, entry.core.place_mut(), bytes),
    };
    let moved = entry.core.place().at - before;
    entry.core.handle_data(now, took, moved, alive);
}

/// Tells the core that a look at the socket gave nothing to go on with.
fn hear_no_more<T>(entry: &mut Entry, now: Instant, heard: Heard<T>) {
    match heard {
        Heard::Something(_) | Heard::Nothing => {}
        Heard::Closed => entry.core.handle_end(now, End::Closed),
        Heard::Broken(error) => entry.core.handle_end(now, End::Broken(cause(&error))),
        Heard::Faulty(fault) => entry.core.handle_wire_fault(now, &fault),
    }
}
