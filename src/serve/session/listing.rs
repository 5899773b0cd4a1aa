//! A fetcher that asked for a list: it is told what is there, then that this was all, and then the news.

use std::time::{Duration, Instant};

use super::mouth::{BLOCKED_MAX, Mouth};
use super::{CloseReason, Input, Output, close};
use crate::proto::list::{Listing as Line, emit_listing};
use crate::proto::serve::Ear;

/// Time between two looks: files that are written all the time have no news.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A fetcher that is told a list.
#[derive(Debug)]
pub(super) struct Listing {
    ear: Ear,
    pub(super) mouth: Mouth,
    /// It was said that all was told.
    complete: bool,
    /// Until then there is no look.
    wait_until: Option<Instant>,
}

impl Listing {
    pub(super) fn new(now: Instant, ear: Ear) -> Listing {
        Listing { ear, mouth: Mouth::new(now), complete: false, wait_until: None }
    }

    pub(super) fn deadline(&self) -> Instant {
        let deadline = self.mouth.deadline(BLOCKED_MAX);
        self.wait_until.map_or(deadline, |until| until.min(deadline))
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input<'_>) -> Output {
        match input {
            Input::Heard(bytes) => match self.ear.handle_bytes(bytes) {
                Ok(_) => Output::Rest,
                Err(fault) => close(CloseReason::Fault(fault)),
            },
            Input::Listed { news, complete } => {
                self.mouth.add(&news);
                if complete {
                    self.wait_until = Some(now + LOOK_EVERY);
                    if !std::mem::replace(&mut self.complete, true) {
                        self.mouth.add(&emit_listing(&Line::Complete));
                    }
                }
                self.go_on(now)
            }
            Input::Unreadable => close(CloseReason::Unreadable),
            Input::HungUp => close(CloseReason::HungUp),
            Input::Said(count) => {
                self.mouth.handle_said(now, count);
                self.go_on(now)
            }
            Input::Blocked => {
                self.mouth.handle_blocked(now);
                Output::Rest
            }
            Input::Woken if self.mouth.is_given_up(now) => close(CloseReason::Blocked),
            Input::Woken if self.mouth.is_blocked() => Output::Rest,
            Input::Woken | Input::Writable => {
                if self.mouth.is_silent(now, BLOCKED_MAX) {
                    // No news are no fault.
                    self.mouth.handle_taken(now);
                }
                self.go_on(now)
            }
            // Answers to questions that were not asked.
            Input::Opened(_)
            | Input::Packed(_)
            | Input::Ready(_)
            | Input::Located(..)
            | Input::Hashed(_)
            | Input::Refused(_)
            | Input::Seen(_)
            | Input::Emptied
            | Input::Successor(_)
            | Input::Sent(_) => Output::Rest,
        }
    }

    fn go_on(&mut self, now: Instant) -> Output {
        if !self.mouth.is_done() {
            return Output::Say;
        }
        if self.wait_until.is_some_and(|until| now < until) {
            return Output::Rest;
        }
        self.wait_until = None;
        Output::List
    }
}

#[cfg(test)]
mod tests;
