//! `serve_logs` under attack: whoever reaches the port, whoever may write in a log's directory, and whoever
//! stands between it and the fetcher.
//!
//! Each attack passes when no byte came that is not served, nothing panicked, memory and descriptors
//! stayed bounded, somebody who asked for a log meanwhile got it within a second, and at once afterwards.

#[path = "../common/chance.rs"]
mod chance;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/left_out.rs"]
#[allow(dead_code)] // It needs no program.
mod left_out;
#[path = "../common/mirror.rs"]
mod mirror;
#[path = "../common/original.rs"]
mod original;
#[path = "../common/tally.rs"]
mod tally;

mod confined;
mod files;
mod floods;
mod links;
mod middle;
mod requests;
mod stalls;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Dir, PATIENCE, Program, wait_until};
use tally::tally;

const SERVE_LOGS: &str = env!("CARGO_BIN_EXE_serve_logs");

/// What is in files that are not served.
const SECRET: &[u8] = b"SECRET";

/// What is in the log that a good client asks for.
const CONTENT: &[u8] = b"one line\nand another\n";

/// Most that a responder may ever have in memory.
const RESIDENT_KIB_MAX: u64 = 64 << 10;

/// Descriptors besides those of connections: standard streams, poll, watch, root, listener, signals.
const DESCRIPTORS_APART: usize = 24;

/// Within this a good client is served, nine times of ten: the machine has other things to do.
const SOON: Duration = Duration::from_secs(1);

/// A responder that serves `BASE/log`, with secrets beside it.
struct Target {
    dir: Dir,
    program: Program,
    address: SocketAddr,
}

impl Target {
    fn new(settings: &str) -> Target {
        Target::in_dir(Dir::new(), settings)
    }

    fn in_dir(dir: Dir, settings: &str) -> Target {
        dir.write("log", CONTENT);
        dir.write("secret", SECRET.repeat(100));
        let text = format!("listen 127.0.0.1:0\nallow 127.0.0.0/8\nfile BASE/log\n{settings}");
        let conf = dir.config("conf", &text);
        let mut program = Program::spawn(Command::new(SERVE_LOGS).arg(conf));
        let address = program.told("listening on ").parse().unwrap();
        Target { dir, program, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The request for a file of this name in protocol 1.
    fn request(&self, name: &str) -> String {
        format!("{}\n", self.dir.path(name).display())
    }

    /// All that comes for these bytes: until the responder closes, which it may do before it took them,
    /// or has answered and says no more for a while.
    fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes);
        let mut heard = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => heard.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => {
                    assert!(error.kind() == ErrorKind::WouldBlock && !heard.is_empty(), "{error}");
                    break;
                }
            }
            stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        }
        assert_innocent(&heard);
        heard
    }

    /// Asks for the log as a fetcher does, and gives how long it took.
    fn serve_well(&self) -> Duration {
        let begin = Instant::now();
        let mut stream = self.connect();
        stream.write_all(self.request("log").as_bytes()).unwrap();
        let expected = [format!("O {}\n", self.dir.inode("log")).as_bytes(), CONTENT].concat();
        let mut heard = vec![0; expected.len()];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(heard.escape_ascii().to_string(), expected.escape_ascii().to_string());
        begin.elapsed()
    }

    /// Attacks while somebody asks for the log again and again; afterwards all must be well.
    fn withstands(&self, connections_max: usize, attack: impl FnOnce()) {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let good = scope.spawn(|| {
                let mut times = Vec::new();
                while !over.load(Ordering::Relaxed) || times.is_empty() {
                    times.push(self.serve_well());
                    assert!(self.descriptors() <= 2 * connections_max + DESCRIPTORS_APART);
                }
                times
            });
            // Whatever becomes of the attack, the good client ends.
            let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attack));
            over.store(true, Ordering::Relaxed);
            let mut times = good.join().unwrap();
            attacked.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
            times.sort();
            let late = times[times.len() * 9 / 10];
            assert!(late < SOON, "the good client was served within {late:?}, at worst {times:?}");
            tally("attacks: good clients served meanwhile", times.len() as u64);
        });
        assert!(self.serve_well() < SOON, "not at once afterwards");
        self.assert_well();
    }

    /// Nothing panicked and no more memory was taken than may be.
    fn assert_well(&self) {
        let peak = self.status("VmHWM:").split_whitespace().next().unwrap().parse::<u64>().unwrap();
        assert!(peak <= RESIDENT_KIB_MAX, "{peak} KiB were resident");
        let stderr = self.program.stderr();
        assert!(!stderr.contains("panicked"), "{stderr}");
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.program.pid())).unwrap().count()
    }

    /// What /proc/PID/status says of `field`.
    fn status(&self, field: &str) -> String {
        let path = format!("/proc/{}/status", self.program.pid());
        field_of(&fs::read_to_string(path).unwrap(), field)
    }

    /// Ends it as its supervisor does.
    fn stop(self) {
        self.assert_well();
        self.program.stop();
    }
}

fn field_of(status: &str, field: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.expect(field).trim().to_owned()
}

/// Reads to the end of the connection, which may be a rude one.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => {
            other.expect("the connection is closed");
        }
    }
    rest
}

fn assert_innocent(heard: &[u8]) {
    let found = heard.windows(SECRET.len()).any(|window| window == SECRET);
    assert!(!found, "a secret was told: {}", heard.escape_ascii());
}

/// How many times more than in every run: FETCHLOGS_ATTACKS.
fn times_more() -> usize {
    let more = std::env::var("FETCHLOGS_ATTACKS").ok();
    more.map_or(1, |more| more.parse().expect("FETCHLOGS_ATTACKS is a number"))
}
