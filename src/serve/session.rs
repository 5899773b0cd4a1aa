//! One fetcher, from its first byte to the end of its generation.
//!
//! The peer is a fetcher that speaks protocol 1, or anything else that can connect. States:
//!
//! ```text
//! Asking ----- the request is complete and a file was found -----> Following
//!    |                                                                |
//!    +-- too slow, not a request, nothing found, hung up -> (closed) <-+-- the generation ended,
//!                                                                        it spoke, hung up, or
//!                                                                        did not read
//! ```
//!
//! The session is told one [`Input`] and says one [`Output`]: what its owner does next. Carrying an
//! output out gives the next input, until there is [`Output::Rest`] or [`Output::Close`]. An owner
//! that must stop in between just stops: [`Input::Woken`] finds the thread again.
//!
//! ```text
//! Opened -> Say (status) -> Said -> Look -> Seen -> Send -> Sent -> Look ... -> Rest
//! ```
//!
//! Whatever is sent, the size is looked at anew before anything else, so a truncation never goes
//! unseen between two chunks. Not here: sockets, files, clocks, file data, the log. The session
//! speaks of the generation's bytes by their offset only, so its owner may copy, mask or splice
//! them.

use std::time::{Duration, Instant};

use super::tail::{Decision, End, Tail, View};
use crate::pos::Offset;
use crate::proto::ask::Ask;
use crate::proto::request::Request;
use crate::proto::serve::Ear;
use crate::proto::status::{Status, emit_status};
use crate::proto::{ALIVE, WireFault};

/// A fetcher that takes nothing for so long is given up, as fetchlogs 1.1 does.
const BLOCKED_MAX: Duration = Duration::from_secs(60);

/// How long things may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// For the request line.
    pub request: Duration,
    /// Silence before a heartbeat.
    pub heartbeat: Duration,
    /// Quiet after which a file that lost its name has ended, whoever has it open.
    pub linger: Duration,
}

/// The session.
#[derive(Debug)]
pub struct Session {
    state: State,
    times: Times,
}

#[derive(Debug)]
enum State {
    Asking { ear: Ear, deadline: Instant },
    Following(Following),
}

#[derive(Debug)]
struct Following {
    tail: Tail,
    /// What is to be said before the next byte of the file: the status line, a heartbeat.
    words: Vec<u8>,
    /// The fetcher knows that it has all there is.
    told_end: bool,
    /// When the last byte went out.
    spoke_at: Instant,
    /// Since when the socket takes nothing.
    blocked_since: Option<Instant>,
}

/// What has happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// There may be something to do: a file changed, or the deadline has come.
    Woken,
    /// The socket takes bytes again.
    Writable,
    /// The fetcher sent bytes.
    Heard(&'a [u8]),
    /// The fetcher closed its side, or the connection broke.
    HungUp,
    /// Nothing is served for the request.
    Refused,
    /// The generation was opened.
    Opened(Opening),
    /// How the file looks.
    Seen(View),
    /// The file cannot be looked at or read.
    Unreadable,
    /// Whether a later generation exists.
    Successor(bool),
    /// So many of the words were written.
    Said(usize),
    /// So many bytes of the file were written; 0 if it had none.
    Sent(usize),
    /// The socket takes nothing now.
    Blocked,
}

/// A generation found and opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// The answer.
    pub status: Status,
    /// The first byte to be sent.
    pub from: Offset,
    /// The file's length.
    pub size: Offset,
    /// How long it has been without its name and nothing was written to it.
    pub quiet: Duration,
}

/// What to do next.
#[derive(PartialEq, Eq, Debug)]
pub enum Output {
    /// Wait for something to happen.
    Rest,
    /// Find and open what is asked for.
    Find(Request),
    /// Write [`Session::words`], all in one call.
    Say,
    /// Look at the file.
    Look,
    /// Ask who has the file open for writing, and *after that* look at it.
    AskWriters,
    /// Look whether a later generation exists.
    SeekSuccessor,
    /// Write bytes of the file from here on.
    Send(Offset),
    /// Close the connection.
    Close(CloseReason),
}

/// Why a connection is closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CloseReason {
    /// The generation ended.
    Ended(End),
    /// Nothing is served for the request.
    Refused,
    /// What came was not the protocol.
    Fault(WireFault),
    /// No request in time.
    RequestTimeout,
    /// The fetcher closed its side, or the connection broke.
    HungUp,
    /// The fetcher took nothing for too long.
    Blocked,
    /// The file cannot be read any more.
    Unreadable,
    /// The configuration was read again and this is no longer served, or not to this peer.
    Withdrawn,
}

impl Session {
    /// A connection that was just accepted.
    pub fn new(now: Instant, times: Times) -> Session {
        Session { state: State::Asking { ear: Ear::new(), deadline: now + times.request }, times }
    }

    /// Other times from now on; a deadline already set for the request stays.
    pub fn set_times(&mut self, times: Times) {
        self.times = times;
    }

