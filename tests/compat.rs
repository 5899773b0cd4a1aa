//! Our fetcher beside fetchlogs 1.1: asking its responder, and taking turns with its fetcher.

mod common;
#[path = "common/mirror.rs"]
mod mirror;
#[path = "common/original.rs"]
mod original;

use std::fs;
use std::net::TcpStream;
use std::path::Path;

use common::wait_seeing;
use mirror::{Mirror, lines, with_suffix};
use original::{OriginalFetcher, OriginalResponder, ResponderTimes};

/// Every byte value.
fn every_byte() -> Vec<u8> {
    (0..=255).collect()
}

/// The original responder, serving the log of `mirror` alone.
fn original_of(mirror: &Mirror) -> OriginalResponder {
    OriginalResponder::start(&[&mirror.log])
}

/// Another one in the place of one that was killed.
fn restarted(mirror: &Mirror, killed: OriginalResponder) -> OriginalResponder {
    let address = killed.address;
    drop(killed);
    OriginalResponder::start_at(address, &[&mirror.log], ResponderTimes::default())
}

// ---- our fetcher, the original responder ----

#[test]
fn the_first_contact_fetches_the_whole_file_and_names_its_generation() {
    let mirror = Mirror::of(&[lines("first", 50_000), every_byte()].concat());
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    assert_eq!(mirror.pointer_word(), mirror.inode().to_string());
    assert_eq!(fetcher.said(""), 0, "{:?}", fetcher.lines());
}

#[test]
fn what_is_appended_arrives_on_the_same_connection() {
    let mut mirror = Mirror::of(b"");
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    for round in 0..20 {
        mirror.append(&[lines(&format!("round {round}"), 3), every_byte()].concat());
        mirror.wait_exact_by(&fetcher);
    }
    mirror.append(&lines("many", 100_000));
    mirror.wait_exact_by(&fetcher);
    assert_eq!(fetcher.said(""), 0, "{:?}", fetcher.lines());
}

#[test]
fn a_renamed_log_is_archived_and_the_next_generation_is_told() {
    let mut mirror = Mirror::of(&lines("old", 1000));
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    mirror.rotate(&[lines("new", 1000), every_byte()].concat());
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&format!("rotated to {}", mirror.inode()));
    assert_eq!(mirror.pointer_word(), mirror.inode().to_string());
    assert_eq!(fetcher.said(""), 1, "{:?}", fetcher.lines());
}

#[test]
fn what_is_written_to_a_log_after_its_rename_goes_to_its_archive() {
    let mut mirror = Mirror::of(&lines("old", 100));
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    let mut daemon = fs::OpenOptions::new().append(true).open(&mirror.log).unwrap();
    mirror.rotate(&lines("new", 100));
    let late = lines("late", 100);
    std::io::Write::write_all(&mut daemon, &late).unwrap();
    mirror.generations[0].extend_from_slice(&late);
    mirror.wait_exact_by(&fetcher);
}

#[test]
fn rotations_one_after_the_other_are_archived_one_by_one() {
    let mut mirror = Mirror::of(&lines("generation 0", 10));
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    for generation in 1..=5 {
        mirror.append(&lines("more", generation * 30));
        mirror.wait_exact_by(&fetcher);
        mirror.rotate(&lines(&format!("generation {generation}"), generation * 50));
        mirror.wait_exact_by(&fetcher);
        fetcher.wait_said(&format!("rotated to {}", mirror.inode()));
    }
    assert_eq!(fetcher.said(""), 5, "{:?}", fetcher.lines());
}

#[test]
fn the_next_generation_begins_empty_and_is_followed() {
    let mut mirror = Mirror::of(&lines("old", 100));
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    mirror.rotate(b"");
    mirror.wait_exact_by(&fetcher);
    mirror.append(&lines("new", 100));
    mirror.wait_exact_by(&fetcher);
}

