//! Every case of comparing, on a real file system.

use std::cell::Cell;
use std::fs;
use std::io;

use super::super::tests::{Bed, Odd};
use super::*;
use crate::proto::refusal::Code;
use crate::sys::logs::DiskLogs;

/// How it goes on, the inode and the first byte.
type Answer = Result<(File, Inode, Offset), Code>;

const TEXT: &str = "the content of one generation\n";
const LEN: Offset = TEXT.len() as Offset;

fn sample(bytes: &str) -> Option<Sample> {
    Sample::of(bytes.as_bytes())
}

/// A fetcher that has the first `offset` bytes of [`TEXT`], and digests of them.
fn has(offset: u64) -> Asked {
    let text = &TEXT[..offset as usize];
    Asked {
        tail: sample(&text[text.len().saturating_sub(8)..]),
        head: sample(text),
        ..Asked::default()
    }
}

impl Bed {
    fn compare(&self, have: Option<(Inode, Offset)>, asked: Asked) -> Answer {
        let have = have.map(|(inode, offset)| Position { inode, offset });
        let found = self.finder().compare(self.files.get(0), have, &asked);
        let found = found.map_err(|unserved| unserved.code)?;
        let answer = found.answer(Token::of_number(1));
        answer.check(have).unwrap();
        Ok((answer.file, answer.inode, answer.from))
    }

    /// The path that is told with an answer, below the bed's directory.
    fn told_name(&self, have: Option<(Inode, Offset)>, asked: Asked) -> Option<String> {
        let have = have.map(|(inode, offset)| Position { inode, offset });
        let found = self.finder().compare(self.files.get(0), have, &asked).unwrap();
        let name = String::from_utf8(found.answer(Token::of_number(1)).name?).unwrap();
        let base = format!("{}/", self.base.display());
        Some(name.strip_prefix(&base).unwrap().to_owned())
    }

    /// How a range is answered for: where it begins, and the inode of its file.
    fn prove(&self, (inode, to): (Inode, Offset), from: Offset, asked: Asked) -> Answer {
        let to = Position { inode, offset: to };
        let extent = Extent { path: b"/".to_vec(), from, to, asked };
        let found = self.finder().prove(self.files.get(0), &extent);
        let answer = found.map_err(|unserved| unserved.code)?.answer(Token::of_number(1));
        answer.check_range(from, to.offset).unwrap();
        Ok((answer.file, answer.inode, answer.from))
    }

    pub(in crate::serve::finder) fn id(&self, name: &str) -> Option<Token> {
        use crate::sys::logs::DiskLogs;
        let logs = DiskLogs::new().unwrap();
        let file = logs.open(&self.base.join(name)).unwrap();
        let mut id = logs.facts(&file).unwrap().id;
        id.generation = logs.generation(&file);
        Some(Token::of_file(&id))
    }

    pub(in crate::serve::finder) fn modified(&self, name: &str) -> Option<u64> {
        let logs = crate::sys::logs::DiskLogs::new().unwrap();
        Some(logs.facts_at(&self.base.join(name)).unwrap().unwrap().modified_ns)
    }
}

#[test]
fn first_contact_begins_where_it_is_told_to() {
    let bed = Bed::new();
    let start = |start| bed.compare(None, Asked { start, ..Asked::default() });
    assert_eq!(start(Start::Begin), Err(Code::Missing));
    assert_eq!(start(Start::History), Err(Code::Missing));
    bed.file("log.3.gz", "compressed", 300);
    let oldest = bed.file("log.2", TEXT, 200);
    assert_eq!(start(Start::History), Ok((File::First, oldest, 0)));
    assert_eq!(start(Start::Begin), Err(Code::Missing));
    bed.file("log.1", TEXT, 100);
    let log = bed.file("log", "12345", 0);
    assert_eq!(start(Start::Begin), Ok((File::First, log, 0)));
    assert_eq!(start(Start::End), Ok((File::First, log, 5)));
    assert_eq!(start(Start::History), Ok((File::First, oldest, 0)));
    fs::remove_file(bed.base.join("log.1")).unwrap();
    fs::remove_file(bed.base.join("log.2")).unwrap();
    assert_eq!(start(Start::History), Ok((File::First, log, 0)));
}

