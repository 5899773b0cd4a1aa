//! Both of our programs, in protocol 2: the copy is the log, byte for byte, whatever was done to it.

mod common;
#[path = "common/mirror.rs"]
mod mirror;
#[path = "common/original.rs"]
mod original;

use std::fs;
use std::net::SocketAddr;

use common::{Program, wait_seeing};
use mirror::{Mirror, lines, with_suffix};

/// Waits until every generation is kept, without any byte masked.
fn wait_exact(mirror: &Mirror, fetcher: &Program) {
    mirror.wait_exact_by(fetcher);
    assert!(mirror.kept() == mirror.generations, "bytes are masked");
}

/// The mirror of a log that was fetched by a fetcher that is down now.
fn fetched(content: &[u8]) -> (Mirror, Program, SocketAddr) {
    let mirror = Mirror::of(content);
    let (responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs(address);
    wait_exact(&mirror, &fetcher);
    wait_seeing("it is well", || mirror.well(), || fetcher.lines().join("\n"));
    fetcher.stop();
    (mirror, responder, address)
}

#[test]
fn every_byte_value_arrives_as_it_is_live_and_after_a_restart() {
    let all: Vec<u8> = (0..=255).collect();
    let (mut mirror, _responder, address) = fetched(&all);
    mirror.append(&all);
    let fetcher = mirror.fetch_logs(address);
    wait_exact(&mirror, &fetcher);
    mirror.append(&[7, 7, 7]);
    wait_exact(&mirror, &fetcher);
    mirror.rotate(&all);
    wait_exact(&mirror, &fetcher);
    assert_eq!((fetcher.said("lost"), fetcher.said("ERR")), (0, 0), "{:?}", fetcher.lines());
}

#[test]
fn a_log_that_was_copied_and_truncated_while_nobody_fetched_is_followed_through() {
    let old = lines("old", 2000);
    let between = lines("between", 100);
    for new_len in [0, 100, old.len() + between.len(), old.len() * 2] {
        let (mut mirror, _responder, address) = fetched(&old);
        mirror.append(&between);
        mirror.copytruncate(&lines("new", 10_000)[..new_len]);
        let fetcher = mirror.fetch_logs(address);
        if new_len == 0 {
            mirror.append(b"at last\n");
        }
        wait_exact(&mirror, &fetcher);
        assert_eq!(fetcher.said("lost"), 0, "{new_len}: {:?}", fetcher.lines());
    }
}

#[test]
fn a_log_that_is_copied_and_truncated_while_it_is_followed_is_followed_through() {
    let old = lines("old", 2000);
    let mut mirror = Mirror::of(&old);
    let (_responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs(address);
    wait_exact(&mirror, &fetcher);
    for (round, new_len) in
        [0, 100, old.len(), old.len() + 1, 2 * old.len()].into_iter().enumerate()
    {
        mirror.copytruncate(&lines(&format!("round {round}"), 10_000)[..new_len]);
        wait_exact(&mirror, &fetcher);
        mirror.append(&lines(&format!("more of {round}"), 100));
        wait_exact(&mirror, &fetcher);
    }
    assert_eq!(fetcher.said("lost"), 0, "{:?}", fetcher.lines());
}

#[test]
fn a_log_that_was_copied_and_truncated_to_the_same_beginning_is_not_taken_for_the_old_one() {
    for beginning in [&b""[..], b"the same first line\n"] {
        let (mut mirror, _responder, address) = fetched(beginning);
        for number in 0..3 {
            mirror.append(&lines(&format!("generation {number}"), 100));
            mirror.copytruncate(&[beginning, &lines(&format!("new {number}"), 300)].concat());
        }
        let fetcher = mirror.fetch_logs(address);
        wait_exact(&mirror, &fetcher);
        assert_eq!(fetcher.said("lost"), 0, "{:?}", fetcher.lines());
    }
}

#[test]
fn a_copy_of_a_log_that_goes_on_is_not_taken_for_its_end() {
    let (mut mirror, _responder, address) = fetched(&lines("old", 100));
    mirror.append(&lines("more", 100));
    fs::copy(&mirror.log, with_suffix(&mirror.log, "1")).unwrap();
    mirror.append(&lines("still more", 100));
    let fetcher = mirror.fetch_logs(address);
    wait_exact(&mirror, &fetcher);
    mirror.append(&lines("live", 100));
    wait_exact(&mirror, &fetcher);
    assert_eq!(fetcher.lines(), Vec::<String>::new());
}

#[test]
fn a_log_that_was_brought_back_as_another_file_goes_on() {
    let (mut mirror, _responder, address) = fetched(&lines("old", 2000));
    let before = mirror.inode();
    let restored = mirror.log.with_file_name("restored");
    fs::copy(&mirror.log, &restored).unwrap();
    fs::rename(&restored, &mirror.log).unwrap();
    assert_ne!(mirror.inode(), before);
    mirror.append(&lines("more", 10));
    let fetcher = mirror.fetch_logs(address);
    wait_exact(&mirror, &fetcher);
    assert_eq!(mirror.pointer_word(), mirror.inode().to_string());
    assert_eq!(fetcher.lines(), Vec::<String>::new());
}

#[test]
fn a_longer_log_under_a_number_used_again_is_another_generation() {
    let (mut mirror, _responder, address) = fetched(&lines("old", 2000));
    let (inode, fetched_len) = (mirror.inode(), mirror.generations[0].len());
    // Whether the number is used again is for the file system to say; it is another file anyway.
    fs::remove_file(&mirror.log).unwrap();
    let new = lines("new", 5000);
    fs::write(&mirror.log, &new).unwrap();
    mirror.generations.push(new);
    let fetcher = mirror.fetch_logs(address);
    wait_exact(&mirror, &fetcher);
    fetcher.wait_said(&format!("lost {inode}:{fetched_len}"));
}

#[test]
fn every_generation_that_was_missed_arrives_in_its_order() {
    let (mut mirror, responder, address) = fetched(&lines("first", 500));
    responder.stop();
    mirror.append(&lines("first, still", 50));
    for number in 2..8 {
        mirror.rotate(&lines(&format!("generation {number}"), number * 100));
    }
    let (_responder, address) = mirror.serve_logs(SocketAddr::new(address.ip(), 0));
    let fetcher = mirror.fetch_logs(address);
    wait_exact(&mirror, &fetcher);
    fetcher.wait_said(&format!("rotated to {}", mirror.inode()));
    assert_eq!((fetcher.said("lost"), fetcher.said("rotated to")), (0, 6));
}

#[test]
fn a_responder_that_is_killed_again_and_again_costs_nothing() {
    let mut mirror = Mirror::of(&lines("first", 1000));
    let (mut responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs(address);
    for round in 0..20 {
        mirror.append(&lines("more", 100));
        if round % 4 == 3 {
            mirror.rotate(&lines("next", 1000));
        }
        responder.kill();
        responder = mirror.serve_logs(address).0;
        wait_exact(&mirror, &fetcher);
    }
    assert_eq!(fetcher.said("lost"), 0, "{:?}", fetcher.lines());
    wait_seeing("it is well", || mirror.well(), || fetcher.lines().join("\n"));
}

#[test]
fn a_source_that_is_asked_for_in_protocol_1_is_followed_in_it() {
    let mut mirror = Mirror::of(&[lines("old", 10), vec![7]].concat());
    let (_responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs_with(address, "protocol=1");
    mirror.append(&lines("more", 10));
    mirror.wait_exact_by(&fetcher);
    assert!(mirror.kept()[0].contains(&0xff), "protocol 1 masks");
}
