//! One connection: its socket, its open file, and the session that says what to do with them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use mio::net::TcpStream;

use super::errands::{self, Done, Found, Located, Proof, Search};
use super::files::{FileNo, Files};
use super::finder::Unserved;
use super::finder::packed::{self, Body};
use super::jobs::{Errand, Jobs, Lane};
use super::listeners::Refused;
use super::session::{Answered, CloseReason, Input, Opening, Output, Piece, Session, Times};
use super::tail::{Place, View};
use super::unpacking::{Ending, Unpacking};
use crate::evloop::Readiness;
use crate::evloop::deadlines::Alarm;
use crate::evloop::slots::Slot;
use crate::pos::{FileFacts, Offset, Token, Writers};
use crate::proto::ask::Extent;
use crate::proto::printable;
use crate::proto::refusal::Refusal;
use crate::proto::request::Request;
use crate::proto::serve::mask;
use crate::sys::clock;
use crate::sys::linux::boot::boot_id;
use crate::sys::logs::{DiskLogs, Logs};

/// File bytes written for one connection before the next has its turn.
const TURN_BYTES: usize = 1 << 20;

/// Size of the one buffer that all connections share.
const BUFFER_BYTES: usize = 256 << 10;

/// Bytes taken from a fetcher at once; its request is hardly longer.
const HEARD_BYTES: usize = 4096;

/// How often bytes are taken from a fetcher before the next has its turn.
const HEARD_MAX: usize = 16;

/// What all connections work with.
#[derive(Debug)]
pub struct Desk {
    /// The file system.
    pub logs: Arc<DiskLogs>,
    /// What is served.
    pub files: Arc<Files>,
    /// How long things may take.
    pub times: Times,
    /// What is done beside the loop.
    pub jobs: Jobs,
    /// Which run of this host it is.
    boot: Token,
    refused: Refused,
    buffer: Vec<u8>,
}

/// A connection.
#[derive(Debug)]
pub struct Conn {
    slot: Slot,
    stream: TcpStream,
    peer: SocketAddr,
    session: Session,
    /// The path it asked for.
    asked: Vec<u8>,
    followed: Option<Followed>,
    /// The file of which a range is to be proved.
    proved: Option<Body<File>>,
    /// What is being done for it, and how that ended.
    errand: Option<Errand>,
    done: Option<Done>,
    readable: bool,
    writable: bool,
    /// Waits for its turn.
    pub queued: bool,
    /// Its entry among the deadlines.
    pub alarm: Alarm,
}