#[test]
fn the_current_file_goes_on_by_identity_by_content_or_by_number() {
    let bed = Bed::new();
    let log = bed.file("log", TEXT, 0);
    let id = bed.id("log");
    for asked in
        [Asked::default(), Asked { id, ..Asked::default() }, has(9), Asked { id, ..has(9) }]
    {
        assert_eq!(bed.compare(Some((log, 9)), asked), Ok((File::Same, log, 9)), "{asked:?}");
    }
    assert_eq!(
        bed.compare(Some((log, 0)), Asked { id, ..Asked::default() }),
        Ok((File::Same, log, 0))
    );
    assert_eq!(bed.compare(Some((log, LEN)), has(LEN)), Ok((File::Same, log, LEN)));
}

#[test]
fn a_renamed_generation_is_sent_to_its_end_and_then_the_next_in_order() {
    let bed = Bed::new();
    let chain =
        [("log.2", 300), ("log.1", 200), ("log", 0)].map(|(name, age)| bed.file(name, TEXT, age));
    for (name, pair) in ["log.2", "log.1"].iter().zip(chain.windows(2)) {
        let asked = |offset| Asked { id: bed.id(name), seen_ns: bed.modified(name), ..has(offset) };
        assert_eq!(bed.compare(Some((pair[0], 9)), asked(9)), Ok((File::Same, pair[0], 9)));
        assert_eq!(bed.compare(Some((pair[0], LEN)), asked(LEN)), Ok((File::Next, pair[1], 0)));
    }
}

#[test]
fn a_rotated_file_that_is_still_written_goes_on() {
    let bed = Bed::new();
    let old = bed.file("log.1", TEXT, 5);
    bed.file("log", "new", 0);
    let writer = fs::File::options().append(true).open(bed.base.join("log.1")).unwrap();
    assert_eq!(bed.compare(Some((old, LEN)), has(LEN)), Ok((File::Same, old, LEN)));
    drop(writer);
}

#[test]
fn what_copytruncate_made_is_found_by_its_content_however_long_the_log_is_again() {
    for again in
        ["", &TEXT[..9].replace('c', "d"), "other content that is longer than what was there"]
    {
        let bed = Bed::new();
        let log = bed.file("log", TEXT, 0);
        let asked =
            |offset| Asked { id: bed.id("log"), seen_ns: bed.modified("log"), ..has(offset) };
        fs::copy(bed.base.join("log"), bed.base.join("log.1")).unwrap();
        let copy = bed.inode("log.1");
        fs::write(bed.base.join("log"), again).unwrap();
        assert_eq!(bed.inode("log"), log);
        assert_eq!(bed.compare(Some((log, 9)), asked(9)), Ok((File::Same, copy, 9)), "{again:?}");
        let whole = bed.compare(Some((log, LEN)), asked(LEN));
        assert_eq!(whole, Ok((File::Next, log, 0)), "{again:?}");
    }
}

#[test]
fn a_number_that_was_given_to_another_file_is_not_enough() {
    let bed = Bed::new();
    let log = bed.file("log", TEXT, 0);
    let other = Token::parse(format!("{log}.1.1").as_bytes());
    let asked = Asked { id: other, ..Asked::default() };
    assert_eq!(bed.compare(Some((log, 9)), asked), Ok((File::Lost(Why::Gone), log, 0)));
    let same = bed.compare(Some((log, 9)), Asked { id: other, ..has(9) });
    assert_eq!(same, Ok((File::Same, log, 9)), "its bytes are right, whoever it is");
}

#[test]
fn a_file_that_came_back_under_another_number_goes_on() {
    let bed = Bed::new();
    let gone = bed.file("log", TEXT, 50);
    let asked = Asked { id: bed.id("log"), seen_ns: bed.modified("log"), ..has(9) };
    bed.rename("log", "elsewhere");
    let log = bed.file("log", TEXT, 0);
    assert_ne!(log, gone);
    assert_eq!(bed.compare(Some((gone, 9)), asked), Ok((File::Same, log, 9)));
}

