//! One source that is fetched once.

use super::*;

/// A source that is fetched once and has recovered to stand there.
fn once(size: u64) -> Life {
    let mut life = Life::at(Some(7), place(size, size, Trust::Whole));
    life.source.aim(Goal::Once);
    life
}

#[test]
fn fetched_once_a_source_is_complete_when_all_of_it_is_durable() {
    let mut life = once(1000);
    life.ask();
    life.status("O 7");
    assert_eq!(life.data(256 + 10), [Output::Succeed]);
    life.confirm();
    // A checkpoint that began before the last bytes came does not make them durable.
    let due = life.source.deadline().unwrap();
    assert_eq!(life.pass(due - life.now), [Output::Do(Job::Checkpoint)]);
    assert_eq!(life.data(10), [Output::Succeed]);
    assert_eq!(life.heartbeat(), [Output::Succeed, Output::Close]);
    assert_eq!((life.source.wants(), life.source.deadline()), (Wants::Nothing, None));
    life.source.handle_checkpointed(life.now, 1010);
    assert_eq!(life.outputs(), [Output::Do(Job::Checkpoint)]);
    life.source.handle_checkpointed(life.now, 1020);
    assert_eq!(life.outputs(), [Output::Complete]);
    assert_eq!(life.source.deadline(), None);
}

#[test]
fn fetched_once_a_source_with_nothing_new_is_complete_when_that_is_said_once_more() {
    let mut life = once(1000);
    life.ask();
    life.status("O 7");
    life.data(256);
    life.confirm();
    assert_eq!(life.heartbeat(), [Output::Succeed, Output::Close, Output::Complete]);
}

/// A source that is fetched once in protocol 2, whose first end was reached; and that asks again.
fn once_at_end(size: u64) -> Life {
    let first = answer(File::First, b"a", 0, size);
    let mut life = Life::at(None, Place::default());
    life.source.aim(Goal::Once);
    life.ask();
    life.source.handle_answer(life.now, &first);
    let Some(Output::Do(Job::Begin(known))) = life.source.poll_output() else { panic!() };
    life.source.handle_standing(life.now, Some(known), Place::default());
    assert_eq!(life.data(size), [Output::Succeed, Output::Close]);
    assert_eq!(life.ask(), format!("/log 7 {size}\n"));
    life
}

#[test]
fn fetched_once_an_end_is_believed_only_behind_an_answer_that_was_given_after_an_end() {
    let complete = [Output::Succeed, Output::Close, Output::Do(Job::Checkpoint)];
    let mut life = once_at_end(1000);
    assert_eq!(life.goes_on(1000, None), []);
    assert_eq!(life.heartbeat(), complete);

    // What was written since comes as well; a log that is always written to has no other end.
    let mut life = once_at_end(1000);
    assert_eq!(life.goes_on(1010, None), []);
    assert_eq!(life.data(9), [Output::Succeed]);
    assert_eq!(life.data(2), complete);

    // It was rotated meanwhile: it is followed to its end, and so is what comes next.
    let mut life = once_at_end(1000);
    assert_eq!(life.goes_on(1000, Some(b"/log.1")), []);
    assert_eq!(life.heartbeat(), [Output::Succeed]);
    assert_eq!(life.data(10), [Output::Succeed]);
    assert_eq!(life.closed(), [Output::Close]);
    assert_eq!(life.ask(), "/log 7 1010\n");
    let next = Answer { inode: Inode::new(8), ..answer(File::Next, b"b", 0, 0) };
    life.source.handle_answer(life.now, &next);
    assert!(is_job(&life.outputs()));
    life.rotated(Some(8));
    assert_eq!(life.heartbeat(), [Output::Succeed, Output::Close]);
    assert_eq!(life.ask(), "/log 8 0\n");
    assert_eq!(life.status("O 8"), []);
    assert_eq!(life.heartbeat(), [Output::Succeed, Output::Close, Output::Complete]);
}

