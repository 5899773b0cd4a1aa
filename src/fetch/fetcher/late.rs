//! Connections for late bytes: carries out what [`Late`](crate::fetch::late::Late) says.

use std::collections::VecDeque;
use std::time::Instant;

use super::Fetcher;
use crate::evloop::slots::Slot;
use crate::fetch::conn::Role;
use crate::fetch::entry::Entry;
use crate::fetch::late::Output;
use crate::fetch::recheck::Rechecked;
use crate::sys::cause::cause;

/// So many sources ask for late bytes at the same time: each needs two descriptors, and an answer is
/// a matter of milliseconds.
const ASKING_MAX: usize = 16;

/// Who asks for late bytes, and who waits to.
#[derive(Debug, Default)]
pub(super) struct Asking {
    count: usize,
    waiting: VecDeque<Slot>,
}

impl Fetcher {
    /// Carries out everything that the core for late bytes of `slot` wants done.
    pub(super) fn drain_late(&mut self, now: Instant, slot: Slot) {
        while let Some(output) =
            self.sources.get_mut(slot).and_then(|entry| entry.late.poll_output())
        {
            self.carry_out_late(now, slot, output);
        }
    }

    fn carry_out_late(&mut self, now: Instant, slot: Slot, output: Output) {
        let Some(entry) = self.sources.get_mut(slot) else { return };
        match output {
            Output::Admit => self.asking.waiting.push_back(slot),
            Output::Connect => self.connect_late(now, slot),
            Output::Ask(request) => {
                let conn = entry.late_conn.and_then(|conn| self.conns.get_mut(conn));
                let asked = entry
                    .with_archive_samples(request)
                    .and_then(|request| conn.map_or(Ok(()), |conn| conn.ask(request)));
                if let Err(error) = asked {
                    entry.late.handle_unreachable(now, &cause(&error));
                }
            }
            Output::Open => {
                if let Some(task) = entry.recheck(slot, None) {
                    self.jobs.recheck(task);
                }
            }
            Output::Record(place) => {
                let task = entry.recheck(slot, Some(place));
                self.close_late(slot);
                if let Some(task) = task {
                    self.jobs.recheck(task);
                }
            }
            Output::Close => {
                entry.archive = None;
                self.close_late(slot);
                self.asking.count -= 1;
            }
            Output::Tell(event) => self.tell(slot, &event.to_string()),
            Output::Note(what) => log::debug!("{}: {what}", entry.config),
        }
    }

    /// Those who wait, as far as there is room; at the end of each turn.
    pub(super) fn admit_late(&mut self, now: Instant) {
        while self.asking.count < ASKING_MAX {
            let Some(slot) = self.asking.waiting.pop_front() else { return };
            let Some(entry) = self.sources.get_mut(slot) else { continue };
            if entry.late.queued() {
                self.asking.count += 1;
                entry.admit_late(now);
                self.drain(now, slot);
            }
        }
    }

    fn connect_late(&mut self, now: Instant, slot: Slot) {
        let Some(entry) = self.sources.get_mut(slot) else { return };
        let connected = match entry.known_address() {
            _ if entry.core.lacks_room() => Err("no room".to_owned()),
            Some(address) => self.open_conn(slot, Role::Late, address).map_err(|e| cause(&e)),
            None => Err("the source was not reached yet".to_owned()),
        };
        if let (Err(why), Some(entry)) = (connected, self.sources.get_mut(slot)) {
            entry.late.handle_unreachable(now, &why);
        }
    }

    pub(super) fn close_late(&mut self, slot: Slot) {
        let conn = self.sources.get_mut(slot).and_then(|entry| entry.late_conn.take());
        drop(conn.and_then(|conn| self.conns.remove(conn)));
    }

    /// A source goes; what it has asked for late is asked for at the next start.
    pub(super) fn leave_late(&mut self, entry: &mut Entry) {
        drop(entry.late_conn.take().and_then(|conn| self.conns.remove(conn)));
        if entry.late.admitted() {
            self.asking.count -= 1;
        }
    }

    pub(super) fn handle_rechecked(&mut self, now: Instant, slot: Slot, done: Rechecked) {
        if let Some(mut entry) = self.leaving.remove(&slot) {
            entry.handle_rechecked(now, done);
            while let Some(output) = entry.late.poll_output() {
                if let Output::Tell(event) = output {
                    self.tell_of(&entry.config, &event.to_string());
                }
            }
            self.leave(slot, entry);
            self.let_arrive();
            return;
        }
        let Some(entry) = self.sources.get_mut(slot) else { return };
        entry.handle_rechecked(now, done);
        let conn_slot = entry.late_conn;
        self.drain(now, slot);
        // What waited in the socket has its turn now.
        if let Some(conn_slot) = conn_slot
            && let Some(conn) = self.conns.get_mut(conn_slot)
        {
            self.ready.push(conn_slot, &mut conn.queued);
        }
    }

    /// The share of the turn of a connection for late bytes.
    pub(super) fn take_late_turn(&mut self, now: Instant, slot: Slot, source: Slot) {
        let (Some(conn), Some(entry)) = (self.conns.get_mut(slot), self.sources.get_mut(source))
        else {
            return;
        };
        let done = match conn.connected {
            true => conn.send_rest(),
            false => match conn.poll_connected() {
                Ok(false) => return,
                Ok(true) => {
                    entry.late.handle_connected(now);
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = done {
            entry.late.handle_unreachable(now, &cause(&error));
        }
        self.drain(now, source);
        self.read(now, slot, source);
    }
}
