//! Protocol 2, as a fetcher of it sees it.

use fetchlogs::pos::{Inode, Offset, Position};
use fetchlogs::proto::ack::emit_ack;
use fetchlogs::proto::answer::{Answer, File as How, Why};
use fetchlogs::proto::asked::{Asked, Sample};
use fetchlogs::proto::frame::{Event, Frames, Reason};
use fetchlogs::proto::refusal::{Code, Refusal};
use fetchlogs::proto::request::{Request, emit_request};
use fetchlogs::proto::status::{Reply, parse_reply};

use super::*;

/// A fetcher of protocol 2 that was answered.
pub struct Reader {
    peer: Peer,
    pub answer: Answer,
    pub frames: Frames,
    /// What arrived, and how much of it was understood.
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    pub fn new(mut peer: Peer) -> Reader {
        let answer = loop {
            match reply(&mut peer) {
                Reply::Two(answer) => break *answer,
                Reply::Working => {}
                other => panic!("{other:?}"),
            }
        };
        let frames = Frames::following(answer.from);
        Reader { peer, answer, frames, bytes: Vec::new(), at: 0 }
    }

    /// What comes next; nothing at the end of the connection.
    pub fn event(&mut self) -> Option<(Event, Vec<u8>)> {
        loop {
            if let Some(event) = self.frames.poll_event(&self.bytes, &mut self.at).unwrap() {
                let data = match &event {
                    Event::Data(range) => self.bytes[range.clone()].to_vec(),
                    _ => Vec::new(),
                };
                return Some((event, data));
            }
            (self.bytes, self.at) = (vec![0; 1 << 16], 0);
            let count = self.peer.0.read(&mut self.bytes).unwrap();
            self.bytes.truncate(count);
            if count == 0 {
                return None;
            }
        }
    }

    /// All data until something else is said, and that.
    pub fn until_word(&mut self) -> (Vec<u8>, Option<Event>) {
        let mut content = Vec::new();
        loop {
            match self.event() {
                Some((Event::Data(_), data)) => content.extend(data),
                other => return (content, other.map(|(event, _)| event)),
            }
        }
    }

    /// Expects this content, and a heartbeat that says that it was all.
    pub fn expect_all(&mut self, content: &[u8]) {
        let (data, word) = self.until_word();
        assert!(data == content, "{}", data.escape_ascii());
        let end = self.frames.offset();
        assert!(matches!(word, Some(Event::Heartbeat { size, .. }) if size == end), "{word:?}");
    }

    /// Expects the end, and that nothing is behind it.
    pub fn expect_end(&mut self, reason: Reason) {
        assert_eq!(self.until_word(), (Vec::new(), Some(Event::Close(reason))));
        assert_eq!(self.event(), None);
    }
}

/// The status line.
fn reply(peer: &mut Peer) -> Reply {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        peer.0.read_exact(&mut byte).unwrap();
        if byte == *b"\n" {
            return parse_reply(&line).unwrap();
        }
        line.push(byte[0]);
    }
}

impl Bed {
    pub fn request(&self, have: Option<Position>, asked: Asked) -> Vec<u8> {
        let path = self.dir.path("log").into_os_string().into_encoded_bytes();
        emit_request(&Request { path, have, two: Some(Box::new(asked)) })
    }

    pub fn read(&self, have: Option<Position>, asked: Asked) -> Reader {
        let mut peer = self.connect();
        peer.send(self.request(have, asked));
        Reader::new(peer)
    }

    pub fn first(&self) -> Reader {
        self.read(None, Asked::default())
    }

    pub fn refused(&self, request: &str) -> Refusal {
        let mut peer = self.connect();
        peer.send(request);
        let refusal = match reply(&mut peer) {
            Reply::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        };
        assert_eq!(peer.rest(), b"");
        refusal
    }
}

/// What a fetcher says that has the bytes `content`, given this answer before.
fn having(answer: &Answer, content: &[u8]) -> (Option<Position>, Asked) {
    let have = Position { inode: answer.inode, offset: content.len() as Offset };
    let asked = Asked {
        id: Some(answer.id),
        tail: Sample::of(content),
        seen_ns: Some(answer.mtime_ns),
        ..Asked::default()
    };
    (Some(have), asked)
}

