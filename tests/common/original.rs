//! Stand-ins for both programs of fetchlogs 1.1, made from what is known of their behaviour.
//!
//! They do what the originals do, faults included: what a test proves against them is proved against
//! a peer that can't be changed any more. Their times are parameters, so that a test need not wait
//! for a minute. One thread a connection, blocking calls, nothing clever.

#![allow(dead_code)] // Every file of tests takes what it needs.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const ALIVE: u8 = 0x07;
const ALIVE_MASK: u8 = 0xff;

/// Data goes out in blocks of at most so many bytes.
const BLOCK_BYTES_MAX: usize = 131_072;

/// The longest text after `O ` or `L `, and the longest pointer, that the fetcher takes.
const INODE_TEXT_MAX: usize = 32;

/// What a copy fetched by protocol 1 looks like: the heartbeat's byte can't be sent as itself.
pub fn masked(content: &[u8]) -> Vec<u8> {
    content.iter().map(|&byte| if byte == ALIVE { ALIVE_MASK } else { byte }).collect()
}

/// The responder's times, in reality 5 s, 13 and 5 s.
#[derive(Clone, Copy, Debug)]
pub struct ResponderTimes {
    /// How often it looks at the file.
    pub check: Duration,
    /// After how many looks in a row at the end of the file it looks whether the path is still it.
    pub idle_checks: u32,
    /// How long it waits for a request line.
    pub request: Duration,
}

impl Default for ResponderTimes {
    fn default() -> ResponderTimes {
        let check = Duration::from_millis(20);
        ResponderTimes { check, idle_checks: 4, request: Duration::from_secs(1) }
    }
}

/// `serve_logs` of fetchlogs 1.1. Dropping it kills it.
pub struct OriginalResponder {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    files: Vec<PathBuf>,
    times: ResponderTimes,
    lies: Mutex<HashMap<PathBuf, u64>>,
    ending: AtomicBool,
    connections: Mutex<Vec<(TcpStream, JoinHandle<()>)>>,
}

/// A file chosen for a request.
struct Chosen {
    letter: char,
    path: PathBuf,
    inode: u64,
    from: u64,
}

impl OriginalResponder {
    /// Serves `files` on any free port. The rotated files of `PATH` are those named `PATH.*`.
    pub fn start(files: &[&Path]) -> OriginalResponder {
        let free = SocketAddr::from(([127, 0, 0, 1], crate::common::lasting_port()));
        OriginalResponder::start_at(free, files, ResponderTimes::default())
    }

    /// Serves `files` at `address`, where an earlier one may have listened.
    pub fn start_at(
        address: SocketAddr,
        files: &[&Path],
        times: ResponderTimes,
    ) -> OriginalResponder {
        // The one before may live on for a moment, in a child that another thread is just starting.
        let listener =
            crate::common::wait_for("the port is free", || TcpListener::bind(address).ok());
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            files: files.iter().map(|path| path.to_path_buf()).collect(),
            times,
            lies: Mutex::default(),
            ending: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let listening = thread::spawn(move || listen(&listener, &theirs));
        OriginalResponder { address, shared, listening: Some(listening) }
    }

    /// From now on the file at `path`, whichever it is, is said to have the number `inode`: so a
    /// file system that gives a number again is had on demand.
    pub fn lie(&self, path: &Path, inode: u64) {
        self.shared.lies.lock().unwrap().insert(path.to_path_buf(), inode);
    }

    /// Closes every connection and goes on listening.
    pub fn hang_up(&self) {
        let connections = std::mem::take(&mut *self.shared.connections.lock().unwrap());
        for (stream, serving) in connections {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
            serving.join().unwrap();
        }
    }
}

impl Drop for OriginalResponder {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
        self.hang_up();
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.ending.load(Ordering::SeqCst) {
            return;
        }
        let (theirs, handle) = (Arc::clone(shared), stream.try_clone().unwrap());
        let serving = thread::spawn(move || {
            // However it ends, the answer is the same: the connection is closed.
            let _ = theirs.serve(&stream);
            let _ = stream.shutdown(Shutdown::Both);
        });
        shared.connections.lock().unwrap().push((handle, serving));
    }
}

