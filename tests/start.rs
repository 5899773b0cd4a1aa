//! Both of our programs: where a source begins that was never fetched before.

mod common;
#[path = "common/mirror.rs"]
mod mirror;
#[path = "common/original.rs"]
mod original;

use std::fs;
use std::net::SocketAddr;

use common::{Program, wait_until};
use mirror::{Mirror, lines, with_suffix};
use nix::sys::signal::Signal;
use original::OriginalResponder;

/// A log of which nothing but what is written from now on is fetched: what was there before is no
/// part of what has to be kept.
fn fetched_from_its_end(content: &[u8]) -> (Mirror, Program, SocketAddr, Program) {
    let mut mirror = Mirror::of(content);
    let (responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs_with(address, "start=end");
    wait_until("it follows", || mirror.well() && mirror.pointer_word() != "");
    mirror.generations = vec![Vec::new()];
    (mirror, responder, address, fetcher)
}

fn positions(mirror: &Mirror) -> (u64, u64) {
    let text = fs::read_to_string(&mirror.pointer).unwrap_or_default();
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
    let base = text.split(' ').find_map(|word| word.strip_prefix("base="));
    (number(base), number(text.split(' ').nth(1)))
}

#[test]
fn from_its_end_only_what_is_written_then_is_fetched_also_after_restarts_and_rotations() {
    let old = lines("old", 1000);
    let (mut mirror, responder, address, fetcher) = fetched_from_its_end(&old);
    assert_eq!(positions(&mirror), (old.len() as u64, old.len() as u64));
    // Nothing of it is there yet.
    fetcher.stop();
    let fetcher = mirror.fetch_logs_with(address, "start=end");
    mirror.append(&lines("new", 3000));
    mirror.wait_exact_by(&fetcher);
    fetcher.stop();
    let end = old.len() + mirror.generations[0].len();
    assert_eq!(positions(&mirror), (old.len() as u64, end as u64));
    mirror.append(&lines("while it was down", 100));
    let mut fetcher = mirror.fetch_logs_with(address, "start=end");
    mirror.wait_exact_by(&fetcher);
    fetcher.kill();
    responder.stop();
    mirror.append(&lines("while both were down", 100));
    mirror.rotate(&lines("next", 10));
    mirror.rotate(&lines("next but one", 10));
    let (_responder, address) = mirror.serve_logs(SocketAddr::new(address.ip(), 0));
    let fetcher = mirror.fetch_logs_with(address, "start=end");
    mirror.wait_exact_by(&fetcher);
    wait_until("the pointer says so", || positions(&mirror).0 == 0);
    assert_eq!(fetcher.said("lost"), 0, "{:?}", fetcher.lines());
}

#[test]
fn a_copy_that_was_begun_at_the_end_and_is_renamed_here_goes_on_where_it_was() {
    let old = lines("old", 1000);
    let (mut mirror, _responder, _address, fetcher) = fetched_from_its_end(&old);
    mirror.append(&lines("new", 100));
    mirror.wait_exact_by(&fetcher);
    fs::rename(&mirror.copy, with_suffix(&mirror.copy, "20200101000000")).unwrap();
    fetcher.signal(Signal::SIGUSR1);
    let end = old.len() + mirror.generations[0].len();
    fetcher.wait_said(&format!("copy reopened at byte {end}"));
    mirror.generations.push(Vec::new());
    mirror.append(&lines("newer", 100));
    mirror.wait_exact_by(&fetcher);
    assert_eq!(positions(&mirror).0, end as u64);
}

#[test]
fn a_log_that_is_truncated_after_it_was_begun_at_the_end_is_told_with_its_own_position() {
    let old = lines("old", 1000);
    let (mut mirror, _responder, _address, fetcher) = fetched_from_its_end(&old);
    mirror.append(&lines("new", 100));
    mirror.wait_exact_by(&fetcher);
    let (inode, end) = (mirror.inode(), old.len() + mirror.generations[0].len());
    mirror.truncate(b"short\n");
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&format!("lost {inode}:{end}"));
}

#[test]
fn with_its_history_every_rotated_generation_comes_first_and_in_order() {
    let mut mirror = Mirror::of(&lines("first", 1000));
    for number in 2..6 {
        mirror.rotate(&lines(&format!("generation {number}"), number * 100));
    }
    let (_responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs_with(address, "start=history");
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&format!("rotated to {}", mirror.inode()));
    assert_eq!((fetcher.said("lost"), fetcher.said("rotated to")), (0, 4));
    fetcher.stop();
    let fetcher = mirror.fetch_logs_with(address, "start=history");
    mirror.append(&lines("more", 10));
    mirror.wait_exact_by(&fetcher);
    assert_eq!(fetcher.lines(), Vec::<String>::new());
}

#[test]
fn a_copy_without_its_pointer_is_compared_from_its_beginning_wherever_it_should_start() {
    let content = lines("line", 1000);
    for start in ["start=end", "start=history"] {
        let mut mirror = Mirror::of(&content);
        let current = lines("current", 100);
        mirror.rotate(&current);
        mirror.generations.remove(0);
        let (_responder, address) = mirror.serve();
        fs::write(&mirror.copy, &current[..50]).unwrap();
        let fetcher = mirror.fetch_logs_with(address, start);
        mirror.wait_exact_by(&fetcher);
        assert_eq!(fetcher.lines(), Vec::<String>::new(), "{start}");
    }
}

#[test]
fn an_old_responder_knows_no_start_and_gives_everything_of_the_current_file() {
    let mut mirror = Mirror::of(&lines("first", 100));
    mirror.rotate(&lines("current", 100));
    mirror.generations.remove(0);
    for start in ["start=end", "start=history"] {
        let responder = OriginalResponder::start(&[&mirror.log]);
        let fetcher = mirror.fetch_logs_with(responder.address, start);
        mirror.wait_exact_by(&fetcher);
        fetcher.stop();
        fs::remove_file(&mirror.copy).unwrap();
        fs::remove_file(&mirror.pointer).unwrap();
    }
}
