//! What is asked, and what the answer means for what we have.

use std::time::Instant;

use super::{CONTRADICTIONS_MAX, OVERLAP, REFUSALS_MAX, Source, State};
use crate::fetch::copy::{Place, Rest, TAIL_BYTES, Trust};
use crate::fetch::manifest::Ending;
use crate::fetch::store::Cut;
use crate::fetch::terms::{Job, Output, WORKING_MAX};
use crate::pos::{Generation, Offset, Position, Start};
use crate::proto::WireFault;
use crate::proto::answer::{Answer, File, Why};
use crate::proto::asked::Asked;
use crate::proto::refusal::{Code, Refusal};
use crate::proto::request::{Request, is_plain};
use crate::proto::status::{Status, Verdict};
use crate::status::event::Fault;

impl Source {
    /// Connected: the request goes out.
    pub fn handle_connected(&mut self, now: Instant) {
        let State::Connecting { .. } = self.state else { return };
        let anew = self.generation.is_some() && self.refusals >= REFUSALS_MAX;
        let from = self.ask_from();
        let have = self
            .generation
            .filter(|_| !anew)
            .map(|known| Position { inode: known.inode, offset: self.place.base + from });
        (self.progressed, self.owing, self.brought) = (false, false, 0);
        let until = now + self.timing.reply_timeout;
        self.set(State::Asking { since: now, until, from, anew });
        let known = self.generation.filter(|_| have.is_some());
        let asked = Asked {
            id: known.and_then(|known| known.id),
            seen_ns: known.and_then(|known| known.seen_ns),
            start: self.wanted_start(),
            ..Asked::default()
        };
        let two = Some(Box::new(asked));
        self.outputs.push_back(Output::Ask(Request { path: self.remote.clone(), have, two }));
    }

    /// Where a first contact is to begin. A copy that was found without a pointer is compared with the
    /// current file from its beginning: nothing else could show whose it is.
    fn wanted_start(&self) -> Start {
        match self.generation {
            None if self.place.size == 0 => self.start,
            _ => Start::Begin,
        }
    }

    /// The first byte of the copy that is asked for (again).
    fn ask_from(&self) -> Offset {
        match self.place.trust {
            _ if self.in_step => self.place.at,
            Trust::Nothing => 0,
            Trust::Durable { rest } => match self.with_overlap(self.place.right()) {
                0 if rest == Rest::Arrived => self.told_by_rest(),
                from => from,
            },
            Trust::Whole => self.with_overlap(self.place.size),
        }
    }

    /// Where to ask where nothing that is durable could be told by a digest: what came behind it is told, as
    /// much of it as one digest is of, so that the file is known by it. If no file has that, it is asked from
    /// the beginning. What a power loss or a failed sync has left may be anything, and few bytes of that are soon
    /// found in some file.
    fn told_by_rest(&self) -> Offset {
        let Place { base, masked, size, .. } = self.place;
        let told_in_two = self.generation.is_some_and(|known| known.id.is_some());
        if self.unknown || !told_in_two || base > 0 || masked > 0 {
            return 0;
        }
        self.with_overlap(size).min(TAIL_BYTES)
    }

    /// Where to ask again so that the bytes before `end` are compared. In protocol 2 that is at most half of
    /// them: a request for the first byte has no digest, and without one nothing tells a generation that was
    /// compressed, or came back from a backup, from another.
    fn with_overlap(&self, end: Offset) -> Offset {
        let told_in_two = self.generation.is_some_and(|known| known.id.is_some());
        let overlap = if told_in_two { OVERLAP.min(end.div_ceil(2)) } else { OVERLAP };
        end.saturating_sub(overlap)
    }

