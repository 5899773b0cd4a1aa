//! A fetcher that asked for the digest of a range: it gets a status line, heartbeats while the range is
//! read, and the digest.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::mouth::Mouth;
use super::{CloseReason, Input, Next, Output, Times, close};
use crate::pos::Offset;
use crate::proto::answer::{Answer, File, emit_answer};
use crate::proto::frame::{emit_heartbeat, emit_sum};
use crate::proto::serve::Ear;

/// The longest silence while the range is read.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// A fetcher that waits for its digest.
#[derive(Debug)]
pub(super) struct Proving {
    ear: Ear,
    pub(super) mouth: Mouth,
    range: Range<Offset>,
    heartbeat: Vec<u8>,
    /// The range is being read.
    begun: bool,
}

impl Proving {
    /// The answer, to be said behind `said`, and what follows it: nothing, if there is no such
    /// generation.
    pub(super) fn begin(
        now: Instant,
        ear: Ear,
        mut said: Vec<u8>,
        answer: &Answer,
        to: Offset,
    ) -> Result<Proving, Next> {
        said.extend(emit_answer(answer));
        if answer.file != File::Same {
            return Err(Next::Part(said, CloseReason::Refused));
        }
        let mut mouth = Mouth::new(now);
        mouth.add(&said);
        let heartbeat = emit_heartbeat(answer.size, answer.mtime_ns);
        Ok(Proving { ear, mouth, range: answer.from..to, heartbeat, begun: false })
    }

    fn silence(times: Times) -> Duration {
        times.heartbeat.min(SILENCE_MAX)
    }

    pub(super) fn deadline(&self, times: Times) -> Instant {
        self.mouth.deadline(Proving::silence(times))
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input<'_>, times: Times) -> Next {
        match input {
            Input::Heard(bytes) => Next::Do(match self.ear.handle_bytes(bytes) {
                Ok(_) => Output::Rest,
                Err(fault) => close(CloseReason::Fault(fault)),
            }),
            Input::Hashed(whole) => {
                let mut words = self.mouth.take_words();
                words.extend(emit_sum(self.range.clone(), whole));
                Next::Part(words, CloseReason::Proved)
            }
            Input::Unreadable => Next::Do(close(CloseReason::Unreadable)),
            Input::HungUp => Next::Do(close(CloseReason::HungUp)),
            Input::Said(count) => {
                self.mouth.handle_said(now, count);
                self.go_on()
            }
            Input::Blocked => {
                self.mouth.handle_blocked(now);
                Next::Do(Output::Rest)
            }
            Input::Woken if self.mouth.is_given_up(now) => Next::Do(close(CloseReason::Blocked)),
            Input::Woken if self.mouth.is_blocked() => Next::Do(Output::Rest),
            Input::Woken if self.mouth.is_silent(now, Proving::silence(times)) => {
                self.mouth.add(&self.heartbeat);
                self.go_on()
            }
            Input::Woken | Input::Writable => self.go_on(),
            // Answers to questions that were not asked.
            Input::Opened(_)
            | Input::Packed(_)
            | Input::Ready(_)
            | Input::Located(..)
            | Input::Listed { .. }
            | Input::Refused(_)
            | Input::Seen(_)
            | Input::Emptied
            | Input::Successor(_)
            | Input::Sent(_) => Next::Do(Output::Rest),
        }
    }

    fn go_on(&mut self) -> Next {
        Next::Do(if !self.mouth.is_done() {
            Output::Say
        } else if std::mem::replace(&mut self.begun, true) {
            Output::Rest
        } else {
            Output::Hash(self.range.clone())
        })
    }
}

#[cfg(test)]
mod tests;
