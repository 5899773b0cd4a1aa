//! A TCP connection: bytes that are under way in both directions, and what becomes of them.
//!
//! Each end has a [`Plug`], which is the socket that the real code reads and writes. What is written
//! waits in a pipe until the network brings it, all or byte by byte; a pipe takes only so much at once.
//! An end that is dropped is closed as the kernel does it: in order, or with a reset where it had not
//! read everything. A line may be cut, or fall silent: then neither end hears of the other, until the
//! kernel's own probes find that out.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fetchlogs::sys::net::Socket;

use crate::rng::Rng;

/// Whose end of a line it is, and in which pipe it writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Fetcher = 0,
    Responder = 1,
}

use End::{Fetcher, Responder};

impl End {
    fn other(self) -> End {
        match self {
            Fetcher => Responder,
            Responder => Fetcher,
        }
    }
}

/// What is under way to one end.
#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// How many of them can be read.
    arrived: usize,
    /// Nothing more is written.
    ended: bool,
    /// The network brings nothing before that.
    stalled: Option<Instant>,
    /// The end that is written to is closed.
    gone: bool,
    /// Who writes was told that there is no room, and is to be told when there is.
    starved: bool,
    /// All that is in it has come, and then the connection broke.
    reset: bool,
}

#[derive(Debug)]
struct Line {
    /// By the end that reads.
    to: [Pipe; 2],
    room: usize,
    rng: Rng,
    /// Whether the attempt to connect is over, and worked.
    connected: Option<bool>,
    /// Since when nothing comes through.
    silent: Option<Instant>,
    /// How long the kernels bear that.
    probed_after: Duration,
}

/// One end of a line.
#[derive(Debug)]
pub struct Plug {
    line: Arc<Mutex<Line>>,
    end: End,
}

/// The line, for the network.
#[derive(Clone, Debug)]
pub struct Wire {
    line: Arc<Mutex<Line>>,
}

