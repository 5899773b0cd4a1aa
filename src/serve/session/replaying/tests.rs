//! A compressed generation, input by input.

use super::super::mouth::BLOCKED_MAX;
use super::super::tests::{SECOND, asking, frame, opening_two};
use super::super::*;

/// A session that sends a compressed generation from byte 4, its status line said.
fn replaying() -> (Session, Instant) {
    let (mut session, now) = asking();
    session.handle(now, Input::Heard(b"/log 7 4 +2\n"));
    let Answered::Two(answer) = opening_two().answer else { panic!("it is of protocol 2") };
    assert_eq!(session.handle(now, Input::Packed(answer)), Output::Say);
    let said = Input::Said(session.words().len());
    assert_eq!(session.handle(now, said), Output::Unpack);
    (session, now)
}

#[test]
fn a_compressed_generation_is_sent_piece_by_piece_and_ends_with_its_stream() {
    let (mut session, now) = replaying();
    assert_eq!(session.handle(now, Input::Ready(Piece::Bytes(6))), frame(4, 6));
    assert_eq!((session.words(), session.farewell()), (&b"D 6\n"[..], None));
    assert_eq!(session.handle(now, Input::Said(2)), frame(4, 6));
    session.handle(now, Input::Said(2));
    assert_eq!(session.handle(now, Input::Sent(5)), frame(9, 1));
    assert_eq!(session.handle(now, Input::Sent(1)), Output::Unpack);
    assert_eq!(session.sent(), Some(10));
    assert!(session.farewell().is_some());
    for late in 1..5 {
        let later = now + late * BLOCKED_MAX;
        assert_eq!(session.handle(later, Input::Woken), Output::Unpack, "nothing is said");
        assert!(session.deadline() > later);
    }
    assert_eq!(session.handle(now, Input::Ready(Piece::End)), Output::Say);
    assert_eq!(session.words(), b"C rotated 10\n");
}

#[test]
fn a_damage_ends_a_compressed_generation_and_one_that_is_being_compressed_ends_nothing() {
    let (mut session, now) = replaying();
    assert_eq!(session.handle(now, Input::Ready(Piece::Damaged)), Output::Say);
    assert_eq!(session.words(), b"C truncated 4\n");
    let (mut session, now) = replaying();
    let close = session.handle(now, Input::Ready(Piece::Unfinished));
    assert_eq!(close, Output::Close(CloseReason::Unreadable));
    let (mut session, now) = replaying();
    let close = session.handle(now, Input::Unreadable);
    assert_eq!(close, Output::Close(CloseReason::Unreadable));
}

#[test]
fn who_takes_nothing_of_a_compressed_generation_or_lies_about_it_is_closed() {
    let (mut session, now) = replaying();
    session.handle(now, Input::Ready(Piece::Bytes(6)));
    assert_eq!(session.handle(now, Input::Blocked), Output::Rest);
    assert_eq!(session.handle(now + SECOND, Input::Woken), Output::Rest);
    let given_up = session.handle(now + BLOCKED_MAX, Input::Woken);
    assert_eq!(given_up, Output::Close(CloseReason::Blocked));
    let (mut session, now) = replaying();
    assert_eq!(session.handle(now, Input::Heard(b"A 4\n")), Output::Rest);
    let close = session.handle(now, Input::Heard(b"A 5\n"));
    assert!(matches!(close, Output::Close(CloseReason::Fault(WireFault::Contradiction(_)))));
}
