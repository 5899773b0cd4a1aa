//! One source: what is asked for, and what the answers mean.

use super::*;

#[test]
fn a_first_contact_asks_for_nothing_and_begins_with_what_is_there() {
    let mut life = Life::at(None, Place::default());
    assert_eq!(life.ask(), "/log 0 0\n");
    assert_eq!(life.status("O 7"), [Output::Do(Job::Begin(generation(7)))]);
    assert_eq!(life.source.wants(), Wants::Nothing);
    assert_eq!(life.rotated(Some(7)), []);
    assert_eq!(life.source.wants(), Wants::Data);
}

#[test]
fn other_bytes_at_the_source_are_believed_once_only_durable_ones_were_told() {
    for (durable, goes_back) in [(700, true), (OVERLAP, false), (1000, false)] {
        let mut life = Life::at(Some(7), place(durable, 1000, Trust::Whole));
        let lost = answer(File::Lost(Why::Digest), b"b", 0, 50);
        assert_eq!(life.ask(), "/log 7 744\n");
        life.source.handle_answer(life.now, &lost);
        assert_eq!(is_job(&life.outputs()), !goes_back, "{durable}");
        if goes_back {
            assert_eq!(life.ask(), format!("/log 7 {}\n", durable - OVERLAP));
            life.source.handle_answer(life.now, &lost);
            let gap = Some(Gap { from: 1000, to: None });
            let outcome = Outcome { ending: Ending::Digest, lost: gap };
            let outputs = life.outputs();
            let Some(Output::Do(Job::Rotate { cut: None, outcome: found, .. })) = outputs.last()
            else {
                panic!("{outputs:?}")
            };
            assert_eq!(*found, outcome);
        }
    }
}

#[test]
fn a_file_that_was_not_there_is_written_from_now_on_from_its_beginning() {
    for (start, missing, then) in [
        (Start::End, true, Start::Begin),
        (Start::End, false, Start::End),
        (Start::History, true, Start::History),
    ] {
        let source = Source::new(b"/log".to_vec(), TIMING, 1).starting(start);
        let mut life = Life { source, now: Instant::now() };
        life.outputs();
        life.source.handle_standing(life.now, None, Place::default());
        life.ask();
        let code = if missing { Code::Missing } else { Code::Busy };
        life.source.handle_refusal(life.now, &Refusal::new(code, "words"));
        life.outputs();
        life.ask();
        let begins_late = answer(File::First, b"a", 9, 9);
        life.source.handle_answer(life.now, &begins_late);
        let begun = matches!(life.outputs()[..], [Output::Do(Job::Begin(_))]);
        assert_eq!(begun, then == Start::End, "{start:?}");
    }
}

#[test]
fn what_it_has_is_asked_for_with_an_overlap_and_after_an_orderly_end_exactly() {
    let mut life = Life::at(Some(7), place(1000, 1000, Trust::Whole));
    assert_eq!(life.ask(), "/log 7 744\n");
    assert_eq!(life.status("O 7"), []);
    assert_eq!(life.data(256), [Output::Succeed]);
    assert_eq!(life.data(10), [Output::Succeed]);
    assert_eq!(life.closed(), [Output::Close]);
    assert_eq!(life.ask(), "/log 7 1010\n");
    assert_eq!(life.status("O 8"), [rotate(8)]);
}

#[test]
fn of_a_short_generation_of_protocol_2_at_most_half_is_asked_for_again() {
    for (size, from) in [(1, 0), (2, 1), (135, 67), (511, 255), (512, 256), (1000, 744)] {
        let mut life = Life::with(TIMING);
        let known = Generation { id: Token::parse(b"a"), ..generation(7) };
        life.source.handle_standing(life.now, Some(known), place(size, size, Trust::Whole));
        assert_eq!(life.ask(), format!("/log 7 {from}\n"));
    }
}

#[test]
fn after_a_break_the_overlap_is_asked_for_again() {
    let mut life = Life::following(1000);
    assert!(matches!(life.broken()[..], [Output::Close, Output::Fail(Fault::Read(_))]));
    assert_eq!(life.ask(), "/log 7 744\n");
}

