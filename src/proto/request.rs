//! The request line: `path` or `path inode offset`.

use super::WireFault;
use crate::pos::{Inode, Position, parse_offset};

/// What a fetcher asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The remote path, begins with `/`, has no blanks or control bytes in protocol 1.
    pub path: Vec<u8>,
    /// What the fetcher has already; `None` on first contact.
    pub have: Option<Position>,
}

/// Reads a request line (without its newline; a carriage return before it is forgiven).
///
/// Fields are separated by blanks. On first contact the path stands alone or with inode 0; an offset
/// that is missing is 0. Fields after the third are ignored, as fetchlogs 1.1 does.
pub fn parse_request(line: &[u8]) -> Result<Request, WireFault> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut fields = line.split(|b| matches!(b, b' ' | b'\t')).filter(|field| !field.is_empty());
    let path = fields.next().filter(|path| path.starts_with(b"/")).ok_or(WireFault::NoPath)?;
    let inode = match fields.next() {
        Some(text) => Inode::parse(text).ok_or(WireFault::BadInode)?,
        None => Inode::new(0),
    };
    let offset = match fields.next() {
        Some(text) => parse_offset(text).ok_or(WireFault::BadOffset)?,
        None => 0,
    };
    let have = (inode.number() != 0).then_some(Position { inode, offset });
    Ok(Request { path: path.to_vec(), have })
}

/// Writes the request line, newline included. First contact is written as fetchlogs 1.1 writes it,
/// with two zeros.
pub fn emit_request(request: &Request) -> Vec<u8> {
    let mut line = request.path.clone();
    match request.have {
        Some(have) => {
            line.extend_from_slice(format!(" {} {}\n", have.inode, have.offset).as_bytes())
        }
        None => line.extend_from_slice(b" 0 0\n"),
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn have(inode: u64, offset: u64) -> Option<Position> {
        Some(Position { inode: Inode::new(inode), offset })
    }

    #[test]
    fn a_request_is_a_path_or_a_path_and_a_position() {
        let path = b"/var/log/messages".to_vec();
        for (line, have) in [
            ("/var/log/messages", None),
            ("/var/log/messages 0 0", None),
            ("/var/log/messages 1835021 40960", have(1835021, 40960)),
            ("/var/log/messages 1835021", have(1835021, 0)),
            ("  /var/log/messages\t1835021  40960 ", have(1835021, 40960)),
            ("/var/log/messages 1835021 40960\r", have(1835021, 40960)),
            ("/var/log/messages 1835021 40960 +9 x=y", have(1835021, 40960)),
        ] {
            assert_eq!(
                parse_request(line.as_bytes()),
                Ok(Request { path: path.clone(), have }),
                "{line:?}"
            );
        }
    }

    #[test]
    fn what_is_not_a_request_is_a_fault() {
        for (line, fault) in [
            ("", WireFault::NoPath),
            ("   ", WireFault::NoPath),
            ("messages 1 2", WireFault::NoPath),
            ("GET / HTTP/1.1", WireFault::NoPath),
            ("/a x 0", WireFault::BadInode),
            ("/a -1 0", WireFault::BadInode),
            ("/a 18446744073709551616 0", WireFault::BadInode),
            ("/a 1 -1", WireFault::BadOffset),
            ("/a 1 9223372036854775808", WireFault::BadOffset),
            ("/a 1 1e3", WireFault::BadOffset),
        ] {
            assert_eq!(parse_request(line.as_bytes()), Err(fault), "{line:?}");
        }
    }
}
