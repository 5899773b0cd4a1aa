//! What is fuzzed: each target takes any bytes and panics where an invariant does not hold.
//!
//! A target is a plain function, so that two can call it: `tests/corpora`, which replays what is kept in
//! the tree, and `fuzz/`, where libFuzzer looks for more. Nothing here reads a clock, a file or a number
//! drawn by chance: an input does the same whenever and wherever it is tried.

use std::time::Instant;

mod agent;
mod asked;
mod checked;
mod configs;
mod fetcher;
mod globs;
mod heard;
mod manifest;
mod memfs;
pub mod memory;
mod names;
mod pointer;
mod responder;
mod unpack;

/// A target.
pub struct Target {
    /// What it and its corpus are called.
    pub name: &'static str,
    /// Asserts what has to hold for these bytes.
    run: fn(&[u8]),
    /// The most memory that is taken at once: so much, and so much for each byte of the input.
    memory_max: (usize, usize),
}

/// Longest input that is tried, in bytes: the longest line of the protocol, and something behind it.
pub const LEN_MAX: usize = 4400;

/// What parses one line or a few takes copies of it, and no more.
const LINES: (usize, usize) = (32 << 10, 64);

/// Buffers of a fixed size come to that.
const BUFFERS: (usize, usize) = (600 << 10, 64);

/// All that a responder said, and what the cores keep of it.
const WORLDS: (usize, usize) = (4 << 20, 4 << 10);

/// The most that xz may have, and buffers.
const DECODERS: (usize, usize) = (84 << 20, 0);

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "agent", run: agent::target, memory_max: BUFFERS },
    Target { name: "asked", run: asked::target, memory_max: LINES },
    Target { name: "fetch_conf", run: configs::fetch, memory_max: BUFFERS },
    Target { name: "fetcher", run: fetcher::target, memory_max: WORLDS },
    Target { name: "globs", run: globs::target, memory_max: LINES },
    Target { name: "heard", run: heard::target, memory_max: LINES },
    Target { name: "manifest", run: manifest::target, memory_max: BUFFERS },
    Target { name: "names", run: names::target, memory_max: LINES },
    Target { name: "pointer", run: pointer::target, memory_max: LINES },
    Target { name: "responder", run: responder::target, memory_max: WORLDS },
    Target { name: "serve_conf", run: configs::serve, memory_max: BUFFERS },
    Target { name: "unpack", run: unpack::target, memory_max: DECODERS },
];

impl Target {
    /// The target of that name.
    pub fn named(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Asserts all that has to hold for these bytes.
    pub fn check(&self, data: &[u8]) {
        let (fixed, each) = self.memory_max;
        let most = memory::most_while(|| (self.run)(data));
        let allowed = fixed + each * data.len();
        assert!(most <= allowed, "{most} bytes of memory for {}, {allowed} allowed", data.len());
    }
}

/// A time for cores that want one; the same within a process, so an input does the same each time.
pub fn some_time() -> Instant {
    static TIME: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *TIME
}

/// The sizes of pieces that a stream is cut into; the same for the same bytes.
pub struct Cuts {
    state: u32,
    piece_max: usize,
}

impl Cuts {
    /// Drawn from the bytes themselves, so that an input can be read and written by hand.
    pub fn of(data: &[u8]) -> Cuts {
        let seed = data.iter().fold(0x811c_9dc5, |hash: u32, &byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        Cuts { state: seed | 1, piece_max: [3, 17, 200][seed as usize % 3] }
    }

    /// A number.
    pub fn number(&mut self) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        self.state as usize
    }

    /// The next piece of what is left; not empty unless nothing is left.
    pub fn next<'a>(&mut self, rest: &mut &'a [u8]) -> &'a [u8] {
        let len = 1 + self.number() % self.piece_max;
        let (piece, behind) = rest.split_at(len.min(rest.len()));
        *rest = behind;
        piece
    }
}

/// How a stream is given to whoever takes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Split {
    Whole,
    Bytes,
    Pieces,
}

impl Split {
    pub const ALL: [Split; 3] = [Split::Whole, Split::Bytes, Split::Pieces];

    /// Gives all of `data` to `take`, piece by piece, until it says that it wants no more.
    pub fn feed(self, data: &[u8], mut take: impl FnMut(&[u8]) -> bool) {
        let mut cuts = Cuts::of(data);
        let mut rest = data;
        while !rest.is_empty() {
            let piece = match self {
                Split::Whole => std::mem::take(&mut rest),
                Split::Bytes => rest.split_off(..1).unwrap_or_default(),
                Split::Pieces => cuts.next(&mut rest),
            };
            if !take(piece) {
                return;
            }
        }
    }
}

/// A fault is told to an operator: it has to be one short line of printable ASCII.
pub fn check_fault(fault: &dyn std::fmt::Display) {
    let text = fault.to_string();
    assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
    assert!(text.len() <= 600, "{} characters: {text}", text.len());
}
