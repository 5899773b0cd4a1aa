//! `fetch_logs --list`: what a responder serves.

mod common;
#[path = "common/original.rs"]
mod original;
#[path = "common/scripted.rs"]
mod scripted;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use common::{Dir, Program, lasting_port};
use fetchlogs::pos::Inode;
use fetchlogs::proto::list::{Listing, emit_listing};
use fetchlogs::proto::refusal::{Code, Refusal};
use original::OriginalResponder;
use scripted::Scripted;

fn start(address: SocketAddr, pattern: Option<&[u8]>) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fetch_logs"));
    command.args(["--reply-timeout", "1s", "--list", &address.to_string()]);
    command.args(pattern.map(OsStr::from_bytes));
    Program::spawn(&mut command)
}

/// Exit code, standard output and standard error.
fn ended(mut program: Program) -> (Option<i32>, String, String) {
    let code = program.ended().code();
    (code, program.stdout(), program.stderr())
}

fn file(inode: u64, path: &[u8]) -> Vec<u8> {
    let (inode, path) = (Inode::new(inode), path.to_vec());
    let mtime_ns = 1_795_180_991_000_000_001;
    emit_listing(&Listing::File { inode, size: 9000, mtime_ns, path })
}

#[test]
fn every_file_is_a_line_and_the_end_of_the_list_is_the_end() {
    let end = emit_listing(&Listing::Complete);
    let stream = [file(52, b"/log/one"), file(53, b"/log/a b\xff"), end].concat();
    for step in [1, 7, stream.len()] {
        let responder = Scripted::new();
        let listing = start(responder.address(), Some(b"/log/* \xff"));
        let mut asked = responder.asked();
        assert_eq!(asked.line, b"LIST /log/*%20%FF +2");
        let cuts: Vec<usize> = (step..stream.len()).step_by(step).collect();
        // The responder keeps the connection open for news.
        asked.send_split(&stream, &cuts);
        let (code, stdout, stderr) = ended(listing);
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        let rows = "52 9000 2026-11-20T13:23:11Z /log/one\n\
                    53 9000 2026-11-20T13:23:11Z \"/log/a b\\xff\"\n";
        assert_eq!(stdout, rows);
    }
}

#[test]
fn without_a_pattern_everything_is_asked_for() {
    let responder = Scripted::new();
    let listing = start(responder.address(), None);
    let mut asked = responder.asked();
    assert_eq!(asked.line, b"LIST /** +2");
    asked.send(emit_listing(&Listing::Complete));
    assert_eq!(ended(listing), (Some(0), String::new(), String::new()));
}

#[test]
fn our_own_responder_lists_what_is_there_in_any_directory() {
    let dir = Dir::new();
    std::fs::create_dir(dir.path("deep")).unwrap();
    dir.write("one.log", "content");
    dir.write("deep/a b", "");
    let address = SocketAddr::from(([127, 0, 0, 1], lasting_port()));
    let files = "file BASE/one.log\nfile BASE/missing\nfile \"BASE/deep/a b\"\n";
    let text = format!("listen {address}\nallow 127.0.0.1\n{files}");
    let conf = dir.config("serve_logs.conf", &text);
    let mut responder = Program::spawn(Command::new(env!("CARGO_BIN_EXE_serve_logs")).arg(conf));
    responder.told("listening on ");
    let shown = |name: &str, size: u64, end: &str| {
        (format!("{} {size} ", dir.inode(name)), format!("Z {end}"))
    };
    let one = shown("one.log", 7, &dir.path("one.log").display().to_string());
    let deep = shown("deep/a b", 0, &format!("\"{}\"", dir.path("deep/a b").display()));
    let base = dir.path("").into_os_string().into_encoded_bytes();
    for (pattern, expected) in [
        (None, vec![&one, &deep]),
        (Some(&b"**/*.log"[..]), vec![&one]),
        (Some(b"deep/?\\ b"), vec![&deep]),
        (Some(b"*"), vec![&one]),
        (Some(b"none"), vec![]),
    ] {
        let pattern = pattern.map(|pattern| [&base[..], pattern].concat());
        let (code, stdout, stderr) = ended(start(address, pattern.as_deref()));
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        let lines: Vec<&str> = stdout.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{pattern:?}: {stdout}");
        for (begin, end) in expected {
            assert!(lines.iter().any(|l| l.starts_with(begin) && l.ends_with(end)), "{stdout}");
        }
    }
    let (code, _, stderr) = ended(start(address, Some(b"relative")));
    assert_eq!(code, Some(1));
    assert!(stderr.contains(": refused: bad-request "), "{stderr}");
}

#[test]
fn what_is_no_whole_list_is_told_as_that() {
    let refused = Refusal::new(Code::NotServed, "nothing for you");
    for (reply, closed, why) in [
        (emit_listing(&Listing::Refused(refused)), false, "refused: not-served nothing for you"),
        (b"O 7\n".to_vec(), false, "bad line of a listing \"O 7\""),
        (file(52, b"/log/one"), true, "connection closed before all were told"),
        (file(52, b"/log/one"), false, "timeout"),
        (Vec::new(), true, "connection closed: a responder of protocol 1 has no list"),
        (vec![b'F'; 5000], false, "line longer than 4096 bytes"),
    ] {
        let responder = Scripted::new();
        let listing = start(responder.address(), None);
        let mut asked = responder.asked();
        asked.send(&reply);
        if closed {
            asked.close();
        }
        let (code, stdout, stderr) = ended(listing);
        assert_eq!(code, Some(1));
        assert_eq!(stdout.lines().count(), usize::from(reply.starts_with(b"F 52")), "{why}");
        assert_eq!(stderr, format!("cannot list {}: {why}\n", responder.address()));
    }
}

#[test]
fn an_old_responder_and_none_at_all_are_told_apart() {
    let dir = Dir::new();
    let responder = OriginalResponder::start(&[&dir.write("log", "content")]);
    let (code, _, stderr) = ended(start(responder.address, None));
    assert_eq!(code, Some(1));
    assert!(
        stderr.ends_with(": connection closed: a responder of protocol 1 has no list\n"),
        "{stderr}"
    );
    let nobody = SocketAddr::from(([127, 0, 0, 1], lasting_port()));
    let (code, _, stderr) = ended(start(nobody, None));
    let told = format!("cannot list {nobody}: Connection refused\n");
    assert_eq!((code, stderr), (Some(1), told));
}