fn every_byte() -> Vec<u8> {
    (0..=255).chain(*b"\n\x07\n").collect()
}

#[test]
fn every_byte_arrives_as_it_is_and_the_end_is_told() {
    let content = every_byte();
    let bed = Bed::with(HINTS_ONLY, &[("log", &content)]);
    let mut reader = bed.first();
    let Answer { inode, file, from, size, .. } = reader.answer.clone();
    assert_eq!((inode, file), (Inode::new(bed.dir.inode("log")), How::First));
    assert_eq!((from, size), (0, content.len() as Offset));
    reader.expect_all(&content);
    for byte in 0..=255 {
        bed.dir.append("log", [byte]);
        assert_eq!(reader.event().unwrap().1, [byte], "at once, and no heartbeat before");
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"one\ntwo\n")]);
    let (have, asked) = having(&bed.first().answer, b"one\n");
    let mut peer = bed.connect();
    for byte in bed.request(have, asked) {
        peer.send([byte]);
    }
    let mut reader = Reader::new(peer);
    assert_eq!((reader.answer.file, reader.answer.from), (How::Same, 4));
    reader.expect_all(b"two\n");
}

#[test]
fn a_large_file_arrives_whole_however_slowly_it_is_read() {
    let content: Vec<u8> =
        (0..9_000_000u32).map(|n| (n.wrapping_mul(2654435761) >> 24) as u8).collect();
    let bed = Bed::with(HINTS_ONLY, &[("log", &content)]);
    let mut reader = bed.first();
    bed.first().expect_all(&content);
    reader.expect_all(&content);
}

#[test]
fn a_rotated_generation_ends_with_its_offset_and_the_next_is_named_after_it() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"old\n")]);
    let mut reader = bed.first();
    reader.expect_all(b"old\n");
    let mut writer = File::options().append(true).open(bed.dir.path("log")).unwrap();
    bed.dir.rename("log", "log.1");
    bed.dir.write("log", "new\n");
    writer.write_all(b"late\n").unwrap();
    assert_eq!(reader.event().unwrap().1, b"late\n");
    drop(writer);
    reader.expect_end(Reason::Rotated);
    assert_eq!(reader.frames.offset(), 9);
    let (have, asked) = having(&reader.answer, b"old\nlate\n");
    let mut next = bed.read(have, asked);
    assert_eq!(next.answer.file, How::Next);
    assert_eq!(next.answer.inode.number(), bed.dir.inode("log"));
    assert_ne!(next.answer.id, reader.answer.id);
    assert_eq!(next.answer.boot, reader.answer.boot);
    next.expect_all(b"new\n");
}

#[test]
fn a_truncated_generation_ends_and_its_copy_is_found_by_its_content() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"old and long\n")]);
    let mut reader = bed.first();
    reader.expect_all(b"old and long\n");
    fs::copy(bed.dir.path("log"), bed.dir.path("log.1")).unwrap();
    bed.dir.write("log", "new\n");
    reader.expect_end(Reason::Truncated);
    let (have, asked) = having(&reader.answer, b"old ");
    let mut copy = bed.read(have, asked);
    assert_eq!(copy.answer.file, How::Same);
    assert_eq!(copy.answer.inode.number(), bed.dir.inode("log.1"));
    let name = bed.dir.path("log.1").into_os_string().into_encoded_bytes();
    assert_eq!((reader.answer.name, copy.answer.name.clone()), (None, Some(name)));
    assert_eq!(copy.until_word(), (b"and long\n".to_vec(), Some(Event::Close(Reason::Rotated))));
    let (have, asked) = having(&copy.answer, b"old and long\n");
    let mut next = bed.read(have, asked);
    assert_eq!(next.answer.file, How::Next);
    next.expect_all(b"new\n");
    let (have, asked) = having(&next.answer, b"old and other\n");
    let mut lost = bed.read(have, asked);
    assert_eq!(lost.answer.file, How::Lost(Why::Short));
    assert_eq!(lost.until_word().0, b"new\n");
}

