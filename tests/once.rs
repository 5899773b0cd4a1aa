//! `fetch_logs --once`: everything that there is now, and the truth about what could not be had.

mod common;
#[path = "common/mirror.rs"]
mod mirror;
#[path = "common/original.rs"]
mod original;
#[path = "common/scripted.rs"]
mod scripted;

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use common::{Dir, Program, inode, lasting_port, wait_until};
use fetchlogs::proto::answer::{Answer, File, emit_answer};
use fetchlogs::proto::frame::{Reason, emit_close, emit_heartbeat};
use mirror::{Mirror, lines, with_suffix};
use nix::sys::signal::Signal;
use original::{OriginalResponder, ResponderTimes, masked};
use scripted::{Scripted, data, following};

/// Fetches once, and gives the exit code and what was told on stderr.
fn once(mirror: &Mirror) -> (Option<i32>, String) {
    ended(mirror.fetch_logs_as(&["--once"]))
}

fn ended(mut program: Program) -> (Option<i32>, String) {
    let code = program.ended().code();
    (code, program.stderr())
}

fn assert_kept(mirror: &Mirror) {
    assert!(mirror.kept() == mirror.generations, "what is kept is not what was written");
}

/// What is in the centre: names, who they are and what they hold.
fn centre(mirror: &Mirror) -> Vec<(OsString, u64, Vec<u8>)> {
    let entries = fs::read_dir(mirror.copy.parent().unwrap()).unwrap();
    let mut all: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), inode(&entry.path()), fs::read(entry.path()).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn everything_there_is_comes_and_the_second_time_nothing_changes() {
    let mut mirror = Mirror::of(&lines("first", 1000));
    let (_responder, address) = mirror.serve();
    mirror.configure(address, "");
    assert_eq!(once(&mirror), (Some(0), String::new()));
    assert_kept(&mirror);
    let before = centre(&mirror);
    assert_eq!(once(&mirror), (Some(0), String::new()));
    assert_eq!(centre(&mirror), before);
    assert!(mirror.well());
    mirror.append(&lines("first, still", 100));
    for number in 2..7 {
        mirror.rotate(&lines(&format!("generation {number}"), number * 100));
    }
    assert_eq!(once(&mirror), (Some(0), String::new()));
    assert_kept(&mirror);
    assert_eq!(mirror.pointer_word(), mirror.inode().to_string());
}

#[test]
fn with_its_history_every_generation_comes_at_once() {
    let mut mirror = Mirror::of(&lines("first", 1000));
    mirror.rotate(&lines("second", 10));
    mirror.rotate(b"");
    let (_responder, address) = mirror.serve();
    mirror.configure(address, "start=history");
    assert_eq!(once(&mirror), (Some(0), String::new()));
    assert_kept(&mirror);
}

#[test]
fn an_empty_log_is_complete_when_that_is_known() {
    for options in ["", "protocol=1"] {
        let mirror = Mirror::of(b"");
        let (_responder, address) = mirror.serve();
        mirror.configure(address, options);
        assert_eq!(once(&mirror), (Some(0), String::new()));
        assert_eq!(fs::read(&mirror.copy).unwrap(), b"");
        assert_eq!(mirror.pointer_word(), mirror.inode().to_string());
    }
}

#[test]
fn in_protocol_1_the_byte_at_the_end_says_that_it_is_the_end() {
    let mut mirror = Mirror::of(&lines("first", 1000));
    let (_responder, address) = mirror.serve();
    mirror.configure(address, "protocol=1");
    assert_eq!(once(&mirror), (Some(0), String::new()));
    assert_kept(&mirror);
    mirror.append(&lines("first, still", 100));
    mirror.rotate(&lines("second", 100));
    assert_eq!(once(&mirror), (Some(0), String::new()));
    assert_kept(&mirror);
    assert_eq!(once(&mirror), (Some(0), String::new()));
    assert_kept(&mirror);
}

#[test]
fn an_old_responder_is_fetched_from_once_as_well() {
    let mut mirror = Mirror::of(&[lines("first", 1000), vec![7]].concat());
    let responder = OriginalResponder::start(&[&mirror.log]);
    mirror.configure(responder.address, "");
    assert_eq!(once(&mirror), (Some(0), String::new()));
    mirror.append(&lines("first, still", 1000));
    mirror.rotate(&lines("second", 100));
    for _ in 0..2 {
        assert_eq!(once(&mirror), (Some(0), String::new()));
        mirror.generations[0] = masked(&mirror.generations[0]);
        assert_kept(&mirror);
    }
}

