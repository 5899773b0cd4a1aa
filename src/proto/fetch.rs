//! The fetcher's side of a connection.
//!
//! States: *asking*, until the status line is complete; *following*, from then on. While asking, the
//! caller peeks at the socket and consumes only what [`Ear::handle_peeked`] calls the line's: the
//! data behind it stays in the kernel's buffer while the copy is being rotated, so a connection that
//! waits for the disk holds no memory of ours.

use super::ask::Ask;
use super::line::LineBuf;
use super::status::{Reply, parse_reply, parse_status};
use super::{ALIVE, STATUS_BYTES_MAX, WireFault, printable};
use crate::pos::{Offset, Position};

/// The status line as far as it has come.
#[derive(Debug)]
pub struct Ear {
    line: LineBuf,
    question: Question,
}

/// What was asked, as far as the answer has to fit it.
#[derive(Clone, Copy, Debug)]
enum Question {
    /// In protocol 1: the answer is in protocol 1.
    One,
    /// In protocol 2, for what follows that position. The answer may be in protocol 1.
    Follow(Option<Position>),
    /// For the digest of a range.
    Digest(Offset, Offset),
    /// For a list, whose answer has no status line.
    List,
}

impl Ear {
    /// A connection whose request was just sent, in protocol 1.
    pub const fn new() -> Ear {
        Ear { line: LineBuf::new(STATUS_BYTES_MAX), question: Question::One }
    }

    /// A connection on which that was asked.
    pub fn after(ask: &Ask) -> Ear {
        let question = match ask {
            Ask::Follow(request) if request.two.is_none() => Question::One,
            Ask::Follow(request) => Question::Follow(request.have),
            Ask::Digest(extent) => Question::Digest(extent.from, extent.to.offset),
            Ask::List { .. } => Question::List,
        };
        Ear { line: LineBuf::new(STATUS_BYTES_MAX), question }
    }

    /// Takes bytes seen at the head of the stream. Says how many of them belong to the status line
    /// and are to be consumed, and the status once it is complete. It fits what was asked. After
    /// [`Reply::Working`] the next line is awaited.
    pub fn handle_peeked(&mut self, bytes: &[u8]) -> Result<(usize, Option<Reply>), WireFault> {
        let fed = self.line.feed(bytes)?;
        let reply = fed.line.map(|line| parse_fitting(self.question, &line)).transpose()?;
        Ok((fed.used, reply))
    }
}

fn parse_fitting(question: Question, line: &[u8]) -> Result<Reply, WireFault> {
    let reply = match question {
        Question::One => parse_status(line).map(Reply::One),
        Question::Follow(_) | Question::Digest(..) | Question::List => parse_reply(line),
    }?;
    match (question, &reply) {
        (_, Reply::Refused(_)) | (Question::One | Question::Follow(_), Reply::One(_)) => {}
        (Question::Follow(_) | Question::Digest(..), Reply::Working) => {}
        (Question::Follow(have), Reply::Two(answer)) => answer.check(have)?,
        (Question::Digest(from, to), Reply::Two(answer)) => answer.check_range(from, to)?,
        (Question::One | Question::List, Reply::Two(_) | Reply::Working)
        | (Question::Digest(..) | Question::List, Reply::One(_)) => {
            return Err(WireFault::BadStatus(printable(line)));
        }
    }
    Ok(reply)
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
    use crate::pos::Inode;
    use crate::proto::ask::parse_ask;
    use crate::proto::status::{Status, Verdict};
    use proptest::prelude::*;

    fn found(inode: u64) -> Reply {
        Reply::One(Status { verdict: Verdict::Found, inode: Inode::new(inode) })
    }

    fn hear(ask: &str, line: &str) -> Result<Reply, WireFault> {
        let (used, reply) =
            Ear::after(&parse_ask(ask.as_bytes())?).handle_peeked(line.as_bytes())?;
        assert_eq!(used, line.len());
        Ok(reply.unwrap())
    }

    const ANSWER: &str = "id=x boot=y from=4 size=9 mtime=5\n";

    #[test]
    fn protocol_2_is_spoken_only_by_who_was_asked_in_it() {
        assert_eq!(hear("/a 7 4", "O 7\n"), Ok(found(7)));
        assert_eq!(hear("/a 7 4 +2", "O 7\n"), Ok(found(7)));
        let line = format!("O 7 +2 file=same {ANSWER}");
        assert!(matches!(hear("/a 7 4 +2", &line), Ok(Reply::Two(_))));
        assert!(matches!(hear("/a 7 4", &line), Err(WireFault::BadStatus(_))));
        assert!(matches!(hear("/a 7 4 +2", "E busy +2 x\n"), Ok(Reply::Refused(_))));
        assert!(matches!(hear("/a 7 4", "E busy +2 x\n"), Err(WireFault::BadStatus(_))));
        assert!(matches!(hear("DIGEST /a 7 9 +2 from=4", &line), Ok(Reply::Two(_))));
        assert!(matches!(hear("DIGEST /a 7 9 +2", "O 7\n"), Err(WireFault::BadStatus(_))));
    }

    #[test]
    fn who_asked_in_protocol_2_may_be_told_that_the_answer_takes_a_while() {
        let stream = format!("W\nW\nO 7 +2 file=same {ANSWER}");
        for cut in 0..stream.len() {
            let mut ear = Ear::after(&parse_ask(b"/a 7 4 +2").unwrap());
            let mut heard = Vec::new();
            for mut piece in [&stream.as_bytes()[..cut], &stream.as_bytes()[cut..]] {
                while !piece.is_empty() {
                    let (used, reply) = ear.handle_peeked(piece).unwrap();
                    heard.extend(reply);
                    piece = &piece[used..];
                }
            }
            assert_eq!(heard[..2], [Reply::Working, Reply::Working], "cut at {cut}");
            assert!(matches!(heard[2..], [Reply::Two(_)]), "cut at {cut}");
        }
        assert_eq!(hear("DIGEST /a 7 9 +2", "W\n"), Ok(Reply::Working));
        for ask in ["/a 7 4", "/a 0 0", "LIST /a +2"] {
            assert!(matches!(hear(ask, "W\n"), Err(WireFault::BadStatus(_))), "{ask}");
        }
    }

    #[test]
    fn an_answer_to_another_question_is_a_fault() {
        let same = format!("O 7 +2 file=same {ANSWER}");
        let first = format!("O 7 +2 file=first {ANSWER}");
        for (ask, line) in [
            ("/a 7 5 +2", &same),
            ("/a 0 0 +2", &same),
            ("/a 7 4 +2", &first),
            ("DIGEST /a 7 9 +2", &same),
            ("DIGEST /a 7 10 +2 from=4", &same),
            ("DIGEST /a 7 9 +2 from=4", &first),
        ] {
            assert!(matches!(hear(ask, line), Err(WireFault::Contradiction(_))), "{ask}");
        }
        assert!(matches!(hear("LIST /a +2", &same), Err(WireFault::BadStatus(_))));
    }

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
            assert_eq!(status, Some(found(1835021)), "cut at {cut}");
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