#[test]
fn what_is_lost_is_told_with_its_reason() {
    let bed = Bed::new();
    let log = bed.file("log", TEXT, 0);
    let wrong = Asked { tail: sample("x"), ..Asked::default() };
    assert_eq!(bed.compare(Some((log, 9)), wrong), Ok((File::Lost(Why::Digest), log, 0)));
    let wrong = Asked { head: sample("x"), ..has(9) };
    assert_eq!(bed.compare(Some((log, 9)), wrong), Ok((File::Lost(Why::Digest), log, 0)));
    let short = bed.compare(Some((log, LEN + 1)), Asked::default());
    assert_eq!(short, Ok((File::Lost(Why::Short), log, 0)));
    let gone = Inode::new(log.number() + 1_000_000);
    for asked in [Asked::default(), Asked { tail: sample("x"), ..Asked::default() }] {
        assert_eq!(bed.compare(Some((gone, 9)), asked), Ok((File::Lost(Why::Gone), log, 0)));
    }
    fs::remove_file(bed.base.join("log")).unwrap();
    assert_eq!(bed.compare(Some((gone, 9)), has(9)), Err(Code::Missing));
}

#[test]
fn after_what_is_lost_comes_the_oldest_that_was_changed_since() {
    let bed = Bed::new();
    for (name, age) in [("log.4", 400), ("log.3.gz", 300), ("log.2", 200), ("log.1", 100)] {
        bed.file(name, "other", age);
    }
    let log = bed.file("log", "new", 0);
    let gone = Inode::new(log.number() + 1_000_000);
    let ask = |seen_ns| bed.compare(Some((gone, 9)), Asked { seen_ns, ..has(9) });
    let lost = |name| Ok((File::Lost(Why::Gone), bed.inode(name), 0));
    assert_eq!(ask(None), lost("log"));
    assert_eq!(ask(Some(0)), lost("log.4"));
    assert_eq!(ask(bed.modified("log.4")), lost("log.2"), "a compressed one is stepped over");
    assert_eq!(ask(bed.modified("log.2")), lost("log.1"));
    assert_eq!(ask(bed.modified("log.1")), lost("log"));
    assert_eq!(ask(Some(u64::MAX)), lost("log"));
}

#[test]
fn a_rotated_file_that_was_cut_is_begun_anew_and_not_skipped() {
    let bed = Bed::new();
    let old = bed.file("log.1", "cut", 100);
    bed.file("log", "content", 0);
    let lost = bed.compare(Some((old, 9)), has(9));
    assert_eq!(lost, Ok((File::Lost(Why::Short), old, 0)));
}

#[test]
fn a_compressed_successor_is_stepped_over_and_told_as_lost() {
    let bed = Bed::new();
    let old = bed.file("log.3", TEXT, 300);
    bed.file("log.2.gz", "compressed", 200);
    let next = bed.file("log.1", "content", 100);
    bed.file("log", "new", 0);
    let lost = bed.compare(Some((old, LEN)), has(LEN));
    assert_eq!(lost, Ok((File::Lost(Why::Gone), next, 0)));
}

#[test]
fn of_two_files_with_the_content_the_older_changed_since_is_taken() {
    let bed = Bed::new();
    let gone = bed.file("elsewhere", TEXT, 150);
    let asked = Asked { seen_ns: bed.modified("elsewhere"), ..has(9) };
    bed.file("log.3", TEXT, 300);
    let older = bed.file("log.2", TEXT, 140);
    bed.file("log.1", TEXT, 100);
    bed.file("log", "new", 0);
    assert_eq!(bed.compare(Some((gone, 9)), asked), Ok((File::Same, older, 9)));
}

#[test]
fn a_search_that_was_called_off_finds_nothing() {
    use crate::sys::logs::{DiskLogs, Stoppable};
    use std::sync::atomic::AtomicBool;
    let bed = Bed::new();
    let log = bed.file("log", TEXT, 0);
    let (logs, stop) = (DiskLogs::new().unwrap(), AtomicBool::new(true));
    let logs = Stoppable { logs: &logs, stop: &stop };
    let finder = Finder { logs: &logs, files: &bed.files, linger: Duration::ZERO, wall_ns: 0 };
    let have = Some(Position { inode: log, offset: 9 });
    let found = finder.compare(bed.files.get(0), have, &has(9));
    assert_eq!(found.unwrap_err().code, Code::Busy);
}

#[test]
fn the_name_is_told_of_what_is_not_at_the_served_path_and_of_nothing_else() {
    let bed = Bed::new();
    let old = bed.file("log.2", TEXT, 200);
    let next = bed.file("log.1", "other", 100);
    let log = bed.file("log", "current", 0);
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(bed.told_name(None, Asked::default()), None);
    let history = Asked { start: Start::History, ..Asked::default() };
    assert_eq!(bed.told_name(None, history), name("log.2"));
    assert_eq!(bed.told_name(Some((log, 3)), Asked::default()), None);
    assert_eq!(bed.told_name(Some((old, 9)), has(9)), name("log.2"));
    assert_eq!(bed.told_name(Some((old, LEN)), has(LEN)), name("log.1"));
    assert_eq!(bed.told_name(Some((next, 5)), Asked::default()), None);
    let gone = Inode::new(log.number() + 1_000_000);
    let lost = Asked { seen_ns: bed.modified("log.2"), ..Asked::default() };
    assert_eq!(bed.told_name(Some((gone, 9)), lost), name("log.1"));
    assert_eq!(bed.told_name(Some((gone, 9)), Asked::default()), None);
}

