//! Which losses are told: those for which nothing of our own can answer.

use super::*;

/// Found by the simulation: a sync of the copy had failed and the cache dropped what was not written, but the
/// checkpoint had not reported that yet when the overlap was compared. What was read then was taken for another
/// file's, and a loss was told, though nothing was lost. Now what differs and is not durable is synced first.
#[test]
fn what_differs_is_made_durable_before_a_loss_is_told() {
    for (runs, fails) in [(false, false), (false, true), (true, false), (true, true)] {
        let sync = SyncPolicy::Within(if runs { SYNC } else { 1000 * SYNC });
        let mut life = Life::following_with(1000, Timing { sync, ..TIMING });
        life.data(10);
        if runs {
            assert!(life.pass(SYNC).contains(&Output::Do(Job::Checkpoint)));
        }
        life.broken();
        assert_eq!(begin_asking(&mut life), "/log 7 754\n");
        assert_eq!(life.status("O 7"), []);
        life.data(250);
        let outputs = life.differs();
        let checkpoint = Output::Do(Job::Checkpoint);
        assert_eq!(outputs.contains(&checkpoint), !runs, "{outputs:?}");
        assert_eq!(outputs[0], Output::Close);
        assert!(!outputs.contains(&lost(7, 1010)), "{outputs:?}");
        if fails {
            life.source.handle_store_fault(life.now, Fault::Store("cannot sync".to_owned()));
            assert!(matches!(life.outputs()[..], [Output::Close, Output::Fail(_)]));
            let due = life.source.deadline().unwrap().saturating_duration_since(life.now);
            assert_eq!(life.pass(due), [Output::Do(Job::Recover)]);
        } else {
            if runs {
                // It may have begun before the last bytes came.
                life.source.handle_checkpointed(life.now, 1000);
                assert_eq!(life.outputs(), [checkpoint]);
            }
            life.source.handle_checkpointed(life.now, 1010);
            assert_eq!(life.ask(), "/log 7 754\n");
            assert_eq!(life.status("O 7"), []);
            life.data(250);
            assert!(life.differs().contains(&lost(7, 1010)));
        }
    }
}

/// Found by the simulation: a sync had failed without anybody asking, the cache dropped what was not written, and
/// the process was killed. The next one found a copy whose end had arrived, as far as it knew, read zeros in it,
/// and told a loss; its own first sync would have told it better.
#[test]
fn what_was_found_and_differs_is_made_durable_before_a_loss_is_told() {
    for fails in [false, true] {
        let arrived = Trust::Durable { rest: Rest::Arrived };
        let mut life = Life::at(Some(7), place(0, 1000, arrived));
        assert_eq!(life.ask(), "/log 7 0\n");
        life.status("O 7");
        assert_eq!(life.differs(), [Output::Close, Output::Do(Job::Checkpoint)]);
        if fails {
            life.source.handle_store_fault(life.now, Fault::Store("cannot sync".to_owned()));
            assert!(matches!(life.outputs()[..], [Output::Close, Output::Fail(_)]));
            let due = life.source.deadline().unwrap().saturating_duration_since(life.now);
            assert_eq!(life.pass(due), [Output::Do(Job::Recover)]);
        } else {
            life.source.handle_checkpointed(life.now, 0);
            assert_eq!(life.ask(), "/log 7 0\n");
            life.status("O 7");
            assert!(life.differs().contains(&lost(7, 1000)));
        }
    }
}

/// Found by the simulation: the end of a copy was compared after a power loss and written again, and was being made
/// durable when the connection ended. The next one asked from the beginning and found another file: the copy was
/// cut to nothing, below what the pointer said by then, and what had come was gone without a word.
#[test]
fn what_was_compared_after_a_power_loss_is_not_cut_off_when_the_source_has_another_file() {
    for rest in [Rest::Torn, Rest::Doubtful] {
        let timing = Timing { sync: SyncPolicy::Within(1000 * SYNC), ..TIMING };
        let mut life = Life::at_with(Some(7), place(0, 1000, Trust::Durable { rest }), timing);
        assert_eq!(life.ask(), "/log 7 0\n");
        assert_eq!(life.status("O 7"), []);
        life.data(600);
        life.broken();
        assert_eq!(life.ask(), "/log 7 344\n");
        assert_eq!(life.status("O 7"), []);
        assert_eq!(life.differs(), [Output::Close, Output::Do(Job::Checkpoint)]);
        life.source.handle_checkpointed(life.now, 600);
        assert_eq!(life.ask(), "/log 7 344\n");
        assert_eq!(life.status("O 7"), []);
        let outputs = life.differs();
        assert!(outputs.contains(&lost(7, 600)), "{outputs:?}");
        let cut = Some(Cut { at: 600, keep: true });
        let is_rotation = |output: &Output| matches!(output, Output::Do(Job::Rotate { cut: its, .. }) if *its == cut);
        assert!(outputs.iter().any(is_rotation), "{outputs:?}");
    }
}

