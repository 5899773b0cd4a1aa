//! A search that takes a while, and everybody else meanwhile.

use fetchlogs::proto::digest::Digest;

use super::*;

const MIB: u64 = 1 << 20;

/// Rotated files that have to be read: to compare them takes seconds even on a fast machine.
const OLD: usize = 256;

fn with_much_to_read(settings: &str) -> Bed {
    let bed = Bed::with(settings, &[("log", b"one\n"), ("other", b"")]);
    for number in 1..=OLD {
        let file = File::create(bed.dir.path(&format!("log.{number}"))).unwrap();
        file.set_len(65 * MIB).unwrap();
    }
    bed
}

/// Asks for what has to be looked for in all of them.
fn ask_much(bed: &Bed, two: &str) -> Peer {
    let digest = Digest::of(b"in none of them");
    bed.ask(&format!("1 {} {two} tail={}:{digest}", 64 * MIB, 64 * MIB))
}

#[test]
fn who_is_followed_gets_new_lines_at_once_while_somebody_is_looked_for() {
    let bed = with_much_to_read(HINTS_ONLY);
    let mut live = bed.ask("");
    live.expect(bed.status('O', "log"));
    live.expect("one\n\x07");
    let searching: Vec<Peer> = (0..8).map(|_| ask_much(&bed, "+2")).collect();
    for number in 0..20 {
        let line = format!("line {number}\n");
        bed.dir.append("log", &line);
        live.expect(line);
    }
    for peer in &searching {
        peer.0.set_nonblocking(true).unwrap();
        let error = (&peer.0).read(&mut [0; 4096]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "nobody was answered so soon");
    }
    drop(searching);
    let mut next = bed.ask("1 4 +2");
    next.expect("L ");
}

#[test]
fn who_is_looked_for_is_closed_when_the_configuration_serves_it_no_longer() {
    let bed = with_much_to_read(HINTS_ONLY);
    let mut gone = ask_much(&bed, "+2");
    let mut stranger = bed.connect();
    stranger.send("/nowhere 0 0 +2\n");
    stranger.expect("E not-served +2 ");
    bed.reload(&format!("{HINTS_ONLY}file BASE/other\n"));
    gone.expect_close();
}

#[test]
fn who_asked_in_protocol_2_hears_that_it_takes_a_while_and_is_answered_in_the_end() {
    let bed = with_much_to_read(HINTS_ONLY);
    let mut waiting = ask_much(&bed, "+2");
    waiting.expect("W\nW\n");
    for number in 2..=OLD {
        fs::remove_file(bed.dir.path(&format!("log.{number}"))).unwrap();
    }
    let mut rest = Vec::new();
    while !rest.ends_with(b"one\n") {
        let mut byte = [0];
        waiting.0.read_exact(&mut byte).unwrap();
        rest.push(byte[0]);
    }
    let rest = String::from_utf8(rest).unwrap();
    let status = rest.trim_start_matches("W\n");
    assert!(status.starts_with("L ") && status.contains(" why=gone "), "{rest}");
}

#[test]
fn who_need_not_be_looked_for_is_answered_at_once_while_others_are() {
    let bed = with_much_to_read(HINTS_ONLY);
    let mut searching: Vec<Peer> = (0..8).map(|_| ask_much(&bed, "+2")).collect();
    for peer in &mut searching {
        peer.expect("W\n");
    }
    bed.first().expect_all(b"one\n");
    bed.ask("").expect([bed.status('O', "log").as_bytes(), b"one\n\x07"].concat());
    for peer in &mut searching {
        peer.expect("W\n");
    }
}