#[test]
fn a_name_that_is_too_long_is_told_by_its_last_part() {
    let dir = format!("/{}", "d".repeat(PATH_BYTES_MAX - 8));
    assert_eq!(told_as(Path::new(&format!("{dir}/log.1"))), format!("{dir}/log.1").as_bytes());
    assert_eq!(told_as(Path::new(&format!("{dir}/log.123"))), b"/log.123");
}

#[test]
fn a_range_is_proved_by_the_generation_asked_for_and_never_by_its_successor() {
    let bed = Bed::new();
    let old = bed.file("log.1", TEXT, 100);
    let log = bed.file("log", "current content", 0);
    for (from, to) in [(0, LEN), (5, 9), (9, 9), (0, 0), (LEN, LEN)] {
        let same = Ok((File::Same, old, from));
        assert_eq!(bed.prove((old, to), from, Asked::default()), same, "{from} to {to}");
    }
    assert_eq!(bed.prove((log, 7), 3, Asked::default()), Ok((File::Same, log, 3)));
    let id = bed.id("log.1");
    let short = bed.prove((old, LEN + 1), 0, Asked { id, ..Asked::default() });
    assert_eq!(short, Ok((File::Lost(Why::Short), old, 0)));
    let gone = Inode::new(log.number() + 1_000_000);
    assert_eq!(bed.prove((gone, 9), 0, Asked::default()), Ok((File::Lost(Why::Gone), log, 0)));
}

#[test]
fn a_range_is_proved_of_what_has_the_identity_or_either_sample() {
    let bed = Bed::new();
    let old = bed.file("log.1", TEXT, 100);
    bed.file("log", "current content", 0);
    let gone = Inode::new(old.number() + 1_000_000);
    let Asked { tail, head, .. } = has(9);
    for asked in [Asked { tail, ..Asked::default() }, Asked { head, ..Asked::default() }] {
        assert_eq!(bed.prove((gone, 9), 2, asked), Ok((File::Same, old, 2)), "{asked:?}");
    }
    let id = Asked { id: bed.id("log.1"), ..Asked::default() };
    fs::write(bed.base.join("log.1"), "other bytes in the very file").unwrap();
    assert_eq!(bed.prove((old, 9), 2, id), Ok((File::Same, old, 2)));
    let other = Asked { id: Token::parse(b"1.2.3"), ..Asked::default() };
    assert_eq!(bed.prove((old, 9), 2, other), Ok((File::Lost(Why::Gone), old, 0)));
}

#[test]
fn a_rotated_file_that_may_not_be_looked_at_is_stepped_over_and_told_as_lost() {
    let bed = Bed::new();
    let first = bed.file("log.2", TEXT, 300);
    bed.file("log.1", "second\n", 200);
    let third = bed.file("log", "third\n", 100);
    let have = Position { inode: first, offset: LEN };
    let odd = Odd::new(true, Some(("log.1", libc::EACCES)));
    let found = odd.finder(&bed).compare(bed.files.get(0), Some(have), &has(LEN)).unwrap();
    let told = found.answer(Token::of_number(1));
    assert_eq!((told.file, told.inode), (File::Lost(Why::Gone), third));
    let one = odd.finder(&bed).find(bed.files.get(0), Some(have)).unwrap().status;
    assert_eq!((one.verdict, one.inode), (crate::proto::status::Verdict::Lost, third));
    for name in ["log.1", "log"] {
        for error in [libc::EIO, libc::ESTALE] {
            let odd = Odd::new(true, Some((name, error)));
            let refused = odd.finder(&bed).compare(bed.files.get(0), Some(have), &has(LEN));
            assert_eq!(refused.unwrap_err().code, Code::Busy, "{name} {error}");
        }
    }
}

