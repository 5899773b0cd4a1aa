//! The host that writes the log: files that grow, are rotated, cut and deleted, and the truth of it.
//!
//! Byte `o` of generation `k` is a function of both, and never 0x07, which protocol 1 can't carry. At
//! one offset any two of 255 neighbouring generations have different bytes, so a foreign byte is
//! always seen; but with a common beginning, as logs have, the first bytes of all are the same.
//!
//! A generation is what one file has from its creation, or from its truncation, on. Here files are
//! kept for ever; what has no name any more can only be read by who has it open.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use fetchlogs::pos::{FileFacts, FileId, Writers};
use fetchlogs::sys::logs::Logs;

use crate::rng::Rng;
use crate::serving::TIMES;

pub const LOG: &str = "/var/log/log";

/// Time of the world's beginning, in nanoseconds since 1970.
const BEGINNING_NS: u64 = 1_790_000_000_000_000_000;

/// What may happen to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// So many rotated files are kept; the others are deleted.
    pub keep: Option<usize>,
    /// The number of a deleted file is given to the next one.
    pub reuse: bool,
    /// The log is emptied in place now and then.
    pub truncation: bool,
    /// The writer keeps a renamed file open for a while and writes to it.
    pub late_writers: bool,
    /// Nobody can tell whether somebody has a file open: the linger time has to do.
    pub no_leases: bool,
    /// Several rotations at once.
    pub bursts: bool,
    /// Renamed files are written to even after they have ended: protocol 2 comes back to them.
    pub too_late: bool,
    /// So many bytes at the beginning of all generations are the same.
    pub common: usize,
    /// Rotations in ten thousand deeds.
    pub rotations: u64,
    /// The most that is written at once.
    pub line_max: u64,
}

impl Habits {
    /// Nothing is ever taken away, so what was there once can be found.
    pub fn is_kept(&self) -> bool {
        self.keep.is_none() && !self.reuse && !self.truncation
    }
}

/// What the log had, from a creation or truncation to the next.
#[derive(Debug)]
pub struct Generation {
    pub bytes: Vec<u8>,
    /// So many of them were written before it had ended; all if none came too late.
    pub in_time: Option<usize>,
    pub file: usize,
}

impl Generation {
    /// How many bytes of it have to be had before the next one: those that came in time.
    pub fn due(&self) -> usize {
        self.in_time.unwrap_or(self.bytes.len())
    }
}

#[derive(Debug)]
pub struct LogFile {
    pub inode: u64,
    /// The generation it has now.
    pub generation: usize,
    named: bool,
    writers: bool,
    birth_ns: u64,
    modified_ns: u64,
}

#[derive(Debug)]
pub struct World {
    pub habits: Habits,
    pub rng: Rng,
    pub now_ns: u64,
    pub generations: Vec<Generation>,
    pub files: Vec<LogFile>,
    /// The file at the path; none between a renaming and the next creation.
    current: Option<usize>,
    /// The newest first.
    rotated: Vec<usize>,
    free_inodes: Vec<u64>,
    /// For the content.
    key: u64,
    pub rotations: u64,
    pub truncations: u64,
    pub deletions: u64,
}

/// For the trace: the generations of all files that have names, from the current to the oldest, each
/// with its inode number and length.
impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.current.is_none() {
            f.write_str("none ")?;
        }
        for (_, number) in self.paths() {
            let file = &self.files[number];
            let open = if file.writers { "+" } else { "" };
            let (inode, length) = (file.inode, self.bytes(number).len());
            write!(f, "{}={inode}:{length}{open} ", file.generation)?;
        }
        Ok(())
    }
}

/// What was done, as far as others have to react at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    Ordinary,
    /// A follower is told of it before the file grows again: a file that was cut and is longer than
    /// before at the next look can't be told from one that grew.
    Truncated,
}