impl Shared {
    /// One connection, until it is to be closed.
    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(self.times.request))?;
        let request = read_line(stream)?;
        let mut fields = request.split_ascii_whitespace();
        let path = Path::new(fields.next().unwrap_or_default());
        let inode = fields.next().unwrap_or("0");
        let offset = fields.next().and_then(|text| text.parse().ok()).unwrap_or(0);
        if !inode.bytes().all(|byte| byte.is_ascii_digit()) || !self.files.iter().any(|f| f == path)
        {
            return Ok(());
        }
        let chosen = self.choose(path, inode.parse().unwrap_or(0), offset)?;
        let file = File::open(&chosen.path)?;
        // Endlessly so, after a truncation.
        if chosen.from > file.metadata()?.len() {
            return Ok(());
        }
        stream.write_all(format!("{} {}\n", chosen.letter, chosen.inode).as_bytes())?;
        self.follow(stream, path, &file, &chosen)
    }

    fn choose(&self, path: &Path, inode: u64, offset: u64) -> io::Result<Chosen> {
        let current = self.inode_of(path)?;
        let found = |letter, from| Chosen { letter, path: path.into(), inode: current, from };
        if inode == 0 || inode == current {
            return Ok(found('O', offset));
        }
        for path in rotated(path)? {
            if self.inode_of(&path)? == inode {
                // When it is complete, the next would be right; the current one it is.
                let complete = offset == path.metadata()?.len();
                let rest = Chosen { letter: 'O', path, inode, from: offset };
                return Ok(if complete { found('O', 0) } else { rest });
            }
        }
        Ok(found('L', 0))
    }

    fn follow(
        &self,
        mut stream: &TcpStream,
        path: &Path,
        file: &File,
        chosen: &Chosen,
    ) -> io::Result<()> {
        let mut block = vec![0; BLOCK_BYTES_MAX];
        let mut at = chosen.from;
        let mut idle = 0;
        if at == file.metadata()?.len() {
            stream.write_all(&[ALIVE])?;
        }
        stream.set_read_timeout(Some(self.times.check))?;
        loop {
            let read = file.read_at(&mut block, at)?;
            if read > 0 {
                stream.write_all(&masked(&block[..read]))?;
                at += read as u64;
                idle = 0;
                continue;
            }
            if file.metadata()?.len() < at {
                return Ok(());
            }
            idle += 1;
            if idle >= self.times.idle_checks {
                idle = 0;
                if self.inode_of(path)? != chosen.inode {
                    return Ok(());
                }
                stream.write_all(&[ALIVE])?;
            }
            // The wait until the next look; any byte, or its end, closes the connection.
            match stream.read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return Ok(()),
            }
        }
    }

    fn inode_of(&self, path: &Path) -> io::Result<u64> {
        let real = fs::metadata(path)?.ino();
        Ok(self.lies.lock().unwrap().get(path).copied().unwrap_or(real))
    }
}

