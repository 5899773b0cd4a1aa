//! What a source is told, and what it wants done.

use std::time::Duration;

use super::store::Cut;
use crate::pos::{Generation, Offset};
use crate::proto::request::Request;
use crate::status::event::{Event, Fault};

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
