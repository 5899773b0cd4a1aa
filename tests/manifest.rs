//! What has ended: the manifest proves the archives, and what came late is in them.

mod common;
#[path = "common/mirror.rs"]
mod mirror;
#[path = "common/original.rs"]
mod original;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use common::{Program, wait_for, wait_until};
use fetchlogs::fetch::manifest::{Ending, Line, manifest_path, read_latest};
use fetchlogs::proto::digest::Whole;
use fetchlogs::sys::fs::DiskFs;
use mirror::Mirror;

/// Asks once more so soon after a generation ended.
fn fetch(mirror: &Mirror, address: SocketAddr, recheck: &str) -> Program {
    mirror.fetch_logs_by(address, "", &["--recheck", recheck, "--sync", "always"])
}

/// The lines that count.
fn lines(mirror: &Mirror) -> Vec<Line> {
    let path = manifest_path(&mirror.pointer);
    let found = read_latest(&DiskFs::default(), &path, 0).unwrap();
    found.map(|(lines, _)| lines).unwrap_or_default()
}

fn archive(mirror: &Mirror, line: &Line) -> PathBuf {
    mirror.copy.with_file_name(line.archive.as_deref().unwrap_or(OsStr::new("-")))
}

/// Every generation but the last is an archive with a line that fits, in order.
fn proves_all(mirror: &Mirror) -> bool {
    let (lines, ended) = (lines(mirror), &mirror.generations[..mirror.generations.len() - 1]);
    lines.len() == ended.len()
        && lines.iter().zip(ended).all(|(line, content)| {
            (line.from, line.to) == (0, content.len() as u64)
                && line.digest == Whole::of(content)
                && fs::read(archive(mirror, line)).is_ok_and(|archive| archive == *content)
        })
}

fn wait_proof(mirror: &Mirror, fetcher: &Program) {
    let seen = || format!("{:#?}\n{}", lines(mirror), fetcher.lines().join("\n"));
    common::wait_seeing("the manifest proves all archives", || proves_all(mirror), seen);
}

/// Somebody keeps the log open, over its rotation.
fn writer(mirror: &Mirror) -> File {
    OpenOptions::new().append(true).open(&mirror.log).unwrap()
}

/// Writes to a generation that was rotated, by who still has it open.
fn write_late(mirror: &mut Mirror, generation: usize, mut writer: &File, content: &[u8]) {
    writer.write_all(content).unwrap();
    mirror.generations[generation].extend_from_slice(content);
}

#[test]
fn every_rotation_writes_a_line_whose_digest_fits() {
    let mut mirror = Mirror::of(b"first\n");
    let (_responder, address) = mirror.serve();
    let fetcher = fetch(&mirror, address, "75s");
    mirror.wait_exact_by(&fetcher);
    for number in 0..5 {
        let inode = mirror.inode();
        mirror.append(format!("the end of {number}\n").as_bytes());
        mirror.rotate(&vec![number; 1000 * usize::from(number)]);
        mirror.wait_exact_by(&fetcher);
        wait_proof(&mirror, &fetcher);
        let line = lines(&mirror).pop().unwrap();
        assert_eq!((line.inode.number(), line.ending), (inode, Ending::Complete));
        assert!(line.id.is_some() && line.lost.is_none() && line.late.is_none());
    }
    assert_eq!(fetcher.said("lost"), 0);
}

/// A generation that the responder ended since nobody had written for its linger time.
fn rotated_under(mirror: &mut Mirror, fetcher: &Program) -> File {
    let writer = writer(mirror);
    let rotated = fetcher.said("rotated to ");
    mirror.rotate(b"next\n");
    wait_until("it is rotated here as well", || fetcher.said("rotated to ") > rotated);
    writer
}

