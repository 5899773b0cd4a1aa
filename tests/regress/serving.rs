//! What happens to rotated logs beside rotation: copies, backups, clocks, foreign names, rewriting.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use crate::common::{Program, wait_seeing, wait_until};
use crate::mirror::{Mirror, lines, with_suffix};
use crate::shelf;

/// A copy that is complete, and nobody fetches any more; the responder goes on.
fn fetched(content: &[u8]) -> (Mirror, Program, SocketAddr) {
    let mirror = Mirror::of(content);
    let (responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
    wait_until("it is well", || mirror.well());
    fetcher.stop();
    (mirror, responder, address)
}

/// Waits until the clock of the file system has gone on.
fn tick(mirror: &Mirror) {
    let probe = mirror.copy.with_file_name("probe");
    let now = || {
        fs::write(&probe, b"x").unwrap();
        fs::metadata(&probe).unwrap().modified().unwrap()
    };
    let begun = now();
    wait_until("the clock goes on", || now() > begun + Duration::from_millis(10));
}

fn sketch(mirror: &Mirror) -> String {
    let sketch = |(name, bytes): &(String, Vec<u8>)| {
        let head = bytes[..bytes.len().min(30)].escape_ascii().to_string();
        let tail = bytes[bytes.len().saturating_sub(30)..].escape_ascii().to_string();
        format!("{name}: {} bytes {head} .. {tail}", bytes.len())
    };
    shelf(mirror).iter().map(sketch).collect::<Vec<_>>().join("\n")
}

/// Waits until the copy ends as the log does, and the fetcher is well.
fn settle(mirror: &Mirror, fetcher: &Program) -> String {
    let end = |path: &Path| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes[bytes.len().saturating_sub(20)..].to_vec()
    };
    let seen = || format!("{}\n{}", fetcher.lines().join("\n"), sketch(mirror));
    let there = || end(&mirror.copy) == end(&mirror.log) && mirror.well();
    wait_seeing("the copy ends as the log", there, seen);
    seen()
}

/// How often this is in what is kept.
fn count(mirror: &Mirror, needle: &[u8]) -> usize {
    let count = |bytes: &[u8]| bytes.windows(needle.len()).filter(|w| *w == needle).count();
    shelf(mirror).iter().map(|(_, bytes)| count(bytes)).sum()
}

/// Found by reading: a plain copy of the log under a rotated name was served as a generation of its own.
#[test]
fn a_plain_copy_of_the_current_log_is_not_a_generation_of_its_own() {
    let (mut mirror, _responder, address) = fetched(&lines("first", 100));
    mirror.rotate(&lines("second", 100));
    fs::rename(with_suffix(&mirror.log, "1"), with_suffix(&mirror.log, "2")).unwrap();
    tick(&mirror);
    fs::copy(&mirror.log, with_suffix(&mirror.log, "1")).unwrap();
    tick(&mirror);
    mirror.append(b"it goes on\n");
    let fetcher = mirror.fetch_logs(address);
    let seen = settle(&mirror, &fetcher);
    assert_eq!(count(&mirror, b"second 0\n"), 1, "{seen}");
}

