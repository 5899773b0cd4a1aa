//! Logs on a host, what is kept of them in the centre, and what was ever written to them.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use crate::common::{Program, inode, wait_seeing, wait_until};

/// One log and its copy.
pub struct Log {
    /// The log on its host.
    pub path: PathBuf,
    /// Its copy in the centre.
    pub copy: PathBuf,
    /// What was written to it, by generation.
    pub generations: Vec<Vec<u8>>,
    /// The suffixes of its rotated files behind their numbers, number 1 first.
    rotated: Vec<&'static str>,
}

/// Both ends.
pub struct Stage {
    dir: tempfile::TempDir,
    /// The logs.
    pub logs: Vec<Log>,
    port: u16,
    /// Options of the fetcher, besides those that make it quick.
    pub options: Vec<String>,
    /// The responder's.
    pub linger: &'static str,
}

impl Stage {
    /// So many logs with a line each. The responder listens at `port`.
    pub fn of(logs: usize, port: u16) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        for name in ["host", "centre", "snmp"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let log = |number: usize| {
            let name = format!("app{number}.log");
            let first = format!("the first line of {number}\n").into_bytes();
            let path = dir.path().join("host").join(&name);
            fs::write(&path, &first).unwrap();
            let copy = dir.path().join("centre").join(&name);
            Log { path, copy, generations: vec![first], rotated: Vec::new() }
        };
        let logs = (0..logs).map(log).collect();
        let stage = Stage { dir, logs, port, options: Vec::new(), linger: "500ms" };
        stage.configure();
        stage
    }

    /// A path in the stage's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the configurations of both ends.
    pub fn configure(&self) {
        let (mut serve, mut fetch) = (String::new(), String::new());
        serve += &format!("listen 127.0.0.1:{}\nallow 127.0.0.0/8\n", self.port);
        serve += &format!("heartbeat 1s\ncheck 100ms\nlinger {}\n", self.linger);
        for log in &self.logs {
            let (path, copy) = (log.path.display(), log.copy.display());
            serve += &format!("file {path} {path}.*[0-9]*\n");
            fetch += &format!("127.0.0.1 {} {path} {copy} {copy}.pointer\n", self.port);
        }
        fs::write(self.path("serve_logs.conf"), serve).unwrap();
        fs::write(self.path("fetch_logs.conf"), fetch).unwrap();
    }

    /// What starts the responder.
    pub fn serve_logs(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_serve_logs"));
        command.arg(self.path("serve_logs.conf"));
        command
    }

    /// What starts the fetcher.
    pub fn fetch_logs(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fetch_logs"));
        command.args(["--reconnect", "20ms", "--connect-timeout", "1s", "--reply-timeout", "1s"]);
        command.args(&self.options).arg(self.path("snmp")).arg(self.path("fetch_logs.conf"));
        command
    }

    /// Waits until every generation is kept, each in a file of its own, and nothing else.
    pub fn wait_exact(&self, seen: impl Fn() -> String) {
        for log in &self.logs {
            let wanted = log.wanted();
            let lengths = wanted.iter().map(|one| one.len() as u64).collect::<Vec<_>>();
            wait_seeing(
                &format!("all of {} is kept", log.path.display()),
                || log.lengths() == lengths && log.kept() == wanted,
                || format!("{:?} of {lengths:?}\n{}", log.lengths(), seen()),
            );
        }
    }

    /// Proves what is kept: `fetch_logs --once --verify` says `equal` of every generation, or that what is
    /// gone at the source is what it was.
    pub fn prove(&self, seen: impl Fn() -> String) {
        let mut command = self.fetch_logs();
        let mut receipt = Program::spawn(command.args(["--once", "--verify"]));
        let mut proved = 0;
        while receipt.try_ended().is_none() {
            // It is patient as long as lines come.
            wait_until("the proof goes on", || {
                receipt.lines().len() > proved || receipt.try_ended().is_some()
            });
            proved = receipt.lines().len();
        }
        let ended = receipt.ended();
        let told = format!("{}\n{}{}", seen(), receipt.stdout(), receipt.stderr());
        assert!(ended.success(), "{told}");
        assert_eq!(receipt.said(" lost "), 0, "{told}");
        let wanted: usize = self.logs.iter().map(|log| log.wanted().len()).sum();
        assert!(receipt.said(" equal") >= wanted, "{told}");
    }
}

impl Log {
    /// The daemon writes on.
    pub fn append(&mut self, content: &[u8]) {
        let mut log = OpenOptions::new().append(true).open(&self.path).unwrap();
        log.write_all(content).unwrap();
        self.generations.last_mut().unwrap().extend_from_slice(content);
    }

    fn numbered(&self, number: usize, suffix: &str) -> PathBuf {
        PathBuf::from(format!("{}.{number}{suffix}", self.path.display()))
    }

    /// Rotated files have a number more each, so that number 1 is free.
    fn renumber(&mut self, suffix: &'static str) {
        for (at, suffix) in self.rotated.iter().enumerate().rev() {
            fs::rename(self.numbered(at + 1, suffix), self.numbered(at + 2, suffix)).unwrap();
        }
        self.rotated.insert(0, suffix);
    }

