//! The status line of protocol 2: which generation follows, from where, and what to do with the copy.
//!
//! `O inode +2 key=value...` or `L inode +2 key=value...`. The keys say everything; the letter and the
//! inode are there so that one look tells both protocols apart. What a line says twice has to agree.

use std::fmt;

use super::asked::Sample;
use super::fields::{known, optional, required, words};
use super::request::parse_path;
use super::status::{Verdict, split_status};
use super::{WireFault, percent, printable};
use crate::pos::{Inode, Offset, Position, Token, parse_number, parse_offset};

/// What a responder answers to a protocol 2 request that it serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The file's inode number now: for a look at the host, not an identity.
    pub inode: Inode,
    /// How what follows relates to what the fetcher has.
    pub file: File,
    /// The identity of the generation that follows.
    pub id: Token,
    /// Changes when the source's host was started anew.
    pub boot: Token,
    /// The first byte that follows.
    pub from: Offset,
    /// Bytes of the generation as far as the responder knows, at least `from`.
    pub size: Offset,
    /// Time of the file's last change, in nanoseconds since 1970 by the responder's clock.
    pub mtime_ns: u64,
    /// The path under which the content was found, where that is not the one asked for.
    pub name: Option<Vec<u8>>,
    /// What is before `from`, which the fetcher will not have, if that is not the beginning.
    pub tail: Option<Sample>,
}

/// How what follows relates to what the fetcher has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum File {
    /// It has nothing; the copy begins.
    First,
    /// Its generation goes on, be it in another file.
    Same,
    /// Its generation is complete; this is the one after it.
    Next,
    /// Its generation cannot be had any more; this is the oldest one after it.
    Lost(Why),
}

/// Why a generation cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Why {
    /// No file is it.
    Gone,
    /// The file has other bytes before the offset.
    Digest,
    /// The file has fewer bytes than the offset.
    Short,
}

impl Why {
    const ALL: [Why; 3] = [Why::Gone, Why::Digest, Why::Short];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Why::Gone => "gone",
            Why::Digest => "digest",
            Why::Short => "short",
        }
    }

    fn parse(text: &[u8]) -> Option<Why> {
        Why::ALL.into_iter().find(|why| why.as_str().as_bytes() == text)
    }
}

impl Answer {
    /// The letter in front.
    pub const fn verdict(&self) -> Verdict {
        match self.file {
            File::Lost(_) => Verdict::Lost,
            File::First | File::Same | File::Next => Verdict::Found,
        }
    }

    /// Whether this can be the answer to a request with that position.
    pub fn check(&self, have: Option<Position>) -> Result<(), WireFault> {
        let contradiction = match (self.file, have) {
            (File::First, None) => return Ok(()),
            (File::First, Some(_)) => "file=first to a fetcher that has something",
            (_, None) => "file= of a generation that was not asked for",
            (File::Same, Some(have)) if self.from != have.offset => {
                "from= is not the offset asked for"
            }
            (File::Same | File::Next | File::Lost(_), Some(_)) => return Ok(()),
        };
        Err(WireFault::Contradiction(contradiction))
    }

    /// Whether this can be the answer to a question for the digest of `from..to`.
    pub fn check_range(&self, from: Offset, to: Offset) -> Result<(), WireFault> {
        let contradiction = match self.file {
            File::Lost(_) => return Ok(()),
            File::First | File::Next => "file= of a generation that was not asked for",
            File::Same if self.from != from => "from= is not the offset asked for",
            File::Same if self.size < to => "size= is less than the range asked for",
            File::Same => return Ok(()),
        };
        Err(WireFault::Contradiction(contradiction))
    }
}

