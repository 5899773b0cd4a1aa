//! A digest, input by input.

use super::super::tests::{SECOND, asking, opening_two};
use super::super::*;
use crate::proto::answer::Answer;
use crate::proto::answer::{File, Why};
use crate::proto::digest::Whole;

/// A session that is asked for the digest of bytes 4 to 10.
fn proving(file: File) -> (Session, Instant, Output) {
    let (mut session, now) = asking();
    let locate = session.handle(now, Input::Heard(b"DIGEST /log 7 10 +2 from=4\n"));
    assert!(matches!(locate, Output::Locate(extent) if extent.path == b"/log"));
    let Answered::Two(answer) = opening_two().answer else { panic!("it is of protocol 2") };
    let output = session.handle(now, Input::Located(Answer { file, ..*answer }.into(), 10));
    (session, now, output)
}

#[test]
fn a_digest_is_told_behind_a_status_line_and_heartbeats() {
    let (mut session, now, output) = proving(File::Same);
    assert_eq!(output, Output::Say);
    let line = session.words().len();
    assert_eq!(session.handle(now, Input::Said(line)), Output::Hash(4..10));
    assert_eq!(session.handle(now, Input::Writable), Output::Rest);
    for second in 1..5 {
        let now = now + second * SECOND;
        assert_eq!(session.handle(now - SECOND / 2, Input::Woken), Output::Rest);
        assert_eq!(session.handle(now, Input::Woken), Output::Say);
        assert_eq!(session.words(), b"H 10 5\n");
        assert_eq!(session.handle(now, Input::Said(7)), Output::Rest);
        assert_eq!(session.deadline(), now + SECOND);
    }
    assert_eq!(session.handle(now, Input::Hashed(Whole::of(b"abcdef"))), Output::Say);
    let words = format!("S 4 10 {}\n", Whole::of(b"abcdef"));
    assert_eq!(session.words(), words.as_bytes());
    assert_eq!(session.handle(now, Input::Said(words.len())), Output::Shut);
    assert_eq!(session.handle(now, Input::HungUp), Output::Close(CloseReason::Proved));
}

#[test]
fn a_heartbeat_that_is_being_said_is_said_before_the_digest() {
    let (mut session, now, _) = proving(File::Same);
    session.handle(now, Input::Said(session.words().len()));
    session.handle(now + SECOND, Input::Woken);
    session.handle(now + SECOND, Input::Said(2));
    assert_eq!(session.handle(now + SECOND, Input::Blocked), Output::Rest);
    session.handle(now + SECOND, Input::Hashed(Whole::of(b"")));
    assert!(session.words().starts_with(b"10 5\nS 4 10 "));
}

#[test]
fn of_a_generation_that_is_not_there_nothing_is_said_but_the_status_line() {
    let (mut session, now, output) = proving(File::Lost(Why::Short));
    assert_eq!(output, Output::Say);
    assert!(session.words().starts_with(b"L 7 +2 file=next why=short "));
    let said = Input::Said(session.words().len());
    assert_eq!(session.handle(now, said), Output::Shut);
}

#[test]
fn a_range_that_cannot_be_read_is_closed_without_a_digest() {
    let (mut session, now, _) = proving(File::Same);
    session.handle(now, Input::Said(session.words().len()));
    let close = session.handle(now, Input::Unreadable);
    assert_eq!(close, Output::Close(CloseReason::Unreadable));
    let (mut session, now, _) = proving(File::Same);
    let close = session.handle(now, Input::Heard(b"A 4\n"));
    assert_eq!(close, Output::Close(CloseReason::Fault(WireFault::SpokeAgain)));
}
