//! The loop, and the tables it works on.
//!
//! One turn: wait for the nearest deadline or an event; note who is ready; read the hints; give
//! every ready connection a turn with a budget; wake those whose time has come; obey signals; accept.
//! A connection has a turn when its socket is ready, when a hint concerns its file, when its session
//! wants it, and at every `check`, hints or not: the hints make it quick, the check makes it right.
//!
//! Nothing about the protocol, offsets or rotation is decided here.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::allow::Allow;
use super::conn::{Conn, Desk, Turn};
use super::files::{FileNo, Files};
use super::hints::Hints;
use super::listeners::{Complaints, Listeners};
use super::session::{CloseReason, Times};
use super::{read_config, sentences};
use crate::config::ServeConfig;
use crate::evloop::deadlines::Deadlines;
use crate::evloop::ready::ReadyQueue;
use crate::evloop::slots::{Slot, Slots};
use crate::evloop::stopper::Stopper;
use crate::evloop::who::Who;
use crate::evloop::{EventLoop, Interest, Readiness};
use crate::sys::logs::{DiskLogs, Logs};
use crate::sys::signal::{self, SIGHUP, SIGINT, SIGTERM, Signals};
use crate::sys::{clock, net, service};

/// Connections accepted in one turn: a flood of them must not keep the loop from those it has.
const ACCEPTED_MAX: usize = 64;

/// A responder that listens.
pub struct Responder {
    evloop: EventLoop,
    stopper: Stopper,
    signals: Option<(Signals, PathBuf)>,
    signalled: bool,
    listeners: Listeners,
    complaints: Complaints,
    allow: Allow,
    connections_max: usize,
    desk: Desk,
    conns: Slots<Conn>,
    /// Who follows each served file.
    followers: Vec<BTreeSet<Slot>>,
    queue: ReadyQueue,
    deadlines: Deadlines,
    hints: Hints,
    hinted: bool,
    check: Duration,
    next_check: Instant,
}

fn times_of(config: &ServeConfig) -> Times {
    Times { request: config.request_timeout, heartbeat: config.heartbeat, linger: config.linger }
}

impl Responder {
    /// Listens as `config` says. From now on SIGIO is ignored in this process: asking who writes to a
    /// file can cause one.
    pub fn bind(config: ServeConfig) -> io::Result<Responder> {
        signal::ignore_sigio()?;
        let evloop = EventLoop::new()?;
        let stopper = Stopper::new(Arc::new(evloop.waker()?));
        let mut listeners = Listeners::default();
        listeners.set(&config.listen, &evloop)?;
        let times = times_of(&config);
        let files = Files::new(config.files, DiskLogs::resolve);
        let hints = Hints::new(&files)?;
        evloop.register_readable(&hints, Who::Watch)?;
        let responder = Responder {
            evloop,
            stopper,
            signals: None,
            signalled: false,
            listeners,
            complaints: Complaints::default(),
            allow: Allow::new(config.allow),
            connections_max: config.max_connections,
            followers: files.iter().map(|_| BTreeSet::new()).collect(),
            desk: Desk::new(DiskLogs::new()?, files, times),
            conns: Slots::default(),
            queue: ReadyQueue::default(),
            deadlines: Deadlines::default(),
            hints,
            hinted: false,
            check: config.check,
            next_check: clock::now() + config.check,
        };
        responder.warn_of_links();
        Ok(responder)
    }

