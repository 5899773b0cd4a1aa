//! One log, its copy, and what was ever written to it, for the tests with fetchlogs 1.1.

#![allow(dead_code)] // Every file of tests takes what it needs.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::common::{Program, lasting_port, wait_seeing, wait_until};
use crate::original::{Line, masked};

/// One log on its host and everything that is kept of it in the centre, and what was ever written to
/// it: the content of its generations, in their order.
pub struct Mirror {
    dir: tempfile::TempDir,
    /// The log.
    pub log: PathBuf,
    /// Its copy.
    pub copy: PathBuf,
    /// The pointer file.
    pub pointer: PathBuf,
    /// What the copy and its archives have to hold in the end.
    pub generations: Vec<Vec<u8>>,
}

impl Mirror {
    /// A log with this content.
    pub fn of(content: &[u8]) -> Mirror {
        let dir = tempfile::tempdir().unwrap();
        for name in ["host", "centre", "snmp"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let at = |name: &str| dir.path().join(name);
        let (log, copy) = (at("host/app.log"), at("centre/app.log"));
        let pointer = at("centre/app.log.pointer");
        fs::write(&log, content).unwrap();
        Mirror { log, copy, pointer, dir, generations: vec![content.to_vec()] }
    }

    /// The daemon writes on.
    pub fn append(&mut self, content: &[u8]) {
        let mut log = OpenOptions::new().append(true).open(&self.log).unwrap();
        log.write_all(content).unwrap();
        self.generations.last_mut().unwrap().extend_from_slice(content);
    }

    /// The log is renamed, as those before it, and a new one begins.
    pub fn rotate(&mut self, content: &[u8]) {
        self.renumber();
        if self.log.exists() {
            fs::rename(&self.log, with_suffix(&self.log, "1")).unwrap();
        }
        self.begin(content);
    }

    /// The log is copied, after the copies before it are renamed, and emptied in place. Nobody writes
    /// to it in between.
    pub fn copytruncate(&mut self, content: &[u8]) {
        self.renumber();
        fs::copy(&self.log, with_suffix(&self.log, "1")).unwrap();
        self.truncate(content);
    }

    /// The rotated logs have a number more each; the first is free.
    fn renumber(&self) {
        let numbered = |number: usize| with_suffix(&self.log, &number.to_string());
        let there = (1..).take_while(|&number| numbered(number).exists()).count();
        for number in (1..=there).rev() {
            fs::rename(numbered(number), numbered(number + 1)).unwrap();
        }
    }

    /// A log that has no name yet begins.
    pub fn begin(&mut self, content: &[u8]) {
        // Content and name appear at once: a test wants no generation seen half written.
        let hidden = self.log.with_file_name("hidden");
        fs::write(&hidden, content).unwrap();
        fs::rename(&hidden, &self.log).unwrap();
        self.generations.push(content.to_vec());
    }

    /// The log is emptied in place, and goes on from its beginning.
    pub fn truncate(&mut self, content: &[u8]) {
        let mut log = File::create(&self.log).unwrap();
        log.write_all(content).unwrap();
        self.generations.push(content.to_vec());
    }

    /// The log, which is long, is rotated when a part of it is here: `fetcher` stands still until that is
    /// done.
    pub fn rotate_while_fetched(&mut self, fetcher: &Program, content: &[u8]) {
        let here = |copy: &Path| fs::metadata(copy).map_or(0, |facts| facts.len() as usize);
        wait_until("a part is here", || here(&self.copy) > 0);
        fetcher.signal(Signal::SIGSTOP);
        assert!(here(&self.copy) < self.generations.last().unwrap().len(), "it was too fast");
        self.rotate(content);
        fetcher.signal(Signal::SIGCONT);
    }

    /// The log's inode number.
    pub fn inode(&self) -> u64 {
        fs::metadata(&self.log).unwrap().ino()
    }

    /// The first word of the pointer file.
    pub fn pointer_word(&self) -> String {
        let text = fs::read_to_string(&self.pointer).unwrap_or_default();
        text.split_ascii_whitespace().next().unwrap_or_default().to_owned()
    }

    /// Whether the status file says that all is well.
    pub fn well(&self) -> bool {
        fs::read(self.dir.path().join("snmp/127.0.0.1")).is_ok_and(|text| text == b"OK\n")
    }

    /// The archives that are not empty, the oldest first, and the copy.
    pub fn kept(&self) -> Vec<Vec<u8>> {
        let mut archives = Vec::new();
        for entry in fs::read_dir(self.copy.parent().unwrap()).unwrap() {
            let path = entry.unwrap().path();
            let stamp = path.as_os_str().as_encoded_bytes();
            let stamp =
                stamp.strip_prefix(with_suffix(&self.copy, "").as_os_str().as_encoded_bytes());
            // Names may go while they are looked at; then this is looked at again.
            let Some(metadata) = fs::metadata(&path).ok().filter(|metadata| metadata.len() > 0)
            else {
                continue;
            };
            if stamp.is_some_and(|stamp| stamp.first().is_some_and(u8::is_ascii_digit)) {
                archives.push((metadata.mtime(), metadata.mtime_nsec(), path));
            }
        }
        archives.sort();
        let mut kept: Vec<Vec<u8>> =
            archives.iter().map(|(_, _, path)| fs::read(path).unwrap_or_default()).collect();
        kept.push(fs::read(&self.copy).unwrap_or_default());
        kept
    }

    /// What has to be kept: generations that were empty when they ended need not have been seen.
    pub fn not_empty(&self) -> Vec<Vec<u8>> {
        let (last, ended) = self.generations.split_last().unwrap();
        let ended = ended.iter().filter(|one| !one.is_empty());
        ended.chain([last]).cloned().collect()
    }

    /// Waits until every generation is kept in a file of its own, all of it and nothing else.
    pub fn wait_exact(&self, told: impl Fn() -> String) {
        // Which bytes 0x07 were masked depends on who fetched them; that is tried elsewhere.
        let mask =
            |contents: &[Vec<u8>]| contents.iter().map(|one| masked(one)).collect::<Vec<_>>();
        let wanted = mask(&self.not_empty());
        let seen = || format!("{}\n{}", sketch(&self.kept()), told());
        let what = format!("what is kept is {}", sketch(&wanted));
        wait_seeing(&what, || mask(&self.kept()) == wanted, seen);
    }

    /// Waits until `fetcher` has kept all of it.
    pub fn wait_exact_by(&self, fetcher: &Program) {
        self.wait_exact(|| fetcher.lines().join("\n"));
    }

    /// The line that both fetchers have for it in their configuration.
    pub fn line(&self, address: SocketAddr) -> Line {
        let (remote, local) = (self.log.clone(), self.copy.clone());
        Line { address, remote, local, pointer: self.pointer.clone() }
    }

    /// Starts our fetcher.
    pub fn fetch_logs(&self, address: SocketAddr) -> Program {
        self.fetch_logs_with(address, "")
    }

    /// The same with options of the source.
    pub fn fetch_logs_with(&self, address: SocketAddr, options: &str) -> Program {
        self.fetch_logs_by(address, options, &[])
    }

    /// The same with arguments of the program, which tells more of what it does.
    pub fn fetch_logs_by(&self, address: SocketAddr, options: &str, args: &[&str]) -> Program {
        self.configure(address, options);
        Program::spawn(self.command(args).env("RUST_LOG", "debug"))
    }

    /// Writes the fetcher's configuration.
    pub fn configure(&self, address: SocketAddr, options: &str) {
        let Line { address, remote, local, pointer } = self.line(address);
        let conf = self.dir.path().join("fetch_logs.conf");
        let paths = [remote, local, pointer].map(|path| path.display().to_string()).join(" ");
        fs::write(&conf, format!("{} {} {paths} {options}\n", address.ip(), address.port()))
            .unwrap();
    }

    /// The same as it was configured last, with options of the program.
    pub fn fetch_logs_as(&self, options: &[&str]) -> Program {
        Program::spawn(&mut self.command(options))
    }

    /// What starts it so.
    pub fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fetch_logs"));
        command.args(["--reconnect", "100ms", "--connect-timeout", "1s", "--reply-timeout", "1s"]);
        let at = |name: &str| self.dir.path().join(name);
        command.args(options).arg(at("snmp")).arg(at("fetch_logs.conf"));
        command
    }

