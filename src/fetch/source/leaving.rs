//! A generation is left: since it is lost, or since the copy is not what the source has.

use std::time::Instant;

use super::Source;
use crate::fetch::copy::{Place, Rest, Trust};
use crate::fetch::manifest::{Ending, Gap, Outcome};
use crate::fetch::store::Cut;
use crate::fetch::terms::{Job, Output};
use crate::pos::{Generation, Offset};
use crate::status::event::Event;

impl Source {
    /// The copy has other bytes than the source at `place.at`.
    pub(super) fn handle_difference(&mut self, now: Instant) {
        let Some(known) = self.generation else { return };
        if self.makes_sure(now, self.place.at) || !self.may_hurry(now) {
            return;
        }
        self.outputs.push_back(Output::Close);
        self.in_step = false;
        if let Some(cut) = self.damaged_end() {
            self.leave_end(cut);
            return;
        }
        match self.place.trust {
            // Not a copy of this generation.
            Trust::Nothing => self.set_aside(known, None, None),
            // Not the file that we were reading.
            Trust::Durable { .. } | Trust::Whole => {
                let cut = self.unverified_tail();
                let lost = self.tell_lost(known, cut);
                self.set_aside(known, cut, Some(lost));
            }
        }
    }

    /// The byte at `at` of the copy, or one before it that a digest was made of, is not the source's. If it is
    /// not durable, it may be what is read where the cache has dropped what it could not write: only a sync
    /// tells of that. So it is made durable, and then asked for anew. Says whether it is.
    pub(super) fn makes_sure(&mut self, now: Instant, at: Offset) -> bool {
        let cached = match self.place.trust {
            Trust::Whole => self.dirty(),
            Trust::Durable { rest: Rest::Arrived } => !self.assured,
            // What was compared was written again.
            Trust::Durable { rest: Rest::Doubtful | Rest::Torn } => at < self.place.right(),
            Trust::Nothing => false,
        };
        let unsure = cached && at >= self.place.durable;
        if unsure && self.may_hurry(now) {
            self.outputs.push_back(Output::Close);
            self.in_step = false;
            self.checkpoint_at = None;
            // One that runs may have begun before the last bytes came.
            self.hold_apart(Job::Checkpoint);
        }
        unsure
    }

    /// The end of the copy is not the source's: it is cut off. A copy that somebody renamed keeps it, since
    /// it may be a line that he wrote; the new copy goes on where both agreed.
    pub(super) fn leave_end(&mut self, cut: Cut) {
        if self.renamed {
            (self.place.size, self.place.trust) = (cut.at, Trust::Whole);
            self.reopen_wanted = false;
            self.hold_apart(Job::Reopen);
        } else {
            self.hold_apart(Job::Cut(cut));
        }
    }

    /// The copy is kept as an archive, and the same generation fetched from its beginning: not what is
    /// there now, which would skip the generations between.
    fn set_aside(&mut self, next: Generation, cut: Option<Cut>, lost: Option<Gap>) {
        self.outputs.push_back(Output::Tell(Event::CopyDiffers { at: self.place.at }));
        let outcome = Outcome { ending: Ending::Differs, lost };
        // What was heard may have been of another file.
        let next = Generation { heard: 0, ..next };
        self.hold_apart(Job::Rotate { next, cut, outcome });
    }

    /// The end of the copy that is not as the source has it, if that is for our own disk to answer
    /// for: it was neither known to be durable nor ever compared, and all before it agreed. Where nothing
    /// before it was durable when it was found, and it did arrive, it is the source that has another file.
    fn damaged_end(&self) -> Option<Cut> {
        let Place { at, trust, .. } = self.place;
        let first = at >= self.place.right();
        match trust {
            Trust::Durable { rest }
                if first && (self.found_durable > 0 || rest != Rest::Arrived) =>
            {
                Some(Cut { at, keep: rest != Rest::Torn })
            }
            Trust::Durable { .. } | Trust::Whole | Trust::Nothing => None,
        }
    }

