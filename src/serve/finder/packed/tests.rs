//! Every case of a compressed generation, on a real file system.

use std::fs::{self, File as Disk};
use std::io::Write;

use super::super::content::Match;
use super::super::tests::Bed;
use super::*;
use crate::pos::{Inode, Position, Start, Token};
use crate::proto::answer::{File, Why};
use crate::proto::ask::Extent;
use crate::proto::asked::Asked;
use crate::proto::refusal::Code;

fn text(word: &str, lines: usize) -> Vec<u8> {
    (0..lines).flat_map(|number| format!("{word} {number}\n").into_bytes()).collect()
}

fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(content, 3).unwrap()
}

/// A fetcher that has the first `offset` bytes of `content`, and digests of them.
fn has(content: &[u8], offset: usize) -> Asked {
    let had = &content[..offset];
    Asked {
        head: Sample::of(&had[..had.len().min(4096)]),
        tail: Sample::of(&had[had.len().saturating_sub(65536)..]),
        ..Asked::default()
    }
}

/// How a request is answered: what, from which file, from where, and all that would be sent.
type Told = (File, Inode, Offset, Vec<u8>);

fn read(found: Match<Disk>) -> Told {
    let answer = found.answer(Token::of_number(1));
    let content = match found.body {
        Body::Plain(file) => {
            let mut content = Vec::new();
            std::io::copy(&mut (&file), &mut content).unwrap();
            content.split_off(found.from as usize)
        }
        Body::Packed(_, mut unpacking) => {
            let mut content = Vec::new();
            while unpacking.ending().is_none() {
                unpacking.refill();
                content.extend_from_slice(unpacking.rest());
                unpacking.consume(unpacking.rest().len());
            }
            content
        }
    };
    assert!(answer.size >= answer.from && answer.size <= answer.from + content.len() as u64);
    (answer.file, answer.inode, answer.from, content)
}

impl Bed {
    fn bytes(&self, name: &str, content: &[u8], age: u64) -> Inode {
        fs::write(self.base.join(name), content).unwrap();
        self.aged(name, age)
    }

    fn ask_two(&self, inode: Inode, offset: usize, asked: Asked) -> Result<Told, (Code, String)> {
        let have = Some(Position { inode, offset: offset as u64 });
        let found = self.finder().compare(self.files.get(0), have, &asked);
        found.map(read).map_err(|unserved| (unserved.code, unserved.why))
    }

    fn busy(&self, inode: Inode, offset: usize, asked: Asked) {
        let (code, why) = self.ask_two(inode, offset, asked).unwrap_err();
        assert_eq!(code, Code::Busy);
        assert!(why.ends_with(" is being compressed"), "{why}");
    }
}

#[test]
fn a_generation_goes_on_in_what_it_was_compressed_to() {
    let bed = Bed::new();
    let old = text("old", 60_000);
    for (name, packed) in [("log.1.gz", gzipped(&old)), ("log.1.zst", zstd(&old))] {
        let gone = Inode::new(bed.bytes("gone", b"", 0).number() + 1_000_000);
        let there = bed.bytes(name, &packed, 100);
        let log = bed.bytes("log", b"new\n", 0);
        for offset in [1, 5000, 70_000, 300_000, old.len() - 1] {
            let told = bed.ask_two(gone, offset, has(&old, offset)).unwrap();
            assert_eq!((told.0, told.1, told.2), (File::Same, there, offset as u64));
            assert!(told.3 == old[offset..], "{name} at {offset}");
        }
        let whole = bed.ask_two(gone, old.len(), has(&old, old.len())).unwrap();
        assert_eq!(whole, (File::Next, log, 0, b"new\n".to_vec()), "{name}");
        fs::remove_file(bed.base.join(name)).unwrap();
    }
}