#[test]
fn takes_over_from_an_original_pointer_without_losing_or_repeating_a_byte() {
    let mut mirror = Mirror::of(&lines("before", 1000));
    fs::write(&mirror.copy, &mirror.generations[0]).unwrap();
    fs::write(&mirror.pointer, format!("{}\n", mirror.inode())).unwrap();
    mirror.append(&lines("while nobody looked", 1000));
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    mirror.append(&lines("after", 10));
    mirror.wait_exact_by(&fetcher);
    assert_eq!(fetcher.said(""), 0, "{:?}", fetcher.lines());
}

#[test]
fn takes_over_from_an_original_pointer_whose_generation_was_rotated_meanwhile() {
    let mut mirror = Mirror::of(&lines("before", 1000));
    fs::write(&mirror.copy, &mirror.generations[0]).unwrap();
    fs::write(&mirror.pointer, format!("{}\n", mirror.inode())).unwrap();
    mirror.append(&lines("while nobody looked", 1000));
    mirror.rotate(&lines("next", 1000));
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&format!("rotated to {}", mirror.inode()));
    assert_eq!(fetcher.said(""), 1, "{:?}", fetcher.lines());
}

#[test]
fn a_generation_that_is_gone_is_told_as_lost_and_archived() {
    let mut mirror = Mirror::of(&lines("old", 1000));
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    fetcher.stop();
    let lost = format!("lost {}:{}", mirror.inode(), mirror.generations[0].len());
    // Its new name does not look like a rotation, so its number stays taken and it is not found.
    fs::rename(&mirror.log, mirror.log.with_file_name("elsewhere")).unwrap();
    mirror.begin(&lines("new", 10));
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&lost);
    fetcher.wait_said(&format!("rotated to {}", mirror.inode()));
    assert_eq!(mirror.pointer_word(), mirror.inode().to_string());
}

/// The original refuses for ever to serve a log that became shorter than what was fetched.
fn truncates_and_recovers(old: &[u8], new: &[u8]) {
    let mut mirror = Mirror::of(old);
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    mirror.truncate(new);
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&format!("lost {}:{}", mirror.inode(), old.len()));
    mirror.append(&lines("later", 1000));
    mirror.wait_exact_by(&fetcher);
    assert_eq!(mirror.pointer_word(), mirror.inode().to_string());
    assert_eq!(fetcher.said(&format!("lost {}:{}", mirror.inode(), old.len())), 1);
}

#[test]
fn a_log_truncated_in_place_is_told_as_lost_and_followed_from_its_beginning() {
    truncates_and_recovers(&lines("old", 1000), &lines("new", 10));
}

#[test]
fn a_log_emptied_in_place_is_told_as_lost_and_followed_from_its_beginning() {
    truncates_and_recovers(&lines("old", 1000), b"");
}

#[test]
fn a_log_truncated_to_more_than_is_asked_for_again_is_told_as_lost_and_followed() {
    let old = lines("old", 1000);
    let new = lines("another", 1000);
    truncates_and_recovers(&old, &new[..old.len() - 100]);
}

#[test]
fn a_short_log_truncated_in_place_is_told_as_lost_when_it_goes_on() {
    let mut mirror = Mirror::of(&lines("old", 10));
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    mirror.truncate(b"");
    // Nobody can see a truncation after which the log has grown again before it was looked at.
    fetcher.wait_said("ERR init read: connection closed");
    mirror.append(&lines("new", 100));
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&format!("lost {}:{}", mirror.inode(), mirror.generations[0].len()));
}

#[test]
fn a_log_truncated_while_nobody_fetched_is_told_as_lost() {
    let mut mirror = Mirror::of(&lines("old", 1000));
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    fetcher.stop();
    mirror.truncate(&lines("new", 10));
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&format!("lost {}:{}", mirror.inode(), mirror.generations[0].len()));
}

/// Another, longer log in the place of the one that was followed, and under its number.
fn replace_by_longer(mirror: &mut Mirror) {
    fs::remove_file(&mirror.log).unwrap();
    mirror.begin(&lines("another", 3000));
}

