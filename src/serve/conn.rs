//! One connection: its socket, its open file, and the session that says what to do with them.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::crowd::Ticket;
use super::errands::{Done, Search};
use super::files::{FileNo, Files};
use super::finder::is_gone_or_closed;
use super::finder::packed::Body;
use super::jobs::{Errand, Hands, Jobs};
use super::listeners::Refused;
use super::listing::{Listing, Look};
use super::seam::Seam;
use super::session::{CloseReason, Input, Output, Session, Times};
use super::tail::{Place, View};
use super::unpacking::Unpacking;
use crate::evloop::Readiness;
use crate::evloop::deadlines::Alarm;
use crate::evloop::slots::Slot;
use crate::pos::{FileFacts, Offset, Token, Writers};
use crate::proto::serve::mask;
use crate::sys::logs::{DiskLogs, Logs};
use crate::sys::net::Socket;

mod beside;

/// File bytes written for one connection before the next has its turn.
const TURN_BYTES: usize = 1 << 20;

/// Size of the one buffer that all connections share.
const BUFFER_BYTES: usize = 256 << 10;

/// Bytes taken from a fetcher at once; its request is hardly longer.
const HEARD_BYTES: usize = 4096;

/// How often bytes are taken from a fetcher before the next has its turn.
const HEARD_MAX: usize = 16;

/// A file that was left alone for so long is looked at more closely when it changes.
const REST: Duration = Duration::from_millis(10);

/// What all connections work with.
#[derive(Debug)]
pub struct Desk<L = DiskLogs, H = Jobs> {
    /// The file system.
    pub logs: Arc<L>,
    /// What is served.
    pub files: Arc<Files>,
    /// How long things may take.
    pub times: Times,
    /// What is done beside the loop.
    pub jobs: H,
    /// Which run of this host it is.
    boot: Token,
    refused: Refused,
    buffer: Vec<u8>,
}

/// A connection.
#[derive(Debug)]
pub struct Conn<S = TcpStream, F = File> {
    slot: Slot,
    stream: S,
    peer: SocketAddr,
    /// Its place among all.
    ticket: Ticket,
    session: Session,
    /// The path it asked for.
    asked: Vec<u8>,
    followed: Option<Followed<F>>,
    /// The list it is told, away while somebody looks for news; and where there may be some.
    listing: Option<Box<Listing>>,
    is_listing: bool,
    look: Look,
    /// The file of which a range is to be proved.
    proved: Option<Body<F>>,
    /// What is being done for it, and how that ended.
    errand: Option<Errand>,
    done: Option<Done<F>>,
    readable: bool,
    writable: bool,
    /// Waits for its turn.
    pub queued: bool,
    /// Its entry among the deadlines.
    pub alarm: Alarm,
}

#[derive(Debug)]
struct Followed<F> {
    number: FileNo,
    file: F,
    /// What a compressed file held; away while the next piece is being read.
    packed: Option<Box<Unpacking>>,
    seam: Seam,
    /// Size and time of change when the seam was looked at last.
    seen: (Offset, u64),
    /// When it was found or was seen to have changed last.
    changed_at: Instant,
}

/// How a turn ended.
#[derive(Debug)]
pub enum Turn {
    /// There is nothing to do until something happens.
    Rest,
    /// Its budget is spent; there is more to send.
    More,
    /// The connection is to be closed.
    Close(CloseReason),
}

impl<F> Followed<F> {
    /// Whether the file still has what was sent of it, as far as that has to be looked at.
    fn is_intact<L: Logs<File = F>>(
        &mut self,
        now: Instant,
        logs: &L,
        sent: Offset,
        seen: (Offset, u64),
    ) -> io::Result<bool> {
        let before = std::mem::replace(&mut self.seen, seen);
        if before == seen {
            return Ok(true);
        }
        let rested = now.saturating_duration_since(self.changed_at) >= REST;
        self.changed_at = now;
        Ok(self.seam.holds(logs, &self.file, sent)?
            && (!rested && seen.0 > before.0 || self.seam.begins(logs, &self.file)?))
    }
}