#[test]
fn what_was_truncated_under_an_old_responder_is_found_out_before_it_is_given_up() {
    let mut mirror = Mirror::of(&lines("first", 1000));
    let responder = OriginalResponder::start(&[&mirror.log]);
    mirror.configure(responder.address, "");
    assert_eq!(once(&mirror), (Some(0), String::new()));
    mirror.truncate(b"short\n");
    let mut fetcher = mirror.fetch_logs_as(&["--once"]);
    assert_eq!(fetcher.ended().code(), Some(1));
    let lost = format!("lost {}:{}", mirror.inode(), mirror.generations[0].len());
    fetcher.wait_said(&lost);
    fetcher.complained(&format!(": bytes were {lost} to an unknown end\n"));
    assert_kept(&mirror);
    assert_eq!(once(&mirror), (Some(0), String::new()));
}

#[test]
fn a_host_that_cannot_be_reached_is_named_with_the_reason() {
    let mirror = Mirror::of(b"content");
    mirror.configure(SocketAddr::from(([127, 0, 0, 1], lasting_port())), "");
    let (code, stderr) = once(&mirror);
    let told = format!(
        "cannot complete 127.0.0.1 {}: init connect: Connection refused\n",
        mirror.log.display()
    );
    assert_eq!((code, stderr), (Some(1), told));
    assert!(!mirror.copy.exists() && !mirror.well());
}

#[test]
fn an_old_responder_that_never_answers_is_given_up() {
    let mirror = Mirror::of(b"content");
    let other = mirror.log.with_file_name("other");
    let address = SocketAddr::from(([127, 0, 0, 1], lasting_port()));
    let _responder = OriginalResponder::start_at(address, &[&other], ResponderTimes::default());
    mirror.configure(address, "");
    let (code, stderr) = once(&mirror);
    assert_eq!(code, Some(1));
    assert!(stderr.ends_with(": init read: connection closed\n"), "{stderr}");
}

#[test]
fn one_source_that_cannot_be_had_keeps_no_other_from_being_fetched() {
    let dir = Dir::new();
    dir.write("good", "good\n");
    let address = SocketAddr::from(([127, 0, 0, 1], lasting_port()));
    let text = format!("listen {address}\nallow 127.0.0.1\nfile BASE/good\nfile BASE/missing\n");
    let conf = dir.config("serve_logs.conf", &text);
    let mut responder = Program::spawn(Command::new(env!("CARGO_BIN_EXE_serve_logs")).arg(conf));
    responder.told("listening on ");
    let port = address.port();
    let line =
        |name: &str| format!("127.0.0.1 {port} BASE/{name} BASE/c/{name} BASE/c/{name}.ptr\n");
    let text = ["missing", "good", "not-served"].map(line).concat();
    let conf = dir.config("fetch_logs.conf", &text);
    let mut command = Command::new(env!("CARGO_BIN_EXE_fetch_logs"));
    command.args(["--once", "--reconnect", "50ms"]).arg(dir.path("snmp")).arg(conf);
    let (code, stderr) = ended(Program::spawn(&mut command));
    assert_eq!((code, fs::read(dir.path("c/good")).unwrap()), (Some(1), b"good\n".to_vec()));
    let told: Vec<&str> = stderr.lines().collect();
    assert_eq!(told.len(), 2, "{stderr}");
    for (line, (name, why)) in
        told.iter().zip([("missing", "missing"), ("not-served", "not-served")])
    {
        let path = dir.path(name).display().to_string();
        let start = format!("cannot complete 127.0.0.1 {path}: init read: refused: {why} ");
        assert!(line.starts_with(&start), "{line}");
    }
    let status = fs::read_to_string(dir.path("snmp/127.0.0.1")).unwrap();
    assert!(status.starts_with("ERR 2 of 3 sources: "), "{status}");
}

