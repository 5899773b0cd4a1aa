//! The loop, and the tables it works on.
//!
//! One turn: wait for the nearest deadline or an event; note who is ready; read the hints; give
//! every ready connection a turn with a budget; wake those whose time has come; obey signals;
//! accept. A connection has a turn when its socket is ready, when a hint concerns its file, when
//! its session wants it, and at every `check`, hints or not: the hints make it quick, the check
//! makes it right.
//!
//! Nothing about the protocol, offsets or rotation is decided here.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::allow::Allow;
use super::conn::{Conn, Desk, Turn};
use super::crowd::{Crowd, Limits};
use super::files::Files;
use super::hints::Hints;
use super::jobs::{Hands, Jobs, Report};
use super::listeners::{Listeners, Unwelcome};
use super::listing::Look;
use super::session::{CloseReason, Times};
use super::{connections_of, sentences};
use crate::config::ServeConfig;
use crate::evloop::deadlines::Deadlines;
use crate::evloop::ready::ReadyQueue;
use crate::evloop::slots::{Slot, Slots};
use crate::evloop::stopper::Stopper;
use crate::evloop::who::Who;
use crate::evloop::{EventLoop, Interest, Readiness};
use crate::sys::limits::descriptors;
use crate::sys::linux::boot::boot_id;
use crate::sys::logs::DiskLogs;
use crate::sys::signal::{self, Signals};
use crate::sys::{clock, net, service};

mod reload;

/// Connections accepted in one turn: a flood of them must not keep the loop from those it has.
const ACCEPTED_MAX: usize = 64;

/// A responder that listens.
pub struct Responder {
    evloop: EventLoop,
    stopper: Stopper,
    signals: Option<(Signals, PathBuf)>,
    signalled: bool,
    listeners: Listeners,
    unwelcome: Unwelcome,
    allow: Allow,
    crowd: Crowd<Slot>,
    desk: Desk,
    conns: Slots<Conn>,
    /// Who follows each served file.
    followers: Vec<BTreeSet<Slot>>,
    /// Who is told lists.
    listing: BTreeSet<Slot>,
    queue: ReadyQueue,
    deadlines: Deadlines,
    hints: Hints,
    hinted: bool,
    check: Duration,
    next_check: Instant,
}

fn wake(conns: &mut Slots<Conn>, queue: &mut ReadyQueue, slot: Slot) {
    if let Some(conn) = conns.get_mut(slot) {
        queue.push(slot, &mut conn.queued);
    }
}

fn times_of(config: &ServeConfig) -> Times {
    Times { request: config.request_timeout, heartbeat: config.heartbeat, linger: config.linger }
}

fn limits_of(config: &ServeConfig) -> io::Result<Limits> {
    let connections = connections_of(config, descriptors()?);
    Ok(Limits { connections, per_address: config.max_per_address })
}

