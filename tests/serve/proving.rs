//! Digests of ranges, as a fetcher sees them.

use fetchlogs::pos::{Inode, Position, Token};
use fetchlogs::proto::answer::{Answer, File as How, Why};
use fetchlogs::proto::ask::{Ask, Extent, emit_ask, parse_ask};
use fetchlogs::proto::asked::{Asked, Sample};
use fetchlogs::proto::digest::{Digester, Whole};
use fetchlogs::proto::fetch::Ear;
use fetchlogs::proto::frame::{Event, Frames};
use fetchlogs::proto::status::Reply;

use super::*;

/// What came of a question: the answer, and the digest if there was one.
struct Told {
    answer: Answer,
    sum: Option<Whole>,
}

impl Bed {
    fn extent(&self, inode: u64, from: u64, to: u64, asked: Asked) -> Ask {
        let path = self.dir.path("log").into_os_string().into_encoded_bytes();
        let to = Position { inode: Inode::new(inode), offset: to };
        Ask::Digest(Box::new(Extent { path, from, to, asked }))
    }

    fn prove(&self, inode: u64, from: u64, to: u64, asked: Asked) -> Told {
        let ask = self.extent(inode, from, to, asked);
        let mut peer = self.connect();
        peer.send(emit_ask(&ask));
        let stream = peer.rest();
        let mut ear = Ear::after(&parse_ask(emit_ask(&ask).trim_ascii_end()).unwrap());
        let mut at = 0;
        let answer = loop {
            let (used, reply) = ear.handle_peeked(&stream[at..]).unwrap();
            at += used;
            match reply {
                Some(Reply::Two(answer)) => break *answer,
                Some(Reply::Working) => {}
                other => panic!("{other:?}"),
            }
        };
        let mut told = Told { answer, sum: None };
        let mut frames = Frames::proving(from, to);
        while let Some(event) = frames.poll_event(&stream, &mut at).unwrap() {
            match event {
                Event::Heartbeat { .. } => {}
                Event::Sum(whole) => told.sum = Some(whole),
                other => panic!("{other:?}"),
            }
        }
        told
    }
}

#[test]
fn a_range_is_proved_by_its_digest() {
    let content: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    let bed = Bed::with(HINTS_ONLY, &[("log", &content)]);
    let inode = bed.dir.inode("log");
    for (from, to) in [(0, 200_000), (7, 9), (100_000, 200_000), (5, 5), (0, 0), (200_000, 200_000)]
    {
        let told = bed.prove(inode, from, to, Asked::default());
        assert_eq!((told.answer.file, told.answer.from), (How::Same, from));
        let range = &content[from as usize..to as usize];
        assert_eq!(told.sum, Some(Whole::of(range)), "{from} to {to}");
    }
}

#[test]
fn a_complete_generation_is_proved_itself_and_one_that_is_gone_by_its_copy() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"old and complete\n")]);
    let inode = bed.dir.inode("log");
    bed.dir.rename("log", "log.1");
    bed.dir.write("log", "new\n");
    let told = bed.prove(inode, 0, 17, Asked::default());
    assert_eq!((told.answer.file, told.sum), (How::Same, Some(Whole::of(b"old and complete\n"))));
    fs::copy(bed.dir.path("log.1"), bed.dir.path("log.2")).unwrap();
    let copy = bed.dir.inode("log.2");
    fs::remove_file(bed.dir.path("log.1")).unwrap();
    let asked = Asked { tail: Sample::of(b"complete\n"), ..Asked::default() };
    let told = bed.prove(inode, 4, 17, asked);
    assert_eq!(told.answer.inode.number(), copy);
    assert!(told.answer.name.is_some());
    assert_eq!(told.sum, Some(Whole::of(b"and complete\n")));
}

#[test]
fn what_is_not_there_or_too_short_is_lost_and_nothing_follows() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"short\n")]);
    let inode = bed.dir.inode("log");
    let told = bed.prove(inode, 0, 7, Asked::default());
    assert_eq!((told.answer.file, told.sum), (How::Lost(Why::Short), None));
    let told = bed.prove(inode + 1_000_000, 0, 4, Asked::default());
    assert_eq!((told.answer.file, told.sum), (How::Lost(Why::Gone), None));
    let asked = Asked { id: Token::parse(b"another"), ..Asked::default() };
    let told = bed.prove(inode, 0, 4, asked);
    assert_eq!((told.answer.file, told.sum), (How::Lost(Why::Gone), None));
}

#[test]
fn a_long_range_is_proved_piece_by_piece_and_holds_up_nobody() {
    const LEN: u64 = 96 << 20;
    let bed = Bed::with(HINTS_ONLY, &[("log", b"")]);
    File::options().write(true).open(bed.dir.path("log")).unwrap().set_len(LEN).unwrap();
    let inode = bed.dir.inode("log");
    std::thread::scope(|scope| {
        let proof = scope.spawn(|| bed.prove(inode, 0, LEN, Asked::default()));
        // The first of a crowd is still read when the last is answered.
        for _ in 0..20 {
            let told = bed.prove(inode, 3, 9, Asked::default());
            assert_eq!(told.sum, Some(Whole::of(&[0; 6])));
        }
        let told = proof.join().unwrap();
        let mut digester = Digester::new();
        (0..LEN >> 20).for_each(|_| digester.update(&[0; 1 << 20]));
        assert_eq!(told.sum, Some(digester.whole()));
    });
}

#[test]
fn a_range_of_a_compressed_generation_is_proved_of_what_it_held() {
    let old: Vec<u8> = (0..20_000_000u32).map(|n| (n / 7 % 251) as u8).collect();
    let packed = zstd::stream::encode_all(std::io::Cursor::new(&old), 1).unwrap();
    let bed = Bed::with(HINTS_ONLY, &[("log.1.zst", &packed), ("log", b"new\n")]);
    let inode = bed.dir.inode("log.1.zst");
    let end = old.len() as u64;
    for (from, to) in [(0, end), (end - 1, end), (17_000_000, 18_000_000), (5, 5)] {
        let told = bed.prove(inode, from, to, Asked::default());
        assert_eq!(told.answer.file, How::Same);
        let range = &old[from as usize..to as usize];
        assert_eq!(told.sum, Some(Whole::of(range)), "{from} to {to}");
    }
    let told = bed.prove(inode, 0, end + 1, Asked::default());
    assert_eq!((told.answer.file, told.sum), (How::Lost(Why::Short), None));
}