/// Found by reading: bytes were being made durable when the responder answered that it had others than the digests
/// told. They were compared from the durable part on, as that was before; where the source had become shorter, the
/// copy was cut there after the checkpoint, and the pointer promised more than it had.
#[test]
fn what_is_being_made_durable_is_not_gone_back_behind() {
    let mut life = source::heard_of_more();
    life.data(1000);
    assert!(life.pass(SYNC).contains(&Output::Do(Job::Checkpoint)));
    life.broken();
    assert_eq!(begin_asking(&mut life), "/log 7 1744\n");
    let other = answer(File::Lost(Why::Digest), b"b", 0, 50);
    life.source.handle_answer(life.now, &other);
    assert_eq!(life.outputs(), [Output::Close]);
    assert_eq!(life.source.place().right(), 2000);
    // It may have begun before the last bytes came.
    life.source.handle_checkpointed(life.now, 2000);
    assert_eq!(life.outputs(), [Output::Do(Job::Checkpoint)]);
    life.source.handle_checkpointed(life.now, 2000);
    assert_eq!(life.ask(), "/log 7 1744\n");
    life.source.handle_answer(life.now, &other);
    assert!(life.outputs().contains(&lost(7, 2000)));
}

/// Making sure writes a pointer that tells of what both have in common: that says nothing of whose the rest is.
#[test]
fn what_was_found_and_begins_as_the_source_is_no_end_of_it() {
    let mut life = Life::at(Some(7), place(0, 1000, Trust::Durable { rest: Rest::Arrived }));
    assert_eq!(life.ask(), "/log 7 0\n");
    life.status("O 7");
    life.data(6);
    assert_eq!(life.differs(), [Output::Close, Output::Do(Job::Checkpoint)]);
    life.source.handle_checkpointed(life.now, 6);
    assert_eq!(life.ask(), "/log 7 0\n");
    life.status("O 7");
    life.data(6);
    assert!(life.differs().contains(&lost(7, 1000)));
}

/// As [`Life::ask`], while a checkpoint goes on.
fn begin_asking(life: &mut Life) -> String {
    while !life.source.connecting() {
        let due = life.source.deadline().expect("it waits for something");
        life.pass(due.saturating_duration_since(life.now));
    }
    life.ask_connected()
}

#[test]
fn what_a_digest_of_bytes_that_are_not_durable_was_answered_with_is_asked_for_again() {
    for (from_durable, asks_again) in [(OVERLAP, false), (100, true)] {
        // The source asks from 744.
        let durable = if asks_again { from_durable } else { 1000 };
        let mut life = Life::at(Some(7), place(durable, 1000, Trust::Whole));
        assert_eq!(life.ask(), "/log 7 744\n");
        let gone = answer(File::Lost(Why::Gone), b"b", 0, 50);
        life.source.handle_answer(life.now, &gone);
        let outputs = life.outputs();
        assert_eq!(outputs == [Output::Close, Output::Do(Job::Checkpoint)], asks_again);
        assert_eq!(outputs.contains(&lost(7, 1000)), !asks_again, "{outputs:?}");
        if asks_again {
            life.source.handle_checkpointed(life.now, 1000);
            assert_eq!(life.ask(), "/log 7 744\n");
            life.source.handle_answer(life.now, &gone);
            assert!(life.outputs().contains(&lost(7, 1000)));
        }
    }
}

/// Found by the simulation: connections were cut before an answer came, and each third time the responder said
/// what is there now. After the third of these answers a loss was told, though a responder of protocol 2 had
/// never said that anything was lost, and would have.
#[test]
fn answers_of_protocol_2_between_connections_that_are_closed_prove_no_loss() {
    let mut life = Life::following(1000);
    life.broken();
    let mut answers = 0;
    while answers < 10 {
        if life.ask() != "/log 0 0\n" {
            life.closed();
            continue;
        }
        answers += 1;
        life.source.handle_answer(life.now, &answer(File::First, b"a", 0, 2000));
        assert_eq!(life.outputs(), [Output::Close]);
    }
}