#[test]
fn who_asks_it_to_end_before_is_told_what_is_missing() {
    let mirror = Mirror::of(b"");
    let responder = Scripted::new();
    mirror.configure(responder.address(), "");
    let fetcher = mirror.fetch_logs_as(&["--once"]);
    let mut asked = responder.asked();
    asked.send([answer(File::First, 1001, 0, None), data(b"one")].concat());
    wait_until("it came", || fs::read(&mirror.copy).is_ok_and(|copy| copy == b"one"));
    fetcher.signal(Signal::SIGTERM);
    let (code, stderr) = ended(fetcher);
    assert_eq!(code, Some(1));
    assert!(stderr.contains(": ended before all of it was fetched\n"), "{stderr}");
    let pointer = fs::read_to_string(&mirror.pointer).unwrap();
    assert!(pointer.starts_with("1001 3 "), "{pointer}");
}

#[test]
fn a_copy_that_another_fetcher_keeps_is_left_to_it() {
    let mirror = Mirror::of(b"content");
    let (_responder, address) = mirror.serve();
    let other = mirror.fetch_logs(address);
    mirror.wait_exact_by(&other);
    let (code, stderr) = once(&mirror);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("another fetch_logs keeps it\n"), "{stderr}");
}

#[test]
fn a_rotated_file_that_is_still_open_is_waited_for() {
    let mut mirror = Mirror::of(&lines("first", 1000));
    // Longer open than the responder waits for.
    let writer = fs::File::options().append(true).open(&mirror.log).unwrap();
    let (_responder, address) = mirror.serve();
    mirror.configure(address, "");
    assert_eq!(once(&mirror), (Some(0), String::new()));
    mirror.append(&lines("first, still", 100));
    mirror.rotate(&lines("second", 100));
    assert_eq!(once(&mirror), (Some(0), String::new()));
    assert_kept(&mirror);
    drop(writer);
}

#[test]
fn a_log_that_is_rotated_while_it_is_fetched_is_complete_with_the_next_one() {
    let mut mirror = Mirror::of(&lines("old", 1000).repeat(5000));
    // The end of the old file is told before the file has ended.
    let writer = fs::File::options().append(true).open(&mirror.log).unwrap();
    let (_responder, address) = mirror.serve();
    mirror.configure(address, "");
    let fetcher = mirror.fetch_logs_as(&["--once"]);
    mirror.rotate_while_fetched(&fetcher, &lines("new", 100));
    assert_eq!(ended(fetcher), (Some(0), String::new()));
    assert_kept(&mirror);
    drop(writer);
}

#[test]
fn bytes_that_were_lost_are_not_here() {
    let mut mirror = Mirror::of(&lines("first", 100));
    let (_responder, address) = mirror.serve();
    mirror.configure(address, "");
    assert_eq!(once(&mirror), (Some(0), String::new()));
    let (inode, have) = (mirror.inode(), mirror.generations[0].len());
    mirror.append(&lines("first, still", 100));
    mirror.rotate(&lines("second", 100));
    fs::remove_file(with_suffix(&mirror.log, "1")).unwrap();
    let (code, stderr) = once(&mirror);
    let path = mirror.log.display();
    let lost = format!("bytes were lost {inode}:{have} to an unknown end");
    assert_eq!((code, stderr), (Some(1), format!("cannot complete 127.0.0.1 {path}: {lost}\n")));
    // All that follows is here, and that is what the next run is about.
    assert_eq!(mirror.kept().pop().unwrap(), lines("second", 100));
    assert_eq!(once(&mirror), (Some(0), String::new()));
}

#[test]
fn bytes_that_came_late_and_can_not_be_kept_are_not_here() {
    let mut mirror = Mirror::of(&lines("first", 20_000));
    let (_responder, address) = mirror.serve();
    mirror.configure(address, "");
    assert_eq!(once(&mirror), (Some(0), String::new()));
    let inode = mirror.inode();
    mirror.rotate(b"next");
    assert_eq!(once(&mirror), (Some(0), String::new()));
    // In its middle, of which no request tells.
    let mut first = mirror.generations[0].clone();
    let is_archive = |path: &PathBuf| fs::read(path).is_ok_and(|bytes| bytes == first);
    let mut entries = fs::read_dir(mirror.copy.parent().unwrap()).unwrap();
    let archive = entries.find_map(|entry| Some(entry.unwrap().path()).filter(is_archive)).unwrap();
    first[20_000] ^= 1;
    fs::write(archive, first).unwrap();
    let mut rotated = fs::File::options().append(true).open(with_suffix(&mirror.log, "1")).unwrap();
    rotated.write_all(b"a last line\n").unwrap();
    let (code, stderr) = once(&mirror);
    let path = mirror.log.display();
    let late = format!("late bytes of {inode} are not here");
    assert_eq!((code, stderr), (Some(1), format!("cannot complete 127.0.0.1 {path}: {late}\n")));
}