    /// Starts our responder at a free address, and gives it.
    pub fn serve(&self) -> (Program, SocketAddr) {
        self.serve_logs(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts our responder at `address`, or at a free one if it has no port, and gives where it
    /// listens.
    pub fn serve_logs(&self, mut address: SocketAddr) -> (Program, SocketAddr) {
        if address.port() == 0 {
            address.set_port(lasting_port());
        }
        let conf = self.dir.path().join("serve_logs.conf");
        let log = self.log.display();
        let text = format!(
            "listen {address}\nallow 127.0.0.0/8\nfile {log} {log}.*[0-9]*\n\
             heartbeat 1s\ncheck 100ms\nlinger 300ms\n"
        );
        fs::write(&conf, text).unwrap();
        let mut program = Program::spawn(Command::new(env!("CARGO_BIN_EXE_serve_logs")).arg(conf));
        let line = program.told("listening on ");
        let address = line.rsplit(' ').next().unwrap().parse().unwrap();
        (program, address)
    }
}

/// So many lines, each with its number.
pub fn lines(word: &str, count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| format!("{word} {number}\n").into_bytes()).collect()
}

/// `path` and a dot and `suffix`.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Lengths and beginnings, for a failed test.
fn sketch(parts: &[Vec<u8>]) -> String {
    let sketch = |part: &Vec<u8>| {
        let (head, tail) = (&part[..part.len().min(40)], &part[part.len().saturating_sub(40)..]);
        format!("{} bytes \"{}\"..\"{}\"", part.len(), head.escape_ascii(), tail.escape_ascii())
    };
    format!("[{}]", parts.iter().map(sketch).collect::<Vec<_>>().join(", "))
}
