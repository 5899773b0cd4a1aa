//! A source that is fetched once: when all of it is here, and when that is given up.
//!
//! All of it is here when the responder says that there is no more of the current file, and everything
//! that the copy has was compared. Which file is the current one its answer says, in protocol 2: not one
//! for which the status line names another path, since that was rotated, and another one comes after it.
//! But it says so before the bytes come, and while they do the file may be rotated. So an end is believed
//! only behind an answer that was given after an end: at the first one the connection is closed, and what
//! follows is asked for. An end is a heartbeat; or as many bytes as the file had when the answer was given,
//! since a log that is always written to has no other. Protocol 1 tells neither path nor size: there the
//! same number in a new answer is all that can be known.
//!
//! Nor is it all here if bytes were told as lost on the way.
//!
//! A rotated file that is written to all the time has no end, and is waited for [`WRITTEN_MAX`].
//!
//! It is given up after [`FAILURES_MAX`] failures in a row between which nothing moved on. A responder that
//! says that it is busy is asked more often: it may be waiting for a file that is being compressed, or be
//! unpacking as many as it can.

use std::time::{Duration, Instant};

use super::{Source, State};
use crate::fetch::haste::{BURST, BURST_ONCE, Haste};
use crate::fetch::terms::{Goal, Job, Output};
use crate::pos::Offset;
use crate::proto::answer::File;
use crate::status::event::{Event, Fault};

/// Failures in a row, without a byte or a generation between them, after which a source is given up.
const FAILURES_MAX: u32 = 3;

/// The same if the responder said each time that it is busy: a quarter of an hour with the usual waits.
const BUSY_MAX: u32 = 20;

/// So long a rotated file is waited for that is still written to, once it has come as far as it was when the
/// responder answered. A daemon that never opens its new log would have it go on for ever.
const WRITTEN_MAX: Duration = Duration::from_secs(600);

/// What a source is fetched for, and how far that is.
#[derive(Debug, Default)]
pub(super) struct Aim {
    goal: Goal,
    /// What is followed is the current file, as far as the responder tells.
    pub(super) current: bool,
    /// How many bytes that had when the responder answered, if it told.
    size: Option<Offset>,
    /// The same of one that is not the current file.
    rotated: Option<Offset>,
    /// Since when all that this one had is here.
    had_since: Option<Instant>,
    /// An end of this generation was reached before the responder answered.
    confirming: bool,
    /// What was lost first.
    lost: Option<Event>,
    /// Failures since something moved on.
    failures: u32,
    /// How often the responder was busy since then.
    busy: u32,
    /// The next failure is that.
    is_busy: bool,
    /// The furthest byte of this generation that ever came.
    reached: Offset,
}

impl Source {
    /// What the source is fetched for, if not to be followed for ever.
    pub fn aim(&mut self, goal: Goal) {
        self.aim.goal = goal;
        self.haste = Haste::new(match goal {
            Goal::Follow => BURST,
            Goal::Once => BURST_ONCE,
        });
    }

    /// Whether what there is now is fetched, and no more.
    pub(super) fn fetches_once(&self) -> bool {
        self.aim.goal == Goal::Once
    }

    /// The responder has answered with the file that stands so to what we have, the current one or not.
    pub(super) fn note_answer(&mut self, follows: File, current: bool, size: Option<Offset>) {
        self.aim.current = current;
        self.aim.size = size.filter(|_| current);
        self.aim.rotated = size.filter(|_| !current);
        if follows != File::Same {
            self.aim.had_since = None;
        }
        self.aim.confirming &= follows == File::Same;
    }

    /// What the copy has may be less than before, or another generation's.
    pub(super) fn note_other_copy(&mut self) {
        self.aim.confirming = false;
    }

    /// Bytes can't be had any more, says `event`.
    pub(super) fn note_lost(&mut self, event: &Event) {
        self.aim.lost.get_or_insert_with(|| event.clone());
    }

    /// What was lost first, if anything was.
    pub fn lost(&self) -> Option<&Event> {
        self.aim.lost.as_ref()
    }

    /// The next generation has begun.
    pub(super) fn note_generation(&mut self) {
        self.aim.reached = 0;
        self.note_progress();
    }

