//! Long lives: both programs killed again and again, in protocol 2, while the log is written to,
//! rotated and emptied in place; and files of every shape. In the end every generation is there, byte
//! for byte, and the fetcher proves it.
//!
//! `FETCHLOGS_TORTURE=N` makes the kills N times as many. `FETCHLOGS_SEED=N` repeats the chances of a
//! run, which prints its seed.

#[path = "common/chance.rs"]
mod chance;
mod common;
#[path = "common/mirror.rs"]
mod mirror;
#[path = "common/original.rs"]
mod original;
#[path = "common/tally.rs"]
mod tally;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use chance::Chance;
use common::{Program, wait_seeing};
use mirror::Mirror;
use tally::tally;

/// Kills in a run of the usual length, of either program.
const KILLS: u64 = 200;

/// Any bytes, of every value.
fn bytes(chance: &mut Chance, len: u64) -> Vec<u8> {
    (0..len).map(|_| chance.below(256) as u8).collect()
}

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn seed() -> u64 {
    let seed = number("FETCHLOGS_SEED", u64::from(std::process::id()));
    eprintln!("FETCHLOGS_SEED={seed}");
    seed
}

/// Something that is done to a log in its life.
fn live(mirror: &mut Mirror, chance: &mut Chance) {
    let len = match chance.below(3) {
        0 => 0,
        1 => chance.below(100),
        _ => chance.below(100_000),
    };
    let content = bytes(chance, len);
    match chance.below(10) {
        0 => mirror.rotate(&content),
        1 => mirror.copytruncate(&content),
        _ => mirror.append(&content),
    }
}

#[test]
fn killed_on_both_ends_at_random_moments_every_generation_is_there_once() {
    let mut chance = Chance::new(seed());
    let mut mirror = Mirror::of(b"the first line\n");
    let (mut responder, address) = mirror.serve();
    let mut fetcher = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
    let kills = KILLS * number("FETCHLOGS_TORTURE", 1);
    let (mut lost, mut of_responder, mut of_fetcher) = (0, 0, 0);
    for kill in 1..=kills {
        if kill % 50 == 0 {
            // Else a slow machine never comes to an end: there is a rotation in every second life.
            mirror.wait_exact_by(&fetcher);
        }
        for _ in 0..chance.below(5) {
            live(&mut mirror, &mut chance);
            std::thread::sleep(Duration::from_micros(chance.below(20_000)));
        }
        let both = chance.below(4) == 0;
        let which = chance.below(2);
        if both || which == 0 {
            responder.kill();
            of_responder += 1;
        }
        if both || which == 1 {
            fetcher.kill();
            of_fetcher += 1;
            lost += fetcher.said("lost");
        }
        if chance.below(2) == 0 {
            live(&mut mirror, &mut chance);
        }
        if both || which == 0 {
            responder = mirror.serve_logs(address).0;
        }
        if both || which == 1 {
            fetcher = mirror.fetch_logs(address);
        }
    }
    // An empty log can't be told from the one before it, which was empty as well; let it end in
    // something that is waited for.
    mirror.append(b"the last line\n");
    mirror.wait_exact_by(&fetcher);
    assert!(mirror.kept() == mirror.not_empty(), "bytes are masked");
    lost += fetcher.said("lost");
    let total: usize = mirror.generations.iter().map(Vec::len).sum();
    eprintln!("{kills} kills, {} generations, {total} bytes", mirror.generations.len());
    assert_eq!(lost, 0, "{:?}", fetcher.lines());
    tally("kill -9: of serve_logs at random moments", of_responder);
    tally("kill -9: of fetch_logs at random moments", of_fetcher);
    fetcher.stop();
    let mut receipt = mirror.fetch_logs_as(&["--once", "--verify"]);
    // A line for each generation: it is patient as long as they come.
    let mut proved = 0;
    while receipt.try_ended().is_none() {
        common::wait_until("it goes on", || {
            receipt.lines().len() > proved || receipt.try_ended().is_some()
        });
        proved = receipt.lines().len();
    }
    assert!(receipt.ended().success(), "{}", receipt.stdout());
    let equal = receipt.lines().iter().filter(|line| line.ends_with(" equal")).count();
    assert!(equal >= mirror.not_empty().len(), "{}", receipt.stdout());
}

#[test]
fn files_of_every_shape_arrive_as_they_are() {
    let all: Vec<u8> = (0..=255).collect();
    for content in [&b""[..], b"\n", b"\x07", b"x", b"no newline at its end", &all] {
        let mut mirror = Mirror::of(content);
        let (_responder, address) = mirror.serve();
        let fetcher = mirror.fetch_logs(address);
        wait_seeing("it is well", || mirror.well(), || fetcher.lines().join("\n"));
        mirror.wait_exact_by(&fetcher);
        mirror.rotate(content);
        mirror.append(content);
        mirror.append(b"\0");
        mirror.wait_exact_by(&fetcher);
        assert!(mirror.kept() == mirror.not_empty(), "bytes are masked");
    }
}

/// Whether two files hold the same bytes.
fn equal(one: &Path, other: &Path) -> bool {
    let (Ok(mut one), Ok(mut other)) = (File::open(one), File::open(other)) else { return false };
    if one.metadata().unwrap().len() != other.metadata().unwrap().len() {
        return false;
    }
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = one.read(&mut a).unwrap();
        if count == 0 {
            return true;
        }
        other.read_exact(&mut b[..count]).unwrap();
        if a[..count] != b[..count] {
            return false;
        }
    }
}

/// Waits until the copy is the log, and looks into both only once they are of one length.
fn wait_equal(mirror: &Mirror, fetcher: &Program) {
    let len = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    wait_seeing(
        "the copy is as long as the log",
        || len(&mirror.copy) == len(&mirror.log),
        || format!("{} of {}\n{:?}", len(&mirror.copy), len(&mirror.log), fetcher.lines()),
    );
    assert!(equal(&mirror.log, &mirror.copy));
}

#[test]
fn a_gigabyte_without_a_line_end_and_one_of_holes_arrive_as_they_are() {
    const GIGABYTE: u64 = 1 << 30;
    let mirror = Mirror::of(b"");
    let mut log = File::create(&mirror.log).unwrap();
    let piece: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 251) as u8 | 0x10).collect();
    assert!(!piece.contains(&b'\n'));
    for _ in 0..GIGABYTE >> 20 {
        log.write_all(&piece).unwrap();
    }
    let (_responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs(address);
    wait_equal(&mirror, &fetcher);
    // A hole reads as zeros.
    log.write_all_at(b"behind a hole", GIGABYTE + (64 << 20)).unwrap();
    wait_equal(&mirror, &fetcher);
    assert_eq!((fetcher.said("lost"), fetcher.said("ERR")), (0, 0), "{:?}", fetcher.lines());
}
