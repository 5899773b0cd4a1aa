//! One connection: its socket, its open file, and the session that says what to do with them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;

use super::files::{FileNo, Files};
use super::finder::Finder;
use super::listeners::Refused;
use super::session::{CloseReason, Input, Opening, Output, Session, Times};
use super::tail::{Place, View};
use crate::evloop::Readiness;
use crate::evloop::deadlines::Alarm;
use crate::pos::Offset;
use crate::pos::Writers;
use crate::proto::request::Request;
use crate::proto::serve::mask;
use crate::sys::clock;
use crate::sys::logs::{DiskLogs, Logs};

/// File bytes written for one connection before the next has its turn.
const TURN_BYTES: usize = 1 << 20;

/// Size of the one buffer that all connections share.
const BUFFER_BYTES: usize = 256 << 10;

/// Bytes taken from a fetcher at once; its request is hardly longer.
const HEARD_BYTES: usize = 4096;

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
        Desk { logs, files, times, refused: Refused::default(), buffer: vec![0; BUFFER_BYTES] }
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
        while self.readable {
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
        self.carry_out(output, now, desk, &mut budget)
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
                Output::Send(_) if *budget == 0 => return Turn::More,
                Output::Find(request) => self.find(&request, now, desk),
                Output::Say => self.say(),
                Output::Look => self.look(desk, None),
                Output::AskWriters => self.ask_writers(desk),
                Output::SeekSuccessor => self.seek_successor(desk),
                Output::Send(from) => self.send(from, now, desk, budget),
            };
            output = self.session.handle(now, input);
        }
    }

    fn find(&mut self, request: &Request, now: Instant, desk: &mut Desk) -> Input<'static> {
        let finder = desk.finder();
        let number = desk.files.look_up(&request.path);
        let found = number.ok_or_else(|| NOT_CONFIGURED.to_owned()).and_then(|number| {
            let found = finder.find(desk.files.get(number), request.have)?;
            Ok((number, found))
        });
        let (number, found) = match found {
            Ok(found) => found,
            Err(why) => {
                desk.refused.note(now, self.peer, &request.path, &why);
                return Input::Refused;
            }
        };
        self.followed = Some(Followed { number, file: found.file });
        Input::Opened(Opening {
            status: found.status,
            from: found.from,
            size: found.facts.size,
            quiet: found.quiet,
        })
    }

    fn look(&self, desk: &Desk, writers: Option<Writers>) -> Input<'static> {
        let Some(Followed { number, file }) = &self.followed else { return Input::Unreadable };
        let Ok(facts) = desk.logs.facts(file) else { return Input::Unreadable };
        let place = match desk.logs.facts_at(&desk.files.get(*number).path) {
            Ok(Some(at_path)) if at_path.same_file(&facts) => Place::Kept,
            // A link or a directory there is no successor, just as little as nothing is.
            Ok(Some(at_path)) if at_path.regular => Place::Taken,
            Ok(_) | Err(_) => Place::Vacant,
        };
        Input::Seen(View { size: facts.size, links: facts.links, place, writers })
    }

    fn ask_writers(&self, desk: &Desk) -> Input<'static> {
        let Some(followed) = &self.followed else { return Input::Unreadable };
        let writers = desk.logs.writers(&followed.file);
        self.look(desk, Some(writers))
    }

    fn seek_successor(&self, desk: &Desk) -> Input<'static> {
        let Some(Followed { number, file }) = &self.followed else { return Input::Unreadable };
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

    /// Sends one buffer full. One byte of the file is one byte on the wire, so after a short write
    /// there is nothing to remember but the count.
    fn send(
        &mut self,
        from: Offset,
        now: Instant,
        desk: &mut Desk,
        budget: &mut usize,
    ) -> Input<'static> {
        let Some(followed) = &self.followed else { return Input::Unreadable };
        let room = BUFFER_BYTES.min(*budget);
        let content = match desk.logs.read_at(&followed.file, &mut desk.buffer[..room], from) {
            Ok(0) => return Input::Sent(0),
            Ok(count) => &mut desk.buffer[..count],
            Err(_) => return Input::Unreadable,
        };
        mask(content);
        match written(&mut self.stream, content) {
            Ok(0) => Input::Blocked,
            Ok(count) if count == content.len() => {
                *budget -= count;
                Input::Sent(count)
            }
            // A short write says that the socket is full, as well as WouldBlock does (epoll(7)).
            Ok(count) => {
                self.session.handle(now, Input::Sent(count));
                Input::Blocked
            }
            Err(_) => Input::HungUp,
        }
    }
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