#[test]
fn a_longer_log_under_a_reused_number_is_noticed_when_the_responder_comes_back() {
    let mut mirror = Mirror::of(&lines("old", 1000));
    let responder = original_of(&mirror);
    responder.lie(&mirror.log, 77);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    let address = responder.address;
    drop(responder);
    fetcher.wait_said("ERR init connect: Connection refused");
    replace_by_longer(&mut mirror);
    let responder = OriginalResponder::start_at(address, &[&mirror.log], ResponderTimes::default());
    responder.lie(&mirror.log, 77);
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&format!("lost 77:{}", mirror.generations[0].len()));
}

#[test]
fn a_longer_log_under_a_reused_number_is_noticed_after_an_orderly_end() {
    let mut mirror = Mirror::of(&lines("old", 1000));
    let responder = original_of(&mirror);
    responder.lie(&mirror.log, 77);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    replace_by_longer(&mut mirror);
    responder.hang_up();
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&format!("lost 77:{}", mirror.generations[0].len()));
}

#[test]
fn a_longer_log_under_a_reused_number_is_noticed_by_a_fetcher_that_starts() {
    let mut mirror = Mirror::of(&lines("old", 1000));
    let responder = original_of(&mirror);
    responder.lie(&mirror.log, 77);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    fetcher.stop();
    replace_by_longer(&mut mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&format!("lost 77:{}", mirror.generations[0].len()));
}

#[test]
fn a_longer_log_under_a_reused_number_is_noticed_behind_a_fetcher_that_was_killed() {
    let mut mirror = Mirror::of(&lines("old", 1000));
    let responder = original_of(&mirror);
    responder.lie(&mirror.log, 77);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    drop(fetcher);
    replace_by_longer(&mut mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&format!("lost 77:{}", mirror.generations[0].len()));
}

#[test]
fn a_log_truncated_behind_a_fetcher_that_was_killed_is_told_as_lost() {
    for new in [&lines("new", 10)[..], b""] {
        let mut mirror = Mirror::of(&lines("old", 1000));
        let responder = original_of(&mirror);
        let fetcher = mirror.fetch_logs(responder.address);
        mirror.wait_exact_by(&fetcher);
        drop(fetcher);
        mirror.truncate(new);
        let fetcher = mirror.fetch_logs(responder.address);
        mirror.append(&lines("later", 1000));
        mirror.wait_exact_by(&fetcher);
        fetcher.wait_said(&format!("lost {}:{}", mirror.inode(), mirror.generations[0].len()));
    }
}

#[test]
fn a_log_that_lost_its_end_and_is_then_rotated_does_not_hold_the_next_one_up() {
    let mut mirror = Mirror::of(&lines("old", 1000));
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    // As after a power loss of its host. What the copy has more stays in its archive.
    let log = fs::OpenOptions::new().write(true).open(&mirror.log).unwrap();
    log.set_len(mirror.generations[0].len() as u64 - 100).unwrap();
    fetcher.wait_said("ERR init read: connection closed");
    mirror.rotate(&lines("next", 1000));
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&format!("rotated to {}", mirror.inode()));
}

#[test]
fn a_log_that_is_missing_for_a_while_goes_on_where_it_was() {
    let mut mirror = Mirror::of(&lines("before", 1000));
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    let away = mirror.log.with_file_name("away");
    fs::rename(&mirror.log, &away).unwrap();
    fetcher.wait_said("ERR init read: connection closed");
    fs::rename(&away, &mirror.log).unwrap();
    mirror.append(&lines("after", 1000));
    mirror.wait_exact_by(&fetcher);
    assert!(fetcher.lines().iter().all(|line| !line.contains(" lost ")), "{:?}", fetcher.lines());
}

