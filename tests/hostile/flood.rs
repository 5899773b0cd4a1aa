//! Responders that make work: generation after generation, connection after connection.

use super::*;

const SLOWED: &str = "ERR too many connections brought too little: waiting between them";

/// In memory, so that a thousand rotations take a moment.
fn flooded(act: impl Fn(u64, &mut Asked) + Send + Sync + 'static) -> (Siege, u64) {
    let (good, hostile) = (Truth::new(), Hostile::new(act));
    let site = Site::in_memory();
    site.configure(&[
        site.line("127.0.0.1", hostile.port, "log"),
        site.line("localhost", good.port(), "good"),
    ]);
    let outside = around(&site);
    let fetcher = site.start();
    let siege = Siege { site, good, hostile, fetcher, outside };
    let (begun, patience) = (Instant::now(), Duration::from_secs(120));
    while siege.fetcher.said(SLOWED) == 0 {
        assert!(
            begun.elapsed() < patience,
            "not slowed down after {} times",
            siege.hostile.count()
        );
        siege.good_stays_current(Duration::ZERO);
        // Two for each generation: each is asked for once more.
        let most = 2 * (1000 + begun.elapsed().as_secs()) + 100;
        assert!(siege.hostile.count() < most, "it is not slowed down");
        std::thread::sleep(Duration::from_millis(20));
    }
    let before = siege.hostile.count();
    siege.good_stays_current(Duration::from_secs(1));
    let more = siege.hostile.count() - before;
    assert!(more <= 10, "{more} connections in a second");
    assert_eq!(siege.fetcher.said(SLOWED), 1);
    assert!(siege.site.status("127.0.0.1").unwrap().contains(SLOWED));
    (siege, before)
}

#[test]
fn a_responder_whose_next_generation_is_the_one_asked_for_is_slowed_down() {
    let (mut siege, asked) = flooded(|_, asked| {
        let first = inode_of(asked) == 0;
        let relation = if first { File::First } else { File::Next };
        asked.send(answer(relation, 1001, 0, 0)).send(emit_close(Reason::Rotated, 0)).close();
    });
    assert!(siege.site.archives().iter().all(Vec::is_empty));
    assert!(siege.site.archives().len() as u64 <= asked + 10);
    siege.holds(2400);
    tally("attacks: connections and generations without end, slowed down", asked);
}

/// Found by attacks: a responder that named another generation at each question, one byte long, made archives
/// as fast as the disk syncs. Behind a thousand connections that brought little there is a wait.
#[test]
fn a_chain_of_generations_that_bites_its_tail_is_slowed_down() {
    let (mut siege, asked) = flooded(|_, asked| {
        let next = if inode_of(asked) == 1001 { 1002 } else { 1001 };
        let relation = relation(asked, next);
        asked.send(answer(relation, next, 0, 1)).send(data(&[b'0' + (next % 10) as u8]));
        asked.send(emit_close(Reason::Rotated, 1)).close();
    });
    // Each byte is in a copy of its generation.
    for (at, archive) in siege.site.archives().iter().enumerate() {
        assert!(*archive == [b'1' + (at % 2) as u8], "archive {at}: {archive:?}");
    }
    siege.holds(2400);
    tally("attacks: connections and generations without end, slowed down", asked);
}

#[test]
fn a_responder_that_closes_behind_each_byte_is_slowed_down_and_its_bytes_are_right() {
    let (mut siege, asked) = flooded(|_, asked| {
        let (from, relation) = (asked.from() as u64, relation(asked, 1001));
        asked.send(answer(relation, 1001, from, from + 1)).send(data(&[truth::byte(1, from)]));
        asked.send(emit_close(Reason::Shutdown, from + 1)).close();
    });
    let copy = siege.site.copy("log").unwrap();
    assert!(copy == content(1, copy.len() as u64));
    assert!(siege.site.archives().is_empty());
    siege.holds(60);
    tally("attacks: connections and generations without end, slowed down", asked);
}

#[test]
fn a_source_that_is_another_at_each_connection_is_slowed_down_and_each_byte_is_kept_as_it_came() {
    let (mut siege, asked) = flooded(|number, asked| {
        let from = asked.from();
        let content = vec![b'a' + (number % 26) as u8; 300];
        asked.send(b"O 1001\n").send(&content[from.min(300)..]).close();
    });
    let whole = |archive: &Vec<u8>| archive.iter().all(|byte| *byte == archive[0]);
    assert!(siege.site.archives().iter().all(|archive| archive.is_empty() || whole(archive)));
    siege.holds(2500);
    tally("attacks: connections and generations without end, slowed down", asked);
}

#[test]
fn four_hundred_generations_that_were_missed_come_without_a_wait() {
    let act = |_: u64, asked: &mut Asked| {
        let known = inode_of(asked);
        let next = if known == 0 { 1001 } else { known + 1 };
        if known == 1400 {
            asked.send(answer(File::Same, 1400, asked.from() as u64, 1400));
            asked.send(data(&content(1400, 1400)[asked.from()..]));
            asked.wait_gone();
            return;
        }
        asked.send(answer(relation(asked, next), next, 0, next)).send(data(&content(next, next)));
        if next < 1400 {
            asked.send(emit_close(Reason::Rotated, next)).close();
        } else {
            asked.wait_gone();
        }
    };
    let site = Site::in_memory();
    let hostile = Hostile::new(act);
    site.configure(&[site.line("127.0.0.1", hostile.port, "log")]);
    let fetcher = site.start();
    site.wait_copy(&content(1400, 1400));
    let archives = site.archives();
    assert_eq!(archives.len(), 399);
    for (at, archive) in archives.iter().enumerate() {
        let number = 1001 + at as u64;
        assert!(*archive == content(number, number), "{number}");
    }
    assert_eq!(fetcher.said("ERR"), 0, "{:?}", fetcher.lines());
}
