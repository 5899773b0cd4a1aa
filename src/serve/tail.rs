//! When to send, when to wait, and when a generation has ended.
//!
//! A rotated log is often still written to: its daemon keeps it open until it is told to open the
//! new one. So a generation has not ended when its name is gone, but when nobody can write to it
//! any more, or at least nobody has for the linger time. What is asked here, in this order:
//!
//! 1. Is the file shorter than it was, or has it other bytes where it was sent, or at its beginning? Then it
//!    was truncated: another generation. That it is still longer than what was sent says nothing: the rest may be
//!    another generation's.
//! 2. Is there more in it? Then that is sent first, whatever became of its name.
//! 3. Has it still its name? Then more may come.
//! 4. Does anybody have it open for writing? The kernel says so, and *then* the size is looked at
//!    once more: a line written between the first look and the last close is not left behind.
//! 5. Is there a successor? A renamed file whose name nobody has taken is followed until there is.
//!
//! A [`View`] comes in, a [`Decision`] goes out. The files themselves are the caller's.

use std::time::{Duration, Instant};

use crate::pos::Offset;
use crate::pos::Writers;

/// A generation that is being followed, as far as it was sent.
#[derive(Debug)]
pub struct Tail {
    sent: Offset,
    size: Offset,
    /// How long it had been without its name and nothing had been written when `since` began.
    quiet: Duration,
    since: Instant,
    looked_at: Instant,
    /// The name is no longer this file's.
    moved: bool,
}

/// What can be seen of the file at one time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// Its length; looked at after `writers`.
    pub size: Offset,
    /// Time of its last change, in nanoseconds since 1970.
    pub modified_ns: u64,
    /// Names it has.
    pub links: u64,
    /// What its path leads to.
    pub place: Place,
    /// Whether somebody has it open for writing, if that was asked.
    pub writers: Option<Writers>,
    /// It still has the last bytes that were sent, and the first where these were looked at.
    pub intact: bool,
}

/// What the path of a followed file leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// To the file.
    Kept,
    /// To another file.
    Taken,
    /// To nothing that could be served.
    Vacant,
}

/// What to do about a view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Send what comes after [`Tail::sent`].
    Send,
    /// All is sent; more may come.
    Wait,
    /// Ask who writes, then look once more.
    AskWriters,
    /// Look whether a later generation exists; if so, this one has ended by rotation.
    SeekSuccessor,
    /// Nothing more will come.
    End(End),
}

/// How a generation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Another file took its place.
    Rotated,
    /// It became shorter than what was sent of it.
    Truncated,
    /// Its last name was removed.
    Deleted,
}

/// Whether a file that lost its name and is read to its end will grow no more.
pub fn is_over(writers: Writers, quiet: Duration, linger: Duration) -> bool {
    writers == Writers::Nobody || quiet >= linger
}

impl Tail {
    /// Begins at `sent` in a file of `size` bytes that lost its name, and was last written to, at
    /// least `quiet` ago.
    pub fn new(now: Instant, sent: Offset, size: Offset, quiet: Duration) -> Tail {
        Tail { sent, size, quiet, since: now, looked_at: now, moved: false }
    }

    /// Bytes of the generation that the fetcher was sent, or had.
    pub fn sent(&self) -> Offset {
        self.sent
    }

    /// `count` more bytes were sent.
    pub fn handle_sent(&mut self, count: usize) {
        self.sent += count as u64;
    }

    /// What is to be done, by the order above.
    pub fn handle_view(&mut self, now: Instant, view: View, linger: Duration) -> Decision {
        let shrunk = view.size < self.size.max(self.sent);
        // As long as the file has its name, what is quiet may only be a quiet log.
        if view.size != self.size || view.place == Place::Kept {
            self.size = view.size;
            self.quiet = Duration::ZERO;
            self.since = now;
        }
        self.looked_at = now;
        self.moved = view.place != Place::Kept;
        if shrunk || !view.intact {
            return Decision::End(End::Truncated);
        }
        if view.size > self.sent {
            return Decision::Send;
        }
        if !self.moved {
            return Decision::Wait;
        }
        let Some(writers) = view.writers else { return Decision::AskWriters };
        if !is_over(writers, self.quiet_for(now), linger) {
            return Decision::Wait;
        }
        match (view.links, view.place) {
            (0, _) => Decision::End(End::Deleted),
            (_, Place::Vacant) => Decision::SeekSuccessor,
            (_, Place::Taken | Place::Kept) => Decision::End(End::Rotated),
        }
    }

    /// When a file that lost its name will have been quiet for the linger time, if it was not yet
    /// at the last look.
    pub fn linger_ends(&self, linger: Duration) -> Option<Instant> {
        let ends = self.since + linger.saturating_sub(self.quiet);
        (self.moved && ends > self.looked_at).then_some(ends)
    }

