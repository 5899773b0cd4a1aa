//! Frames: what a protocol 2 responder sends after its status line.
//!
//! ```text
//! D n\n<n bytes>            the next n bytes of the generation
//! H size mtime\n            all there is has been sent; the file's size and time
//! C reason offset\n         the end, and why; nothing follows
//! S from offset digest\n    the answer to DIGEST; nothing follows
//! ```
//!
//! The decoder keeps at most one header line and owns no data: it says where in the caller's bytes
//! the data is. It counts as well, so what contradicts the count is a fault: a `D` that leads beyond
//! the largest offset, an `H` whose file is shorter than what was sent of it, a `C` or `S` at another
//! offset than the one that was reached.

use std::fmt;
use std::ops::Range;

use super::digest::Whole;
use super::line::LineBuf;
use super::{WireFault, printable};
use crate::pos::{OFFSET_MAX, Offset, Token, parse_number, parse_offset};

/// Longest header line in bytes, without its newline. The longest of ours has 106.
pub const HEADER_BYTES_MAX: usize = 256;

/// What has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Bytes of the generation: where they are in the bytes given.
    Data(Range<usize>),
    /// The responder is alive, and has sent all there is.
    Heartbeat {
        /// Bytes of the generation now, never fewer than were sent.
        size: Offset,
        /// Time of its last change, in nanoseconds since 1970 by the responder's clock.
        mtime_ns: u64,
    },
    /// The end; where it is, is where the data ended.
    Close(Reason),
    /// The end of an answer to `DIGEST`: the digest of the range that was asked for.
    Sum(Whole),
}

/// Why a responder sends no more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// The file was renamed, another has its path, and nobody writes to it any more.
    Rotated,
    /// The file became shorter than what was sent.
    Truncated,
    /// The file was deleted, and nobody writes to it any more.
    Deleted,
    /// Another file was put in the place of it, and nobody writes to it any more.
    Replaced,
    /// The responder stops. The generation goes on.
    Shutdown,
    /// One of a later version, or one that only an operator cares for. The generation may go on.
    Other(Token),
}

impl Reason {
    const NAMED: [(Reason, &'static str); 5] = [
        (Reason::Rotated, "rotated"),
        (Reason::Truncated, "truncated"),
        (Reason::Deleted, "deleted"),
        (Reason::Replaced, "replaced"),
        (Reason::Shutdown, "shutdown"),
    ];

    /// Whether the generation has ended, and not only this connection.
    pub const fn ends_generation(self) -> bool {
        match self {
            Reason::Rotated | Reason::Truncated | Reason::Deleted | Reason::Replaced => true,
            Reason::Shutdown | Reason::Other(_) => false,
        }
    }

    /// Reads a reason; every token is one.
    pub fn parse(text: &[u8]) -> Option<Reason> {
        match Reason::NAMED.iter().find(|(_, name)| name.as_bytes() == text) {
            Some((reason, _)) => Some(*reason),
            None => Token::parse(text).map(Reason::Other),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, Reason::NAMED.iter().find(|(reason, _)| reason == self)) {
            (_, Some((_, name))) => f.write_str(name),
            (Reason::Other(token), None) => write!(f, "{token}"),
            (_, None) => Ok(()),
        }
    }
}

/// The frames of one connection, decoded piece by piece.
#[derive(Debug)]
pub struct Frames {
    state: State,
    /// Where the next byte of data belongs.
    offset: Offset,
    /// The end of the range, if its digest was asked for.
    digest_to: Option<Offset>,
}

#[derive(Debug)]
enum State {
    Header(LineBuf),
    Data { left: u64 },
    Ended,
}

const HEADER: State = State::Header(LineBuf::new(HEADER_BYTES_MAX));

impl Frames {
    /// After a status line that answers a request: data follows from `from`.
    pub const fn following(from: Offset) -> Frames {
        Frames { state: HEADER, offset: from, digest_to: None }
    }

    /// After a status line that answers `DIGEST`: the digest of that range follows.
    pub const fn proving(from: Offset, to: Offset) -> Frames {
        Frames { state: HEADER, offset: from, digest_to: Some(to) }
    }

    /// Where the next byte of data belongs.
    pub const fn offset(&self) -> Offset {
        self.offset
    }

