//! One connection of a source: a socket, and how far it is.

use std::io;

use mio::net::TcpStream;

use crate::evloop::slots::Slot;
use crate::pos::Offset;
use crate::proto::ack::emit_ack;
use crate::proto::ask::Ask;
use crate::proto::fetch::Ear;
use crate::proto::frame::Frames;
use crate::proto::request::{Request, emit_request};
use crate::proto::status::Reply;
use crate::proto::{STATUS_BYTES_MAX, WireFault};
use crate::sys::net::Socket;

/// A connection.
#[derive(Debug)]
pub struct Conn<S = TcpStream> {
    /// The socket.
    pub stream: S,
    /// Whose it is.
    pub source: Slot,
    /// What for.
    pub role: Role,
    /// It is connected.
    pub connected: bool,
    /// There may be something to read; until a read would block.
    pub readable: bool,
    /// It waits for its turn.
    pub queued: bool,
    /// What follows the status line, if the responder speaks protocol 2.
    pub frames: Option<Frames>,
    /// The responder has said that this is the end.
    pub ended: bool,
    ear: Ear,
    unsent: Vec<u8>,
}

/// What a connection of a source is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// For the generation that its copy holds.
    Main,
    /// For what one has that ended before.
    Late,
}

/// What a look at the socket gave.
#[derive(Debug)]
pub enum Heard<T> {
    /// Something.
    Something(T),
    /// Nothing now.
    Nothing,
    /// The responder closed the connection.
    Closed,
    /// It broke.
    Broken(io::Error),
    /// Not the protocol.
    Faulty(WireFault),
}

impl<S: Socket> Conn<S> {
    /// A connection that is being made.
    pub fn new(stream: S, source: Slot, role: Role) -> Conn<S> {
        Conn {
            stream,
            source,
            role,
            connected: false,
            readable: false,
            queued: false,
            frames: None,
            ended: false,
            ear: Ear::new(),
            unsent: Vec::new(),
        }
    }

    /// Whether the attempt to connect is over. `Ok(false)`: not yet.
    pub fn poll_connected(&mut self) -> io::Result<bool> {
        self.connected = self.stream.is_connected()?;
        Ok(self.connected)
    }

    /// Sends the request, or as much of it as fits now; [`Conn::send_rest`] sends the rest.
    pub fn ask(&mut self, request: Request) -> io::Result<()> {
        self.unsent = emit_request(&request);
        self.ear = Ear::after(&Ask::Follow(request));
        self.send_rest()
    }

    /// Tells a protocol 2 responder that all before `durable` is on disk here.
    pub fn acknowledge(&mut self, durable: Offset) -> io::Result<()> {
        if self.frames.is_some() {
            self.unsent.extend_from_slice(&emit_ack(durable));
        }
        self.send_rest()
    }

    /// Sends what is left to be sent.
    pub fn send_rest(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent = Vec::new();
        Ok(())
    }

    /// Reads the status line, and nothing of what follows it.
    pub fn read_status(&mut self) -> Heard<Reply> {
        let mut buf = [0; STATUS_BYTES_MAX];
        loop {
            let peeked = match self.stream.peek(&mut buf) {
                Ok(0) => return Heard::Closed,
                Ok(peeked) => peeked,
                Err(error) => match self.after_error(error) {
                    Some(heard) => return heard,
                    None => continue,
                },
            };
            let (used, reply) = match self.ear.handle_peeked(&buf[..peeked]) {
                Ok(taken) => taken,
                Err(fault) => return Heard::Faulty(fault),
            };
            // They were seen to be there, so they are read in full.
            if let Err(error) = self.stream.read_exact(&mut buf[..used]) {
                return Heard::Broken(error);
            }
            if let Some(reply) = reply {
                if let Reply::Two(answer) = &reply {
                    self.frames = Some(Frames::following(answer.from));
                }
                return Heard::Something(reply);
            }
        }
    }

    /// Reads what follows the status line into `buf`; gives how much.
    pub fn read_data(&mut self, buf: &mut [u8]) -> Heard<usize> {
        loop {
            match self.stream.read(buf) {
                // A protocol 2 responder says when a generation ends: without that it has not.
                Ok(0) if self.frames.is_some() && !self.ended => {
                    return Heard::Broken(io::Error::other("connection closed"));
                }
                Ok(0) => return Heard::Closed,
                Ok(received) => return Heard::Something(received),
                Err(error) => {
                    if let Some(heard) = self.after_error(error) {
                        return heard;
                    }
                }
            }
        }
    }

    /// `None`: try again.
    fn after_error<T>(&mut self, error: io::Error) -> Option<Heard<T>> {
        match error.kind() {
            io::ErrorKind::Interrupted => None,
            io::ErrorKind::WouldBlock => {
                self.readable = false;
                Some(Heard::Nothing)
            }
            _ => Some(Heard::Broken(error)),
        }
    }
}
