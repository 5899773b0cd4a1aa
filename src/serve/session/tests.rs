//! The session, input by input.

use crate::proto::answer::Answer;
use crate::proto::status::Status;
use proptest::prelude::*;

use super::*;
use crate::pos::Writers;
use crate::pos::{Inode, Token};
use crate::proto::ALIVE;
use crate::proto::answer::File;
use crate::proto::frame::{Event, Frames};
use crate::proto::status::Verdict;
use crate::serve::tail::Place;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const TIMES: Times =
    Times { request: Duration::from_secs(5), heartbeat: SECOND, linger: BLOCKED_MAX };

fn seen(size: u64, place: Place, writers: Option<Writers>) -> Input<'static> {
    Input::Seen(View { size, modified_ns: 77, links: 1, place, writers, intact: true })
}

fn kept(size: u64) -> Input<'static> {
    seen(size, Place::Kept, None)
}

fn taken(size: u64, writers: Option<Writers>) -> Input<'static> {
    seen(size, Place::Taken, writers)
}

fn plain(from: Offset) -> Output {
    Output::Send { from, most: u64::MAX, masked: true }
}

pub(super) fn asking() -> (Session, Instant) {
    let now = Instant::now();
    (Session::new(now, TIMES), now)
}

/// A session that follows a file of 10 bytes from byte 4, its status line said.
fn following() -> (Session, Instant) {
    let (mut session, now) = asking();
    let Output::Find(request) = session.handle(now, Input::Heard(b"/log 7 4\n")) else {
        panic!("a request is to be answered");
    };
    assert_eq!(request.path, b"/log");
    let status = Status { verdict: Verdict::Found, inode: Inode::new(7) };
    let opening =
        Opening { answer: Answered::One(status), from: 4, size: 10, quiet: Duration::ZERO };
    assert_eq!(session.handle(now, Input::Opened(opening)), Output::Say);
    assert_eq!(session.words(), b"O 7\n");
    assert_eq!(session.handle(now, Input::Said(4)), Output::Look);
    (session, now)
}

/// The same, with all 10 bytes and the heartbeat at the end sent.
fn at_end() -> (Session, Instant) {
    let (mut session, now) = following();
    assert_eq!(session.handle(now, kept(10)), plain(4));
    assert_eq!(session.handle(now, Input::Sent(6)), Output::Look);
    assert_eq!(session.handle(now, kept(10)), Output::Say);
    assert_eq!(session.words(), [ALIVE]);
    assert_eq!(session.handle(now, Input::Said(1)), Output::Look);
    assert_eq!(session.handle(now, kept(10)), Output::Rest);
    (session, now)
}

#[test]
fn a_request_may_come_byte_by_byte_until_its_time_is_over() {
    let (mut session, now) = asking();
    assert_eq!(session.deadline(), now + TIMES.request);
    for byte in b"/log 7 4" {
        assert_eq!(session.handle(now, Input::Heard(&[*byte])), Output::Rest);
    }
    assert_eq!(session.handle(now + 4 * SECOND, Input::Woken), Output::Rest);
    let late = session.handle(now + TIMES.request, Input::Woken);
    assert_eq!(late, Output::Close(CloseReason::RequestTimeout));
}

#[test]
fn what_is_no_request_or_names_nothing_is_closed_without_a_word() {
    let (mut session, now) = asking();
    let close = session.handle(now, Input::Heard(b"GET / HTTP/1.1\n"));
    assert_eq!(close, Output::Close(CloseReason::Fault(WireFault::NoPath)));
    let (mut session, now) = asking();
    assert!(matches!(session.handle(now, Input::Heard(b"/x\n")), Output::Find(_)));
    let close = session.handle(now, Input::Refused(Refusal::new(Code::Missing, "gone")));
    assert_eq!((close, session.words()), (Output::Close(CloseReason::Refused), &b""[..]));
}

#[test]
fn a_status_line_that_was_cut_short_goes_on_where_it_was_cut() {
    let (mut session, now) = asking();
    session.handle(now, Input::Heard(b"/log\n"));
    let status = Status { verdict: Verdict::Lost, inode: Inode::new(7).renamed() };
    let opening =
        Opening { answer: Answered::One(status), from: 0, size: 0, quiet: Duration::ZERO };
    session.handle(now, Input::Opened(opening));
    assert_eq!(session.handle(now, Input::Said(2)), Output::Say);
    assert_eq!(session.words(), b"07\n");
    assert_eq!(session.handle(now, Input::Blocked), Output::Rest);
    assert_eq!(session.handle(now, Input::Woken), Output::Rest);
    assert_eq!(session.handle(now, Input::Writable), Output::Say);
    assert_eq!(session.handle(now, Input::Said(3)), Output::Look);
}