/// Found by the simulation: an empty copy was waiting for a file that was deleted with others after it, and its number
/// was given to the newest. The oldest that was left passed for a copy of it, and nothing was told as lost.
#[test]
fn without_births_a_copy_of_what_was_never_fetched_is_not_skipped() {
    let bed = Bed::new();
    let odd = Odd::new(false, None);
    let log = bed.file("log", "", 300);
    let facts = odd.facts_at(&bed.base.join("log")).unwrap().unwrap();
    let (id, seen_ns) = (Some(Token::of_file(&facts.id)), Some(facts.modified_ns));
    let copy = bed.file("log.1", "a thousand lines\n", 100);
    bed.file("log", "new\n", 50);
    let ask = |have: Position, asked: Asked| {
        let found = odd.finder(&bed).compare(bed.files.get(0), Some(have), &asked).unwrap();
        let told = found.answer(Token::of_number(1));
        (told.file, told.inode, told.from)
    };
    let have = Position { inode: log, offset: 0 };
    let asked = Asked { id, seen_ns, ..Asked::default() };
    // Or the log was deleted, and then others, and its number was given to this one: nobody can tell.
    assert_eq!(ask(have, asked), (File::Lost(Why::Gone), copy, 0));
    // But the older ones would have been deleted before it, and one is there.
    bed.file("log.2", "of the day before\n", 310);
    assert_eq!(ask(have, asked), (File::Same, copy, 0));
    std::fs::remove_file(bed.base.join("log.2")).unwrap();
    // What was changed after all that the log holds was not copied before that.
    bed.aged("log.1", 10);
    assert_eq!(ask(have, asked), (File::Same, log, 0));
    // And what was changed before it was heard of was fetched.
    bed.aged("log.1", 400);
    assert_eq!(ask(have, asked), (File::Same, log, 0));
}

/// The line of a log that has so many.
fn long(word: &str, lines: usize) -> String {
    (0..lines).map(|number| format!("{word} {number}\n")).collect()
}

#[test]
fn a_plain_copy_of_a_log_is_stepped_over_without_a_word() {
    for births in [true, false] {
        let bed = Bed::new();
        let odd = Odd::new(births, None);
        let first = bed.file("log.2", TEXT, 300);
        let log = bed.file("log", &long("line", 1000), 100);
        bed.tick();
        fs::copy(bed.base.join("log"), bed.base.join("log.1")).unwrap();
        bed.aged("log.1", 90);
        bed.file("log", &long("line", 1100), 50);
        let finder = odd.finder(&bed);
        let have = Some(Position { inode: first, offset: LEN });
        let next = finder.compare(bed.files.get(0), have, &has(LEN)).unwrap();
        assert_eq!((next.how, next.facts.id.inode), (File::Next, log.number()));
        let one = finder.find(bed.files.get(0), have).unwrap().status;
        assert_eq!((one.verdict, one.inode), (crate::proto::status::Verdict::Found, log));
        fs::remove_file(bed.base.join("log.2")).unwrap();
        let history = Asked { start: Start::History, ..Asked::default() };
        let oldest = finder.compare(bed.files.get(0), None, &history).unwrap();
        assert_eq!(oldest.facts.id.inode, log.number());
        // Alone it is no successor of what is renamed.
        bed.rename("log", "log.2");
        let facts = odd.facts_at(&bed.base.join("log.2")).unwrap().unwrap();
        assert!(!finder.has_successor(bed.files.get(0), &facts), "{births}");
    }
}

#[test]
fn a_generation_that_has_the_beginning_of_the_next_one_is_no_copy_of_it() {
    let header = "the same header every day\n";
    // Renamed, so the older file has the older generation.
    let bed = Bed::new();
    let first = bed.file("log.2", TEXT, 300);
    let second = bed.file("log.1", &long("line", 1000), 200);
    bed.tick();
    bed.file("log", &long("line", 1100), 0);
    let next = bed.compare(Some((first, LEN)), has(LEN));
    assert_eq!(next, Ok((File::Next, second, 0)));
    // Copied and emptied: short, or as long as it was and written since.
    for (old, new) in [(header, "more\n"), (&*long("line", 1000), "")] {
        let bed = Bed::new();
        let first = bed.file("log.2", TEXT, 300);
        bed.file("log", old, 100);
        bed.tick();
        fs::copy(bed.base.join("log"), bed.base.join("log.1")).unwrap();
        bed.tick();
        let copy = bed.inode("log.1");
        fs::write(bed.base.join("log"), format!("{old}{new}")).unwrap();
        let next = bed.compare(Some((first, LEN)), has(LEN));
        assert_eq!(next, Ok((File::Next, copy, 0)), "{new:?}");
    }
}

