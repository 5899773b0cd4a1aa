//! Who is ready and has not had a turn.

use std::collections::VecDeque;

use super::slots::Slot;

/// Objects that are ready, in the order of their turns. Each is in it at most once; its own flag
/// says whether it is.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    slots: VecDeque<Slot>,
}

impl ReadyQueue {
    /// Puts `slot` at the end unless `queued` says that it waits already.
    pub fn push(&mut self, slot: Slot, queued: &mut bool) {
        if !std::mem::replace(queued, true) {
            self.slots.push_back(slot);
        }
    }

    /// How many wait now: a turn of the loop serves so many, and those that come back meanwhile
    /// wait for the next.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The next one; the caller clears its flag.
    pub fn pop(&mut self) -> Option<Slot> {
        self.slots.pop_front()
    }
}
