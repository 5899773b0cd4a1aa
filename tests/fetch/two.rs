//! Protocol 2, against a responder that says what the test wants.

use fetchlogs::fetch::manifest::{Ending, Gap, parse_line};
use fetchlogs::pos::Inode;
use fetchlogs::proto::answer::{File, Why};
use fetchlogs::proto::asked::Asked as Fields;
use fetchlogs::proto::digest::{Digest, Whole};
use fetchlogs::proto::frame::{Reason, emit_close, emit_heartbeat};
use fetchlogs::proto::refusal::{Code, Refusal, emit_refusal};
use fetchlogs::proto::request::parse_request;

use super::*;
use scripted::{answer, data, id};

fn fields(asked: &scripted::Asked) -> Fields {
    *parse_request(&asked.line).unwrap().two.expect("protocol 2 is asked for")
}

#[test]
fn every_byte_value_is_kept_as_it_is_however_the_frames_are_split() {
    let all: Vec<u8> = (0..=255).collect();
    let frames = [data(&all[..100]), emit_heartbeat(100, 1), data(&all[100..])].concat();
    let stream = [answer(File::First, 1001, 0), frames, emit_heartbeat(256, 2)].concat();
    for step in [1, 2, 3, 7, 64, stream.len()] {
        let responder = Scripted::new();
        let site = Site::of(responder.port());
        let _running = site.start();
        let cuts: Vec<usize> = (step..stream.len()).step_by(step).collect();
        let mut asked = responder.asked();
        asked.send_split(&stream, &cuts);
        site.wait_copy(&all);
        site.wait_status("127.0.0.1", "OK\n");
    }
}

#[test]
fn a_responder_that_says_that_it_works_is_heard_to_the_end_however_that_is_split() {
    let working = fetchlogs::proto::status::WORKING.repeat(3);
    let stream = [working, answer(File::First, 1001, 0), data(b"content")].concat();
    for step in [1, 2, 3, stream.len()] {
        let responder = Scripted::new();
        let site = Site::of(responder.port());
        let _running = site.start();
        let cuts: Vec<usize> = (step..stream.len()).step_by(step).collect();
        let mut asked = responder.asked();
        asked.send_split(&stream, &cuts);
        site.wait_copy(b"content");
    }
}

#[test]
fn a_request_proves_what_the_copy_has() {
    let responder = Scripted::new();
    let site = Site::of(responder.port());
    let _running = site.start();
    let content = content(1, 100_000);
    let mut asked = responder.asked();
    assert_eq!(fields(&asked), Fields::default());
    asked.send([answer(File::First, 1001, 0), data(&content)].concat());
    site.wait_copy(&content);
    asked.reset();
    let asked = responder.asked();
    let (from, fields) = (asked.from(), fields(&asked));
    assert_eq!((fields.id, fields.seen_ns), (Some(id(1001)), Some(12345)));
    let (tail, head) = (fields.tail.unwrap(), fields.head.unwrap());
    assert_eq!(tail.digest, Digest::of(&content[from - tail.len as usize..from]));
    assert_eq!(head.digest, Digest::of(&content[..head.len as usize]));
    assert_eq!((tail.len, head.len), (64 * 1024, 4096));
}

#[test]
fn a_loss_is_told_with_the_last_size_that_was_heard_of_also_after_a_kill() {
    let responder = Scripted::new();
    let site = Site::of(responder.port()).option("--sync", "always");
    let mut running = site.start();
    let size = |inode, size| {
        let text = String::from_utf8(answer(File::First, inode, 0)).unwrap();
        text.replace("size=0", &format!("size={size}")).into_bytes()
    };
    responder.asked().send([size(1001, 5000), data(b"0123456789")].concat()).close();
    site.wait_copy(b"0123456789");
    wait_until("it is durable", || site.pointer().durable == 10);
    running.kill();
    let running = site.start();
    let lost = answer(File::Lost(Why::Gone), 1002, 0);
    responder.asked().send([lost, data(b"next")].concat());
    site.wait_copy(b"next");
    running.wait_said("/var/log/log lost 1001:10 to 5000");
    let manifest = String::from_utf8(site.read("d/log.ptr.manifest")).unwrap();
    let line = parse_line(manifest.as_bytes()).unwrap();
    assert_eq!((line.inode, line.from, line.to), (Inode::new(1001), 0, 10));
    assert_eq!((line.ending, line.id), (Ending::Gone, Some(id(1001))));
    assert_eq!(line.lost, Some(Gap { from: 10, to: Some(5000) }));
    assert_eq!(line.digest, Whole::of(b"0123456789"));
}

