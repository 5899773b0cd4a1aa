//! The session, input by input.

use super::*;
use crate::pos::Inode;
use crate::pos::Writers;
use crate::proto::status::Verdict;
use crate::serve::tail::Place;

const SECOND: Duration = Duration::from_secs(1);
const TIMES: Times =
    Times { request: Duration::from_secs(5), heartbeat: SECOND, linger: BLOCKED_MAX };

fn kept(size: u64) -> Input<'static> {
    Input::Seen(View { size, links: 1, place: Place::Kept, writers: None })
}

fn taken(size: u64, writers: Option<Writers>) -> Input<'static> {
    Input::Seen(View { size, links: 1, place: Place::Taken, writers })
}

fn asking() -> (Session, Instant) {
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
    let opening = Opening { status, from: 4, size: 10, quiet: Duration::ZERO };
    assert_eq!(session.handle(now, Input::Opened(opening)), Output::Say);
    assert_eq!(session.words(), b"O 7\n");
    assert_eq!(session.handle(now, Input::Said(4)), Output::Look);
    (session, now)
}

/// The same, with all 10 bytes and the heartbeat at the end sent.
fn at_end() -> (Session, Instant) {
    let (mut session, now) = following();
    assert_eq!(session.handle(now, kept(10)), Output::Send(4));
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
    let close = session.handle(now, Input::Refused);
    assert_eq!((close, session.words()), (Output::Close(CloseReason::Refused), &b""[..]));
}

#[test]
fn a_status_line_that_was_cut_short_goes_on_where_it_was_cut() {
    let (mut session, now) = asking();
    session.handle(now, Input::Heard(b"/log\n"));
    let status = Status { verdict: Verdict::Lost, inode: Inode::new(7).renamed() };
    let opening = Opening { status, from: 0, size: 0, quiet: Duration::ZERO };
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
    assert_eq!(session.sent(), Some(10));
    assert_eq!(session.handle(now, Input::Woken), Output::Look);
    assert_eq!(session.handle(now, kept(13)), Output::Send(10));
    assert_eq!(session.handle(now, Input::Sent(2)), Output::Look);
    assert_eq!(session.handle(now, kept(13)), Output::Send(12));
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
    assert_eq!(session.handle(now, kept(10)), Output::Send(4));
    assert_eq!(session.handle(now, Input::Blocked), Output::Rest);
    assert_eq!(session.deadline(), now + BLOCKED_MAX);
    let later = now + 59 * SECOND;
    assert_eq!(session.handle(later, Input::Writable), Output::Look);
    assert_eq!(session.handle(later, kept(10)), Output::Send(4));
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
    assert_eq!(session.handle(now, taken(12, nobody)), Output::Send(10));
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
        Input::Seen(View { size: 10, links: 1, place: Place::Vacant, writers })
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
    assert_eq!(session.handle(now, kept(10)), Output::Send(4));
    assert_eq!(session.handle(now, Input::Sent(0)), Output::Say);
    assert_eq!(session.handle(now, Input::Said(1)), Output::Look);
    assert_eq!(session.handle(now, kept(10)), Output::Send(4));
    assert_eq!(session.handle(now, Input::Sent(0)), Output::Rest);
}

#[test]
fn a_request_of_protocol_2_is_answered_in_protocol_1() {
    let (mut session, now) = asking();
    let find = session.handle(now, Input::Heard(b"/log 7 4 +2 id=x\n"));
    assert!(matches!(find, Output::Find(request) if request.path == b"/log"));
    for question in ["LIST /log +2\n", "DIGEST /log 7 4 +2\n"] {
        let (mut session, now) = asking();
        let close = session.handle(now, Input::Heard(question.as_bytes()));
        assert_eq!(close, Output::Close(CloseReason::Refused));
    }
}
