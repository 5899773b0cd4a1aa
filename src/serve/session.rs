//! One fetcher, from its first byte to the end of its generation.
//!
//! The peer is a fetcher, or anything else that can connect. States:
//!
//! ```text
//! Asking -- the request is complete --> Finding -- a file was found --> Following
//!    |  |                                    |                          |  |
//!    |  +-- nothing is served --> Parting <--+-- the generation ended --+  |
//!    |                              |                                      |
//!    |                     it knows, or has no time left                   |
//!    |                              v                                      |
//!    +-- too slow, hung up ----> (closed) <--- hung up, did not read, fault
//! ```
//!
//! Who asks for a list goes to Listing and stays there.
//! A compressed generation is not followed but sent, in Replaying. Who asks for a digest goes from Finding to Proving, where it hears that the range is being read, and
//! from there to Parting.
//!
//! Only a fetcher of protocol 2 is parted from: it is told why, and has a while to read it, since to
//! close while it may be saying something would take our last words back (RST). A fetcher of protocol
//! 1 is closed at once. How either is spoken to is in `wording`.
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
use crate::config::PathGlob;
use crate::pos::Offset;
use crate::proto::WireFault;
use crate::proto::ask::Ask;
use crate::proto::frame::{Reason, emit_close};
use crate::proto::refusal::{Code, Refusal, emit_refusal};
use crate::proto::serve::Ear;

pub use replaying::Piece;
pub use terms::{Answered, CloseReason, Input, Opening, Output};

use finding::Finding;
use listing::Listing;
use mouth::BLOCKED_MAX;
use parting::Parting;
use proving::Proving;
use replaying::Replaying;
use wording::Wording;

mod finding;
mod listing;
mod mouth;
mod parting;
mod proving;
mod replaying;
mod terms;
mod wording;

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
    Finding(Finding),
    Following(Following),
    Replaying(Replaying),
    Proving(Proving),
    Listing(Listing),
    Parting(Parting),
}

#[derive(Debug)]
struct Following {
    tail: Tail,
    ear: Ear,
    wording: Wording,
    /// What is to be said before the next byte of the file: the status line, a heartbeat, a header.
    words: Vec<u8>,
    /// The file as it was seen last; its time is no earlier than was told in the answer.
    size: Offset,
    modified_ns: u64,
    answered_ns: u64,
    /// The fetcher knows that it has all there is.
    told_end: bool,
    /// When the last byte went out.
    spoke_at: Instant,
    /// Since when the socket takes nothing.
    blocked_since: Option<Instant>,
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

    /// Whether the request is not complete yet.
    pub fn is_asking(&self) -> bool {
        matches!(self.state, State::Asking { .. })
    }

    /// What [`Output::Say`] says.
    pub fn words(&self) -> &[u8] {
        match &self.state {
            State::Asking { .. } => &[],
            State::Finding(finding) => finding.mouth.words(),
            State::Following(following) => &following.words,
            State::Replaying(replaying) => replaying.mouth.words(),
            State::Proving(proving) => proving.mouth.words(),
            State::Listing(listing) => listing.mouth.words(),
            State::Parting(parting) => &parting.words,
        }
    }

    /// Bytes of the generation the fetcher has or was sent.
    pub fn sent(&self) -> Option<Offset> {
        match &self.state {
            State::Asking { .. } | State::Finding(_) | State::Proving(_) | State::Listing(_) => {
                None
            }
            State::Following(following) => Some(following.tail.sent()),
            State::Replaying(replaying) => Some(replaying.sent()),
            State::Parting(parting) => parting.sent,
        }
    }

    /// What to say to the fetcher if the program ends now.
    pub fn farewell(&self) -> Option<Vec<u8>> {
        let one = match &self.state {
            State::Following(one) => one,
            State::Replaying(replaying) => return replaying.farewell(),
            _ => return None,
        };
        let may = one.wording.is_two() && one.wording.may_close() && one.words.is_empty();
        may.then(|| emit_close(Reason::Shutdown, one.tail.sent()))
    }

    /// When to wake the session if nothing happens before.
    pub fn deadline(&self) -> Instant {
        match &self.state {
            State::Asking { deadline, .. } => *deadline,
            State::Finding(finding) => finding.deadline(),
            State::Following(following) => following.deadline(self.times),
            State::Replaying(replaying) => replaying.deadline(),
            State::Proving(proving) => proving.deadline(self.times),
            State::Listing(listing) => listing.deadline(),
            State::Parting(parting) => parting.deadline,
        }
    }

