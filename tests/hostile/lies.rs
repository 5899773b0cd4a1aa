//! One siege for each kind of lie.

use super::*;

const CONTENT: &[u8] = b"0123456789 the true content of generation 1001\n";

/// What a hostile responder does, and what has to be told of it.
struct Lie {
    what: &'static str,
    /// A part of the one line that tells it; empty: nothing is wrong.
    told: &'static str,
    act: fn(u64, &mut Asked),
    /// What the copy may have in the end: a beginning of this.
    copy: &'static [u8],
}

/// The right beginning of an answer, in the relation that fits.
fn opened(asked: &mut Asked) {
    let (relation, from) = (relation(asked, 1001), asked.from());
    let from = if relation == File::First { 0 } else { from };
    asked.send(answer(relation, 1001, from as u64, CONTENT.len() as u64));
    asked.send(data(&CONTENT[from..]));
}

/// The content, and behind it something.
fn with(asked: &mut Asked, then: impl AsRef<[u8]>) {
    let empty = asked.from() == CONTENT.len();
    if empty {
        asked.send(answer(File::Same, 1001, asked.from() as u64, CONTENT.len() as u64));
    } else {
        opened(asked);
    }
    asked.send(then);
    asked.wait_gone();
}

fn lies() -> Vec<Lie> {
    let lie = |what, told, act, copy| Lie { what, told, act, copy };
    vec![
        lie(
            "a status of a mebibyte",
            "longer than 4096 bytes",
            |_, asked| {
                asked.send(vec![b'O'; 1 << 20]);
                asked.wait_gone();
            },
            b"",
        ),
        lie(
            "a status that is none",
            "header is broken: bad status line \"Q 1\"",
            |_, asked| {
                asked.send(b"Q 1\n");
                asked.wait_gone();
            },
            b"",
        ),
        lie("no status", "ERR init read: timeout", |_, asked| asked.wait_gone(), b""),
        lie(
            "a status byte by byte",
            "ERR init read: timeout",
            |_, asked| {
                for byte in answer(File::First, 1001, 0, 0) {
                    if !asked.try_send([byte]) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(300));
                }
            },
            b"",
        ),
        lie(
            "data before the status",
            "header is broken: bad status line \"D 5\"",
            |_, asked| {
                asked.send(data(b"first"));
                opened(asked);
                asked.wait_gone();
            },
            b"",
        ),
        lie(
            "words to a terminal",
            r#"bad status line "\x1b[2J\x1b]0;owned\x07\x00\xc2\x9b""#,
            |_, asked| {
                asked.send(b"\x1b[2J\x1b]0;owned\x07\x00\xc2\x9b\n");
                asked.wait_gone();
            },
            b"",
        ),
        lie(
            "words to a terminal in a refusal",
            "refused: other",
            |_, asked| {
                asked.send(b"E other +2 \x1b[2J\r\x00\xe2\x80\xae gnp\n");
                asked.wait_gone();
            },
            b"",
        ),
        lie(
            "words to a terminal in a frame",
            r#"\x1b[2J"#,
            |_, asked| with(asked, b"C \x1b[2J\r 47\n"),
            CONTENT,
        ),
        lie(
            "a second status in the middle",
            "bad frame \"O 1002 ",
            |_, asked| {
                with(asked, answer(File::First, 1002, 0, 0));
            },
            CONTENT,
        ),
        lie(
            "an end before the end",
            "an end elsewhere than where the data ended",
            |_, asked| {
                with(asked, emit_close(Reason::Rotated, 3));
            },
            CONTENT,
        ),
        lie(
            "an end behind the end",
            "an end elsewhere than where the data ended",
            |_, asked| {
                with(asked, emit_close(Reason::Rotated, 1 << 62));
            },
            CONTENT,
        ),
        lie(
            "an end at the last number",
            "bad frame \"C rotated 18446744073709551615\"",
            |_, asked| {
                with(asked, b"C rotated 18446744073709551615\n");
            },
            CONTENT,
        ),
        lie(
            "more bytes than there can be",
            "bad frame \"D 9223372036854775808\"",
            |_, asked| {
                with(asked, b"D 9223372036854775808\n");
            },
            CONTENT,
        ),
        lie(
            "bytes beyond the largest offset",
            "data beyond the largest offset",
            |_, asked| {
                with(asked, format!("D {}\n", (1_u64 << 63) - 1));
            },
            CONTENT,
        ),
        lie(
            "a frame that never comes",
            "ERR read: timeout",
            |_, asked| {
                with(asked, b"D 4611686018427387904\n");
            },
            CONTENT,
        ),
        lie(
            "a file shorter than what was sent",
            "a file shorter than what was sent of it",
            |_, asked| {
                with(asked, emit_heartbeat(1, 1));
            },
            CONTENT,
        ),
        lie(
            "data behind the end",
            "ERR read: bytes after the end",
            |_, asked| {
                let end = emit_close(Reason::Shutdown, CONTENT.len() as u64);
                with(asked, [&end[..], &data(b"more")].concat());
            },
            CONTENT,
        ),
        lie(
            "frames without bytes",
            "bad frame \"D 0\"",
            |_, asked| {
                with(asked, b"D 0\n".repeat(10_000));
            },
            CONTENT,
        ),
        lie(
            "signs of life, and bytes that never come",
            "ERR read: nothing but signs of life",
            |_, asked| {
                opened(asked);
                while asked.try_send(emit_heartbeat(1 << 40, 1)) {
                    std::thread::sleep(Duration::from_millis(50));
                }
            },
            CONTENT,
        ),
        lie(
            "another generation in the place of the one asked for",
            "connection closed",
            |number, asked| {
                // An old session, word by word.
                asked.send(answer(File::First, 1001, 0, 10));
                asked.send(data(&CONTENT[..20]));
                if number > 0 {
                    asked.wait_gone();
                }
            },
            CONTENT,
        ),
        lie(
            "heartbeats within a frame",
            "bad frame \"456789 the true content",
            |_, asked| {
                // They are its bytes, and what was left of it is no frame.
                let from = asked.from();
                asked.send(answer(relation(asked, 1001), 1001, from as u64, 100));
                asked.send([b"D 4\n", &CONTENT[from..]].concat());
                asked.wait_gone();
            },
            CONTENT,
        ),
        lie(
            "nothing wrong: heartbeats",
            "",
            |_, asked| {
                opened(asked);
                while asked.try_send(emit_heartbeat(CONTENT.len() as u64, 1).repeat(1000)) {}
            },
            CONTENT,
        ),
        lie(
            "nothing wrong: frames of one byte",
            "",
            |_, asked| {
                asked.send(answer(relation(asked, 1001), 1001, 0, 0));
                let mut all = Vec::new();
                CONTENT.iter().for_each(|byte| all.extend(data(&[*byte])));
                asked.send(all);
                asked.wait_gone();
            },
            CONTENT,
        ),
        lie(
            "nothing wrong: it works for ever",
            "",
            |_, asked| {
                while asked.try_send(b"W\n".repeat(1000)) {}
            },
            b"",
        ),
    ]
}

