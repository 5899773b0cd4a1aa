//! Readiness into calls: mio and nothing else. No word of the domain is known here.
//!
//! mio reports edges: an object is told to be ready once, and must be used until it would block
//! before it is told again. So an object that stops early, because its budget is spent, has to be
//! remembered: that is [`ready::ReadyQueue`], which also gives every object its turn.

pub mod deadlines;
pub mod ready;
pub mod slots;
pub mod stopper;
pub mod who;

use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Registry, Token, event::Source, unix::SourceFd};
pub use mio::{Interest, Waker};

use who::Who;

/// What an object is ready for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Readiness {
    /// Something to read, an end of the stream or an error.
    pub readable: bool,
    /// Room to write, connected, or an error.
    pub writable: bool,
}

/// A mio poll whose tokens are [`Who`]s.
#[derive(Debug)]
pub struct EventLoop {
    poll: Poll,
    events: Events,
}

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

impl EventLoop {
    /// A new, empty poll.
    pub fn new() -> io::Result<EventLoop> {
        Ok(EventLoop { poll: Poll::new()?, events: Events::with_capacity(EVENTS_MAX) })
    }

    /// Something by which other threads wake the loop as [`Who::Wake`].
    pub fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.registry(), Who::Wake.into())
    }

    /// Begins to report `source` as `who`.
    pub fn register(
        &self,
        source: &mut impl Source,
        who: Who,
        interest: Interest,
    ) -> io::Result<()> {
        source.register(self.registry(), who.into(), interest)
    }

    /// Begins to report as `who` when `descriptor`, which is not mio's, can be read. Closing it ends
    /// that.
    pub fn register_readable(&self, descriptor: &impl AsRawFd, who: Who) -> io::Result<()> {
        self.register(&mut SourceFd(&descriptor.as_raw_fd()), who, Interest::READABLE)
    }

    /// Stops reporting `source`.
    pub fn deregister(&self, source: &mut impl Source) -> io::Result<()> {
        source.deregister(self.registry())
    }

    fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Waits until something is ready or `until` has come and puts into `told` who is ready.
    pub fn wait(
        &mut self,
        now: Instant,
        until: Option<Instant>,
        told: &mut Vec<(Who, Readiness)>,
    ) -> io::Result<()> {
        told.clear();
        // A millisecond more, since the kernel's timeout is in whole ones and would round down.
        let timeout = until.map(|until| match until.checked_duration_since(now) {
            Some(rest) if !rest.is_zero() => rest + Duration::from_millis(1),
            _ => Duration::ZERO,
        });
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        told.extend(self.events.iter().filter_map(|event| {
            let readable = event.is_readable() || event.is_read_closed() || event.is_error();
            let writable = event.is_writable() || event.is_write_closed() || event.is_error();
            Some((Who::try_from(event.token()).ok()?, Readiness { readable, writable }))
        }));
        Ok(())
    }
}

impl From<Who> for Token {
    fn from(who: Who) -> Token {
        Token(who.to_number())
    }
}

impl TryFrom<Token> for Who {
    type Error = ();

    fn try_from(token: Token) -> Result<Who, ()> {
        Who::from_number(token.0).ok_or(())
    }
}
