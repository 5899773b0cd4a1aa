//! The life of one source: who is asked for what, and what its answer means.
//!
//! The peer is a responder that serves one generation a connection, and that closes without a word
//! when the generation has ended, when it is stopped, and when it will not serve us. The disk is our
//! own: whatever has to wait for it is a [`Job`], and a source has one job at a time.
//!
//! ```text
//! Storing(Recover) -> Waiting -> Connecting -> Asking -> Following -> Waiting ...
//!                                                |  status names another generation
//!                                                +-> Storing(Begin | Rotate) -> Following
//! Following: the copy differs -> connection closed, Storing(Cut | Rotate) -> Waiting
//! any store fault -> connection closed, Waiting, Storing(Recover)
//! Following: fetched once, and all is here -> connection closed, Finishing
//! Connecting, Asking, Following: no room for the copy -> connection closed, Halted -> Waiting
//! ```
//!
//! Where we ask from. After a start: from what the pointer calls durable. Within a process's life:
//! from what was written. Both less [`OVERLAP`] bytes that the copy has already, which are compared as
//! they come; so a file that is not the one we were reading is noticed even where the inode number is
//! the same. Only after an orderly end, when the connection had just shown that both agree, exactly
//! what follows is asked for: that is how a responder is told that its generation is complete here,
//! even where our copy is the longer one since the source lost its end. Where it answers that the
//! generation goes on all the same, that may be another file under the same number, of which nothing
//! was compared: we ask once more, with the overlap.
//!
//! Not here: sockets, files, clocks, sentences. `handle_*` takes a fact, [`Source::poll_output`] says
//! what is to be done about it, [`Source::deadline`] when to call [`Source::handle_due`].

mod asking;
mod halting;
mod leaving;
mod once;

use std::collections::VecDeque;
use std::time::Instant;

use super::backoff::Backoff;
use super::copy::{Place, Took};
use super::haste::{BURST, Haste};
use super::terms::{End, Job, Output, Timing, Wants};
use crate::pos::{Generation, Offset, Start};
use crate::proto::WireFault;
use crate::status::event::Fault;

use once::Aim;

/// Bytes before the end of the copy that are asked for once more and compared.
pub const OVERLAP: Offset = 256;

/// A request answered by nothing but a close, so often in a row, makes us ask what is there now.
const REFUSALS_MAX: u32 = 3;

/// So often in a row what is there now must have been told, and what we have been refused in between,
/// before the rest of it is given up. Fewer prove nothing: a forwarder whose responder is away for a
/// while accepts and closes as well.
const CONTRADICTIONS_MAX: u32 = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No connection; at `until` the next try, which begins with a recovery if `recover`.
    Waiting { until: Instant, recover: bool },
    /// A connection is being made.
    Connecting { until: Instant },
    /// The request is sent. `anew`: it asked what is there now, though we have a generation.
    Asking { since: Instant, until: Instant, from: Offset, anew: bool },
    /// A job runs without which nothing can go on. `connected`: data waits in the socket.
    Storing { connected: bool },
    /// The copy grows, since the status came.
    Following { since: Instant, until: Instant },
    /// There is no room for the copy: no connection until there is.
    Halted,
    /// Nothing more is fetched; what came is made durable. `complete`: it is all there was.
    Finishing { complete: bool },
}