/// Found by reading: the history of a log had a plain copy of the log itself in front of it.
#[test]
fn a_history_has_no_plain_copy_of_the_current_log() {
    let mut mirror = Mirror::of(&lines("only", 100));
    tick(&mirror);
    fs::copy(&mirror.log, with_suffix(&mirror.log, "1")).unwrap();
    mirror.append(b"it goes on\n");
    let (_responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs_with(address, "start=history");
    let seen = settle(&mirror, &fetcher);
    assert_eq!(count(&mirror, b"only 0\n"), 1, "{seen}");
}

/// Found by reading: an edited copy of the log was taken for what the log had been emptied from.
#[test]
fn an_edited_copy_of_the_log_is_not_what_it_was_emptied_from() {
    let (mut mirror, _responder, address) = fetched(&lines("only", 100));
    tick(&mirror);
    mirror.append(b"more\n");
    fs::copy(&mirror.log, with_suffix(&mirror.log, "1")).unwrap();
    let mut note = OpenOptions::new().append(true).open(with_suffix(&mirror.log, "1")).unwrap();
    note.write_all(b"# seen by root\n").unwrap();
    drop(note);
    let fetcher = mirror.fetch_logs(address);
    let seen = settle(&mirror, &fetcher);
    assert_eq!(count(&mirror, b"only 0\n"), 1, "{seen}");
}

/// Found by reading: a fetcher that followed a log was sent a plain copy of it as the next generation.
#[test]
fn a_plain_copy_of_the_log_is_no_generation_for_a_fetcher_that_follows_it() {
    let mut mirror = Mirror::of(&lines("first", 100));
    let (_responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
    tick(&mirror);
    fs::copy(&mirror.log, with_suffix(&mirror.log, "2026-11-21")).unwrap();
    tick(&mirror);
    mirror.append(b"it goes on\n");
    mirror.rotate(&lines("second", 100));
    let seen = settle(&mirror, &fetcher);
    assert_eq!(count(&mirror, b"first 0\n"), 1, "{seen}");
}

/// Found by reading: logs restored one after the other were put in order by the birth of their files.
#[test]
fn rotated_logs_brought_back_by_a_plain_cp_come_in_their_order() {
    let (mut mirror, responder, address) = fetched(&lines("first", 500));
    mirror.append(&lines("first, still", 50));
    for number in 2..5 {
        mirror.rotate(&lines(&format!("generation {number}"), 100));
    }
    responder.stop();
    // cp app.log* /the/new/disk/
    let names = [mirror.log.clone()]
        .into_iter()
        .chain((1..4).map(|n| with_suffix(&mirror.log, &n.to_string())));
    for name in names {
        let new = mirror.log.with_file_name("new");
        fs::copy(&name, &new).unwrap();
        fs::rename(&new, &name).unwrap();
        tick(&mirror);
    }
    let (_responder, address) = mirror.serve_logs(address);
    let fetcher = mirror.fetch_logs(address);
    let seen = settle(&mirror, &fetcher);
    assert!(mirror.kept() == mirror.generations, "{seen}");
}

/// Found by reading: what follows an empty log that is gone was looked for by time alone, and what had been
/// fetched before came once more.
#[test]
fn what_follows_a_lost_empty_log_is_not_what_was_fetched_before_it() {
    let mut mirror = Mirror::of(&lines("first", 100));
    let (_responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
    // rename, create, and the daemon writes one line more before it opens the new one
    let mut daemon = OpenOptions::new().append(true).open(&mirror.log).unwrap();
    mirror.rotate(b"");
    tick(&mirror);
    tick(&mirror);
    daemon.write_all(b"a last line\n").unwrap();
    mirror.generations[0].extend_from_slice(b"a last line\n");
    drop(daemon);
    fetcher.wait_said("rotated to");
    wait_until("it is begun", || fs::read(&mirror.copy).is_ok_and(|copy| copy.is_empty()));
    fetcher.stop();
    tick(&mirror);
    fs::remove_file(&mirror.log).unwrap();
    let other = mirror.log.with_file_name("other");
    fs::write(&other, b"").unwrap();
    fs::write(&mirror.log, lines("third", 100)).unwrap();
    let fetcher = mirror.fetch_logs(address);
    let seen = settle(&mirror, &fetcher);
    assert_eq!(count(&mirror, b"first 0\n"), 1, "{seen}");
}

/// Found by reading: a file written anew in place to the same length or more was read on from the middle;
/// nobody looked at the bytes before the place.
#[test]
fn a_report_that_is_written_anew_in_place_is_another_generation() {
    let report =
        |day: &str, count: usize| [day.as_bytes(), &b"nothing to tell\n".repeat(count)].concat();
    for length in [100, 150] {
        let mut mirror = Mirror::of(&report("day one\n", 100));
        let (responder, address) = mirror.serve();
        let fetcher = mirror.fetch_logs(address);
        mirror.wait_exact_by(&fetcher);
        wait_until("it is well", || mirror.well());
        tick(&mirror);
        responder.signal(Signal::SIGSTOP);
        mirror.truncate(&report("day two\n", length));
        responder.signal(Signal::SIGCONT);
        fetcher.wait_said("lost");
        mirror.append(b"bye\n");
        let seen = settle(&mirror, &fetcher);
        let days = [b"day one\n", b"day two\n"].map(|day| count(&mirror, day));
        assert_eq!(days, [1, 1], "{seen}");
    }
}

/// Found by reading: with the clock set back, what followed a lost log was skipped: times were believed
/// against names.
#[test]
fn what_follows_a_lost_log_is_the_next_one_though_the_clock_was_set_back() {
    let (mut mirror, _responder, address) = fetched(&lines("first", 100));
    mirror.append(&lines("first, still", 100));
    mirror.rotate(&lines("second", 100));
    mirror.rotate(&lines("third", 100));
    fs::remove_file(with_suffix(&mirror.log, "2")).unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    File::options()
        .write(true)
        .open(with_suffix(&mirror.log, "1"))
        .unwrap()
        .set_modified(hour_ago)
        .unwrap();
    let fetcher = mirror.fetch_logs(address);
    let seen = settle(&mirror, &fetcher);
    assert_eq!(count(&mirror, b"second 0\n"), 1, "{seen}");
}

/// Found by killing: a file with another kind of name turned the order of the rotated ones round where
/// renaming and emptying in place are mixed.
#[test]
fn a_file_named_otherwise_does_not_bring_the_others_out_of_order() {
    let mut mirror = Mirror::of(&lines("first", 100));
    fs::write(with_suffix(&mirror.log, "2026-11-20"), "saved by somebody\n").unwrap();
    let (_responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
    wait_until("it is well", || mirror.well());
    fetcher.stop();
    tick(&mirror);
    mirror.append(b"first, still\n");
    mirror.copytruncate(&lines("second", 100));
    tick(&mirror);
    mirror.rotate(&lines("third", 100));
    let fetcher = mirror.fetch_logs(address);
    let seen = settle(&mirror, &fetcher);
    assert_eq!(count(&mirror, b"second 0\n"), 1, "{seen}");
}