#[test]
fn what_is_written_after_the_end_comes_to_the_end_of_the_archive_and_is_told() {
    let mut mirror = Mirror::of(b"before\n");
    let (_responder, address) = mirror.serve();
    let fetcher = fetch(&mirror, address, "1s");
    mirror.wait_exact_by(&fetcher);
    let inode = mirror.inode();
    let writer = rotated_under(&mut mirror, &fetcher);
    write_late(&mut mirror, 0, &writer, b"late one\n");
    wait_proof(&mirror, &fetcher);
    let line = lines(&mirror).remove(0);
    assert_eq!((line.late, line.ending), (Some(9), Ending::Complete));
    let name = line.archive.unwrap().into_string().unwrap();
    fetcher.wait_said(&format!("/app.log late {inode}:7 9 bytes into {name}"));
    // It may go on, as long as somebody has it open.
    write_late(&mut mirror, 0, &writer, b"late two\n");
    wait_proof(&mirror, &fetcher);
    fetcher.wait_said(&format!("late {inode}:16 9 bytes into {name}"));
    wait_until("the status says that all is well", || mirror.well());
    assert_eq!((fetcher.said("lost"), fetcher.said("ERR")), (0, 0), "{:?}", fetcher.lines());
}

#[test]
fn a_generation_is_asked_for_again_when_the_next_one_ends() {
    let mut mirror = Mirror::of(b"before\n");
    let (_responder, address) = mirror.serve();
    let fetcher = fetch(&mirror, address, "0s");
    mirror.wait_exact_by(&fetcher);
    let writer = rotated_under(&mut mirror, &fetcher);
    fetcher.complained("nothing came late for ");
    write_late(&mut mirror, 0, &writer, b"much later\n");
    mirror.rotate(b"the one after\n");
    wait_proof(&mirror, &fetcher);
}

#[test]
fn what_came_late_while_nobody_fetched_comes_after_a_start() {
    let mut mirror = Mirror::of(b"before\n");
    let (_responder, address) = mirror.serve();
    let fetcher = fetch(&mirror, address, "75s");
    mirror.wait_exact_by(&fetcher);
    let writer = rotated_under(&mut mirror, &fetcher);
    fetcher.stop();
    for number in 0..3 {
        write_late(&mut mirror, 0, &writer, format!("late {number}\n").as_bytes());
        let fetcher = fetch(&mirror, address, "100ms");
        wait_proof(&mirror, &fetcher);
        fetcher.stop();
    }
}

#[test]
fn killed_while_late_bytes_come_it_has_each_of_them_once() {
    let mut mirror = Mirror::of(b"before\n");
    let (_responder, address) = mirror.serve();
    let fetcher = fetch(&mirror, address, "75s");
    mirror.wait_exact_by(&fetcher);
    let writer = rotated_under(&mut mirror, &fetcher);
    fetcher.stop();
    let first = archive(&mirror, &lines(&mirror)[0]);
    let len = || fs::metadata(&first).unwrap().len();
    let mut ahead = 0;
    for round in 0..8u8 {
        let content: Vec<u8> = (0..600_000u32).map(|at| (at % 251) as u8 ^ round).collect();
        write_late(&mut mirror, 0, &writer, &content);
        let before = len();
        let mut fetcher = fetch(&mirror, address, "0s");
        // Later in each round.
        let more = u64::from(round) * 70_000;
        wait_until("late bytes come", || len() > before + more);
        fetcher.kill();
        ahead += usize::from(len() > lines(&mirror)[0].to);
    }
    assert!(ahead > 0, "no kill came between the bytes and their line");
    let fetcher = fetch(&mirror, address, "0s");
    wait_proof(&mirror, &fetcher);
    assert_eq!(fetcher.said("lost"), 0);
}