#[test]
fn every_chunk_is_followed_by_a_look_and_only_the_first_end_by_a_heartbeat() {
    let (mut session, now) = at_end();
    assert_eq!((session.sent(), session.farewell()), (Some(10), None));
    assert_eq!(session.handle(now, Input::Woken), Output::Look);
    assert_eq!(session.handle(now, kept(13)), plain(10));
    assert_eq!(session.handle(now, Input::Sent(2)), Output::Look);
    assert_eq!(session.handle(now, kept(13)), plain(12));
    assert_eq!(session.handle(now, Input::Sent(1)), Output::Look);
    assert_eq!(session.handle(now, kept(13)), Output::Rest);
}

#[test]
fn silence_is_broken_by_a_heartbeat_and_no_sooner() {
    let (mut session, now) = at_end();
    assert_eq!(session.deadline(), now + SECOND);
    let early = now + SECOND / 2;
    assert_eq!(session.handle(early, Input::Woken), Output::Look);
    assert_eq!(session.handle(early, kept(10)), Output::Rest);
    let due = now + SECOND;
    assert_eq!(session.handle(due, Input::Woken), Output::Look);
    assert_eq!(session.handle(due, kept(10)), Output::Say);
    assert_eq!(session.handle(due, Input::Said(1)), Output::Look);
    assert_eq!(session.handle(due, kept(10)), Output::Rest);
    assert_eq!(session.deadline(), due + SECOND);
}

#[test]
fn a_fetcher_that_takes_nothing_is_given_up_and_one_that_takes_a_little_is_not() {
    let (mut session, now) = following();
    assert_eq!(session.handle(now, kept(10)), plain(4));
    assert_eq!(session.handle(now, Input::Blocked), Output::Rest);
    assert_eq!(session.deadline(), now + BLOCKED_MAX);
    let later = now + 59 * SECOND;
    assert_eq!(session.handle(later, Input::Writable), Output::Look);
    assert_eq!(session.handle(later, kept(10)), plain(4));
    session.handle(later, Input::Sent(1));
    assert_eq!(session.handle(later, Input::Blocked), Output::Rest);
    assert_eq!(session.handle(now + BLOCKED_MAX, Input::Woken), Output::Rest);
    let close = session.handle(later + BLOCKED_MAX, Input::Woken);
    assert_eq!(close, Output::Close(CloseReason::Blocked));
}

#[test]
fn a_fetcher_that_speaks_again_or_hangs_up_is_closed() {
    let (mut session, now) = at_end();
    let close = session.handle(now, Input::Heard(b"x"));
    assert_eq!(close, Output::Close(CloseReason::Fault(WireFault::SpokeAgain)));
    let close = session.handle(now, Input::HungUp);
    assert_eq!(close, Output::Close(CloseReason::HungUp));
}

#[test]
fn a_rotated_file_is_closed_after_its_writers_were_asked_for_and_its_rest_was_sent() {
    let (mut session, now) = at_end();
    assert_eq!(session.handle(now, taken(10, None)), Output::AskWriters);
    let nobody = Some(Writers::Nobody);
    assert_eq!(session.handle(now, taken(12, nobody)), plain(10));
    assert_eq!(session.handle(now, Input::Sent(2)), Output::Look);
    assert_eq!(session.handle(now, taken(12, None)), Output::AskWriters);
    let close = session.handle(now, taken(12, nobody));
    assert_eq!(close, Output::Close(CloseReason::Ended(End::Rotated)));
}

#[test]
fn a_lingering_file_is_looked_at_when_the_linger_time_is_over() {
    let (mut session, now) = at_end();
    session.set_times(Times { heartbeat: 100 * SECOND, ..TIMES });
    let somebody = Some(Writers::Somebody);
    assert_eq!(session.handle(now, taken(10, somebody)), Output::Rest);
    assert_eq!(session.deadline(), now + TIMES.linger);
    let over = now + TIMES.linger;
    assert_eq!(session.handle(over, Input::Woken), Output::Look);
    let close = session.handle(over, taken(10, somebody));
    assert_eq!(close, Output::Close(CloseReason::Ended(End::Rotated)));
}

