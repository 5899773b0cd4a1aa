//! Late bytes: a generation that has ended is asked for once more.
//!
//! A responder calls a rotated file complete when nobody writes to it, or when nobody has for its linger
//! time though somebody may. In the latter case it may still grow. So some time after a generation ended,
//! and again when the next one ends, it is asked for from its archive's end, by its identity and with
//! the digests of its archive, over a connection beside the source's own:
//!
//! ```text
//! Idle -> Queued -> Connecting -> Asking -> Opening -> Receiving -> Recording -> Idle
//!                                     |  answered that nothing follows      |
//!                                     +-> Idle                 any failure: +-> Idle, later again
//! ```
//!
//! * *Queued*: there is a limit to how many sources ask at the same time; the caller keeps it, from
//!   [`Output::Admit`] to [`Output::Close`], which always follows.
//! * *Opening*: there are late bytes. They wait in the socket until a worker has seen that the archive
//!   is what its line in the manifest says. An archive that was cut short by a crash in the middle of
//!   this is longer than its line; that rest is compared with what arrives and written again.
//! * *Recording*: a worker makes the archive durable, and then writes a new line for it.
//!
//! A generation is dropped when it was asked for after the next one had ended, and nothing had come;
//! or when the responder has it no more. What fails is tried again, less and less often, for as long as
//! the fetcher runs. Its troubles are none of the source's: they are told, and no more.
//!
//! Not here: sockets, files, clocks, sentences. As in [`super::source`], `handle_*` takes a fact and
//! [`Late::poll_output`] says what is to be done.

mod ended;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::copy::{Place, Took};
use super::manifest::{Ending, Line};
use super::terms::{End, Recheck, Timing, WORKING_MAX, Wants};
use crate::pos::{Inode, Offset, Position, Token};
use crate::proto::WireFault;
use crate::proto::answer::{Answer, File};
use crate::proto::asked::Asked;
use crate::proto::refusal::Code;
use crate::proto::request::Request;
use crate::proto::status::Reply;
use crate::status::event::Event;

use ended::Ended;

/// So many generations are remembered to be asked for once more; beyond that the oldest are given up.
const GENERATIONS_MAX: usize = 64;

/// Bytes of a generation by which it is known in a file of another identity.
const KNOWN_BYTES_MIN: Offset = 4096;

/// So long bytes are received before they get a line in the manifest, if there is no end of them.
const RECEIVING_MAX: Duration = Duration::from_secs(60);

/// Why one is asked for no more whose file is the source's own.
const FOLLOWED: &str = "its file is fetched once more";

#[derive(Debug)]
enum State {
    Idle,
    Queued,
    Connecting { until: Instant },
    Asking { since: Instant, until: Instant },
    Opening,
    Receiving { until: Instant, ends: Instant, place: Option<Place> },
    Recording,
}

/// What the caller is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Give it a place among those who ask, and then call [`Late::handle_admitted`].
    Admit,
    /// Begin to connect.
    Connect,
    /// Send this request, with the digests of the archive.
    Ask(Request),
    /// Have a worker see whether the archive is what its line says.
    Open,
    /// Have a worker make what has come durable, and write the line.
    Record(Place),
    /// Close the connection, if there is one; the place among those who ask is free.
    Close,
    /// Tell the operator.
    Tell(Event),
    /// Nobody needs to know, but somebody may want to.
    Note(String),
}

/// What a worker found.
#[derive(Debug)]
pub enum Opened {
    /// The archive is what its line says; the late bytes belong there.
    Ready(Place),
    /// Its line is this by now, which tells of more: to write it had failed, but it is there.
    Listed(Line),
    /// It is not, or not there any more.
    Changed,
    /// Nobody knows; why.
    Failed(String),
}

/// What a worker did.
#[derive(Debug)]
pub enum Recorded {
    /// The archive has grown, and this line says so.
    Grown(Line),
    /// There was nothing to record.
    Nothing,
    /// The archive is not what it was a moment before, or not there any more.
    Changed,
    /// It did not work; why.
    Failed(String),
}