#[test]
fn a_compressed_file_is_asked_for_again_by_its_own_number_and_identity() {
    let bed = Bed::new();
    let old = text("old", 1000);
    let there = bed.bytes("log.1.gz", &gzipped(&old), 100);
    bed.bytes("log", b"new\n", 0);
    let have = |offset| Some(Position { inode: there, offset });
    let found = bed.finder().compare(bed.files.get(0), have(7), &Asked::default()).unwrap();
    let id = Some(Token::of_packed_file(&found.facts.id));
    for asked in [Asked::default(), Asked { id, ..Asked::default() }] {
        let told = bed.ask_two(there, 7, asked).unwrap();
        assert_eq!(told, (File::Same, there, 7, old[7..].to_vec()));
    }
    let other = Asked { id: Token::parse(b"1.2.3"), ..Asked::default() };
    assert_eq!(bed.ask_two(there, 7, other).unwrap().0, File::Lost(Why::Gone));
    let short = bed.ask_two(there, old.len() + 1, Asked { id, ..Asked::default() });
    assert_eq!(short.unwrap().0, File::Lost(Why::Short));
    let wrong = bed.ask_two(there, 7, Asked { tail: Sample::of(b"x"), ..Asked::default() });
    assert_eq!(wrong.unwrap().0, File::Lost(Why::Digest));
}

#[test]
fn bytes_that_protocol_1_masked_are_known_in_a_compressed_file() {
    let bed = Bed::new();
    let old = [text("old\x07", 20_000), vec![7; 10], text("more", 10)].concat();
    let there = bed.bytes("log.1.gz", &gzipped(&old), 100);
    bed.bytes("log", b"new\n", 0);
    let mut masked = old.clone();
    mask(&mut masked);
    for copy in [&old, &masked] {
        let told = bed.ask_two(Inode::new(1), old.len() - 3, has(copy, old.len() - 3)).unwrap();
        assert_eq!((told.0, told.1), (File::Same, there));
    }
    let mut other = masked;
    other[10] ^= 1;
    let told = bed.ask_two(Inode::new(1), old.len() - 3, has(&other, old.len() - 3)).unwrap();
    assert_eq!(told.0, File::Lost(Why::Gone));
}

#[test]
fn compressed_successors_come_in_order_and_history_begins_with_them() {
    let bed = Bed::new();
    let contents: Vec<Vec<u8>> = (0..4).map(|number| text(&format!("{number}"), 3000)).collect();
    let chain = [
        bed.bytes("log.3.gz", &gzipped(&contents[0]), 300),
        bed.bytes("log.2.zst", &zstd(&contents[1]), 200),
        bed.bytes("log.1", &contents[2], 100),
        bed.bytes("log", &contents[3], 0),
    ];
    for at in 0..3 {
        let asked = has(&contents[at], contents[at].len());
        let next = bed.ask_two(chain[at], contents[at].len(), asked).unwrap();
        assert_eq!(next, (File::Next, chain[at + 1], 0, contents[at + 1].clone()));
    }
    let history = Asked { start: Start::History, ..Asked::default() };
    let first = bed.finder().compare(bed.files.get(0), None, &history).unwrap();
    assert_eq!(read(first), (File::First, chain[0], 0, contents[0].clone()));
    let seen = Asked { seen_ns: bed.modified("log.3.gz"), ..Asked::default() };
    let lost = bed.ask_two(Inode::new(1), 7, seen).unwrap();
    assert_eq!(lost, (File::Lost(Why::Gone), chain[1], 0, contents[1].clone()));
}

/// Found by the simulation: a host lost power while it compressed a log, which was there again after that, and was
/// compressed once more, to another format. The fetcher got it twice.
#[test]
fn one_that_was_compressed_to_two_formats_is_not_sent_twice() {
    for (age, again) in [(100, false), (90, true)] {
        let bed = Bed::new();
        let old = text("old", 100);
        let there = bed.bytes("log.1.gz", &gzipped(&old), 100);
        let twin = bed.bytes("log.1.zst", &zstd(&old), age);
        if !again {
            let time = fs::metadata(bed.base.join("log.1.gz")).unwrap().modified().unwrap();
            let twin = Disk::options().write(true).open(bed.base.join("log.1.zst")).unwrap();
            twin.set_modified(time).unwrap();
        }
        let log = bed.bytes("log", b"new", 0);
        let next = bed.ask_two(there, old.len(), has(&old, old.len())).unwrap();
        assert_eq!((next.0, next.1), (File::Next, if again { twin } else { log }));
    }
}

