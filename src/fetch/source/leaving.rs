//! A generation is left: since it is lost, or since the copy is not what the source has.

use super::Source;
use crate::fetch::copy::{Place, Rest, Trust};
use crate::fetch::store::Cut;
use crate::fetch::terms::{Job, Output};
use crate::pos::Generation;
use crate::status::event::Event;

impl Source {
    /// The copy has other bytes than the source at `place.at`.
    pub(super) fn handle_difference(&mut self) {
        let Some(known) = self.generation else { return };
        self.outputs.push_back(Output::Close);
        self.in_step = false;
        if let Some(cut) = self.damaged_end() {
            self.hold_apart(Job::Cut(cut));
            return;
        }
        match self.place.trust {
            // Not a copy of this generation.
            Trust::Nothing => self.set_aside(known, None),
            // Not the file that we were reading.
            Trust::Durable { .. } | Trust::Whole => {
                self.tell_lost(known);
                self.set_aside(known, self.unverified_tail());
            }
        }
    }

    /// The copy is kept as an archive, and the same generation fetched from its beginning: not what is
    /// there now, which would skip the generations between.
    fn set_aside(&mut self, next: Generation, cut: Option<Cut>) {
        self.outputs.push_back(Output::Tell(Event::CopyDiffers { at: self.place.at }));
        self.hold_apart(Job::Rotate { next, cut });
    }

    /// The end of the copy that is not as the source has it, if that is for our own disk to answer
    /// for: it was not known to be durable, and all before it agreed. Where there is nothing before
    /// it and it did arrive, it is the source that has another file.
    fn damaged_end(&self) -> Option<Cut> {
        let Place { at, durable, trust, .. } = self.place;
        match trust {
            Trust::Durable { rest } if at >= durable && (durable > 0 || rest != Rest::Arrived) => {
                Some(Cut { at, keep: rest != Rest::Torn })
            }
            Trust::Durable { .. } | Trust::Whole | Trust::Nothing => None,
        }
    }

    /// A heartbeat: the source ends where we are. Says whether that ended the connection.
    pub(super) fn handle_end_reached(&mut self) -> bool {
        let Some(known) = self.generation.filter(|_| !self.place.verified()) else { return false };
        if let Some(cut) = self.damaged_end() {
            self.outputs.push_back(Output::Close);
            self.hold_apart(Job::Cut(cut));
            return true;
        }
        match self.place.trust {
            Trust::Nothing => {
                self.outputs.push_back(Output::Close);
                self.set_aside(known, None);
                true
            }
            // The source has less than it had. Its next bytes will differ from ours, or be ours.
            Trust::Durable { .. } | Trust::Whole => false,
        }
    }

    pub(super) fn rotate_lost(&mut self, lost: Generation, next: Generation) {
        self.tell_lost(lost);
        let cut = self.unverified_tail();
        self.hold(Job::Rotate { next, cut });
    }

    fn tell_lost(&mut self, lost: Generation) {
        let inode = lost.inode;
        let offset = self.place.base + self.place.size;
        self.outputs.push_back(Output::Tell(Event::Lost { inode, offset }));
    }

    /// The end of the copy that can't be compared any more. Bytes did arrive as long as the machine
    /// ran on and no sync failed; else they may be anything, and so may what is behind the part of a
    /// found copy that did agree.
    pub(super) fn unverified_tail(&self) -> Option<Cut> {
        let Place { at, durable, trust, .. } = self.place;
        match trust {
            Trust::Durable { rest: Rest::Doubtful | Rest::Torn } => {
                Some(Cut { at: durable.max(at), keep: true })
            }
            Trust::Nothing if self.in_step && at > 0 => Some(Cut { at, keep: true }),
            Trust::Durable { rest: Rest::Arrived } | Trust::Whole | Trust::Nothing => None,
        }
    }
}
