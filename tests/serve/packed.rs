//! Compressed generations, as a fetcher of protocol 2 sees them.

use std::io::Cursor;

use fetchlogs::pos::{Inode, Position, Start};
use fetchlogs::proto::answer::File as How;
use fetchlogs::proto::asked::{Asked, Sample};
use fetchlogs::proto::frame::{Event, Reason};

use super::two::Reader;
use super::*;

/// Zeros in many members, each of a MiB.
fn gzipped_zeros(len: usize) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    encoder.finish().unwrap().repeat(len >> 20)
}

/// Lines that are not made much smaller.
fn lines(count: u64) -> Vec<u8> {
    let line = |n: u64| format!("{:x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (0..count).map(line).collect::<String>().into_bytes()
}

fn gone(offset: u64) -> Option<Position> {
    Some(Position { inode: Inode::new(1), offset })
}

fn history() -> Asked {
    Asked { start: Start::History, ..Asked::default() }
}

impl Reader {
    /// Reads data up to `len` bytes, all of them zeros; gives how much came.
    fn zeros(&mut self, len: usize) -> usize {
        let mut count = 0;
        while count < len {
            match self.event() {
                Some((Event::Data(_), data)) => {
                    assert!(data.iter().all(|&byte| byte == 0));
                    count += data.len();
                }
                other => panic!("{other:?} after {count} bytes"),
            }
        }
        count
    }
}

#[test]
fn a_compressed_generation_is_sent_and_then_the_next_is_named() {
    let old = b"old and compressed\n";
    let packed = zstd::stream::encode_all(Cursor::new(old), 3).unwrap();
    let bed = Bed::with(HINTS_ONLY, &[("log.1.zst", &packed), ("log", b"new\n")]);
    let mut first = bed.read(None, history());
    assert_eq!(first.answer.file, How::First);
    let name = bed.dir.path("log.1.zst").into_os_string().into_encoded_bytes();
    assert_eq!(first.answer.name, Some(name));
    assert_eq!(first.until_word(), (old.to_vec(), Some(Event::Close(Reason::Rotated))));
    assert_eq!(first.event(), None);
    let asked = Asked { id: Some(first.answer.id), tail: Sample::of(old), ..Asked::default() };
    let have = Position { inode: first.answer.inode, offset: old.len() as u64 };
    let mut next = bed.read(Some(have), asked);
    assert_eq!(next.answer.file, How::Next);
    next.expect_all(b"new\n");
}

#[test]
fn lines_are_sent_at_once_while_a_large_compressed_generation_is_unpacked() {
    const LEN: usize = 200 << 20;
    let bed = Bed::with(HINTS_ONLY, &[("log.1.gz", &gzipped_zeros(LEN)), ("log", b"one\n")]);
    let mut live = bed.first();
    live.expect_all(b"one\n");
    let mut large = bed.read(None, history());
    let mut read = 0;
    for number in 0..50 {
        read += large.zeros(1 << 20);
        let line = format!("line {number}\n").into_bytes();
        bed.dir.append("log", &line);
        assert_eq!(live.event().unwrap().1, line);
    }
    read += large.zeros(LEN - read);
    assert_eq!((read, large.frames.offset()), (LEN, LEN as u64));
    large.expect_end(Reason::Rotated);
}

#[test]
fn a_search_in_a_large_compressed_generation_says_that_it_works_and_goes_on_from_there() {
    const LEN: usize = 64 << 20;
    let bed = Bed::with(HINTS_ONLY, &[("log.1.gz", &gzipped_zeros(LEN)), ("log", b"one\n")]);
    let offset = LEN - 1000;
    let asked = Asked { tail: Sample::of(&[0; 4096]), ..Asked::default() };
    let mut peer = bed.connect();
    peer.send(bed.request(gone(offset as u64), asked));
    let mut reader = Reader::new(peer);
    assert_eq!((reader.answer.file, reader.answer.from), (How::Same, offset as u64));
    assert_eq!(reader.until_word(), (vec![0; 1000], Some(Event::Close(Reason::Rotated))));
}

#[test]
fn only_so_many_are_unpacked_at_once_and_the_others_are_told_to_ask_again() {
    const LEN: usize = 64 << 20;
    let bed = Bed::with(HINTS_ONLY, &[("log.1.gz", &gzipped_zeros(LEN)), ("log", b"one\n")]);
    let log = bed.dir.path("log");
    let request = format!("{} 0 0 +2 start=history\n", log.display());
    // None of them reads to the end.
    let readers: Vec<Reader> = (0..16).map(|_| bed.read(None, history())).collect();
    let busy = bed.refused(&request);
    assert!(busy.text().ends_with("16 compressed files are being read"), "{}", busy.text());
    bed.first().expect_all(b"one\n");
    drop(readers);
    wait_until("they are gone", || {
        let mut peer = bed.connect();
        peer.send(&request);
        let mut letter = [0];
        peer.0.read_exact(&mut letter).unwrap();
        letter == *b"O"
    });
}

#[test]
fn one_that_is_being_compressed_is_waited_for() {
    let old = lines(100_000);
    let packed = zstd::stream::encode_all(Cursor::new(&old), 3).unwrap();
    let (begin, rest) = packed.split_at(packed.len() / 2);
    let bed = Bed::with(HINTS_ONLY, &[("log.1.zst", b""), ("log", b"new\n")]);
    let log = bed.dir.path("log").display().to_string();
    let busy = bed.refused(&format!("{log} 0 0 +2 start=history\n"));
    assert!(busy.text().ends_with("log.1.zst is being compressed"), "{}", busy.text());
    let mut writer = File::options().append(true).open(bed.dir.path("log.1.zst")).unwrap();
    writer.write_all(begin).unwrap();
    // What is there of it is sent; but that it ends is not said.
    let mut early = bed.read(None, history());
    let (content, word) = early.until_word();
    assert!(old.starts_with(&content) && word.is_none() && content.len() > 100_000);
    writer.write_all(rest).unwrap();
    drop(writer);
    let mut whole = bed.read(None, history());
    assert!(whole.until_word() == (old, Some(Event::Close(Reason::Rotated))));
}

#[test]
fn a_damaged_one_is_sent_to_its_damage_and_is_lost_behind_it() {
    let old = lines(100_000);
    let mut packed = zstd::stream::encode_all(Cursor::new(&old), 3).unwrap();
    packed.truncate(packed.len() - 2);
    let bed = Bed::with("linger 1s\ncheck 1h\n", &[("log.1.zst", &packed), ("log", b"new\n")]);
    let file = File::options().append(true).open(bed.dir.path("log.1.zst")).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(100)).unwrap();
    drop(file);
    let mut reader = bed.read(None, history());
    let (content, word) = reader.until_word();
    assert!(old.starts_with(&content) && content.len() > 100_000);
    assert_eq!(word, Some(Event::Close(Reason::Truncated)));
    let have = Position { inode: reader.answer.inode, offset: content.len() as u64 };
    let asked = Asked { id: Some(reader.answer.id), ..Asked::default() };
    let mut next = bed.read(Some(have), asked);
    assert!(matches!(next.answer.file, How::Lost(_)), "{:?}", next.answer);
    next.expect_all(b"new\n");
    bed.program.complained("log.1.zst, the rest of it is lost: ");
}
