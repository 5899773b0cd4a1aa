//! `pass_persist` input of `snmp_from_file`: whatever comes, each request has one answer of the form that
//! snmpd reads, and any split of the bytes gives the same answers. What follows an OID is behind it, in
//! the same subtree.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use fetchlogs::agent::directory::Directory;
use fetchlogs::agent::oid::Oid;
use fetchlogs::agent::protocol::{Answer, Request, Requests, VALUE_BYTES_MAX, emit_answer};
use fetchlogs::agent::table::{Host, Hosts, Tree, View, index_of};
use fetchlogs::agent::verdict::{Found, first_line};
use fetchlogs::agent::{Agent, serve};

use super::Split;

const BASE: &str = ".1.3.6.1.4.99.1";
const TABLE: &str = ".1.3.6.1.4.1.32473.99.1";

/// Longest reply line that snmpd takes.
const LINE_BYTES_MAX: usize = 4095;

static TREE: LazyLock<Tree> = LazyLock::new(tree);

static HOSTS: LazyLock<Hosts> = LazyLock::new(|| {
    let names = ["10.4.3.1", "10.4.3.2", "2001:db8::1", "db.example", &"x".repeat(120)];
    let host = |(number, name): (usize, &&str)| {
        let found = match number {
            0 => {
                Found::Unreadable { verb: "read", cause: "No such file".to_owned(), modified: None }
            }
            _ => Found::Line {
                text: first_line(&b"OK all of the 3 sources\nand so on"[..number * 5]),
                modified: SystemTime::UNIX_EPOCH + Duration::from_secs(60 * number as u64),
            },
        };
        (index_of(name.as_bytes()), Host { path: format!("/var/lib/snmp/{name}"), found })
    };
    names.iter().enumerate().map(host).collect()
});

fn oid(text: &str) -> Oid {
    Oid::parse(text.as_bytes()).expect("an OID")
}

fn tree() -> Tree {
    Tree::new(oid(BASE), oid(TABLE)).expect("a tree")
}

fn view(fault: Option<&'static str>) -> View<'static> {
    View {
        hosts: &HOSTS,
        fault,
        directory: "/var/lib/snmp",
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(180),
        stale: Duration::from_secs(120),
    }
}

pub fn target(data: &[u8]) {
    let [whole, bytes, pieces] = Split::ALL.map(|split| requests(data, split));
    assert_eq!(whole, bytes);
    assert_eq!(whole, pieces);
    for request in &whole {
        check_answers(request);
    }
    // The program itself, whose directory is missing.
    let directory = Directory::new(PathBuf::from("/nonexistent/fetchlogs"));
    let mut agent = Agent::new(directory, tree(), Duration::from_secs(120));
    let mut said = Vec::new();
    serve(&mut agent, &mut &*data, &mut said).expect("there is nothing to fail");
    let mut said = &said[..];
    for request in &whole {
        check_said(request, &mut said);
    }
    assert!(said.is_empty(), "{}", said.escape_ascii());
}

fn requests(data: &[u8], split: Split) -> Vec<Request> {
    let (mut requests, mut all) = (Requests::default(), Vec::new());
    split.feed(data, |piece| {
        requests.handle_input(piece);
        all.extend(std::iter::from_fn(|| requests.poll_request()));
        true
    });
    all
}

/// One answer, of the form that this request wants.
fn check_said(request: &Request, said: &mut &[u8]) {
    let mut line = || {
        let end = said.iter().position(|&byte| byte == b'\n').expect("a line");
        let line = &said[..end];
        *said = &said[end + 1..];
        assert!(line.len() <= LINE_BYTES_MAX && line.iter().all(|b| (b' '..=b'~').contains(b)));
        line
    };
    match (request, line()) {
        (Request::Ping, line) => assert_eq!(line, b"PONG"),
        (Request::Set, line) => assert_eq!(line, b"not-writable"),
        (Request::NoOid, line) => assert_eq!(line, b"NONE"),
        (Request::Get(_) | Request::GetNext(_), b"NONE") => {}
        (Request::Get(asked) | Request::GetNext(asked), name) => {
            let told = Oid::parse(name).expect("an OID");
            assert_eq!(told == *asked, matches!(request, Request::Get(_)));
            let (kind, value) = (line(), line());
            let text = std::str::from_utf8(value).expect("ASCII");
            match kind {
                b"string" => assert!((1..=VALUE_BYTES_MAX).contains(&value.len())),
                b"integer" => assert!((1..=4).contains(&text.parse::<u8>().expect("a number"))),
                b"gauge" => assert!(text.parse::<u32>().is_ok()),
                other => panic!("{}", other.escape_ascii()),
            }
        }
    }
}

/// In a table with hosts: what is told is there, and what follows is the first that is.
fn check_answers(request: &Request) {
    for fault in [None, Some("cannot")] {
        let view = view(fault);
        let (oid, answer) = match request {
            Request::Get(oid) => (oid, TREE.get(oid, &view)),
            Request::GetNext(oid) => (oid, TREE.next(oid, &view)),
            Request::Ping | Request::Set | Request::NoOid => return,
        };
        let mut said = Vec::new();
        emit_answer(answer.as_ref(), &mut said);
        check_said(request, &mut &said[..]);
        let Some(Answer { oid: told, value }) = answer else { continue };
        let same = TREE.get(&told, &view);
        assert_eq!(same, Some(Answer { oid: told.clone(), value }));
        if matches!(request, Request::GetNext(_)) {
            assert!(told > *oid);
            for root in [BASE, TABLE].map(self::oid) {
                let within = |oid: &Oid| oid.ids().starts_with(root.ids());
                assert!(!within(oid) || within(&told));
            }
        }
    }
}
