//! The bed of the end-to-end tests: the real binaries as children that do not outlive their test,
//! and waiting that has an end.
//!
//! Nothing here sleeps for a guessed time: a condition is waited for until a deadline, and the test
//! fails with what it waited for.

#![allow(dead_code)] // Each test binary uses its part of it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Long enough for anything that should take no time, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds; after [`PATIENCE`] it fails with `what` and what `seen` sees then.
pub fn wait_seeing(what: &str, condition: impl Fn() -> bool, seen: impl Fn() -> String) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "this did not happen: {what}; there is: {}", seen());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `condition` holds, and fails with `what` after [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Waits until `look` gives something, and fails with `what` after [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A port for a listener that will be stopped and started again: below the range from which the
/// kernel gives ports to connections and to others who listen anywhere (ip(7),
/// ip_local_port_range), so that nobody takes it meanwhile. It is not tried here: a listener of this
/// process would live on in a child that another thread is just starting.
pub fn lasting_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id() * 37 + COUNT.fetch_add(1, Ordering::Relaxed) * 101;
    10_000 + (number % 20_000) as u16
}

/// Watches for `time` that `condition` holds all the while; `what` is what it says.
pub fn holds_for(time: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        assert!(condition(), "this did not hold: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A program of ours that runs; killed when dropped.
pub struct Program {
    child: Child,
    stdout: Collected,
    stderr: Collected,
}

impl Program {
    /// Starts `exe` with `args`.
    pub fn start(exe: &str, args: &[&OsStr]) -> Program {
        Program::spawn(Command::new(exe).args(args))
    }

    /// Starts what `command` says, its output being collected.
    pub fn spawn(command: &mut Command) -> Program {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be started");
        let stdout = collect(child.stdout.take().expect("a pipe"));
        let stderr = collect(child.stderr.take().expect("a pipe"));
        Program { child, stdout, stderr }
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("the program runs");
    }

    /// What it wrote on standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it wrote on standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// The first line on standard output that begins with `start`, without it.
    pub fn told(&mut self, start: &str) -> String {
        wait_for(&format!("{start:?} is on standard output"), || {
            let ended = self.child.try_wait().unwrap();
            let text = self.stdout();
            let line = text.split_inclusive('\n').find_map(|line| line.strip_prefix(start));
            let told = line.filter(|line| line.ends_with('\n')).map(|line| line.trim_end().into());
            assert!(told.is_some() || ended.is_none(), "ended early: {}", self.stderr());
            told
        })
    }

    /// The lines on standard output so far.
    pub fn lines(&self) -> Vec<String> {
        self.stdout().lines().map(str::to_owned).collect()
    }

    /// How many lines on standard output contain `text` so far.
    pub fn said(&self, text: &str) -> usize {
        self.stdout().lines().filter(|line| line.contains(text)).count()
    }

    /// Waits until a line on standard output contains `text`.
    pub fn wait_said(&self, text: &str) {
        wait_until(&format!("{text:?} is on standard output"), || self.said(text) > 0);
    }

    /// Waits until `text` is somewhere on standard error.
    pub fn complained(&self, text: &str) {
        wait_until(&format!("{text:?} is on standard error"), || self.stderr().contains(text));
    }

    /// How it ended, if it has.
    pub fn try_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Kills it at once and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, as its supervisor does, and waits until it has.
    pub fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        assert!(self.ended().success(), "{}{}", self.stdout(), self.stderr());
    }

    /// Waits for its end, and until all that it wrote was read.
    pub fn ended(&mut self) -> ExitStatus {
        let status = wait_for("the program has ended", || self.child.try_wait().unwrap());
        self.stdout.finish();
        self.stderr.finish();
        status
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- standard output of the program ---\n{}", self.stdout());
            eprintln!("--- standard error of the program ---\n{}", self.stderr());
        }
    }
}

/// What comes out of a pipe.
pub struct Collected {
    text: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Collected {
    /// All of it so far.
    pub fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// Waits until its end was read.
    pub fn finish(&mut self) {
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
    }
}

/// Gathers what comes out of a pipe, line by line, so that it never fills up.
pub fn collect(pipe: impl Read + Send + 'static) -> Collected {
    let text = Arc::new(Mutex::new(String::new()));
    let gathered = Arc::clone(&text);
    let reading = std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            gathered.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    Collected { text, reading: Some(reading) }
}

/// A directory of its own for a test, by its real name; removed at the end.
pub struct Dir {
    base: PathBuf,
    _dir: tempfile::TempDir,
}

impl Dir {
    /// A new, empty one.
    pub fn new() -> Dir {
        let dir = tempfile::tempdir().unwrap();
        Dir { base: dir.path().canonicalize().unwrap(), _dir: dir }
    }

    /// One in memory, where there is such a file system: for tests that are not about disks and would
    /// wait for them.
    pub fn in_memory() -> Dir {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Dir { base: dir.path().canonicalize().unwrap(), _dir: dir }
    }

    /// The path of `name` in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Writes a file anew.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Writes a configuration in which `BASE` stands for this directory.
    pub fn config(&self, name: &str, text: &str) -> PathBuf {
        self.write(name, text.replace("BASE", self.base.to_str().unwrap()))
    }

    /// Renames a file.
    pub fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Appends to a file, which is closed again.
    pub fn append(&self, name: &str, content: impl AsRef<[u8]>) {
        use std::io::Write;
        let mut file = std::fs::File::options().append(true).open(self.path(name)).unwrap();
        file.write_all(content.as_ref()).unwrap();
    }

    /// The inode number of a file.
    pub fn inode(&self, name: &str) -> u64 {
        inode(&self.path(name))
    }
}

/// The inode number of the file at `path`.
pub fn inode(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path).unwrap().ino()
}
