//! Files of every shape and of some size, in protocol 2: they arrive as they are.

mod common;
#[path = "common/mirror.rs"]
mod mirror;
#[path = "common/original.rs"]
mod original;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use common::{Program, wait_seeing};
use mirror::Mirror;

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