#[test]
fn what_is_not_durable_after_an_unclean_end_is_compared() {
    for (rest, keep) in [(Rest::Arrived, true), (Rest::Doubtful, true), (Rest::Torn, false)] {
        let mut life = Life::at(Some(7), place(500, 1000, Trust::Durable { rest }));
        assert_eq!(life.ask(), "/log 7 244\n");
        life.status("O 7");
        life.data(300);
        let mut outputs = life.differs();
        if rest == Rest::Arrived {
            // It may be what the cache has dropped: a sync tells.
            assert_eq!(outputs, [Output::Close, Output::Do(Job::Checkpoint)]);
            life.source.handle_checkpointed(life.now, 544);
            assert_eq!(life.ask(), "/log 7 288\n");
            life.status("O 7");
            life.data(256);
            outputs = life.differs();
        }
        let cut = Cut { at: 544, keep };
        assert_eq!(outputs, [Output::Close, Output::Do(Job::Cut(cut))]);
    }
}

#[test]
fn a_copy_of_unknown_origin_is_compared_from_its_beginning_and_set_aside_if_it_differs() {
    let mut life = Life::at(None, place(0, 1000, Trust::Nothing));
    assert_eq!(life.ask(), "/log 0 0\n");
    assert_eq!(life.status("O 7"), [Output::Do(Job::Begin(generation(7)))]);
    life.source.handle_standing(life.now, Some(generation(7)), place(0, 1000, Trust::Nothing));
    life.data(400);
    let outputs = life.differs();
    let differs = Output::Tell(Event::CopyDiffers { at: 400 });
    let outcome = Outcome { ending: Ending::Differs, lost: None };
    assert_eq!(outputs, [Output::Close, differs, rotate_as(7, outcome)]);
}

#[test]
fn a_lost_generation_is_told_with_its_position() {
    let mut life = Life::following(1000);
    life.closed();
    life.ask();
    assert_eq!(life.status("L 9"), [lost(7, 1000), rotate_lost(9, Ending::Gone, 1000)]);
}

#[test]
fn a_loss_is_told_up_to_the_last_size_that_was_heard_of() {
    for (heard_in, end) in [("the status line", 1200), ("a heartbeat", 1300), ("neither", 1000)] {
        let mut life = Life::at(Some(7), place(1000, 1000, Trust::Whole));
        life.ask();
        let size = if heard_in == "neither" { 1000 } else { 1200 };
        life.source.handle_answer(life.now, &answer(File::Same, b"a", 744, size));
        let Some(Output::Do(Job::Begin(known))) = life.source.poll_output() else { panic!() };
        assert_eq!(known.heard, size);
        let stands = Place { at: 744, ..place(1000, 1000, Trust::Whole) };
        life.source.handle_standing(life.now, Some(known), stands);
        life.data(256);
        if heard_in == "a heartbeat" {
            life.source.handle_heartbeat(life.now, 1300, false, 6);
        }
        life.broken();
        life.ask();
        let lost = File::Lost(Why::Digest);
        life.source.handle_answer(life.now, &answer(lost, b"b", 0, 50));
        let to = Some(end).filter(|&end| end > 1000);
        let told = Event::Lost { inode: Inode::new(7), offset: 1000, end: to };
        let outcome = Outcome { ending: Ending::Digest, lost: Some(Gap { from: 1000, to }) };
        let outputs = life.outputs();
        assert_eq!(outputs[0], Output::Tell(told), "{heard_in}");
        let Output::Do(Job::Rotate { next, outcome: found, .. }) = outputs[1] else { panic!() };
        assert_eq!((next.heard, found), (50, outcome), "{heard_in}");
    }
}

/// All of 1000 bytes are here, and the source is heard to have 1200.
pub fn heard_of_more() -> Life {
    let mut life = Life::at(Some(7), place(1000, 1000, Trust::Whole));
    life.ask();
    life.source.handle_answer(life.now, &answer(File::Same, b"a", 744, 1200));
    let Some(Output::Do(Job::Begin(known))) = life.source.poll_output() else { panic!() };
    let stands = Place { at: 744, ..place(1000, 1000, Trust::Whole) };
    life.source.handle_standing(life.now, Some(known), stands);
    life.data(256);
    life
}

