//! `serve_logs` as a fetcher sees it: the real binary, a plain socket.

#[path = "../common/mod.rs"]
mod common;
mod ending;
mod finding;
mod limits;
mod listing;
mod packed;
mod peers;
mod program;
mod proving;
mod sending;
mod two;

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Dir, PATIENCE, Program, wait_until};
use nix::sys::signal::Signal;

const SERVE_LOGS: &str = env!("CARGO_BIN_EXE_serve_logs");

/// Times that suit a test; a `check` this long proves that hints alone wake it.
const HINTS_ONLY: &str = "check 1h\nheartbeat 1h\nlinger 1h\n";

/// A responder that serves `BASE/log`.
struct Bed {
    dir: Dir,
    program: Program,
    address: SocketAddr,
}

impl Bed {
    fn new(settings: &str) -> Bed {
        Bed::with(settings, &[("log", b"")])
    }

    fn with(settings: &str, files: &[(&str, &[u8])]) -> Bed {
        let dir = Dir::new();
        for (name, content) in files {
            dir.write(name, content);
        }
        Bed::start(dir, settings, Command::new(SERVE_LOGS))
    }

    fn start(dir: Dir, settings: &str, mut command: Command) -> Bed {
        let conf = dir.config("conf", &config(settings));
        let mut program = Program::spawn(command.arg(conf));
        let address = program.told("listening on ").parse().unwrap();
        Bed { dir, program, address }
    }

    fn connect(&self) -> Peer {
        Peer::connect(self.address)
    }

    /// Asks for `BASE/log`; `have` is what follows the path.
    fn ask(&self, have: &str) -> Peer {
        let mut peer = self.connect();
        peer.send(format!("{} {have}\n", self.dir.path("log").display()));
        peer
    }

    /// Asks for the generation that has the name `name` from `offset` on.
    fn ask_for(&self, inode: u64, offset: u64) -> Peer {
        self.ask(&format!("{inode} {offset}"))
    }

    fn status(&self, verdict: char, name: &str) -> String {
        format!("{verdict} {}\n", self.dir.inode(name))
    }

    /// Reads the configuration again, with other settings.
    fn reload(&self, settings: &str) {
        self.dir.config("conf", &config(settings));
        self.program.signal(Signal::SIGHUP);
    }
}

fn config(settings: &str) -> String {
    let mut text = settings.to_owned();
    for (word, line) in [
        ("listen ", "listen 127.0.0.1:0\n"),
        ("allow ", "allow 127.0.0.0/8\n"),
        ("file ", "file BASE/log\n"),
    ] {
        if !settings.contains(word) {
            text.push_str(line);
        }
    }
    text
}

/// A fetcher, and whoever else connects.
struct Peer(TcpStream);

impl Peer {
    fn connect(address: SocketAddr) -> Peer {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer(stream)
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Reads exactly these bytes.
    fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let mut read = vec![0; bytes.len()];
        self.0.read_exact(&mut read).unwrap();
        assert_eq!(read.escape_ascii().to_string(), bytes.escape_ascii().to_string());
    }

    /// Reads content of the file, wherever heartbeats are.
    fn expect_content(&mut self, content: &[u8]) {
        let mut read: Vec<u8> = Vec::new();
        let mut piece = vec![0; 1 << 16];
        while read.len() < content.len() {
            let count = self.0.read(&mut piece).unwrap();
            assert_ne!(count, 0, "closed after {} bytes", read.len());
            read.extend(piece[..count].iter().filter(|&&b| b != 7));
        }
        assert!(read == content, "{} bytes differ from those expected", read.len());
    }

    /// Reads to the end of the connection.
    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => {
                other.expect("the connection is closed");
            }
        }
        rest
    }

    fn expect_close(&mut self) {
        let rest = self.rest();
        assert!(rest.iter().all(|&b| b == 7), "{}", rest.escape_ascii());
    }

    fn expect_silence(mut self, what: &str) {
        let rest = self.rest();
        assert!(rest.is_empty(), "{what}: {}", rest.escape_ascii());
    }
}
