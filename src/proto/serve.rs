//! The responder's side of a connection.
//!
//! States: *asking*, until the request line is complete; *following*, from then on. A protocol 1
//! fetcher has nothing to say after its request, so anything it sends is a fault. What goes out is
//! the status line, then the file's bytes, each [`ALIVE`] among them masked, and one [`ALIVE`] byte
//! as a heartbeat. One byte of the file is one byte on the wire, so the responder needs to remember
//! nothing of what it sent but how much.

use super::line::LineBuf;
use super::request::{Request, parse_request};
use super::{ALIVE, MASKED, REQUEST_BYTES_MAX, WireFault};

/// What the fetcher has said so far.
#[derive(Debug)]
pub enum Ear {
    /// The request line is not complete.
    Asking(LineBuf),
    /// It is; nothing more may come.
    Following,
}

impl Ear {
    /// A new connection.
    pub const fn new() -> Ear {
        Ear::Asking(LineBuf::new(REQUEST_BYTES_MAX))
    }

    /// Takes bytes that the fetcher sent; gives the request when it is complete.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<Option<Request>, WireFault> {
        match self {
            Ear::Following if bytes.is_empty() => Ok(None),
            Ear::Following => Err(WireFault::SpokeAgain),
            Ear::Asking(line) => {
                let fed = line.feed(bytes)?;
                let Some(line) = fed.line else { return Ok(None) };
                if fed.used < bytes.len() {
                    return Err(WireFault::SpokeAgain);
                }
                *self = Ear::Following;
                parse_request(&line).map(Some)
            }
        }
    }
}

impl Default for Ear {
    fn default() -> Ear {
        Ear::new()
    }
}

/// Makes file content fit for protocol 1: every [`ALIVE`] byte becomes [`MASKED`].
pub fn mask(content: &mut [u8]) {
    let mut from = 0;
    while let Some(found) = memchr::memchr(ALIVE, &content[from..]) {
        content[from + found] = MASKED;
        from += found + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_changes_the_alive_byte_and_no_other() {
        let mut all: Vec<u8> = (0..=255).chain([7, 7]).collect();
        mask(&mut all);
        let expected: Vec<u8> =
            (0..=255u8).chain([7, 7]).map(|b| if b == 7 { 0xff } else { b }).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn a_fetcher_that_speaks_after_its_request_is_at_fault() {
        let mut ear = Ear::new();
        assert!(ear.handle_bytes(b"/a 1 2\n").unwrap().is_some());
        assert_eq!(ear.handle_bytes(b""), Ok(None));
        assert_eq!(ear.handle_bytes(b"x"), Err(WireFault::SpokeAgain));
        assert_eq!(Ear::new().handle_bytes(b"/a 1 2\nx"), Err(WireFault::SpokeAgain));
    }
}
