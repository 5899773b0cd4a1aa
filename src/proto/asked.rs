//! What a protocol 2 fetcher adds to its question: what it knows of the generation, and who it is.

use std::fmt;

use super::WireFault;
use super::digest::Digest;
use super::fields::{known, optional};
use crate::pos::{Offset, Position, Start, Token, parse_number, parse_offset};

/// The most bytes one digest of a request may be of. The responder hashes them before it answers,
/// within the fetcher's `reply-timeout` (3 s) also from a slow disk.
pub const SAMPLE_BYTES_MAX: Offset = 64 << 20;

/// Some bytes of the copy, told by their digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Sample {
    /// How many, at least 1.
    pub len: Offset,
    /// Their digest.
    pub digest: Digest,
}

impl Sample {
    /// The sample that is all of `bytes`; `None` if these are none or too many.
    pub fn of(bytes: &[u8]) -> Option<Sample> {
        let len = bytes.len() as Offset;
        (1..=SAMPLE_BYTES_MAX).contains(&len).then(|| Sample { len, digest: Digest::of(bytes) })
    }

    /// Reads `LEN:DIGEST`.
    pub fn parse(text: &[u8]) -> Option<Sample> {
        let colon = memchr::memchr(b':', text)?;
        let len =
            parse_offset(&text[..colon]).filter(|len| (1..=SAMPLE_BYTES_MAX).contains(len))?;
        Some(Sample { len, digest: Digest::parse(&text[colon + 1..])? })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.len, self.digest)
    }
}

/// The fields of a protocol 2 request. All may be missing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Asked {
    /// The generation's identity, as the responder gave it.
    pub id: Option<Token>,
    /// The bytes just before the offset.
    pub tail: Option<Sample>,
    /// The first bytes of the generation.
    pub head: Option<Sample>,
    /// When the file was changed last as far as the fetcher heard, in nanoseconds since 1970 by the
    /// responder's clock.
    pub seen_ns: Option<u64>,
    /// Where to begin; means something on first contact only.
    pub start: Start,
    /// A name of this fetcher that stays.
    pub reader: Option<Token>,
}

impl Asked {
    /// Reads the fields among `words`; `have` is the position that stands before them.
    pub(super) fn parse<'a>(
        words: impl Iterator<Item = &'a [u8]>,
        have: Option<Position>,
    ) -> Result<Asked, WireFault> {
        let [id, tail, head, seen, start, reader] =
            known(words, ["id", "tail", "head", "seen", "start", "reader"])?;
        if start.is_some() && have.is_some() {
            return Err(WireFault::Contradiction("start= with a position"));
        }
        let asked = Asked {
            id: optional("id", id, Token::parse)?,
            tail: optional("tail", tail, Sample::parse)?,
            head: optional("head", head, Sample::parse)?,
            seen_ns: optional("seen", seen, parse_number)?,
            start: optional("start", start, Start::parse)?.unwrap_or_default(),
            reader: optional("reader", reader, Token::parse)?,
        };
        asked.check(have)?;
        Ok(asked)
    }

    /// Whether the fields can be true beside that position.
    pub fn check(&self, have: Option<Position>) -> Result<(), WireFault> {
        let samples = [self.tail, self.head];
        let contradiction = match have {
            Some(_) if self.start != Start::Begin => "start= with a position",
            Some(have) if samples.iter().flatten().any(|sample| sample.len > have.offset) => {
                "a digest of more bytes than are before the offset"
            }
            Some(_) => return Ok(()),
            None if self.id.is_some() => "id= without a position",
            None if samples.iter().any(Option::is_some) => "a digest without a position",
            None => return Ok(()),
        };
        Err(WireFault::Contradiction(contradiction))
    }
}

impl fmt::Display for Asked {
    /// ` key=value` for each field that is there, a blank before each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.id {
            write!(f, " id={id}")?;
        }
        if let Some(tail) = self.tail {
            write!(f, " tail={tail}")?;
        }
        if let Some(head) = self.head {
            write!(f, " head={head}")?;
        }
        if let Some(seen) = self.seen_ns {
            write!(f, " seen={seen}")?;
        }
        if self.start != Start::Begin {
            write!(f, " start={}", self.start.as_str())?;
        }
        if let Some(reader) = self.reader {
            write!(f, " reader={reader}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pos::Inode;
    use crate::proto::fields::words;

    const D: &str = "af1349b9f5f9a1a6a0404dea36dcc949";

    fn read(text: &str, offset: Option<Offset>) -> Result<Asked, WireFault> {
        let have = offset.map(|offset| Position { inode: Inode::new(7), offset });
        Asked::parse(words(text.as_bytes()), have)
    }

    #[test]
    fn fields_are_read_in_any_order_and_written_in_one() {
        let text = format!(" id=a.b tail=9:{D} head=10:{D} seen=18446744073709551615 reader=x");
        let asked = read(&text, Some(10)).unwrap();
        assert_eq!(asked.to_string(), text);
        assert_eq!(asked.tail.unwrap().digest, Digest::of(b""));
        let turned: Vec<&str> = text.split(' ').rev().collect();
        assert_eq!(read(&turned.join(" "), Some(10)), Ok(asked));
        assert_eq!(read("start=end", None).unwrap().to_string(), " start=end");
        assert_eq!(read("start=begin zstd=3", None), Ok(Asked::default()));
    }

    #[test]
    fn malformed_and_contradictory_fields_are_faults() {
        let long = "x".repeat(65);
        for text in [
            "id=",
            &format!("id={long}"),
            &format!("reader={long}"),
            "reader=\x07",
            "seen=-1",
            "seen=18446744073709551616",
            "tail=",
            "tail=5",
            &format!("tail=0:{D}"),
            &format!("tail=-1:{D}"),
            &format!("tail=67108865:{D}"),
            &format!("tail=9223372036854775808:{D}"),
            &format!("tail=5:{D}0"),
            &format!("head=5:{}", &D[1..]),
        ] {
            let fault = read(text, Some(u64::MAX >> 1));
            assert!(matches!(fault, Err(WireFault::BadField(_))), "{text:?}: {fault:?}");
        }
        assert!(matches!(read("start=middle", None), Err(WireFault::BadField(_))));
        for (text, offset) in [
            (format!("tail=11:{D}"), Some(10)),
            (format!("head=11:{D}"), Some(10)),
            (format!("tail=1:{D}"), Some(0)),
            (format!("tail=1:{D}"), None),
            ("id=x".into(), None),
            ("start=begin".into(), Some(0)),
            ("start=history".into(), Some(10)),
        ] {
            let fault = read(&text, offset);
            assert!(matches!(fault, Err(WireFault::Contradiction(_))), "{text:?}: {fault:?}");
        }
    }

    #[test]
    fn a_sample_is_of_one_byte_at_least() {
        assert_eq!(Sample::of(b""), None);
        assert_eq!(Sample::of(b"x"), Some(Sample { len: 1, digest: Digest::of(b"x") }));
    }
}
