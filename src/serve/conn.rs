//! One connection: its socket, its open file, and the session that says what to do with them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Instant;

use mio::net::TcpStream;

use super::files::{FileNo, Files};
use super::finder::{Finder, Unserved};
use super::listeners::Refused;
use super::seam::Seam;
use super::session::{Answered, CloseReason, Input, Opening, Output, Session, Times};
use super::tail::{Place, View};
use crate::evloop::Readiness;
use crate::evloop::deadlines::Alarm;
use crate::pos::{FileFacts, Offset, Token, Writers};
use crate::proto::printable;
use crate::proto::refusal::{Code, Refusal};
use crate::proto::request::Request;
use crate::proto::serve::mask;
use crate::sys::cause::cause;
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

const NOT_CONFIGURED: &str = "it is not in the configuration";

/// What all connections work with.
#[derive(Debug)]
pub struct Desk {
    /// The file system.
    pub logs: DiskLogs,
    /// What is served.
    pub files: Files,
    /// How long things may take.
    pub times: Times,
    /// Which run of this host it is.
    boot: Token,
    refused: Refused,
    buffer: Vec<u8>,
}

/// A connection.
#[derive(Debug)]
pub struct Conn {
    stream: TcpStream,
    peer: SocketAddr,
    session: Session,
    followed: Option<Followed>,
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
    seam: Seam,
    /// Size and time of change when the seam was looked at last.
    seen: (Offset, u64),
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
    pub fn new(logs: DiskLogs, files: Files, times: Times) -> Desk {
        let buffer = vec![0; BUFFER_BYTES];
        Desk { logs, files, times, boot: boot_id(), refused: Refused::default(), buffer }
    }

    fn finder(&self) -> Finder<'_, DiskLogs> {
        Finder {
            logs: &self.logs,
            files: &self.files,
            linger: self.times.linger,
            wall_ns: clock::wall_ns(),
        }
    }
}

impl Conn {
    /// A connection that was just accepted.
    pub fn new(stream: TcpStream, peer: SocketAddr, now: Instant, times: Times) -> Conn {
        Conn {
            stream,
            peer,
            session: Session::new(now, times),
            followed: None,
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
                Output::Find(request) => self.find(&request, now, desk),
                Output::Say => self.say(),
                Output::Look => self.look(desk, None),
                Output::AskWriters => self.ask_writers(desk),
                Output::SeekSuccessor => self.seek_successor(desk),
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

    fn find(&mut self, request: &Request, now: Instant, desk: &mut Desk) -> Input<'static> {
        match open(request, desk) {
            Ok((followed, opening)) => {
                self.followed = Some(followed);
                Input::Opened(opening)
            }
            Err(Unserved { code, why }) => {
                desk.refused.note(now, self.peer, &request.path, &why);
                let text = format!("cannot serve {}: {why}", printable(&request.path));
                Input::Refused(Refusal::new(code, &text))
            }
        }
    }

    fn look(&mut self, desk: &Desk, writers: Option<Writers>) -> Input<'static> {
        let sent = self.session.sent().unwrap_or(0);
        let Some(Followed { number, file, seam, seen }) = &mut self.followed else {
            return Input::Unreadable;
        };
        let Ok(facts) = desk.logs.facts(file) else { return Input::Unreadable };
        let place = match desk.logs.facts_at(&desk.files.get(*number).path) {
            Ok(Some(at_path)) if at_path.same_file(&facts) => Place::Kept,
            // A link or a directory there is no successor, just as little as nothing is.
            Ok(Some(at_path)) if at_path.regular => Place::Taken,
            Ok(_) | Err(_) => Place::Vacant,
        };
        let FileFacts { size, modified_ns, links, .. } = facts;
        let changed = std::mem::replace(seen, (size, modified_ns)) != (size, modified_ns);
        let intact = if changed { seam.holds(&desk.logs, file, sent) } else { Ok(true) };
        match intact {
            Ok(intact) => Input::Seen(View { size, modified_ns, links, place, writers, intact }),
            Err(_) => Input::Unreadable,
        }
    }

    fn ask_writers(&mut self, desk: &Desk) -> Input<'static> {
        let Some(followed) = &self.followed else { return Input::Unreadable };
        let writers = desk.logs.writers(&followed.file);
        self.look(desk, Some(writers))
    }

    fn seek_successor(&self, desk: &Desk) -> Input<'static> {
        let Some(Followed { number, file, .. }) = &self.followed else { return Input::Unreadable };
        match desk.logs.facts(file) {
            Ok(facts) => {
                let served = desk.files.get(*number);
                Input::Successor(desk.finder().has_successor(served, &facts))
            }
            Err(_) => Input::Unreadable,
        }
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
        let end = match desk.logs.read_at(&followed.file, &mut body[..room], from) {
            Ok(0) => return Input::Sent(0),
            Ok(count) => words + count,
            Err(_) => return Input::Unreadable,
        };
        match followed.seam.holds(&desk.logs, &followed.file, from) {
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
        followed.seam.push(&desk.buffer[words..words + sent]);
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

/// Finds and opens what is asked for.
fn open(request: &Request, desk: &Desk) -> Result<(Followed, Opening), Unserved> {
    let number = desk
        .files
        .look_up(&request.path)
        .ok_or_else(|| Unserved { code: Code::NotServed, why: NOT_CONFIGURED.to_owned() })?;
    let (finder, served) = (desk.finder(), desk.files.get(number));
    let (file, answer, from, facts, quiet) = match &request.two {
        None => {
            let found = finder.find(served, request.have)?;
            (found.file, Answered::One(found.status), found.from, found.facts, found.quiet)
        }
        Some(asked) => {
            let found = finder.compare(served, request.have, asked)?;
            let answer = Answered::Two(Box::new(found.answer(desk.boot)));
            (found.file, answer, found.from, found.facts, found.quiet)
        }
    };
    let seam = Seam::around(&desk.logs, &file, from).map_err(|error| {
        let why = format!("cannot read it: {}", cause(&error));
        Unserved { code: Code::Busy, why }
    })?;
    let seen = (facts.size, facts.modified_ns);
    Ok((Followed { number, file, seam, seen }, Opening { answer, from, size: facts.size, quiet }))
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