#[test]
fn a_renamed_file_without_a_successor_is_followed_with_heartbeats() {
    let (mut session, now) = at_end();
    let vacant = || {
        let writers = Some(Writers::Nobody);
        seen(10, Place::Vacant, writers)
    };
    assert_eq!(session.handle(now, vacant()), Output::SeekSuccessor);
    assert_eq!(session.handle(now, Input::Successor(false)), Output::Rest);
    assert!(session.deadline() > now);
    assert_eq!(session.handle(now + SECOND, vacant()), Output::SeekSuccessor);
    assert_eq!(session.handle(now + SECOND, Input::Successor(false)), Output::Say);
    let close = session.handle(now + SECOND, Input::Successor(true));
    assert_eq!(close, Output::Close(CloseReason::Ended(End::Rotated)));
}

#[test]
fn a_file_that_gives_no_bytes_though_it_seems_longer_does_not_spin() {
    let (mut session, now) = following();
    assert_eq!(session.handle(now, kept(10)), plain(4));
    assert_eq!(session.handle(now, Input::Sent(0)), Output::Say);
    assert_eq!(session.handle(now, Input::Said(1)), Output::Look);
    assert_eq!(session.handle(now, kept(10)), plain(4));
    assert_eq!(session.handle(now, Input::Sent(0)), Output::Rest);
}

pub(super) fn frame(from: Offset, most: u64) -> Output {
    Output::Send { from, most, masked: false }
}

/// A session of protocol 2 that follows a file of 10 bytes from byte 4, its status line said.
fn following_two() -> (Session, Instant) {
    let (mut session, now) = asking();
    let find = session.handle(now, Input::Heard(b"/log 7 4 +2 id=x\nA 4\n"));
    assert!(matches!(find, Output::Find(request) if request.path == b"/log"));
    assert_eq!(session.handle(now, Input::Opened(opening_two())), Output::Say);
    let line = b"O 7 +2 file=same id=x boot=y from=4 size=10 mtime=5\n";
    assert_eq!(session.words(), line);
    assert_eq!(session.handle(now, Input::Said(line.len())), Output::Look);
    (session, now)
}

pub(super) fn opening_two() -> Opening {
    let answer = Answer {
        inode: Inode::new(7),
        file: File::Same,
        id: Token::parse(b"x").unwrap(),
        boot: Token::parse(b"y").unwrap(),
        from: 4,
        size: 10,
        mtime_ns: 5,
        name: None,
        tail: None,
    };
    Opening { answer: Answered::Two(answer.into()), from: 4, size: 10, quiet: Duration::ZERO }
}

fn at_end_two() -> (Session, Instant) {
    let (mut session, now) = following_two();
    assert_eq!(session.handle(now, kept(10)), frame(4, 6));
    assert_eq!(session.words(), b"D 6\n");
    assert_eq!(session.handle(now, Input::Said(4)), Output::Look);
    assert_eq!(session.handle(now, Input::Sent(6)), Output::Look);
    assert_eq!(session.handle(now, kept(10)), Output::Say);
    assert_eq!(session.words(), b"H 10 77\n");
    assert_eq!(session.handle(now, Input::Said(8)), Output::Look);
    assert_eq!(session.handle(now, kept(10)), Output::Rest);
    (session, now)
}

#[test]
fn a_heartbeat_tells_no_earlier_time_than_the_answer_did() {
    let (mut session, now) = following_two();
    let (size, modified_ns, place) = (10, 3, Place::Kept);
    let grown = View { size, modified_ns, links: 1, place, writers: None, intact: true };
    assert_eq!(session.handle(now, Input::Seen(grown)), frame(4, 6));
    assert_eq!(session.handle(now, Input::Said(4)), Output::Look);
    assert_eq!(session.handle(now, Input::Sent(6)), Output::Look);
    assert_eq!(session.handle(now, Input::Seen(grown)), Output::Say);
    assert_eq!(session.words(), b"H 10 5\n");
}

#[test]
fn a_frame_promises_what_is_there_and_is_kept_to_though_the_file_grows() {
    let (mut session, now) = following_two();
    let size = 4 + wording::FRAME_BYTES_MAX + 5;
    assert_eq!(session.handle(now, kept(size)), frame(4, 1 << 20));
    assert_eq!(session.words(), b"D 1048576\n");
    session.handle(now, Input::Said(10));
    assert_eq!(session.handle(now, Input::Sent(1_000_000)), Output::Look);
    assert_eq!(session.handle(now, kept(size + 9)), frame(1_000_004, 48_576));
    assert_eq!((session.words(), session.farewell()), (&b""[..], None), "within a frame");
    assert_eq!(session.handle(now, Input::Sent(48_576)), Output::Look);
    assert_eq!(session.handle(now, kept(size + 9)), frame(1_048_580, 14));
    assert_eq!(session.words(), b"D 14\n");
}

