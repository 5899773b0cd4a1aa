//! The request line: `path` or `path inode offset`, and behind that what protocol 2 adds.
//!
//! One line asks in both protocols. A fetcher that also speaks protocol 2 adds the word `+2` and
//! fields after the offset. fetchlogs 1.1 ignores them and answers in protocol 1, so neither end needs
//! to know what the other is. A path that protocol 1 can't carry goes into `path=`, and the first
//! field is then `/`: no file, so a protocol 1 responder has no answer.

use super::asked::Asked;
use super::fields::{known, optional, words};
use super::{TWO, WireFault, percent};
use crate::pos::{Inode, Offset, PATH_BYTES_MAX, Position, parse_offset};

/// What a fetcher asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The remote path, begins with `/`. Without `two` it has no blanks or control bytes.
    pub path: Vec<u8>,
    /// What the fetcher has already; `None` on first contact.
    pub have: Option<Position>,
    /// What it adds if it speaks protocol 2; boxed, since there are requests without.
    pub two: Option<Box<Asked>>,
}

/// Reads a request line (without its newline; a carriage return before it is forgiven).
///
/// Fields are separated by blanks. On first contact the path stands alone or with inode 0; an offset
/// that is missing is 0. Fields after the third are ignored unless `+2` is among them, as fetchlogs
/// 1.1 does.
pub fn parse_request(line: &[u8]) -> Result<Request, WireFault> {
    let mut rest = words(line.strip_suffix(b"\r").unwrap_or(line));
    let path = rest.next().filter(|path| path.starts_with(b"/")).ok_or(WireFault::NoPath)?;
    let (inode, offset) = parse_position(rest.by_ref())?;
    let have = (inode.number() != 0).then_some(Position { inode, offset });
    if !rest.clone().any(|word| word == TWO) {
        return Ok(Request { path: path.to_vec(), have, two: None });
    }
    if have.is_none() && offset != 0 {
        return Err(WireFault::Contradiction("an offset in no generation"));
    }
    let [name] = known(rest.clone(), ["path"])?;
    let path = optional("path", name, parse_path)?.unwrap_or_else(|| path.to_vec());
    Ok(Request { path, have, two: Some(Box::new(Asked::parse(rest, have)?)) })
}

/// Reads the next two words as an inode and an offset; 0 for what is missing.
pub(super) fn parse_position<'a>(
    mut words: impl Iterator<Item = &'a [u8]>,
) -> Result<(Inode, Offset), WireFault> {
    let inode = match words.next() {
        Some(text) => Inode::parse(text).ok_or(WireFault::BadInode)?,
        None => Inode::new(0),
    };
    let offset = match words.next() {
        Some(text) => parse_offset(text).ok_or(WireFault::BadOffset)?,
        None => 0,
    };
    Ok((inode, offset))
}

/// Reads a percent-encoded absolute path.
pub(super) fn parse_path(text: &[u8]) -> Option<Vec<u8>> {
    percent::decode(text).filter(|path| path.starts_with(b"/") && path.len() <= PATH_BYTES_MAX)
}

/// Writes the request line, newline included. First contact is written as fetchlogs 1.1 writes it,
/// with two zeros.
pub fn emit_request(request: &Request) -> Vec<u8> {
    let position = match request.have {
        Some(have) => format!(" {} {}", have.inode, have.offset),
        None => " 0 0".to_owned(),
    };
    let mut line = Vec::new();
    let fields = match &request.two {
        None => {
            line.extend_from_slice(&request.path);
            String::new()
        }
        Some(asked) if is_plain(&request.path) => {
            line.extend_from_slice(&request.path);
            format!(" +2{asked}")
        }
        Some(asked) => {
            line.push(b'/');
            format!(" +2 path={}{asked}", percent::encode(&request.path))
        }
    };
    line.extend_from_slice(format!("{position}{fields}\n").as_bytes());
    line
}

