//! The status line: `O inode` or `L inode`, and which protocol a status line is of.
//!
//! Before a status line of protocol 2 there may be lines `W`: the responder works, the answer takes a
//! while.

use super::answer::{Answer, parse_answer};
use super::refusal::{Refusal, parse_refusal};
use super::{TWO, WireFault, printable};
use crate::pos::Inode;

/// The line that says that the answer takes a while, newline included.
pub const WORKING: &[u8] = b"W\n";

/// A status line of either protocol, or what may come before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Of protocol 1: bytes follow as they are, and heartbeats among them.
    One(Status),
    /// Of protocol 2: frames follow.
    Two(Box<Answer>),
    /// Of protocol 2: nothing is served, nothing follows.
    Refused(Refusal),
    /// Of protocol 2: the status line is still to come.
    Working,
}

/// The responder's answer to a request of protocol 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// Whether the generation asked for was found.
    pub verdict: Verdict,
    /// The generation whose bytes follow: from the offset asked for if it is the one asked for,
    /// letter by letter, else from 0.
    pub inode: Inode,
}

/// Whether the generation asked for was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// `O`: this is the generation asked for, or the next one because that one is complete.
    Found,
    /// `L`: the generation asked for cannot be found; something may be lost.
    Lost,
}

impl Verdict {
    /// How a status line begins.
    pub const fn letter(self) -> char {
        match self {
            Verdict::Found => 'O',
            Verdict::Lost => 'L',
        }
    }
}

/// The letter, and what stands behind it and a blank.
pub(super) fn split_status(line: &[u8]) -> Option<(Verdict, &[u8])> {
    match line {
        [b'O', b' ', text @ ..] => Some((Verdict::Found, text)),
        [b'L', b' ', text @ ..] => Some((Verdict::Lost, text)),
        _ => None,
    }
}

/// Reads a status line (without its newline) of either protocol: the third word tells which.
pub fn parse_reply(line: &[u8]) -> Result<Reply, WireFault> {
    if line == b"W" {
        return Ok(Reply::Working);
    }
    let mut words = line.split(|&byte| byte == b' ');
    match (words.next(), words.nth(1)) {
        (Some(b"E"), Some(TWO)) => parse_refusal(line).map(Reply::Refused),
        (_, Some(TWO)) => parse_answer(line).map(|answer| Reply::Two(Box::new(answer))),
        _ => parse_status(line).map(Reply::One),
    }
}

/// Reads a status line of protocol 1 (without its newline).
pub fn parse_status(line: &[u8]) -> Result<Status, WireFault> {
    let bad = || WireFault::BadStatus(printable(line));
    let (verdict, text) = split_status(line).ok_or_else(bad)?;
    let inode = Inode::parse(text).filter(|inode| inode.number() != 0).ok_or_else(bad)?;
    Ok(Status { verdict, inode })
}

/// Writes the status line of protocol 1, newline included.
pub fn emit_status(status: Status) -> Vec<u8> {
    format!("{} {}\n", status.verdict.letter(), status.inode).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_status_line_is_a_letter_and_an_inode() {
        let found = Status { verdict: Verdict::Found, inode: Inode::new(1835021) };
        assert_eq!(parse_status(b"O 1835021"), Ok(found));
        assert_eq!(emit_status(found), b"O 1835021\n");
        let lost = Status { verdict: Verdict::Lost, inode: Inode::new(7).renamed() };
        assert_eq!(parse_status(b"L 07"), Ok(lost));
        assert_eq!(emit_status(lost), b"L 07\n");
    }

    #[test]
    fn anything_else_is_a_fault_told_in_printable_letters() {
        for line in ["", "O", "O ", "O x", "X 1", "O 0", "O  1", "O 1 ", "o 1", "O 1 +2", "O -1"] {
            assert!(
                matches!(parse_status(line.as_bytes()), Err(WireFault::BadStatus(_))),
                "{line:?}"
            );
        }
        assert_eq!(
            parse_status(b"\x1b[2J\xff").unwrap_err().to_string(),
            r#"bad status line "\x1b[2J\xff""#
        );
    }

    #[test]
    fn the_third_word_tells_the_protocol() {
        let status = Status { verdict: Verdict::Found, inode: Inode::new(7) };
        assert_eq!(parse_reply(b"O 7"), Ok(Reply::One(status)));
        assert_eq!(parse_reply(b"W"), Ok(Reply::Working));
        assert!(matches!(parse_reply(b"E busy +2 later"), Ok(Reply::Refused(_))));
        let answer = parse_reply(b"O 7 +2 file=first id=x boot=y from=0 size=0 mtime=0");
        assert!(matches!(answer, Ok(Reply::Two(_))));
        for line in
            ["W ", "W +2", "w", "O 7 +3", "O 7 2", "O 7 ", "E busy", "", "+2", "O +2", "X 7 +2"]
        {
            let fault = parse_reply(line.as_bytes());
            assert!(matches!(fault, Err(WireFault::BadStatus(_))), "{line:?}: {fault:?}");
        }
        assert_eq!(parse_reply(b"O 7 +2"), Err(WireFault::MissingField("file")));
    }

    proptest! {
        #[test]
        fn any_line_is_a_reply_or_a_fault(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            words in "[OLE] [0-9]{1,3} [+]2( (file|why|id|boot|from|size|mtime|name)=[a-z0-9/%]{0,5}){0,9}"
        ) {
            let _ = parse_reply(&bytes);
            let _ = parse_reply(words.as_bytes());
        }
    }
}