    fn note_progress(&mut self) {
        (self.aim.failures, self.aim.busy) = (0, 0);
    }

    /// The failure that comes next is that the responder is busy.
    pub(super) fn note_busy(&mut self) {
        self.aim.is_busy = true;
    }

    /// Data has come. What only repeats what came before a failure is no progress.
    pub(super) fn note_data(&mut self) {
        let reached = self.place.base + self.place.at;
        if reached > self.aim.reached {
            self.aim.reached = reached;
            self.note_progress();
        }
    }

    /// Something came; `at_end` if the responder has sent all there is. Says whether nothing more is to be
    /// done about that.
    pub(super) fn handle_once(&mut self, now: Instant, since: Instant, at_end: bool) -> bool {
        let come = self.place.base + self.place.at;
        let had = self.place.verified() && self.aim.size.is_some_and(|size| come >= size);
        if self.aim.goal == Goal::Follow {
            return false;
        }
        if self.is_written_for_ever(now) {
            let what = "the rotated file is still written to".to_owned();
            self.outputs.extend([Output::Close, Output::Fail(Fault::Read(what))]);
            self.finish(false);
            return true;
        }
        if !(at_end || had) {
            return false;
        }
        if !self.place.verified() {
            // A rotated file ends, and then the answer says what follows it, and so what it lacks.
            if !self.aim.current {
                return false;
            }
            let what = "the source has fewer bytes than the copy";
            self.give_up(now, Fault::Read(what.to_owned()));
            return true;
        }
        self.succeed(now, since);
        // A rotated file has to end, and is not waited for any longer by saying that it did not.
        if self.aim.current {
            self.handle_current_end(now);
        }
        true
    }

    fn is_written_for_ever(&mut self, now: Instant) -> bool {
        let come = self.place.base + self.place.at;
        if self.aim.rotated.is_none_or(|size| come < size) {
            return false;
        }
        now >= *self.aim.had_since.get_or_insert(now) + WRITTEN_MAX
    }

    fn handle_current_end(&mut self, now: Instant) {
        if std::mem::replace(&mut self.aim.confirming, true) {
            self.outputs.push_back(Output::Close);
            self.finish(true);
        } else {
            self.in_step = true;
            self.reconnect(now);
        }
    }

    /// Whether it is bytes that are waited for. Where a source is followed, a sign of life is enough.
    pub(super) fn waits_for_bytes(&self) -> bool {
        self.aim.goal == Goal::Once
    }

    /// What it means that nothing came for too long.
    pub(super) fn silence(&self) -> String {
        let waits = self.aim.goal == Goal::Once && !self.aim.current && self.place.verified();
        let why = match (waits, self.owing) {
            (true, _) => "no file follows the rotated one",
            (false, true) => "nothing but signs of life, and there is more",
            (false, false) => "timeout",
        };
        why.to_owned()
    }

    /// A connection or a job failed. Says whether that was the last try.
    pub(super) fn ends_after_failure(&mut self) -> bool {
        if std::mem::take(&mut self.aim.is_busy) && self.aim.busy < BUSY_MAX {
            self.aim.busy += 1;
            return false;
        }
        self.aim.failures = self.aim.failures.saturating_add(1);
        self.aim.goal == Goal::Once && self.aim.failures >= FAILURES_MAX && !self.asks_anew_next()
    }

    /// A responder of protocol 1 that refuses what it has not is asked what it has.
    fn asks_anew_next(&self) -> bool {
        let refused = matches!(self.state, State::Asking { anew: false, .. });
        refused && self.generation.is_some() && self.refusals == super::REFUSALS_MAX
    }

    /// Nothing more is fetched. What is here is made durable before that is told.
    pub(super) fn finish(&mut self, complete: bool) {
        let complete = complete && self.aim.lost.is_none();
        self.set(State::Finishing { complete });
        self.checkpoint_at = None;
        if self.busy() {
            return;
        }
        if self.dirty() {
            self.start(Job::Checkpoint);
            return;
        }
        self.outputs.push_back(if complete { Output::Complete } else { Output::GiveUp });
    }
}