/// All generations of one source that are to be asked for once more.
#[derive(Debug)]
pub struct Late {
    remote: Vec<u8>,
    timing: Timing,
    waiting: VecDeque<Ended>,
    /// The one that is asked for now.
    active: Option<Ended>,
    /// The first one whose late bytes were not taken, since its archive was changed.
    refused: Option<Inode>,
    state: State,
    backoff: Backoff,
    outputs: VecDeque<Output>,
}

impl Late {
    /// Nothing to ask for yet.
    pub fn new(remote: Vec<u8>, timing: Timing, seed: u64) -> Late {
        Late {
            remote,
            timing,
            waiting: VecDeque::new(),
            active: None,
            refused: None,
            state: State::Idle,
            backoff: Backoff::new(timing.reconnect, seed),
            outputs: VecDeque::new(),
        }
    }

    /// What is to be done next; called until it gives none, after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Late::handle_due`] is to be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Idle => self.waiting.iter().filter_map(|ended| ended.due).min(),
            State::Connecting { until } | State::Asking { until, .. } => Some(until),
            State::Receiving { until, ends, .. } => Some(until.min(ends)),
            State::Queued | State::Opening | State::Recording => None,
        }
    }

    /// Whether a generation is still to be asked for, apart from what waits for the next one to end, and
    /// from what could not be asked and will be tried again.
    pub fn pending(&self) -> bool {
        let untried = |ended: &Ended| ended.due.is_some() && !ended.failed;
        self.active.is_some() || self.waiting.iter().any(untried)
    }

    /// A generation of which bytes came late that are not here, since its archive was changed or can't be
    /// written.
    pub fn owed(&self) -> Option<Inode> {
        let mut known = self.active.iter().chain(&self.waiting);
        self.refused.or(known.find(|ended| ended.told).map(|ended| ended.line.inode))
    }

    /// Whether a worker is at it.
    pub fn busy(&self) -> bool {
        matches!(self.state, State::Opening | State::Recording)
    }

    /// Whether it waits for a place among those who ask.
    pub fn queued(&self) -> bool {
        matches!(self.state, State::Queued)
    }

    /// Whether it has a place among those who ask.
    pub fn admitted(&self) -> bool {
        !matches!(self.state, State::Idle | State::Queued)
    }

    /// What may be read from its connection now.
    pub fn wants(&self) -> Wants {
        match self.state {
            State::Asking { .. } => Wants::Status,
            State::Receiving { .. } => Wants::Data,
            _ => Wants::Nothing,
        }
    }

    /// What the manifest says of the archive that is asked for now.
    pub fn line(&self) -> Option<&Line> {
        self.active.as_ref().map(|ended| &ended.line)
    }

    /// Where the bytes that come belong.
    pub fn place_mut(&mut self) -> Option<&mut Place> {
        match &mut self.state {
            State::Receiving { place, .. } => place.as_mut(),
            _ => None,
        }
    }

    fn set(&mut self, state: State) {
        self.state = state;
    }

    /// A generation has ended, and its archive has this line. After a start it may have long ago, and
    /// after a recovery it may be known.
    pub fn handle_ended(&mut self, now: Instant, line: Line) {
        let Recheck::After(delay) = self.timing.recheck else { return };
        let mut known = self.active.iter_mut().chain(&mut self.waiting);
        if known.any(|ended| ended.line.is_of(&line)) {
            return;
        }
        for ended in self.active.iter_mut().chain(&mut self.waiting) {
            ended.followed = true;
            ended.due.get_or_insert(now);
        }
        if line.ending != Ending::Complete || line.id.is_none() || line.archive.is_none() {
            return;
        }
        // Of what was had before the copy was renamed there is no digest, and a log that was emptied in place
        // keeps its identity.
        if line.from > 0 && line.from == line.to {
            return;
        }
        self.waiting.push_back(Ended::new(line, now + delay));
        if self.waiting.len() > GENERATIONS_MAX
            && let Some(oldest) = self.waiting.pop_front()
        {
            let inode = oldest.line.inode;
            self.outputs.push_back(Output::Tell(Event::LateGivenUp { inode }));
        }
    }

    /// The source follows the file of this identity, again if it ended once: what comes to it is fetched there.
    /// What ended twice is not asked for as what it was at first.
    pub fn handle_followed(&mut self, id: Token) {
        self.waiting.retain(|ended| !(ended.again && ended.line.id == Some(id)));
        let all = self.waiting.iter_mut().chain(&mut self.active);
        all.filter(|ended| ended.line.id == Some(id)).for_each(|ended| ended.again = true);
        if let State::Receiving { .. } = self.state
            && self.active.as_ref().is_some_and(Ended::is_followed)
        {
            match self.come() {
                Some(place) => self.record(place),
                None => self.drop_active(FOLLOWED),
            }
        }
    }

    /// The source is about to begin with the file of this identity: until it has, or another generation has
    /// ended, that is not asked for.
    pub fn handle_chosen(&mut self, id: Token) {
        let is_it = |ended: &Ended| ended.line.id == Some(id);
        if self.active.as_ref().is_some_and(is_it) && !self.busy() && self.come().is_none() {
            let ended = self.end();
            self.waiting.extend(ended);
        }
        for ended in self.waiting.iter_mut().filter(|ended| is_it(ended)) {
            ended.due = None;
        }
    }

    /// The source's own connection was made: whoever could not connect tries again at once.
    pub fn handle_reachable(&mut self, now: Instant) {
        for ended in self.waiting.iter_mut().filter(|ended| ended.failed) {
            (ended.failed, ended.due) = (false, Some(now));
        }
    }

    /// A deadline has come.
    pub fn handle_due(&mut self, now: Instant) {
        match self.state {
            State::Idle => self.begin(now),
            State::Connecting { until } if until <= now => {
                self.fail(now, "cannot connect: timeout")
            }
            State::Asking { until, .. } if until <= now => self.fail(now, "no answer: timeout"),
            State::Receiving { until, ends, .. } if until.min(ends) <= now => {
                self.finish(now, "timeout");
            }
            _ => {}
        }
    }

    /// The one that has waited longest is asked for.
    fn begin(&mut self, now: Instant) {
        let due = |ended: &Ended| ended.due.is_some_and(|due| due <= now);
        let Some(at) = self.waiting.iter().position(due) else { return };
        // What comes due while it is asked for is the next asking.
        self.active = self.waiting.remove(at).map(|ended| Ended { due: None, ..ended });
        self.set(State::Queued);
        self.outputs.push_back(Output::Admit);
    }

    /// It has a place among those who ask; `there` says whether the archive still is.
    pub fn handle_admitted(&mut self, now: Instant, there: bool) {
        let State::Queued = self.state else { return };
        self.set(State::Connecting { until: now + self.timing.connect_timeout });
        if there {
            self.outputs.push_back(Output::Connect);
        } else {
            self.drop_active("its archive was moved");
        }
    }

    /// No connection could be made, or the request could not be sent.
    pub fn handle_unreachable(&mut self, now: Instant, why: &str) {
        if let State::Connecting { .. } | State::Asking { .. } = self.state {
            self.fail(now, why);
        }
    }

    /// Connected: the request goes out.
    pub fn handle_connected(&mut self, now: Instant) {
        let (State::Connecting { .. }, Some(ended)) = (&self.state, &self.active) else { return };
        let line = &ended.line;
        let have = Some(Position { inode: line.inode, offset: line.to });
        let asked = Asked { id: line.id, seen_ns: line.seen_ns, ..Asked::default() };
        let request = Request { path: self.remote.clone(), have, two: Some(Box::new(asked)) };
        self.set(State::Asking { since: now, until: now + self.timing.reply_timeout });
        self.outputs.push_back(Output::Ask(request));
    }

    /// The status line has come.
    pub fn handle_reply(&mut self, now: Instant, reply: &Reply) {
        let (&State::Asking { since, .. }, Some(ended)) = (&self.state, &self.active) else {
            return;
        };
        match reply {
            Reply::Two(answer) => match answer.file {
                // What comes to it now is fetched as that of the log.
                File::Same if answer.name.is_none() => {
                    self.drop_active("its file is the log again");
                }
                // Compressed or restored it has another identity. But any file may begin as a short one
                // did, and what it has behind that is none of it.
                File::Same
                    if Some(answer.id) == ended.line.id || ended.line.to >= KNOWN_BYTES_MIN =>
                {
                    self.receive(now, answer)
                }
                File::Same => self.drop_active("another file begins as it did"),
                File::Next => self.answer_nothing(),
                File::First | File::Lost(_) => self.drop_active("the responder has it no more"),
            },
            Reply::Working if now.saturating_duration_since(since) >= WORKING_MAX => {
                self.fail(now, "no answer for an hour");
            }
            Reply::Working => {
                self.set(State::Asking { since, until: now + self.timing.reply_timeout });
            }
            Reply::One(_) => self.drop_active("the responder speaks protocol 1"),
            Reply::Refused(refusal) => match refusal.code {
                Code::Missing | Code::NotServed => self.drop_active("it is not served any more"),
                Code::BadRequest | Code::Busy | Code::Other(_) => self.fail(now, refusal.text()),
            },
        }
    }

    /// The file goes on where the archive ends. Mostly nothing follows; if something does, the archive
    /// has to be looked at before.
    fn receive(&mut self, now: Instant, answer: &Answer) {
        if let Some(ended) = &mut self.active {
            ended.other = ended.line.id != Some(answer.id);
            if ended.is_followed() {
                self.drop_active(FOLLOWED);
                return;
            }
        }
        if answer.size > answer.from {
            self.set(State::Opening);
            self.outputs.push_back(Output::Open);
        } else {
            let (until, ends) = (now + self.timing.idle_timeout, now + RECEIVING_MAX);
            self.set(State::Receiving { until, ends, place: None });
        }
    }

    /// A worker has looked at the archive.
    pub fn handle_opened(&mut self, now: Instant, opened: Opened) {
        let State::Opening = self.state else { return };
        match opened {
            Opened::Ready(_) if self.active.as_ref().is_some_and(Ended::is_followed) => {
                self.drop_active(FOLLOWED);
            }
            Opened::Ready(place) => {
                let (until, ends) = (now + self.timing.idle_timeout, now + RECEIVING_MAX);
                self.set(State::Receiving { until, ends, place: Some(place) });
            }
            Opened::Listed(line) => self.note_grown(now, line),
            Opened::Changed => self.leave_changed(),
            Opened::Failed(why) => self.fail_at_disk(now, why),
        }
    }

    /// Bytes came; `took` says what became of them.
    pub fn handle_data(&mut self, now: Instant, took: Took) {
        let State::Receiving { until, place, .. } = &mut self.state else { return };
        if place.is_none() {
            // It grew after the status line: asked again, that will say so.
            self.ask_later(now);
            return;
        }
        *until = now + self.timing.idle_timeout;
        match took {
            Took::All => {}
            // What a crash left behind the end that the line says; what did agree stays.
            Took::Differs => self.finish(now, "the rest is something else"),
            Took::Changed => self.leave_changed(),
            Took::Failed(why) => self.fail_at_disk(now, why),
        }
    }

    /// A heartbeat; `at_end` if the file ends where we are.
    pub fn handle_heartbeat(&mut self, now: Instant, at_end: bool) {
        let State::Receiving { until, .. } = &mut self.state else { return };
        *until = now + self.timing.idle_timeout;
        if at_end {
            self.finish_or_answer();
        }
    }

    /// The responder says that this is the end.
    pub fn handle_close(&mut self) {
        if let State::Receiving { .. } = self.state {
            self.finish_or_answer();
        }
    }

    /// The connection has ended.
    pub fn handle_end(&mut self, now: Instant, end: End) {
        let why = match end {
            End::Closed => "connection closed".to_owned(),
            End::Broken(why) => why,
        };
        match self.state {
            State::Connecting { .. } | State::Asking { .. } => self.fail(now, &why),
            State::Receiving { .. } => self.finish(now, &why),
            State::Idle | State::Queued | State::Opening | State::Recording => {}
        }
    }

    /// What came is not the protocol.
    pub fn handle_wire_fault(&mut self, now: Instant, fault: &WireFault) {
        self.handle_end(now, End::Broken(fault.to_string()));
    }

    /// All there is has come.
    fn finish_or_answer(&mut self) {
        match self.come() {
            Some(place) => self.record(place),
            None => self.answer_nothing(),
        }
    }

    /// There will be no more now, though there may be more there.
    fn finish(&mut self, now: Instant, why: &str) {
        match self.come() {
            Some(place) => self.record(place),
            None => self.fail(now, why),
        }
    }

    /// Where we are, if the archive is not as its line says.
    fn come(&self) -> Option<Place> {
        match &self.state {
            State::Receiving { place: Some(place), .. } => {
                (place.size > place.durable).then_some(*place)
            }
            _ => None,
        }
    }

    fn record(&mut self, place: Place) {
        self.set(State::Recording);
        self.outputs.push_back(Output::Record(place));
    }

    /// A worker has written the line, or not.
    pub fn handle_recorded(&mut self, now: Instant, recorded: Recorded) {
        let State::Recording = self.state else { return };
        match recorded {
            Recorded::Grown(line) => self.note_grown(now, line),
            Recorded::Nothing => self.ask_later(now),
            Recorded::Changed => self.leave_changed(),
            Recorded::Failed(why) => self.fail_at_disk(now, why),
        }
    }

    /// The archive has grown, and this is its line: there may be more.
    fn note_grown(&mut self, now: Instant, line: Line) {
        let Some(ended) = &mut self.active else { return };
        let late = Event::Late {
            inode: line.inode,
            from: ended.line.to,
            bytes: line.to.saturating_sub(ended.line.to),
            archive: line.archive.clone().unwrap_or_default(),
        };
        (ended.line, ended.told) = (line, false);
        self.outputs.push_back(Output::Tell(late));
        self.backoff.succeed();
        self.ask_later(now);
    }

    // ---- ends of one asking ----

    fn end(&mut self) -> Option<Ended> {
        if self.admitted() {
            self.outputs.push_back(Output::Close);
        }
        self.set(State::Idle);
        self.active.take()
    }

    /// The responder has answered, and nothing has come.
    fn answer_nothing(&mut self) {
        self.backoff.succeed();
        let Some(ended) = self.end() else { return };
        let what = format!("nothing came late for {}", ended.line.inode);
        self.outputs.push_back(Output::Note(what));
        if ended.due.is_some() || !ended.followed {
            self.waiting.push_back(Ended { failed: false, ..ended });
        }
    }

    /// It may have more.
    fn ask_later(&mut self, now: Instant) {
        let Recheck::After(delay) = self.timing.recheck else { return };
        let Some(ended) = self.end().filter(|ended| !ended.is_followed()) else { return };
        self.waiting.push_back(Ended { due: Some(now + delay), failed: false, ..ended });
    }

    fn fail(&mut self, now: Instant, why: &str) {
        let wait = self.backoff.fail();
        let Some(ended) = self.end() else { return };
        let what = format!("cannot ask once more for {}: {why}", ended.line.inode);
        self.outputs.push_back(Output::Note(what));
        self.waiting.push_back(Ended { due: Some(now + wait), failed: true, ..ended });
    }

    /// Our own disk's fault is told, but once.
    fn fail_at_disk(&mut self, now: Instant, why: String) {
        if let Some(ended) = &mut self.active
            && !std::mem::replace(&mut ended.told, true)
        {
            let inode = ended.line.inode;
            let event = Event::LateFault { inode, why: why.clone() };
            self.outputs.push_back(Output::Tell(event));
        }
        self.fail(now, &why);
    }

    fn drop_active(&mut self, why: &str) {
        if let Some(ended) = self.end() {
            let what = format!("{} is not asked for any more: {why}", ended.line.inode);
            self.outputs.push_back(Output::Note(what));
        }
    }

    /// There are late bytes, and nothing to put them behind.
    fn leave_changed(&mut self) {
        let Some(ended) = self.end() else { return };
        let archive = ended.line.archive.unwrap_or_default();
        let inode = ended.line.inode;
        self.refused = self.refused.or(Some(inode));
        self.outputs.push_back(Output::Tell(Event::LateRefused { inode, archive }));
    }
}

#[cfg(test)]
mod tests;
