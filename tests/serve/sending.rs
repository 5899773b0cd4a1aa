//! What is sent.

use super::*;

#[test]
fn first_contact_gets_the_current_file_and_a_heartbeat_at_its_end() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"one\ntwo\n"), ("log.1", b"older\n")]);
    for have in ["", "0 0"] {
        let mut peer = bed.ask(have);
        peer.expect(bed.status('O', "log") + "one\ntwo\n\x07");
    }
}

#[test]
fn a_fetcher_goes_on_where_it_was_and_hears_at_once_if_it_has_all() {
    let bed = Bed::with(HINTS_ONLY, &[("log", b"one\ntwo\n")]);
    let inode = bed.dir.inode("log");
    bed.ask_for(inode, 4).expect(bed.status('O', "log") + "two\n\x07");
    bed.ask_for(inode, 8).expect(bed.status('O', "log") + "\x07");
    bed.ask(&format!("00{inode} 8")).expect(format!("O 00{inode}\n\x07"));
}

#[test]
fn a_line_is_sent_as_soon_as_it_is_written() {
    let bed = Bed::new(HINTS_ONLY);
    let mut peer = bed.ask("");
    peer.expect(bed.status('O', "log") + "\x07");
    for number in 0..100 {
        let line = format!("line {number}\n");
        bed.dir.append("log", &line);
        peer.expect(line);
    }
}

#[test]
fn silence_is_broken_by_heartbeats() {
    let bed = Bed::new("heartbeat 1s\ncheck 1h\n");
    let mut peer = bed.ask("");
    peer.expect(bed.status('O', "log") + "\x07");
    let start = Instant::now();
    peer.expect("\x07\x07");
    let elapsed = start.elapsed();
    assert!(elapsed > Duration::from_millis(1500), "two heartbeats after {elapsed:?}");
}

#[test]
fn every_byte_is_sent_as_it_is_but_the_one_that_means_alive() {
    let all: Vec<u8> = (0..=255).collect();
    let bed = Bed::with(HINTS_ONLY, &[("log", &all)]);
    let mut peer = bed.ask("");
    let masked: Vec<u8> = all.iter().map(|&b| if b == 7 { 0xff } else { b }).collect();
    peer.expect(bed.status('O', "log"));
    peer.expect(masked);
    peer.expect("\x07");
}

#[test]
fn a_large_file_reaches_a_slow_reader_whole_while_others_are_served() {
    let content: Vec<u8> =
        (0..24_000_000u32).map(|n| (n.wrapping_mul(2654435761) >> 24) as u8 | 8).collect();
    let bed = Bed::with(HINTS_ONLY, &[("log", &content)]);
    let mut slow = bed.ask("");
    slow.expect(bed.status('O', "log"));
    let end = content.len() as u64;
    for offset in [end - 10, end - 1, end] {
        let mut quick = bed.ask_for(bed.dir.inode("log"), offset);
        quick.expect(bed.status('O', "log"));
        quick.expect(&content[offset as usize..]);
    }
    slow.expect_content(&content);
    bed.dir.append("log", "more\n");
    slow.expect_content(b"more\n");
}
