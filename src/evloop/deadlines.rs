//! When to wake whom.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::slots::Slot;

/// Wake-up times by slot. An entry only says "look then": the object itself knows its deadline, and
/// asks again if it has moved. So a deadline that is pushed back at every byte costs nothing.
#[derive(Debug, Default)]
pub struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, Slot)>>,
}

/// One object's wake-up: which entry of the heap counts for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alarm {
    set_for: Option<Instant>,
}

impl Deadlines {
    /// Makes sure that `slot` is woken no later than `deadline`.
    pub fn arm(&mut self, alarm: &mut Alarm, slot: Slot, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        if alarm.set_for.is_none_or(|set_for| deadline < set_for) {
            alarm.set_for = Some(deadline);
            self.heap.push(Reverse((deadline, slot)));
        }
    }

    /// The next time to look.
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// A slot whose time has come, with the time it was set for.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Slot, Instant)> {
        let Reverse((at, slot)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some((slot, at))
    }
}

impl Alarm {
    /// Whether the entry that came due for `at` is the one that counts; it is used up then.
    pub fn rings(&mut self, at: Instant) -> bool {
        let counts = self.set_for == Some(at);
        if counts {
            self.set_for = None;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evloop::slots::Slots;
    use std::time::Duration;

    #[test]
    fn a_deadline_rings_once_at_the_earliest_time_asked_for() {
        let mut slots = Slots::default();
        let slot = slots.insert_with(|_| ());
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let (mut deadlines, mut alarm) = (Deadlines::default(), Alarm::default());
        deadlines.arm(&mut alarm, slot, Some(at(10)));
        deadlines.arm(&mut alarm, slot, Some(at(20)));
        deadlines.arm(&mut alarm, slot, Some(at(5)));
        assert_eq!(deadlines.next(), Some(at(5)));
        assert_eq!(deadlines.pop_due(at(4)), None);
        assert_eq!(deadlines.pop_due(at(30)), Some((slot, at(5))));
        assert!(alarm.rings(at(5)));
        assert_eq!(deadlines.pop_due(at(30)), Some((slot, at(10))));
        assert!(!alarm.rings(at(10)));
        assert_eq!(deadlines.pop_due(at(30)), None);
    }
}