#[test]
fn fetched_once_a_responder_that_is_alive_and_sends_nothing_is_given_up_like_a_silent_one() {
    let pause = TIMING.idle_timeout / 2;
    for name in [None, Some(&b"/log.1"[..])] {
        let mut life = once_at_end(1000);
        life.goes_on(1010, name);
        life.data(5);
        assert!(!life.pass(pause).contains(&Output::Close));
        // There are more, it says, and none comes.
        life.source.handle_heartbeat(life.now, 1010, false, 6);
        life.outputs();
        let timeout = Fault::Read("nothing but signs of life, and there is more".to_owned());
        let no_more = Fault::Read("no file follows the rotated one".to_owned());
        let fault = if name.is_some() { no_more } else { timeout };
        assert_eq!(life.pass(pause), [Output::Close, Output::Fail(fault)]);
    }
}

#[test]
fn fetched_once_a_source_of_which_bytes_were_lost_is_not_complete() {
    let mut life = once(1000);
    life.ask();
    assert_eq!(life.status("L 8").first(), Some(&lost(7, 1000)));
    life.rotated(Some(8));
    assert_eq!(life.heartbeat(), [Output::Succeed, Output::Close]);
    life.ask();
    life.status("O 8");
    assert_eq!(life.heartbeat(), [Output::Succeed, Output::Close, Output::GiveUp]);
    assert_eq!(life.source.lost().map(|lost| Output::Tell(lost.clone())), Some(lost(7, 1000)));

    // Nor one whose file lost its end, of which was heard.
    let mut life = once_at_end(1000);
    life.goes_on(1200, None);
    life.broken();
    life.ask();
    let inode = Inode::new(7);
    let cut = Event::Lost { inode, offset: 1000, end: Some(1200) };
    assert_eq!(life.goes_on(1000, None), [Output::Tell(cut.clone())]);
    assert_eq!(life.data(256), [Output::Succeed, Output::Close, Output::GiveUp]);
    assert_eq!(life.source.lost(), Some(&cut));
}

#[test]
fn a_checkpoint_that_waited_half_its_time_comes_along_with_others() {
    let mut life = Life::following(100);
    let checkpoints = |life: &mut Life| {
        life.source.handle_gathering(life.now);
        life.outputs().contains(&Output::Do(Job::Checkpoint))
    };
    life.pass(SYNC * 2);
    assert!(!checkpoints(&mut life), "nothing has arrived");
    life.data(10);
    life.pass(SYNC / 2 - Duration::from_millis(1));
    assert!(!checkpoints(&mut life), "it waits for less than half its time");
    life.pass(Duration::from_millis(1));
    assert!(checkpoints(&mut life));
    assert!(!checkpoints(&mut life), "it runs already");
    let never = Timing { sync: SyncPolicy::Never, ..TIMING };
    let mut life = Life::following_with(100, never);
    life.data(10);
    life.pass(SYNC * 2);
    assert!(!checkpoints(&mut life));
}

#[test]
fn fetched_once_a_disk_that_never_syncs_is_given_up_though_the_same_bytes_come_again() {
    let mut life = once(1000);
    for last in [false, false, true] {
        life.ask();
        life.status("O 7");
        let missing = 1010 - life.source.place().at;
        life.data(missing);
        life.confirm();
        assert_eq!(life.heartbeat(), [Output::Succeed, Output::Close, Output::Do(Job::Checkpoint)]);
        let fault = Fault::Store("cannot sync".to_owned());
        life.source.handle_store_fault(life.now, fault.clone());
        let mut expected = vec![Output::Close, Output::Fail(fault)];
        expected.extend(last.then_some(Output::GiveUp));
        assert_eq!(life.outputs(), expected);
        if !last {
            let due = life.source.deadline().unwrap();
            assert_eq!(life.pass(due - life.now), [Output::Do(Job::Recover)]);
            let trust = Trust::Durable { rest: Rest::Doubtful };
            let standing = place(1000, 1010, trust);
            life.source.handle_standing(life.now, Some(generation(7)), standing);
            assert_eq!(life.outputs(), []);
        }
    }
    assert_eq!(life.source.deadline(), None);
}