#[test]
fn the_same_generation_in_another_file_goes_on_and_is_asked_for_by_its_new_name() {
    let responder = Scripted::new();
    let site = Site::of(responder.port());
    let _running = site.start();
    let mut asked = responder.asked();
    asked.send([answer(File::First, 1001, 0), data(b"one ")].concat());
    site.wait_copy(b"one ");
    asked.reset();
    let mut asked = responder.asked();
    // The other half is told by its digest.
    assert_eq!(asked.from(), 2);
    asked.send([answer(File::Same, 2002, 2), data(b"e two")].concat());
    site.wait_copy(b"one two");
    assert_eq!(site.pointer().generation.inode, Inode::new(2002));
    asked.reset();
    assert_eq!(fields(&responder.asked()).id, Some(id(2002)));
    assert_eq!(site.archives().len(), 0);
}

#[test]
fn an_end_that_is_told_is_followed_by_the_next_generation_at_once() {
    let responder = Scripted::new();
    let site = Site::of(responder.port());
    let running = site.start();
    let end = emit_close(Reason::Rotated, 3);
    responder.asked().send([answer(File::First, 1001, 0), data(b"one"), end].concat()).close();
    let mut asked = responder.asked();
    assert_eq!(asked.request, "/var/log/log 1001 3");
    asked.send([answer(File::Next, 1002, 0), data(b"two")].concat());
    site.wait_copy(b"two");
    assert_eq!(site.archives(), [b"one"]);
    running.wait_said("rotated to 1002");
    assert_eq!((running.said("rotated to"), running.said("ERR")), (1, 0));
}

#[test]
fn an_end_that_is_not_told_is_an_error_and_costs_nothing() {
    let responder = Scripted::new();
    let site = Site::of(responder.port());
    let running = site.start();
    responder.asked().send([answer(File::First, 1001, 0), data(b"one")].concat()).close();
    running.wait_said("ERR read: connection closed");
    let mut asked = responder.asked();
    let from = asked.from() as u64;
    let rest = &b"one two"[from as usize..];
    asked.send([answer(File::Same, 1001, from), data(rest)].concat());
    site.wait_copy(b"one two");
}

#[test]
fn a_generation_whose_content_is_another_is_lost_and_kept() {
    let responder = Scripted::new();
    let site = Site::of(responder.port());
    let running = site.start();
    let mut asked = responder.asked();
    asked.send([answer(File::First, 1001, 0), data(b"one")].concat());
    site.wait_copy(b"one");
    asked.reset();
    // What was not durable is made so, and looked at once more.
    for _ in 0..2 {
        let mut asked = responder.asked();
        asked.send([answer(File::Lost(Why::Digest), 1001, 0), data(b"other")].concat());
    }
    site.wait_copy(b"other");
    assert_eq!(site.archives(), [b"one"]);
    running.wait_said("lost 1001:3");
}

#[test]
fn a_copy_that_is_longer_than_what_is_durable_is_asked_for_from_there_before_it_is_called_another()
{
    let responder = Scripted::new();
    let site = Site::of(responder.port()).option("--sync", "4s");
    let running = site.start();
    let content = content(1, 3000);
    let mut asked = responder.asked();
    asked.send([answer(File::First, 1001, 0), data(&content[..1000])].concat());
    site.wait_copy(&content[..1000]);
    wait_until("it is durable", || site.pointer().durable == 1000);
    // Here the bytes are others than the source's.
    asked.send(data(&[b'?'; 1000]));
    site.wait_copy(&[&content[..1000], &[b'?'; 1000]].concat());
    asked.reset();
    let mut asked = responder.asked();
    assert_eq!(asked.from(), 2000 - 256);
    asked.send(answer(File::Lost(Why::Digest), 1001, 0));
    // What differs is made durable first, and compared once more.
    for _ in 0..2 {
        let mut asked = responder.asked();
        assert_eq!(asked.from(), 1000 - 256);
        asked.send([answer(File::Same, 1001, 744), data(&content[744..])].concat());
    }
    let mut asked = responder.asked();
    let from = asked.from();
    asked.send([answer(File::Same, 1001, from as u64), data(&content[from..])].concat());
    site.wait_copy(&content);
    assert_eq!(running.said("lost"), 0);
    running.wait_said("bytes 1000 to 2000 of the copy are not the source's");
}

