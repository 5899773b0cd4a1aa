//! A place where the real `fetch_logs` runs, and what it leaves there.
#![allow(dead_code)] // Each test binary uses its part of it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use fetchlogs::fetch::pointer::{Held, Pointer, emit_pointer, parse_pointer};

use crate::common::{Program, wait_until};
use crate::truth::Truth;

pub const FETCH_LOGS: &str = env!("CARGO_BIN_EXE_fetch_logs");

/// A place for one fetcher: its configuration, copies, pointers and status files.
pub struct Site {
    dir: tempfile::TempDir,
    options: Vec<String>,
}

impl Site {
    pub fn new() -> Site {
        let options = ["--reconnect", "100ms", "--connect-timeout", "1s", "--reply-timeout", "1s"];
        let site = Site {
            dir: tempfile::tempdir().unwrap(),
            options: options.map(str::to_owned).to_vec(),
        };
        fs::create_dir(site.path("d")).unwrap();
        site
    }

    /// In memory, where nothing waits for a disk.
    pub fn in_memory() -> Site {
        let mut site = Site::new();
        if let Ok(dir) = tempfile::tempdir_in("/dev/shm") {
            fs::create_dir(dir.path().join("d")).unwrap();
            site.dir = dir;
        }
        site
    }

    /// With one source, `d/log`, at this port of 127.0.0.1.
    pub fn of(port: u16) -> Site {
        let site = Site::new();
        site.configure(&[site.line("127.0.0.1", port, "log")]);
        site
    }

    pub fn option(mut self, name: &str, value: &str) -> Site {
        let found = self.options.iter().position(|option| option == name);
        let at = found.unwrap_or(self.options.len());
        self.options.splice(at..(at + 2).min(self.options.len()), [name, value].map(str::to_owned));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A source kept in `d/NAME`, its pointer in `d/NAME.ptr`.
    pub fn line(&self, host: &str, port: u16, name: &str) -> String {
        let copy = self.path("d").join(name).display().to_string();
        format!("{host} {port} /var/log/{name} {copy} {copy}.ptr")
    }

    pub fn configure(&self, lines: &[String]) {
        fs::write(self.path("conf"), lines.join("\n") + "\n").unwrap();
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("RUST_LOG", "info");
        command
    }

    pub fn arguments<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.args(&self.options).arg(self.path("snmp")).arg(self.path("conf"))
    }

    pub fn start(&self) -> Program {
        Program::spawn(self.arguments(&mut self.command(FETCH_LOGS)))
    }

    /// Under strace with these options. The process is the fetcher's; strace ends after it.
    pub fn start_traced(&self, options: &[&str]) -> Program {
        let mut command = self.command("strace");
        command
            .args(["-D", "-f", "-qq", "-o"])
            .arg(self.path("trace"))
            .args(options)
            .arg(FETCH_LOGS);
        Program::spawn(self.arguments(&mut command))
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_default()
    }

    /// What the file in `d` holds, if there is one.
    pub fn copy(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.path("d").join(name)).ok()
    }

    pub fn wait_copy(&self, expected: &[u8]) {
        wait_until("there is the whole copy", || self.copy("log").as_deref() == Some(expected));
    }

    pub fn pointer(&self) -> Pointer {
        match parse_pointer(&self.read("d/log.ptr")) {
            Ok(Held::Pointer(pointer)) => *pointer,
            other => panic!("{other:?}"),
        }
    }

    pub fn change_pointer(&self, change: impl FnOnce(&mut Pointer)) {
        let mut pointer = self.pointer();
        change(&mut pointer);
        fs::write(self.path("d/log.ptr"), emit_pointer(&pointer)).unwrap();
    }

    /// The status file of a host, `None` if there is none.
    pub fn status(&self, host: &str) -> Option<String> {
        fs::read_to_string(self.path("snmp").join(host)).ok()
    }

    pub fn wait_status(&self, host: &str, text: &str) {
        wait_until(&format!("there is status {text:?}"), || {
            self.status(host).is_some_and(|status| status == text)
        });
    }

    /// The archives of `d/log` in their order, the bytes set aside not among them.
    pub fn archives(&self) -> Vec<Vec<u8>> {
        let mut stamped = Vec::new();
        for name in self.names() {
            let Some(suffix) = name.strip_prefix("log.") else { continue };
            let mut numbers = suffix.split('.').map(str::parse::<u64>);
            if let Some(Ok(stamp)) = numbers.next() {
                let number = numbers.next().map_or(0, Result::unwrap);
                stamped.push((stamp, number, name));
            }
        }
        stamped.sort();
        stamped.into_iter().map(|(_, _, name)| self.copy(&name).unwrap()).collect()
    }

    /// Names in `d` that don't begin with a dot.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path("d"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    /// Waits until every generation of `truth` is here, each once and in order.
    pub fn wait_all(&self, truth: &Truth) {
        let mut all = truth.generations();
        let current = all.pop().unwrap();
        wait_until("there is the last generation", || {
            self.copy("log").is_some_and(|copy| copy == current)
                && self.archives().len() >= all.len()
        });
        let archives = self.archives();
        let lengths = |all: &[Vec<u8>]| all.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(&archives), lengths(&all));
        assert!(archives == all, "an archive has other bytes than its generation");
    }
}