#[test]
fn fetched_once_a_responder_that_is_busy_is_asked_for_longer_but_not_for_ever() {
    let busy = Refusal::new(Code::Busy, "being compressed");
    let mut life = once(1000);
    let mut asked = 0;
    loop {
        life.ask();
        life.source.handle_refusal(life.now, &busy);
        asked += 1;
        if life.outputs().contains(&Output::GiveUp) {
            break;
        }
    }
    assert!((10..50).contains(&asked), "{asked}");
    let missing = Refusal::new(Code::Missing, "no such file");
    let mut life = once(1000);
    for last in [false, false, true] {
        life.ask();
        life.source.handle_refusal(life.now, &missing);
        assert_eq!(life.outputs().contains(&Output::GiveUp), last);
    }
}

#[test]
fn fetched_once_a_source_is_given_up_after_three_failures_between_which_nothing_came() {
    let mut life = once(1000);
    let fail = |life: &mut Life| {
        life.ask();
        life.source.handle_end(life.now, End::Broken("reset".to_owned()));
        life.outputs()
    };
    for _ in 0..2 {
        assert_eq!(fail(&mut life).len(), 2);
    }
    // Something comes.
    life.ask();
    life.status("O 7");
    life.data(256 + 10);
    assert_eq!(life.broken().len(), 2);
    assert_eq!(fail(&mut life).len(), 2);
    // What was not durable is made so before.
    let given_up = fail(&mut life);
    assert_eq!(given_up.last(), Some(&Output::GiveUp), "{given_up:?}");
    assert_eq!((life.source.deadline(), life.source.dirty()), (None, false));
}

#[test]
fn a_second_heartbeat_of_an_unverified_end_cuts_it_off() {
    let mut life = Life::at(Some(7), place(500, 1000, Trust::Durable { rest: Rest::Arrived }));
    life.ask();
    life.status("O 7");
    life.data(300);
    let cut = Cut { at: 544, keep: true };
    assert_eq!(life.heartbeat(), [Output::Close, Output::Do(Job::Cut(cut))]);
}

#[test]
fn fetched_once_a_rotated_file_that_is_written_for_ever_is_given_up() {
    let mut life = once_at_end(1000);
    life.goes_on(1010, Some(b"/log.1"));
    let begun = life.now;
    loop {
        life.pass(Duration::from_secs(60));
        if life.data(5).contains(&Output::GiveUp) {
            break;
        }
        if life.source.deadline().is_none() {
            // What came is made durable first.
            life.source.handle_checkpointed(life.now, life.source.place().size);
            assert!(life.outputs().contains(&Output::GiveUp));
            break;
        }
        let place = life.source.place();
        let (busy, size) = (life.source.busy(), place.size);
        if busy {
            life.source.handle_checkpointed(life.now, size);
            life.outputs();
        }
        assert!(life.now - begun < Duration::from_secs(3600), "it never ends");
    }
    assert!(life.now - begun >= Duration::from_secs(600));
}

/// Found by the simulation: a host had lost the end of a log, which was then rotated. It was given up since the source
/// had fewer bytes than the copy, though to wait for its end would have shown what follows, and the new log was
/// never fetched.
#[test]
fn fetched_once_a_rotated_file_that_is_shorter_than_the_copy_is_followed_to_its_end() {
    for current in [false, true] {
        let mut life = once(1000);
        assert_eq!(life.ask(), "/log 7 744\n");
        let name = (!current).then(|| b"/log.1".to_vec());
        let same = Answer { name, ..answer(File::Same, b"a", 744, 900) };
        life.source.handle_answer(life.now, &same);
        if let Some(Output::Do(Job::Begin(known))) = life.source.poll_output() {
            life.source.handle_standing(life.now, Some(known), *life.source.place());
        }
        assert_eq!(life.data(156), [Output::Succeed]);
        if current {
            let outputs = life.heartbeat();
            assert!(matches!(outputs[..], [Output::Close, Output::Fail(_)]), "{outputs:?}");
            continue;
        }
        assert_eq!(life.heartbeat(), [Output::Succeed]);
        life.closed();
        assert_eq!(life.ask(), "/log 7 900\n");
        life.source.handle_answer(life.now, &answer(File::Next, b"b", 0, 5));
        assert!(life.outputs().contains(&lost(7, 1000)));
    }
}
