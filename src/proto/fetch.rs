//! The fetcher's side of a connection.
//!
//! States: *asking*, until the status line is complete; *following*, from then on. While asking, the
//! caller peeks at the socket and consumes only what [`Ear::handle_peeked`] calls the line's: the
//! data behind it stays in the kernel's buffer while the copy is being rotated, so a connection that
//! waits for the disk holds no memory of ours.

use super::line::LineBuf;
use super::status::{Status, parse_status};
use super::{ALIVE, STATUS_BYTES_MAX, WireFault};

/// The status line as far as it has come.
#[derive(Debug)]
pub struct Ear(LineBuf);

impl Ear {
    /// A connection whose request was just sent.
    pub const fn new() -> Ear {
        Ear(LineBuf::new(STATUS_BYTES_MAX))
    }

    /// Takes bytes seen at the head of the stream. Says how many of them belong to the status line
    /// and are to be consumed, and the status once it is complete.
    pub fn handle_peeked(&mut self, bytes: &[u8]) -> Result<(usize, Option<Status>), WireFault> {
        let fed = self.0.feed(bytes)?;
        match fed.line {
            Some(line) => Ok((fed.used, Some(parse_status(&line)?))),
            None => Ok((fed.used, None)),
        }
    }
}

impl Default for Ear {
    fn default() -> Ear {
        Ear::new()
    }
}

/// Takes the heartbeats out of `bytes` in place. Gives the length of the content that is left at the
/// front, which is shorter than `bytes` exactly if there was a heartbeat.
pub fn strip_alive(bytes: &mut [u8]) -> usize {
    let Some(mut end) = memchr::memchr(ALIVE, bytes) else { return bytes.len() };
    let mut from = end + 1;
    while from < bytes.len() {
        let run = memchr::memchr(ALIVE, &bytes[from..]).unwrap_or(bytes.len() - from);
        bytes.copy_within(from..from + run, end);
        end += run;
        from += run + 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_status_is_the_same_however_it_is_split_and_nothing_behind_it_is_consumed() {
        let stream = b"O 1835021\ndata";
        for cut in 0..=stream.len() {
            let mut ear = Ear::new();
            let (used, status) = ear.handle_peeked(&stream[..cut]).unwrap();
            let status = status.or_else(|| {
                let (more, status) = ear.handle_peeked(&stream[used..]).unwrap();
                assert_eq!(used + more, 10);
                status
            });
            assert_eq!(status.unwrap().inode.number(), 1835021, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn heartbeats_go_and_all_else_stays(bytes in proptest::collection::vec(prop_oneof![Just(7u8), any::<u8>()], 0..200)) {
            let expected: Vec<u8> = bytes.iter().copied().filter(|&b| b != ALIVE).collect();
            let mut stripped = bytes.clone();
            let kept = strip_alive(&mut stripped);
            prop_assert_eq!(&stripped[..kept], &expected[..]);
        }
    }
}
