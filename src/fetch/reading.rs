//! What is read from a connection, and which of a source's two cores it is for.

use std::time::Instant;

use super::conn::{Conn, Heard, Role};
use super::entry::Entry;
use super::terms::{End, Wants};
use crate::proto::fetch::strip_alive;
use crate::proto::frame::{Event, Frames};
use crate::proto::status::Reply;
use crate::proto::{STATUS_BYTES_MAX, WireFault};
use crate::sys::cause::cause;
use crate::sys::fs::Fs;
use crate::sys::net::Socket;

/// Reads once what the source wants of its connection, through `buffer`, and tells the core for which it is.
/// Gives how many bytes it counts for; nothing if it wants none now. What the core then wants done has to be
/// carried out before more is read.
pub fn read<F: Fs, S: Socket>(
    now: Instant,
    entry: &mut Entry<F>,
    conn: &mut Conn<S>,
    buffer: &mut [u8],
) -> Option<usize> {
    let role = conn.role;
    match wants(entry, role) {
        Wants::Nothing => return None,
        Wants::Status => match conn.read_status() {
            Heard::Something(reply) => {
                take_reply(entry, role, now, &reply);
                // Whoever says without end that it works does not hold up the others.
                return Some(STATUS_BYTES_MAX);
            }
            other => hear_no_more(entry, role, now, other),
        },
        Wants::Data => match conn.read_data(buffer) {
            Heard::Something(received) => {
                let bytes = &mut buffer[..received];
                match &mut conn.frames {
                    None => take_plain(entry, role, now, bytes),
                    Some(frames) => conn.ended |= take_frames(entry, role, now, frames, bytes),
                }
                if role == Role::Main {
                    entry.core.handle_drained();
                }
                return Some(received);
            }
            other => hear_no_more(entry, role, now, other),
        },
    }
    Some(0)
}

/// What may be read from its connection of this role now.
pub fn wants<F: Fs>(entry: &Entry<F>, role: Role) -> Wants {
    match role {
        Role::Main => entry.core.wants(),
        Role::Late => entry.late.wants(),
    }
}

fn take_reply<F: Fs>(entry: &mut Entry<F>, role: Role, now: Instant, reply: &Reply) {
    match (role, reply) {
        (Role::Late, reply) => entry.late.handle_reply(now, reply),
        (Role::Main, Reply::One(status)) => entry.core.handle_status(now, *status),
        (Role::Main, Reply::Two(answer)) => entry.core.handle_answer(now, answer),
        (Role::Main, Reply::Refused(why)) => entry.core.handle_refusal(now, why),
        (Role::Main, Reply::Working) => entry.core.handle_working(now),
    }
}

/// What was read in protocol 1: content and heartbeats. It has no late bytes.
fn take_plain<F: Fs>(entry: &mut Entry<F>, role: Role, now: Instant, bytes: &mut [u8]) {
    if role == Role::Main {
        let len = strip_alive(bytes);
        entry.take_data(now, &bytes[..len], len < bytes.len());
    }
}

/// What was read in protocol 2: frames. Says whether the end was among them.
fn take_frames<F: Fs>(
    entry: &mut Entry<F>,
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

fn handle_fault<F: Fs>(entry: &mut Entry<F>, role: Role, now: Instant, fault: &WireFault) {
    match role {
        Role::Main => entry.core.handle_wire_fault(now, fault),
        Role::Late => entry.late.handle_wire_fault(now, fault),
    }
}

/// Tells the core that a look at the socket gave nothing to go on with.
fn hear_no_more<F: Fs, T>(entry: &mut Entry<F>, role: Role, now: Instant, heard: Heard<T>) {
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
