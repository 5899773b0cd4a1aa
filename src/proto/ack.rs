//! What a protocol 2 fetcher says after its request: `A offset`, all before that is durable.

use super::line::LineBuf;
use super::{WireFault, printable};
use crate::pos::{Offset, parse_offset};

/// Longest line in bytes, without its newline: the letter, a blank, the longest number.
const ACK_BYTES_MAX: usize = 22;

/// The acknowledgements of one connection.
#[derive(Debug)]
pub struct Acks {
    line: LineBuf,
    durable: Option<Offset>,
}

impl Acks {
    /// None yet.
    pub const fn new() -> Acks {
        Acks { line: LineBuf::new(ACK_BYTES_MAX), durable: None }
    }

    /// Takes bytes that the fetcher sent.
    pub fn handle_bytes(&mut self, mut bytes: &[u8]) -> Result<(), WireFault> {
        while !bytes.is_empty() {
            let fed = self.line.feed(bytes)?;
            bytes = &bytes[fed.used..];
            let Some(line) = fed.line else { return Ok(()) };
            let offset = line
                .strip_prefix(b"A ")
                .and_then(parse_offset)
                .ok_or_else(|| WireFault::BadAck(printable(&line)))?;
            if self.durable.is_some_and(|durable| offset < durable) {
                return Err(WireFault::Contradiction("an acknowledgement goes back"));
            }
            self.durable = Some(offset);
        }
        Ok(())
    }

    /// All before this is durable at the fetcher, as far as it said. Whether so much was sent at all
    /// is for the owner to compare.
    pub const fn durable(&self) -> Option<Offset> {
        self.durable
    }
}

impl Default for Acks {
    fn default() -> Acks {
        Acks::new()
    }
}

/// Writes an acknowledgement, newline included.
pub fn emit_ack(durable: Offset) -> Vec<u8> {
    format!("A {durable}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pos::OFFSET_MAX;
    use proptest::prelude::*;

    #[test]
    fn the_last_acknowledgement_counts() {
        let mut acks = Acks::new();
        acks.handle_bytes(b"").unwrap();
        assert_eq!(acks.durable(), None);
        acks.handle_bytes(b"A 5\nA 5\nA 4").unwrap();
        assert_eq!(acks.durable(), Some(5));
        acks.handle_bytes(b"0\n").unwrap();
        assert_eq!(acks.durable(), Some(40));
        acks.handle_bytes(&emit_ack(OFFSET_MAX)).unwrap();
        assert_eq!(acks.durable(), Some(OFFSET_MAX));
    }

    #[test]
    fn what_is_no_acknowledgement_or_goes_back_is_a_fault() {
        for line in ["\n", "A\n", "A \n", "A -1\n", "A 1 \n", "A  1\n", "a 1\n", "A 1\r\n", "B 1\n"]
        {
            let fault = Acks::new().handle_bytes(line.as_bytes());
            assert!(matches!(fault, Err(WireFault::BadAck(_))), "{line:?}: {fault:?}");
        }
        assert!(Acks::new().handle_bytes(b"A 9223372036854775808\n").is_err());
        assert_eq!(Acks::new().handle_bytes(&[b'A'; 23]), Err(WireFault::LineTooLong(22)));
        let fault = Acks::new().handle_bytes(b"A 5\nA 4\n");
        assert_eq!(fault, Err(WireFault::Contradiction("an acknowledgement goes back")));
    }

    proptest! {
        #[test]
        fn any_bytes_mean_the_same_however_they_are_split(
            stream in "(A [0-9]{1,3}\n){0,5}[A 0-9\n]{0,30}", cut in any::<prop::sample::Index>()
        ) {
            let bytes = stream.as_bytes();
            let (mut whole, mut split) = (Acks::new(), Acks::new());
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let fault = split.handle_bytes(first).and_then(|()| split.handle_bytes(second));
            prop_assert_eq!(whole.handle_bytes(bytes), fault);
            prop_assert_eq!(whole.durable(), split.durable());
        }
    }
}
