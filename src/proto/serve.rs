//! The responder's side of a connection.
//!
//! States: *asking*, until the request line is complete; then by what was asked. A fetcher of protocol
//! 2 that follows a generation may *acknowledge* what is durable. All others have nothing more to say,
//! so anything they send is a fault.
//!
//! In protocol 1 what goes out is the status line, then the file's bytes, each [`ALIVE`] among them
//! masked, and one [`ALIVE`] byte as a heartbeat. One byte of the file is one byte on the wire, so the
//! responder needs to remember nothing of what it sent but how much. In protocol 2 frames go out
//! instead, see [`frame`](super::frame).

use super::ack::Acks;
use super::ask::{Ask, parse_ask, speaks_two};
use super::line::LineBuf;
use super::request::Request;
use super::{ALIVE, MASKED, REQUEST_BYTES_MAX, WireFault};
use crate::pos::Offset;

/// What the fetcher has said so far.
#[derive(Debug)]
pub struct Ear {
    state: State,
    two: bool,
}

#[derive(Debug)]
enum State {
    /// The request line is not complete.
    Asking(LineBuf),
    /// It is; acknowledgements may come.
    Acknowledging(Acks),
    /// It is; nothing more may come.
    Silent,
}

impl Ear {
    /// A new connection.
    pub const fn new() -> Ear {
        Ear { state: State::Asking(LineBuf::new(REQUEST_BYTES_MAX)), two: false }
    }

    /// Takes bytes that the fetcher sent; gives the question when it is complete.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<Option<Ask>, WireFault> {
        let (ask, rest) = match &mut self.state {
            State::Asking(line) => {
                let fed = line.feed(bytes)?;
                let Some(line) = fed.line else { return Ok(None) };
                self.two = speaks_two(&line);
                self.state = State::Silent;
                (Some(parse_ask(&line)?), &bytes[fed.used..])
            }
            State::Acknowledging(_) | State::Silent => (None, bytes),
        };
        if let Some(Ask::Follow(Request { two: Some(_), .. })) = ask {
            self.state = State::Acknowledging(Acks::new());
        }
        match &mut self.state {
            State::Acknowledging(acks) => acks.handle_bytes(rest)?,
            State::Silent if rest.is_empty() => {}
            State::Silent | State::Asking(_) => return Err(WireFault::SpokeAgain),
        }
        Ok(ask)
    }

    /// Whether the fetcher understands an answer of protocol 2, also when its request is a fault.
    pub const fn speaks_two(&self) -> bool {
        self.two
    }

    /// All before this is durable at the fetcher, as far as it said. More than was sent is a lie.
    pub const fn durable(&self) -> Option<Offset> {
        match &self.state {
            State::Acknowledging(acks) => acks.durable(),
            State::Asking(_) | State::Silent => None,
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
    use proptest::prelude::*;

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

    #[test]
    fn only_a_protocol_2_fetcher_that_follows_may_acknowledge() {
        let mut ear = Ear::new();
        assert!(ear.handle_bytes(b"/a 1 2 +2\nA 5\nA").unwrap().is_some());
        assert_eq!((ear.speaks_two(), ear.durable()), (true, Some(5)));
        assert_eq!(ear.handle_bytes(b" 7\n"), Ok(None));
        assert_eq!(ear.durable(), Some(7));
        assert!(matches!(ear.handle_bytes(b"x\n"), Err(WireFault::BadAck(_))));
        for request in ["LIST /a +2", "DIGEST /a 7 9 +2", "/a 1 2"] {
            let mut ear = Ear::new();
            assert!(ear.handle_bytes(format!("{request}\n").as_bytes()).unwrap().is_some());
            assert_eq!(ear.handle_bytes(b"A 5\n"), Err(WireFault::SpokeAgain), "{request}");
        }
    }

    #[test]
    fn a_bad_request_of_protocol_2_can_be_answered_in_words() {
        let mut ear = Ear::new();
        assert!(matches!(ear.handle_bytes(b"/a 1 2 +2 id=\n"), Err(WireFault::BadField(_))));
        assert!(ear.speaks_two());
        let mut ear = Ear::new();
        assert_eq!(ear.handle_bytes(b"GET / HTTP/1.1\n"), Err(WireFault::NoPath));
        assert!(!ear.speaks_two());
    }

    proptest! {
        #[test]
        fn any_bytes_mean_the_same_however_they_are_split(
            stream in "(/a|LIST /a|DIGEST /a)( [0-9]{1,2}){0,2}( [+]2)?( id=[!-~]{0,3})?\n(A [0-9]\n){0,2}[A 0-9\n]{0,5}",
            cut in any::<prop::sample::Index>()
        ) {
            let bytes = stream.as_bytes();
            let (mut whole, mut split) = (Ear::new(), Ear::new());
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let heard = split.handle_bytes(first).and_then(|ask| {
                let later = split.handle_bytes(second)?;
                Ok(ask.or(later))
            });
            prop_assert_eq!(whole.handle_bytes(bytes), heard);
            prop_assert_eq!(whole.speaks_two(), split.speaks_two());
            prop_assert_eq!(whole.durable(), split.durable());
        }
    }
}