    /// It is renamed and a new one begins.
    pub fn rotate(&mut self, content: &[u8]) {
        self.renumber("");
        fs::rename(&self.path, self.numbered(1, "")).unwrap();
        self.begin(content);
    }

    fn begin(&mut self, content: &[u8]) {
        // Content and name appear at once: half of what is written is not a generation.
        let hidden = self.path.with_extension("hidden");
        fs::write(&hidden, content).unwrap();
        fs::rename(&hidden, &self.path).unwrap();
        self.generations.push(content.to_vec());
    }

    /// It is renamed, a new one begins, and the daemon writes on into the old one until it is told.
    pub fn rotate_with_late_lines(&mut self, late: &[u8], content: &[u8]) {
        let mut daemon = OpenOptions::new().append(true).open(&self.path).unwrap();
        self.rotate(content);
        for line in late.chunks(late.len().div_ceil(3).max(1)) {
            daemon.write_all(line).unwrap();
        }
        let ended = self.generations.len() - 2;
        self.generations[ended].extend_from_slice(late);
    }

    /// It is copied and emptied in place; nobody writes in between.
    pub fn copytruncate(&mut self, content: &[u8]) {
        self.renumber("");
        fs::copy(&self.path, self.numbered(1, "")).unwrap();
        let mut log = File::create(&self.path).unwrap();
        log.write_all(content).unwrap();
        self.generations.push(content.to_vec());
    }

    /// It is renamed, a new one begins, and the renamed one is compressed.
    pub fn rotate_and_compress(&mut self, content: &[u8]) {
        self.rotate(content);
        let plain = self.numbered(1, "");
        let done = Command::new("gzip").arg("-1").arg(&plain).status().unwrap();
        assert!(done.success());
        self.rotated[0] = ".gz";
    }

    /// The rotated files are deleted: their inode numbers are given again.
    pub fn forget_rotated(&mut self) {
        for (at, suffix) in self.rotated.iter().enumerate() {
            fs::remove_file(self.numbered(at + 1, suffix)).unwrap();
        }
        self.rotated.clear();
    }

    /// Whether the pointer says that so much of the current generation is on disk here that the next
    /// request tells digests of it: a fetcher goes back by 256 bytes.
    pub fn is_begun_on_disk(&self) -> bool {
        self.on_disk().is_some_and(|on_disk| on_disk > 256)
    }

    /// Whether the pointer says that all of the current generation is on disk here.
    pub fn is_settled(&self) -> bool {
        self.on_disk() == self.generations.last().map(|current| current.len() as u64)
    }

    /// How many bytes of the current generation the pointer says to be on disk here.
    fn on_disk(&self) -> Option<u64> {
        let pointer = fs::read_to_string(format!("{}.pointer", self.copy.display()));
        let pointer = pointer.unwrap_or_default();
        let mut words = pointer.split_ascii_whitespace().map(str::parse::<u64>);
        let current = words.next()? == Ok(inode(&self.path));
        words.next()?.ok().filter(|_| current)
    }

    /// How many rotated files there are.
    pub fn rotated(&self) -> usize {
        self.rotated.len()
    }

    /// What has to be kept: a generation that was empty when it ended need not have been seen.
    pub fn wanted(&self) -> Vec<Vec<u8>> {
        let (last, ended) = self.generations.split_last().unwrap();
        ended.iter().filter(|one| !one.is_empty()).chain([last]).cloned().collect()
    }

    /// The archives in their order, and the copy; of archives those that are not empty.
    pub fn kept_paths(&self) -> Vec<PathBuf> {
        let name = self.copy.file_name().unwrap().to_str().unwrap();
        let mut archives = Vec::new();
        for entry in fs::read_dir(self.copy.parent().unwrap()).into_iter().flatten() {
            let Ok(entry) = entry else { continue };
            let other = entry.file_name().into_string().unwrap();
            let Some(stamp) = other.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'))
            else {
                continue;
            };
            let mut numbers = stamp.split('.').map(str::parse::<u64>);
            if let Some(Ok(stamp)) = numbers.next()
                && fs::metadata(entry.path()).is_ok_and(|facts| facts.len() > 0)
            {
                archives.push((stamp, numbers.next().map_or(0, Result::unwrap), entry.path()));
            }
        }
        archives.sort();
        archives.into_iter().map(|(_, _, path)| path).chain([self.copy.clone()]).collect()
    }

    /// The lengths of what is kept.
    fn lengths(&self) -> Vec<u64> {
        let len = |path: &PathBuf| fs::metadata(path).map_or(0, |facts| facts.len());
        self.kept_paths().iter().map(len).collect()
    }

    /// What is kept.
    pub fn kept(&self) -> Vec<Vec<u8>> {
        let read = |path: &PathBuf| fs::read(path).unwrap_or_default();
        self.kept_paths().iter().map(read).collect()
    }
}