#[test]
fn a_generation_that_is_complete_with_fewer_bytes_than_were_heard_of_has_lost_the_others() {
    let mut life = heard_of_more();
    life.closed();
    assert_eq!(life.ask(), "/log 7 1000\n");
    life.source.handle_answer(life.now, &answer(File::Next, b"b", 0, 50));
    let (inode, gap) = (Inode::new(7), Gap { from: 1000, to: Some(1200) });
    let lost = Event::Lost { inode, offset: gap.from, end: gap.to };
    assert_eq!(life.source.poll_output(), Some(Output::Tell(lost)));
    let Some(Output::Do(Job::Rotate { outcome, .. })) = life.source.poll_output() else { panic!() };
    assert_eq!(outcome, Outcome { ending: Ending::Complete, lost: Some(gap) });
}

#[test]
fn a_current_file_with_fewer_bytes_than_were_heard_of_has_lost_them_and_that_is_told_once() {
    for (size, rotated, told) in [
        (1100, None, Some(1100)),
        (1000, None, Some(1000)),
        (1100, Some(b"/log.1".to_vec()), None),
        (1200, None, None),
    ] {
        let mut life = heard_of_more();
        for round in 0..2 {
            life.broken();
            life.ask();
            let name = rotated.clone();
            let answer = Answer { name, ..answer(File::Same, b"a", 744, size) };
            life.source.handle_answer(life.now, &answer);
            let lost = |offset| Event::Lost { inode: Inode::new(7), offset, end: Some(1200) };
            let told = told.filter(|_| round == 0).map(|offset| Output::Tell(lost(offset)));
            assert_eq!(life.outputs(), Vec::from_iter(told), "{size} {rotated:?}");
            let heard = life.source.generation().unwrap().heard;
            assert_eq!(heard, if rotated.is_some() { 1200 } else { size });
        }
    }
}

#[test]
fn a_generation_that_is_called_complete_at_fewer_bytes_than_the_copy_has_is_told_as_lost() {
    for (trust, from) in [(Trust::Whole, 744), (Trust::Durable { rest: Rest::Arrived }, 644)] {
        let mut life = Life::at(Some(7), place(900, 1000, trust));
        assert_eq!(life.ask(), format!("/log 7 {from}\n"));
        let shorter = Event::Shorter { inode: Inode::new(7), ended: from, have: 1000 };
        let rotate = rotate_lost(8, Ending::Short, 1000);
        assert_eq!(life.status("O 8"), [Output::Tell(shorter), lost(7, 1000), rotate]);
    }
    // What a power loss left behind the bytes that are right is none of the generation's.
    let torn = Trust::Durable { rest: Rest::Torn };
    let mut life = Life::at(Some(7), place(500, 1000, torn));
    life.ask();
    life.status("O 7");
    life.data(256);
    life.closed();
    assert_eq!(life.ask(), "/log 7 500\n");
    let cut = Some(Cut { at: 500, keep: true });
    let rotate = Job::Rotate { next: generation(8), cut, outcome: Outcome::COMPLETE };
    assert_eq!(life.status("O 8"), [Output::Do(rotate)]);
}

#[test]
fn a_generation_that_is_said_to_be_lost_and_found_at_once_is_a_bad_header() {
    let mut life = Life::following(1000);
    life.closed();
    life.ask();
    let outputs = life.status("L 7");
    assert!(matches!(outputs[..], [Output::Close, Output::Fail(Fault::InitHeader(_))]));
}

#[test]
fn what_is_not_the_protocol_closes_the_connection_and_waits() {
    let mut life = Life::following(1000);
    life.closed();
    life.ask();
    life.source.handle_wire_fault(life.now, &WireFault::LineTooLong(4096));
    let fault = Fault::InitHeader("line longer than 4096 bytes".to_owned());
    assert_eq!(life.outputs(), [Output::Close, Output::Fail(fault)]);
    assert!(life.source.deadline().unwrap() >= life.now + TIMING.reconnect);
}

#[test]
fn a_copy_that_was_changed_during_a_checkpoint_is_recovered_after_it() {
    let mut life = Life::following(1000);
    life.data(10);
    assert!(life.pass(SYNC).contains(&Output::Do(Job::Checkpoint)));
    life.source.handle_data(life.now, Took::Changed, 0, false);
    assert!(matches!(life.outputs()[..], [Output::Close, Output::Fail(Fault::Store(_))]));
    let due = life.source.deadline().unwrap();
    assert!(!is_job(&life.pass(due.saturating_duration_since(life.now))));
    life.source.handle_checkpointed(life.now, 1010);
    assert_eq!(life.outputs(), [Output::Do(Job::Recover)]);
}