/// One source.
#[derive(Debug)]
pub struct Source {
    remote: Vec<u8>,
    start: Start,
    aim: Aim,
    timing: Timing,
    state: State,
    generation: Option<Generation>,
    place: Place,
    backoff: Backoff,
    haste: Haste,
    /// Why there is no room for the copy, if there is none.
    no_room: Option<Fault>,
    job: Option<Job>,
    next_job: Option<Job>,
    reopen_wanted: bool,
    /// Somebody renamed the copy, and its end is still to be compared.
    renamed: bool,
    /// How much of the copy was durable when it was found, or when what is behind that came into doubt.
    found_durable: Offset,
    /// What is behind that was synced since.
    assured: bool,
    /// The responder has no file with the bytes of a found copy of which none is durable.
    unknown: bool,
    /// The last connection ended in order with both ends agreeing up to `place.at`.
    in_step: bool,
    /// This connection brought a byte that none before it brought, or a generation.
    progressed: bool,
    /// The responder told of more bytes last, and has not sent them.
    owing: bool,
    /// Bytes that this connection brought.
    brought: u64,
    /// How far in the copy any connection came since the last job.
    furthest: Offset,
    /// Connections in a row that ended in order and brought nothing.
    idle_ends: u32,
    /// Requests in a row that were answered by a close.
    refusals: u32,
    /// How often since our generation was last answered for it was told what is there now.
    contradictions: u32,
    checkpoint_at: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Source {
    /// A source that knows nothing yet; its first output is to recover.
    pub fn new(remote: Vec<u8>, timing: Timing, seed: u64) -> Source {
        let mut source = Source {
            remote,
            start: Start::Begin,
            aim: Aim::default(),
            timing,
            state: State::Storing { connected: false },
            generation: None,
            place: Place::default(),
            backoff: Backoff::new(timing.reconnect, seed),
            haste: Haste::new(BURST),
            no_room: None,
            job: None,
            next_job: None,
            reopen_wanted: false,
            renamed: false,
            found_durable: 0,
            assured: false,
            unknown: false,
            in_step: false,
            progressed: false,
            owing: false,
            brought: 0,
            furthest: 0,
            idle_ends: 0,
            refusals: 0,
            contradictions: 0,
            checkpoint_at: None,
            outputs: VecDeque::new(),
        };
        source.start(Job::Recover);
        source
    }

    /// The same, beginning there if nothing of it was fetched yet.
    pub fn starting(self, start: Start) -> Source {
        Source { start, ..self }
    }

    /// What is to be done next; called until it gives none, after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Source::handle_due`] is to be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let of_state = match self.state {
            State::Waiting { until, .. }
            | State::Connecting { until }
            | State::Asking { until, .. }
            | State::Following { until, .. } => Some(until),
            State::Storing { .. } | State::Halted | State::Finishing { .. } => None,
        };
        let of_checkpoint = self.checkpoint_at.filter(|_| self.job.is_none());
        [of_state, of_checkpoint].into_iter().flatten().min()
    }

    /// What may be read from the connection now.
    pub fn wants(&self) -> Wants {
        match self.state {
            State::Asking { .. } => Wants::Status,
            State::Following { .. } => Wants::Data,
            State::Waiting { .. }
            | State::Connecting { .. }
            | State::Storing { .. }
            | State::Halted
            | State::Finishing { .. } => Wants::Nothing,
        }
    }

    /// The generation that the copy holds.
    pub fn generation(&self) -> Option<Generation> {
        self.generation
    }

    /// Where we are in the copy.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The same, for putting bytes there.
    pub fn place_mut(&mut self) -> &mut Place {
        &mut self.place
    }

    /// Whether a connection is wanted and is not there yet.
    pub fn connecting(&self) -> bool {
        matches!(self.state, State::Connecting { .. })
    }

    /// Whether a job runs.
    pub fn busy(&self) -> bool {
        self.job.is_some()
    }

    /// Whether bytes are in the copy that the pointer does not know of yet.
    pub fn dirty(&self) -> bool {
        self.place.right() > self.place.durable
    }

    /// Whether all of the copy is known to be right, durable or not.
    fn all_right(&self) -> bool {
        self.place.right() == self.place.size
    }

    /// Whether the copy may be left behind, without a connection that would compare its end.
    fn may_reopen(&self) -> bool {
        self.generation.is_some() && self.all_right()
    }

    fn set(&mut self, state: State) {
        self.state = state;
    }

    /// A deadline has come.
    pub fn handle_due(&mut self, now: Instant) {
        if self.checkpoint_at.is_some_and(|at| at <= now) && self.job.is_none() {
            self.checkpoint_at = None;
            if self.dirty() {
                self.start(Job::Checkpoint);
            }
        }
        let timeout = || "timeout".to_owned();
        match self.state {
            State::Waiting { until, recover } if until <= now => self.try_again(now, recover),
            State::Connecting { until } if until <= now => {
                self.give_up(now, Fault::InitConnect(timeout()))
            }
            State::Asking { until, .. } if until <= now => {
                self.give_up(now, Fault::InitRead(timeout()))
            }
            State::Following { until, .. } if until <= now => {
                self.give_up(now, Fault::Read(self.silence()))
            }
            State::Waiting { .. }
            | State::Connecting { .. }
            | State::Asking { .. }
            | State::Following { .. }
            | State::Storing { .. }
            | State::Halted
            | State::Finishing { .. } => {}
        }
    }

    /// Whether a checkpoint would come in less than half its time, and may as well come now, when
    /// those of others come: together they cost little more than one.
    pub fn may_checkpoint(&self, now: Instant) -> bool {
        let soon = self.timing.sync.gathering().map(|ahead| now + ahead);
        self.job.is_none() && self.dirty() && self.checkpoint_at.is_some_and(|at| Some(at) <= soon)
    }

    /// Begins that one.
    pub fn handle_gathering(&mut self, now: Instant) {
        if self.may_checkpoint(now) {
            self.checkpoint_at = None;
            self.start(Job::Checkpoint);
        }
    }

    fn try_again(&mut self, now: Instant, recover: bool) {
        if recover {
            self.set(State::Storing { connected: false });
            self.start(Job::Recover);
        } else if self.reopen_wanted && self.may_reopen() {
            self.reopen_wanted = false;
            self.set(State::Storing { connected: false });
            self.start(Job::Reopen);
        } else if let Some(fault) = self.no_room.clone() {
            self.halt(fault);
        } else {
            self.set(State::Connecting { until: now + self.timing.connect_timeout });
            self.outputs.push_back(Output::Connect);
        }
    }

    /// No connection could be made, or the request could not be sent.
    pub fn handle_unreachable(&mut self, now: Instant, fault: Fault) {
        if matches!(self.state, State::Connecting { .. } | State::Asking { .. }) {
            self.give_up(now, fault);
        }
    }

    /// The request can't be made, since the copy can't be read. Nothing is known of it then, and what is on
    /// disk is looked for anew.
    pub fn handle_unreadable(&mut self, now: Instant, fault: Fault) {
        if let State::Asking { .. } = self.state {
            self.recover_after(now, fault);
        }
    }

    /// What came is not the protocol.
    pub fn handle_wire_fault(&mut self, now: Instant, fault: &WireFault) {
        let fault = fault.to_string();
        match self.state {
            State::Following { .. } => self.give_up(now, Fault::Read(fault)),
            _ => self.give_up(now, Fault::InitHeader(fault)),
        }
    }

    /// `took` says what became of data that arrived; `alive` whether a heartbeat was among it.
    pub fn handle_data(&mut self, now: Instant, took: Took, moved: u64, alive: bool) {
        let State::Following { since, .. } = self.state else { return };
        if self.place.at > self.furthest {
            self.brought = self.brought.saturating_add(self.place.at - self.furthest);
            self.furthest = self.place.at;
            self.progressed = true;
        }
        self.note_data();
        if moved > 0 {
            self.wait_for_checkpoint(now);
        }
        match took {
            Took::Failed(why) => {
                self.give_up(now, Fault::WriteData(why));
                return;
            }
            Took::Changed => {
                // A checkpoint may run: the recovery waits for its end.
                let what = "copy was changed by somebody else".to_owned();
                self.recover_after(now, Fault::Store(what));
                return;
            }
            Took::Differs => {
                self.handle_difference(now);
                return;
            }
            Took::All => {}
        }
        if (alive && self.handle_end_reached(now)) || self.handle_once(now, since, alive) {
            return;
        }
        // A sign of life that tells of more bytes is one only if these come.
        self.owing = moved == 0 && !alive;
        if moved > 0 || (alive && !self.waits_for_bytes()) {
            self.set(State::Following { since, until: now + self.timing.idle_timeout });
        }
        self.succeed(now, since);
    }

    /// A protocol 2 heartbeat: the file has `size` bytes and was changed last at `mtime_ns`; `at_end` if
    /// it ends where we are.
    pub fn handle_heartbeat(&mut self, now: Instant, size: Offset, at_end: bool, mtime_ns: u64) {
        if let (State::Following { .. }, Some(known)) = (self.state, &mut self.generation) {
            known.seen_ns = Some(mtime_ns);
            known.heard = known.heard.max(size);
        }
        self.handle_data(now, Took::All, 0, at_end);
    }

    /// Everything that was read is in the copy.
    pub fn handle_drained(&mut self) {
        if self.reopen_wanted {
            self.handle_reopen();
        }
    }

    /// Something has arrived, or has arrived since the last checkpoint began.
    fn wait_for_checkpoint(&mut self, now: Instant) {
        if self.checkpoint_at.is_none() {
            self.checkpoint_at = self.timing.sync.deadline(now);
        }
    }

    /// The connection has ended.
    pub fn handle_end(&mut self, now: Instant, end: End) {
        match (self.state, end) {
            (State::Asking { .. }, End::Closed) => {
                self.refusals += 1;
                self.give_up(now, Fault::InitRead(self.unanswered().to_owned()));
            }
            (State::Asking { .. }, End::Broken(why)) => {
                self.give_up(now, Fault::InitRead(why));
            }
            (State::Following { since, .. }, End::Closed) => self.handle_orderly_end(now, since),
            (State::Following { .. }, End::Broken(why)) => {
                self.give_up(now, Fault::Read(why));
            }
            (State::Connecting { .. }, _) => {
                self.give_up(now, Fault::InitConnect("connection closed".to_owned()));
            }
            (
                State::Waiting { .. }
                | State::Storing { .. }
                | State::Halted
                | State::Finishing { .. },
                _,
            ) => {}
        }
    }

    /// The responder closes when a generation has ended: what follows is asked for at once. One that
    /// soon goes on closing without having brought anything is in trouble.
    fn handle_orderly_end(&mut self, now: Instant, since: Instant) {
        let lasted = now.saturating_duration_since(since) >= self.timing.reconnect;
        self.idle_ends = if self.progressed || lasted { 0 } else { self.idle_ends + 1 };
        if self.idle_ends > 1 || (!self.progressed && self.ends_after_failure()) {
            self.give_up(now, Fault::Read("connection closed".to_owned()));
        } else {
            self.reconnect(now);
        }
        // Also after a wait: else a responder that closed often would never again be asked for the
        // exact end, and never say what follows.
        self.in_step = true;
    }

    fn reconnect(&mut self, now: Instant) {
        if self.may_hurry(now) {
            self.outputs.push_back(Output::Close);
            self.set(State::Waiting { until: now, recover: false });
        }
    }

    /// Ends the connection, tells why and waits before the next try.
    fn give_up(&mut self, now: Instant, fault: Fault) {
        self.in_step = false;
        self.outputs.push_back(Output::Close);
        self.outputs.push_back(Output::Fail(fault));
        if self.ends_after_failure() {
            self.finish(false);
            return;
        }
        let until = now + self.backoff.fail();
        self.set(State::Waiting { until, recover: false });
    }

    /// The operator asks to look whether the copy was renamed.
    pub fn handle_reopen(&mut self) {
        match self.state {
            State::Following { .. } if self.place.verified() && self.job.is_none() => {
                self.reopen_wanted = false;
                self.hold(Job::Reopen);
            }
            // It may make the room: a copy that was removed keeps its bytes as long as it is open here.
            State::Halted if self.may_reopen() && self.job.is_none() => {
                self.reopen_wanted = false;
                self.hold_apart(Job::Reopen);
            }
            // Later: when what runs is done, or before the next connection.
            _ => self.reopen_wanted = true,
        }
    }

    /// The recovery found the copy under another name, with an end that is not known to be right: once that
    /// is compared, a new one goes on behind it.
    pub fn handle_renamed(&mut self) {
        (self.renamed, self.reopen_wanted) = (true, true);
    }

    fn follow(&mut self, now: Instant) {
        self.set(State::Following { since: now, until: now + self.timing.idle_timeout });
    }

    /// The connection waits until `job` is done.
    fn hold(&mut self, job: Job) {
        self.set(State::Storing { connected: true });
        self.start(job);
    }

    /// The connection is closed; after `job` a new one is made.
    fn hold_apart(&mut self, job: Job) {
        self.set(State::Storing { connected: false });
        self.start(job);
    }

    /// One job at a time: while a checkpoint runs, the next waits for its end.
    fn start(&mut self, job: Job) {
        if self.job.is_some() {
            self.next_job = Some(job);
        } else {
            self.job = Some(job);
            self.outputs.push_back(Output::Do(job));
        }
    }

    fn end_job(&mut self) {
        self.job = None;
        if let Some(next) = self.next_job.take() {
            self.start(next);
        }
    }

    /// A checkpoint is done.
    pub fn handle_checkpointed(&mut self, now: Instant, durable: Offset) {
        self.place.durable = self.place.durable.max(durable);
        if self.dirty() {
            self.wait_for_checkpoint(now);
        }
        self.end_job();
        // It was waited for, to look once more at what differs.
        if let State::Storing { connected: false } = self.state
            && self.job.is_none()
        {
            self.assured = true;
            self.set(State::Waiting { until: now, recover: false });
        }
        if let State::Following { .. } = self.state {
            let right = self.place.durable.min(self.place.at);
            self.outputs.push_back(Output::Acknowledge(self.place.base + right));
        }
        if self.reopen_wanted {
            self.handle_reopen();
        }
        if let State::Finishing { complete } = self.state {
            self.finish(complete);
        }
    }

    /// The job that holds everything up is done, and the source stands there now.
    pub fn handle_standing(&mut self, now: Instant, generation: Option<Generation>, place: Place) {
        let job = self.job;
        self.end_job();
        let State::Storing { connected } = self.state else { return };
        self.generation = generation;
        self.place = place;
        self.furthest = place.at;
        // It is the same copy where only its generation has another identity.
        if !matches!(job, Some(Job::Begin(_))) {
            (self.renamed, self.assured, self.found_durable) = (false, false, place.durable);
        }
        if matches!(job, Some(Job::Begin(_) | Job::Rotate { .. })) {
            self.progressed = true;
            self.note_generation();
        }
        // A file of another name is still what the responder made of it.
        self.unknown &= matches!(job, Some(Job::Begin(_)));
        if !matches!(job, Some(Job::Begin(_) | Job::Reopen)) {
            self.note_other_copy();
        }
        match self.no_room.clone() {
            Some(fault) if connected => self.halt(fault),
            _ if connected => self.follow(now),
            _ => {
                self.in_step = false;
                self.set(State::Waiting { until: now, recover: false });
            }
        }
    }

    /// The copy is where it was: nothing was reopened.
    pub fn handle_not_reopened(&mut self, now: Instant) {
        let (generation, place) = (self.generation, self.place);
        self.handle_standing(now, generation, place);
    }

    /// A job failed. What is in memory may not agree with the disk any more: after a while we read
    /// again what is there. (A sync that failed can't be tried again; the bytes are written anew.)
    pub fn handle_store_fault(&mut self, now: Instant, fault: Fault) {
        self.job = None;
        self.recover_after(now, fault);
    }

    fn recover_after(&mut self, now: Instant, fault: Fault) {
        self.next_job = None;
        self.checkpoint_at = None;
        self.place = Place::default();
        self.in_step = false;
        self.outputs.push_back(Output::Close);
        self.outputs.push_back(Output::Fail(fault));
        if self.ends_after_failure() {
            self.finish(false);
            return;
        }
        let until = now + self.backoff.fail();
        self.set(State::Waiting { until, recover: true });
    }
}