    /// The addresses in fact listened at.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.local_addrs()
    }

    /// Something to end it by from another thread.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Ends on SIGTERM and SIGINT, and reads its configuration again from `path` on SIGHUP.
    pub fn obey_signals(&mut self, path: PathBuf) -> io::Result<()> {
        let mut signals = signal::catch(&[SIGTERM, SIGINT, SIGHUP])?;
        self.evloop.register(&mut signals, Who::Signals, Interest::READABLE)?;
        self.signals = Some((signals, path));
        Ok(())
    }

    /// Serves until it is told to stop.
    pub fn run(mut self) -> io::Result<()> {
        service::ready();
        let mut told = Vec::new();
        while !self.stopper.stopped() {
            self.turn(&mut told)?;
        }
        service::stopping();
        Ok(())
    }

    fn turn(&mut self, told: &mut Vec<(Who, Readiness)>) -> io::Result<()> {
        let before = clock::now();
        self.evloop.wait(before, self.deadline(before), told)?;
        let now = clock::now();
        for &(who, readiness) in told.iter() {
            self.note(who, readiness);
        }
        if self.hinted {
            self.read_hints()?;
        }
        for _ in 0..self.queue.len() {
            if let Some(slot) = self.queue.pop() {
                self.serve(slot, now);
            }
        }
        self.wake_due(now);
        if self.signalled {
            self.obey(now);
        }
        self.accept(now);
        Ok(())
    }

    /// When to go on at the latest.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        if !self.queue.is_empty() || self.hinted {
            return Some(now);
        }
        let room = self.conns.len() < self.connections_max;
        let accept = self.listeners.deadline(now).filter(|_| room);
        [Some(self.next_check), self.deadlines.next(), accept].into_iter().flatten().min()
    }

    fn note(&mut self, who: Who, readiness: Readiness) {
        match who {
            Who::Signals => self.signalled = true,
            Who::Wake => {}
            Who::Watch => self.hinted = true,
            Who::Listener(number) => self.listeners.note(number),
            Who::Conn(slot) => {
                if let Some(conn) = self.conns.get_mut(slot) {
                    conn.note(readiness);
                    self.queue.push(slot, &mut conn.queued);
                }
            }
        }
    }

    fn wake(&mut self, slot: Slot) {
        if let Some(conn) = self.conns.get_mut(slot) {
            self.queue.push(slot, &mut conn.queued);
        }
    }

    fn wake_all(&mut self) {
        for slot in self.conns.slots() {
            self.wake(slot);
        }
    }

    fn read_hints(&mut self) -> io::Result<()> {
        let woken = self.hints.read(&self.desk.files)?;
        self.hinted = woken.more;
        if woken.all {
            self.wake_all();
        }
        for number in woken.files {
            for &slot in &self.followers[number] {
                if let Some(conn) = self.conns.get_mut(slot) {
                    self.queue.push(slot, &mut conn.queued);
                }
            }
        }
        Ok(())
    }

    fn serve(&mut self, slot: Slot, now: Instant) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        conn.queued = false;
        let before = conn.followed();
        let turn = conn.turn(now, &mut self.desk);
        if before.is_none()
            && let Some(number) = conn.followed()
        {
            self.followers[number].insert(slot);
            let path = &self.desk.files.get(number).asked_as;
            sentences::opened(conn.peer(), path, conn.sent().unwrap_or(0));
        }
        match turn {
            Turn::Rest => {}
            Turn::More => self.queue.push(slot, &mut conn.queued),
            Turn::Close(reason) => return self.close(slot, &reason),
        }
        let deadline = conn.deadline();
        self.deadlines.arm(&mut conn.alarm, slot, Some(deadline));
    }

    fn close(&mut self, slot: Slot, reason: &CloseReason) {
        let Some(conn) = self.conns.remove(slot) else { return };
        let number = conn.followed();
        if let Some(followers) = number.and_then(|number| self.followers.get_mut(number)) {
            followers.remove(&slot);
        }
        let path = number.map(|number| self.desk.files.get(number).asked_as.as_path());
        sentences::closed(conn.peer(), path, conn.sent(), reason);
        self.listeners.resume();
    }

    fn wake_due(&mut self, now: Instant) {
        while let Some((slot, at)) = self.deadlines.pop_due(now) {
            if self.conns.get_mut(slot).is_some_and(|conn| conn.alarm.rings(at)) {
                self.wake(slot);
            }
        }
        if now >= self.next_check {
            self.next_check = now + self.check;
            self.hints.renew();
            self.wake_all();
        }
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTED_MAX {
            if self.conns.len() >= self.connections_max {
                return;
            }
            let Some((stream, peer)) = self.listeners.accept(now) else { return };
            if !self.allow.permits(peer.ip()) {
                self.complaints.note(now, peer.ip());
            } else if let Err(error) = self.welcome(stream, peer, now) {
                log::debug!("cannot serve {peer}: {error}");
            }
        }
    }

    fn welcome(&mut self, stream: TcpStream, peer: SocketAddr, now: Instant) -> io::Result<()> {
        net::prepare_accepted(&stream)?;
        let times = self.desk.times;
        let slot = self.conns.insert_with(|_| Conn::new(stream, peer, now, times));
        let Some(conn) = self.conns.get_mut(slot) else { return Ok(()) };
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.evloop.register(conn.stream(), Who::Conn(slot), both) {
            self.conns.remove(slot);
            return Err(error);
        }
        let deadline = conn.deadline();
        self.deadlines.arm(&mut conn.alarm, slot, Some(deadline));
        Ok(())
    }

    fn obey(&mut self, now: Instant) {
        self.signalled = false;
        let Some((signals, path)) = &mut self.signals else { return };
        let arrived: Vec<i32> = signals.pending().collect();
        if arrived.iter().any(|&signal| signal == SIGTERM || signal == SIGINT) {
            self.stopper.mark();
        } else if arrived.contains(&SIGHUP) {
            let path = path.clone();
            service::reloading();
            let done = read_config(&path)
                .and_then(|config| self.apply(config, now).map_err(|error| error.to_string()));
            match done {
                Ok(()) => sentences::reloaded(&path),
                Err(faults) => sentences::not_reloaded(&path, &faults),
            }
            service::ready();
        }
    }

    /// Goes on with another configuration; if it cannot be had, with the old one.
    fn apply(&mut self, config: ServeConfig, now: Instant) -> io::Result<()> {
        let times = times_of(&config);
        let files = Files::new(config.files, DiskLogs::resolve);
        let hints = Hints::new(&files)?;
        self.evloop.register_readable(&hints, Who::Watch)?;
        self.listeners.set(&config.listen, &self.evloop)?;
        self.hints = hints;
        self.allow = Allow::new(config.allow);
        self.connections_max = config.max_connections;
        self.check = config.check;
        self.next_check = now;
        self.desk.times = times;
        self.exchange_files(files);
        self.warn_of_links();
        Ok(())
    }

    /// Closes what is served no longer, and gives all others the new numbers and times.
    fn exchange_files(&mut self, files: Files) {
        let mut numbers: HashMap<FileNo, FileNo> = HashMap::new();
        for (number, served) in self.desk.files.iter() {
            if let Some(new) = files.look_up(served.asked_as.as_os_str().as_encoded_bytes()) {
                numbers.insert(number, new);
            }
        }
        for slot in self.conns.slots() {
            let Some(conn) = self.conns.get_mut(slot) else { continue };
            let gone = conn.followed().is_some_and(|number| !numbers.contains_key(&number));
            if gone || !self.allow.permits(conn.peer().ip()) {
                self.close(slot, &CloseReason::Withdrawn);
            }
        }
        self.followers = files.iter().map(|_| BTreeSet::new()).collect();
        self.desk.files = files;
        for slot in self.conns.slots() {
            let Some(conn) = self.conns.get_mut(slot) else { continue };
            conn.set_times(self.desk.times);
            if let Some(new) = conn.followed().and_then(|number| numbers.get(&number)) {
                conn.renumber(*new);
                self.followers[*new].insert(slot);
            }
        }
    }

    fn warn_of_links(&self) {
        for (_, served) in self.desk.files.iter() {
            if let Ok(Some(facts)) = self.desk.logs.facts_at(&served.path)
                && !facts.regular
            {
                sentences::not_regular(&served.asked_as);
            }
        }
    }
}
