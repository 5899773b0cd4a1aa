//! A log as it really is, and a responder of protocol 1 that serves it: what copies are judged by.
//!
//! Byte `o` of the generation numbered `k` is a function of both, so any byte that is lost, repeated
//! or foreign is found. Every value occurs but 0x07, which protocol 1 can't send.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Byte `at` of generation `number`.
pub fn byte(number: u64, at: u64) -> u8 {
    let mut mixed = (number << 40 | at).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    match (mixed >> 32) as u8 {
        7 => b'\n',
        byte => byte,
    }
}

/// The first `len` bytes of generation `number`.
pub fn content(number: u64, len: u64) -> Vec<u8> {
    (0..len).map(|at| byte(number, at)).collect()
}

struct Generation {
    inode: u64,
    content: Vec<u8>,
    ended: bool,
}

#[derive(Default)]
struct State {
    generations: Vec<Generation>,
    requests: Vec<String>,
    /// Connections of an older epoch close.
    epoch: u64,
    down: bool,
    over: bool,
}

impl State {
    fn begin(&mut self) {
        let inode = 1001 + self.generations.len() as u64;
        self.generations.push(Generation { inode, content: Vec::new(), ended: false });
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A log and its responder. Dropped, it ends.
pub struct Truth {
    shared: Arc<Shared>,
    port: u16,
}

/// Sent this often when there is nothing else to send.
const HEARTBEAT: Duration = Duration::from_millis(30);

impl Truth {
    /// A log with one generation, still empty, of inode 1001; the next have 1002, 1003 ...
    pub fn new() -> Truth {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let truth = Truth { shared: Arc::default(), port };
        truth.change(State::begin);
        let shared = Arc::clone(&truth.shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.state.lock().unwrap().over {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || drop(stream.map(|stream| serve(&shared, stream))));
            }
        });
        truth
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state.lock().unwrap());
        self.shared.changed.notify_all();
    }

    /// Appends `more` bytes.
    pub fn grow(&self, more: u64) {
        self.change(|state| {
            let number = state.generations.len() as u64;
            let current = &mut state.generations.last_mut().unwrap().content;
            let from = current.len() as u64;
            current.extend((from..from + more).map(|at| byte(number, at)));
        });
    }

    /// Appends these bytes.
    pub fn append(&self, bytes: &[u8]) {
        self.change(|state| {
            state.generations.last_mut().unwrap().content.extend_from_slice(bytes);
        });
    }

    /// Ends the generation and begins the next.
    pub fn rotate(&self) {
        self.change(|state| {
            state.generations.last_mut().unwrap().ended = true;
            state.begin();
        });
    }

    /// All generations so far.
    pub fn generations(&self) -> Vec<Vec<u8>> {
        self.shared.state.lock().unwrap().generations.iter().map(|g| g.content.clone()).collect()
    }

    /// The current generation.
    pub fn current(&self) -> Vec<u8> {
        self.generations().pop().unwrap()
    }

    /// Request lines so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.state.lock().unwrap().requests.clone()
    }

    /// Closes every connection in order, as a responder that is stopped and started does.
    pub fn close_all(&self) {
        self.change(|state| state.epoch += 1);
    }

    /// While down, every request is answered by a close, as a forwarder does whose responder is away.
    pub fn set_down(&self, down: bool) {
        self.change(|state| {
            state.down = down;
            state.epoch += 1;
        });
    }
}

impl Drop for Truth {
    fn drop(&mut self) {
        self.change(|state| {
            state.over = true;
            state.epoch += 1;
        });
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// One connection, from the request to the end of the generation.
fn serve(shared: &Shared, mut stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut line = Vec::new();
    let mut byte = [0];
    while byte[0] != b'\n' {
        stream.read_exact(&mut byte).ok()?;
        line.push(byte[0]);
    }
    let line = String::from_utf8(line).ok()?.trim_end().to_owned();
    let mut state = shared.state.lock().unwrap();
    state.requests.push(crate::scripted::plain(&line));
    if state.down {
        return None;
    }
    let epoch = state.epoch;
    let mut fields = line.split(' ').skip(1);
    let inode: u64 = fields.next()?.parse().ok()?;
    let mut offset: usize = fields.next()?.parse().ok()?;
    let last = state.generations.len() - 1;
    let (found, index) = match state.generations.iter().position(|g| g.inode == inode) {
        _ if inode == 0 => (true, last),
        None => (false, last),
        Some(index) => {
            let generation = &state.generations[index];
            if offset > generation.content.len() {
                return None;
            }
            let complete = generation.ended && offset == generation.content.len();
            (true, if complete { index + 1 } else { index })
        }
    };
    if state.generations[index].inode != inode {
        offset = 0;
    }
    let letter = if found { 'O' } else { 'L' };
    let mut piece = format!("{letter} {}\n", state.generations[index].inode).into_bytes();
    loop {
        let generation = &state.generations[index];
        let end = generation.content.len().min(offset + 64 * 1024);
        piece.extend_from_slice(&generation.content[offset..end]);
        offset = end;
        if piece.is_empty() {
            piece.push(7);
        }
        let over = state.epoch != epoch || (generation.ended && offset == generation.content.len());
        drop(state);
        stream.write_all(&piece).ok()?;
        piece.clear();
        if over {
            return stream.shutdown(Shutdown::Both).ok();
        }
        state = shared.state.lock().unwrap();
        if state.generations[index].content.len() == offset && state.epoch == epoch {
            state = shared.changed.wait_timeout(state, HEARTBEAT).unwrap().0;
        }
    }
}
