//! The three questions a fetcher may ask: follow a generation, list files, prove what they hold.
//!
//! A path of protocol 1 begins with `/`, so the words `LIST` and `DIGEST` are free. They need `+2`
//! as well: to a responder of protocol 1 they are no request, and it closes without an answer.

use super::asked::Asked;
use super::fields::{known, optional, words};
use super::request::{Request, emit_request, parse_path, parse_position, parse_request};
use super::{TWO, WireFault, percent};
use crate::pos::{Offset, PATH_BYTES_MAX, Position, parse_offset};

/// A question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// `path inode offset`: the bytes of a generation.
    Follow(Request),
    /// `LIST pattern`: the served files whose paths match.
    List {
        /// The pattern.
        pattern: Vec<u8>,
    },
    /// `DIGEST path inode length`: the digest of a range of a generation.
    Digest(Box<Extent>),
}

/// A range of a generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The remote path.
    pub path: Vec<u8>,
    /// The range's first byte.
    pub from: Offset,
    /// The generation, and the end of the range in it.
    pub to: Position,
    /// What else is known of the generation, as in a request that has `to` already.
    pub asked: Asked,
}

/// Reads a question (without its newline; a carriage return before it is forgiven).
pub fn parse_ask(line: &[u8]) -> Result<Ask, WireFault> {
    let mut rest = words(line.strip_suffix(b"\r").unwrap_or(line));
    let word = rest.next().unwrap_or_default();
    if !matches!(word, b"LIST" | b"DIGEST") || !rest.clone().any(|word| word == TWO) {
        return parse_request(line).map(Ask::Follow);
    }
    let name = rest.next().filter(|&name| name != TWO).unwrap_or_default();
    if word == b"LIST" {
        let pattern = percent::decode(name)
            .filter(|pattern| !pattern.is_empty() && pattern.len() <= PATH_BYTES_MAX)
            .ok_or(WireFault::NoPattern)?;
        return Ok(Ask::List { pattern });
    }
    let path = parse_path(name).ok_or(WireFault::NoPath)?;
    let (inode, offset) = parse_position(rest.by_ref())?;
    if inode.number() == 0 {
        return Err(WireFault::BadInode);
    }
    let to = Position { inode, offset };
    let [from] = known(rest.clone(), ["from"])?;
    let from = optional("from", from, parse_offset)?.unwrap_or(0);
    if from > to.offset {
        return Err(WireFault::Contradiction("a range that ends before it begins"));
    }
    let asked = Asked::parse(rest, Some(to))?;
    Ok(Ask::Digest(Box::new(Extent { path, from, to, asked })))
}

/// Writes a question, newline included.
pub fn emit_ask(ask: &Ask) -> Vec<u8> {
    match ask {
        Ask::Follow(request) => emit_request(request),
        Ask::List { pattern } => format!("LIST {} +2\n", percent::encode(pattern)).into_bytes(),
        Ask::Digest(extent) => {
            let Extent { path, from, to: Position { inode, offset }, asked } = &**extent;
            let from = if *from == 0 { String::new() } else { format!(" from={from}") };
            let path = percent::encode(path);
            format!("DIGEST {path} {inode} {offset} +2{from}{asked}\n").into_bytes()
        }
    }
}

