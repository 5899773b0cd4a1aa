//! Which of two rotated files is the older.
//!
//! The time of birth decides: one generation begins after another, whatever is written to either
//! later. The time of the last change would not do: a worker that keeps an old file open writes to
//! it after its successor was rotated, and one of them would be skipped and the other sent twice. But
//! a file that was born after its last change is a copy that kept its times, from a backup perhaps;
//! and where the file system has no times of birth, or for a compressed file, whose birth is that of
//! the compression, the time of the last change decides.
//!
//! Where times are equal (a file system's clock ticks every few milliseconds, and a rotation of
//! several files takes less), the name decides, in one of two ways:
//!
//! * a *counter*, as in `messages.2`: the higher is the older, since each rotation counts it up;
//! * a *stamp*, as in `messages-20261120` or `messages.2026-11-20T13`: the higher is the newer.
//!   What follows the served file's name is a stamp if it has at least eight digits, and its runs of
//!   digits are compared as numbers, from left to right.
//!
//! A compressed file keeps its place: `gzip` and the like keep the time of change, and the suffix
//! is taken off the name first (`.bz2` has a digit of its own).

use std::cmp::Reverse;

/// Suffixes of files whose bytes are not those of the generation.
const COMPRESSED: [&[u8]; 10] =
    [b".gz", b".zst", b".xz", b".bz2", b".lz4", b".Z", b".lzma", b".lz", b".br", b".zip"];

/// Digits that make a stamp: a year, a month and a day.
const STAMP_DIGITS: usize = 8;

/// The name a compressed file had before; `None` for a name that is not a compressed file's.
pub fn plain_name(name: &[u8]) -> Option<&[u8]> {
    COMPRESSED.iter().find_map(|suffix| name.strip_suffix(*suffix)).filter(|name| !name.is_empty())
}

/// What a name says of a file's age. The lesser is the older.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rank {
    /// Nothing.
    Unnumbered,
    /// Its date, and perhaps what follows it.
    Stamp(Vec<u64>),
    /// How many rotations it has seen.
    Counter(Reverse<u64>),
}

impl Rank {
    /// The rank of the rotated file `name` of a served file named `served`.
    pub fn of(served: &[u8], name: &[u8]) -> Rank {
        let name = plain_name(name).unwrap_or(name);
        let shared = name.iter().zip(served).take_while(|(a, b)| a == b).count();
        let rest = &name[shared..];
        let digits = rest.iter().filter(|b| b.is_ascii_digit()).count();
        if digits >= STAMP_DIGITS {
            return Rank::Stamp(runs(rest).collect());
        }
        runs(rest).last().map_or(Rank::Unnumbered, |number| Rank::Counter(Reverse(number)))
    }
}

/// The runs of digits in `text` as numbers; one that does not fit is the greatest.
fn runs(text: &[u8]) -> impl Iterator<Item = u64> {
    text.split(|b| !b.is_ascii_digit()).filter(|run| !run.is_empty()).map(|run| {
        run.iter().fold(0u64, |number, digit| {
            number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts that the names, from old to new, are so ranked.
    fn from_old_to_new(served: &str, names: &[&str]) {
        let rank = |name: &str| Rank::of(served.as_bytes(), name.as_bytes());
        for pair in names.windows(2) {
            assert!(rank(pair[0]) < rank(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn of_two_counters_the_higher_is_the_older() {
        from_old_to_new("messages", &["messages.10", "messages.9", "messages.2.gz", "messages.1"]);
        from_old_to_new("app1.log", &["app1.3.log", "app1.2.log.bz2", "app1.1.log"]);
        from_old_to_new("a", &["a.99999999999.0000002", "a.99999999999.0000003"]);
    }

    #[test]
    fn of_two_stamps_the_higher_is_the_newer() {
        from_old_to_new(
            "messages",
            &[
                "messages-20251231",
                "messages-20260101.xz",
                "messages-20260101.1",
                "messages-20260102",
            ],
        );
        from_old_to_new("log", &["log.2026-01-31", "log.2026-02-01T00", "log.2026-02-01T13"]);
        from_old_to_new("log", &["log-1763600000", "log-1763600001.zst"]);
    }

    #[test]
    fn a_name_without_digits_says_nothing() {
        assert_eq!(Rank::of(b"messages", b"messages.old"), Rank::Unnumbered);
        assert_eq!(Rank::of(b"log2", b"log2.old.bz2"), Rank::Unnumbered);
    }

    #[test]
    fn a_number_too_long_for_the_machine_is_the_greatest() {
        let rank = Rank::of(b"log", b"log.99999999999999999999999");
        assert_eq!(rank, Rank::Stamp(vec![u64::MAX]));
    }

    #[test]
    fn a_compressed_name_is_known_by_its_suffix() {
        assert_eq!(plain_name(b"log.1.gz"), Some(&b"log.1"[..]));
        assert_eq!(plain_name(b"log.1"), None);
        assert_eq!(plain_name(b".gz"), None);
    }
}