fn held(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wire {
    /// A line that takes `room` bytes in each direction, and the fetcher's end of it.
    pub fn new(room: usize, mut rng: Rng) -> (Wire, Plug) {
        let probed_after = Duration::from_secs(rng.pick(&[60, 90, 300]));
        let line = Line {
            to: <[Pipe; 2]>::default(),
            room,
            rng,
            connected: None,
            silent: None,
            probed_after,
        };
        let line = Arc::new(Mutex::new(line));
        (Wire { line: Arc::clone(&line) }, Plug { line, end: Fetcher })
    }

    /// The attempt to connect is over.
    pub fn connect(&self, works: bool) {
        held(&self.line).connected = Some(works);
    }

    /// The responder's end, once it has accepted.
    pub fn accept(&self) -> Plug {
        Plug { line: Arc::clone(&self.line), end: Responder }
    }

    /// Nobody has an end of it.
    pub fn is_over(&self) -> bool {
        Arc::strong_count(&self.line) == 1
    }

    /// The network brings some of what is under way.
    pub fn carry(&self, now: Instant) {
        let mut line = held(&self.line);
        let line = &mut *line;
        if let Some(since) = line.silent {
            if now < since + line.probed_after {
                return;
            }
            line.silent = None;
            for pipe in &mut line.to {
                pipe.bytes.truncate(pipe.arrived);
                pipe.reset = true;
            }
        }
        for pipe in &mut line.to {
            let under_way = pipe.bytes.len() - pipe.arrived;
            if under_way == 0 || pipe.stalled.is_some_and(|until| now < until) {
                continue;
            }
            pipe.stalled = None;
            pipe.arrived += match line.rng.below(8) {
                0 => 1,
                1 => line.rng.between(1, under_way as u64) as usize,
                _ => under_way,
            };
        }
    }

    /// It is cut: what is under way comes in part, and both ends are told, some as if in order.
    pub fn cut(&self, rng: &mut Rng) {
        let mut line = held(&self.line);
        for pipe in &mut line.to {
            let left = rng.between(pipe.arrived as u64, pipe.bytes.len() as u64) as usize;
            pipe.bytes.truncate(left);
            pipe.ended = true;
            pipe.reset = rng.coin();
            pipe.gone = true;
        }
    }

    /// Nothing more comes through, and nobody says so.
    pub fn fall_silent(&self, now: Instant) {
        held(&self.line).silent.get_or_insert(now);
    }

    /// What is under way comes later.
    pub fn stall(&self, end: End, until: Instant) {
        held(&self.line).to[end as usize].stalled = Some(until);
    }

    /// Whether nothing is under way, and nobody is about to be told of anything.
    pub fn is_quiet(&self) -> bool {
        let line = held(&self.line);
        line.to.iter().all(|pipe| pipe.bytes.is_empty() && (pipe.gone || !pipe.is_over()))
    }

    /// Whether nothing comes through, and nobody knows it.
    pub fn is_silent(&self) -> bool {
        held(&self.line).silent.is_some()
    }

    /// What is under way is held up by nothing any more.
    pub fn hurry(&self) {
        held(&self.line).to.iter_mut().for_each(|pipe| pipe.stalled = None);
    }

    /// Whether this end would be told of something: bytes, or the end of the connection.
    pub fn has_news(&self, end: End) -> bool {
        let line = held(&self.line);
        let pipe = &line.to[end as usize];
        pipe.arrived > 0 || (line.silent.is_none() && pipe.is_over())
    }

    /// Whether this end is told now that there is room where there was none.
    pub fn take_room(&self, end: End) -> bool {
        let mut line = held(&self.line);
        let room = line.room;
        let pipe = &mut line.to[end.other() as usize];
        let tell = pipe.starved && (pipe.bytes.len() < room || pipe.gone);
        pipe.starved &= !tell;
        tell
    }
}

impl Pipe {
    fn is_over(&self) -> bool {
        (self.ended || self.reset) && self.arrived == self.bytes.len()
    }
}

impl Plug {
    /// The line it is plugged in.
    pub fn wire(&self) -> Wire {
        Wire { line: Arc::clone(&self.line) }
    }

    fn copy_out(&self, buf: &mut [u8], keep: bool) -> io::Result<usize> {
        let mut line = held(&self.line);
        let silent = line.silent.is_some();
        let pipe = &mut line.to[self.end as usize];
        let count = pipe.arrived.min(buf.len());
        if count == 0 && !buf.is_empty() {
            return match pipe.is_over() && !silent {
                false => Err(io::ErrorKind::WouldBlock.into()),
                true if pipe.reset => Err(io::ErrorKind::ConnectionReset.into()),
                true => Ok(0),
            };
        }
        let (front, back) = pipe.bytes.as_slices();
        let first = front.len().min(count);
        buf[..first].copy_from_slice(&front[..first]);
        buf[first..count].copy_from_slice(&back[..count - first]);
        if !keep {
            pipe.bytes.drain(..count);
            pipe.arrived -= count;
        }
        Ok(count)
    }
}

impl Read for Plug {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.copy_out(buf, false)
    }
}

impl Write for Plug {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut line = held(&self.line);
        let (room, silent) = (line.room, line.silent.is_some());
        let [mine, other] = [self.end as usize, self.end.other() as usize];
        if line.to[mine].reset && !silent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let pipe = &mut line.to[other];
        if pipe.gone && !silent {
            // The peer's kernel answers that with a reset.
            line.to[mine].reset = true;
            return Ok(buf.len());
        }
        let count = buf.len().min(room.saturating_sub(pipe.bytes.len()));
        pipe.bytes.extend(&buf[..count]);
        pipe.starved |= count < buf.len();
        if count == 0 && !buf.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Plug {
    fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.copy_out(buf, true)
    }

    fn shut(&self) -> io::Result<()> {
        held(&self.line).to[self.end.other() as usize].ended = true;
        Ok(())
    }

    fn is_connected(&self) -> io::Result<bool> {
        match held(&self.line).connected {
            Some(false) => Err(io::ErrorKind::ConnectionRefused.into()),
            connected => Ok(connected.is_some()),
        }
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        let mut line = held(&self.line);
        let line = &mut *line;
        let unread = !line.to[self.end as usize].bytes.is_empty();
        line.to[self.end as usize].gone = true;
        let pipe = &mut line.to[self.end.other() as usize];
        pipe.ended = true;
        if unread && line.silent.is_none() {
            // A reset may take back what was said last.
            pipe.reset = true;
            if line.rng.coin() {
                let left = line.rng.between(pipe.arrived as u64, pipe.bytes.len() as u64);
                pipe.bytes.truncate(left as usize);
            }
        }
    }
}
