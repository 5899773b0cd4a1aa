//! Bytes to meaning and back, for both ends of the wire.
//!
//! One TCP connection carries one generation of one source and ends when that generation ends. The
//! fetcher sends one request line; the responder answers with one status line and then with the
//! bytes of the generation as they are written, until it closes. PROTOCOL.md describes the wire with
//! examples, `LIFECYCLE.md` beside this file the states of both ends and their edges.
//!
//! Nothing here touches a socket, a clock or a log. Bytes go in, meaning comes out; whatever a peer
//! sends, the answer is a value or a fault, never a panic.
//!
//! * [`line`](mod@line) one bounded line out of any split of the stream
//! * [`serve`] the responder's side of a connection
//! * [`fetch`] the fetcher's side of a connection
//!
//! What the fetcher says: [`ask`] any question; [`request`] the question for a generation, and
//! [`asked`] what protocol 2 adds to it; [`ack`] what is durable.
//!
//! What the responder says: [`status`] the status line of either protocol, [`answer`] that of protocol
//! 2, [`refusal`] why nothing is served; [`frame`] what follows it; [`list`] the answer to `LIST`.
//!
//! What they are made of: [`percent`] names as words, [`digest`] contents as words, `fields` keys and
//! values.

pub mod ack;
pub mod answer;
pub mod ask;
pub mod asked;
pub mod digest;
pub mod fetch;
mod fields;
pub mod frame;
pub mod line;
pub mod list;
pub mod percent;
pub mod refusal;
pub mod request;
pub mod serve;
pub mod status;

/// The byte that says "alive" in protocol 1: sent when idle, dropped by the fetcher.
pub const ALIVE: u8 = 0x07;

/// What protocol 1 sends in the place of an [`ALIVE`] byte of the log itself, so that it is not
/// taken for a heartbeat. The copy then differs from the log in this byte.
pub const MASKED: u8 = 0xff;

/// The word by which both ends say that they speak protocol 2.
const TWO: &[u8] = b"+2";

/// Longest request line in bytes, without its newline: a path of the kernel's `PATH_MAX` would not
/// fit, one of [`PATH_BYTES_MAX`](crate::pos::PATH_BYTES_MAX) does, every byte of it encoded, with all fields of protocol 2.
pub const REQUEST_BYTES_MAX: usize = 4096;

/// Longest status line in bytes, without its newline. Protocol 1 needs 34, protocol 2 up
/// to 3,400 where a name is told; the rest is room for what a later protocol adds.
pub const STATUS_BYTES_MAX: usize = 4096;

/// Something a peer sent that is not the protocol; the connection is closed for it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WireFault {
    /// No newline within the limit.
    #[error("line longer than {0} bytes")]
    LineTooLong(usize),
    /// The request names no absolute path.
    #[error("request without an absolute path")]
    NoPath,
    /// The second field of a request is no inode.
    #[error("request whose inode is not a number")]
    BadInode,
    /// The third field of a request is no offset.
    #[error("request whose offset is not a number below 2^63")]
    BadOffset,
    /// The fetcher spoke after its request.
    #[error("bytes after the request")]
    SpokeAgain,
    /// The status line is neither `O INODE` nor `L INODE`; the line, made printable.
    #[error("bad status line \"{0}\"")]
    BadStatus(String),
    /// `LIST` without a pattern.
    #[error("list without a pattern")]
    NoPattern,
    /// A field whose value means nothing; `key=value`, made printable.
    #[error("bad field \"{0}\"")]
    BadField(String),
    /// A key that stands twice, made printable.
    #[error("field \"{0}\" stands twice")]
    RepeatedField(String),
    /// A key that has to be there.
    #[error("field \"{0}\" is missing")]
    MissingField(&'static str),
    /// Two things that cannot both be true, in one line or in two.
    #[error("contradiction: {0}")]
    Contradiction(&'static str),
    /// Not a frame, or none that may stand here; the line, made printable.
    #[error("bad frame \"{0}\"")]
    BadFrame(String),
    /// Bytes behind the frame that ends a connection.
    #[error("bytes after the end")]
    SpokeAfterEnd,
    /// Not an acknowledgement; the line, made printable.
    #[error("bad acknowledgement \"{0}\"")]
    BadAck(String),
    /// Not a line of a listing; the line, made printable.
    #[error("bad line of a listing \"{0}\"")]
    BadListing(String),
}

/// `bytes` as printable ASCII for a human, cut at 60 characters: a peer's text must not reach a
/// terminal as it is.
pub fn printable(bytes: &[u8]) -> String {
    const CHARS_MAX: usize = 60;
    let mut text: String =
        bytes.iter().take(CHARS_MAX).flat_map(|b| b.escape_ascii()).map(char::from).collect();
    if bytes.len() > CHARS_MAX {
        text.push_str("...");
    }
    text
}
