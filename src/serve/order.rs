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
//! Times may also be those of a copying: a log that was brought back by a plain `cp` was born when it was
//! copied, and changed last a moment later. So what took no longer to be written than a copy takes is no
//! witness beside a neighbour that was made in the same way right before or after it; nor is, among counters,
//! a single one that is the older by its name.
//!
//! Names with numbers of one kind are sorted among themselves:
//!
//! 1. By name, if no two neighbours are contradicted by both times.
//! 2. Else the other way round, if no two neighbours are contradicted there and some two that are contradicted
//!    here are no copies.
//! 3. Else by name, if only copies contradict it.
//! 4. Else by the times of birth, as far as they are known and can be meant; else of the last change.
//!
//! Then the kinds, and the names that have no number, are merged by their times: one name of another kind does
//! not put the others out of order. Where times are equal (a file system's clock ticks every few
//! milliseconds, and a rotation of several files takes less), the names decide.
//!
//! What can't be known: counters that grow with time, of logs that were all written in no more time than
//! a copy takes and right after each other, are taken for copies, and by name the highest is the oldest.
//!
//! A compressed file keeps its place: the suffix is taken off the name first (`.bz2` has a digit of
//! its own).

use std::cmp::Reverse;

use crate::pos::Offset;

/// Suffixes of files whose bytes are not those of the generation.
const COMPRESSED: [&[u8]; 10] =
    [b".gz", b".zst", b".xz", b".bz2", b".lz4", b".Z", b".lzma", b".lz", b".br", b".zip"];

/// Digits that make a stamp: a year, a month and a day.
const STAMP_DIGITS: usize = 8;

/// What a copying writes in a second at least, and no log does.
const COPIED_BYTES_PER_SEC: u64 = 1_000_000;

/// What the copying of the smallest file takes at most.
const COPIED_NS: u64 = 1_000_000_000;

/// Between two copies that are made one after the other.
const COPIES_APART_NS: u64 = 10_000_000_000;

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
    /// What its times say, unless it may not be looked at.
    pub times: Option<Times>,
}

/// The times of a rotated file.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When it came to be, in nanoseconds since 1970, if that is known and the file's own.
    pub birth_ns: Option<u64>,
    /// When it was changed last, in nanoseconds since 1970.
    pub modified_ns: u64,
    /// Its length in bytes.
    pub size: Offset,
    /// Its birth is that of the compression.
    pub compressed: bool,
}

impl Times {
    /// When the generation began, as far as this file says.
    fn begun(&self) -> Option<u64> {
        // A file born after its last change is a copy that kept its times.
        self.birth_ns.filter(|_| !self.compressed).map(|birth| birth.min(self.modified_ns))
    }

    /// Whether both times say that `self` is the newer.
    fn contradict(&self, other: &Times) -> bool {
        let by_birth = match (self.begun(), other.begun()) {
            (Some(one), Some(other)) => one <= other,
            // What began before the other was changed last is no newer for a line that came late.
            (Some(one), None) if other.compressed => one < other.modified_ns,
            _ => false,
        };
        !by_birth && self.modified_ns > other.modified_ns
    }

    /// Written in no more time than a copy takes.
    fn at_once(&self) -> bool {
        self.birth_ns
            .and_then(|birth| self.modified_ns.checked_sub(birth))
            .is_some_and(|took| took / COPIED_NS <= self.size / COPIED_BYTES_PER_SEC)
    }

    /// Whether two files were made in one copying, `other` before `self`.
    fn copied_after(&self, other: &Times) -> bool {
        let near = || self.birth_ns.is_some_and(|b| b <= other.modified_ns + COPIES_APART_NS);
        self.at_once() && other.at_once() && near()
    }

    /// Where the other times are, as far as they can be compared.
    fn is_before(&self, other: &Times) -> Option<bool> {
        let (one, other) = match (self.begun(), other.begun()) {
            (Some(one), Some(other)) => (one, other),
            _ => (self.modified_ns, other.modified_ns),
        };
        (one != other).then_some(one < other)
    }
}

/// A rotated file and its age.
type Aged<T> = (Age, T);

/// Sorts rotated files, the oldest first. They come in an order that does not matter, but for those
/// of which nothing says which is the older.
pub fn sort_oldest_first<T>(files: Vec<Aged<T>>) -> Vec<Aged<T>> {
    let mut files = files;
    files.sort_by(|(a, _), (b, _)| a.rank.cmp(&b.rank));
    let (mut counters, mut stamps, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        match file.0.rank {
            Rank::Counter(_) => counters.push(file),
            Rank::Stamp(_) => stamps.push(file),
            Rank::Unnumbered => others.push(file),
        }
    }
    merge(merge(by_times(others), by_names(stamps)), by_names(counters))
}