#[test]
fn what_is_sent_is_what_was_compared() {
    let bed = Bed::new();
    let logs = DiskLogs::new().unwrap();
    let log = bed.file("log", TEXT, 0);
    let have = Some(Position { inode: log, offset: LEN });
    let found = bed.finder().compare(bed.files.get(0), have, &has(LEN)).unwrap();
    assert_eq!(found.how, File::Same);
    assert!(found.seam.holds(&logs, found.body.file(), LEN).unwrap());
    fs::write(bed.base.join("log"), TEXT.replace("one", "two") + "and more\n").unwrap();
    assert!(!found.seam.holds(&logs, found.body.file(), LEN).unwrap());
}

#[test]
fn what_changes_while_it_is_compared_is_looked_at_again() {
    let bed = Bed::new();
    let mut odd = Odd::new(true, None);
    let log = bed.file("log", TEXT, 0);
    // The first look reads the seam, and then what is compared.
    odd.rewrites = Some((bed.base.join("log"), Cell::new(1)));
    let have = Some(Position { inode: log, offset: LEN });
    let found = odd.finder(&bed).compare(bed.files.get(0), have, &has(LEN)).unwrap();
    assert_eq!((found.how, found.from), (File::Lost(Why::Digest), 0));
}

#[test]
fn what_is_later_is_known_by_the_births_whatever_the_clock_said() {
    let bed = Bed::new();
    bed.file("log.3", "fetched before", 300);
    bed.tick();
    bed.file("lost", TEXT, 200);
    let asked = Asked { id: bed.id("lost"), seen_ns: bed.modified("lost"), ..has(9) };
    bed.tick();
    let log = bed.file("log", "new", 0);
    fs::remove_file(bed.base.join("lost")).unwrap();
    let gone = Inode::new(log.number() + 1_000_000);
    let lost = |inode| Ok((File::Lost(Why::Gone), inode, 0));
    // A line came late to what was fetched.
    bed.aged("log.3", 100);
    assert_eq!(bed.compare(Some((gone, 9)), asked), lost(log));
    // One that was brought back was born out of order: then the times of change count.
    fs::copy(bed.base.join("log.3"), bed.base.join("back")).unwrap();
    bed.rename("back", "log.3");
    let back = bed.aged("log.3", 100);
    assert_eq!(bed.compare(Some((gone, 9)), asked), lost(back));
    fs::remove_file(bed.base.join("log.3")).unwrap();
    // The clock was set back.
    bed.rename("log", "log.1");
    bed.aged("log.1", 3600);
    bed.tick();
    bed.file("log", "newer", 0);
    assert_eq!(bed.compare(Some((gone, 9)), asked), lost(log));
}

/// Found by the simulation: a power loss gave a log other bytes and left its time as it was, and then it was
/// rotated. It was not later than what was heard of, so what it had that was not fetched yet was passed over.
#[test]
fn a_rotated_file_that_has_other_bytes_since_a_power_loss_is_begun_anew_and_not_skipped() {
    for births in [true, false] {
        let (bed, odd) = (Bed::new(), Odd::new(births, None));
        let damaged = bed.file("log.1", &TEXT.replace("the", "\0\0\0"), 100);
        bed.tick();
        let log = bed.file("log", "new", 0);
        let facts = odd.facts_at(&bed.base.join("log.1")).unwrap().unwrap();
        let asked = |age_ns: u64, offset| Asked {
            id: Some(Token::of_file(&facts.id)),
            seen_ns: Some(facts.modified_ns + age_ns),
            ..has(offset)
        };
        let ask = |asked: Asked, offset| {
            let have = Position { inode: damaged, offset };
            let found = odd.finder(&bed).compare(bed.files.get(0), Some(have), &asked).unwrap();
            let told = found.answer(Token::of_number(1));
            (told.file, told.inode, told.from)
        };
        assert_eq!(ask(asked(0, 9), 9), (File::Lost(Why::Digest), damaged, 0), "{births}");
        // With another time, only its birth tells that it is that file.
        let other = if births { damaged } else { log };
        assert_eq!(ask(asked(1, 9), 9), (File::Lost(Why::Digest), other, 0), "{births}");
        // Of fewer bytes than were had none is new.
        fs::write(bed.base.join("log.1"), "cut").unwrap();
        bed.aged("log.1", 100);
        assert_eq!(ask(asked(u64::from(u32::MAX), 9), 9), (File::Lost(Why::Short), log, 0));
    }
}