/// Whether whoever wrote this line, be it right or wrong, understands an answer of protocol 2.
pub fn speaks_two(line: &[u8]) -> bool {
    words(line.strip_suffix(b"\r").unwrap_or(line)).skip(1).any(|word| word == TWO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pos::{Inode, Start, Token};
    use crate::proto::asked::{SAMPLE_BYTES_MAX, Sample};
    use crate::proto::digest::Digest;
    use proptest::option::of;
    use proptest::prelude::*;

    fn extent(path: &[u8], from: Offset, offset: Offset) -> Ask {
        let to = Position { inode: Inode::new(7), offset };
        Ask::Digest(Box::new(Extent { path: path.to_vec(), from, to, asked: Asked::default() }))
    }

    #[test]
    fn files_are_listed_by_a_pattern_and_proved_by_a_range() {
        for (line, ask) in [
            ("LIST /var/log/*.log +2\n", Ask::List { pattern: b"/var/log/*.log".to_vec() }),
            ("LIST /a%20b +2\n", Ask::List { pattern: b"/a b".to_vec() }),
            ("DIGEST /a%20b 7 40 +2\n", extent(b"/a b", 0, 40)),
            ("DIGEST /a 7 40 +2 from=30\n", extent(b"/a", 30, 40)),
            ("DIGEST /a 7 0 +2\n", extent(b"/a", 0, 0)),
        ] {
            assert_eq!(parse_ask(line.trim_end_matches('\n').as_bytes()), Ok(ask.clone()));
            assert_eq!(String::from_utf8(emit_ask(&ask)).unwrap(), line);
        }
    }

    #[test]
    fn what_is_no_question_is_a_fault() {
        for (line, fault) in [
            ("LIST /a", WireFault::NoPath),
            ("DIGEST /a 7 40", WireFault::NoPath),
            ("list /a +2", WireFault::NoPath),
            ("LIST +2", WireFault::NoPattern),
            ("LIST /%zz +2", WireFault::NoPattern),
            ("DIGEST +2", WireFault::NoPath),
            ("DIGEST a 7 40 +2", WireFault::NoPath),
            ("DIGEST /a +2", WireFault::BadInode),
            ("DIGEST /a 0 40 +2", WireFault::BadInode),
            ("DIGEST /a 7 +2", WireFault::BadOffset),
            ("DIGEST /a 7 -1 +2", WireFault::BadOffset),
            (
                "DIGEST /a 7 40 +2 from=41",
                WireFault::Contradiction("a range that ends before it begins"),
            ),
            ("DIGEST /a 7 40 +2 start=begin", WireFault::Contradiction("start= with a position")),
        ] {
            assert_eq!(parse_ask(line.as_bytes()), Err(fault), "{line:?}");
        }
    }

    #[test]
    fn who_says_plus_2_understands_an_answer_even_to_a_bad_question() {
        for line in ["/a x y +2", "LIST +2", "/a 0 0 seen=x +2\r"] {
            assert!(parse_ask(line.as_bytes()).is_err() && speaks_two(line.as_bytes()), "{line:?}");
        }
        for line in ["", "+2", "/a 0 0", "/a 0 0 +22", "/a 0 0 x=+2"] {
            assert!(!speaks_two(line.as_bytes()), "{line:?}");
        }
    }

    fn any_token() -> impl Strategy<Value = Token> {
        "[!-~]{1,64}".prop_map(|text| Token::parse(text.as_bytes()).unwrap())
    }

    fn any_path() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(1u8.., 0..PATH_BYTES_MAX).prop_map(|mut path| {
            path.insert(0, b'/');
            path
        })
    }

    fn any_sample(max: Offset) -> impl Strategy<Value = Option<Sample>> {
        let sample = (1..=max.clamp(1, SAMPLE_BYTES_MAX), any::<[u8; 16]>())
            .prop_map(|(len, digest)| Sample { len, digest: Digest(digest) });
        of(sample).prop_map(move |sample| sample.filter(|sample| sample.len <= max))
    }

    fn any_have() -> impl Strategy<Value = (Position, Asked)> {
        (1u64.., any::<u64>()).prop_flat_map(|(inode, offset)| {
            let have = Position { inode: Inode::new(inode), offset: offset >> 1 };
            let rest = (of(any_token()), of(any::<u64>()), of(any_token()));
            (any_sample(have.offset), any_sample(have.offset), rest).prop_map(
                move |(tail, head, (id, seen_ns, reader))| {
                    (have, Asked { id, tail, head, seen_ns, start: Start::Begin, reader })
                },
            )
        })
    }

    fn any_ask() -> impl Strategy<Value = Ask> {
        let starts = prop_oneof![Just(Start::Begin), Just(Start::End), Just(Start::History)];
        let first = (any_path(), starts, of(any_token())).prop_map(|(path, start, reader)| {
            let two = Some(Box::new(Asked { start, reader, ..Asked::default() }));
            Ask::Follow(Request { path, have: None, two })
        });
        let again = (any_path(), any_have()).prop_map(|(path, (have, asked))| {
            Ask::Follow(Request { path, have: Some(have), two: Some(Box::new(asked)) })
        });
        let plain = ("/[!-~]{0,200}", of(any_have())).prop_map(|(path, have)| {
            let have = have.map(|(have, _)| have);
            Ask::Follow(Request { path: path.into_bytes(), have, two: None })
        });
        let list = any_path().prop_map(|pattern| Ask::List { pattern });
        let digest =
            (any_path(), any_have(), any::<u64>()).prop_map(|(path, (to, asked), from)| {
                let from = if to.offset == 0 { 0 } else { from % to.offset };
                Ask::Digest(Box::new(Extent { path, from, to, asked }))
            });
        prop_oneof![first, again, plain, list, digest]
    }

    proptest! {
        #[test]
        fn a_question_comes_back(ask in any_ask()) {
            let line = emit_ask(&ask);
            let (newline, content) = line.split_last().unwrap();
            prop_assert!(*newline == b'\n' && !content.contains(newline));
            prop_assert!(line.len() <= crate::proto::REQUEST_BYTES_MAX);
            prop_assert_eq!(parse_ask(content), Ok(ask));
        }

        #[test]
        fn any_line_is_a_question_or_a_fault(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            words in proptest::collection::vec("(/|LIST|DIGEST|0|7|\\+2|(id|tail|path|start|from)=[!-~]{0,9})", 0..8)
        ) {
            let _ = parse_ask(&bytes);
            if let Ok(ask) = parse_ask(words.join(" ").as_bytes()) {
                let line = emit_ask(&ask);
                prop_assert_eq!(parse_ask(&line[..line.len() - 1]), Ok(ask));
            }
        }
    }
}
