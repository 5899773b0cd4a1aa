//! What a fetcher hears while it waits for its answer.

use super::super::mouth::BLOCKED_MAX;
use super::super::tests::{SECOND, asking, opening_two};
use super::super::*;

#[test]
fn who_waits_for_an_answer_hears_that_once_a_second_in_protocol_2_only() {
    let (mut session, now) = asking();
    assert!(matches!(session.handle(now, Input::Heard(b"/log 7 4 +2\n")), Output::Find(_)));
    assert_eq!(session.deadline(), now + SECOND);
    assert_eq!(session.handle(now + SECOND / 2, Input::Woken), Output::Rest);
    for second in 1..10 {
        let now = now + second * SECOND;
        assert_eq!(session.handle(now, Input::Woken), Output::Say);
        assert_eq!(session.words(), b"W\n");
        assert_eq!(session.handle(now, Input::Said(2)), Output::Rest);
        assert_eq!(session.deadline(), now + SECOND);
    }
    let later = now + 10 * SECOND;
    session.handle(later, Input::Woken);
    session.handle(later, Input::Said(1));
    assert_eq!(session.handle(later, Input::Opened(opening_two())), Output::Say);
    assert!(session.words().starts_with(b"\nO 7 +2 "), "what was begun is said to its end");
    let (mut session, now) = asking();
    session.handle(now, Input::Heard(b"/log 7 4\n"));
    for second in 1..10 {
        assert_eq!(session.handle(now + second * SECOND, Input::Woken), Output::Rest);
    }
    assert_eq!(session.deadline(), now + 10 * SECOND);
}

#[test]
fn who_waits_and_speaks_or_takes_nothing_or_hangs_up_is_closed() {
    let waiting = || {
        let (mut session, now) = asking();
        session.handle(now, Input::Heard(b"/log 7 4 +2\n"));
        (session, now)
    };
    let (mut session, now) = waiting();
    assert_eq!(session.handle(now, Input::Heard(b"A 4\n")), Output::Rest);
    assert_eq!(session.handle(now, Input::Heard(b"x\n")), Output::Say);
    assert!(session.words().starts_with(b"E bad-request +2 "));
    let (mut session, now) = waiting();
    session.handle(now + SECOND, Input::Woken);
    assert_eq!(session.handle(now + SECOND, Input::Blocked), Output::Rest);
    assert_eq!(session.handle(now + 9 * SECOND, Input::Woken), Output::Rest);
    let given_up = session.handle(now + SECOND + BLOCKED_MAX, Input::Woken);
    assert_eq!(given_up, Output::Close(CloseReason::Blocked));
    let (mut session, now) = waiting();
    assert_eq!(session.handle(now, Input::HungUp), Output::Close(CloseReason::HungUp));
    let (mut session, now) = waiting();
    session.handle(now + SECOND, Input::Woken);
    let refused = session.handle(now, Input::Refused(Refusal::new(Code::Missing, "gone")));
    assert_eq!(refused, Output::Say);
    assert_eq!(session.words(), b"W\nE missing +2 gone\n");
}