impl Responder {
    /// Listens as `config` says. From now on SIGIO is ignored in this process: asking who writes to
    /// a file can cause one.
    pub fn bind(config: ServeConfig) -> io::Result<Responder> {
        signal::ignore_sigio()?;
        let evloop = EventLoop::new()?;
        let waker = Arc::new(evloop.waker()?);
        let jobs = Jobs::start(Arc::clone(&waker))?;
        let mut listeners = Listeners::default();
        listeners.set(&config.listen, &evloop)?;
        let (times, limits) = (times_of(&config), limits_of(&config)?);
        let files = Files::new(config.files, DiskLogs::resolve);
        let hints = Hints::new(&files);
        if let Some(watch) = hints.watch() {
            evloop.register_readable(watch, Who::Watch)?;
        }
        let responder = Responder {
            evloop,
            stopper: Stopper::new(waker),
            signals: None,
            signalled: false,
            listeners,
            unwelcome: Unwelcome::default(),
            allow: Allow::new(config.allow),
            crowd: Crowd::new(limits),
            followers: files.iter().map(|_| BTreeSet::new()).collect(),
            listing: BTreeSet::new(),
            desk: Desk::new(DiskLogs::new()?, files, times, jobs, boot_id()),
            conns: Slots::default(),
            queue: ReadyQueue::default(),
            deadlines: Deadlines::default(),
            hints,
            hinted: false,
            check: config.check,
            next_check: clock::now() + config.check,
        };
        responder.warn_of_refusals();
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

    /// Serves until it is told to stop.
    pub fn run(mut self) -> io::Result<()> {
        service::ready();
        let mut told = Vec::new();
        while !self.stopper.stopped() {
            self.turn(&mut told)?;
        }
        service::stopping();
        for slot in self.conns.slots() {
            if let Some(conn) = self.conns.get_mut(slot) {
                conn.part();
            }
        }
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
        while let Some(Report { slot, done, .. }) = self.desk.jobs.poll_report() {
            if let Some(conn) = self.conns.get_mut(slot) {
                conn.take(done);
                self.queue.push(slot, &mut conn.queued);
            }
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
        let accept = self.listeners.deadline(now).filter(|_| self.crowd.has_room());
        [Some(self.next_check), self.deadlines.next(), accept].into_iter().flatten().min()
    }

    fn note(&mut self, who: Who, readiness: Readiness) {
        match who {
            Who::Signals => self.signalled = true,
            // What it wakes for is looked at in every turn.
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

    fn wake_all(&mut self) {
        self.hint_lists(&Look::All);
        for slot in self.conns.slots() {
            wake(&mut self.conns, &mut self.queue, slot);
        }
    }

    /// Wakes those who are told lists.
    pub(super) fn hint_lists(&mut self, look: &Look) {
        for &slot in &self.listing {
            if let Some(conn) = self.conns.get_mut(slot) {
                conn.hint(look.clone());
                self.queue.push(slot, &mut conn.queued);
            }
        }
    }

    fn read_hints(&mut self) -> io::Result<()> {
        let woken = self.hints.read(&self.desk.files)?;
        self.hinted = woken.more;
        if woken.all {
            self.wake_all();
        }
        if !woken.files.is_empty() {
            self.hint_lists(&Look::Some(woken.files.clone()));
        }
        for number in woken.files {
            for &slot in &self.followers[number] {
                wake(&mut self.conns, &mut self.queue, slot);
            }
        }
        Ok(())
    }

    fn serve(&mut self, slot: Slot, now: Instant) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        conn.queued = false;
        let (before, was_asking) = (conn.followed(), conn.is_asking());
        let turn = conn.turn(now, &mut self.desk);
        if was_asking && !conn.is_asking() {
            self.crowd.has_asked(conn.ticket());
        }
        if before.is_none()
            && let Some(number) = conn.followed()
        {
            self.followers[number].insert(slot);
            sentences::opened(conn.peer(), &self.desk.files.get(number).asked_as);
        }
        if conn.is_listing() {
            self.listing.insert(slot);
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
        self.crowd.leave(conn.ticket());
        self.listing.remove(&slot);
        if let Some(errand) = conn.errand() {
            self.desk.jobs.forget(errand);
        }
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
            if let Some(conn) = self.conns.get_mut(slot)
                && conn.alarm.rings(at)
            {
                self.queue.push(slot, &mut conn.queued);
            }
        }
        if now >= self.next_check {
            self.next_check = now + self.check;
            self.hints.renew();
            self.wake_all();
        }
    }

    fn accept(&mut self, now: Instant) {
        // Who has asked is heard before he can be among those who have to go.
        let most = ACCEPTED_MAX.min(self.crowd.limits().asking() / 2);
        for _ in 0..most {
            if !self.crowd.has_room() {
                return;
            }
            let Some((stream, peer)) = self.listeners.accept(now) else { return };
            if !self.allow.permits(peer.ip()) {
                self.unwelcome.note_stranger(now, peer.ip());
            } else if !self.crowd.admits(peer.ip()) {
                let limit = self.crowd.limits().per_address;
                self.unwelcome.note_too_many(now, peer.ip(), limit);
            } else if let Err(error) = net::prepare_accepted(&stream) {
                sentences::not_welcomed(peer, &error);
            } else if let Err(error) = self.welcome(stream, peer, now) {
                self.listeners.pause(now, &error);
            }
        }
    }

    fn welcome(&mut self, stream: TcpStream, peer: SocketAddr, now: Instant) -> io::Result<()> {
        let times = self.desk.times;
        let mut crowded = None;
        let slot = self.conns.insert_with(|slot| {
            let (ticket, gone) = self.crowd.enter(now, peer.ip(), slot);
            crowded = gone;
            Conn::new(slot, stream, peer, now, times, ticket)
        });
        if let Some(slot) = crowded {
            self.send_away(slot, now);
        }
        let Some(conn) = self.conns.get_mut(slot) else { return Ok(()) };
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.evloop.register(conn.stream(), Who::Conn(slot), both) {
            self.crowd.leave(conn.ticket());
            self.conns.remove(slot);
            return Err(error);
        }
        let deadline = conn.deadline();
        self.deadlines.arm(&mut conn.alarm, slot, Some(deadline));
        Ok(())
    }

    /// Closes one that has asked for nothing, for one that may.
    fn send_away(&mut self, slot: Slot, now: Instant) {
        if let Some(conn) = self.conns.get(slot) {
            let limit = self.crowd.limits().asking();
            self.unwelcome.note_silent(now, conn.peer().ip(), limit);
            self.close(slot, &CloseReason::Crowded);
        }
    }
}