/// Whether two files of one number were compressed from the same, to two formats: each has its time.
fn are_twins(one: &Age, other: &Age) -> bool {
    let packed = |age: &Age| age.times.filter(|times| times.compressed);
    let changed = |age: &Age| packed(age).map(|times| times.modified_ns);
    changed(one).is_some() && changed(one) == changed(other)
}

/// What the times say to two neighbours in an order of names.
#[derive(PartialEq, Eq)]
enum Said {
    /// Nothing against it.
    Nothing,
    /// They contradict it, but they are those of copies.
    Copies,
    /// They contradict it.
    No,
}

fn say(one: &Age, other: &Age) -> Said {
    match (one.times, other.times) {
        _ if one.rank == other.rank && !are_twins(one, other) => Said::No,
        (Some(older), Some(newer)) if older.contradict(&newer) => {
            let alone = || older.at_once() && !newer.at_once();
            // Stamps that begin with the day contradict each other only where a month ends.
            let counted = matches!(one.rank, Rank::Counter(_));
            let copied = older.copied_after(&newer) || counted && alone();
            if copied { Said::Copies } else { Said::No }
        }
        _ => Said::Nothing,
    }
}

/// Whether both of two neighbours in an order of names are copies, or nothing contradicts it.
fn is_no_copying(one: &Age, other: &Age) -> bool {
    match (one.times, other.times) {
        (Some(older), Some(newer)) => older.contradict(&newer) && !older.copied_after(&newer),
        _ => false,
    }
}

/// Files whose names have numbers of one kind, sorted by these.
fn by_names<T>(files: Vec<Aged<T>>) -> Vec<Aged<T>> {
    let mut files = among_themselves(files);
    // What may not be looked at stays beside the next one.
    let mut next = None;
    for (age, _) in files.iter_mut().rev() {
        age.times = age.times.or(next);
        next = age.times;
    }
    files
}

fn among_themselves<T>(mut files: Vec<Aged<T>>) -> Vec<Aged<T>> {
    let pairs =
        || files.iter().zip(files.iter().skip(1)).map(|((one, _), (other, _))| (one, other));
    if pairs().all(|(one, other)| say(one, other) == Said::Nothing) {
        return files;
    }
    let reversed = pairs().all(|(one, other)| say(other, one) == Said::Nothing);
    if reversed && pairs().any(|(one, other)| is_no_copying(one, other)) {
        files.reverse();
        return files;
    }
    if pairs().all(|(one, other)| say(one, other) != Said::No) {
        return files;
    }
    by_times(files)
}

/// In the order of their times.
fn by_times<T>(files: Vec<Aged<T>>) -> Vec<Aged<T>> {
    let is = |age: &Age, what: fn(&Times) -> bool| age.times.as_ref().is_some_and(what);
    let (known, unknown): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|(age, _)| age.times.is_some());
    let (mut compressed, mut plain): (Vec<_>, Vec<_>) =
        known.into_iter().partition(|(age, _)| is(age, |times| times.compressed));
    let all_born = plain.iter().all(|(age, _)| is(age, |times| times.birth_ns.is_some()));
    // They are in the order of their names, which stays where times are equal.
    let changed = |age: &Age| age.times.map(|times| times.modified_ns);
    let begun = |age: &Age| age.times.and_then(|times| times.begun());
    plain.sort_by_key(|(age, _)| if all_born { begun(age) } else { changed(age) });
    compressed.sort_by_key(|(age, _)| changed(age));
    let mut list = merge(plain, compressed);
    // The place of what may not be looked at is not known: better told as stepped over than not.
    list.extend(unknown);
    list
}

/// Merges two lists by the times of their files; neither is put out of its order.
fn merge<T>(one: Vec<Aged<T>>, other: Vec<Aged<T>>) -> Vec<Aged<T>> {
    let mut list = Vec::with_capacity(one.len() + other.len());
    let mut other = other.into_iter().peekable();
    for file in one {
        list.extend(std::iter::from_fn(|| other.next_if(|other| is_older(&other.0, &file.0))));
        list.push(file);
    }
    list.extend(other);
    list
}