#[test]
fn a_rotated_file_is_not_the_end_of_its_source() {
    let mirror = Mirror::of(b"");
    let responder = Scripted::new();
    mirror.configure(responder.address(), "");
    let mut fetcher = mirror.fetch_logs_as(&["--once"]);
    let old = answer(File::First, 1001, 0, Some("/log.1"));
    let mut asked = responder.asked();
    asked.send([old, data(b"one"), emit_heartbeat(3, 1), emit_heartbeat(3, 1)].concat());
    asked.send(emit_close(Reason::Rotated, 3)).close();
    let mut asked = responder.asked();
    assert_eq!(asked.from(), 3);
    asked.send(answer(File::Next, 1002, 0, None));
    wait_until("it was rotated", || mirror.kept().len() == 2);
    // No end was told yet.
    assert_eq!(fetcher.try_ended(), None);
    asked.send([data(b"two"), emit_heartbeat(3, 1)].concat());
    // Nor is an end believed before it was asked for once more.
    let mut asked = responder.asked();
    assert_eq!((asked.from(), fetcher.try_ended()), (3, None));
    asked.send([answer(File::Same, 1002, 3, None), emit_heartbeat(3, 1)].concat());
    assert_eq!(fetcher.ended().code(), Some(0));
    assert_eq!(mirror.kept(), [b"one", b"two"]);
}

#[test]
fn a_rotated_file_that_nothing_follows_is_given_up() {
    let mirror = Mirror::of(b"");
    let responder = Scripted::new();
    mirror.configure(responder.address(), "");
    let fetcher = mirror.fetch_logs_as(&["--once", "--idle-timeout", "200ms"]);
    for file in [File::First, File::Same, File::Same] {
        let mut asked = responder.asked();
        let from = asked.from();
        let answer = answer(file, 1001, from as u64, Some("/log.1"));
        asked.send([answer, data(&b"one"[from..])].concat());
        // Though it is alive.
        wait_until("it is given up", || asked.send(emit_heartbeat(3, 1)).gone());
    }
    let (code, stderr) = ended(fetcher);
    assert_eq!(code, Some(1));
    assert!(stderr.ends_with(": read: no file follows the rotated one\n"), "{stderr}");
}

#[test]
fn a_source_that_has_less_than_the_copy_is_not_complete() {
    let mirror = Mirror::of(b"");
    let responder = Scripted::new();
    mirror.configure(responder.address(), "");
    let fetcher = mirror.fetch_logs_as(&["--once"]);
    let whole = [answer(File::First, 1001, 0, None), data(b"content"), emit_heartbeat(7, 1)];
    responder.asked().send(whole.concat());
    responder.asked().send([answer(File::Same, 1001, 7, None), emit_heartbeat(7, 1)].concat());
    assert_eq!(ended(fetcher).0, Some(0));
    let fetcher = mirror.fetch_logs_as(&["--once"]);
    for _ in 0..3 {
        let mut asked = responder.asked();
        assert_eq!(asked.from(), 3);
        asked.send([answer(File::Same, 1001, 3, None), emit_heartbeat(3, 1)].concat());
    }
    let (code, stderr) = ended(fetcher);
    assert_eq!(code, Some(1));
    assert!(stderr.ends_with(": read: the source has fewer bytes than the copy\n"), "{stderr}");
    assert_eq!(fs::read(&mirror.copy).unwrap(), b"content");
}

/// The answer that generation `inode` follows, found under another name.
fn answer(file: File, inode: u64, from: u64, name: Option<&str>) -> Vec<u8> {
    let name = name.map(|name| name.as_bytes().to_vec());
    emit_answer(&Answer { name, ..following(file, inode, from) })
}