#[test]
fn a_log_that_was_deleted_and_begun_anew_is_told_as_lost() {
    let mut mirror = Mirror::of(&lines("old", 1000));
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    let lost = format!("lost {}:{}", mirror.inode(), mirror.generations[0].len());
    fs::remove_file(&mirror.log).unwrap();
    fetcher.wait_said("ERR init read: connection closed");
    mirror.begin(&lines("new", 10));
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&lost);
}

#[test]
fn a_log_that_is_not_there_yet_is_fetched_when_it_appears() {
    let mut mirror = Mirror::of(b"");
    fs::remove_file(&mirror.log).unwrap();
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    fetcher.wait_said("ERR init read: connection closed");
    mirror.generations.clear();
    mirror.begin(&lines("first", 1000));
    mirror.wait_exact_by(&fetcher);
}

#[test]
fn a_responder_that_was_killed_and_started_again_is_asked_for_the_rest() {
    let mut mirror = Mirror::of(&lines("before", 1000));
    let mut responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    for round in 0..3 {
        responder = restarted(&mirror, responder);
        mirror.append(&lines(&format!("round {round}"), 1000));
        mirror.wait_exact_by(&fetcher);
    }
    assert_eq!(mirror.kept().len(), 1);
    drop(responder);
}

#[test]
fn a_rotation_while_the_responder_was_down_loses_nothing() {
    let mut mirror = Mirror::of(&lines("before", 1000));
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&fetcher);
    let address = responder.address;
    drop(responder);
    mirror.append(&lines("last words", 1000));
    mirror.rotate(&lines("next", 1000));
    let _responder =
        OriginalResponder::start_at(address, &[&mirror.log], ResponderTimes::default());
    mirror.wait_exact_by(&fetcher);
    fetcher.wait_said(&format!("rotated to {}", mirror.inode()));
}

#[test]
fn connections_that_break_in_the_middle_of_the_data_lose_and_repeat_nothing() {
    let mut mirror = Mirror::of(&lines("much", 400_000));
    let responder = original_of(&mirror);
    let fetcher = mirror.fetch_logs(responder.address);
    for round in 0..10 {
        let before = fs::metadata(&mirror.copy).map_or(0, |metadata| metadata.len());
        mirror.append(&lines(&format!("round {round}"), 50_000));
        let more = || fs::metadata(&mirror.copy).is_ok_and(|metadata| metadata.len() > before);
        wait_seeing("more has come", more, || fetcher.lines().join("\n"));
        responder.hang_up();
    }
    mirror.wait_exact_by(&fetcher);
}

// ---- taking turns with the original fetcher ----

#[test]
fn two_fetchers_take_turns_on_one_copy_without_losing_or_repeating_a_byte() {
    let mut mirror = Mirror::of(&[lines("original", 1000), every_byte()].concat());
    let responder = original_of(&mirror);
    let line = mirror.line(responder.address);

    for turn in 0..2 {
        let original = OriginalFetcher::start(line.clone());
        mirror.wait_exact(|| format!("{:?}", original.statuses()));
        mirror.append(&lines("live", 10));
        mirror.rotate(&lines(&format!("original {turn}, rotated"), 700));
        mirror.wait_exact(|| format!("{:?}", original.statuses()));
        drop(original);
        assert_eq!(fs::read_to_string(&mirror.pointer).unwrap(), format!("{}\n", mirror.inode()));

        mirror.append(&[lines("between", 100), every_byte()].concat());
        mirror.rotate(&lines(&format!("ours {turn}"), 500));
        let ours = mirror.fetch_logs(responder.address);
        mirror.wait_exact_by(&ours);
        mirror.append(&lines("live", 10));
        mirror.rotate(&lines(&format!("ours {turn}, rotated"), 300));
        mirror.wait_exact_by(&ours);
        ours.stop();
        assert_eq!(mirror.pointer_word(), mirror.inode().to_string());

        mirror.append(&[lines("between", 100), every_byte()].concat());
    }
    let original = OriginalFetcher::start(line);
    mirror.wait_exact(|| format!("{:?}", original.statuses()));
}

