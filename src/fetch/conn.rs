//! One connection of a source: a socket, and how far it is.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use crate::evloop::slots::Slot;
use crate::proto::fetch::{Ear, strip_alive};
use crate::proto::status::{Reply, Status};
use crate::proto::{STATUS_BYTES_MAX, WireFault};

/// A connection.
#[derive(Debug)]
pub struct Conn {
    /// The socket.
    pub stream: TcpStream,
    /// Whose it is.
    pub source: Slot,
    /// It is connected.
    pub connected: bool,
    /// There may be something to read; until a read would block.
    pub readable: bool,
    /// It waits for its turn.
    pub queued: bool,
    ear: Ear,
    unsent: Vec<u8>,
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

/// Data: how many bytes of content are at the front of the buffer, and whether heartbeats were
/// among them.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// Bytes of the generation.
    pub len: usize,
    /// There was a heartbeat.
    pub alive: bool,
    /// Bytes taken from the socket.
    pub received: usize,
}

impl Conn {
    /// A connection that is being made.
    pub fn new(stream: TcpStream, source: Slot) -> Conn {
        Conn {
            stream,
            source,
            connected: false,
            readable: false,
            queued: false,
            ear: Ear::new(),
            unsent: Vec::new(),
        }
    }

    /// Whether the attempt to connect is over. `Ok(false)`: not yet.
    pub fn poll_connected(&mut self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => {
                self.connected = true;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends `bytes`, or as much as fits now; [`Conn::send_rest`] sends the rest.
    pub fn send(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.unsent = bytes;
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
    pub fn read_status(&mut self) -> Heard<Status> {
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
            let (used, status) = match self.ear.handle_peeked(&buf[..peeked]) {
                Ok((used, None)) => (used, None),
                Ok((used, Some(Reply::One(status)))) => (used, Some(status)),
                Ok((_, Some(Reply::Two(_) | Reply::Refused(_)))) => {
                    return Heard::Faulty(WireFault::Contradiction("protocol 2 was not asked for"));
                }
                Err(fault) => return Heard::Faulty(fault),
            };
            // They were seen to be there, so they are read in full.
            if let Err(error) = self.stream.read_exact(&mut buf[..used]) {
                return Heard::Broken(error);
            }
            if let Some(status) = status {
                return Heard::Something(status);
            }
        }
    }

    /// Reads data into `buf` and takes the heartbeats out.
    pub fn read_data(&mut self, buf: &mut [u8]) -> Heard<Content> {
        loop {
            match self.stream.read(buf) {
                Ok(0) => return Heard::Closed,
                Ok(received) => {
                    let len = strip_alive(&mut buf[..received]);
                    return Heard::Something(Content { len, alive: len < received, received });
                }
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
