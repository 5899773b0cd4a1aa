//! What the fetcher once lost without a word, or said that was not so.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::common::{Program, wait_seeing, wait_until};
use crate::mirror::{Mirror, lines, with_suffix};
use crate::shelf;
use crate::site::Site;
use crate::truth::Truth;

fn fetched_with(content: &[u8], options: &str) -> (Mirror, Program, SocketAddr) {
    let mirror = Mirror::of(content);
    let (responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs_with(address, options);
    wait_seeing("it is well", || mirror.well(), || fetcher.lines().join("\n"));
    if options.is_empty() {
        mirror.wait_exact_by(&fetcher);
    }
    fetcher.stop();
    (mirror, responder, address)
}

fn fetched(content: &[u8]) -> (Mirror, Program, SocketAddr) {
    fetched_with(content, "")
}

fn sketch(mirror: &Mirror) -> String {
    let mut text = String::new();
    for (name, bytes) in shelf(mirror) {
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(30)]).into_owned();
        let tail = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(30)..]).into_owned();
        text.push_str(&format!("  {name}: {} bytes {head:?} .. {tail:?}\n", bytes.len()));
    }
    text.push_str(
        &fs::read_to_string(with_suffix(&mirror.pointer, "manifest")).unwrap_or_default(),
    );
    text
}

/// Waits until the copy ends as the log does and the fetcher is well.
fn settle(mirror: &Mirror, fetcher: &Program) {
    let end = |path: &Path| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes[bytes.len().saturating_sub(20)..].to_vec()
    };
    wait_seeing(
        "the copy ends as the log",
        || end(&mirror.copy) == end(&mirror.log) && mirror.well(),
        || format!("{}\n{}", fetcher.lines().join("\n"), sketch(mirror)),
    );
}

fn holds(mirror: &Mirror, needle: &[u8]) -> usize {
    shelf(mirror)
        .iter()
        .map(|(_, bytes)| bytes.windows(needle.len()).filter(|w| *w == needle).count())
        .sum()
}

/// Found by reading: a log emptied and regrown while the copy had been renamed was taken for the old
/// one, since a copy that begins in the middle had nothing before its first byte to be compared.
#[test]
fn a_log_emptied_in_place_after_a_local_rotation_is_noticed() {
    let (mut mirror, _responder, address) = fetched(&lines("old", 100));
    let fetcher = mirror.fetch_logs(address);
    mirror.append(b"one more\n");
    mirror.wait_exact_by(&fetcher);
    fs::rename(&mirror.copy, with_suffix(&mirror.copy, "1")).unwrap();
    fetcher.signal(Signal::SIGUSR1);
    fetcher.wait_said("copy reopened");
    fetcher.stop();
    mirror.truncate(&lines("new", 1000));
    let fetcher = mirror.fetch_logs(address);
    settle(&mirror, &fetcher);
    fetcher.wait_said("lost");
    assert_eq!(holds(&mirror, b"new 0\n"), 1, "{}", sketch(&mirror));
}

/// Found by reading: what somebody wrote behind a renamed copy was counted as the source's, and as many
/// bytes of the source were passed over.
#[test]
fn a_line_that_a_local_rotation_adds_to_the_renamed_copy_costs_no_byte_of_the_source() {
    let (mut mirror, _responder, address) = fetched(&lines("old", 100));
    let moved = with_suffix(&mirror.copy, "1");
    fs::rename(&mirror.copy, &moved).unwrap();
    let mut footer = OpenOptions::new().append(true).open(&moved).unwrap();
    footer.write_all(b"--- rotated ---\n").unwrap();
    mirror.append(b"a line that matters\nanother one\nend\n");
    let fetcher = mirror.fetch_logs(address);
    settle(&mirror, &fetcher);
    let seen = format!("{}\n{}", fetcher.lines().join("\n"), sketch(&mirror));
    assert!(
        fetcher.said("lost") > 0 || holds(&mirror, b"a line that matters\n") == 1,
        "SILENT:\n{seen}"
    );
}