    fn quiet_for(&self, now: Instant) -> Duration {
        self.quiet + now.saturating_duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINGER: Duration = Duration::from_secs(60);

    fn view(size: u64, links: u64, place: Place, writers: Option<Writers>) -> View {
        View { size, modified_ns: 0, links, place, writers, intact: true }
    }

    /// A tail at byte 10 of a file that was just written to, and the time.
    fn at_ten() -> (Tail, Instant) {
        let now = Instant::now();
        (Tail::new(now, 10, 10, Duration::ZERO), now)
    }

    fn decide(view: View) -> Decision {
        let (mut tail, now) = at_ten();
        tail.handle_view(now, view, LINGER)
    }

    #[test]
    fn a_file_shorter_than_what_was_sent_was_truncated_whatever_else_is_true_of_it() {
        for place in [Place::Kept, Place::Taken, Place::Vacant] {
            for links in [0, 1] {
                let view = view(9, links, place, Some(Writers::Nobody));
                assert_eq!(decide(view), Decision::End(End::Truncated));
                for size in [10, 11] {
                    let regrown = View { size, intact: false, ..view };
                    assert_eq!(decide(regrown), Decision::End(End::Truncated));
                }
            }
        }
    }

    #[test]
    fn a_file_that_has_become_shorter_was_truncated_even_if_there_is_more_than_was_sent() {
        let now = Instant::now();
        let mut tail = Tail::new(now, 10, 30, Duration::ZERO);
        let kept = |size| view(size, 1, Place::Kept, None);
        assert_eq!(tail.handle_view(now, kept(30), LINGER), Decision::Send);
        assert_eq!(tail.handle_view(now, kept(29), LINGER), Decision::End(End::Truncated));
    }

    #[test]
    fn what_is_in_the_file_is_sent_before_its_name_is_looked_at() {
        for place in [Place::Kept, Place::Taken, Place::Vacant] {
            for links in [0, 1] {
                assert_eq!(decide(view(11, links, place, Some(Writers::Nobody))), Decision::Send);
            }
        }
    }

    #[test]
    fn a_file_that_has_its_name_is_waited_for_even_if_nobody_writes() {
        assert_eq!(decide(view(10, 1, Place::Kept, None)), Decision::Wait);
        assert_eq!(decide(view(10, 1, Place::Kept, Some(Writers::Nobody))), Decision::Wait);
    }

    #[test]
    fn a_file_that_lost_its_name_ends_only_after_its_writers_were_asked_for() {
        for (links, place, end) in [
            (1, Place::Taken, Decision::End(End::Rotated)),
            (1, Place::Vacant, Decision::SeekSuccessor),
            (0, Place::Taken, Decision::End(End::Deleted)),
            (0, Place::Vacant, Decision::End(End::Deleted)),
        ] {
            assert_eq!(decide(view(10, links, place, None)), Decision::AskWriters);
            assert_eq!(decide(view(10, links, place, Some(Writers::Somebody))), Decision::Wait);
            assert_eq!(decide(view(10, links, place, Some(Writers::Unknown))), Decision::Wait);
            assert_eq!(decide(view(10, links, place, Some(Writers::Nobody))), end);
        }
    }

    #[test]
    fn a_writer_that_stays_is_waited_for_until_it_was_quiet_for_the_linger_time() {
        let (mut tail, start) = at_ten();
        let moved = |size| view(size, 1, Place::Taken, Some(Writers::Somebody));
        let secs = Duration::from_secs;
        assert_eq!(tail.linger_ends(LINGER), None);
        assert_eq!(tail.handle_view(start + secs(59), moved(10), LINGER), Decision::Wait);
        assert_eq!(tail.linger_ends(LINGER), Some(start + LINGER));
        assert_eq!(tail.handle_view(start + secs(59), moved(12), LINGER), Decision::Send);
        tail.handle_sent(2);
        assert_eq!(tail.linger_ends(LINGER), Some(start + secs(119)));
        assert_eq!(tail.handle_view(start + secs(118), moved(12), LINGER), Decision::Wait);
        let end = tail.handle_view(start + secs(119), moved(12), LINGER);
        assert_eq!((end, tail.sent()), (Decision::End(End::Rotated), 12));
    }

    #[test]
    fn the_quiet_before_the_connection_counts() {
        let now = Instant::now();
        let mut tail = Tail::new(now, 10, 10, Duration::from_secs(3600));
        let moved = view(10, 1, Place::Taken, Some(Writers::Unknown));
        assert_eq!(tail.handle_view(now, moved, LINGER), Decision::End(End::Rotated));
        let mut tail = Tail::new(now, 10, 10, Duration::from_secs(3600));
        let grown = view(11, 1, Place::Taken, Some(Writers::Unknown));
        assert_eq!(tail.handle_view(now, grown, LINGER), Decision::Send);
        tail.handle_sent(1);
        assert_eq!(tail.handle_view(now, grown, LINGER), Decision::Wait);
    }

    #[test]
    fn a_log_that_was_quiet_before_it_lost_its_name_is_lingered_for_all_the_same() {
        let (mut tail, start) = at_ten();
        let secs = Duration::from_secs;
        let renamed_at = start + secs(3600);
        assert_eq!(
            tail.handle_view(renamed_at, view(10, 1, Place::Kept, None), LINGER),
            Decision::Wait
        );
        let moved = view(10, 1, Place::Taken, Some(Writers::Somebody));
        assert_eq!(tail.handle_view(renamed_at + secs(59), moved, LINGER), Decision::Wait);
        assert_eq!(tail.linger_ends(LINGER), Some(renamed_at + LINGER));
        let end = tail.handle_view(renamed_at + LINGER, moved, LINGER);
        assert_eq!(end, Decision::End(End::Rotated));
    }

    #[test]
    fn a_name_that_comes_back_ends_the_lingering() {
        let (mut tail, now) = at_ten();
        tail.handle_view(now, view(10, 1, Place::Vacant, Some(Writers::Somebody)), LINGER);
        assert!(tail.linger_ends(LINGER).is_some());
        tail.handle_view(now, view(10, 1, Place::Kept, None), LINGER);
        assert_eq!(tail.linger_ends(LINGER), None);
    }
}
