//! What keeps a source from going on although its responder would: there is no room for more, or too many
//! connections brought too little.

use std::time::{Duration, Instant};

use super::{Source, State};
use crate::fetch::terms::Output;
use crate::status::event::Fault;

/// A connection that lasts so long is not one of those that follow each other at once.
const LASTS: Duration = Duration::from_secs(60);

impl Source {
    /// There is no room for more of the copy, says `fault`. What is not read stays with the source.
    pub fn handle_no_room(&mut self, fault: Fault) {
        if self.no_room.is_some() {
            return;
        }
        self.no_room = Some(fault.clone());
        match self.state {
            State::Connecting { .. } | State::Asking { .. } | State::Following { .. } => {
                self.halt(fault);
            }
            // Those are asked before the next connection is made or read.
            State::Waiting { .. } | State::Storing { .. } => {}
            State::Halted | State::Finishing { .. } => {}
        }
    }

    /// There is room again.
    pub fn handle_room(&mut self, now: Instant) {
        self.no_room = None;
        if let State::Halted = self.state {
            self.set(State::Waiting { until: now, recover: false });
        }
    }

    /// Whether there is no room for more of the copy.
    pub fn lacks_room(&self) -> bool {
        self.no_room.is_some()
    }

    pub(super) fn halt(&mut self, fault: Fault) {
        self.in_step = false;
        self.outputs.push_back(Output::Close);
        self.outputs.push_back(Output::Fail(fault));
        if self.fetches_once() {
            self.finish(false);
        } else {
            // A checkpoint of what came is made in its time.
            self.set(State::Halted);
            if self.reopen_wanted {
                self.handle_reopen();
            }
        }
    }

    /// Whether the next connection may follow at once. If not, there is a wait before it, as after a
    /// failure; who is fetched once is given up.
    pub(super) fn may_hurry(&mut self, now: Instant) -> bool {
        if self.haste.spend(now, self.brought) {
            return true;
        }
        if self.fetches_once() {
            self.outputs.push_back(Output::Close);
            self.outputs.push_back(Output::Fail(Fault::Haste));
            self.finish(false);
        } else {
            self.give_up(now, Fault::Haste);
        }
        false
    }

    /// Something came over a connection that is followed since `since`. As long as too many come that
    /// bring too little, the source is not called well, and waits grow.
    pub(super) fn succeed(&mut self, now: Instant, since: Instant) {
        if now.saturating_duration_since(since) >= LASTS {
            self.haste.handle_calm();
        }
        if !self.haste.is_exhausted(now) {
            self.backoff.succeed();
            self.outputs.push_back(Output::Succeed);
        }
    }
}