fn besiege(lie: &Lie) {
    let act = lie.act;
    let mut siege = Siege::with(&[("--idle-timeout", "700ms")], act);
    siege.hostile.wait_count(1);
    if lie.told.is_empty() {
        siege.good_stays_current(Duration::from_millis(700));
        assert_eq!(siege.hostile.count(), 1, "{}", lie.what);
    } else {
        siege.fetcher.wait_said(lie.told);
        let (begun, before) = (Instant::now(), siege.hostile.count());
        siege.good_stays_current(Duration::from_millis(700));
        // The waits begin with a tenth of a second.
        let count = siege.hostile.count() - before;
        assert!(count <= 10 * begun.elapsed().as_secs() + 10, "{}: asked {count} times", lie.what);
        wait_until("it is in the status", || {
            siege.site.status("127.0.0.1").is_some_and(|status| status.starts_with("ERR "))
        });
        let told = siege.fetcher.said(lie.told) as u64;
        assert!(told <= siege.hostile.count(), "{}: told {told} times", lie.what);
    }
    let copy = siege.site.copy("log").unwrap_or_default();
    assert!(lie.copy.starts_with(&copy), "{}: {:?}", lie.what, String::from_utf8_lossy(&copy));
    assert!(siege.site.archives().is_empty(), "{}", lie.what);
    siege.holds(60);
}

/// Every `of`th lie from `first` on: the test's threads share them.
fn besiege_some(first: usize, of: usize) {
    let lies = lies();
    let some: Vec<&Lie> = lies.iter().skip(first).step_by(of).collect();
    some.iter().for_each(|lie| besiege(lie));
    tally("attacks: lies of responders, each told and without effect", some.len() as u64);
}

#[test]
fn a_lie_is_told_and_costs_neither_a_byte_nor_the_other_sources_their_time_1() {
    besiege_some(0, 3);
}

#[test]
fn a_lie_is_told_and_costs_neither_a_byte_nor_the_other_sources_their_time_2() {
    besiege_some(1, 3);
}

#[test]
fn a_lie_is_told_and_costs_neither_a_byte_nor_the_other_sources_their_time_3() {
    besiege_some(2, 3);
}

#[test]
fn a_boot_that_is_another_at_each_connection_changes_nothing() {
    let mut siege = Siege::of(|number, asked| {
        let (relation, from) = (relation(asked, 1001), asked.from());
        let text = String::from_utf8(answer(relation, 1001, from as u64, 47)).unwrap();
        asked.send(text.replace("boot=boot", &format!("boot=b{number}")));
        asked.send(data(&CONTENT[from.min(40)..][..1])).reset();
    });
    siege.hostile.wait_count(6);
    siege.good_stays_current(Duration::from_millis(300));
    assert!(siege.site.archives().is_empty());
    let copy = siege.site.copy("log").unwrap();
    assert!(CONTENT.starts_with(&copy), "{:?}", String::from_utf8_lossy(&copy));
    siege.holds(60);
    tally("attacks: lies of responders, each told and without effect", 1);
}
