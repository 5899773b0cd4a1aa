//! Our responder beside fetchlogs 1.1: asked by its fetcher, and by both fetchers in turn.

mod common;
#[path = "common/mirror.rs"]
mod mirror;
#[path = "common/original.rs"]
mod original;

use std::fs;
use std::net::SocketAddr;

use common::{Program, wait_seeing};
use mirror::{Mirror, lines};
use original::OriginalFetcher;

/// Every byte value.
fn every_byte() -> Vec<u8> {
    (0..=255).collect()
}

/// The original fetcher, asking at `address`.
fn original_at(mirror: &Mirror, address: SocketAddr) -> OriginalFetcher {
    OriginalFetcher::start(mirror.line(address))
}

/// Waits until the original fetcher has kept all of it.
fn wait_exact(mirror: &Mirror, original: &OriginalFetcher, responder: &Program) {
    mirror.wait_exact(|| format!("{:?}\n{}", original.statuses(), responder.lines().join("\n")));
}

// ---- the original fetcher, our responder ----

#[test]
fn the_original_fetcher_fetches_the_whole_file_at_first_contact() {
    let mirror = Mirror::of(&[lines("first", 50_000), every_byte()].concat());
    let (responder, address) = mirror.serve();
    let original = original_at(&mirror, address);
    wait_exact(&mirror, &original, &responder);
    assert_eq!(original.statuses(), [format!("O {}", mirror.inode())]);
    assert_eq!(original.received(), mirror.generations[0].len() as u64);
    assert_eq!(fs::read_to_string(&mirror.pointer).unwrap(), format!("{}\n", mirror.inode()));
}

#[test]
fn what_is_appended_reaches_the_original_fetcher_on_the_same_connection() {
    let mut mirror = Mirror::of(b"");
    let (responder, address) = mirror.serve();
    let original = original_at(&mirror, address);
    for round in 0..10 {
        mirror.append(&[lines(&format!("round {round}"), 3), every_byte()].concat());
        wait_exact(&mirror, &original, &responder);
    }
    mirror.append(&lines("many", 100_000));
    wait_exact(&mirror, &original, &responder);
    assert_eq!(original.statuses().len(), 1, "{:?}", original.statuses());
}

#[test]
fn heartbeats_keep_the_original_fetcher_connected_and_are_not_in_its_copy() {
    let mut mirror = Mirror::of(b"one\n");
    let (responder, address) = mirror.serve();
    let times = original::FetcherTimes {
        // Twice the heartbeat, and no patience after it: one silence more would be seen.
        idle: std::time::Duration::from_secs(2),
        ..Default::default()
    };
    let original = OriginalFetcher::start_with(mirror.line(address), times);
    wait_exact(&mirror, &original, &responder);
    let since = std::time::Instant::now();
    wait_seeing(
        "the original would have given up",
        || since.elapsed() > times.idle * 3 / 2,
        || unreachable!(),
    );
    mirror.append(b"two\n");
    wait_exact(&mirror, &original, &responder);
    assert_eq!(original.statuses().len(), 1, "{:?}", original.statuses());
    assert_eq!(original.received(), 8);
}

#[test]
fn the_original_fetcher_archives_a_renamed_log_and_goes_on_with_the_next() {
    let mut mirror = Mirror::of(&lines("old", 1000));
    let (responder, address) = mirror.serve();
    let original = original_at(&mirror, address);
    wait_exact(&mirror, &original, &responder);
    for generation in 1..=3 {
        mirror.append(&lines("more", 10));
        mirror.rotate(&[lines(&format!("generation {generation}"), 500), every_byte()].concat());
        wait_exact(&mirror, &original, &responder);
    }
    assert_eq!(mirror.pointer_word(), mirror.inode().to_string());
    let lost = original.statuses().iter().any(|status| status.starts_with('L'));
    assert!(!lost, "{:?}", original.statuses());
}

#[test]
fn no_rotation_is_skipped_that_the_original_fetcher_slept_through() {
    let mut mirror = Mirror::of(&lines("generation 0", 100));
    let (responder, address) = mirror.serve();
    let original = original_at(&mirror, address);
    wait_exact(&mirror, &original, &responder);
    drop(original);
    for generation in 1..=4 {
        mirror.append(&lines("more", 10));
        mirror.rotate(&lines(&format!("generation {generation}"), generation * 100));
    }
    let original = original_at(&mirror, address);
    wait_exact(&mirror, &original, &responder);
}

#[test]
fn no_rotation_is_skipped_though_the_original_fetcher_had_all_of_the_first_generation() {
    let mut mirror = Mirror::of(&lines("generation 0", 100));
    let (responder, address) = mirror.serve();
    let original = original_at(&mirror, address);
    wait_exact(&mirror, &original, &responder);
    drop(original);
    mirror.rotate(&lines("generation 1", 100));
    mirror.rotate(&lines("generation 2", 200));
    let original = original_at(&mirror, address);
    wait_exact(&mirror, &original, &responder);
}

