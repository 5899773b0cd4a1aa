//! Both of our programs, and logs that are compressed after their rotation: nothing of them is lost.

mod common;
#[path = "common/mirror.rs"]
mod mirror;
#[path = "common/original.rs"]
mod original;

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Program, wait_seeing, wait_until};
use mirror::{Mirror, with_suffix};

/// The tools, and what they call their files.
const TOOLS: [(&str, &str); 4] = [("gzip", "gz"), ("zstd", "zst"), ("xz", "xz"), ("bzip2", "bz2")];

/// A log of lines that no compression makes very small.
fn lines(word: &str, count: u64) -> Vec<u8> {
    let line = |n: u64| format!("{word} {:x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (0..count).map(line).collect::<String>().into_bytes()
}

/// What `tool` makes of `content`; by the crate where the host has no such tool.
fn packed(tool: &str, content: &[u8]) -> Vec<u8> {
    let child = Command::new(tool).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return packed_by_crate(tool, content) };
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(content).unwrap());
        child.wait_with_output().unwrap().stdout
    })
}

fn packed_by_crate(tool: &str, content: &[u8]) -> Vec<u8> {
    match tool {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::stream::encode_all(content, 3).unwrap(),
        "xz" => {
            let options = lzma_rust2::XzOptions::with_preset(3);
            let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        _ => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// Puts `bytes` beside a rotated file as its compressed form, with its times, and removes it.
fn replace(plain: &Path, suffix: &str, bytes: &[u8]) {
    let modified = fs::metadata(plain).unwrap().modified().unwrap();
    let path = with_suffix(plain, suffix);
    fs::write(&path, bytes).unwrap();
    File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
    fs::remove_file(plain).unwrap();
}

fn compress(plain: &Path, (tool, suffix): (&str, &str)) {
    replace(plain, suffix, &packed(tool, &fs::read(plain).unwrap()));
}

/// The mirror of a log that was fetched by a fetcher that is down now.
fn fetched(content: &[u8]) -> (Mirror, Program, SocketAddr) {
    let mirror = Mirror::of(content);
    let (responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
    fetcher.stop();
    (mirror, responder, address)
}

fn rotated(mirror: &Mirror, number: usize) -> std::path::PathBuf {
    with_suffix(&mirror.log, &number.to_string())
}

#[test]
fn a_generation_that_was_compressed_in_the_middle_of_its_fetch_goes_on() {
    for tool in TOOLS {
        let (mut mirror, _responder, address) = fetched(&lines("old", 5_000));
        mirror.append(&lines("more", 30_000));
        mirror.rotate(&lines("new", 10));
        compress(&rotated(&mirror, 1), tool);
        let fetcher = mirror.fetch_logs(address);
        mirror.wait_exact_by(&fetcher);
        fetcher.wait_said("rotated to");
        assert_eq!(fetcher.said("lost"), 0, "{tool:?}: {:?}", fetcher.lines());
        mirror.append(b"and on\n");
        mirror.wait_exact_by(&fetcher);
    }
}

#[test]
fn every_generation_that_was_missed_and_compressed_arrives_in_its_order() {
    let (mut mirror, _responder, address) = fetched(&lines("first", 500));
    for number in 2..10 {
        mirror.rotate(&lines(&format!("generation {number}"), number * 1000));
    }
    for (number, tool) in (2..9).zip(TOOLS.into_iter().cycle()) {
        compress(&rotated(&mirror, number), tool);
    }
    let fetcher = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&format!("rotated to {}", mirror.inode()));
    assert_eq!((fetcher.said("lost"), fetcher.said("rotated to")), (0, 8));
}

#[test]
fn what_is_compressed_while_it_is_followed_costs_nothing() {
    let mut mirror = Mirror::of(&lines("first", 100));
    let (_responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs(address);
    for round in 0..12 {
        mirror.append(&lines("more", 2_000));
        if round % 3 == 0 {
            mirror.wait_exact_by(&fetcher);
        }
        mirror.rotate(&lines(&format!("generation {round}"), 2_000));
        // Only the newest is not compressed yet, so no other has to change its number.
        let plain = rotated(&mirror, 1);
        let kept = mirror.log.with_file_name(format!("app.log.{:02}", 20 - round));
        fs::rename(&plain, &kept).unwrap();
        compress(&kept, TOOLS[round % 4]);
    }
    mirror.wait_exact_by(&fetcher);
    assert_eq!(fetcher.said("lost"), 0, "{:?}", fetcher.lines());
    wait_seeing("it is well", || mirror.well(), || fetcher.lines().join("\n"));
}

#[test]
fn one_that_is_just_being_compressed_is_waited_for() {
    let (mut mirror, _responder, address) = fetched(&lines("old", 5_000));
    mirror.append(&lines("more", 60_000));
    mirror.rotate(&lines("new", 10));
    let plain = rotated(&mirror, 1);
    let bytes = packed("gzip", &fs::read(&plain).unwrap());
    let (begin, rest) = bytes.split_at(20);
    replace(&plain, "gz", begin);
    let path = with_suffix(&plain, "gz");
    let mut writer = File::options().append(true).open(&path).unwrap();
    let fetcher = mirror.fetch_logs(address);
    fetcher.wait_said("is being compressed");
    assert_eq!(fetcher.said("lost"), 0);
    writer.write_all(rest).unwrap();
    drop(writer);
    mirror.wait_exact_by(&fetcher);
    assert_eq!(fetcher.said("lost"), 0, "{:?}", fetcher.lines());
}

#[test]
fn a_damaged_one_is_fetched_to_its_damage_and_the_next_follows_with_a_loss() {
    let (mut mirror, _responder, address) = fetched(&lines("first", 500));
    let (begin, end) = (lines("begin", 30_000), lines("end", 30_000));
    for content in [&[&begin[..], &end].concat(), &lines("third", 2_000), &lines("now", 10)] {
        mirror.rotate(content);
    }
    let two = [packed("gzip", &begin), packed("gzip", &end)].concat();
    replace(&rotated(&mirror, 2), "gz", &two[..two.len() - 2000]);
    compress(&rotated(&mirror, 1), TOOLS[1]);
    let before = std::time::SystemTime::now() - std::time::Duration::from_secs(100);
    let path = with_suffix(&rotated(&mirror, 2), "gz");
    File::options().append(true).open(path).unwrap().set_modified(before).unwrap();
    let past = File::options().append(true).open(rotated(&mirror, 3)).unwrap();
    past.set_modified(before - std::time::Duration::from_secs(1)).unwrap();
    let fetcher = mirror.fetch_logs(address);
    let last = mirror.generations.last().unwrap().clone();
    wait_until("the current log is there", || mirror.kept().last() == Some(&last));
    let kept = mirror.kept();
    assert_eq!((kept.len(), &kept[0]), (4, &mirror.generations[0]));
    assert!(kept[1].starts_with(&begin) && mirror.generations[1].starts_with(&kept[1]));
    assert!(kept[2..] == mirror.generations[2..]);
    fetcher.wait_said("lost");
    assert_eq!(fetcher.said("lost"), 1, "{:?}", fetcher.lines());
    mirror.append(b"and on\n");
    wait_until("it goes on", || mirror.kept().last() == mirror.generations.last());
    wait_seeing("it is well", || mirror.well(), || fetcher.lines().join("\n"));
}

#[test]
fn in_protocol_1_what_is_compressed_is_stepped_over_and_told_as_lost() {
    let (mut mirror, _responder, address) = fetched(&lines("first", 500));
    mirror.rotate(&lines("second", 500));
    mirror.rotate(&lines("third", 500));
    compress(&rotated(&mirror, 1), TOOLS[0]);
    mirror.generations.remove(1);
    let fetcher = mirror.fetch_logs_with(address, "protocol=1");
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said("lost");
    assert_eq!(fetcher.said("lost"), 1, "{:?}", fetcher.lines());
}