#[test]
fn what_is_durable_is_acknowledged() {
    let responder = Scripted::new();
    let site = Site::of(responder.port());
    let _running = site.start();
    let mut asked = responder.asked();
    asked.send([answer(File::First, 1001, 0), data(b"one two")].concat());
    assert_eq!(asked.hear(), "A 7\n");
    assert_eq!(site.pointer().durable, 7);
}

#[test]
fn a_refusal_is_told_in_the_responders_words() {
    let responder = Scripted::new();
    let site = Site::of(responder.port());
    let running = site.start();
    let refusal = Refusal::new(Code::NotServed, "it is not in the configuration");
    responder.asked().send(emit_refusal(&refusal)).close();
    running.wait_said("ERR init read: refused: not-served it is not in the configuration");
}

#[test]
fn a_responder_that_contradicts_itself_spoils_nothing() {
    let good = answer(File::First, 1001, 0);
    let bad: [&[&[u8]]; 6] = [
        &[&answer(File::Same, 1001, 0)],
        &[&answer(File::Next, 1001, 0)],
        &[&good, b"D 99999999999999999999\n"],
        &[&good, b"D 0\n"],
        &[&good, b"C rotated 5\n"],
        &[&good, b"D 3\noneC rotated 3\nD 1\nx"],
    ];
    for replies in bad {
        let responder = Scripted::new();
        let site = Site::of(responder.port());
        let running = site.start();
        responder.asked().send(replies.concat());
        running.wait_said("ERR ");
        let mut asked = responder.asked();
        let from = asked.from() as u64;
        let file = if asked.request.ends_with(" 0 0") { File::First } else { File::Same };
        asked.send([answer(file, 1001, from), data(&b"one two"[from as usize..])].concat());
        site.wait_copy(b"one two");
        assert_eq!(site.archives().len(), 0);
    }
}

#[test]
fn a_first_answer_that_leaves_bytes_out_is_believed_only_by_who_asked_for_the_end() {
    for (start, told) in [("", 1), ("start=history", 1), ("start=end", 0)] {
        let responder = Scripted::new();
        let site = Site::new();
        site.configure(&[format!("{} {start}", site.line("127.0.0.1", responder.port(), "log"))]);
        let running = site.start();
        let mut asked = responder.asked();
        assert_eq!(fields(&asked).start.as_str(), start.strip_prefix("start=").unwrap_or("begin"));
        asked.send(
            [answer(File::First, 1001, 9000), data(b"late"), emit_heartbeat(9004, 1)].concat(),
        );
        match told {
            0 => site.wait_copy(b"late"),
            _ => running.wait_said("from= is not the beginning that was asked for"),
        }
        assert_eq!((running.said("ERR"), site.copy("log").is_some()), (told, told == 0));
    }
}

#[test]
fn an_answer_in_protocol_1_is_of_no_file_whose_name_protocol_1_cannot_carry() {
    let responder = Scripted::new();
    let site = Site::new();
    let line = site.line("127.0.0.1", responder.port(), "log");
    site.configure(&[line.replace("/var/log/log ", "\"/var/log/a log\" ")]);
    let running = site.start();
    let mut asked = responder.asked();
    assert_eq!(asked.request, "/ 0 0");
    assert_eq!(parse_request(&asked.line).unwrap().path, b"/var/log/a log");
    asked.send("O 1001\nanother file");
    running.wait_said("ERR init header is broken: bad status line \"O 1001\"");
    assert_eq!(site.copy("log"), None);
}

/// Found by reading: late bytes were read by a loop of their own, which a responder that says `W` for ever
/// kept going, and the whole fetcher with it.
#[test]
fn who_works_on_late_bytes_for_ever_does_not_hold_up_the_source() {
    let responder = Scripted::new();
    let site = Site::of(responder.port()).option("--recheck", "0s");
    let _running = site.start();
    let ended = [answer(File::First, 1001, 0), data(b"one"), b"C rotated 3\n".to_vec()].concat();
    responder.asked().send(ended).close();
    let mut main = responder.asked();
    main.send([answer(File::Next, 1002, 0), data(b"two")].concat());
    let mut late = responder.asked();
    assert_eq!(late.request, "/var/log/log 1001 3");
    std::thread::spawn(move || {
        while !late.gone() {
            late.send(b"W\n".repeat(10_000));
        }
    });
    main.send(data(b" three"));
    site.wait_copy(b"two three");
    // And when there was time for a flood to rise.
    main.send(data(&content(1, 500_000)));
    site.wait_copy(&[&b"two three"[..], &content(1, 500_000)].concat());
}