/// Whether both protocols can carry `path` as it is.
pub fn is_plain(path: &[u8]) -> bool {
    path.starts_with(b"/") && path.iter().all(|&byte| byte > b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pos::{OFFSET_MAX, Start, Token};
    use crate::proto::REQUEST_BYTES_MAX;
    use crate::proto::asked::{SAMPLE_BYTES_MAX, Sample};
    use crate::proto::digest::Digest;

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
                Ok(Request { path: path.clone(), have, two: None }),
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

    #[test]
    fn plus_2_makes_a_request_one_of_protocol_2_wherever_it_stands_behind_the_offset() {
        let two = Some(Box::new(Asked { id: Token::parse(b"x"), ..Asked::default() }));
        let expected = Request { path: b"/a".to_vec(), have: have(1, 2), two };
        for line in ["/a 1 2 +2 id=x", "/a 1 2 id=x +2", "/a 1 2 new id=x +3 +2 zstd=1 word\r"] {
            assert_eq!(parse_request(line.as_bytes()), Ok(expected.clone()), "{line:?}");
        }
        assert_eq!(emit_request(&expected), b"/a 1 2 +2 id=x\n");
        for line in ["/a 1 2 id=x", "/a 1 2 id=x id=y +22 tail=", "/a 1 2 2 path=/b"] {
            let plain = Request { two: None, ..expected.clone() };
            assert_eq!(parse_request(line.as_bytes()), Ok(plain), "{line:?}");
        }
        assert_eq!(parse_request(b"/a +2"), Err(WireFault::BadInode));
    }

    #[test]
    fn a_path_that_protocol_1_cannot_carry_stands_in_its_own_field() {
        let two = Some(Box::new(Asked::default()));
        for (path, line) in [
            (&b"/a"[..], &b"/a 0 0 +2\n"[..]),
            (b"/a%20b", b"/a%20b 0 0 +2\n"),
            (b"/\xff", b"/\xff 0 0 +2\n"),
            (b"/a b", b"/ 0 0 +2 path=/a%20b\n"),
            (b"/a\n% ", b"/ 0 0 +2 path=/a%0A%25%20\n"),
        ] {
            let request = Request { path: path.to_vec(), have: None, two: two.clone() };
            assert_eq!(emit_request(&request), line);
            assert_eq!(parse_request(&line[..line.len() - 1]), Ok(request));
        }
    }

    #[test]
    fn bad_fields_are_faults_in_protocol_2_and_nothing_in_protocol_1() {
        let longest = format!("path=/{}", "a".repeat(PATH_BYTES_MAX));
        for fields in ["path=a", "path=", "path=/%00", "path=/%4", &longest, "seen=x"] {
            let line = format!("/ 0 0 +2 {fields}");
            let fault = parse_request(line.as_bytes());
            assert!(matches!(fault, Err(WireFault::BadField(_))), "{line:?}: {fault:?}");
            assert!(parse_request(line.replace("+2", "").as_bytes()).is_ok());
        }
        for (line, fault) in [
            ("/ 0 0 path=/a +2 path=/a", WireFault::RepeatedField("path".into())),
            ("/a 1 2 id=x +2 id=x", WireFault::RepeatedField("id".into())),
            ("/a 0 9 +2", WireFault::Contradiction("an offset in no generation")),
        ] {
            assert_eq!(parse_request(line.as_bytes()), Err(fault), "{line:?}");
        }
    }

    #[test]
    fn the_longest_request_fits_into_a_line() {
        let token = Token::parse(&[b'x'; Token::CHARS_MAX]);
        let sample = Some(Sample { len: SAMPLE_BYTES_MAX, digest: Digest::of(b"") });
        let mut path = vec![b' '; PATH_BYTES_MAX];
        path[0] = b'/';
        let two = Some(Box::new(Asked {
            id: token,
            tail: sample,
            head: sample,
            seen_ns: Some(u64::MAX),
            start: Start::Begin,
            reader: token,
        }));
        let inode = Inode::parse(b"00000000000018446744073709551615").unwrap();
        let have = Some(Position { inode, offset: OFFSET_MAX });
        let request = Request { path, have, two };
        let line = emit_request(&request);
        assert!(line.len() <= REQUEST_BYTES_MAX, "{}", line.len());
        assert_eq!(parse_request(&line[..line.len() - 1]), Ok(request));
    }
}
