//! The examples of PROTOCOL.md, given to both ends in every split.

use fetchlogs::pos::{Inode, Offset, Position, Start, Token};
use fetchlogs::proto::ack::emit_ack;
use fetchlogs::proto::answer::{File, Why};
use fetchlogs::proto::ask::{Ask, Extent, emit_ask};
use fetchlogs::proto::asked::{Asked, Sample};
use fetchlogs::proto::digest::Whole;
use fetchlogs::proto::frame::{Event, Frames, Reason};
use fetchlogs::proto::line::LineBuf;
use fetchlogs::proto::list::{LISTING_BYTES_MAX, Listing, emit_listing, parse_listing};
use fetchlogs::proto::refusal::{Code, emit_refusal};
use fetchlogs::proto::request::{Request, emit_request};
use fetchlogs::proto::status::{Reply, Status, Verdict, WORKING, emit_status};
use fetchlogs::proto::{REQUEST_BYTES_MAX, WireFault, answer, fetch, serve};

/// One example: what the fetcher sends and what the responder sends.
struct Example {
    title: String,
    fetcher: Vec<u8>,
    responder: Vec<u8>,
}

/// The examples whose fence is followed by `mark`.
fn examples(mark: &str) -> Vec<Example> {
    let text = include_str!("../PROTOCOL.md");
    let mut examples: Vec<Example> = Vec::new();
    let (mut title, mut marked) = ("", false);
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            title = heading;
        } else if let Some(found) = line.strip_prefix("```text") {
            marked = found == mark;
            if marked {
                let (fetcher, responder) = (Vec::new(), Vec::new());
                examples.push(Example { title: title.to_owned(), fetcher, responder });
            }
        } else if let Some(example) = examples.last_mut().filter(|_| marked) {
            if let Some(bytes) = line.strip_prefix("fetcher    ") {
                example.fetcher.extend(unescape(bytes));
            } else if let Some(bytes) = line.strip_prefix("responder  ") {
                example.responder.extend(unescape(bytes));
            }
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
    let examples = examples("");
    let titles: Vec<&str> = examples.iter().map(|example| example.title.as_str()).collect();
    assert_eq!(titles, meanings().iter().map(|meaning| meaning.0).collect::<Vec<_>>());
    for (example, (title, have, ..)) in examples.iter().zip(meanings()) {
        let expected = Request { path: b"/var/log/messages".to_vec(), have, two: None };
        assert_eq!(emit_request(&expected), example.fetcher, "{title}");
        let expected = Ask::Follow(expected);
        for first in 0..=example.fetcher.len() {
            for second in first..=example.fetcher.len() {
                let mut ear = serve::Ear::new();
                let pieces = [
                    &example.fetcher[..first],
                    &example.fetcher[first..second],
                    &example.fetcher[second..],
                ];
                let heard: Vec<Ask> =
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
    for (example, (title, _, expected, content_len)) in examples("").iter().zip(meanings()) {
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
            status = complete.map(|reply| match reply {
                Reply::One(status) => status,
                reply => panic!("{reply:?}"),
            });
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

/// What an example of protocol 2 means.
#[derive(Default)]
struct Meaning {
    title: &'static str,
    ask: Option<Ask>,
    /// How often the responder says that it works.
    working: usize,
    /// The status line: its letter and `file=`, `from=`, `size=`.
    answer: Option<(Verdict, File, Offset, Offset)>,
    content: &'static [u8],
    /// Where each frame that is not data stands in the content, and what it says.
    events: Vec<(Offset, Event)>,
    /// The last acknowledgement.
    durable: Option<Offset>,
}

const STARTED: &[u8] = b"Nov 20 13:22:49 web1 app: started\n";
const LISTENING: &[u8] = b"Nov 20 13:23:11 web1 app: listening\n";
const SEEN: u64 = 1_795_180_969_204_000_000;
const CHANGED: u64 = 1_795_180_991_000_000_001;

fn token(text: &str) -> Option<Token> {
    Token::parse(text.as_bytes())
}

fn follow(path: &[u8], offset: Option<Offset>, asked: Asked) -> Option<Ask> {
    let have = offset.map(|offset| Position { inode: Inode::new(1835021), offset });
    Some(Ask::Follow(Request { path: path.to_vec(), have, two: Some(Box::new(asked)) }))
}

fn meanings_of_two() -> Vec<Meaning> {
    let messages = b"/var/log/messages";
    let id = token("1835021.7.1795132800000000000");
    let known = Asked { id, ..Asked::default() };
    let both = [STARTED, LISTENING].concat();
    let heartbeat = |size, mtime_ns| Event::Heartbeat { size, mtime_ns };
    let close = |at, reason| vec![(at, Event::Close(reason))];
    vec![
        Meaning {
            title: "First contact, in protocol 2",
            ask: follow(messages, None, Asked { reader: token("central"), ..Asked::default() }),
            answer: Some((Verdict::Found, File::First, 0, 34)),
            content: b"Nov 20 13:22:49 web1 app: started\n\x07\n\xff",
            events: vec![(34, heartbeat(34, SEEN)), (37, heartbeat(37, CHANGED))],
            durable: Some(37),
            ..Meaning::default()
        },
        Meaning {
            title: "Going on, compared",
            ask: follow(
                messages,
                Some(34),
                Asked {
                    tail: Sample::of(STARTED),
                    head: Sample::of(&STARTED[..16]),
                    seen_ns: Some(SEEN),
                    reader: token("central"),
                    ..known
                },
            ),
            answer: Some((Verdict::Found, File::Same, 34, 70)),
            content: LISTENING,
            events: close(70, Reason::Rotated),
            durable: Some(70),
            ..Meaning::default()
        },
        Meaning {
            title: "The next generation, in protocol 2",
            ask: follow(messages, Some(70), Asked { tail: Sample::of(&both), ..known }),
            answer: Some((Verdict::Found, File::Next, 0, 36)),
            content: b"Nov 21 00:00:02 web1 app: a new day\n",
            events: close(36, Reason::Shutdown),
            ..Meaning::default()
        },
        Meaning {
            title: "In another file",
            ask: follow(messages, Some(34), Asked { tail: Sample::of(STARTED), ..known }),
            answer: Some((Verdict::Found, File::Same, 34, 70)),
            content: LISTENING,
            events: close(70, Reason::Rotated),
            ..Meaning::default()
        },
        Meaning {
            title: "A search that takes a while",
            ask: follow(messages, Some(34), Asked { tail: Sample::of(STARTED), ..known }),
            working: 2,
            answer: Some((Verdict::Found, File::Same, 34, 70)),
            content: LISTENING,
            events: close(70, Reason::Rotated),
            ..Meaning::default()
        },
        Meaning {
            title: "Other content before the offset",
            ask: follow(
                messages,
                Some(34),
                Asked {
                    tail: Sample::of(LISTENING).map(|sample| Sample { len: 34, ..sample }),
                    ..known
                },
            ),
            answer: Some((Verdict::Lost, File::Lost(Why::Digest), 0, 0)),
            events: vec![(0, heartbeat(0, 1_795_229_000_000_000_000))],
            ..Meaning::default()
        },
        Meaning {
            title: "A name that protocol 1 cannot carry",
            ask: follow(
                "/srv/app/café one.log".as_bytes(),
                None,
                Asked { start: Start::End, ..Asked::default() },
            ),
            answer: Some((Verdict::Found, File::First, 9000, 9000)),
            events: vec![(9000, heartbeat(9000, 0))],
            ..Meaning::default()
        },
        Meaning {
            title: "A refusal",
            ask: follow(b"/etc/shadow", None, Asked::default()),
            ..Meaning::default()
        },
        Meaning {
            title: "An answer in protocol 1",
            ask: follow(messages, Some(34), known),
            ..Meaning::default()
        },
        Meaning {
            title: "The digest of a range",
            ask: Some(Ask::Digest(Box::new(Extent {
                path: messages.to_vec(),
                from: 34,
                to: Position { inode: Inode::new(1835021), offset: 70 },
                asked: known,
            }))),
            answer: Some((Verdict::Found, File::Same, 34, 70)),
            events: vec![(34, heartbeat(70, CHANGED)), (34, Event::Sum(Whole::of(LISTENING)))],
            ..Meaning::default()
        },
        Meaning {
            title: "A list of files",
            ask: Some(Ask::List { pattern: b"/var/log/app/*.log".to_vec() }),
            ..Meaning::default()
        },
    ]
}

#[test]
fn every_protocol_2_example_is_heard_by_the_responder_however_it_is_split() {
    let examples = examples(" protocol 2");
    let titles: Vec<&str> = examples.iter().map(|example| example.title.as_str()).collect();
    let meanings = meanings_of_two();
    assert_eq!(titles, meanings.iter().map(|meaning| meaning.title).collect::<Vec<_>>());
    for (example, Meaning { title, ask, durable, .. }) in examples.iter().zip(meanings) {
        let ask = ask.unwrap();
        assert!(example.fetcher.starts_with(&emit_ask(&ask)), "{title}");
        assert!(durable.is_none_or(|durable| example.fetcher.ends_with(&emit_ack(durable))));
        for first in 0..=example.fetcher.len() {
            for second in first..=example.fetcher.len() {
                let mut ear = serve::Ear::new();
                let pieces = [
                    &example.fetcher[..first],
                    &example.fetcher[first..second],
                    &example.fetcher[second..],
                ];
                let heard = pieces.map(|piece| ear.handle_bytes(piece).unwrap());
                let heard: Vec<Ask> = heard.into_iter().flatten().collect();
                assert_eq!(heard, std::slice::from_ref(&ask), "{title}, {first}, {second}");
                assert_eq!((ear.speaks_two(), ear.durable()), (true, durable), "{title}");
            }
        }
    }
}

#[test]
fn every_protocol_2_example_is_heard_by_the_fetcher_however_it_is_split() {
    for (example, meaning) in examples(" protocol 2").iter().zip(meanings_of_two()) {
        let ask = meaning.ask.unwrap();
        if matches!(ask, Ask::List { .. }) {
            continue;
        }
        let stream = &example.responder[..];
        let words = WORKING.repeat(meaning.working);
        let status = stream.strip_prefix(&words[..]).unwrap();
        let cuts = (0..=stream.len()).map(|cut| vec![&stream[..cut], &stream[cut..]]);
        for pieces in cuts.chain([stream.chunks(1).collect()]) {
            let (working, reply, content, events) = hear_two(&ask, &pieces);
            assert_eq!(working, meaning.working, "{}", meaning.title);
            match reply {
                Reply::Two(answer) => {
                    let said = (answer.verdict(), answer.file, answer.from, answer.size);
                    assert_eq!(Some(said), meaning.answer, "{}", meaning.title);
                    assert!(status.starts_with(&answer::emit_answer(&answer)));
                }
                Reply::One(status) => assert_eq!(emit_status(status), stream),
                Reply::Refused(refusal) => {
                    assert_eq!(refusal.code, Code::NotServed);
                    assert_eq!(emit_refusal(&refusal), stream);
                }
                Reply::Working => panic!("{}: no status line", meaning.title),
            }
            assert_eq!(content, meaning.content, "{}", meaning.title);
            assert_eq!(events, meaning.events, "{}", meaning.title);
        }
    }
}

/// Plays a connection as a fetcher's shell does: how often the responder says that it works, the status
/// line, and then frames.
fn hear_two(ask: &Ask, pieces: &[&[u8]]) -> (usize, Reply, Vec<u8>, Vec<(Offset, Event)>) {
    let mut ear = fetch::Ear::after(ask);
    let (mut working, mut reply, mut frames) = (0, None, None);
    let (mut content, mut events) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut at = 0;
        while reply.is_none() && at < piece.len() {
            let (used, heard) = ear.handle_peeked(&piece[at..]).unwrap();
            at += used;
            working += usize::from(heard == Some(Reply::Working));
            reply = heard.filter(|heard| *heard != Reply::Working);
            frames = match (&reply, ask) {
                (Some(Reply::Two(answer)), Ask::Digest(extent)) => {
                    Some(Frames::proving(answer.from, extent.to.offset))
                }
                (Some(Reply::Two(answer)), _) => Some(Frames::following(answer.from)),
                _ => None,
            };
        }
        let Some(frames) = &mut frames else { continue };
        while let Some(event) = frames.poll_event(piece, &mut at).unwrap() {
            match event {
                Event::Data(range) => content.extend_from_slice(&piece[range]),
                event => events.push((frames.offset(), event)),
            }
        }
        assert_eq!(at, piece.len());
    }
    (working, reply.unwrap(), content, events)
}

#[test]
fn the_list_of_the_example_is_read_and_written_back() {
    let examples = examples(" protocol 2");
    let stream = &examples.last().unwrap().responder[..];
    let path = b"/var/log/app/one.log".to_vec();
    let file = |inode, size, mtime_ns, path| Listing::File {
        inode: Inode::new(inode),
        size,
        mtime_ns,
        path,
    };
    let expected = [
        file(52, 9000, CHANGED, path.clone()),
        file(53, 0, CHANGED + 1, b"/var/log/app/number two.log".to_vec()),
        Listing::Complete,
        Listing::Gone { path },
    ];
    assert_eq!(expected.iter().flat_map(emit_listing).collect::<Vec<_>>(), stream);
    for cut in 0..=stream.len() {
        let mut line = LineBuf::new(LISTING_BYTES_MAX);
        let mut heard = Vec::new();
        for mut piece in [&stream[..cut], &stream[cut..]] {
            while !piece.is_empty() {
                let fed = line.feed(piece).unwrap();
                piece = &piece[fed.used..];
                heard.extend(fed.line.map(|line| parse_listing(&line).unwrap()));
            }
        }
        assert_eq!(heard, expected, "cut at {cut}");
    }
}