#[test]
fn a_header_that_was_cut_short_is_said_to_its_end_and_one_not_begun_is_taken_back() {
    let (mut session, now) = following_two();
    session.handle(now, kept(10));
    assert_eq!(session.handle(now, Input::Blocked), Output::Rest);
    assert_eq!(session.handle(now, Input::Writable), Output::Look);
    assert_eq!(session.handle(now, kept(12)), frame(4, 8));
    assert_eq!(session.words(), b"D 8\n");
    session.handle(now, Input::Said(2));
    assert_eq!(session.handle(now, Input::Blocked), Output::Rest);
    assert_eq!(session.handle(now, Input::Writable), Output::Say);
    assert_eq!(session.words(), b"8\n");
    assert_eq!(session.handle(now, Input::Said(2)), Output::Look);
    assert_eq!(session.handle(now, kept(20)), frame(4, 8));
}

#[test]
fn a_file_that_gets_shorter_inside_a_frame_is_closed_without_a_word() {
    let (mut session, now) = following_two();
    session.handle(now, kept(10));
    session.handle(now, Input::Said(4));
    session.handle(now, Input::Sent(2));
    let close = session.handle(now, kept(9));
    assert_eq!(close, Output::Close(CloseReason::Ended(End::Truncated)));
    let (mut session, now) = following_two();
    session.handle(now, kept(10));
    session.handle(now, Input::Said(4));
    let close = session.handle(now, Input::Sent(0));
    assert_eq!(close, Output::Close(CloseReason::Ended(End::Truncated)));
    let (mut session, now) = following_two();
    session.handle(now, kept(10));
    assert_eq!(session.handle(now, Input::Sent(0)), Output::Say, "nothing was promised yet");
    assert_eq!(session.words(), b"H 10 77\n");
}

#[test]
fn the_end_of_a_generation_is_told_and_the_connection_closed_when_that_was_heard() {
    let (mut session, now) = at_end_two();
    assert_eq!(session.farewell(), Some(b"C shutdown 10\n".to_vec()));
    let nobody = Some(Writers::Nobody);
    assert_eq!(session.handle(now, taken(10, None)), Output::AskWriters);
    assert_eq!(session.handle(now, taken(10, nobody)), Output::Say);
    assert_eq!(session.words(), b"C rotated 10\n");
    assert_eq!(session.handle(now, Input::Said(5)), Output::Say);
    assert_eq!(session.handle(now, Input::Said(8)), Output::Shut);
    assert_eq!(session.handle(now, Input::Woken), Output::Rest);
    assert_eq!(session.handle(now, Input::Heard(b"A 10\n")), Output::Rest);
    assert_eq!((session.sent(), session.farewell()), (Some(10), None));
    let reason = CloseReason::Ended(End::Rotated);
    assert_eq!(session.handle(now, Input::HungUp), Output::Close(reason.clone()));
    assert_eq!(session.deadline(), now + TIMES.request);
    assert_eq!(session.handle(now + TIMES.request, Input::Woken), Output::Close(reason));
    let (mut session, now) = at_end_two();
    assert_eq!(session.handle(now, kept(3)), Output::Say);
    assert_eq!(session.words(), b"C truncated 10\n");
}

#[test]
fn silence_is_broken_by_a_heartbeat_with_the_size_and_the_time() {
    let (mut session, now) = at_end_two();
    let due = now + SECOND;
    assert_eq!(session.handle(due, Input::Woken), Output::Look);
    assert_eq!(session.handle(due, kept(10)), Output::Say);
    assert_eq!(session.words(), b"H 10 77\n");
}

#[test]
fn an_acknowledgement_is_of_what_was_sent() {
    let (mut session, now) = at_end_two();
    assert_eq!(session.handle(now, Input::Heard(b"A 4\nA")), Output::Rest);
    assert_eq!(session.handle(now, Input::Heard(b" 10\n")), Output::Rest);
    let lie = session.handle(now, Input::Heard(b"A 11\n"));
    assert!(matches!(lie, Output::Close(CloseReason::Fault(WireFault::Contradiction(_)))));
    let (mut session, now) = at_end_two();
    let close = session.handle(now, Input::Heard(b"GET / HTTP/1.1\r\n\r\n"));
    assert!(matches!(close, Output::Close(CloseReason::Fault(WireFault::BadAck(_)))), "{close:?}");
    let (mut session, now) = asking();
    session.handle(now, Input::Heard(b"/log 7 4 +2\nA 5\n"));
    let lie = session.handle(now, Input::Opened(opening_two()));
    assert!(matches!(lie, Output::Close(CloseReason::Fault(WireFault::Contradiction(_)))));
}