impl World {
    pub fn new(habits: Habits, mut rng: Rng) -> World {
        let key = rng.next();
        let mut world = World {
            habits,
            rng,
            now_ns: BEGINNING_NS,
            generations: Vec::new(),
            files: Vec::new(),
            current: None,
            rotated: Vec::new(),
            free_inodes: Vec::new(),
            key,
            rotations: 0,
            truncations: 0,
            deletions: 0,
        };
        world.create();
        world
    }

    fn byte(&self, generation: usize, offset: usize) -> u8 {
        let mut rng = Rng::new(self.key ^ offset as u64);
        let generation = if offset < self.habits.common { 0 } else { generation as u64 };
        let value = ((rng.next() % 255 + generation * 7) % 255) as u8;
        if value >= fetchlogs::proto::ALIVE { value + 1 } else { value }
    }

    fn create(&mut self) {
        let reused = if self.habits.reuse { self.free_inodes.pop() } else { None };
        let inode = reused.unwrap_or(5000 + self.files.len() as u64);
        let file = self.files.len();
        self.generations.push(Generation { bytes: Vec::new(), in_time: None, file });
        self.files.push(LogFile {
            inode,
            generation: self.generations.len() - 1,
            named: true,
            writers: true,
            // So that no two are equal.
            birth_ns: self.now_ns + file as u64,
            modified_ns: self.now_ns + file as u64,
        });
        self.current = Some(file);
    }

    fn grow(&mut self, file: usize, count: u64) {
        let number = self.files[file].generation;
        let from = self.generations[number].bytes.len();
        let bytes: Vec<u8> =
            (from..from + count as usize).map(|offset| self.byte(number, offset)).collect();
        self.generations[number].bytes.extend(bytes);
        self.files[file].modified_ns = self.now_ns.max(self.files[file].birth_ns);
    }

    /// The daemon writes, or somebody rotates. Says what was done.
    pub fn act(&mut self) -> Deed {
        if self.rng.hits(self.habits.rotations) {
            let times = if self.habits.bursts { self.rng.between(1, 4) } else { 1 };
            for _ in 0..times {
                self.rotate();
            }
            return Deed::Ordinary;
        }
        let Some(current) = self.current else {
            self.create();
            return Deed::Ordinary;
        };
        if self.habits.truncation && self.rng.hits(100) {
            self.truncate(current);
            return Deed::Truncated;
        }
        let renamed: Vec<usize> =
            self.rotated.iter().copied().filter(|&file| self.files[file].writers).collect();
        if !renamed.is_empty() && self.rng.coin() {
            let file = self.rng.pick(&renamed);
            let too_late = !self.may_write_late(file);
            if self.habits.too_late && !too_late && self.rng.hits(8000) {
                // Left alone for so long that it has ended for everybody else.
                self.append(current);
                return Deed::Ordinary;
            }
            let closes = if self.habits.too_late { 500 } else { 3000 };
            if self.rng.hits(closes) || too_late && !self.habits.too_late {
                self.files[file].writers = false;
            } else {
                if too_late {
                    self.end(file);
                }
                self.append(file);
            }
        } else {
            self.append(current);
        }
        Deed::Ordinary
    }

    fn append(&mut self, file: usize) {
        let count = self.rng.between(1, self.habits.line_max);
        self.grow(file, count);
    }

    /// A renamed file to which nothing was written for the linger time has ended, whoever has it open:
    /// what is written later is too late, and protocol 1 has no way to come back to it.
    fn may_write_late(&self, file: usize) -> bool {
        let quiet = self.now_ns.saturating_sub(self.files[file].modified_ns);
        u128::from(quiet) < TIMES.linger.as_nanos()
    }

    /// What is written to it from now on is too late.
    fn end(&mut self, file: usize) {
        let generation = &mut self.generations[self.files[file].generation];
        generation.in_time.get_or_insert(generation.bytes.len());
    }