/// Found by reading: a source begun at its end was asked for by its inode number alone, and a log emptied
/// since then was read from the middle.
#[test]
fn a_log_emptied_in_place_before_the_first_byte_behind_start_end_is_noticed() {
    let (mut mirror, _responder, address) = fetched_with(&lines("old", 100), "start=end");
    mirror.truncate(&lines("new", 1000));
    let fetcher = mirror.fetch_logs_with(address, "start=end");
    settle(&mirror, &fetcher);
    fetcher.wait_said("lost");
    assert_eq!(holds(&mirror, b"new 0\n"), 1, "{}", sketch(&mirror));
}

/// Found by reading: a rotated copy that had less than was heard of ended as if it were complete; the size
/// that was heard of was not kept.
#[test]
fn bytes_that_were_heard_of_and_are_not_there_at_the_end_are_told() {
    let old = lines("old", 4_000_000);
    let mut mirror = Mirror::of(&old);
    let (mut responder, address) = mirror.serve();
    let mut fetcher = mirror.fetch_logs(address);
    wait_until("some of it is here", || {
        fs::metadata(&mirror.copy).is_ok_and(|facts| facts.len() > 100_000)
    });
    fetcher.kill();
    responder.kill();
    let have = fs::metadata(&mirror.copy).unwrap().len() as usize;
    assert!(have < old.len() / 2, "too fast: {have} of {}", old.len());
    // copytruncate on a full disk
    fs::write(with_suffix(&mirror.log, "1"), &old[..have + 1000]).unwrap();
    mirror.truncate(&lines("new", 10));
    let (_responder, address) = mirror.serve_logs(address);
    let fetcher = mirror.fetch_logs(address);
    settle(&mirror, &fetcher);
    fetcher.wait_said("lost");
}

/// Found by reading: a log cut behind what had been fetched lost bytes without a word.
#[test]
fn a_log_cut_to_a_part_that_was_not_fetched_is_told() {
    let old = lines("old", 4_000_000);
    let mirror = Mirror::of(&old);
    let (mut responder, address) = mirror.serve();
    let mut fetcher = mirror.fetch_logs(address);
    wait_until("some of it is here", || {
        fs::metadata(&mirror.copy).is_ok_and(|facts| facts.len() > 100_000)
    });
    fetcher.kill();
    responder.kill();
    let have = fs::metadata(&mirror.copy).unwrap().len();
    assert!((have as usize) < old.len() / 2, "too fast: {have} of {}", old.len());
    OpenOptions::new().write(true).open(&mirror.log).unwrap().set_len(have + 1000).unwrap();
    let (_responder, address) = mirror.serve_logs(address);
    let fetcher = mirror.fetch_logs(address);
    settle(&mirror, &fetcher);
    fetcher.wait_said("lost");
}

