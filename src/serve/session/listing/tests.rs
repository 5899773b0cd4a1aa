//! A list, input by input.

use super::super::tests::{SECOND, asking};
use super::super::*;

fn listing() -> (Session, Instant) {
    let (mut session, now) = asking();
    let output = session.handle(now, Input::Heard(b"LIST /log/* +2\n"));
    assert!(matches!(output, Output::Enlist(glob) if glob.matches(b"/log/a")));
    (session, now)
}

fn listed(news: &[u8], complete: bool) -> Input<'static> {
    Input::Listed { news: news.to_vec(), complete }
}

#[test]
fn a_list_is_told_then_that_it_is_complete_and_then_the_news_at_most_once_a_second() {
    let (mut session, now) = listing();
    assert_eq!(session.handle(now, listed(b"one\n", false)), Output::Say);
    assert_eq!(session.handle(now, Input::Said(4)), Output::List);
    assert_eq!(session.handle(now, listed(b"two\n", true)), Output::Say);
    assert_eq!(session.words(), b"two\n.\n");
    assert_eq!(session.handle(now, Input::Said(6)), Output::Rest);
    assert_eq!(session.handle(now + SECOND / 2, Input::Woken), Output::Rest);
    assert_eq!(session.deadline(), now + SECOND);
    let now = now + SECOND;
    assert_eq!(session.handle(now, Input::Woken), Output::List);
    assert!(session.deadline() > now);
    assert_eq!(session.handle(now, listed(b"", true)), Output::Rest);
    assert_eq!(session.handle(now + SECOND, Input::Woken), Output::List);
    let now = now + 2 * BLOCKED_MAX;
    assert_eq!(session.handle(now, Input::Woken), Output::List);
    assert!(session.deadline() > now, "silence is no fault and keeps nobody awake");
    assert_eq!(session.handle(now, listed(b"three\n", true)), Output::Say);
    assert_eq!(session.words(), b"three\n");
}

#[test]
fn who_speaks_or_takes_no_news_is_closed() {
    let (mut session, now) = listing();
    let close = session.handle(now, Input::Heard(b"A 4\n"));
    assert_eq!(close, Output::Close(CloseReason::Fault(WireFault::SpokeAgain)));
    let (mut session, now) = listing();
    session.handle(now, listed(b"one\n", false));
    assert_eq!(session.handle(now, Input::Blocked), Output::Rest);
    assert_eq!(session.handle(now + SECOND, Input::Woken), Output::Rest);
    let close = session.handle(now + BLOCKED_MAX, Input::Woken);
    assert_eq!(close, Output::Close(CloseReason::Blocked));
    let (mut session, now) = listing();
    let close = session.handle(now, Input::Unreadable);
    assert_eq!(close, Output::Close(CloseReason::Unreadable));
}

#[test]
fn a_pattern_that_means_nothing_is_refused_with_the_cause() {
    let (mut session, now) = asking();
    assert_eq!(session.handle(now, Input::Heard(b"LIST /log/[ +2\n")), Output::Say);
    assert_eq!(session.words(), b"E bad-request +2 pattern: a [ has no ]\n");
}