    /// What a close instead of an answer means.
    pub(super) fn unanswered(&self) -> &'static str {
        if is_plain(&self.remote) {
            "connection closed"
        } else {
            "connection closed: a responder of protocol 1 can't be asked for a name with blanks or \
             control bytes"
        }
    }

    /// The status line has come, in protocol 1.
    pub fn handle_status(&mut self, now: Instant, status: Status) {
        let State::Asking { anew, .. } = self.state else { return };
        // Whatever follows, it is not of the file whose name protocol 1 did not see.
        if !is_plain(&self.remote) {
            let fault =
                WireFault::BadStatus(format!("{} {}", status.verdict.letter(), status.inode));
            self.handle_wire_fault(now, &fault);
            return;
        }
        let known = self.generation.map(|known| known.inode);
        let follows = match (known, status.verdict) {
            (None, _) => File::First,
            (Some(inode), Verdict::Found) if inode == status.inode => File::Same,
            (Some(inode), Verdict::Lost) if inode == status.inode && !anew => {
                let fault = WireFault::BadStatus(format!("L {inode}"));
                self.handle_wire_fault(now, &fault);
                return;
            }
            (Some(_), Verdict::Found) => File::Next,
            (Some(_), Verdict::Lost) => File::Lost(Why::Gone),
        };
        self.note_answer(follows, true, None);
        self.handle_reply(now, follows, Generation::of(status.inode), 0);
    }

    /// The status line has come, in protocol 2.
    pub fn handle_answer(&mut self, now: Instant, answer: &Answer) {
        let Answer { inode, file, id, from, size, mtime_ns, tail, .. } = *answer;
        // Else bytes would be missing without a word.
        if file == File::First && from > 0 && self.wanted_start() != Start::End {
            let fault = WireFault::Contradiction("from= is not the beginning that was asked for");
            self.handle_wire_fault(now, &fault);
            return;
        }
        self.note_answer(file, answer.name.is_none(), Some(size));
        let generation = Generation { inode, id: Some(id), seen_ns: Some(mtime_ns), heard: size };
        if self.generation.is_none() {
            self.place.before = tail;
        }
        self.handle_reply(now, file, generation, from);
    }

    /// What follows is `generation`, in the relation `follows` to what we have; it begins at `begin`
    /// if there is no copy of it yet.
    fn handle_reply(&mut self, now: Instant, follows: File, generation: Generation, begin: Offset) {
        let State::Asking { from, anew, .. } = self.state else { return };
        self.refusals = 0;
        // In protocol 2 it would say so: a connection that was closed instead proves nothing.
        let told = generation.id.is_some();
        self.contradictions = if anew && !told { self.contradictions + 1 } else { 0 };
        match (self.generation, follows) {
            // It answers, and has not what we asked for: that has become shorter.
            (Some(known), _) if anew && self.contradictions >= CONTRADICTIONS_MAX => {
                self.contradictions = 0;
                self.rotate_lost(known, generation, Ending::Gone);
            }
            // Nothing says that what came behind the durable bytes is right, so it need not be in any file.
            (Some(_), File::Next | File::Lost(_)) if !anew && self.is_told_by_rest(from) => {
                self.unknown = true;
                self.reconnect(now);
            }
            // The end of a copy that somebody renamed can't be compared any more: the new copy is asked for.
            (Some(_), File::Next | File::Lost(_)) if self.renamed && self.place.right() > 0 => {
                self.outputs.push_back(Output::Close);
                self.leave_end(Cut { at: self.place.right(), keep: true });
            }
            // Our own end may be what is wrong.
            (Some(_), File::Lost(Why::Digest)) if self.goes_back() => self.reconnect(now),
            (Some(_), File::Lost(_)) if from > 0 && self.makes_sure(now, from - 1) => {}
            // If it was away for a while, now the old question will be answered.
            (Some(_), _) if anew => {
                self.refusals = REFUSALS_MAX - 1;
                self.reconnect(now);
            }
            (None, _) | (_, File::First) => {
                (self.place.base, self.place.at) = (begin, 0);
                self.hold(Job::Begin(generation));
            }
            // It goes on after all, or another file has its number: nothing would be compared, and a
            // protocol 1 responder has compared nothing either.
            (Some(_), File::Same)
                if self.in_step && from > 0 && self.little_compared(&generation) =>
            {
                self.in_step = false;
                self.reconnect(now);
            }
            (Some(known), File::Same) => {
                self.place.begin_at(from);
                let heard = match generation.id {
                    Some(_) => self.hear_size(&known, generation.heard),
                    None => known.heard,
                };
                let renamed = (known.inode, known.id) != (generation.inode, generation.id);
                if renamed && generation.id.is_some() {
                    if known.id.is_none() {
                        self.place.masked = self.place.size;
                    }
                    self.hold(Job::Begin(Generation { heard, ..generation }));
                } else {
                    self.generation = Some(Generation { heard, ..known });
                    self.follow(now);
                }
            }
            (Some(known), File::Next) => self.rotate_complete(known, generation, from),
            (Some(known), File::Lost(why)) => self.rotate_lost(known, generation, why.into()),
        }
    }

    /// Whether who asks from there tells a digest of what is not known to be right.
    fn is_told_by_rest(&self, from: Offset) -> bool {
        matches!(self.place.trust, Trust::Durable { .. }) && from > self.place.right()
    }

    /// Bytes that are not durable were told by their digest, and the responder has others: they may have
    /// changed here, on a machine whose memory or disk is not well. So what is asked for next is what
    /// follows the durable ones, and the others are compared. Where few are durable they would prove less
    /// than what was told; and while a checkpoint runs, nobody knows yet where the durable ones end.
    fn goes_back(&mut self) -> bool {
        let Place { durable, size, trust, .. } = self.place;
        let more = trust == Trust::Whole && durable > OVERLAP && durable < size && !self.busy();
        if more {
            self.place.begin_at(durable);
            self.place.trust = Trust::Durable { rest: Rest::Arrived };
            (self.in_step, self.assured, self.found_durable) = (false, false, durable);
        }
        more
    }

    /// Whether an answer to who asked for the exact end proves little: a responder of protocol 1 compares
    /// nothing, and the first bytes of a copy that begins in the middle may be those of any file.
    fn little_compared(&self, answered: &Generation) -> bool {
        let few = self.place.before.is_some() && (1..OVERLAP).contains(&self.place.at);
        answered.id.is_none() || few
    }

    /// The responder said that its answer takes a while: it is waited for anew.
    pub fn handle_working(&mut self, now: Instant) {
        let State::Asking { since, from, anew, .. } = self.state else { return };
        if now.saturating_duration_since(since) >= WORKING_MAX {
            self.give_up(now, Fault::InitRead("no answer for an hour".to_owned()));
            return;
        }
        let until = now + self.timing.reply_timeout;
        self.set(State::Asking { since, until, from, anew });
    }

    /// The responder said in words why it will not serve us.
    pub fn handle_refusal(&mut self, now: Instant, refusal: &Refusal) {
        let why = format!("refused: {} {}", refusal.code, refusal.text());
        match refusal.code {
            Code::Busy => self.note_busy(),
            // All of a file that is not there yet is written from now on.
            Code::Missing if self.generation.is_none() && self.start == Start::End => {
                self.start = Start::Begin;
            }
            Code::Missing | Code::NotServed | Code::BadRequest | Code::Other(_) => {}
        }
        self.give_up(now, Fault::InitRead(why));
    }
}