#[test]
fn an_empty_generation_that_was_compressed_is_one() {
    let bed = Bed::new();
    let old = bed.bytes("log.2", b"old", 200);
    let empty = bed.bytes("log.1.gz", &gzipped(b""), 100);
    let log = bed.bytes("log", b"new", 0);
    assert_eq!(bed.ask_two(old, 3, has(b"old", 3)).unwrap(), (File::Next, empty, 0, vec![]));
    let next = bed.ask_two(empty, 0, Asked::default()).unwrap();
    assert_eq!(next, (File::Next, log, 0, b"new".to_vec()));
}

#[test]
fn one_that_is_being_compressed_is_waited_for() {
    let old = text("old", 5000);
    let packed = gzipped(&old);
    for cut in [0, 5, packed.len() / 2, packed.len() - 1] {
        let bed = Bed::new();
        let first = bed.bytes("log.2", b"first", 200);
        // Left alone long ago, but open: by whoever writes it.
        bed.bytes("log.1.gz", &packed[..cut], 100);
        bed.bytes("log", b"new", 0);
        let writer = Disk::options().append(true).open(bed.base.join("log.1.gz")).unwrap();
        bed.busy(Inode::new(1), old.len(), has(&old, old.len()));
        if cut < 10 {
            bed.busy(first, 5, has(b"first", 5));
        }
        drop(writer);
        // Nobody has it open, but it was written to just now.
        bed.aged("log.1.gz", 1);
        bed.busy(Inode::new(1), old.len(), has(&old, old.len()));
        // While the plain file is there it counts.
        let plain = bed.bytes("log.1", &old, 100);
        let told = bed.ask_two(first, 5, has(b"first", 5)).unwrap();
        assert_eq!(told, (File::Next, plain, 0, old.clone()));
    }
}

#[test]
fn one_that_is_being_compressed_is_no_reason_to_wait_for_what_is_elsewhere() {
    let bed = Bed::new();
    let old = text("old", 5000);
    let there = bed.bytes("log.2", &old, 200);
    bed.bytes("log.3.gz", &gzipped(&old)[..50], 1);
    bed.bytes("log", b"new", 0);
    let asked = Asked { seen_ns: bed.modified("log.3.gz"), ..has(&old, 4000) };
    assert_eq!(bed.ask_two(Inode::new(1), 4000, asked).unwrap().1, there);
}

#[test]
fn of_a_damaged_one_what_is_before_the_damage_is_served_and_then_it_is_gone() {
    let bed = Bed::new();
    let old = text("old", 60_000);
    let packed = gzipped(&old);
    bed.bytes("log.1.gz", &packed[..packed.len() / 2], 100);
    let log = bed.bytes("log", b"new", 0);
    let told = bed.ask_two(Inode::new(1), 9, has(&old, 9)).unwrap();
    assert_eq!(told.0, File::Same);
    let readable = 9 + told.3.len();
    assert!(readable > 1000 && old[9..].starts_with(&told.3));
    for offset in [readable - 1, readable - 256] {
        let told = bed.ask_two(Inode::new(1), offset, has(&old, offset)).unwrap();
        assert_eq!((told.0, told.3.len()), (File::Same, readable - offset));
    }
    for offset in [readable, readable + 1, old.len()] {
        let told = bed.ask_two(Inode::new(1), offset, has(&old, offset)).unwrap();
        assert_eq!(told, (File::Lost(Why::Gone), log, 0, b"new".to_vec()), "{offset}");
    }
}

