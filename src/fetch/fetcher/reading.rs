//! What is read from connections, and which of a source's two cores it is for.

use std::time::Instant;

use super::{BUDGET_BYTES, Fetcher};
use crate::evloop::slots::Slot;
use crate::fetch::conn::{Heard, Role};
use crate::fetch::entry::Entry;
use crate::fetch::terms::{End, Wants};
use crate::proto::fetch::strip_alive;
use crate::proto::frame::{Event, Frames};
use crate::proto::status::Reply;
use crate::proto::{STATUS_BYTES_MAX, WireFault};
use crate::sys::cause::cause;

impl Fetcher {
    /// Reads what one connection may read in one turn.
    pub(super) fn read(&mut self, now: Instant, slot: Slot, source: Slot) {
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
            let (role, mut taken) = (conn.role, 0);
            match wants(entry, role) {
                Wants::Nothing => return,
                Wants::Status => match conn.read_status() {
                    Heard::Something(reply) => {
                        // Whoever says without end that it works does not hold up the others.
                        budget = budget.saturating_sub(STATUS_BYTES_MAX);
                        take_reply(entry, role, now, &reply);
                    }
                    other => hear_no_more(entry, role, now, other),
                },
                Wants::Data => match conn.read_data(&mut self.buffer) {
                    Heard::Something(received) => {
                        budget = budget.saturating_sub(received);
                        taken = received;
                        let bytes = &mut self.buffer[..received];
                        match &mut conn.frames {
                            None => take_plain(entry, role, now, bytes),
                            Some(frames) => {
                                conn.ended |= take_frames(entry, role, now, frames, bytes);
                            }
                        }
                        if role == Role::Main {
                            entry.core.handle_drained();
                        }
                    }
                    other => hear_no_more(entry, role, now, other),
                },
            }
            self.note_taken(source, taken);
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
}

fn wants(entry: &Entry, role: Role) -> Wants {
    match role {
        Role::Main => entry.core.wants(),
        Role::Late => entry.late.wants(),
    }
}

fn take_reply(entry: &mut Entry, role: Role, now: Instant, reply: &Reply) {
    match (role, reply) {
        (Role::Late, reply) => entry.late.handle_reply(now, reply),
        (Role::Main, Reply::One(status)) => entry.core.handle_status(now, *status),
        (Role::Main, Reply::Two(answer)) => entry.core.handle_answer(now, answer),
        (Role::Main, Reply::Refused(why)) => entry.core.handle_refusal(now, why),
        (Role::Main, Reply::Working) => entry.core.handle_working(now),
    }
}

/// What was read in protocol 1: content and heartbeats. It has no late bytes.
fn take_plain(entry: &mut Entry, role: Role, now: Instant, bytes: &mut [u8]) {
    if role == Role::Main {
        let len = strip_alive(bytes);
        entry.take_data(now, &bytes[..len], len < bytes.len());
    }
}

/// What was read in protocol 2: frames. Says whether the end was among them.
fn take_frames(
    entry: &mut Entry,
    role: Role,
    now: Instant,
    frames: &mut Frames,
    bytes: &[u8],
) -> bool {
    let (mut at, mut ended) = (0, false);
    // What came may have ended the connection.
    while wants(entry, role) == Wants::Data {
        match (role, frames.poll_event(bytes, &mut at)) {
            (Role::Main, Ok(Some(Event::Data(range)))) => {
                entry.take_data(now, &bytes[range], false);
            }
            (Role::Late, Ok(Some(Event::Data(range)))) => entry.take_late(now, &bytes[range]),
            (Role::Main, Ok(Some(Event::Heartbeat { size, mtime_ns }))) => {
                entry.core.handle_heartbeat(now, size, size == frames.offset(), mtime_ns);
            }
            (Role::Late, Ok(Some(Event::Heartbeat { size, .. }))) => {
                entry.late.handle_heartbeat(now, size == frames.offset());
            }
            (role, Ok(Some(Event::Close(_)))) => {
                ended = true;
                if role == Role::Late {
                    entry.late.handle_close();
                }
            }
            // The decoder gives a digest only where one was asked for.
            (_, Ok(Some(Event::Sum(_)) | None)) => break,
            (role, Err(fault)) => handle_fault(entry, role, now, &fault),
        }
    }
    ended
}

fn handle_fault(entry: &mut Entry, role: Role, now: Instant, fault: &WireFault) {
    match role {
        Role::Main => entry.core.handle_wire_fault(now, fault),
        Role::Late => entry.late.handle_wire_fault(now, fault),
    }
}

/// Tells the core that a look at the socket gave nothing to go on with.
fn hear_no_more<T>(entry: &mut Entry, role: Role, now: Instant, heard: Heard<T>) {
    let end = match heard {
        Heard::Something(_) | Heard::Nothing => return,
        Heard::Faulty(fault) => return handle_fault(entry, role, now, &fault),
        Heard::Closed => End::Closed,
        Heard::Broken(error) => End::Broken(cause(&error)),
    };
    match role {
        Role::Main => entry.core.handle_end(now, end),
        Role::Late => entry.late.handle_end(now, end),
    }
}