/// Reads the line (without its newline).
pub fn parse_answer(line: &[u8]) -> Result<Answer, WireFault> {
    let bad = || WireFault::BadStatus(printable(line));
    let (verdict, text) = split_status(line).ok_or_else(bad)?;
    let mut rest = words(text);
    let inode = rest.next().and_then(Inode::parse).filter(|inode| inode.number() != 0);
    let inode = inode.ok_or_else(bad)?;
    if rest.next() != Some(super::TWO) {
        return Err(bad());
    }
    let [file, why, id, boot, from, size, mtime, name, tail] =
        known(rest, ["file", "why", "id", "boot", "from", "size", "mtime", "name", "tail"])?;
    let why = optional("why", why, Why::parse)?;
    let file = match (verdict, required("file", file, parse_file)?, why) {
        (Verdict::Found, file, None) => file,
        (Verdict::Lost, File::Next, Some(why)) => File::Lost(why),
        (Verdict::Lost, File::Next, None) => return Err(WireFault::MissingField("why")),
        (Verdict::Lost, _, _) => {
            return Err(WireFault::Contradiction("lost, and file= is not the next"));
        }
        (Verdict::Found, _, Some(_)) => {
            return Err(WireFault::Contradiction("found, and why= it is lost"));
        }
    };
    let answer = Answer {
        inode,
        file,
        id: required("id", id, Token::parse)?,
        boot: required("boot", boot, Token::parse)?,
        from: required("from", from, parse_offset)?,
        size: required("size", size, parse_offset)?,
        mtime_ns: required("mtime", mtime, parse_number)?,
        name: optional("name", name, parse_path)?,
        tail: optional("tail", tail, Sample::parse)?,
    };
    match answer.file {
        _ if answer.from > answer.size => Err(WireFault::Contradiction("from= is beyond size=")),
        _ if answer.tail.is_some_and(|tail| tail.len > answer.from) => {
            Err(WireFault::Contradiction("a digest of more bytes than are before from="))
        }
        File::Next | File::Lost(_) if answer.from != 0 => {
            Err(WireFault::Contradiction("from= is not the beginning of the next generation"))
        }
        _ => Ok(answer),
    }
}

fn parse_file(text: &[u8]) -> Option<File> {
    match text {
        b"first" => Some(File::First),
        b"same" => Some(File::Same),
        b"next" => Some(File::Next),
        _ => None,
    }
}

/// Writes the line, newline included.
pub fn emit_answer(answer: &Answer) -> Vec<u8> {
    format!("{answer}\n").into_bytes()
}