fn is_older(one: &Age, other: &Age) -> bool {
    let before = match (one.times, other.times) {
        (Some(one), Some(other)) => one.is_before(&other),
        (None, Some(_)) => Some(false),
        (Some(_), None) => Some(true),
        (None, None) => None,
    };
    before.unwrap_or(one.rank < other.rank)
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

    const SEC: u64 = 1_000_000_000;

    fn age(name: &str, birth: u64, change: u64, size: Offset) -> Age {
        let compressed = plain_name(name.as_bytes()).is_some();
        let times = Times { birth_ns: Some(birth), modified_ns: change, size, compressed };
        Age { rank: Rank::of(b"log", name.as_bytes()), times: Some(times) }
    }

    fn names<'a>(files: impl Iterator<Item = (Age, &'a str)>) -> Vec<&'a str> {
        sort_oldest_first(files.collect()).into_iter().map(|(_, name)| name).collect()
    }

    /// The names in the order found; each with its birth and its last change, in seconds.
    fn sorted<'a>(files: &[(&'a str, u64, u64)]) -> Vec<&'a str> {
        let aged = |&(name, birth, change)| (age(name, birth * SEC, change * SEC, 0), name);
        names(files.iter().map(aged))
    }

    #[test]
    fn logs_that_were_copied_back_in_the_order_of_a_listing_are_in_that_of_their_names() {
        // Each takes as long as its length says, and then comes the next.
        let mut at = 100 * SEC;
        let copies = [("log.1", 0), ("log.2", 5_000_000), ("log.3", 1_000_000_000), ("log.4", 7)];
        let copies = copies.map(|(name, size)| {
            let begun = at;
            at += size * 500;
            (age(name, begun, at, size), name)
        });
        assert_eq!(names(copies.clone().into_iter()), ["log.4", "log.3", "log.2", "log.1"]);
        // And after the next rotation, too.
        let later = (age("log.0", 900 * SEC, 950 * SEC, 9), "log.0");
        let all = [later].into_iter().chain(copies);
        assert_eq!(names(all), ["log.4", "log.3", "log.2", "log.1", "log.0"]);
    }

    #[test]
    fn one_counter_that_was_made_anew_keeps_its_place() {
        let files = [("log.1", 30, 40), ("log.2", 20, 30), ("log.3", 99, 99), ("log.4", 5, 10)];
        assert_eq!(sorted(&files), ["log.4", "log.3", "log.2", "log.1"]);
    }

    #[test]
    fn counters_that_begin_again_are_left_to_the_times() {
        let files = [("log.1", 40, 50), ("log.2", 10, 20), ("log.3", 20, 30), ("log.4", 30, 40)];
        assert_eq!(sorted(&files), ["log.2", "log.3", "log.4", "log.1"]);
    }

    /// Found by the simulation: a host that lost power had compressed a log to two formats. The two had one number, so
    /// all were sorted by their times, and one that had got a late line was fetched again behind younger ones.
    #[test]
    fn one_that_was_compressed_to_two_formats_leaves_the_others_in_their_order() {
        let files = [
            ("log-20260101", 1, 35),
            ("log-20260102.gz", 25, 20),
            ("log-20260103.gz", 36, 30),
            ("log-20260104.bz2", 55, 40),
            ("log-20260104.gz", 50, 40),
        ];
        assert_eq!(sorted(&files), files.map(|(name, ..)| name));
        // Another number that comes twice says nothing.
        let files = files.map(|(name, birth, change)| match birth {
            50 => (name, birth, change + 1),
            _ => (name, birth, change),
        });
        assert_ne!(sorted(&files), files.map(|(name, ..)| name));
    }

    #[test]
    fn a_name_of_another_kind_has_its_place_by_the_times_and_leaves_the_others_theirs() {
        // `log.1` was emptied in place when `log.2` had been copied from it.
        let files = [("log.2026-11-20", 20, 20), ("log.2", 30, 30), ("log.1", 10, 40)];
        assert_eq!(sorted(&files), ["log.2026-11-20", "log.2", "log.1"]);
        let files = [("log.old", 32, 35), ("log.2", 30, 31), ("log.1", 40, 50)];
        assert_eq!(sorted(&files), ["log.2", "log.old", "log.1"]);
    }

    #[test]
    fn what_may_not_be_looked_at_has_its_place_by_its_name_and_else_is_the_last() {
        let unknown = |name: &'static str| {
            (Age { rank: Rank::of(b"log", name.as_bytes()), times: None }, name)
        };
        let known = |name: &'static str, at: u64| (age(name, at * SEC, (at + 5) * SEC, 0), name);
        let files = [known("log.1", 50), unknown("log.2"), known("log.3", 30), known("log.x", 20)];
        assert_eq!(names(files.into_iter()), ["log.x", "log.3", "log.2", "log.1"]);
        let files = [known("log.1", 50), unknown("log.old"), known("log.2", 30)];
        assert_eq!(names(files.into_iter()), ["log.2", "log.1", "log.old"]);
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

    /// Found by the simulation: a line came late for a rotated log, after the next one had been compressed. Of that
    /// no birth is known, so the time of the last change alone contradicted the names: the newer generation
    /// was served first.
    #[test]
    fn a_late_line_in_a_file_beside_a_compressed_one_does_not_make_it_a_newer_one() {
        let files = [("log.1.gz", 60, 40), ("log.2", 20, 50), ("log.3.gz", 45, 15)];
        assert_eq!(sorted(&files), ["log.3.gz", "log.2", "log.1.gz"]);
        let files = [("log-20260102.gz", 60, 40), ("log-20260101", 20, 50)];
        assert_eq!(sorted(&files), ["log-20260101", "log-20260102.gz"]);
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