#[test]
fn a_truncated_log_is_a_new_generation_to_the_original_fetcher_by_a_zero_in_front() {
    let mut mirror = Mirror::of(&lines("old", 1000));
    let (responder, address) = mirror.serve();
    let original = original_at(&mirror, address);
    wait_exact(&mirror, &original, &responder);
    let inode = mirror.inode();

    mirror.truncate(&lines("new", 10));
    wait_exact(&mirror, &original, &responder);
    assert_eq!(fs::read_to_string(&mirror.pointer).unwrap(), format!("0{inode}\n"));
    assert_eq!(original.statuses(), [format!("O {inode}"), format!("L 0{inode}")]);
    mirror.append(&lines("live", 1000));
    wait_exact(&mirror, &original, &responder);

    // The name with the zero is echoed as it was asked for.
    drop(original);
    mirror.append(&lines("between", 10));
    let original = original_at(&mirror, address);
    wait_exact(&mirror, &original, &responder);
    assert_eq!(original.statuses(), [format!("O 0{inode}")]);

    // And a second truncation gives another name again.
    mirror.truncate(&lines("newer", 10));
    wait_exact(&mirror, &original, &responder);
    assert_eq!(original.statuses()[1..], [format!("L {inode}")]);
    assert_eq!(mirror.pointer_word(), inode.to_string());
}

#[test]
fn a_generation_with_a_zero_in_front_is_rotated_like_any_other() {
    let mut mirror = Mirror::of(&lines("old", 1000));
    let (responder, address) = mirror.serve();
    let original = original_at(&mirror, address);
    wait_exact(&mirror, &original, &responder);
    mirror.truncate(&lines("new", 10));
    wait_exact(&mirror, &original, &responder);
    mirror.append(&lines("live", 100));
    mirror.rotate(&lines("next", 100));
    wait_exact(&mirror, &original, &responder);
    assert_eq!(mirror.pointer_word(), mirror.inode().to_string());
}

#[test]
fn the_original_fetcher_goes_on_behind_a_responder_that_was_started_again() {
    let mut mirror = Mirror::of(&lines("before", 1000));
    let (responder, address) = mirror.serve();
    let original = original_at(&mirror, address);
    wait_exact(&mirror, &original, &responder);
    drop(responder);
    mirror.append(&lines("last words", 100));
    mirror.rotate(&lines("next", 100));
    let (responder, _) = mirror.serve_logs(address);
    wait_exact(&mirror, &original, &responder);
}

// ---- taking turns on one copy ----

#[test]
fn the_original_fetcher_reads_the_first_word_of_our_pointer() {
    let mut mirror = Mirror::of(&lines("before", 1000));
    let size = mirror.generations[0].len();
    let boot = "9f0c2d1e-0000-4000-8000-000000000000";
    let pointer = format!(
        "{} {size} v=1 base=0 copy=262147.3917.1763644969000000000 boot={boot} state=active \
         crc32=00000000\n",
        mirror.inode()
    );
    fs::write(&mirror.copy, &mirror.generations[0]).unwrap();
    fs::write(&mirror.pointer, &pointer).unwrap();
    mirror.append(&lines("after", 1000));
    let (responder, address) = mirror.serve();
    let original = original_at(&mirror, address);
    wait_exact(&mirror, &original, &responder);
    assert_eq!(original.statuses(), [format!("O {}", mirror.inode())]);
    assert_eq!(fs::read_to_string(&mirror.pointer).unwrap(), pointer);
}

#[test]
fn two_fetchers_take_turns_on_one_copy_without_losing_or_repeating_a_byte() {
    let mut mirror = Mirror::of(&[lines("original", 1000), every_byte()].concat());
    let (responder, address) = mirror.serve();

    let original = original_at(&mirror, address);
    wait_exact(&mirror, &original, &responder);
    mirror.rotate(&lines("original, rotated", 700));
    wait_exact(&mirror, &original, &responder);
    drop(original);

    mirror.append(&[lines("between", 100), every_byte()].concat());
    mirror.rotate(&lines("slept through", 400));
    mirror.rotate(&lines("ours", 500));
    let ours = mirror.fetch_logs(address);
    mirror.wait_exact_by(&ours);
    mirror.append(&lines("live", 10));
    mirror.rotate(&lines("ours, rotated", 300));
    mirror.wait_exact_by(&ours);
    ours.stop();
    assert_eq!(mirror.pointer_word(), mirror.inode().to_string());

    mirror.append(&lines("between", 100));
    mirror.rotate(&lines("slept through", 200));
    mirror.rotate(&[lines("original again", 600), every_byte()].concat());
    let original = original_at(&mirror, address);
    wait_exact(&mirror, &original, &responder);
}

#[test]
fn a_truncation_seen_by_one_fetcher_is_understood_by_the_other() {
    let mut mirror = Mirror::of(&lines("old", 1000));
    let inode = mirror.inode();
    let (responder, address) = mirror.serve();

    let ours = mirror.fetch_logs(address);
    mirror.wait_exact_by(&ours);
    mirror.truncate(&lines("new", 10));
    mirror.wait_exact_by(&ours);
    mirror.append(&lines("live", 500));
    mirror.wait_exact_by(&ours);
    ours.stop();
    // Between our own the identity says that it is another generation.
    assert_eq!(mirror.pointer_word(), inode.to_string());

    mirror.append(&lines("between", 10));
    let original = original_at(&mirror, address);
    wait_exact(&mirror, &original, &responder);
    assert_eq!(original.statuses(), [format!("O {inode}")]);
    mirror.truncate(&lines("newer", 10));
    wait_exact(&mirror, &original, &responder);
    assert_eq!(original.statuses()[1..], [format!("L 0{inode}")]);
    drop(original);

    mirror.append(&lines("after", 10));
    let ours = mirror.fetch_logs(address);
    mirror.wait_exact_by(&ours);
}
