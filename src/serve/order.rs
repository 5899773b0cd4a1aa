//! Which rotated file is older than which.
//!
//! There are three witnesses, and each is wrong at times:
//!
//! * the *name*. A counter, as in `messages.2`, is counted up with each rotation, so that the higher is
//!   the older; but some programs give the newest file the highest. A stamp, as in
//!   `messages-20261120` or `messages.2026-11-20T13`, grows with time; but not if it begins with the day.
//!   What follows the served file's name is a stamp if it has at least eight digits, and its runs of
//!   digits are compared as numbers, from left to right.
//! * the time of *birth*: one generation begins after another, whatever is written to either later. But a
//!   file that was emptied in place after a copy of it was made has an older birth than the copy. And
//!   a compressed file was born when it was compressed, a restored one when it was restored.
//! * the time of the last *change*, which compression and most backups keep. But a worker that has
//!   an old file open may write to it after its successor was rotated.
//!
//! So the names decide as long as no two neighbours are contradicted by both times; if they are, in the
//! other direction, as long as no two are contradicted there. Else, and where not all names have numbers of one kind, it
//! is the times of birth, as far as they are known and can be meant; else those of the last change.
//! Where times are equal (a file system's clock ticks every few milliseconds, and a rotation of several
//! files takes less), the names decide.
//!
//! A compressed file keeps its place: the suffix is taken off the name first (`.bz2` has a digit of
//! its own).

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

/// What is known of the age of a rotated file.
#[derive(Clone, Debug)]
pub struct Age {
    /// What its name says.
    pub rank: Rank,
    /// When it came to be, in nanoseconds since 1970, if that is known and the file's own.
    pub birth_ns: Option<u64>,
    /// When it was changed last, in nanoseconds since 1970.
    pub modified_ns: u64,
    /// Its birth is that of the compression.
    pub compressed: bool,
}

impl Age {
    /// When the generation began, as far as this file says.
    fn begun(&self) -> Option<u64> {
        // A file born after its last change is a copy that kept its times.
        self.birth_ns.filter(|_| !self.compressed).map(|birth| birth.min(self.modified_ns))
    }

    /// Whether one of the times at least allows that `self` is the older.
    fn may_precede(&self, other: &Age) -> bool {
        let by_birth = match (self.begun(), other.begun()) {
            (Some(one), Some(other)) => one <= other,
            _ => false,
        };
        by_birth || self.modified_ns <= other.modified_ns
    }
}

/// Sorts rotated files, the oldest first. They come in an order that does not matter, but for those
/// of which nothing says which is the older.
pub fn sort_oldest_first<T>(files: Vec<(Age, T)>) -> Vec<(Age, T)> {
    let mut files = files;
    files.sort_by(|(a, _), (b, _)| a.rank.cmp(&b.rank));
    if is_possible(files.iter()) {
        return files;
    }
    if is_possible(files.iter().rev()) {
        files.reverse();
        return files;
    }
    by_times(files)
}

/// Whether this is an order of names, and no two neighbours are contradicted by both times.
fn is_possible<'a, T: 'a>(files: impl Iterator<Item = &'a (Age, T)> + Clone) -> bool {
    files.clone().zip(files.skip(1)).all(|((one, _), (other, _))| {
        let both_numbered = matches!(
            (&one.rank, &other.rank),
            (Rank::Stamp(_), Rank::Stamp(_)) | (Rank::Counter(_), Rank::Counter(_))
        );
        both_numbered && one.rank != other.rank && one.may_precede(other)
    })
}

/// In the order of their times.
fn by_times<T>(files: Vec<(Age, T)>) -> Vec<(Age, T)> {
    let (mut compressed, mut plain): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|(age, _)| age.compressed);
    let all_born = plain.iter().all(|(age, _)| age.birth_ns.is_some());
    // They are in the order of their names, which stays where times are equal.
    plain.sort_by_key(|(age, _)| age.begun().filter(|_| all_born).unwrap_or(age.modified_ns));
    compressed.sort_by_key(|(age, _)| age.modified_ns);
    let mut list = Vec::with_capacity(plain.len() + compressed.len());
    let mut compressed = compressed.into_iter().peekable();
    for one in plain {
        let key = |age: &Age| (age.modified_ns, age.rank.clone());
        let older = |other: &(Age, T)| key(&other.0) < key(&one.0);
        list.extend(std::iter::from_fn(|| compressed.next_if(older)));
        list.push(one);
    }
    list.extend(compressed);
    list
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

    /// The names in the order found; each with its birth and its last change.
    fn sorted<'a>(files: &[(&'a str, u64, u64)]) -> Vec<&'a str> {
        let age = |name: &str, birth, modified_ns| Age {
            rank: Rank::of(b"log", name.as_bytes()),
            birth_ns: Some(birth),
            modified_ns,
            compressed: plain_name(name.as_bytes()).is_some(),
        };
        let files = files.iter().map(|&(name, birth, change)| (age(name, birth, change), name));
        sort_oldest_first(files.collect()).into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn names_and_times_that_agree_are_believed() {
        let files = [("log.1", 30, 40), ("log.3.gz", 90, 20), ("log.2", 20, 30)];
        assert_eq!(sorted(&files), ["log.3.gz", "log.2", "log.1"]);
        let files = [("log-20260102", 30, 40), ("log-20260101", 10, 20)];
        assert_eq!(sorted(&files), ["log-20260101", "log-20260102"]);
    }

    #[test]
    fn a_late_line_in_an_old_file_does_not_make_it_a_newer_one() {
        assert_eq!(sorted(&[("log.1", 30, 40), ("log.2", 20, 50)]), ["log.2", "log.1"]);
        assert_eq!(sorted(&[("log.a", 30, 40), ("log.b", 20, 50)]), ["log.b", "log.a"]);
    }

    #[test]
    fn a_file_that_was_copied_emptied_and_then_renamed_is_newer_than_its_copy() {
        assert_eq!(sorted(&[("log.1", 10, 40), ("log.2", 30, 30)]), ["log.2", "log.1"]);
    }

    #[test]
    fn counters_that_grow_with_time_are_known_by_the_times() {
        let files = [("log.1", 10, 20), ("log.2", 20, 30), ("log.3", 30, 40)];
        assert_eq!(sorted(&files), ["log.1", "log.2", "log.3"]);
        let late = [("log.1", 10, 50), ("log.2", 20, 30), ("log.3", 30, 40)];
        assert_eq!(sorted(&late), ["log.1", "log.2", "log.3"]);
    }

    #[test]
    fn stamps_that_begin_with_the_day_are_left_to_the_times() {
        let files =
            [("log.31-10-2026", 10, 20), ("log.01-11-2026", 20, 30), ("log.02-12-2026", 30, 40)];
        assert_eq!(sorted(&files), ["log.31-10-2026", "log.01-11-2026", "log.02-12-2026"]);
        assert_eq!(sorted(&[("log.old", 10, 20), ("log.2", 30, 40)]), ["log.old", "log.2"]);
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
