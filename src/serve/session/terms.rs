//! What a session is told, and what it says to its owner.

use std::ops::Range;
use std::time::Duration;

use super::replaying::Piece;
use crate::config::PathGlob;
use crate::pos::Offset;
use crate::proto::WireFault;
use crate::proto::answer::Answer;
use crate::proto::ask::Extent;
use crate::proto::digest::Whole;
use crate::proto::refusal::Refusal;
use crate::proto::request::Request;
use crate::proto::status::Status;
use crate::serve::tail::{End, View};

/// What has happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// There may be something to do: a file changed, or the deadline has come.
    Woken,
    /// The socket takes bytes again.
    Writable,
    /// The fetcher sent bytes.
    Heard(&'a [u8]),
    /// The fetcher closed its side, or the connection broke.
    HungUp,
    /// Nothing is served for the request; what a fetcher of protocol 2 is told.
    Refused(Refusal),
    /// The generation was opened.
    Opened(Opening),
    /// The same of one that was compressed.
    Packed(Box<Answer>),
    /// What there is of it.
    Ready(Piece),
    /// The generation was looked for of which the digest was asked for up to that offset.
    Located(Box<Answer>, Offset),
    /// The digest of the range.
    Hashed(Whole),
    /// News of what is listed; and whether that is all for now.
    Listed {
        /// The lines.
        news: Vec<u8>,
        /// All that is there now was told.
        complete: bool,
    },
    /// How the file looks.
    Seen(View),
    /// The file has no more the bytes that were sent last.
    Emptied,
    /// The file cannot be looked at or read.
    Unreadable,
    /// Whether a later generation exists.
    Successor(bool),
    /// So many of the words were written.
    Said(usize),
    /// So many bytes of the file were written; 0 if it had none.
    Sent(usize),
    /// The socket takes nothing now.
    Blocked,
}

/// A generation found and opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
    /// The answer.
    pub answer: Answered,
    /// The first byte to be sent.
    pub from: Offset,
    /// The file's length.
    pub size: Offset,
    /// How long it has been without its name and nothing was written to it.
    pub quiet: Duration,
}

/// The answer to a request, in the protocol that all that follows is said in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answered {
    /// In protocol 1.
    One(Status),
    /// In protocol 2.
    Two(Box<Answer>),
}

/// What to do next.
#[derive(PartialEq, Eq, Debug)]
pub enum Output {
    /// Wait for something to happen.
    Rest,
    /// Find and open what is asked for.
    Find(Request),
    /// Find and open the generation of which a range is to be proved.
    Locate(Box<Extent>),
    /// Read the range and hash it.
    Hash(Range<Offset>),
    /// Look for the files that match, and from now on for news of them.
    Enlist(PathGlob),
    /// Go on with that, if there may be news.
    List,
    /// Write [`Session::words`](super::Session::words), all in one call.
    Say,
    /// Have the next piece of the compressed file read.
    Unpack,
    /// Look at the file.
    Look,
    /// Ask who has the file open for writing, and *after that* look at it.
    AskWriters,
    /// Look whether a later generation exists.
    SeekSuccessor,
    /// Write [`Session::words`](super::Session::words), if there are any, and behind them bytes of the file.
    Send {
        /// The first of them.
        from: Offset,
        /// How many at most.
        most: u64,
        /// The byte that means "alive" is to be masked.
        masked: bool,
    },
    /// Say to the peer that nothing more comes, and listen.
    Shut,
    /// Close the connection.
    Close(CloseReason),
}

/// Why a connection is closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CloseReason {
    /// The generation ended.
    Ended(End),
    /// Nothing is served for the request.
    Refused,
    /// The digest was told.
    Proved,
    /// What came was not the protocol.
    Fault(WireFault),
    /// No request in time.
    RequestTimeout,
    /// It had not asked yet, and too many others had not, either.
    Crowded,
    /// The fetcher closed its side, or the connection broke.
    HungUp,
    /// The fetcher took nothing for too long.
    Blocked,
    /// The file cannot be read any more.
    Unreadable,
    /// The configuration was read again and this is no longer served, or not to this peer.
    Withdrawn,
}
