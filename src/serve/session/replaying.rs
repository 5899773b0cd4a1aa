//! A generation that was compressed is sent: it grows no more, but its bytes have to be unpacked first.
//!
//! Whatever is there of them is sent, and then the next piece is asked for. Nothing is said meanwhile: a
//! heartbeat would say that there is no more. The end of the stream is the end of the generation.

use std::time::Instant;

use super::mouth::{BLOCKED_MAX, Mouth};
use super::{CloseReason, End, Input, Next, Output, close, durable_beyond};
use crate::pos::Offset;
use crate::proto::WireFault;
use crate::proto::answer::{Answer, emit_answer};
use crate::proto::frame::{Reason, emit_close, emit_data_header};
use crate::proto::serve::Ear;

/// What is there of a compressed generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// So many bytes, at least 1.
    Bytes(usize),
    /// No more: that was all.
    End,
    /// No more: the rest is damaged.
    Damaged,
    /// No more yet: somebody is still compressing it.
    Unfinished,
}

/// A fetcher that is sent a compressed generation.
#[derive(Debug)]
pub(super) struct Replaying {
    ear: Ear,
    pub(super) mouth: Mouth,
    sent: Offset,
    /// Bytes that were promised and not sent.
    left: u64,
}

impl Replaying {
    pub(super) fn new(now: Instant, ear: Ear, said: &[u8], answer: &Answer) -> Replaying {
        let mut mouth = Mouth::new(now);
        mouth.add(said);
        mouth.add(&emit_answer(answer));
        Replaying { ear, mouth, sent: answer.from, left: 0 }
    }

    pub(super) fn sent(&self) -> Offset {
        self.sent
    }

    pub(super) fn deadline(&self) -> Instant {
        self.mouth.deadline(BLOCKED_MAX)
    }

    /// What to say if the program ends now.
    pub(super) fn farewell(&self) -> Option<Vec<u8>> {
        let may = self.left == 0 && self.mouth.is_done();
        may.then(|| emit_close(Reason::Shutdown, self.sent))
    }

    /// What was never sent is not durable.
    pub(super) fn check_durable(&self) -> Result<(), WireFault> {
        durable_beyond(&self.ear, self.sent)
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input<'_>) -> Next {
        match input {
            Input::Heard(bytes) => {
                let heard = self.ear.handle_bytes(bytes).and_then(|_| self.check_durable());
                Next::Do(match heard {
                    Ok(()) => Output::Rest,
                    Err(fault) => close(CloseReason::Fault(fault)),
                })
            }
            Input::Ready(piece) if self.left == 0 && self.mouth.is_done() => self.take(piece),
            Input::Said(count) => {
                self.mouth.handle_said(now, count);
                Next::Do(self.go_on())
            }
            Input::Sent(0) | Input::Unreadable => Next::Do(close(CloseReason::Unreadable)),
            Input::Sent(count) => {
                self.mouth.handle_taken(now);
                self.sent += count as Offset;
                self.left = self.left.saturating_sub(count as u64);
                Next::Do(self.go_on())
            }
            Input::HungUp => Next::Do(close(CloseReason::HungUp)),
            Input::Blocked => {
                self.mouth.handle_blocked(now);
                Next::Do(Output::Rest)
            }
            Input::Woken if self.mouth.is_given_up(now) => Next::Do(close(CloseReason::Blocked)),
            Input::Woken if self.mouth.is_blocked() => Next::Do(Output::Rest),
            Input::Woken if self.mouth.is_silent(now, BLOCKED_MAX) => {
                // The next piece takes long. That is nobody's fault, and looked after again later.
                self.mouth.handle_taken(now);
                Next::Do(self.go_on())
            }
            Input::Woken | Input::Writable => Next::Do(self.go_on()),
            // Answers to questions that were not asked.
            Input::Opened(_)
            | Input::Packed(_)
            | Input::Located(..)
            | Input::Listed { .. }
            | Input::Hashed(_)
            | Input::Ready(_)
            | Input::Refused(_)
            | Input::Seen(_)
            | Input::Emptied
            | Input::Successor(_) => Next::Do(Output::Rest),
        }
    }

    fn go_on(&self) -> Output {
        if self.left > 0 {
            Output::Send { from: self.sent, most: self.left, masked: false }
        } else if self.mouth.is_done() {
            Output::Unpack
        } else {
            Output::Say
        }
    }

    fn take(&mut self, piece: Piece) -> Next {
        match piece {
            Piece::Bytes(count) => {
                self.left = count as u64;
                self.mouth.add(&emit_data_header(self.left));
                Next::Do(self.go_on())
            }
            Piece::End => {
                let words = emit_close(Reason::Rotated, self.sent);
                Next::Part(words, CloseReason::Ended(End::Rotated))
            }
            // The end of what can be had: the fetcher asks for it, and is told what was lost.
            Piece::Damaged => {
                let words = emit_close(Reason::Truncated, self.sent);
                Next::Part(words, CloseReason::Ended(End::Truncated))
            }
            // It asks again, and is told to wait.
            Piece::Unfinished => Next::Do(close(CloseReason::Unreadable)),
        }
    }
}

#[cfg(test)]
mod tests;