    /// Takes what has happened and says what to do next.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Output {
        let next = match &mut self.state {
            State::Asking { ear, deadline } => match input {
                Input::Heard(bytes) => hear_request(ear, bytes),
                Input::HungUp => Next::Do(close(CloseReason::HungUp)),
                Input::Woken if *deadline <= now => Next::Do(close(CloseReason::RequestTimeout)),
                _ => Next::Do(Output::Rest),
            },
            State::Finding(finding) => match input {
                Input::Opened(opening) => {
                    let (ear, said) = finding.take();
                    let following = Following::new(now, ear, said, opening);
                    let lied = following.check_durable().err();
                    self.state = State::Following(following);
                    Next::Do(lied.map_or(Output::Say, |fault| close(CloseReason::Fault(fault))))
                }
                Input::Packed(answer) => {
                    let (ear, said) = finding.take();
                    let replaying = Replaying::new(now, ear, &said, &answer);
                    let lied = replaying.check_durable().err();
                    self.state = State::Replaying(replaying);
                    Next::Do(lied.map_or(Output::Say, |fault| close(CloseReason::Fault(fault))))
                }
                Input::Located(answer, to) => {
                    let (ear, said) = finding.take();
                    match Proving::begin(now, ear, said, &answer, to) {
                        Ok(proving) => {
                            self.state = State::Proving(proving);
                            Next::Do(Output::Say)
                        }
                        Err(next) => next,
                    }
                }
                input => finding.handle(now, input),
            },
            State::Following(following) => following.handle(now, input, self.times),
            State::Replaying(replaying) => replaying.handle(now, input),
            State::Proving(proving) => proving.handle(now, input, self.times),
            State::Listing(listing) => Next::Do(listing.handle(now, input)),
            State::Parting(parting) => Next::Do(parting.handle(now, input, self.times)),
        };
        match next {
            Next::Do(output) => output,
            Next::List(ear, glob) => {
                self.state = State::Listing(Listing::new(now, ear));
                Output::Enlist(glob)
            }
            Next::Find(ear, output) => {
                self.state = State::Finding(Finding::new(now, ear));
                output
            }
            Next::Part(words, reason) => {
                let parting = Parting::new(now, words, reason, self.sent());
                self.state = State::Parting(parting);
                Output::Say
            }
        }
    }
}

/// How it goes on.
enum Next {
    Do(Output),
    /// With a search.
    Find(Ear, Output),
    /// With a list.
    List(Ear, PathGlob),
    /// With last words.
    Part(Vec<u8>, CloseReason),
}

fn close(reason: CloseReason) -> Output {
    Output::Close(reason)
}

fn hear_request(ear: &mut Ear, bytes: &[u8]) -> Next {
    match ear.handle_bytes(bytes) {
        Ok(Some(Ask::Follow(request))) => Next::Find(std::mem::take(ear), Output::Find(request)),
        Ok(Some(Ask::List { pattern })) => match PathGlob::parse(&pattern) {
            Ok(glob) => Next::List(std::mem::take(ear), glob),
            Err(why) => {
                let refusal = Refusal::new(Code::BadRequest, &format!("pattern: {why}"));
                refuse(ear, Vec::new(), &refusal, CloseReason::Refused)
            }
        },
        Ok(Some(Ask::Digest(extent))) => Next::Find(std::mem::take(ear), Output::Locate(extent)),
        Ok(None) => Next::Do(Output::Rest),
        Err(fault) => bad_request(ear, Vec::new(), fault),
    }
}

/// What came is no request, or no more one.
fn bad_request(ear: &Ear, said: Vec<u8>, fault: WireFault) -> Next {
    let refusal = Refusal::new(Code::BadRequest, &fault.to_string());
    refuse(ear, said, &refusal, CloseReason::Fault(fault))
}

/// Who does not understand a refusal gets none. `said` is what is left of what was said before.
fn refuse(ear: &Ear, mut said: Vec<u8>, refusal: &Refusal, reason: CloseReason) -> Next {
    if ear.speaks_two() {
        said.extend(emit_refusal(refusal));
        Next::Part(said, reason)
    } else {
        Next::Do(close(reason))
    }
}

/// What was never sent is not durable.
fn durable_beyond(ear: &Ear, sent: Offset) -> Result<(), WireFault> {
    match ear.durable() {
        Some(durable) if durable > sent => {
            Err(WireFault::Contradiction("an acknowledgement of what was not sent"))
        }
        _ => Ok(()),
    }
}

impl Following {
    fn new(now: Instant, ear: Ear, said: Vec<u8>, opening: Opening) -> Following {
        let (wording, status) = Wording::begin(&opening.answer);
        let words = [said, status].concat();
        let answered_ns = match &opening.answer {
            Answered::One(_) => 0,
            Answered::Two(answer) => answer.mtime_ns,
        };
        Following {
            tail: Tail::new(now, opening.from, opening.size, opening.quiet),
            ear,
            wording,
            words,
            size: opening.size,
            modified_ns: answered_ns,
            answered_ns,
            told_end: false,
            spoke_at: now,
            blocked_since: None,
        }
    }