    fn rotate(&mut self) {
        let Some(current) = self.current.take() else { return self.create() };
        self.rotations += 1;
        self.rotated.insert(0, current);
        self.files[current].writers = self.habits.late_writers && self.rng.coin();
        while self.habits.keep.is_some_and(|keep| self.rotated.len() > keep) {
            let Some(oldest) = self.rotated.pop() else { break };
            self.files[oldest].named = false;
            self.files[oldest].writers = false;
            self.free_inodes.push(self.files[oldest].inode);
            self.deletions += 1;
        }
        if self.rng.hits(8000) {
            self.create();
        }
    }

    fn truncate(&mut self, file: usize) {
        self.truncations += 1;
        self.generations.push(Generation { bytes: Vec::new(), in_time: None, file });
        self.files[file].generation = self.generations.len() - 1;
        self.files[file].modified_ns = self.now_ns.max(self.files[file].birth_ns);
    }

    /// From now on only what is needed for everybody to get in step: whoever wrote has ended, and
    /// there is a log. `last` is written, so that the last generation has something.
    pub fn settle(&mut self, last: u64) {
        if self.current.is_none() {
            self.create();
        }
        for &file in &self.rotated {
            self.files[file].writers = false;
        }
        if let Some(current) = self.current.filter(|_| last > 0) {
            self.grow(current, last);
        }
    }

    fn file_at(&self, path: &Path) -> Option<usize> {
        if path == Path::new(LOG) {
            return self.current;
        }
        let name = path.to_str()?.strip_prefix(LOG)?.strip_prefix('.')?;
        self.rotated.get(name.parse::<usize>().ok()?.checked_sub(1)?).copied()
    }

    pub fn bytes(&self, file: usize) -> &[u8] {
        &self.generations[self.files[file].generation].bytes
    }

    /// The file at the path.
    pub fn current(&self) -> Option<usize> {
        self.current
    }

    /// The newest generation, and how many bytes of it there are.
    pub fn newest(&self) -> (usize, usize) {
        let newest = self.generations.len() - 1;
        (newest, self.generations[newest].bytes.len())
    }

    pub fn inode_of(&self, generation: usize) -> u64 {
        self.files[self.generations[generation].file].inode
    }

    /// The files that have names, from the current to the oldest, and their names.
    pub fn paths(&self) -> Vec<(PathBuf, usize)> {
        let rotated = self.rotated.iter().enumerate();
        let rotated = rotated.map(|(at, &file)| (PathBuf::from(format!("{LOG}.{}", at + 1)), file));
        self.current.map(|file| (PathBuf::from(LOG), file)).into_iter().chain(rotated).collect()
    }
}

impl Logs for World {
    type File = usize;

    fn open(&self, path: &Path) -> io::Result<usize> {
        self.file_at(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn names(&self, _dir: &Path, _names_max: usize) -> io::Result<Vec<OsString>> {
        let paths = self.paths().into_iter();
        Ok(paths.filter_map(|(path, _)| path.file_name().map(OsString::from)).collect())
    }

    fn facts(&self, &number: &usize) -> io::Result<FileFacts> {
        let file = &self.files[number];
        Ok(FileFacts {
            id: FileId { inode: file.inode, generation: None, birth_ns: Some(file.birth_ns) },
            device: 1,
            size: self.bytes(number).len() as u64,
            modified_ns: file.modified_ns,
            links: u64::from(file.named),
            regular: true,
        })
    }

    fn generation(&self, _: &usize) -> Option<u32> {
        None
    }

    fn facts_at(&self, path: &Path) -> io::Result<Option<FileFacts>> {
        self.file_at(path).map(|file| self.facts(&file)).transpose()
    }

    fn read_at(&self, &file: &usize, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.bytes(file).get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn wall_ns(&self) -> u64 {
        self.now_ns
    }

    fn writers(&self, &file: &usize) -> Writers {
        match (self.habits.no_leases, self.files[file].writers) {
            (true, _) => Writers::Unknown,
            (false, true) => Writers::Somebody,
            (false, false) => Writers::Nobody,
        }
    }
}
