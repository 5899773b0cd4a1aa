//! The status line: `O inode` or `L inode`.

use super::{WireFault, printable};
use crate::pos::Inode;

/// The responder's answer to a request.
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

/// Reads a status line (without its newline).
pub fn parse_status(line: &[u8]) -> Result<Status, WireFault> {
    let bad = || WireFault::BadStatus(printable(line));
    let (verdict, text) = match line {
        [b'O', b' ', text @ ..] => (Verdict::Found, text),
        [b'L', b' ', text @ ..] => (Verdict::Lost, text),
        _ => return Err(bad()),
    };
    let inode = Inode::parse(text).filter(|inode| inode.number() != 0).ok_or_else(bad)?;
    Ok(Status { verdict, inode })
}

/// Writes the status line, newline included.
pub fn emit_status(status: Status) -> Vec<u8> {
    let letter = match status.verdict {
        Verdict::Found => 'O',
        Verdict::Lost => 'L',
    };
    format!("{letter} {}\n", status.inode).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