#[derive(Debug)]
struct Followed {
    number: FileNo,
    file: File,
    /// What a compressed file held; away while the next piece is being read.
    packed: Option<Box<Unpacking>>,
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

impl Desk {
    /// A desk with its buffer.
    pub fn new(logs: DiskLogs, files: Files, times: Times, jobs: Jobs) -> Desk {
        Desk {
            logs: Arc::new(logs),
            files: Arc::new(files),
            times,
            jobs,
            boot: boot_id(),
            refused: Refused::default(),
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    fn search(&self, number: FileNo) -> Search {
        let (logs, files) = (Arc::clone(&self.logs), Arc::clone(&self.files));
        Search { logs, files, number, linger: self.times.linger, boot: self.boot }
    }
}

impl Conn {
    /// A connection that was just accepted.
    pub fn new(
        slot: Slot,
        stream: TcpStream,
        peer: SocketAddr,
        now: Instant,
        times: Times,
    ) -> Conn {
        Conn {
            slot,
            stream,
            peer,
            session: Session::new(now, times),
            asked: Vec::new(),
            followed: None,
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

    /// The file it follows.
    pub fn followed(&self) -> Option<FileNo> {
        self.followed.as_ref().map(|followed| followed.number)
    }

    /// The path that it is served with, or that is looked for.
    pub fn asked(&self) -> Option<&[u8]> {
        let served = self.followed.is_some() || self.proved.is_some();
        let looked_for = self.errand.is_some() || self.done.is_some();
        (served || looked_for).then_some(&self.asked[..])
    }

    /// What is being done for it.
    pub fn errand(&self) -> Option<&Errand> {
        self.errand.as_ref()
    }

    /// What was being done for it has ended.
    pub fn take(&mut self, done: Done) {
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
    pub fn stream(&mut self) -> &mut TcpStream {
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
    pub fn turn(&mut self, now: Instant, desk: &mut Desk) -> Turn {
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
        match self.carry_out(output, now, desk, &mut budget) {
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
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }

    fn carry_out(
        &mut self,
        mut output: Output,
        now: Instant,
        desk: &mut Desk,
        budget: &mut usize,
    ) -> Turn {
        loop {
            let input = match output {
                Output::Rest => return Turn::Rest,
                Output::Close(reason) => return Turn::Close(reason),
                Output::Send { .. } if *budget == 0 => return Turn::More,
                Output::Find(request) => match self.find(request, now, desk) {
                    Some(input) => input,
                    None => return Turn::Rest,
                },
                Output::Locate(extent) => match self.locate(extent, now, desk) {
                    Some(input) => input,
                    None => return Turn::Rest,
                },
                Output::Unpack => match self.unpack(desk) {
                    Some(input) => input,
                    None => return Turn::Rest,
                },
                Output::Hash(range) => match self.proved.take() {
                    Some(body) => {
                        self.hash(Proof::new(body, range), desk);
                        return Turn::Rest;
                    }
                    None => Input::Unreadable,
                },
                Output::Say => self.say(),
                Output::Look => self.look(desk, None),
                Output::AskWriters => self.ask_writers(desk),
                Output::SeekSuccessor => match self.seek_successor(desk) {
                    Some(input) => input,
                    None => return Turn::Rest,
                },
                Output::Send { from, most, masked } => {
                    let most = usize::try_from(most).unwrap_or(usize::MAX).min(*budget);
                    self.send(from, most, masked, now, desk, budget)
                }
                Output::Shut => match self.stream.shutdown(Shutdown::Write) {
                    Ok(()) => Input::Woken,
                    Err(_) => Input::HungUp,
                },
            };
            output = self.session.handle(now, input);
        }
    }

    /// Has somebody look for it.
    fn find(&mut self, request: Request, now: Instant, desk: &mut Desk) -> Option<Input<'static>> {
        let search = match self.search(&request.path, now, desk) {
            Ok(search) => search,
            Err(refused) => return Some(refused),
        };
        let work = move |stop: &AtomicBool| search.follow(&request, stop);
        self.errand = Some(desk.jobs.run(Lane::Find, self.slot, work));
        None
    }

    /// The same for a range that is to be proved.
    fn locate(
        &mut self,
        extent: Box<Extent>,
        now: Instant,
        desk: &mut Desk,
    ) -> Option<Input<'static>> {
        let search = match self.search(&extent.path, now, desk) {
            Ok(search) => search,
            Err(refused) => return Some(refused),
        };
        let work = move |stop: &AtomicBool| search.locate(&extent, stop);
        self.errand = Some(desk.jobs.run(Lane::Find, self.slot, work));
        None
    }

    /// What is not in the configuration need not be looked for.
    fn search(
        &mut self,
        path: &[u8],
        now: Instant,
        desk: &mut Desk,
    ) -> Result<Search, Input<'static>> {
        self.asked = path.to_vec();
        match desk.files.look_up(path) {
            Some(number) => Ok(desk.search(number)),
            None => Err(self.refuse(Unserved::not_configured(), now, desk)),
        }
    }

    /// Has the next piece of a range hashed.
    fn hash(&mut self, proof: Proof, desk: &mut Desk) {
        let logs = Arc::clone(&desk.logs);
        let work = move |stop: &AtomicBool| proof.go_on(&logs, stop);
        self.errand = Some(desk.jobs.run(Lane::Read, self.slot, work));
    }

    /// What there is of a compressed file, or has somebody read on.
    fn unpack(&mut self, desk: &mut Desk) -> Option<Input<'static>> {
        let Some(followed) = &mut self.followed else { return Some(Input::Unreadable) };
        let Some(unpacking) = followed.packed.take() else {
            // Whoever has it has failed, unless it is still away.
            return self.errand.is_none().then_some(Input::Unreadable);
        };
        let piece = match (unpacking.rest().len(), unpacking.ending()) {
            (0, None) => {
                let work = move |_: &AtomicBool| errands::unpack(unpacking);
                self.errand = Some(desk.jobs.run(Lane::Read, self.slot, work));
                return None;
            }
            (0, Some(Ending::Whole)) => Piece::End,
            (0, Some(Ending::Damaged(_))) if is_unfinished(desk, &followed.file) => {
                Piece::Unfinished
            }
            // The operator is told when the next request finds it so.
            (0, Some(Ending::Damaged(_))) => Piece::Damaged,
            (count, _) => Piece::Bytes(count),
        };
        followed.packed = Some(unpacking);
        Some(Input::Ready(piece))
    }

    /// What was done for it, if it may be told at any time.
    fn handle_done(&mut self, now: Instant, desk: &mut Desk) -> Option<Input<'static>> {
        match self.done.take()? {
            Done::Found(found) => Some(self.handle_found(found, now, desk)),
            Done::Located(Ok(Located { body, answer, to })) => {
                self.proved = Some(body);
                Some(Input::Located(answer, to))
            }
            Done::Located(Err(unserved)) => Some(self.refuse(unserved, now, desk)),
            Done::Hashed(proof) => match proof.result() {
                Some(Ok(whole)) => Some(Input::Hashed(whole)),
                Some(Err(())) => Some(Input::Unreadable),
                None => {
                    self.hash(*proof, desk);
                    None
                }
            },
            Done::Unpacked(unpacking) => {
                if let Some(followed) = &mut self.followed {
                    followed.packed = Some(unpacking);
                }
                None
            }
            Done::Failed if self.followed.is_none() => Some(Input::Unreadable),
            // It will be asked for again.
            Done::Failed => None,
            done @ Done::Successor(_) => {
                self.done = Some(done);
                None
            }
        }
    }

    /// The configuration may have been read again meanwhile; who is no longer served was closed then.
    fn handle_found(
        &mut self,
        found: Result<Found, Unserved>,
        now: Instant,
        desk: &mut Desk,
    ) -> Input<'static> {
        match (found, desk.files.look_up(&self.asked)) {
            (Ok(Found { body, answer, from, size, quiet }), Some(number)) => match (body, answer) {
                (Body::Packed(file, packed), Answered::Two(answer)) => {
                    self.followed = Some(Followed { number, file, packed: Some(packed) });
                    Input::Packed(answer)
                }
                (Body::Plain(file) | Body::Packed(file, _), answer) => {
                    self.followed = Some(Followed { number, file, packed: None });
                    Input::Opened(Opening { answer, from, size, quiet })
                }
            },
            (Ok(_), None) => self.refuse(Unserved::not_configured(), now, desk),
            (Err(unserved), _) => self.refuse(unserved, now, desk),
        }
    }

    fn refuse(&self, unserved: Unserved, now: Instant, desk: &mut Desk) -> Input<'static> {
        let Unserved { code, why } = unserved;
        desk.refused.note(now, self.peer, &self.asked, &why);
        let text = format!("cannot serve {}: {why}", printable(&self.asked));
        Input::Refused(Refusal::new(code, &text))
    }