impl fmt::Display for Answer {
    /// The line without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} +2 file=", self.verdict().letter(), self.inode)?;
        match self.file {
            File::First => f.write_str("first")?,
            File::Same => f.write_str("same")?,
            File::Next => f.write_str("next")?,
            File::Lost(why) => write!(f, "next why={}", why.as_str())?,
        }
        let Answer { id, boot, from, size, mtime_ns, .. } = self;
        write!(f, " id={id} boot={boot} from={from} size={size} mtime={mtime_ns}")?;
        if let Some(name) = &self.name {
            write!(f, " name={}", percent::encode(name))?;
        }
        self.tail.map_or(Ok(()), |tail| write!(f, " tail={tail}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pos::PATH_BYTES_MAX;
    use crate::proto::STATUS_BYTES_MAX;
    use crate::proto::asked::SAMPLE_BYTES_MAX;
    use crate::proto::digest::Digest;
    use proptest::prelude::*;

    const REST: &str = "id=7.1 boot=b from=4 size=9 mtime=1732105369000000000";

    #[test]
    fn each_answer_says_what_to_do_with_the_copy() {
        for (line, file) in [
            (format!("O 7 +2 file=first {REST}"), File::First),
            (format!("O 7 +2 file=same {REST}"), File::Same),
            (format!("O 7 +2 file=next {}", REST.replace("=4", "=0")), File::Next),
            (
                format!("L 7 +2 file=next why=short {}", REST.replace("=4", "=0")),
                File::Lost(Why::Short),
            ),
            (format!("O 7 +2 file=same {REST} name=/a%20b.1"), File::Same),
            (format!("O 7 +2 file=first {REST} tail=4:{}", Digest::of(b"four")), File::First),
        ] {
            let answer = parse_answer(line.as_bytes()).unwrap();
            assert_eq!(answer.file, file);
            assert_eq!(answer.to_string(), line);
        }
        let later = format!("O 7 +2 new {REST} zstd=3 file=same word");
        assert_eq!(parse_answer(later.as_bytes()).unwrap().file, File::Same);
    }

    #[test]
    fn what_is_missing_or_contradicts_itself_is_a_fault() {
        let same = format!("O 7 +2 file=same {REST}");
        for key in
            ["file=same", "id=7.1", "boot=b", "from=4", "size=9", "mtime=1732105369000000000"]
        {
            let fault = parse_answer(same.replace(key, "").as_bytes());
            assert!(matches!(fault, Err(WireFault::MissingField(_))), "{key}: {fault:?}");
        }
        let next = REST.replace("=4", "=0");
        for line in [
            format!("L 7 +2 file=same why=gone {REST}"),
            format!("L 7 +2 file=first why=gone {next}"),
            format!("O 7 +2 file=next why=gone {next}"),
            format!("O 7 +2 file=next {REST}"),
            format!("L 7 +2 file=next why=gone {REST}"),
            same.replace("size=9", "size=3"),
            format!("O 7 +2 file=first {REST} tail=5:{}", Digest::of(b"five?")),
        ] {
            let fault = parse_answer(line.as_bytes());
            assert!(matches!(fault, Err(WireFault::Contradiction(_))), "{line}: {fault:?}");
        }
        for (line, fault) in [
            (format!("L 7 +2 file=next {next}"), WireFault::MissingField("why")),
            (format!("O 7 +2 file=other {REST}"), WireFault::BadField("file=other".into())),
            (format!("L 7 +2 file=next why=x {next}"), WireFault::BadField("why=x".into())),
            (same.replace("=9", "=-9"), WireFault::BadField("size=-9".into())),
            (format!("{same} name=x"), WireFault::BadField("name=x".into())),
            (format!("{same} tail=0"), WireFault::BadField("tail=0".into())),
            (format!("{same} id=7.1"), WireFault::RepeatedField("id".into())),
        ] {
            assert_eq!(parse_answer(line.as_bytes()), Err(fault), "{line}");
        }
        for line in ["O 0 +2", "O x +2", "O 7", "O 7 +22", "X 7 +2", "E busy +2"] {
            let fault = parse_answer(format!("{line} file=same {REST}").as_bytes());
            assert!(matches!(fault, Err(WireFault::BadStatus(_))), "{line}: {fault:?}");
        }
    }

    #[test]
    fn an_answer_has_to_fit_the_question() {
        let have = |offset| Some(Position { inode: Inode::new(7), offset });
        let answer = |file: &str| parse_answer(format!("{file} {REST}").as_bytes()).unwrap();
        let (first, same) = (answer("O 7 +2 file=first"), answer("O 7 +2 file=same"));
        assert!(first.check(None).is_ok() && first.check(have(4)).is_err());
        assert!(same.check(have(4)).is_ok() && same.check(None).is_err());
        assert!(same.check(have(3)).is_err() && same.check(have(5)).is_err());
        let next = Answer { file: File::Next, from: 0, ..same.clone() };
        assert!(next.check(have(4)).is_ok() && next.check(None).is_err());
        assert!(same.check_range(4, 9).is_ok());
        assert!(same.check_range(3, 9).is_err() && same.check_range(4, 10).is_err());
        assert!(first.check_range(4, 9).is_err() && next.check_range(0, 9).is_err());
        assert!(Answer { file: File::Lost(Why::Gone), ..next }.check_range(4, 99).is_ok());
    }

    proptest! {
        #[test]
        fn an_answer_comes_back(
            inode in 1u64.., file in 0..4, why in 0..3usize, token in "[!-~]{1,64}",
            (from, more) in (0..1u64 << 62, 0..1u64 << 62), mtime_ns in any::<u64>(),
            name in proptest::option::of(proptest::collection::vec(1u8.., 0..PATH_BYTES_MAX)),
            tail in proptest::option::of(1..=SAMPLE_BYTES_MAX),
        ) {
            let token = Token::parse(token.as_bytes()).unwrap();
            let (file, from) = match file {
                0 => (File::First, from),
                1 => (File::Same, from),
                2 => (File::Next, 0),
                _ => (File::Lost(Why::ALL[why]), 0),
            };
            let name = name.map(|name| [b"/", &name[..]].concat());
            let inode = Inode::new(inode);
            let size = from + more;
            let tail = tail.filter(|&len| len <= from);
            let tail = tail.map(|len| Sample { len, digest: Digest::of(b"") });
            let (id, boot) = (token, token);
            let answer = Answer { inode, file, id, boot, from, size, mtime_ns, name, tail };
            let line = emit_answer(&answer);
            prop_assert!(line.len() <= STATUS_BYTES_MAX);
            prop_assert_eq!(parse_answer(&line[..line.len() - 1]), Ok(answer));
        }
    }
}
