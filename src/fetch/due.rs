//! Which checkpoints are begun next: one alone while there are few, all that wait together when there
//! are many.
//!
//! They wait in *lanes*, one for each file system, and one for those that can only be made alone. While
//! the group of a lane is under way, what comes into it gathers for the next group.

use std::collections::{BTreeMap, VecDeque};

/// So many checkpoints of one file system are made together. Fewer are not worth it: such a sync also
/// writes what others have there. On an idle disk a group takes half the time of as many alone.
pub const GROUP_MIN: usize = 8;

/// Most in a group: a bound for the time until the first of them is told, and for open files.
pub const GROUP_MAX: usize = 1024;

/// The device of a file system; `None`: those that can only be made alone.
pub type Lane = Option<u64>;

/// Checkpoints that wait, and how many are under way.
#[derive(Debug)]
pub struct Due<T> {
    lanes: BTreeMap<Lane, Waiting<T>>,
    /// Groups and single ones under way.
    under_way: usize,
    under_way_max: usize,
    /// Whose turn was last.
    last: Lane,
}

#[derive(Debug)]
struct Waiting<T> {
    queue: VecDeque<T>,
    group_under_way: bool,
}

/// What is to be begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Begin<T> {
    /// This one.
    Alone(T),
    /// All of these, which are of one lane.
    Together(Lane, Vec<T>),
}

impl<T> Due<T> {
    /// Nothing waits; at most so many are to be under way at a time.
    pub fn new(under_way_max: usize) -> Due<T> {
        Due { lanes: BTreeMap::new(), under_way: 0, under_way_max, last: None }
    }

    /// One more is due.
    pub fn push(&mut self, lane: Lane, one: T) {
        let fresh = || Waiting { queue: VecDeque::new(), group_under_way: false };
        self.lanes.entry(lane).or_insert_with(fresh).queue.push_back(one);
    }

    /// What is to be begun now; called until it gives none, after every change.
    pub fn poll_begin(&mut self) -> Option<Begin<T>> {
        if self.under_way >= self.under_way_max {
            return None;
        }
        let behind =
            self.lanes.range((std::ops::Bound::Excluded(self.last), std::ops::Bound::Unbounded));
        let ready = |(_, waiting): &(&Lane, &Waiting<T>)| {
            !waiting.queue.is_empty() && !waiting.group_under_way
        };
        let lane =
            behind.chain(self.lanes.range(..=self.last)).find(ready).map(|(&lane, _)| lane)?;
        let waiting = self.lanes.get_mut(&lane)?;
        let begin = if lane.is_some() && waiting.queue.len() >= GROUP_MIN {
            waiting.group_under_way = true;
            let count = waiting.queue.len().min(GROUP_MAX);
            Begin::Together(lane, waiting.queue.drain(..count).collect())
        } else {
            Begin::Alone(waiting.queue.pop_front()?)
        };
        self.under_way += 1;
        self.last = lane;
        Some(begin)
    }

    /// One that was begun alone is done.
    pub fn handle_alone_done(&mut self) {
        self.under_way -= 1;
    }

    /// The group of that lane is done.
    pub fn handle_group_done(&mut self, lane: Lane) {
        self.under_way -= 1;
        if let Some(waiting) = self.lanes.get_mut(&lane) {
            waiting.group_under_way = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: Lane = Some(1);

    fn due(count: usize) -> Due<usize> {
        let mut due = Due::new(3);
        (0..count).for_each(|one| due.push(DISK, one));
        due
    }

    fn begun(due: &mut Due<usize>) -> Vec<Begin<usize>> {
        std::iter::from_fn(|| due.poll_begin()).collect()
    }

    #[test]
    fn few_are_begun_alone_and_no_more_at_a_time_than_may_be() {
        let mut due = due(5);
        assert_eq!(begun(&mut due), [0, 1, 2].map(Begin::Alone));
        due.handle_alone_done();
        assert_eq!(begun(&mut due), [Begin::Alone(3)]);
    }

    #[test]
    fn what_comes_while_a_group_is_under_way_gathers_for_the_next() {
        let mut due = due(GROUP_MIN);
        assert_eq!(begun(&mut due), [Begin::Together(DISK, (0..GROUP_MIN).collect())]);
        due.push(DISK, 100);
        assert_eq!(begun(&mut due), []);
        (101..=100 + GROUP_MAX).for_each(|one| due.push(DISK, one));
        assert_eq!(begun(&mut due), []);
        due.handle_group_done(DISK);
        assert_eq!(begun(&mut due), [Begin::Together(DISK, (100..100 + GROUP_MAX).collect())]);
        due.handle_group_done(DISK);
        assert_eq!(begun(&mut due), [Begin::Alone(100 + GROUP_MAX)]);
    }

    #[test]
    fn a_slow_disk_does_not_hold_up_the_others() {
        let mut due = due(GROUP_MIN);
        assert_eq!(begun(&mut due).len(), 1);
        (0..20).for_each(|one| due.push(None, one));
        (0..20).for_each(|one| due.push(Some(2), one));
        let others = begun(&mut due);
        assert_eq!(others, [Begin::Together(Some(2), (0..20).collect()), Begin::Alone(0)]);
    }

    #[test]
    fn what_can_only_be_made_alone_is_never_in_a_group_and_no_lane_waits_for_ever() {
        let mut due = Due::new(1);
        (0..100).for_each(|one| due.push(None, one));
        (100..103).for_each(|one| due.push(DISK, one));
        let mut order = Vec::new();
        while let Some(begin) = due.poll_begin() {
            match begin {
                Begin::Alone(one) => order.push(one),
                Begin::Together(..) => panic!("{begin:?}"),
            }
            due.handle_alone_done();
        }
        assert_eq!(order.len(), 103);
        assert_eq!(order[..6], [100, 0, 101, 1, 102, 2]);
    }
}