    fn handle(&mut self, now: Instant, input: Input<'_>, times: Times) -> Next {
        let output = match input {
            Input::Woken => match self.blocked_since {
                Some(since) if now >= since + BLOCKED_MAX => close(CloseReason::Blocked),
                Some(_) => Output::Rest,
                None => self.proceed(),
            },
            Input::Writable => self.proceed(),
            Input::Heard(bytes) => match self.hear(bytes) {
                Ok(()) => Output::Rest,
                Err(fault) => close(CloseReason::Fault(fault)),
            },
            Input::Seen(view) => return self.see(now, view, times),
            Input::Successor(true) => return self.end(End::Rotated),
            Input::Successor(false) => self.at_end(now, times),
            Input::Emptied => return self.end_emptied(),
            Input::Sent(0) => {
                self.withdraw();
                // What a header promised does not come: the file was cut since it was looked at.
                if self.wording.may_close() {
                    self.at_end(now, times)
                } else {
                    close(CloseReason::Ended(End::Truncated))
                }
            }
            Input::Said(count) => {
                self.words.drain(..count.min(self.words.len()));
                self.wording.handle_said();
                self.moved_on(now);
                self.proceed()
            }
            Input::Sent(count) => {
                self.tail.handle_sent(count);
                self.wording.handle_sent(count);
                self.moved_on(now);
                self.proceed()
            }
            Input::Blocked => {
                self.blocked_since.get_or_insert(now);
                Output::Rest
            }
            Input::Unreadable => close(CloseReason::Unreadable),
            Input::HungUp => close(CloseReason::HungUp),
            // An answer to a question that was not asked.
            Input::Refused(_)
            | Input::Opened(_)
            | Input::Packed(_)
            | Input::Ready(_)
            | Input::Located(..)
            | Input::Listed { .. }
            | Input::Hashed(_) => Output::Rest,
        };
        Next::Do(output)
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<(), WireFault> {
        self.ear.handle_bytes(bytes)?;
        self.check_durable()
    }

    fn check_durable(&self) -> Result<(), WireFault> {
        durable_beyond(&self.ear, self.tail.sent())
    }

    fn see(&mut self, now: Instant, view: View, times: Times) -> Next {
        (self.size, self.modified_ns) = (view.size, view.modified_ns.max(self.answered_ns));
        // The bytes that a header promised are gone, so nothing more can be said.
        let promised = self.wording.promised();
        if promised > 0 && view.size < self.tail.sent().saturating_add(promised) {
            return self.end_emptied();
        }
        Next::Do(match self.tail.handle_view(now, view, times.linger) {
            Decision::Send => self.send(view.size),
            Decision::Wait => self.at_end(now, times),
            Decision::AskWriters => Output::AskWriters,
            Decision::SeekSuccessor => Output::SeekSuccessor,
            Decision::End(End::Truncated) => return self.end_emptied(),
            Decision::End(end) => return self.end(end),
        })
    }

    /// Sends what is there, or the rest of what was promised.
    fn send(&mut self, size: Offset) -> Output {
        let from = self.tail.sent();
        if let Some(header) = self.wording.header(size - from) {
            self.words = header;
        }
        Output::Send { from, most: self.wording.most(), masked: self.wording.is_masked() }
    }

    /// What comes next in the file is another generation's. After a header's promise nothing else can
    /// be said.
    fn end_emptied(&mut self) -> Next {
        self.withdraw();
        if self.wording.may_close() {
            self.end(End::Truncated)
        } else {
            Next::Do(close(CloseReason::Ended(End::Truncated)))
        }
    }

    fn end(&mut self, end: End) -> Next {
        let reason = CloseReason::Ended(end);
        if !self.wording.is_two() {
            return Next::Do(close(reason));
        }
        let why = match end {
            End::Rotated => Reason::Rotated,
            End::Truncated => Reason::Truncated,
            End::Deleted => Reason::Deleted,
        };
        Next::Part(emit_close(why, self.tail.sent()), reason)
    }

    fn moved_on(&mut self, now: Instant) {
        self.spoke_at = now;
        self.blocked_since = None;
    }

    fn proceed(&mut self) -> Output {
        self.withdraw();
        if self.words.is_empty() {
            self.words = Vec::new();
            Output::Look
        } else {
            Output::Say
        }
    }

    /// Takes back a header of which nothing was said: the file may be another length by now.
    fn withdraw(&mut self) {
        if self.wording.withdraw() {
            self.words.clear();
        }
    }

    /// All is sent: says that it is alive if the fetcher does not know, or has heard nothing long.
    fn at_end(&mut self, now: Instant, times: Times) -> Output {
        if self.told_end && now < self.spoke_at + times.heartbeat {
            return Output::Rest;
        }
        self.told_end = true;
        self.words = self.wording.heartbeat(self.size, self.modified_ns);
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