#[test]
fn silence_is_broken_by_heartbeats_that_say_how_long_the_file_is() {
    let bed = Bed::with("heartbeat 1s\ncheck 1h\n", &[("log", b"one\n")]);
    let mut reader = bed.first();
    reader.expect_all(b"one\n");
    let start = Instant::now();
    reader.expect_all(b"");
    reader.expect_all(b"");
    assert!(start.elapsed() > Duration::from_millis(1500));
}

#[test]
fn what_is_durable_may_be_said_and_nothing_else() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"one\n")]);
    let mut reader = bed.first();
    reader.expect_all(b"one\n");
    reader.peer.send(emit_ack(2));
    reader.peer.send([emit_ack(2), emit_ack(4)].concat());
    bed.dir.append("log", "two\n");
    assert_eq!(reader.event().unwrap().1, b"two\n");
    reader.peer.send(emit_ack(9));
    assert_eq!(reader.event(), None, "more than was sent");
    for garbage in ["GET / HTTP/1.1\r\n\r\n", "\0\0\0\n", "A 4\nA 2\n"] {
        let mut reader = bed.first();
        reader.expect_all(b"one\ntwo\n");
        reader.peer.send(garbage);
        assert!(reader.peer.rest().is_empty(), "{garbage:?}");
    }
}

#[test]
fn acknowledgements_without_end_keep_nobody_from_being_served() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"one\n")]);
    let mut flood = bed.first();
    flood.expect_all(b"one\n");
    let mut stream = flood.peer.0.try_clone().unwrap();
    let flooding = std::thread::spawn(move || {
        let lines = emit_ack(4).repeat(10_000);
        while stream.write_all(&lines).is_ok() {}
    });
    for _ in 0..20 {
        bed.first().expect_all(b"one\n");
    }
    bed.dir.append("log", "two\n");
    assert_eq!(flood.event().unwrap().1, b"two\n");
    flood.peer.0.shutdown(Shutdown::Both).unwrap();
    flooding.join().unwrap();
}

#[test]
fn an_allowed_peer_is_told_why_nothing_is_served() {
    let bed = Bed::new("file BASE/log\nfile BASE/gone\n");
    let log = bed.dir.path("log").display().to_string();
    let refusal = bed.refused("/etc/passwd 0 0 +2\n");
    assert_eq!(refusal.code, Code::NotServed);
    assert_eq!(refusal.text(), "cannot serve /etc/passwd: it is not in the configuration");
    assert_eq!(bed.refused("/ 0 0 +2 path=/etc/pass%1bwd\n").code, Code::NotServed);
    let refusal = bed.refused(&format!("{} 0 0 +2\n", bed.dir.path("gone").display()));
    assert_eq!(refusal.code, Code::Missing);
    assert!(refusal.text().ends_with(": there is no such file"), "{}", refusal.text());
    assert_eq!(bed.refused(&format!("{log} 0 0 +2 tail=x\n")).code, Code::BadRequest);
    assert_eq!(bed.refused(&format!("{log} 0 0 +2\nnonsense\n")).code, Code::BadRequest);
    assert_eq!(bed.refused("LIST log +2\n").code, Code::BadRequest);
    assert_eq!(bed.refused("DIGEST /etc/passwd 7 4 +2\n").code, Code::NotServed);
    let gone = bed.dir.path("gone").display().to_string();
    assert_eq!(bed.refused(&format!("DIGEST {gone} 7 4 +2\n")).code, Code::Missing);
    let bed = Bed::new("allow 192.0.2.1\n");
    let mut stranger = bed.connect();
    let _ = stranger.0.write_all(b"/etc/passwd 0 0 +2\n");
    stranger.expect_silence("a stranger");
}

#[test]
fn followers_are_told_when_the_program_ends() {
    let mut bed = Bed::with(HINTS_ONLY, &[("log", b"one\n")]);
    let mut reader = bed.first();
    reader.expect_all(b"one\n");
    bed.program.signal(Signal::SIGTERM);
    assert_eq!(bed.program.ended().code(), Some(0));
    reader.expect_end(Reason::Shutdown);
}

#[test]
fn who_knows_only_protocol_1_is_answered_as_ever_beside_one_who_knows_both() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"a\x07b\n")]);
    bed.first().expect_all(b"a\x07b\n");
    bed.ask("").expect([bed.status('O', "log").as_bytes(), b"a\xffb\n\x07"].concat());
}
