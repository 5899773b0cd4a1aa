//! The real `fetch_logs` against responders that are broken or mean harm, and against its operator's
//! mistakes. Beside each hostile responder there is a good one, whose copy has to stay current.

#[path = "../common/mod.rs"]
mod common;
mod flood;
#[path = "../common/left_out.rs"]
mod left_out;
mod lies;
mod listing;
mod operator;
mod reach;
mod room;
#[path = "../common/scripted.rs"]
mod scripted;
#[path = "../common/site.rs"]
mod site;
#[path = "../common/tally.rs"]
mod tally;
#[path = "../common/truth.rs"]
mod truth;

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{Program, holds_for, wait_until};
use fetchlogs::proto::answer::{Answer, File, emit_answer};
use fetchlogs::proto::frame::{Reason, emit_close, emit_heartbeat};
use left_out::{left_out, tell};
use nix::sys::signal::Signal;
use scripted::{Asked, Scripted, data, following};
use site::{FETCH_LOGS, Site};
use tally::tally;
use truth::{Truth, content};

/// What tests are left out of.
const FILE: &str = "tests/hostile";

/// The most that the good copy may be behind.
const LAG_MAX: Duration = Duration::from_secs(2);

/// The most memory, in KiB, that any hostile responder may cost; a fetcher of a few sources has 8 MiB.
const RESIDENT_KIB_MAX: u64 = 48 * 1024;

/// A hostile responder, `d/log` of host 127.0.0.1, and a good one, `d/good` of host localhost.
struct Siege {
    site: Site,
    good: Truth,
    hostile: Hostile,
    fetcher: Program,
    outside: Vec<String>,
}

impl Siege {
    fn of(act: impl Fn(u64, &mut Asked) + Send + Sync + 'static) -> Siege {
        Siege::with(&[], act)
    }

    /// `act` does what the hostile responder does with the connection of that number, from 0 on, behind
    /// its request.
    fn with(
        options: &[(&str, &str)],
        act: impl Fn(u64, &mut Asked) + Send + Sync + 'static,
    ) -> Siege {
        let (good, hostile) = (Truth::new(), Hostile::new(act));
        let mut site = Site::new();
        for (name, value) in options {
            site = site.option(name, value);
        }
        site.configure(&[
            site.line("127.0.0.1", hostile.port, "log"),
            site.line("localhost", good.port(), "good"),
        ]);
        let outside = around(&site);
        let fetcher = site.start();
        Siege { site, good, hostile, fetcher, outside }
    }

    /// The good copy is current, whatever the other one does; for `time`.
    #[track_caller]
    fn good_stays_current(&self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            stays_current(&self.good, &self.site);
            if Instant::now() >= until {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What must hold at the end of each siege: nothing outside the directories, bounded memory, the good
    /// source well and its copy true, no line that speaks to a terminal, and none told for ever.
    #[track_caller]
    fn holds(&mut self, lines_max: usize) {
        self.good_stays_current(Duration::ZERO);
        self.site.wait_status("localhost", "OK\n");
        assert_eq!(self.outside, around(&self.site));
        assert!(self.fetcher.try_ended().is_none(), "it ended");
        let resident = resident_kib(self.fetcher.pid());
        assert!(resident < RESIDENT_KIB_MAX, "{resident} KiB");
        let lines = self.fetcher.lines();
        assert!(lines.len() <= lines_max, "{} lines: {lines:#?}", lines.len());
        let printable = |line: &String| line.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        assert!(lines.iter().all(printable), "{lines:?}");
        let status = self.site.status("127.0.0.1").unwrap_or_default();
        assert!(printable(&status.trim_end().to_owned()), "{status:?}");
        assert_eq!(self.fetcher.said("/var/log/good"), 0, "{lines:?}");
    }
}

/// The copy `d/good` gets new bytes in time. (On a machine that is busy with other things once of three
/// times.)
#[track_caller]
fn stays_current(good: &Truth, site: &Site) {
    let lags = [0; 3].map(|_| {
        good.grow(10);
        let (written, current) = (Instant::now(), good.current());
        wait_until("there is the good copy", || site.copy("good").as_ref() == Some(&current));
        written.elapsed()
    });
    assert!(lags.iter().any(|lag| *lag < LAG_MAX), "{lags:?} behind");
}

/// Names in the fetcher's place, but those in the directory of copies and of status files.
fn around(site: &Site) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(site.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "snmp")
        .collect();
    names.sort();
    names
}

/// Resident memory of a process.
fn resident_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A responder that does the same with every connection, each in a thread of its own.
struct Hostile {
    port: u16,
    connections: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Hostile {
    fn new(act: impl Fn(u64, &mut Asked) + Send + Sync + 'static) -> Hostile {
        let listener = Scripted::new();
        let port = listener.port();
        let (connections, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, ended, act) = (Arc::clone(&connections), Arc::clone(&over), Arc::new(act));
        let accepting = std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                let Some(stream) = listener.try_accept() else {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                };
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let act = Arc::clone(&act);
                // It ends with its connection, at the latest when the fetcher does.
                std::thread::spawn(move || answer_with(stream, number, &*act));
            }
        });
        Hostile { port, connections, over, accepting: Some(accepting) }
    }

    fn count(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    #[track_caller]
    fn wait_count(&self, count: u64) {
        wait_until(&format!("it was asked {count} times"), || self.count() >= count);
    }
}

fn answer_with(stream: TcpStream, number: u64, act: &(dyn Fn(u64, &mut Asked) + Send + Sync)) {
    if let Some(mut asked) = Asked::try_read(stream) {
        act(number, &mut asked);
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.accepting.take().map(JoinHandle::join);
    }
}

/// The answer that generation `inode` follows, from there, of a file of `size` bytes.
fn answer(file: File, inode: u64, from: u64, size: u64) -> Vec<u8> {
    emit_answer(&Answer { size, ..following(file, inode, from) })
}

/// The relation to what was asked for: the first contact, the same, or the next generation.
fn relation(asked: &Asked, inode: u64) -> File {
    match inode_of(asked) {
        0 => File::First,
        known if known == inode => File::Same,
        _ => File::Next,
    }
}

/// The generation that is asked for.
fn inode_of(asked: &Asked) -> u64 {
    asked.request.split(' ').nth(1).unwrap().parse().unwrap()
}