#[test]
fn the_original_fetcher_goes_on_behind_ours_that_was_killed() {
    let mut mirror = Mirror::of(&lines("before", 1000));
    let responder = original_of(&mirror);
    let ours = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&ours);
    mirror.append(&lines("not yet durable", 100));
    mirror.wait_exact_by(&ours);
    drop(ours);
    mirror.append(&lines("between", 100));
    let original = OriginalFetcher::start(mirror.line(responder.address));
    mirror.wait_exact(|| format!("{:?}", original.statuses()));
    assert_eq!(original.statuses(), [format!("O {}", mirror.inode())]);
    drop(original);
    mirror.append(&lines("after", 100));
    let ours = mirror.fetch_logs(responder.address);
    mirror.wait_exact_by(&ours);
}

// ---- the stand-ins themselves: the faults that others are tested against ----

/// What the original responder answers to one request: all that comes within a few looks.
fn answer(responder: &OriginalResponder, request: &str) -> Vec<u8> {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(responder.address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut block = [0; 4096];
    stream.set_read_timeout(Some(ResponderTimes::default().check * 2)).unwrap();
    while let Ok(read @ 1..) = stream.read(&mut block) {
        answer.extend_from_slice(&block[..read]);
    }
    answer
}

#[test]
fn the_original_responder_answers_as_it_is_known_to() {
    let mut mirror = Mirror::of(b"one\n");
    let responder = original_of(&mirror);
    let path = mirror.log.display().to_string();
    let first = mirror.inode();
    mirror.rotate(b"tw\x07o\n");
    let second = mirror.inode();
    mirror.rotate(b"three\n");
    let third = mirror.inode();
    let current = format!("O {third}\nthree\n");
    for (request, expected) in [
        (path.clone(), current.clone()),
        (format!("{path} 0 2"), format!("O {third}\nree\n")),
        (format!("{path} {third} 4 +2 a=b"), format!("O {third}\ne\n")),
        (format!("{path} {third} 6"), format!("O {third}\n\x07")),
        (format!("{path} {first} 1"), format!("O {first}\nne\n")),
        // The second generation is skipped.
        (format!("{path} {first} 4"), current.clone()),
        (format!("{path} 999999999 4"), format!("L {third}\nthree\n")),
        (format!("{path} {third} 7"), String::new()),
        (format!("{path} x{third} 0"), String::new()),
        (format!("{path}.1 0 0"), String::new()),
    ] {
        let got = answer(&responder, &format!("{request}\n"));
        let got = String::from_utf8_lossy(&got);
        // It may have said that it is alive once more.
        let got = got.strip_suffix('\x07').filter(|_| !expected.ends_with('\x07')).unwrap_or(&got);
        assert_eq!(got, expected, "{request}");
    }
    let masked = answer(&responder, &format!("{path} {second} 1\n"));
    assert!(masked.starts_with(format!("O {second}\nw").as_bytes()), "{masked:?}");
    assert!(masked.ends_with(b"w\xffo\n"), "{masked:?}");
}

#[test]
fn the_original_fetcher_begins_with_an_empty_archive() {
    let mirror = Mirror::of(b"one\n");
    let responder = original_of(&mirror);
    let original = OriginalFetcher::start(mirror.line(responder.address));
    mirror.wait_exact(|| format!("{:?}", original.statuses()));
    assert_eq!(original.received(), 4);
    let directory = mirror.copy.parent().map(Path::to_path_buf).unwrap();
    let names: Vec<_> = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    let stem = with_suffix(&mirror.copy, "2").into_os_string().into_encoded_bytes();
    let archived = |path: &std::path::PathBuf| {
        path.as_os_str().as_encoded_bytes().starts_with(&stem)
            && fs::metadata(path).unwrap().len() == 0
    };
    assert_eq!(names.iter().filter(|path| archived(path)).count(), 1, "{names:?}");
}