#[test]
fn one_of_which_nothing_can_be_read_is_stepped_over_and_told_as_lost() {
    for garbage in [&b""[..], b"garbage", b"\x1f\x8b\x08", &gzipped(b"x")[..10]] {
        let bed = Bed::new();
        let old = bed.bytes("log.2", b"old", 200);
        bed.bytes("log.1.gz", garbage, 100);
        let log = bed.bytes("log", b"new", 0);
        let lost = bed.ask_two(old, 3, has(b"old", 3)).unwrap();
        assert_eq!(lost, (File::Lost(Why::Gone), log, 0, b"new".to_vec()), "{garbage:?}");
    }
}

#[test]
fn a_complete_one_without_a_successor_is_not_served_again_and_again() {
    let bed = Bed::new();
    let old = text("old", 100);
    bed.bytes("log.1.gz", &gzipped(&old), 100);
    let (code, _) = bed.ask_two(Inode::new(1), old.len(), has(&old, old.len())).unwrap_err();
    assert_eq!(code, Code::Missing);
    let log = bed.bytes("log", b"new", 0);
    assert_eq!(bed.ask_two(Inode::new(1), old.len(), has(&old, old.len())).unwrap().1, log);
}

#[test]
fn a_range_of_a_compressed_generation_is_proved_from_its_beginning() {
    let bed = Bed::new();
    let old = text("old", 5000);
    let there = bed.bytes("log.1.gz", &gzipped(&old), 100);
    bed.bytes("log", b"new", 0);
    let to = Position { inode: there, offset: 4000 };
    for asked in [Asked::default(), has(&old, 4000)] {
        let extent = Extent { path: b"/".to_vec(), from: 300, to, asked };
        let found = bed.finder().prove(bed.files.get(0), &extent).unwrap();
        let answer = found.answer(Token::of_number(1));
        answer.check_range(300, 4000).unwrap();
        assert_eq!((answer.file, answer.inode), (File::Same, there));
        let Body::Packed(_, mut unpacking) = found.body else { panic!("it is compressed") };
        unpacking.refill();
        assert!(old.starts_with(unpacking.rest()) && unpacking.rest().len() > 4000);
    }
}

#[test]
fn protocol_1_steps_over_what_is_compressed() {
    let bed = Bed::new();
    let old = bed.bytes("log.2", b"old", 200);
    bed.bytes("log.1.gz", &gzipped(b"between"), 100);
    let log = bed.bytes("log", b"new", 0);
    let have = Some(Position { inode: old, offset: 3 });
    let found = bed.finder().find(bed.files.get(0), have).unwrap();
    let status = found.status;
    assert_eq!((status.verdict, status.inode), (crate::proto::status::Verdict::Lost, log));
}

/// Found by the simulation: a generation was fetched to its end out of a compressed file, and that was deleted.
/// The file's birth, at which it was compressed, after the next generations began, was taken for that of the
/// generation: they were skipped, though they were there.
#[test]
fn what_is_later_than_a_compressed_generation_is_not_known_by_the_birth_of_its_file() {
    let bed = Bed::new();
    let (old, new) = (text("old", 10), text("new", 10));
    let next = bed.bytes("log.1", &new, 100);
    bed.tick();
    bed.bytes("log", b"newest\n", 0);
    bed.tick();
    let packed = bed.bytes("log.2.gz", &gzipped(&old), 200);
    let have = Position { inode: packed, offset: old.len() as u64 - 1 };
    let asked = has(&old, old.len() - 1);
    let found = bed.finder().compare(bed.files.get(0), Some(have), &asked).unwrap();
    let told = found.answer(Token::of_number(1));
    let asked = Asked { id: Some(told.id), seen_ns: Some(told.mtime_ns), ..has(&old, old.len()) };
    fs::remove_file(bed.base.join("log.2.gz")).unwrap();
    let follows = bed.ask_two(packed, old.len(), asked).unwrap();
    assert_eq!(follows, (File::Lost(Why::Gone), next, 0, new));
}