#[test]
fn what_was_fetched_of_a_log_is_not_fetched_again_because_its_time_is_late() {
    let bed = Bed::new();
    let log = bed.file("log", TEXT, 200);
    let asked = Asked { id: bed.id("log"), seen_ns: bed.modified("log"), ..has(LEN) };
    bed.tick();
    fs::copy(bed.base.join("log"), bed.base.join("log.1")).unwrap();
    // It is being emptied: the size is new, the time is the old one.
    bed.file("log", "", 200);
    let have = Some(Position { inode: log, offset: LEN });
    let next = bed.finder().compare(bed.files.get(0), have, &asked).unwrap();
    let told = next.answer(Token::of_number(1));
    assert_eq!((told.file, told.inode), (File::Next, log));
    assert_eq!(Some(told.mtime_ns), bed.modified("log.1"));
    let heard = Asked { id: Some(told.id), seen_ns: Some(told.mtime_ns), ..Asked::default() };
    assert_eq!(bed.compare(Some((log, 0)), heard), Ok((File::Same, log, 0)));
    bed.file("log", "written since", 0);
    assert_eq!(bed.compare(Some((log, 0)), heard), Ok((File::Same, log, 0)));
}

/// Found by the simulation: as many files were open as may be, so the one that had the bytes could not be opened.
/// It was taken for another, and its generation was told as lost.
#[test]
fn a_file_that_cannot_be_opened_now_is_not_taken_for_another() {
    let bed = Bed::new();
    bed.file("log.1", TEXT, 100);
    let log = bed.file("log", "new\n", 0);
    let have = Some(Position { inode: Inode::new(log.number() + 1_000_000), offset: 9 });
    let mut odd = Odd::new(true, None);
    odd.at_open = Box::new(|path| match path.ends_with("log.1") {
        true => Err(io::Error::from_raw_os_error(libc::EMFILE)),
        false => Ok(()),
    });
    let refused = odd.finder(&bed).compare(bed.files.get(0), have, &has(9));
    assert_eq!(refused.unwrap_err().code, Code::Busy);
}

/// Found by the simulation: as many files were open as may be, so the compressed one that had the number could not
/// be opened. Another that begins with the same bytes was taken for it, and what was between was skipped.
#[test]
fn a_compressed_file_that_cannot_be_opened_now_is_not_taken_for_what_begins_alike() {
    let bed = Bed::new();
    let packed = bed.file("log.1.gz", "whatever", 100);
    bed.file("log", TEXT, 0);
    let have = Some(Position { inode: packed, offset: 9 });
    let mut odd = Odd::new(true, None);
    odd.at_open = Box::new(|path| match path.ends_with("log.1.gz") {
        true => Err(io::Error::from_raw_os_error(libc::EMFILE)),
        false => Ok(()),
    });
    let refused = odd.finder(&bed).compare(bed.files.get(0), have, &has(9));
    assert_eq!(refused.unwrap_err().code, Code::Busy);
}

/// Found by the simulation: the current log followed what was complete, and between its listing and its opening
/// it was copied, emptied and written to. So the generation after it was sent, and its copy skipped.
#[test]
fn a_log_that_is_copied_and_emptied_between_two_looks_is_not_skipped() {
    let bed = Bed::new();
    let first = bed.file("log.1", TEXT, 200);
    bed.tick();
    bed.file("log", "second\n", 100);
    let (base, opened) = (bed.base.clone(), Cell::new(0));
    let mut odd = Odd::new(true, None);
    odd.at_open = Box::new(move |path| {
        opened.set(opened.get() + u32::from(path.ends_with("log")));
        if path.ends_with("log") && opened.get() == 2 {
            fs::rename(base.join("log.1"), base.join("log.2"))?;
            fs::copy(base.join("log"), base.join("log.1"))?;
            fs::write(base.join("log"), "the third one\n")?;
        }
        Ok(())
    });
    let have = Some(Position { inode: first, offset: LEN });
    let found = odd.finder(&bed).compare(bed.files.get(0), have, &has(LEN)).unwrap();
    let told = found.answer(Token::of_number(1));
    assert_eq!((told.file, told.inode, told.size), (File::Next, bed.inode("log.1"), 7));
}
