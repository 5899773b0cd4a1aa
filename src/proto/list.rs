//! The answer to `LIST`: a line for each served file that matches, `.` when all were named, and from
//! then on a line for each that appears or goes.

use super::fields::words;
use super::refusal::{Refusal, emit_refusal, parse_refusal};
use super::request::parse_path;
use super::{WireFault, percent, printable};
use crate::pos::{Inode, Offset, parse_number, parse_offset};

/// Longest line in bytes, without its newline: a path of 1,024 bytes, every one encoded, and three
/// numbers.
pub const LISTING_BYTES_MAX: usize = 4096;

/// A line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Listing {
    /// `F inode size mtime path`: this file is served.
    File {
        /// Its inode number.
        inode: Inode,
        /// Its length.
        size: Offset,
        /// Time of its last change, in nanoseconds since 1970 by the responder's clock.
        mtime_ns: u64,
        /// Its path.
        path: Vec<u8>,
    },
    /// `.`: all that are there now were named; what follows is news.
    Complete,
    /// `X path`: this file is there no more.
    Gone {
        /// Its path.
        path: Vec<u8>,
    },
    /// `E code +2 text`: nothing is listed.
    Refused(Refusal),
}

/// Reads a line (without its newline).
pub fn parse_listing(line: &[u8]) -> Result<Listing, WireFault> {
    if line.starts_with(b"E ") {
        return parse_refusal(line).map(Listing::Refused);
    }
    parse_news(line).ok_or_else(|| WireFault::BadListing(printable(line)))
}

fn parse_news(line: &[u8]) -> Option<Listing> {
    let mut words = words(line);
    let mut word = || words.next();
    let listing = match word()? {
        b"F" => Listing::File {
            inode: Inode::parse(word()?).filter(|inode| inode.number() != 0)?,
            size: parse_offset(word()?)?,
            mtime_ns: parse_number(word()?)?,
            path: parse_path(word()?)?,
        },
        b"X" => Listing::Gone { path: parse_path(word()?)? },
        b"." => Listing::Complete,
        _ => return None,
    };
    word().is_none().then_some(listing)
}

/// Writes a line, newline included.
pub fn emit_listing(listing: &Listing) -> Vec<u8> {
    match listing {
        Listing::File { inode, size, mtime_ns, path } => {
            format!("F {inode} {size} {mtime_ns} {}\n", percent::encode(path)).into_bytes()
        }
        Listing::Complete => b".\n".to_vec(),
        Listing::Gone { path } => format!("X {}\n", percent::encode(path)).into_bytes(),
        Listing::Refused(refusal) => emit_refusal(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pos::PATH_BYTES_MAX;
    use crate::proto::refusal::Code;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_line_of_a_listing_is_a_fault() {
        for line in ["", "F", "F 0 1 2 /a", "F 7 1 2 a", "F 7 1 2 /a x", "F 7 -1 2 /a", "X", ". ."]
        {
            let fault = parse_listing(line.as_bytes());
            assert!(matches!(fault, Err(WireFault::BadListing(_))), "{line:?}: {fault:?}");
        }
        assert!(matches!(parse_listing(b"E busy"), Err(WireFault::BadStatus(_))));
    }

    proptest! {
        #[test]
        fn a_listing_comes_back(
            inode in 1u64.., size in 0..1u64 << 63, mtime_ns in any::<u64>(),
            name in proptest::collection::vec(1u8.., 0..PATH_BYTES_MAX)
        ) {
            let path = [b"/", &name[..]].concat();
            for listing in [
                Listing::File { inode: Inode::new(inode), size, mtime_ns, path: path.clone() },
                Listing::Gone { path },
                Listing::Complete,
                Listing::Refused(Refusal::new(Code::BadRequest, "list without a pattern")),
            ] {
                let line = emit_listing(&listing);
                prop_assert!(line.len() <= LISTING_BYTES_MAX);
                prop_assert_eq!(parse_listing(&line[..line.len() - 1]), Ok(listing));
            }
        }

        #[test]
        fn any_bytes_are_a_line_of_a_listing_or_a_fault(
            bytes in proptest::collection::vec(any::<u8>(), 0..100), words in "[FXE.]( [0-9/%]{1,4}){0,5}"
        ) {
            let _ = parse_listing(&bytes);
            let _ = parse_listing(words.as_bytes());
        }
    }
}
