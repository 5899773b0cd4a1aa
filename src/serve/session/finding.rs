//! The request is complete, and somebody looks for what it asks for: a generation that has to be told
//! by its content may take a while to be found. A fetcher of protocol 2 is told that it takes a while,
//! so it need not give up a responder that works.

use std::time::{Duration, Instant};

use super::mouth::Mouth;
use super::{CloseReason, Input, Next, Output, bad_request, close, refuse};
use crate::proto::refusal::{Code, Refusal};
use crate::proto::serve::Ear;
use crate::proto::status::WORKING;

/// How often a fetcher hears that its answer takes a while: a third of the time for which ours waits.
const WORKING_EVERY: Duration = Duration::from_secs(1);

/// A fetcher that waits for its answer.
#[derive(Debug)]
pub(super) struct Finding {
    ear: Ear,
    pub(super) mouth: Mouth,
}

impl Finding {
    pub(super) fn new(now: Instant, ear: Ear) -> Finding {
        Finding { ear, mouth: Mouth::new(now) }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.mouth.deadline(WORKING_EVERY)
    }

    /// What the answer goes on with: the ear, and what is still to be said before it.
    pub(super) fn take(&mut self) -> (Ear, Vec<u8>) {
        (std::mem::take(&mut self.ear), self.mouth.take_words())
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input<'_>) -> Next {
        match input {
            Input::Heard(bytes) => match self.ear.handle_bytes(bytes) {
                Ok(_) => Next::Do(Output::Rest),
                Err(fault) => bad_request(&self.ear, self.mouth.take_words(), fault),
            },
            Input::Refused(refusal) => {
                refuse(&self.ear, self.mouth.take_words(), &refusal, CloseReason::Refused)
            }
            Input::Unreadable => {
                let refusal = Refusal::new(Code::Busy, "the search for it failed");
                refuse(&self.ear, self.mouth.take_words(), &refusal, CloseReason::Unreadable)
            }
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
            Input::Woken if self.mouth.is_silent(now, WORKING_EVERY) => {
                // In protocol 1 there is no word for it.
                if self.ear.speaks_two() {
                    self.mouth.add(WORKING);
                } else {
                    self.mouth.handle_taken(now);
                }
                self.go_on()
            }
            Input::Woken | Input::Writable => self.go_on(),
            // Answers to questions that were not asked.
            Input::Opened(_)
            | Input::Packed(_)
            | Input::Ready(_)
            | Input::Located(..)
            | Input::Listed { .. }
            | Input::Hashed(_)
            | Input::Seen(_)
            | Input::Emptied
            | Input::Successor(_)
            | Input::Sent(_) => Next::Do(Output::Rest),
        }
    }

    fn go_on(&self) -> Next {
        Next::Do(if self.mouth.is_done() { Output::Rest } else { Output::Say })
    }
}

#[cfg(test)]
mod tests;