    /// Takes bytes from `bytes[*at..]` and moves `at` behind what it took. `None`: all were taken and
    /// more are needed.
    pub fn poll_event(&mut self, bytes: &[u8], at: &mut usize) -> Result<Option<Event>, WireFault> {
        loop {
            let rest = bytes.get(*at..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(None);
            }
            match &mut self.state {
                State::Ended => return Err(WireFault::SpokeAfterEnd),
                State::Data { left } => {
                    let len =
                        usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    *left -= len as u64;
                    self.offset += len as u64;
                    if *left == 0 {
                        self.state = HEADER;
                    }
                    let begin = *at;
                    *at += len;
                    return Ok(Some(Event::Data(begin..*at)));
                }
                State::Header(line) => {
                    let fed = line.feed(rest)?;
                    *at += fed.used;
                    let Some(line) = fed.line else { return Ok(None) };
                    if let Some(event) = self.handle_header(&line)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    fn handle_header(&mut self, line: &[u8]) -> Result<Option<Event>, WireFault> {
        let header = parse_header(line).ok_or_else(|| WireFault::BadFrame(printable(line)))?;
        let contradiction = match (header, self.digest_to) {
            (Header::Data(len), None) if len <= OFFSET_MAX - self.offset => {
                self.state = State::Data { left: len };
                return Ok(None);
            }
            (Header::Heartbeat { size, mtime_ns }, _) if size >= self.offset => {
                return Ok(Some(Event::Heartbeat { size, mtime_ns }));
            }
            (Header::Close(reason, offset), _) if offset == self.offset => {
                self.state = State::Ended;
                return Ok(Some(Event::Close(reason)));
            }
            (Header::Sum(from, to, whole), Some(end)) if from == self.offset && to == end => {
                self.state = State::Ended;
                return Ok(Some(Event::Sum(whole)));
            }
            (Header::Data(_), Some(_)) => "data where a digest was asked for",
            (Header::Data(_), None) => "data beyond the largest offset",
            (Header::Heartbeat { .. }, _) => "a file shorter than what was sent of it",
            (Header::Close(..), _) => "an end elsewhere than where the data ended",
            (Header::Sum(..), None) => "a digest that was not asked for",
            (Header::Sum(..), Some(_)) => "the digest of another range",
        };
        Err(WireFault::Contradiction(contradiction))
    }
}

enum Header {
    Data(u64),
    Heartbeat { size: Offset, mtime_ns: u64 },
    Close(Reason, Offset),
    Sum(Offset, Offset, Whole),
}

fn parse_header(line: &[u8]) -> Option<Header> {
    let mut words = line.split(|&byte| byte == b' ');
    let mut word = || words.next();
    let header = match word()? {
        // An empty frame would be work without progress.
        b"D" => Header::Data(parse_offset(word()?).filter(|&len| len > 0)?),
        b"H" => {
            Header::Heartbeat { size: parse_offset(word()?)?, mtime_ns: parse_number(word()?)? }
        }
        b"C" => Header::Close(Reason::parse(word()?)?, parse_offset(word()?)?),
        b"S" => Header::Sum(parse_offset(word()?)?, parse_offset(word()?)?, Whole::parse(word()?)?),
        _ => return None,
    };
    word().is_none().then_some(header)
}

/// The header of a frame of `len` bytes, which is at least 1.
pub fn emit_data_header(len: u64) -> Vec<u8> {
    debug_assert!((1..=OFFSET_MAX).contains(&len));
    format!("D {len}\n").into_bytes()
}

/// A heartbeat.
pub fn emit_heartbeat(size: Offset, mtime_ns: u64) -> Vec<u8> {
    format!("H {size} {mtime_ns}\n").into_bytes()
}

/// The end, `offset` being where the data ended.
pub fn emit_close(reason: Reason, offset: Offset) -> Vec<u8> {
    format!("C {reason} {offset}\n").into_bytes()
}

/// The digest of a range.
pub fn emit_sum(range: Range<Offset>, whole: Whole) -> Vec<u8> {
    format!("S {} {} {whole}\n", range.start, range.end).into_bytes()
}

#[cfg(test)]
mod tests;