impl<L: Logs, H> Desk<L, H> {
    /// A desk with its buffer, in the run of the host that is called `boot`.
    pub fn new(logs: L, files: Files, times: Times, jobs: H, boot: Token) -> Desk<L, H> {
        Desk {
            logs: Arc::new(logs),
            files: Arc::new(files),
            times,
            jobs,
            boot,
            refused: Refused::default(),
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    fn search(&self, number: FileNo) -> Search<L> {
        let (logs, files) = (Arc::clone(&self.logs), Arc::clone(&self.files));
        Search { logs, files, number, linger: self.times.linger, boot: self.boot }
    }
}

impl<S: Socket, F: fmt::Debug + Send + 'static> Conn<S, F> {
    /// A connection that was just accepted.
    pub fn new(
        slot: Slot,
        stream: S,
        peer: SocketAddr,
        now: Instant,
        times: Times,
        ticket: Ticket,
    ) -> Conn<S, F> {
        Conn {
            slot,
            stream,
            peer,
            ticket,
            session: Session::new(now, times),
            asked: Vec::new(),
            followed: None,
            listing: None,
            is_listing: false,
            look: Look::Nothing,
            proved: None,
            errand: None,
            done: None,
            readable: false,
            writable: false,
            queued: false,
            alarm: Alarm::default(),
        }
    }

    /// Who it is.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Its place among all connections.
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Whether it has not asked for anything yet.
    pub fn is_asking(&self) -> bool {
        self.session.is_asking()
    }

    /// The file it follows.
    pub fn followed(&self) -> Option<FileNo> {
        self.followed.as_ref().map(|followed| followed.number)
    }

    /// The path that it is served with, or that is looked for.
    pub fn asked(&self) -> Option<&[u8]> {
        let served = self.followed.is_some() || self.proved.is_some();
        let looked_for = self.errand.is_some() || self.done.is_some();
        (!self.asked.is_empty() && (served || looked_for)).then_some(&self.asked[..])
    }

    /// What is being done for it.
    pub fn errand(&self) -> Option<&Errand> {
        self.errand.as_ref()
    }

    /// What was being done for it has ended.
    pub fn take(&mut self, done: Done<F>) {
        self.errand = None;
        self.done = Some(done);
    }

    /// Bytes of the generation the fetcher has or was sent.
    pub fn sent(&self) -> Option<Offset> {
        self.session.sent()
    }

    /// When to wake it at the latest.
    pub fn deadline(&self) -> Instant {
        self.session.deadline()
    }

    /// For registering.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The configuration was read again: the file it follows has this number now.
    pub fn renumber(&mut self, number: FileNo) {
        if let Some(followed) = &mut self.followed {
            followed.number = number;
        }
    }

    /// The configuration was read again: these times hold now.
    pub fn set_times(&mut self, times: Times) {
        self.session.set_times(times);
    }

    /// Remembers what the socket is ready for.
    pub fn note(&mut self, readiness: Readiness) {
        self.readable |= readiness.readable;
        self.writable |= readiness.writable;
    }

    /// Does what there is to do, within the budget.
    pub fn turn<L, H>(&mut self, now: Instant, desk: &mut Desk<L, H>) -> Turn
    where
        L: Logs<File = F> + Send + Sync + 'static,
        H: Hands<F>,
    {
        let mut budget = TURN_BYTES;
        for _ in 0..HEARD_MAX {
            if !self.readable {
                break;
            }
            let output = match self.stream.read(&mut desk.buffer[..HEARD_BYTES]) {
                Ok(0) => self.session.handle(now, Input::HungUp),
                Ok(count) => self.session.handle(now, Input::Heard(&desk.buffer[..count])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => self.session.handle(now, Input::HungUp),
            };
            if let Turn::Close(reason) = self.carry_out(output, now, desk, &mut budget) {
                return Turn::Close(reason);
            }
        }
        if let Some(input) = self.handle_done(now, desk) {
            let output = self.session.handle(now, input);
            if let Turn::Close(reason) = self.carry_out(output, now, desk, &mut budget) {
                return Turn::Close(reason);
            }
        }
        let input = if std::mem::take(&mut self.writable) { Input::Writable } else { Input::Woken };
        let output = self.session.handle(now, input);
        let turn = self.carry_out(output, now, desk, &mut budget);
        // An answer that nobody asked for in this turn is too old for the next.
        self.done = None;
        match turn {
            Turn::Rest if self.readable => Turn::More,
            turn => turn,
        }
    }

    /// Says why it ends, if the socket takes it: the program does not wait.
    pub fn part(&mut self) {
        if let Some(words) = self.session.farewell()
            && written(&mut self.stream, &words).is_ok()
        {
            // The connection is closed right after this anyway.
            let _ = self.stream.shut();
        }
    }

    fn carry_out<L, H>(
        &mut self,
        mut output: Output,
        now: Instant,
        desk: &mut Desk<L, H>,
        budget: &mut usize,
    ) -> Turn
    where
        L: Logs<File = F> + Send + Sync + 'static,
        H: Hands<F>,
    {
        loop {
            let input = match output {
                Output::Rest => return Turn::Rest,
                Output::Close(reason) => return Turn::Close(reason),
                Output::Send { .. } if *budget == 0 => return Turn::More,
                Output::Say => self.say(),
                Output::Look => self.look(now, desk, None),
                Output::AskWriters => self.ask_writers(now, desk),
                Output::Send { from, most, masked } => {
                    let most = usize::try_from(most).unwrap_or(usize::MAX).min(*budget);
                    self.send(from, most, masked, now, desk, budget)
                }
                Output::Shut => match self.stream.shut() {
                    Ok(()) => Input::Woken,
                    Err(_) => Input::HungUp,
                },
                Output::Find(_)
                | Output::Locate(_)
                | Output::Hash(_)
                | Output::Unpack
                | Output::Enlist(_)
                | Output::List
                | Output::SeekSuccessor => match self.have_done(output, now, desk) {
                    Some(input) => input,
                    None => return Turn::Rest,
                },
            };
            output = self.session.handle(now, input);
        }
    }

    fn look<L: Logs<File = F>, H>(
        &mut self,
        now: Instant,
        desk: &Desk<L, H>,
        writers: Option<Writers>,
    ) -> Input<'static> {
        let sent = self.session.sent().unwrap_or(0);
        let Some(followed) = &mut self.followed else { return Input::Unreadable };
        let Followed { number, file, .. } = &*followed;
        let Ok(facts) = desk.logs.facts(file) else { return Input::Unreadable };
        let place = match desk.logs.facts_at(&desk.files.get(*number).path) {
            Ok(Some(at_path)) if at_path.same_file(&facts) => Place::Kept,
            // A link or a directory there is no successor, just as little as nothing is.
            Ok(Some(at_path)) if at_path.regular => Place::Taken,
            Ok(_) => Place::Vacant,
            Err(error) if is_gone_or_closed(&error) => Place::Vacant,
            // For want of a descriptor, perhaps: nothing follows from it.
            Err(_) => Place::Kept,
        };
        let FileFacts { size, modified_ns, links, .. } = facts;
        match followed.is_intact(now, &*desk.logs, sent, (size, modified_ns)) {
            Ok(intact) => Input::Seen(View { size, modified_ns, links, place, writers, intact }),
            Err(_) => Input::Unreadable,
        }
    }

    fn ask_writers<L: Logs<File = F>, H>(
        &mut self,
        now: Instant,
        desk: &Desk<L, H>,
    ) -> Input<'static> {
        let Some(followed) = &self.followed else { return Input::Unreadable };
        let writers = desk.logs.writers(&followed.file);
        self.look(now, desk, Some(writers))
    }