/// The files named `PATH.*`, in the order of a glob: by name.
fn rotated(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut stem = path.file_name().unwrap_or_default().to_owned();
    stem.push(".");
    let mut found = Vec::new();
    for entry in fs::read_dir(path.parent().unwrap_or(Path::new("/")))? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(stem.as_encoded_bytes()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn read_line(mut stream: &TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < 4096 {
        stream.read_exact(&mut byte)?;
        if byte == *b"\n" {
            break;
        }
        line.push(byte[0]);
    }
    String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The fetcher's times, in reality 3 s, 3 s, 120 s and 5 s.
#[derive(Clone, Copy, Debug)]
pub struct FetcherTimes {
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Longest wait for the status line.
    pub reply: Duration,
    /// Longest silence after it.
    pub idle: Duration,
    /// From the end of a connection to the next.
    pub reconnect: Duration,
}

impl Default for FetcherTimes {
    fn default() -> FetcherTimes {
        let (second, reconnect) = (Duration::from_secs(1), Duration::from_millis(50));
        FetcherTimes { connect: second, reply: second, idle: 3 * second, reconnect }
    }
}

/// One line of its configuration.
#[derive(Clone, Debug)]
pub struct Line {
    /// Host and port.
    pub address: SocketAddr,
    /// The log on that host.
    pub remote: PathBuf,
    /// The copy.
    pub local: PathBuf,
    /// The pointer file.
    pub pointer: PathBuf,
}

/// `fetch_logs` of fetchlogs 1.1 with one source. Dropping it kills it.
pub struct OriginalFetcher {
    shared: Arc<Fetching>,
    running: Option<JoinHandle<()>>,
}

struct Fetching {
    line: Line,
    times: FetcherTimes,
    ending: AtomicBool,
    connection: Mutex<Option<TcpStream>>,
    received: AtomicU64,
    statuses: Mutex<Vec<String>>,
}

impl OriginalFetcher {
    /// Follows one source.
    pub fn start(line: Line) -> OriginalFetcher {
        OriginalFetcher::start_with(line, FetcherTimes::default())
    }

    /// The same, with times of its own.
    pub fn start_with(line: Line, times: FetcherTimes) -> OriginalFetcher {
        let shared = Arc::new(Fetching {
            line,
            times,
            ending: AtomicBool::new(false),
            connection: Mutex::default(),
            received: AtomicU64::new(0),
            statuses: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let running = thread::spawn(move || {
            while !theirs.ending.load(Ordering::SeqCst) {
                // However a connection ends, and if none was made, the next is tried after a while.
                let _ = theirs.fetch();
                thread::park_timeout(theirs.times.reconnect);
            }
        });
        OriginalFetcher { shared, running: Some(running) }
    }

    /// Bytes of content so far: what its statistics show.
    pub fn received(&self) -> u64 {
        self.shared.received.load(Ordering::SeqCst)
    }

    /// The status lines it took, without line ends.
    pub fn statuses(&self) -> Vec<String> {
        self.shared.statuses.lock().unwrap().clone()
    }
}

impl Drop for OriginalFetcher {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        if let Some(stream) = &*self.shared.connection.lock().unwrap() {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(running) = self.running.take() {
            running.thread().unpark();
            let _ = running.join();
        }
    }
}

impl Fetching {
    /// One connection.
    fn fetch(&self) -> io::Result<()> {
        let Line { address, remote, local, pointer } = &self.line;
        let (known, offset) = match fs::read_to_string(pointer) {
            Ok(text) => {
                let word = text.split_ascii_whitespace().next().unwrap_or("0");
                let word: String = word.chars().take(INODE_TEXT_MAX).collect();
                (word, fs::metadata(local).map_or(0, |metadata| metadata.len()))
            }
            Err(_) => ("0".to_owned(), 0),
        };
        let mut copy = append_to(local)?;
        let mut stream = TcpStream::connect_timeout(address, self.times.connect)?;
        *self.connection.lock().unwrap() = Some(stream.try_clone()?);
        if self.ending.load(Ordering::SeqCst) {
            return Ok(());
        }
        stream.write_all(format!("{} {known} {offset}\n", remote.display()).as_bytes())?;

        stream.set_read_timeout(Some(self.times.reply))?;
        let mut block = vec![0; BLOCK_BYTES_MAX];
        let read = stream.read(&mut block)?;
        let (text, used) = parse_status(&block[..read]).ok_or(io::ErrorKind::InvalidData)?;
        self.statuses.lock().unwrap().push(String::from_utf8_lossy(&block[..used - 1]).into());
        if text != known.as_bytes() {
            fs::rename(local, stamped(local))?;
            File::create(pointer)?.write_all(&[text, b"\n"].concat())?;
            copy = append_to(local)?;
        }
        self.take(&mut copy, &block[used..read])?;
        stream.set_read_timeout(Some(self.times.idle))?;
        loop {
            let read = stream.read(&mut block)?;
            if read == 0 {
                return Ok(());
            }
            self.take(&mut copy, &block[..read])?;
        }
    }

    fn take(&self, copy: &mut File, bytes: &[u8]) -> io::Result<()> {
        let content: Vec<u8> = bytes.iter().copied().filter(|&byte| byte != ALIVE).collect();
        copy.write_all(&content)?;
        self.received.fetch_add(content.len() as u64, Ordering::SeqCst);
        Ok(())
    }
}

/// The text after the letter, and the length of the line. All of it must have come at once.
fn parse_status(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let text = bytes.strip_prefix(b"O ").or_else(|| bytes.strip_prefix(b"L "))?;
    let end = text.iter().position(|&byte| byte == b'\n')?;
    (1..=INODE_TEXT_MAX).contains(&end).then(|| (&text[..end], end + 3))
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// The name of the next archive. The original's stamp counts seconds and overwrites the archive of
/// the same second; times are shorter here, and so is the unit.
fn stamped(local: &Path) -> PathBuf {
    let mut name = OsString::from(local);
    name.push(chrono::Local::now().format(".%Y%m%d%H%M%S%f").to_string());
    name.into()
}