/// Found by reading: the first lines of a file that appeared later were skipped; its end was asked for
/// though all of it was new.
#[test]
fn from_now_on_means_all_of_a_file_that_was_not_there_yet() {
    let mirror = Mirror::of(b"");
    fs::remove_file(&mirror.log).unwrap();
    let (_responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs_with(address, "start=end");
    fetcher.wait_said("missing");
    fs::write(&mirror.log, lines("line", 10)).unwrap();
    wait_until("it is well", || mirror.well());
    let mut log = OpenOptions::new().append(true).open(&mirror.log).unwrap();
    log.write_all(b"end\n").unwrap();
    settle(&mirror, &fetcher);
    let seen = format!("{}\n{}", fetcher.lines().join("\n"), sketch(&mirror));
    assert_eq!(holds(&mirror, b"line 0\n"), 1, "SILENT:\n{seen}");
}

/// Found by reading: a damaged last line of the manifest was taken for one torn by a crash and cut off.
#[test]
fn a_damaged_last_line_of_the_manifest_is_told() {
    let (mut mirror, _responder, address) = fetched(&lines("first", 100));
    mirror.rotate(&lines("second", 100));
    mirror.rotate(&lines("third", 100));
    let fetcher = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
    fetcher.stop();
    let manifest = with_suffix(&mirror.pointer, "manifest");
    let mut text = fs::read(&manifest).unwrap();
    let at = text.len() - 30;
    text[at] ^= 1;
    fs::write(&manifest, &text).unwrap();
    let mut verify = mirror.fetch_logs_as(&["--verify"]);
    let code = verify.ended().code();
    let told = verify.stdout();
    mirror.rotate(&lines("fourth", 100));
    let fetcher = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said("manifest is damaged");
    fetcher.stop();
    let after = fs::read(&manifest).unwrap();
    assert!(after.starts_with(&text), "the damaged line is not there any more");
    let mut verify = mirror.fetch_logs_as(&["--verify"]);
    let again = verify.ended().code();
    assert_eq!((code, again), (Some(1), Some(1)), "{told}\n{}", verify.stdout());
    assert!(told.contains(" manifest damaged: 1 line can't be read\n"), "{told}");
}

/// Found by reading: a manifest that was gone was begun anew without a word.
#[test]
fn a_missing_manifest_is_told() {
    let (mut mirror, _responder, address) = fetched(&lines("first", 100));
    mirror.rotate(&lines("second", 100));
    let fetcher = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
    fetcher.stop();
    fs::remove_file(with_suffix(&mirror.pointer, "manifest")).unwrap();
    let mut verify = mirror.fetch_logs_as(&["--verify"]);
    assert_eq!(verify.ended().code(), Some(1));
    assert!(verify.stdout().contains(" manifest missing\n"), "{}", verify.stdout());
    let fetcher = mirror.fetch_logs(address);
    fetcher.wait_said("manifest has 0 bytes, and not ");
}

/// Found by reading: of two archives that had the same name at different times only one was proved; the
/// lines were looked up by name.
#[test]
fn archives_that_had_one_name_are_proved_each_by_its_own_line() {
    let (mut mirror, _responder, address) = fetched(&lines("first", 100));
    mirror.rotate(&lines("second", 100));
    let fetcher = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
    // Somebody compresses the archive; an hour later the clock shows the same local time (DST ends).
    fetcher.stop();
    let manifest = with_suffix(&mirror.pointer, "manifest");
    let (name, _) = shelf(&mirror).into_iter().find(|(name, _)| name.contains(".2026")).unwrap();
    let archive = mirror.copy.with_file_name(&name);
    fs::rename(&archive, with_suffix(&archive, "gz")).unwrap();
    mirror.rotate(&lines("third", 100));
    let fetcher = mirror.fetch_logs(address);
    wait_until("it is there", || {
        fs::read(&mirror.copy).is_ok_and(|copy| copy == lines("third", 100))
    });
    fetcher.stop();
    let (second, _) = shelf(&mirror)
        .into_iter()
        .find(|(name, bytes)| name.contains(".2026") && *bytes == lines("second", 100))
        .unwrap();
    // What free_archive() would have called it in that second.
    fs::rename(mirror.copy.with_file_name(&second), &archive).unwrap();
    let text = fs::read_to_string(&manifest).unwrap();
    let renamed: String = text
        .lines()
        .map(|line| {
            let (line, _) = line.rsplit_once(" crc32=").unwrap();
            let line = line.replace(&format!("archive={second} "), &format!("archive={name} "));
            format!("{line} crc32={:08x}\n", crc32fast::hash(line.as_bytes()))
        })
        .collect();
    fs::write(&manifest, &renamed).unwrap();
    let mut verify = mirror.fetch_logs_as(&["--verify"]);
    let code = verify.ended().code();
    let told = verify.stdout();
    assert_eq!(told.matches(&format!(" archive {name} ")).count(), 2, "{told}\n{renamed}");
    assert_eq!(code, Some(1), "{told}");
}

/// Found by reading: protocol 2 compared digests of bytes that protocol 1 had masked, and told a loss that
/// was none.
#[test]
fn a_copy_of_protocol_1_goes_on_in_protocol_2() {
    let content = [lines("first", 100), b"bell \x07 bell\n".to_vec()].concat();
    let first_len = content.len();
    let mut mirror = Mirror::of(&content);
    let (_responder, address) = mirror.serve();
    let fetcher = mirror.fetch_logs_with(address, "protocol=1");
    mirror.wait_exact_by(&fetcher);
    fetcher.stop();
    // Later the digests of a request are of both kinds of bytes.
    for more in [&b"more\n"[..], b"a \x07 as it is\n", b"end\n"] {
        mirror.append(more);
        let fetcher = mirror.fetch_logs(address);
        mirror.wait_exact_by(&fetcher);
        let content = mirror.generations[0].clone();
        let masked = &content[..first_len];
        let masked = masked.iter().map(|&byte| if byte == 7 { 0xff } else { byte });
        let exact: Vec<u8> = masked.chain(content[first_len..].iter().copied()).collect();
        assert!(mirror.kept() == [exact], "{}", sketch(&mirror));
        assert_eq!(fetcher.said("lost"), 0);
        fetcher.stop();
    }
}

/// Found by the simulation: a generation of at most 256 bytes, all of them durable, was compressed while the
/// fetcher was away. It was asked for from its first byte on, and such a request has no digest: the
/// compressed file was taken for another generation, a loss was told, and its bytes were fetched twice.
#[test]
fn a_short_log_that_was_compressed_while_the_fetcher_was_away_is_known_again() {
    let (mut mirror, _responder, address) = fetched(&lines("old", 10));
    mirror.rotate(&lines("new", 10));
    let rotated = with_suffix(&mirror.log, "1");
    let packed = fs::File::create(with_suffix(&rotated, "gz")).unwrap();
    let mut packed = flate2::write::GzEncoder::new(packed, Default::default());
    packed.write_all(&fs::read(&rotated).unwrap()).unwrap();
    packed
        .finish()
        .unwrap()
        .set_modified(fs::metadata(&rotated).unwrap().modified().unwrap())
        .unwrap();
    fs::remove_file(&rotated).unwrap();
    let fetcher = mirror.fetch_logs(address);
    settle(&mirror, &fetcher);
    assert_eq!(fetcher.said("lost"), 0, "{}", fetcher.lines().join("\n"));
    assert_eq!(holds(&mirror, b"old 0\n"), 1, "{}", sketch(&mirror));
}

/// Found by reading: copies in a directory that is a link to another disk could not be written: what the
/// fetcher had kept of its rights lay above the link, and not above what it leads to.
#[test]
fn copies_in_a_directory_that_is_a_link_to_another_disk_are_written() {
    let truth = Truth::new();
    truth.grow(100);
    let site = Site::of(truth.port());
    fs::remove_dir(site.path("d")).unwrap();
    let disk = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::create_dir(disk.path().join("web1")).unwrap();
    std::os::unix::fs::symlink(disk.path().join("web1"), site.path("d")).unwrap();
    let fetcher = site.start();
    site.wait_all(&truth);
    assert_eq!(fetcher.said("ERR"), 0, "{:?}", fetcher.lines());
}

/// Found by killing: `--verify` told a difference where there was none. A log was emptied in place, and the copy
/// made of it was deleted by the rotation after; its file, known by its identity, has other bytes since then.
#[test]
fn a_generation_whose_file_was_emptied_since_is_gone_and_does_not_differ() {
    let (mut mirror, _responder, address) = fetched(&lines("first", 100));
    mirror.copytruncate(&lines("second", 1000));
    let fetcher = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
    fetcher.stop();
    fs::remove_file(with_suffix(&mirror.log, "1")).unwrap();
    let mut verify = mirror.fetch_logs_as(&["--verify"]);
    let code = verify.ended().code();
    let told = verify.stdout();
    assert!(told.contains("gone at the source, equal to the manifest"), "{told}");
    assert_eq!(code, Some(0), "{told}");
}