#[test]
fn every_wait_has_its_limit() {
    let timeout = |outputs: &[Output], fault: Fault| {
        assert_eq!(outputs, [Output::Close, Output::Fail(fault)]);
    };
    let mut life = Life::at(None, Place::default());
    assert_eq!(life.pass(Duration::ZERO), [Output::Connect]);
    timeout(&life.pass(TIMING.connect_timeout), Fault::InitConnect("timeout".to_owned()));
    life.ask();
    timeout(&life.pass(TIMING.reply_timeout), Fault::InitRead("timeout".to_owned()));
    let mut life = Life::following(10);
    assert_eq!(life.pass(TIMING.idle_timeout - Duration::from_millis(1)), []);
    life.heartbeat();
    assert_eq!(life.pass(TIMING.idle_timeout - Duration::from_millis(1)), []);
    timeout(&life.pass(Duration::from_millis(1)), Fault::Read("timeout".to_owned()));
}

#[test]
fn a_responder_that_works_is_waited_for() {
    let mut life = Life::at(None, Place::default());
    life.ask();
    for _ in 0..10 {
        assert_eq!(life.pass(TIMING.reply_timeout - Duration::from_millis(1)), []);
        life.source.handle_working(life.now);
        assert_eq!(life.outputs(), []);
    }
    assert_eq!(life.source.wants(), Wants::Status);
    assert_eq!(life.status("O 7"), [Output::Do(Job::Begin(generation(7)))]);
}

/// What a responder did that is away behind a forwarder: the connection is accepted and closed.
#[test]
fn a_responder_that_was_away_for_long_finds_its_generation_going_on() {
    let mut life = Life::following(1000);
    life.broken();
    for _ in 0..10 {
        life.ask();
        assert!(matches!(life.closed()[..], [Output::Close, Output::Fail(_)]));
    }
    // It is back, whatever it was asked for: nothing is lost, and nothing begins anew.
    for _ in 0..5 {
        let request = life.ask();
        let outputs = life.status("O 7");
        assert!(!is_job(&outputs), "{request:?} answered by O 7: {outputs:?}");
        if request == "/log 7 744\n" {
            return;
        }
    }
    panic!("the old question was never asked again");
}

/// Truncation below the offset, towards a responder that refuses such an offset without a word.
#[test]
fn a_generation_that_became_shorter_than_the_copy_is_lost_and_begins_anew() {
    let mut life = Life::following(1000);
    life.broken();
    for _ in 0..50 {
        let request = life.ask();
        if request != "/log 0 0\n" {
            life.closed();
            continue;
        }
        let outputs = life.status("O 7");
        if is_job(&outputs) {
            assert_eq!(outputs, [lost(7, 1000), rotate_lost(7, Ending::Gone, 1000)]);
            return;
        }
    }
    panic!("it asks in vain for ever");
}

/// Truncated, and then renamed: the responder knows the old one, refuses its offset, and serves
/// another under the path.
#[test]
fn a_generation_that_became_shorter_and_was_rotated_does_not_hold_up_what_follows() {
    let mut life = Life::following(1000);
    life.broken();
    for _ in 0..50 {
        let request = life.ask();
        if request != "/log 0 0\n" {
            life.closed();
            continue;
        }
        let outputs = life.status("O 8");
        if is_job(&outputs) {
            assert_eq!(outputs, [lost(7, 1000), rotate_lost(8, Ending::Gone, 1000)]);
            return;
        }
    }
    panic!("it asks in vain for ever");
}

#[test]
fn a_responder_that_answers_and_closes_for_ever_is_asked_ever_less_often() {
    let mut life = Life::at(Some(7), place(1000, 1000, Trust::Whole));
    let start = life.now;
    for _ in 0..20 {
        life.ask();
        life.status("O 7");
        life.closed();
    }
    assert!(life.now > start + Duration::from_secs(300), "{:?}", life.now - start);
}

