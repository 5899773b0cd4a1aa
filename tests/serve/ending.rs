//! How a generation ends, and what follows it.

use super::*;

#[test]
fn a_renamed_file_without_writers_ends_when_its_successor_is_there() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"old\n")]);
    let old = bed.dir.inode("log");
    let mut peer = bed.ask("");
    peer.expect(bed.status('O', "log") + "old\n\x07");
    bed.dir.rename("log", "log.1");
    bed.dir.write("log", "new\n");
    peer.expect_close();
    bed.ask_for(old, 4).expect(bed.status('O', "log") + "new\n\x07");
}

#[test]
fn a_renamed_file_is_followed_until_its_writer_closes_it() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"old\n")]);
    let old = bed.dir.inode("log");
    let mut writer = File::options().append(true).open(bed.dir.path("log")).unwrap();
    let mut peer = bed.ask("");
    peer.expect(bed.status('O', "log") + "old\n\x07");
    bed.dir.rename("log", "log.1");
    bed.dir.write("log", "new\n");
    for number in 0..10 {
        let line = format!("late {number}\n");
        writer.write_all(line.as_bytes()).unwrap();
        peer.expect(line);
    }
    let mut again = bed.ask_for(old, 74);
    again.expect(format!("O {old}\n\x07"));
    drop(writer);
    peer.expect_close();
    again.expect_close();
    bed.ask_for(old, 74).expect(bed.status('O', "log") + "new\n\x07");
}

#[test]
fn a_writer_that_never_closes_is_waited_for_as_long_as_the_linger_time() {
    let bed = Bed::with("linger 300ms\ncheck 1h\nheartbeat 1h\n", &[("log", b"old\n")]);
    let old = bed.dir.inode("log");
    let mut writer = File::options().append(true).open(bed.dir.path("log")).unwrap();
    let mut peer = bed.ask("");
    peer.expect(bed.status('O', "log") + "old\n\x07");
    bed.dir.rename("log", "log.1");
    bed.dir.write("log", "new\n");
    let written_at = Instant::now();
    writer.write_all(b"late\n").unwrap();
    peer.expect("late\n");
    peer.expect_close();
    assert!(written_at.elapsed() >= Duration::from_millis(300));
    bed.ask_for(old, 9).expect(bed.status('O', "log") + "new\n\x07");
}

#[test]
fn a_log_that_was_quiet_for_long_is_followed_after_its_rotation_like_any_other() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"old\n")]);
    let old = bed.dir.inode("log");
    let mut writer = File::options().append(true).open(bed.dir.path("log")).unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(24 * 3600);
    writer.set_modified(long_ago).unwrap();
    let mut peer = bed.ask("");
    peer.expect(bed.status('O', "log") + "old\n\x07");
    bed.dir.rename("log", "log.1");
    bed.dir.write("log", "new\n");
    let mut again = bed.ask_for(old, 4);
    again.expect(format!("O {old}\n\x07"));
    writer.write_all(b"late\n").unwrap();
    peer.expect("late\n");
    again.expect("late\n");
    drop(writer);
    peer.expect_close();
    again.expect_close();
    bed.ask_for(old, 9).expect(bed.status('O', "log") + "new\n\x07");
}

#[test]
fn many_rotations_while_the_fetcher_is_away_are_fetched_one_after_the_other() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"generation 0\n")]);
    let (mut have, mut offset) = (bed.dir.inode("log"), 4);
    for newest in 1..=12 {
        for number in (1..newest).rev() {
            bed.dir.rename(&format!("log.{number}"), &format!("log.{}", number + 1));
        }
        bed.dir.rename("log", "log.1");
        bed.dir.write("log", format!("generation {newest}\n"));
    }
    for generation in 0..12 {
        let mut peer = bed.ask_for(have, offset);
        let text = format!("generation {generation}\n");
        let name = format!("log.{}", 12 - generation);
        peer.expect(bed.status('O', &name) + &text[offset as usize..]);
        peer.expect_close();
        // The fetcher begins the next generation with nothing of it.
        let mut next = bed.ask_for(bed.dir.inode(&name), text.len() as u64);
        let mut status = String::new();
        while !status.ends_with('\n') {
            let mut byte = [0];
            next.0.read_exact(&mut byte).unwrap();
            status.push(char::from(byte[0]));
        }
        have = status.trim().strip_prefix("O ").unwrap().parse().unwrap();
        offset = 0;
    }
    assert_eq!(have, bed.dir.inode("log"));
}

#[test]
fn a_file_truncated_in_place_ends_and_begins_anew_under_another_name() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"old and long\n")]);
    let inode = bed.dir.inode("log");
    let mut peer = bed.ask("");
    peer.expect(bed.status('O', "log") + "old and long\n\x07");
    fs::copy(bed.dir.path("log"), bed.dir.path("log.1")).unwrap();
    bed.dir.write("log", "new\n");
    peer.expect_close();
    bed.ask_for(inode, 13).expect(format!("L 0{inode}\nnew\n\x07"));
    bed.ask(&format!("0{inode} 4")).expect(format!("O 0{inode}\n\x07"));
}