    /// What [`Output::Say`] says.
    pub fn words(&self) -> &[u8] {
        match &self.state {
            State::Asking { .. } => &[],
            State::Following(following) => &following.words,
        }
    }

    /// Bytes of the generation the fetcher has or was sent.
    pub fn sent(&self) -> Option<Offset> {
        match &self.state {
            State::Asking { .. } => None,
            State::Following(following) => Some(following.tail.sent()),
        }
    }

    /// When to wake the session if nothing happens before.
    pub fn deadline(&self) -> Instant {
        match &self.state {
            State::Asking { deadline, .. } => *deadline,
            State::Following(following) => following.deadline(self.times),
        }
    }

    /// Takes what has happened and says what to do next.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Output {
        match (&mut self.state, input) {
            (_, Input::HungUp) => Output::Close(CloseReason::HungUp),
            (State::Asking { deadline, .. }, Input::Woken) if *deadline <= now => {
                Output::Close(CloseReason::RequestTimeout)
            }
            (State::Asking { ear, .. }, Input::Heard(bytes)) => match ear.handle_bytes(bytes) {
                Ok(Some(Ask::Follow(request))) => Output::Find(request),
                Ok(Some(Ask::List { .. } | Ask::Digest(_))) => Output::Close(CloseReason::Refused),
                Ok(None) => Output::Rest,
                Err(fault) => Output::Close(CloseReason::Fault(fault)),
            },
            (State::Asking { .. }, Input::Refused) => Output::Close(CloseReason::Refused),
            (State::Asking { .. }, Input::Opened(opening)) => {
                self.set_state(State::Following(Following::new(now, opening)));
                Output::Say
            }
            (
                State::Asking { .. },
                Input::Woken
                | Input::Writable
                | Input::Seen(_)
                | Input::Unreadable
                | Input::Successor(_)
                | Input::Said(_)
                | Input::Sent(_)
                | Input::Blocked,
            ) => Output::Rest,
            (State::Following(following), input) => following.handle(now, input, self.times),
        }
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
    }
}

impl Following {
    fn new(now: Instant, opening: Opening) -> Following {
        Following {
            tail: Tail::new(now, opening.from, opening.size, opening.quiet),
            words: emit_status(opening.status),
            told_end: false,
            spoke_at: now,
            blocked_since: None,
        }
    }

    fn handle(&mut self, now: Instant, input: Input<'_>, times: Times) -> Output {
        match input {
            Input::Woken => match self.blocked_since {
                Some(since) if now >= since + BLOCKED_MAX => Output::Close(CloseReason::Blocked),
                Some(_) => Output::Rest,
                None => self.proceed(),
            },
            Input::Writable => self.proceed(),
            Input::Heard([]) => Output::Rest,
            Input::Heard(_) => Output::Close(CloseReason::Fault(WireFault::SpokeAgain)),
            Input::Seen(view) => match self.tail.handle_view(now, view, times.linger) {
                Decision::Send => Output::Send(self.tail.sent()),
                Decision::Wait => self.at_end(now, times),
                Decision::AskWriters => Output::AskWriters,
                Decision::SeekSuccessor => Output::SeekSuccessor,
                Decision::End(end) => Output::Close(CloseReason::Ended(end)),
            },
            Input::Successor(true) => Output::Close(CloseReason::Ended(End::Rotated)),
            Input::Successor(false) | Input::Sent(0) => self.at_end(now, times),
            Input::Said(count) => {
                self.words.drain(..count.min(self.words.len()));
                self.moved_on(now);
                self.proceed()
            }
            Input::Sent(count) => {
                self.tail.handle_sent(count);
                self.moved_on(now);
                self.proceed()
            }
            Input::Blocked => {
                self.blocked_since.get_or_insert(now);
                Output::Rest
            }
            Input::Unreadable => Output::Close(CloseReason::Unreadable),
            Input::HungUp => Output::Close(CloseReason::HungUp),
            // An answer to a question that was not asked.
            Input::Refused | Input::Opened(_) => Output::Rest,
        }
    }

    fn moved_on(&mut self, now: Instant) {
        self.spoke_at = now;
        self.blocked_since = None;
    }

    fn proceed(&mut self) -> Output {
        if self.words.is_empty() {
            self.words = Vec::new();
            Output::Look
        } else {
            Output::Say
        }
    }

    /// All is sent: says that it is alive if the fetcher does not know, or has heard nothing long.
    fn at_end(&mut self, now: Instant, times: Times) -> Output {
        if self.told_end && now < self.spoke_at + times.heartbeat {
            return Output::Rest;
        }
        self.told_end = true;
        self.words = vec![ALIVE];
        Output::Say
    }

    fn deadline(&self, times: Times) -> Instant {
        match self.blocked_since {
            Some(since) => since + BLOCKED_MAX,
            None => {
                let heartbeat = self.spoke_at + times.heartbeat;
                self.tail.linger_ends(times.linger).map_or(heartbeat, |at| at.min(heartbeat))
            }
        }
    }
}

#[cfg(test)]
mod tests;