    fn look(&self, desk: &Desk, writers: Option<Writers>) -> Input<'static> {
        let Some(Followed { number, file, .. }) = &self.followed else { return Input::Unreadable };
        let Ok(facts) = desk.logs.facts(file) else { return Input::Unreadable };
        let place = match desk.logs.facts_at(&desk.files.get(*number).path) {
            Ok(Some(at_path)) if at_path.same_file(&facts) => Place::Kept,
            // A link or a directory there is no successor, just as little as nothing is.
            Ok(Some(at_path)) if at_path.regular => Place::Taken,
            Ok(_) | Err(_) => Place::Vacant,
        };
        let FileFacts { size, modified_ns, links, .. } = facts;
        Input::Seen(View { size, modified_ns, links, place, writers })
    }

    fn ask_writers(&self, desk: &Desk) -> Input<'static> {
        let Some(followed) = &self.followed else { return Input::Unreadable };
        let writers = desk.logs.writers(&followed.file);
        self.look(desk, Some(writers))
    }

    /// The answer is as old as the time it took to look. It is only asked for where all is sent and
    /// nobody writes, and who is told that a generation has ended asks for what else there is of it.
    fn seek_successor(&mut self, desk: &mut Desk) -> Option<Input<'static>> {
        if let Some(Done::Successor(there)) = self.done.take() {
            return Some(Input::Successor(there));
        }
        if self.errand.is_some() {
            return None;
        }
        let Some(Followed { number, file, .. }) = &self.followed else {
            return Some(Input::Unreadable);
        };
        let Ok(facts) = desk.logs.facts(file) else { return Some(Input::Unreadable) };
        let search = desk.search(*number);
        self.errand =
            Some(desk.jobs.run(Lane::Find, self.slot, move |stop| search.successor(&facts, stop)));
        None
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
    fn send(
        &mut self,
        from: Offset,
        most: usize,
        masked: bool,
        now: Instant,
        desk: &mut Desk,
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
        if let Some(unpacking) = &mut followed.packed {
            unpacking.consume(sent);
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

/// Whether more may come of a compressed file that ends early.
fn is_unfinished(desk: &Desk, file: &File) -> bool {
    let (linger, wall_ns) = (desk.times.linger, clock::wall_ns());
    let facts = desk.logs.facts(file);
    facts.is_ok_and(|facts| packed::is_unfinished(&*desk.logs, file, &facts, linger, wall_ns))
}

/// Writes what the socket takes; 0 when it takes nothing now.
fn written(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match stream.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