    /// A heartbeat: the source ends where we are. Says whether that ended the connection.
    pub(super) fn handle_end_reached(&mut self, now: Instant) -> bool {
        let Some(known) = self.generation.filter(|_| !self.place.verified()) else { return false };
        if let Some(cut) = self.damaged_end() {
            self.outputs.push_back(Output::Close);
            self.leave_end(cut);
            return true;
        }
        match self.place.trust {
            Trust::Nothing => {
                if self.may_hurry(now) {
                    self.outputs.push_back(Output::Close);
                    self.set_aside(known, None, None);
                }
                true
            }
            // The source has less than it had. Its next bytes will differ from ours, or be ours.
            Trust::Durable { .. } | Trust::Whole => false,
        }
    }

    /// The responder calls our generation complete at byte `from` of the copy. If we have more, it is
    /// not ours that it speaks of: its file lost its end, or another one has its name. Then what ours
    /// had behind the copy, if anything, can't be had.
    pub(super) fn rotate_complete(&mut self, known: Generation, next: Generation, from: Offset) {
        let cut = self.unverified_tail();
        let kept = cut.map_or(self.place.size, |cut| cut.at);
        if from < kept {
            let (ended, have) = (self.place.base + from, self.place.base + kept);
            let shorter = Event::Shorter { inode: known.inode, ended, have };
            self.outputs.push_back(Output::Tell(shorter));
            self.rotate_lost(known, next, Ending::Short);
        } else {
            // It was cut before it ended, or copied to where there was no room for all of it.
            let lost = (known.heard > self.place.base + kept).then(|| self.tell_lost(known, cut));
            let outcome = Outcome { lost, ..Outcome::COMPLETE };
            self.hold(Job::Rotate { next, cut, outcome });
        }
    }

    /// The current file goes on and has only `size` bytes, fewer than were heard of: the others were cut
    /// off before they could be fetched. Gives how many are heard of now. What a compressed file or a
    /// rotated one has is known only at its end.
    pub(super) fn hear_size(&mut self, known: &Generation, size: Offset) -> Offset {
        if size >= known.heard || !self.aim.current {
            return known.heard.max(size);
        }
        let from = size.max(self.place.base + self.place.size);
        if from < known.heard {
            let (inode, end) = (known.inode, Some(known.heard));
            let event = Event::Lost { inode, offset: from, end };
            self.note_lost(&event);
            self.outputs.push_back(Output::Tell(event));
        }
        size
    }

    pub(super) fn rotate_lost(&mut self, lost: Generation, next: Generation, ending: Ending) {
        let cut = self.unverified_tail();
        let outcome = Outcome { ending, lost: Some(self.tell_lost(lost, cut)) };
        self.hold(Job::Rotate { next, cut, outcome });
    }

    /// What the generation had behind the copy, once `cut` is cut off.
    fn tell_lost(&mut self, lost: Generation, cut: Option<Cut>) -> Gap {
        let from = self.place.base + cut.map_or(self.place.size, |cut| cut.at);
        let to = Some(lost.heard).filter(|&heard| heard > from);
        let event = Event::Lost { inode: lost.inode, offset: from, end: to };
        self.note_lost(&event);
        self.outputs.push_back(Output::Tell(event));
        Gap { from, to }
    }

    /// The end of the copy that can't be compared any more. Bytes did arrive as long as the machine
    /// ran on and no sync failed; else they may be anything, and so may what is behind the part of a
    /// found copy that did agree.
    pub(super) fn unverified_tail(&self) -> Option<Cut> {
        match self.place.trust {
            Trust::Durable { rest: Rest::Doubtful | Rest::Torn } => {
                Some(Cut { at: self.place.right(), keep: true })
            }
            Trust::Nothing if self.in_step && self.place.at > 0 => {
                Some(Cut { at: self.place.at, keep: true })
            }
            Trust::Durable { rest: Rest::Arrived } | Trust::Whole | Trust::Nothing => None,
        }
    }
}