/// The source's host lost the last bytes of a log, which the copy has, and rotated the rest away.
#[test]
fn a_generation_that_ended_shorter_than_the_copy_is_left_for_the_next() {
    for trust in [
        Trust::Whole,
        Trust::Durable { rest: Rest::Arrived },
        Trust::Durable { rest: Rest::Torn },
        Trust::Nothing,
    ] {
        let durable = if trust == Trust::Whole { 1000 } else { 900 };
        let mut life = Life::at(Some(7), place(durable, 1000, trust));
        let start = life.now;
        let mut asked = 0;
        let next = loop {
            let request = life.ask();
            asked += 1;
            assert!(asked < 20, "{trust:?}: it asks in vain for ever");
            let from: u64 = request.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
            assert!(from <= 950, "{trust:?}: {request} is beyond the end");
            if from == 950 {
                break life.status("O 8");
            }
            life.status("O 7");
            life.data(950 - from);
            for output in life.closed() {
                if let Output::Do(Job::Cut(cut)) = output {
                    assert!(cut.at >= 950);
                    let stands = place(900, cut.at, Trust::Whole);
                    life.source.handle_standing(life.now, Some(generation(7)), stands);
                } else if let Output::Do(Job::Rotate { .. }) = output {
                    life.rotated(Some(7));
                    life.outputs();
                }
            }
        };
        assert!(is_job(&next), "{trust:?}: {next:?}");
        assert!(asked < 10 || life.now > start + Duration::from_secs(5), "a hot loop");
    }
}

#[test]
fn bytes_that_were_compared_are_not_cut_off_with_those_that_were_not() {
    let mut life = Life::at(Some(7), place(500, 1000, Trust::Durable { rest: Rest::Torn }));
    life.ask();
    life.status("O 7");
    life.data(400);
    life.closed();
    life.ask();
    // It may be our own disk that has others than were compared.
    assert_eq!(life.status("L 8"), [Output::Close, Output::Do(Job::Checkpoint)]);
    life.source.handle_checkpointed(life.now, 644);
    life.ask();
    let outputs = life.status("L 8");
    // What is cut off is not had.
    assert_eq!(outputs[0], lost(7, 644));
    let outcome = Outcome { ending: Ending::Gone, lost: Some(Gap { from: 644, to: None }) };
    let cut = Some(Cut { at: 644, keep: true });
    assert_eq!(outputs[1], Output::Do(Job::Rotate { next: generation(8), cut, outcome }));
}

#[test]
fn a_copy_that_is_not_its_generation_does_not_hide_the_generations_behind() {
    for (durable, trust) in [(1000, Trust::Whole), (0, Trust::Nothing)] {
        let mut life = Life::at(Some(7), place(durable, 1000, trust));
        life.ask();
        life.status("O 7");
        let outputs = life.differs();
        let Some(Output::Do(Job::Rotate { next, .. })) = outputs.last() else {
            panic!("{outputs:?}")
        };
        life.rotated(Some(next.inode.number()));
        assert_eq!(life.ask(), "/log 7 0\n", "{trust:?}");
    }
}

/// It sends what is asked for, too, and no byte that was not there.
#[test]
fn a_responder_that_repeats_itself_and_closes_for_ever_is_not_asked_in_a_hot_loop() {
    let mut life = Life::at(Some(7), place(1000, 1000, Trust::Whole));
    let start = life.now;
    for _ in 0..40 {
        let request = life.ask();
        let from: u64 = request.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
        life.status("O 7");
        life.data(1000 - from);
        life.closed();
    }
    assert!(life.now > start + Duration::from_secs(40), "{:?}", life.now - start);
}

#[test]
fn there_is_one_job_at_a_time_and_a_checkpoint_is_never_in_the_way_of_a_rotation() {
    let mut life = Life::following(1000);
    life.data(10);
    assert_eq!(life.pass(SYNC), [Output::Do(Job::Checkpoint)]);
    life.closed();
    life.ask();
    assert_eq!(life.status("O 8"), []);
    life.source.handle_checkpointed(life.now, 1010);
    assert_eq!(life.outputs(), [rotate(8)]);
}

#[test]
fn what_arrived_is_checkpointed_even_if_the_responder_falls_silent_on_the_next_connection() {
    let hasty = Timing { reconnect: Duration::from_millis(100), ..TIMING };
    let mut life = Life { source: Source::new(b"/log".to_vec(), hasty, 1), now: Instant::now() };
    life.outputs();
    let place = place(1000, 1000, Trust::Whole);
    life.source.handle_standing(life.now, Some(generation(7)), place);
    life.ask();
    life.status("O 7");
    life.data(OVERLAP + 500);
    life.broken();
    assert_eq!(life.ask(), "/log 7 1244\n");
    life.status("O 7");
    assert!(life.source.dirty(), "500 bytes are not in the pointer");
}