/// What is behind the end that a line says was never confirmed.
#[test]
fn what_a_crash_left_behind_the_end_of_an_archive_is_compared_and_never_believed() {
    for left in [&b"late"[..], b"l\0\0\0\0\0\0\0\0\0\0\0\0\0", b"something else"] {
        let mut mirror = Mirror::of(b"before\n");
        let (_responder, address) = mirror.serve();
        let fetcher = fetch(&mirror, address, "75s");
        mirror.wait_exact_by(&fetcher);
        let writer = rotated_under(&mut mirror, &fetcher);
        fetcher.stop();
        let first = archive(&mirror, &lines(&mirror)[0]);
        OpenOptions::new().append(true).open(&first).unwrap().write_all(left).unwrap();
        write_late(&mut mirror, 0, &writer, b"late bytes\n");
        let fetcher = fetch(&mirror, address, "0s");
        wait_proof(&mirror, &fetcher);
    }
}

#[test]
fn an_archive_that_somebody_moved_or_changed_is_left_as_it_is() {
    let old: Vec<u8> = (0..200_000u32).map(|at| (at % 251) as u8).collect();
    for (change, told) in [("moved", 0), ("changed at its end", 0), ("changed in its middle", 1)] {
        let mut mirror = Mirror::of(&old);
        let (_responder, address) = mirror.serve();
        let fetcher = fetch(&mirror, address, "75s");
        mirror.wait_exact_by(&fetcher);
        let writer = rotated_under(&mut mirror, &fetcher);
        fetcher.stop();
        let line = lines(&mirror).remove(0);
        let first = archive(&mirror, &line);
        let moved = first.with_extension("moved");
        let mut left = old.clone();
        match change {
            "moved" => fs::rename(&first, &moved).unwrap(),
            // This the responder notices by the digests of the request, and the next our worker.
            "changed at its end" => left[199_999] ^= 1,
            _ => left[100_000] ^= 1,
        }
        let kept = if change == "moved" { &moved } else { &first };
        fs::write(kept, &left).unwrap();
        write_late(&mut mirror, 0, &writer, b"late\n");
        let fetcher = fetch(&mirror, address, "0s");
        if told == 0 {
            fetcher.complained("is not asked for any more");
        } else {
            fetcher.wait_said("was changed: late bytes of ");
        }
        assert!(fs::read(kept).unwrap() == left, "{change}");
        assert_eq!(lines(&mirror), [line], "{change}");
        wait_until("the status says that all is well", || mirror.well());
        assert_eq!(fetcher.said("late"), told, "{change}");
    }
}

#[test]
fn a_copy_renamed_here_has_its_line_and_late_bytes_go_to_the_last_piece() {
    let mut mirror = Mirror::of(b"one ");
    let (_responder, address) = mirror.serve();
    let fetcher = fetch(&mirror, address, "500ms");
    mirror.wait_exact_by(&fetcher);
    let piece = mirror.copy.with_file_name("app.log-piece");
    fs::rename(&mirror.copy, &piece).unwrap();
    fetcher.signal(nix::sys::signal::Signal::SIGUSR1);
    fetcher.wait_said("copy reopened at byte 4");
    mirror.append(b"two ");
    wait_until("the new copy has the rest", || {
        fs::read(&mirror.copy).is_ok_and(|copy| copy == b"two ")
    });
    let writer = rotated_under(&mut mirror, &fetcher);
    write_late(&mut mirror, 0, &writer, b"three");
    let last = wait_for("the late bytes are recorded", || {
        lines(&mirror).pop().filter(|line| line.late == Some(5))
    });
    assert_eq!((last.from, last.to), (4, 13));
    assert_eq!(fs::read(archive(&mirror, &last)).unwrap(), b"two three");
    assert_eq!(last.digest, Whole::of(b"two three"));
    let first = lines(&mirror).remove(0);
    assert_eq!((first.ending, first.from, first.to), (Ending::Reopened, 0, 4));
    assert_eq!(archive(&mirror, &first), piece);
    assert_eq!(first.digest, Whole::of(b"one "));
    assert!(fs::metadata(&piece).unwrap().ino() > 0);
}
