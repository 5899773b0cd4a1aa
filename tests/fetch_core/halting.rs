//! A source that may not go on although its responder would.

use super::*;
use fetchlogs::fetch::haste::{BURST, BURST_ONCE, BYTES_MUCH};

fn no_room() -> Fault {
    Fault::NoRoom { copy: "/logs/log".into(), floor: "5%".to_owned() }
}

#[test]
fn without_room_the_connection_is_closed_told_once_and_goes_on_by_itself_where_it_was() {
    let mut life = Life::following(1000);
    life.data(500);
    life.source.handle_no_room(no_room());
    assert_eq!(life.outputs(), [Output::Close, Output::Fail(no_room())]);
    assert_eq!(life.source.wants(), Wants::Nothing);
    life.source.handle_no_room(no_room());
    assert_eq!(life.outputs(), []);
    // What came before is made durable all the same, and nothing else is waited for.
    assert_eq!(life.pass(SYNC), [Output::Do(Job::Checkpoint)]);
    life.source.handle_checkpointed(life.now, 1500);
    assert_eq!((life.outputs(), life.source.deadline()), (vec![], None));
    life.source.handle_room(life.now);
    assert_eq!(life.ask(), "/log 7 1244\n");
    life.status("O 7");
    assert_eq!(life.data(256), [Output::Succeed]);
}

#[test]
fn without_room_what_waits_does_not_connect_and_a_rotation_that_has_begun_is_finished() {
    let mut life = Life::following(1000);
    life.broken();
    life.source.handle_no_room(no_room());
    assert_eq!(life.outputs(), []);
    assert_eq!(life.pass(Duration::from_secs(60)), [Output::Close, Output::Fail(no_room())]);
    life.source.handle_room(life.now);
    assert_eq!(life.ask(), "/log 7 744\n");
    life.status("O 7");
    life.data(256);
    life.closed();
    life.ask();
    assert_eq!(life.status("O 8"), [rotate(8)]);
    life.source.handle_no_room(no_room());
    assert_eq!(life.outputs(), []);
    assert_eq!(life.rotated(Some(8)), [Output::Close, Output::Fail(no_room())]);
    assert!(!life.pass(Duration::from_secs(60)).contains(&Output::Connect));
    life.source.handle_room(life.now);
    assert_eq!(life.ask(), "/log 8 0\n");
}

#[test]
fn without_room_a_copy_that_was_renamed_is_left_at_once_or_when_its_checkpoint_is_done() {
    let mut life = Life::following(1000);
    life.source.handle_no_room(no_room());
    life.outputs();
    life.source.handle_reopen();
    assert_eq!(life.outputs(), [Output::Do(Job::Reopen)]);
    life.source.handle_not_reopened(life.now);
    // There is no room yet.
    assert_eq!(life.pass(Duration::ZERO), [Output::Close, Output::Fail(no_room())]);
    assert_eq!((life.pass(Duration::from_secs(60)), life.source.deadline()), (vec![], None));

    let mut life = Life::following(1000);
    life.data(10);
    assert_eq!(life.pass(SYNC), [Output::Do(Job::Checkpoint)]);
    life.source.handle_reopen();
    life.source.handle_no_room(no_room());
    assert_eq!(life.outputs(), [Output::Close, Output::Fail(no_room())]);
    life.source.handle_checkpointed(life.now, 1010);
    assert_eq!(life.outputs(), [Output::Do(Job::Reopen)]);
}

#[test]
fn fetched_once_a_source_without_room_is_given_up_at_once() {
    let mut life = Life::following(1000);
    life.source.aim(Goal::Once);
    life.source.handle_no_room(no_room());
    let outputs = life.outputs();
    assert_eq!(outputs, [Output::Close, Output::Fail(no_room()), Output::GiveUp]);
}

/// How many generations of `bytes` bytes come, one behind the other, until there is a wait.
fn hurry(life: &mut Life, bytes: u64, most: u64) -> u64 {
    for number in 1..=most {
        life.data(bytes);
        let outputs = life.closed();
        if outputs.contains(&Output::Fail(Fault::Haste)) {
            return number;
        }
        let soon = life.now + Duration::from_secs(1);
        assert!(life.source.deadline().unwrap() <= soon, "a wait after {number}");
        life.ask();
        assert_eq!(life.status(&format!("O {}", 7 + number)).len(), 1);
        life.rotated(Some(7 + number));
    }
    most
}

#[test]
fn four_hundred_nights_and_any_number_of_large_generations_come_at_full_speed() {
    for (bytes, count) in [(0, 400), (10, 400), (BYTES_MUCH, 10 * u64::from(BURST))] {
        let mut life = Life::following(0);
        let start = life.now;
        assert_eq!(hurry(&mut life, bytes, count), count, "{bytes}");
        assert!(life.now - start < Duration::from_secs(60));
    }
}

#[test]
fn a_responder_that_ends_generation_after_generation_is_slowed_down_told_once_and_well_when_it_lasts()
 {
    for bytes in [0, 1, BYTES_MUCH - 1] {
        let mut life = Life::following(0);
        let start = life.now;
        assert!(hurry(&mut life, bytes, u64::MAX) > u64::from(BURST), "{bytes}");
        assert!(life.now - start < Duration::from_secs(60));
        // From then on one a second may come, in bursts, and bytes do not make it well.
        let (mut number, slowed) = (5000, life.now);
        while life.now - slowed < Duration::from_secs(3600) {
            life.ask();
            number += 1;
            life.status(&format!("O {number}"));
            life.rotated(Some(number));
            let well = life.data(1).contains(&Output::Succeed);
            assert!(!well || life.now - slowed > Duration::from_secs(300), "{bytes}");
            life.closed();
        }
        let (came, bound) = (number - 5000, 3600 + u64::from(BURST));
        assert!((1800..bound).contains(&came), "{came} in an hour");
        // It goes on after all, and is compared.
        for _ in 0..2 {
            life.ask();
            life.status(&format!("O {number}"));
        }
        assert_eq!(life.data(1), []);
        life.pass(Duration::from_secs(60));
        assert_eq!(life.data(1), [Output::Succeed], "{bytes}");
    }
}

#[test]
fn a_source_whose_content_is_another_each_time_does_not_fill_the_disk_with_archives() {
    let mut life = Life::following(100);
    let (mut archives, start) = (0, life.now);
    while life.now - start < Duration::from_secs(3600) {
        let outputs = life.differs();
        if is_job(&outputs) {
            archives += 1;
            life.rotated(Some(7));
        }
        life.ask();
        assert_eq!(life.status("O 7"), []);
        life.data(100);
        // The next connection shows other bytes at the beginning.
        life.broken();
        life.ask();
        life.status("O 7");
    }
    assert!(archives <= BURST + 360 + 1, "{archives}");
}

#[test]
fn fetched_once_a_year_of_hours_comes_at_full_speed_and_a_source_that_never_ends_is_given_up() {
    let mut life = Life::following(0);
    life.source.aim(Goal::Once);
    for number in 8.. {
        let outputs = life.closed();
        if outputs.contains(&Output::Fail(Fault::Haste)) {
            assert!(outputs.contains(&Output::GiveUp), "{outputs:?}");
            assert!(number > 365 * 24, "{number}");
            break;
        }
        assert!(number < 3 * u64::from(BURST_ONCE), "it never ends");
        life.ask();
        life.status(&format!("O {number}"));
        life.rotated(Some(number));
    }
}
