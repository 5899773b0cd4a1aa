//! The examples of PROTOCOL.md, given to both ends in every split.

use fetchlogs::pos::{Inode, Position};
use fetchlogs::proto::WireFault;
use fetchlogs::proto::request::{Request, emit_request};
use fetchlogs::proto::status::{Status, Verdict, emit_status};
use fetchlogs::proto::{REQUEST_BYTES_MAX, fetch, serve};

/// One example: what the fetcher sends and what the responder sends.
struct Example {
    title: String,
    fetcher: Vec<u8>,
    responder: Vec<u8>,
}

fn examples() -> Vec<Example> {
    let text = include_str!("../PROTOCOL.md");
    let mut examples: Vec<Example> = Vec::new();
    let mut title = "";
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            title = heading;
        } else if let Some(bytes) = line.strip_prefix("fetcher    ") {
            let fetcher = unescape(bytes);
            examples.push(Example { title: title.to_owned(), fetcher, responder: Vec::new() });
        } else if let Some(bytes) = line.strip_prefix("responder  ") {
            let example = examples.last_mut().expect("the fetcher speaks first");
            example.responder.extend(unescape(bytes));
        }
    }
    examples
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('n') {
            bytes.push(b'\n');
            rest = after;
        } else {
            let hex = rest.strip_prefix('x').expect("\\n or \\xHH");
            bytes.push(u8::from_str_radix(&hex[..2], 16).unwrap());
            rest = &hex[2..];
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// What an example means: the request, the answer, and how many bytes of content follow.
fn meanings() -> Vec<(&'static str, Option<Position>, Status, usize)> {
    let at = |offset| Some(Position { inode: Inode::new(1835021), offset });
    let found = |inode| Status { verdict: Verdict::Found, inode: Inode::new(inode) };
    let lost = |inode| Status { verdict: Verdict::Lost, inode };
    vec![
        ("First contact", None, found(1835021), 34 + 36),
        ("Going on", at(34), found(1835021), 36),
        ("The next generation", at(70), found(1835044), 36),
        ("A generation that is gone", at(34), lost(Inode::new(1835060)), 37),
        ("The same number, another generation", at(34), lost(Inode::new(1835021).renamed()), 32),
    ]
}

#[test]
fn every_example_means_what_the_text_says_however_the_request_is_split() {
    let examples = examples();
    let titles: Vec<&str> = examples.iter().map(|example| example.title.as_str()).collect();
    assert_eq!(titles, meanings().iter().map(|meaning| meaning.0).collect::<Vec<_>>());
    for (example, (title, have, ..)) in examples.iter().zip(meanings()) {
        let expected = Request { path: b"/var/log/messages".to_vec(), have };
        assert_eq!(emit_request(&expected), example.fetcher, "{title}");
        for first in 0..=example.fetcher.len() {
            for second in first..=example.fetcher.len() {
                let mut ear = serve::Ear::new();
                let pieces = [
                    &example.fetcher[..first],
                    &example.fetcher[first..second],
                    &example.fetcher[second..],
                ];
                let heard: Vec<Request> =
                    pieces.iter().filter_map(|piece| ear.handle_bytes(piece).unwrap()).collect();
                assert_eq!(
                    heard,
                    std::slice::from_ref(&expected),
                    "{title}, split at {first} and {second}"
                );
            }
        }
    }
}

#[test]
fn every_example_is_heard_by_the_fetcher_however_the_answer_is_split() {
    for (example, (title, _, expected, content_len)) in examples().iter().zip(meanings()) {
        assert!(example.responder.starts_with(&emit_status(expected)), "{title}");
        let content: Vec<u8> = example.responder[emit_status(expected).len()..]
            .iter()
            .copied()
            .filter(|&byte| byte != 7)
            .collect();
        assert_eq!(content.len(), content_len, "{title}");
        for cut in 0..=example.responder.len() {
            let (status, heard) = hear(&[&example.responder[..cut], &example.responder[cut..]]);
            assert_eq!(status, Some(expected), "{title}, cut at {cut}");
            assert_eq!(heard, content, "{title}, cut at {cut}");
        }
        let bytes: Vec<&[u8]> = example.responder.chunks(1).collect();
        assert_eq!(hear(&bytes), (Some(expected), content), "{title}, byte by byte");
    }
}

/// Plays a connection as the fetcher's shell does: it peeks for the status and reads data after it.
fn hear(pieces: &[&[u8]]) -> (Option<Status>, Vec<u8>) {
    let mut ear = fetch::Ear::new();
    let (mut status, mut content) = (None, Vec::new());
    for piece in pieces {
        let mut piece = piece.to_vec();
        if status.is_none() {
            let (used, complete) = ear.handle_peeked(&piece).unwrap();
            status = complete;
            piece.drain(..used);
        }
        let kept = fetch::strip_alive(&mut piece);
        content.extend_from_slice(&piece[..kept]);
    }
    (status, content)
}

#[test]
fn what_the_responder_masks_the_fetcher_keeps_in_its_place() {
    let mut all: Vec<u8> = (0..=255).collect();
    serve::mask(&mut all);
    let kept = fetch::strip_alive(&mut all);
    assert_eq!(kept, 256);
    let differing: Vec<u8> = (0..=255u8).filter(|&byte| all[usize::from(byte)] != byte).collect();
    assert_eq!(differing, [7]);
}

#[test]
fn a_line_without_an_end_is_refused_at_its_limit() {
    let mut ear = serve::Ear::new();
    assert_eq!(ear.handle_bytes(&[b'/'; REQUEST_BYTES_MAX]), Ok(None));
    assert_eq!(ear.handle_bytes(b"/"), Err(WireFault::LineTooLong(REQUEST_BYTES_MAX)));
}
