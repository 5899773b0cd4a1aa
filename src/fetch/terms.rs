//! What a source is told, and what it wants done.

use std::time::{Duration, Instant};

use super::manifest::Outcome;
use super::store::Cut;
use crate::config::parse_duration;
use crate::pos::{Generation, Offset};
use crate::proto::request::Request;
use crate::status::event::{Event, Fault};

/// A responder may say so long that it works on its answer: to unpack a terabyte takes longer, but who says
/// nothing else for ever is not well.
pub const WORKING_MAX: Duration = Duration::from_secs(3600);

/// The operator's time limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// First wait after a failure.
    pub reconnect: Duration,
    /// From looking up the name to being connected.
    pub connect_timeout: Duration,
    /// From being connected to the status line.
    pub reply_timeout: Duration,
    /// Without a byte, heartbeats included.
    pub idle_timeout: Duration,
    /// When what has arrived is made durable.
    pub sync: SyncPolicy,
    /// When a generation that has ended is asked for once more.
    pub recheck: Recheck,
}

/// When a generation that has ended is asked for once more, since it may have grown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recheck {
    /// So long after it ended, and again when the next one ends.
    After(Duration),
    /// Never.
    Never,
}

impl Recheck {
    /// Reads `never` or a duration; the error is the cause.
    pub fn parse(text: &str) -> Result<Recheck, String> {
        match text {
            "never" => Ok(Recheck::Never),
            _ => match parse_duration(text) {
                Ok(delay) => Ok(Recheck::After(delay)),
                Err(why) => Err(format!("{why}; or never")),
            },
        }
    }
}

/// When what has arrived is made durable, apart from the rotation of a copy and the end of the
/// fetcher, when it always is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncPolicy {
    /// So long after it arrived; zero: as soon as the disk is free.
    Within(Duration),
    /// Not otherwise: after a kill or a power loss it is asked for again.
    Never,
}

impl SyncPolicy {
    /// Reads `always`, `never` or a duration; the error is the cause.
    pub fn parse(text: &str) -> Result<SyncPolicy, String> {
        match text {
            "always" => Ok(SyncPolicy::Within(Duration::ZERO)),
            "never" => Ok(SyncPolicy::Never),
            _ => match parse_duration(text) {
                Ok(within) => Ok(SyncPolicy::Within(within)),
                Err(why) => Err(format!("{why}; or always or never")),
            },
        }
    }

    /// When what arrives at `now` is to be durable.
    pub(super) fn deadline(self, now: Instant) -> Option<Instant> {
        match self {
            SyncPolicy::Within(within) => Some(now + within),
            SyncPolicy::Never => None,
        }
    }

    /// How long before its time something is made durable if something else is.
    pub(super) fn gathering(self) -> Option<Duration> {
        match self {
            SyncPolicy::Within(within) => Some(within / 2),
            SyncPolicy::Never => None,
        }
    }
}

/// What a source is fetched for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Goal {
    /// It is followed until the fetcher ends.
    #[default]
    Follow,
    /// What there is now is fetched, and no more.
    Once,
}

/// What the caller is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Begin to connect.
    Connect,
    /// Send this request.
    Ask(Request),
    /// Close the connection, if there is one.
    Close,
    /// Have this done by a worker.
    Do(Job),
    /// Tell the responder that all before this is durable here.
    Acknowledge(Offset),
    /// Tell the operator.
    Tell(Event),
    /// The source is in error.
    Fail(Fault),
    /// The source is well.
    Succeed,
    /// All that there was is here and durable: nothing more is done for this source.
    Complete,
    /// Not all that there was is here, and nothing more is done for this source.
    GiveUp,
}

/// Work that waits for the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Job {
    /// Find out from the disk where we are.
    Recover,
    /// The copy holds this generation: the first one, or the same under another name.
    Begin(Generation),
    /// The copy becomes an archive.
    Rotate {
        /// The generation that begins.
        next: Generation,
        /// What to cut off the copy before.
        cut: Option<Cut>,
        /// How the generation ended that the copy holds.
        outcome: Outcome,
    },
    /// Cut the end of the copy off.
    Cut(Cut),
    /// See whether somebody renamed the copy.
    Reopen,
    /// Make what has arrived durable.
    Checkpoint,
}

/// What may be read from the connection now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wants {
    /// Nothing.
    Nothing,
    /// The status line.
    Status,
    /// Data.
    Data,
}

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// The responder closed it.
    Closed,
    /// It broke; why.
    Broken(String),
}