#[test]
fn who_speaks_protocol_2_is_told_why_nothing_is_served() {
    for (question, words) in [
        ("LIST log +2\n", "E bad-request +2 pattern: not an absolute path\n"),
        (
            "DIGEST /log 7 +2\n",
            "E bad-request +2 request whose offset is not a number below 2^63\n",
        ),
        ("/log 7 x +2\n", "E bad-request +2 request whose offset is not a number below 2^63\n"),
    ] {
        let (mut session, now) = asking();
        assert_eq!(session.handle(now, Input::Heard(question.as_bytes())), Output::Say);
        assert_eq!(String::from_utf8_lossy(session.words()), words);
        assert_eq!(session.handle(now, Input::Said(words.len())), Output::Shut);
    }
    let (mut session, now) = asking();
    session.handle(now, Input::Heard(b"/log 0 0 +2\n"));
    let refusal = Refusal::new(Code::Missing, "there is no such file");
    assert_eq!(session.handle(now, Input::Refused(refusal)), Output::Say);
    assert_eq!(session.words(), b"E missing +2 there is no such file\n");
}

/// A file, a socket that takes so many bytes, and what it took.
#[derive(Default)]
struct World {
    file: Vec<u8>,
    room: usize,
    wire: Vec<u8>,
}

impl World {
    /// Writes what the socket takes; says how much.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room);
        self.wire.extend_from_slice(&bytes[..count]);
        self.room -= count;
        count
    }

    /// Carries out what the session says until it rests or closes, as `conn` does.
    fn carry_out(&mut self, session: &mut Session, now: Instant, mut output: Output) -> Output {
        loop {
            let words = session.words().to_vec();
            let input = match output {
                Output::Say => match self.write(&words) {
                    0 => Input::Blocked,
                    count => Input::Said(count),
                },
                Output::Look => kept(self.file.len() as u64),
                Output::Send { from, most, .. } => {
                    let rest = &self.file[from as usize..];
                    let bytes = [&words, &rest[..rest.len().min(most as usize).min(16)]].concat();
                    let count = self.write(&bytes);
                    if count > 0 && !words.is_empty() {
                        session.handle(now, Input::Said(count.min(words.len())));
                    }
                    match count.saturating_sub(words.len()) {
                        sent if count == bytes.len() => Input::Sent(sent),
                        0 => Input::Blocked,
                        sent => {
                            session.handle(now, Input::Sent(sent));
                            Input::Blocked
                        }
                    }
                }
                other => return other,
            };
            output = session.handle(now, input);
        }
    }
}

/// What a fetcher understands of the frames in `wire`: the content and the words.
fn understood(wire: &[u8]) -> (Vec<u8>, Vec<Event>) {
    let (mut frames, mut at) = (Frames::following(4), 0);
    let (mut content, mut words) = (Vec::new(), Vec::new());
    while let Some(event) = frames.poll_event(wire, &mut at).unwrap() {
        match event {
            Event::Data(range) => content.extend_from_slice(&wire[range]),
            word => words.push(word),
        }
    }
    (content, words)
}

proptest! {
    #[test]
    fn whatever_the_socket_takes_and_the_file_grows_by_the_frames_say_what_is_in_it(
        moves in proptest::collection::vec((0usize..40, 0usize..30), 0..40),
        cut in proptest::option::of(0usize..400)
    ) {
        let (mut session, now) = following_two();
        let mut world = World::default();
        let grow = |world: &mut World, by: usize| {
            let end = world.file.len() + by;
            world.file.extend((world.file.len()..end).map(|n| n as u8));
        };
        grow(&mut world, 10);
        for (room, by) in moves {
            grow(&mut world, by);
            world.room += room;
            let output = session.handle(now, Input::Writable);
            let rests = world.carry_out(&mut session, now, output);
            prop_assert_eq!(rests, Output::Rest);
        }
        let before = world.file.clone();
        world.file.truncate(cut.unwrap_or(before.len()));
        world.room = usize::MAX;
        let output = session.handle(now, Input::Writable);
        let last = world.carry_out(&mut session, now, output);
        let (content, words) = understood(&world.wire);
        prop_assert_eq!(&content[..], &before[4..4 + content.len()]);
        let closed = words.contains(&Event::Close(Reason::Truncated));
        match last {
            Output::Rest => prop_assert_eq!(content.len() + 4, world.file.len()),
            Output::Shut => prop_assert!(closed),
            other => {
                prop_assert_eq!(other, Output::Close(CloseReason::Ended(End::Truncated)));
                prop_assert!(!closed);
            }
        }
    }
}