    fn say(&mut self) -> Input<'static> {
        match written(&mut self.stream, self.session.words()) {
            Ok(0) => Input::Blocked,
            Ok(count) => Input::Said(count),
            Err(_) => Input::HungUp,
        }
    }

    /// Sends the words there are and one buffer full, in one write. Where it stands in the file and in
    /// the words is all that the session needs to know after a short write.
    fn send<L: Logs<File = F>, H>(
        &mut self,
        from: Offset,
        most: usize,
        masked: bool,
        now: Instant,
        desk: &mut Desk<L, H>,
        budget: &mut usize,
    ) -> Input<'static> {
        let Some(followed) = &mut self.followed else { return Input::Unreadable };
        let words = self.session.words().len();
        let (head, body) = desk.buffer.split_at_mut(words);
        head.copy_from_slice(self.session.words());
        let room = body.len().min(most);
        let read = match &followed.packed {
            None => desk.logs.read_at(&followed.file, &mut body[..room], from),
            Some(unpacking) => {
                let rest = &unpacking.rest()[..unpacking.rest().len().min(room)];
                body[..rest.len()].copy_from_slice(rest);
                Ok(rest.len())
            }
        };
        let end = match read {
            Ok(0) => return Input::Sent(0),
            Ok(count) => words + count,
            Err(_) => return Input::Unreadable,
        };
        match followed.seam.holds(&*desk.logs, &followed.file, from) {
            Ok(true) => {}
            Ok(false) => return Input::Emptied,
            Err(_) => return Input::Unreadable,
        }
        if masked {
            mask(&mut body[..end - words]);
        }
        let count = match written(&mut self.stream, &desk.buffer[..end]) {
            Ok(0) => return Input::Blocked,
            Ok(count) => count,
            Err(_) => return Input::HungUp,
        };
        if words > 0 {
            self.session.handle(now, Input::Said(count.min(words)));
        }
        let sent = count.saturating_sub(words);
        match &mut followed.packed {
            Some(unpacking) => unpacking.consume(sent),
            None => followed.seam.push(&desk.buffer[words..words + sent]),
        }
        *budget -= sent;
        // A short write says that the socket is full, as well as WouldBlock does (epoll(7)).
        if count == end {
            return Input::Sent(sent);
        }
        if sent > 0 {
            self.session.handle(now, Input::Sent(sent));
        }
        Input::Blocked
    }
}

/// Writes what the socket takes; 0 when it takes nothing now.
fn written(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match stream.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