#[test]
fn a_deleted_file_ends_after_its_last_writer() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"old\n")]);
    let mut peer = bed.ask("");
    peer.expect(bed.status('O', "log") + "old\n\x07");
    let mut writer = File::options().append(true).open(bed.dir.path("log")).unwrap();
    fs::remove_file(bed.dir.path("log")).unwrap();
    writer.write_all(b"last words\n").unwrap();
    drop(writer);
    bed.dir.write("log.touched", "");
    peer.expect("last words\n");
    peer.expect_close();
    bed.ask("").expect_silence("deleted");
}

#[test]
fn a_replaced_file_ends_and_the_replacement_is_served() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"old\n"), ("fresh", b"new\n")]);
    let mut peer = bed.ask("");
    peer.expect(bed.status('O', "log") + "old\n\x07");
    bed.dir.rename("fresh", "log");
    peer.expect_close();
    bed.ask("").expect(bed.status('O', "log") + "new\n\x07");
}

#[test]
fn a_renamed_file_is_followed_while_its_path_is_missing() {
    let bed = Bed::with("check 50ms\nheartbeat 1s\n", &[("log", b"old\n")]);
    let old = bed.dir.inode("log");
    let mut peer = bed.ask("");
    peer.expect(bed.status('O', "log") + "old\n\x07");
    bed.dir.rename("log", "log.1");
    peer.expect("\x07");
    let mut again = bed.ask_for(old, 4);
    again.expect(format!("O {old}\n\x07"));
    bed.dir.append("log.1", "late\n");
    peer.expect_content(b"late\n");
    again.expect_content(b"late\n");
    bed.dir.write("log", "new\n");
    peer.expect_close();
    again.expect_close();
}

#[test]
fn a_link_in_the_place_of_a_renamed_file_is_no_successor() {
    let bed = Bed::with("check 50ms\nheartbeat 1s\n", &[("log", b"old\n"), ("other", b"new\n")]);
    let old = bed.dir.inode("log");
    let mut peer = bed.ask("");
    peer.expect(bed.status('O', "log") + "old\n\x07");
    bed.dir.rename("log", "log.1");
    symlink("other", bed.dir.path("log")).unwrap();
    peer.expect("\x07");
    bed.ask_for(old, 4).expect(format!("O {old}\n\x07"));
    bed.dir.rename("other", "log");
    peer.expect_close();
}

#[test]
fn a_rotated_file_ends_when_a_later_one_is_there_even_if_the_path_never_comes_back() {
    let bed = Bed::with(HINTS_ONLY, &[("log.2", b"older\n")]);
    let older = bed.dir.inode("log.2");
    bed.ask_for(older, 0).expect(format!("O {older}\nolder\n\x07"));
    wait_until("the times of change differ", || {
        bed.dir.write("log.1", "old\n");
        let changed = |name| fs::metadata(bed.dir.path(name)).unwrap().modified().unwrap();
        changed("log.1") > changed("log.2")
    });
    let mut peer = bed.ask_for(older, 2);
    peer.expect(format!("O {older}\nder\n"));
    peer.expect_close();
    bed.ask_for(older, 6).expect(bed.status('O', "log.1") + "old\n\x07");
}

#[test]
fn a_compressed_generation_is_told_as_lost_and_the_one_after_it_is_sent() {
    let bed = Bed::with(HINTS_ONLY, &[("log.3", b"old\n")]);
    let old = bed.dir.inode("log.3");
    bed.dir.write("log.2.gz", "compressed");
    bed.dir.write("log.1", "next\n");
    bed.dir.write("log", "new\n");
    let now = std::time::SystemTime::now();
    for (name, age) in [("log.3", 30), ("log.2.gz", 20), ("log.1", 10)] {
        let file = File::options().append(true).open(bed.dir.path(name)).unwrap();
        file.set_modified(now - Duration::from_secs(age)).unwrap();
    }
    bed.ask_for(old, 4).expect(bed.status('L', "log.1") + "next\n");
}

#[test]
fn a_directory_that_is_removed_and_made_again_is_found_again() {
    let bed = Bed::with("check 50ms\nfile BASE/logs/log\n", &[]);
    let path = bed.dir.path("logs/log");
    for round in 0..3 {
        fs::create_dir(bed.dir.path("logs")).unwrap();
        let text = format!("round {round}\n");
        fs::write(&path, &text).unwrap();
        let mut peer = bed.connect();
        peer.send(format!("{}\n", path.display()));
        peer.expect(bed.status('O', "logs/log") + &text + "\x07");
        fs::remove_dir_all(bed.dir.path("logs")).unwrap();
        peer.expect_close();
    }
}