/// Found by the simulation: a log of which nothing was durable was rotated and compressed, with its time kept.
/// Only what was changed after the time that was heard of counted as later, so its bytes were told as lost, and
/// the next one was sent.
#[test]
fn a_compressed_generation_of_which_nothing_is_durable_is_sent_whole() {
    let bed = Bed::new();
    let old = text("old", 1000);
    let gone = Inode::new(bed.bytes("gone", b"", 0).number() + 1_000_000);
    let there = bed.bytes("log.1.gz", &gzipped(&old), 100);
    bed.bytes("log", b"new\n", 0);
    let seen_ns = bed.modified("log.1.gz");
    let told = bed.ask_two(gone, 0, Asked { seen_ns, ..Asked::default() }).unwrap();
    assert!(told == (File::Lost(Why::Gone), there, 0, old.clone()), "{:?}", (told.0, told.1));
    // Who has something of it was told nothing of its content that is right here.
    let asked = Asked { seen_ns, ..has(&text("other", 1000), 100) };
    let told = bed.ask_two(gone, 100, asked).unwrap();
    assert_eq!(told.3, b"new\n");
}

/// Found by the simulation: a log was copied and emptied, the copy was followed, and compressed before anything of
/// it was durable at the fetcher. All rotated files were taken for older than what was lost, since the log stands
/// behind them and its file is older than the copy: so what was left of the copy was skipped.
#[test]
fn a_log_that_was_emptied_in_place_does_not_say_that_what_was_rotated_is_older() {
    let bed = Bed::new();
    bed.bytes("log", b"new\n", 0);
    bed.tick();
    let copy = bed.bytes("log.1", &text("old", 1000), 100);
    let asked = Asked { id: bed.id("log.1"), seen_ns: bed.modified("log.1"), ..Asked::default() };
    let there = bed.bytes("log.1.gz", &gzipped(&text("old", 1000)), 0);
    let packed = std::fs::File::options().write(true).open(bed.base.join("log.1.gz")).unwrap();
    let plain = std::fs::metadata(bed.base.join("log.1")).unwrap();
    packed.set_modified(plain.modified().unwrap()).unwrap();
    std::fs::remove_file(bed.base.join("log.1")).unwrap();
    let is_sent = || {
        let told = bed.ask_two(copy, 0, asked).unwrap();
        assert!(told == (File::Lost(Why::Gone), there, 0, text("old", 1000)), "{:?}", told.1);
    };
    is_sent();
    // Nor does it once it is a rotated one itself.
    bed.rename("log.1.gz", "log.2.gz");
    bed.rename("log", "log.1");
    bed.tick();
    bed.bytes("log", b"newer\n", 0);
    is_sent();
}

/// Found by the simulation: a log of which nothing was durable at the fetcher was copied, the copy compressed and
/// the log emptied. The log had the number and the identity asked for, and only plain copies were looked at: the
/// compressed one was skipped.
#[test]
fn a_log_of_which_nothing_is_durable_is_found_in_what_its_copy_was_compressed_to() {
    let bed = Bed::new();
    let old = text("old", 1000);
    bed.bytes("log.2.gz", &gzipped(&text("older", 1000)), 300);
    let there = bed.bytes("log.1.gz", &gzipped(&old), 100);
    let log = bed.bytes("log", &text("new", 1000), 200);
    let asked = Asked { id: bed.id("log"), seen_ns: bed.modified("log"), ..Asked::default() };
    let goes_on = [text("new", 10), Vec::new(), text("new", 1000), text("new", 5000)];
    for now in goes_on {
        bed.bytes("log", &now, 0);
        let told = bed.ask_two(log, 0, asked).unwrap();
        assert!(told == (File::Same, there, 0, old.clone()), "{:?}", (told.0, told.1));
    }
    // It goes on as its copy begins: it has lost nothing.
    bed.bytes("log", &text("old", 2000), 0);
    let told = bed.ask_two(log, 0, asked).unwrap();
    assert!(told == (File::Same, log, 0, text("old", 2000)), "{:?}", (told.0, told.1));
}
