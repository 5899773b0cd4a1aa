//! Both of our programs: a name may have any byte that a file's name may have.

mod common;
#[path = "common/original.rs"]
mod original;

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Dir, Program, lasting_port, wait_until};
use fetchlogs::config::emit_word;
use original::{OriginalResponder, masked};

fn named(dir: &Dir, name: &[u8]) -> PathBuf {
    dir.path("").join(OsStr::from_bytes(name))
}

fn word(path: &Path) -> String {
    emit_word(path.as_os_str().as_bytes())
}

fn serve(dir: &Dir, logs: &[PathBuf]) -> (Program, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], lasting_port()));
    let files: String = logs.iter().map(|log| format!("file {}\n", word(log))).collect();
    let text = format!("listen {address}\nallow 127.0.0.1\nheartbeat 1s\ncheck 100ms\n{files}");
    let conf = dir.write("serve_logs.conf", text);
    let mut program = Program::spawn(Command::new(env!("CARGO_BIN_EXE_serve_logs")).arg(conf));
    program.told("listening on ");
    (program, address)
}

/// The copies are `copy0`, `copy1` ...
fn fetch(dir: &Dir, address: SocketAddr, logs: &[PathBuf]) -> Program {
    let (ip, port) = (address.ip(), address.port());
    let line = |(number, log): (usize, &PathBuf)| {
        let copy = dir.path(&format!("copy{number}")).display().to_string();
        format!("{ip} {port} {} {copy} {copy}.ptr\n", word(log))
    };
    let conf = dir.write("fetch_logs.conf", logs.iter().enumerate().map(line).collect::<String>());
    let mut command = Command::new(env!("CARGO_BIN_EXE_fetch_logs"));
    command.args(["--reconnect", "100ms"]).arg(dir.path("snmp")).arg(conf);
    Program::spawn(&mut command)
}

#[test]
fn a_name_of_any_bytes_is_served_rotated_and_fetched() {
    let dir = Dir::new();
    let names: [&[u8]; 7] = [
        b"a b",
        b"line\nfeed",
        b"\xff\xfe",
        b"%41",
        b"\x07\x1b[2J",
        b"q\"\\*?[x]",
        "caf\u{e9}".as_bytes(),
    ];
    let logs: Vec<PathBuf> = names.iter().map(|name| named(&dir, name)).collect();
    for (log, name) in logs.iter().zip(names) {
        fs::write(log, name).unwrap();
    }
    let (_responder, address) = serve(&dir, &logs);
    let fetcher = fetch(&dir, address, &logs);
    let copied = |content: fn(&[u8]) -> Vec<u8>| {
        let right = |(number, name): (usize, &&[u8])| {
            fs::read(dir.path(&format!("copy{number}"))).is_ok_and(|copy| copy == content(name))
        };
        names.iter().enumerate().all(right)
    };
    wait_until("all are fetched", || copied(|name| name.to_vec()));
    for log in &logs {
        let rotated = [log.as_os_str().as_bytes(), b".1"].concat();
        fs::rename(log, OsStr::from_bytes(&rotated)).unwrap();
        fs::write(log, "new").unwrap();
    }
    wait_until("all are rotated", || copied(|_| b"new".to_vec()));
    wait_until("all is told", || fetcher.lines().len() == names.len());
    assert_eq!((fetcher.said("rotated to"), fetcher.said("ERR")), (names.len(), 0));
    // Each in one line, and one word of it is the name, in quotes where it must be.
    for (log, quoted) in logs.iter().zip([true, true, true, false, true, false, false]) {
        let shown = if quoted { word(log) } else { log.display().to_string() };
        assert_eq!(fetcher.said(&format!(" {shown} rotated to ")), 1, "{shown}");
    }
}

#[test]
fn a_responder_of_protocol_1_cannot_be_asked_for_every_name_and_that_is_told() {
    let dir = Dir::new();
    let logs = [named(&dir, b"a b"), named(&dir, b"ab")];
    for log in &logs {
        fs::write(log, "content").unwrap();
    }
    let responder = OriginalResponder::start(&[&logs[0], &logs[1]]);
    let fetcher = fetch(&dir, responder.address, &logs);
    wait_until("the other is fetched", || {
        fs::read(dir.path("copy1")).is_ok_and(|copy| copy == masked(b"content"))
    });
    fetcher.wait_said(&format!(
        "{} ERR init read: connection closed: a responder of protocol 1 can't be asked for a name",
        word(&logs[0])
    ));
    assert!(!dir.path("copy0").exists());
}