#[test]
fn a_responder_that_closed_often_is_still_asked_for_what_follows_in_the_end() {
    let mut life = Life::following(1000);
    life.broken();
    // So far it always went on, and closed after the overlap.
    for _ in 0..10 {
        let request = life.ask();
        life.status("O 7");
        if request == "/log 7 744\n" {
            life.data(OVERLAP);
            life.closed();
        }
    }
    // Now the generation is complete there, which only the exact end can tell.
    let mut requests = Vec::new();
    for _ in 0..4 {
        requests.push(life.ask());
        if requests.last().is_some_and(|request| request == "/log 7 1000\n") {
            assert_eq!(life.status("O 8"), [rotate(8)]);
            return;
        }
        life.status("O 7");
        life.data(OVERLAP);
        life.closed();
    }
    panic!("{requests:?}");
}

#[test]
fn what_arrives_is_synced_as_the_policy_says() {
    assert_eq!(SyncPolicy::parse("always"), Ok(SyncPolicy::Within(Duration::ZERO)));
    assert_eq!(SyncPolicy::parse("never"), Ok(SyncPolicy::Never));
    assert_eq!(SyncPolicy::parse("200ms"), Ok(SyncPolicy::Within(Duration::from_millis(200))));
    assert!(SyncPolicy::parse("sometimes").is_err());
    for (sync, first, second) in [
        (SyncPolicy::Within(Duration::ZERO), Some(Duration::ZERO), Some(Duration::ZERO)),
        (SyncPolicy::Within(SYNC), Some(SYNC), Some(SYNC)),
        (SyncPolicy::Never, None, None),
    ] {
        let mut life = Life::following_with(1000, Timing { sync, ..TIMING });
        for expected in [first, second] {
            life.data(10);
            let wait = expected.unwrap_or(TIMING.idle_timeout - Duration::from_secs(1));
            let jobs = expected.map(|_| Output::Do(Job::Checkpoint));
            assert_eq!(life.pass(wait), Vec::from_iter(jobs), "{sync:?}");
            if expected.is_some() {
                let durable = life.source.place().size;
                life.source.handle_checkpointed(life.now, durable);
                life.outputs();
            }
        }
        assert_eq!(life.source.dirty(), sync == SyncPolicy::Never);
    }
}

#[test]
fn a_renamed_copy_is_looked_for_as_soon_as_a_checkpoint_is_over() {
    let mut life = Life::following(1000);
    life.data(10);
    assert_eq!(life.pass(SYNC), [Output::Do(Job::Checkpoint)]);
    life.source.handle_reopen();
    assert_eq!(life.outputs(), []);
    life.source.handle_checkpointed(life.now, 1010);
    assert_eq!(life.outputs(), [Output::Acknowledge(1010), Output::Do(Job::Reopen)]);
}

#[test]
fn a_store_fault_closes_the_connection_and_begins_again_from_the_disk() {
    let mut life = Life::following(1000);
    life.data(10);
    assert_eq!(life.pass(SYNC), [Output::Do(Job::Checkpoint)]);
    let fault = Fault::Store("cannot sync log: Input/output error".to_owned());
    life.source.handle_store_fault(life.now, fault.clone());
    assert_eq!(life.outputs(), [Output::Close, Output::Fail(fault)]);
    assert!(!life.source.dirty(), "memory says nothing about the copy any more");
    assert_eq!(life.pass(Duration::from_secs(7)), [Output::Do(Job::Recover)]);
}

#[test]
fn what_cannot_be_asked_for_since_the_copy_cannot_be_read_is_looked_for_on_the_disk() {
    let mut life = Life::at(Some(7), place(1000, 1000, Trust::Whole));
    life.ask();
    let fault = Fault::Store("cannot read copy log: Input/output error".to_owned());
    life.source.handle_unreadable(life.now, fault.clone());
    assert_eq!(life.outputs(), [Output::Close, Output::Fail(fault.clone())]);
    assert_eq!(life.pass(Duration::from_secs(7)), [Output::Do(Job::Recover)]);
    // Nothing is asked: nothing comes of it.
    life.source.handle_unreadable(life.now, fault);
    assert_eq!(life.outputs(), []);
}
