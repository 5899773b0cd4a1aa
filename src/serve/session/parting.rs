//! The generation has ended, or nothing is served: the fetcher is told that, and has a while to read it.

use std::time::Instant;

use super::mouth::BLOCKED_MAX;
use super::{CloseReason, Input, Output, Times, close};
use crate::pos::Offset;

/// The last words.
#[derive(Debug)]
pub(super) struct Parting {
    pub(super) words: Vec<u8>,
    reason: CloseReason,
    pub(super) sent: Option<Offset>,
    /// All is said, and the fetcher was told that.
    shut: bool,
    pub(super) deadline: Instant,
}

impl Parting {
    pub(super) fn new(
        now: Instant,
        words: Vec<u8>,
        reason: CloseReason,
        sent: Option<Offset>,
    ) -> Parting {
        Parting { words, reason, sent, shut: false, deadline: now + BLOCKED_MAX }
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input<'_>, times: Times) -> Output {
        match input {
            Input::HungUp => return close(self.reason.clone()),
            Input::Woken if now >= self.deadline => return close(self.reason.clone()),
            // Whatever it still says.
            Input::Heard(_) | Input::Blocked => return Output::Rest,
            Input::Said(count) => {
                self.words.drain(..count.min(self.words.len()));
            }
            _ => {}
        }
        if !self.words.is_empty() {
            return Output::Say;
        }
        if std::mem::replace(&mut self.shut, true) {
            return Output::Rest;
        }
        self.deadline = now + times.request;
        Output::Shut
    }
}
