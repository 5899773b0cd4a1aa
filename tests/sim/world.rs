//! The host that writes the log: its files, on a disk of their own, and the truth of them.
//!
//! Byte `o` of generation `k` is a function of both (in protocol 1 never 0x07, which it can't carry). At one
//! offset any two of many neighbouring generations have different bytes, so a foreign byte is always
//! seen; but with a common beginning, as logs have, the first bytes of all are the same.
//!
//! A *generation* is what one file has from its creation, or from when it was cut, on, as long as it only
//! grows. Where a file becomes an earlier state of itself, or another than it was by a power loss, a new one
//! begins, which *shares* the bytes with the one before that are the same. Generations are kept for ever; what
//! has no name any more can only be read by who has it open. What is done to the files is in [`crate::deeds`].

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fetchlogs::pos::{FileFacts, FileId, Writers};
use fetchlogs::serve::unpacking::Unpacking;
use fetchlogs::sys::logs::{Logs, Stream};
use fetchlogs::sys::unpack::{Format, Unpacker};

use crate::deeds::Step;
use crate::disk::{Disk, NodeNo, Order, name_in};
use crate::host::Host;
use crate::rng::Rng;

pub const LOG: &str = "/var/log/log";

/// Where the host may keep rotated files.
pub const OLD: &str = "/var/log/old";

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
    /// The rest of them: only where protocol 2 is spoken.
    pub host: Host,
}

impl Habits {
    /// Nothing is ever taken away or moved to another file, so what was there once can be found there.
    pub fn is_kept(&self) -> bool {
        let lossy = self.keep.is_some() || self.reuse || self.truncation || self.host.lossy;
        !lossy && self.host.copied == 0 && self.host.packed == 0
    }
}

/// What a file had, from a creation or cut to the next.
#[derive(Debug)]
pub struct Generation {
    /// The how manieth that was begun: what its bytes are like.
    pub serial: usize,
    pub bytes: Vec<u8>,
    /// So many of them were written before it had ended; all if none came too late.
    pub in_time: Option<usize>,
    /// The file that it began in, and the numbers of all that had it.
    pub file: usize,
    pub inodes: BTreeSet<u64>,
    /// The generation that the first so many bytes are from.
    pub shares: Option<(usize, usize)>,
    /// A file ended here that was not all of it: who has so much can't know that there was more.
    pub ends: BTreeSet<usize>,
    /// It was cut or replaced at its own path: who has not seen it by then never hears of it.
    pub overwritten: bool,
    /// A power loss has made it, of what a rotated file had.
    pub remade: bool,
    /// A power loss had undone the rotations behind it: its file was the log again.
    pub again: bool,
    /// A power loss has damaged the file that it was compressed to.
    pub torn: bool,
    /// A power loss has brought its file back: it was told as lost by then, or not.
    pub returned: bool,
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
    /// How many bytes of it.
    pub have: usize,
    /// They are compressed; whether all are there.
    pub packed: Option<bool>,
    pub named: bool,
    pub writers: bool,
    pub birth_ns: u64,
    pub modified_ns: u64,
    /// Since when it is a rotated one.
    pub retired_ns: u64,
}

/// A rotated file and the name it has.
#[derive(Clone, Debug)]
pub struct Slot {
    pub path: PathBuf,
    pub file: usize,
}

#[derive(Debug)]
pub struct World {
    pub habits: Habits,
    pub rng: Rng,
    pub now_ns: u64,
    /// In the order of the files that have them, and in each file in the order of their beginnings.
    pub generations: Vec<Generation>,
    pub files: Vec<LogFile>,
    pub disk: Disk,
    /// The newest first.
    pub rotated: Vec<Slot>,
    /// What is under way, as a rotation is: before the next deed.
    pub steps: VecDeque<Step>,
    /// A state that can be brought back: a generation, and so much of it.
    pub backup: Option<(usize, usize)>,
    pub free_inodes: Vec<u64>,
    /// For the content.
    key: u64,
    /// Some bytes are in no file any more.
    pub gone: bool,
    /// The numbers of files that lost their names: who had nothing of one can't know that it was empty.
    pub vanished: BTreeSet<u64>,
    /// The numbers that were asked for by who had nothing of the file.
    pub asked_blindly: BTreeSet<u64>,
    /// What rotated files are compressed to.
    pub format: Option<Format>,
    /// It has lost power, and whoever ran here is no more.
    pub dead: bool,
    pub rotations: u64,
    pub truncations: u64,
    pub deletions: u64,
    pub powers: u64,
    pub packings: u64,
    pub copies: u64,
    pub restorations: u64,
}

/// For the trace: the generations of all files that have names, each with its inode number, length, birth
/// and last change.
impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (path, &number) in &self.disk.names {
            let (path, file) = (Path::new(path), &self.files[file_of(number)]);
            let name = path.file_name().unwrap_or_default().display();
            let open = if file.writers { "+" } else { "" };
            let packed = file.packed.map_or("", |all| if all { "packed " } else { "packing " });
            write!(f, "{name}={packed}{}({}):{}{open} ", file.generation, file.inode, file.have)?;
            let since = |ns: u64| Duration::from_nanos(ns - BEGINNING_NS).as_secs_f64();
            write!(f, "b{:.6} m{:.6} ", since(file.birth_ns), since(file.modified_ns))?;
        }
        Ok(())
    }
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
            disk: Disk::new(Order::Kept, false),
            format: None,
            rotated: Vec::new(),
            steps: VecDeque::new(),
            backup: None,
            free_inodes: Vec::new(),
            key,
            gone: false,
            vanished: BTreeSet::new(),
            asked_blindly: BTreeSet::new(),
            dead: false,
            rotations: 0,
            truncations: 0,
            deletions: 0,
            powers: 0,
            packings: 0,
            copies: 0,
            restorations: 0,
        };
        world.create();
        world
    }

    fn byte(&self, generation: usize, offset: usize) -> u8 {
        let serial = self.generations[generation].serial as u64;
        let generation = if offset < self.habits.common { 0 } else { serial };
        let mut place = (self.key ^ offset as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        place ^= place >> 29;
        let value = (place.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) + generation * 7;
        if self.habits.host.bells {
            return value as u8;
        }
        let value = (value % 255) as u8;
        if value >= fetchlogs::proto::ALIVE { value + 1 } else { value }
    }

    /// A generation that begins in `file` with the first `shared` bytes of another one. That of a rotated file
    /// comes before those of newer files.
    pub fn begin(&mut self, file: usize, from: Option<(usize, usize)>) -> usize {
        let shares = from.filter(|&(_, shared)| shared > 0);
        let bytes = shares
            .map_or(Vec::new(), |(from, shared)| self.generations[from].bytes[..shared].to_vec());
        let rotated = self.current() != Some(file) && file < self.files.len();
        let number = match from {
            Some((before, _)) if rotated => self.make_room_behind(before),
            _ => self.generations.len(),
        };
        let again = from.is_some_and(|(before, _)| {
            let before = &self.generations[before];
            before.again && before.file == file
        });
        let begun = Generation {
            serial: self.generations.len(),
            bytes,
            in_time: None,
            file,
            inodes: self.files.get(file).map(|file| file.inode).into_iter().collect(),
            shares,
            ends: BTreeSet::new(),
            overwritten: false,
            remade: false,
            again,
            torn: false,
            returned: false,
        };
        self.generations.insert(number, begun);
        number
    }

    /// All behind a generation are counted one up. The number that is free.
    fn make_room_behind(&mut self, before: usize) -> usize {
        let in_files = self.files.iter_mut().map(|file| &mut file.generation);
        let in_shares = self.generations.iter_mut().filter_map(|one| one.shares.as_mut());
        let in_backup = self.backup.as_mut().map(|(from, _)| from);
        let all = in_files.chain(in_shares.map(|(from, _)| from)).chain(in_backup);
        all.filter(|number| **number > before).for_each(|number| *number += 1);
        before + 1
    }

    /// A file of that name and an identity of its own, and no bytes yet of the generation.
    pub fn new_file(&mut self, path: &Path, generation: usize) -> usize {
        let reused = if self.habits.reuse { self.take_free_inode() } else { None };
        let file = self.files.len();
        let number = self.disk.create(path);
        assert_eq!(number_of(file), number);
        let inode = reused.unwrap_or(5000 + file as u64);
        self.generations[generation].inodes.insert(inode);
        self.files.push(LogFile {
            inode,
            generation,
            have: 0,
            packed: None,
            named: true,
            writers: true,
            // So that no two are equal.
            birth_ns: self.now_ns + file as u64,
            modified_ns: self.now_ns + file as u64,
            retired_ns: u64::MAX,
        });
        file
    }

    /// The number that was given back last, by a file that not even a power loss brings back.
    fn take_free_inode(&mut self) -> Option<u64> {
        let is_free = |inode: &u64| {
            let has_it = |&file: &usize| self.files[file].inode == *inode;
            let mut files = (0..self.files.len()).filter(has_it);
            !files.any(|file| self.files[file].named || self.disk.may_come_back(number_of(file)))
        };
        let at = self.free_inodes.iter().rposition(is_free)?;
        Some(self.free_inodes.remove(at))
    }

    pub fn create(&mut self) {
        let generation = self.begin(self.files.len(), None);
        self.new_file(Path::new(LOG), generation);
    }

    /// The first bytes of its generation are written to a file, up to `have`, from where they are not.
    pub fn fill(&mut self, file: usize, have: usize) {
        let LogFile { generation, have: from, .. } = self.files[file];
        let bytes = &self.generations[generation].bytes[from..have];
        self.disk.nodes.get_mut(&number_of(file)).unwrap().write(bytes, from);
        self.files[file].have = have;
        self.touch(file);
    }

    pub fn touch(&mut self, file: usize) {
        self.files[file].modified_ns = self.now_ns.max(self.files[file].birth_ns);
    }

    /// A line of `count` bytes is written to the file. If that has no more all of its generation, another
    /// one begins here.
    pub fn grow(&mut self, file: usize, count: u64) {
        let LogFile { generation, have, .. } = self.files[file];
        let whole = self.generations[generation].bytes.len() == have;
        if !whole {
            self.generations[generation].overwritten = true;
            self.files[file].generation = self.begin(file, Some((generation, have)));
        }
        let number = self.files[file].generation;
        let until = have + count as usize;
        let bytes: Vec<u8> = (have..until).map(|offset| self.byte(number, offset)).collect();
        self.generations[number].bytes.extend(bytes);
        self.fill(file, until);
    }

    pub fn file_at(&self, path: &Path) -> Option<usize> {
        self.disk.names.get(path.as_os_str()).map(|&number| file_of(number))
    }

    /// What can be read from a file.
    pub fn bytes(&self, file: usize) -> &[u8] {
        self.disk.nodes.get(&number_of(file)).map_or(&[], |node| node.bytes())
    }

    /// The file at the path.
    pub fn current(&self) -> Option<usize> {
        self.file_at(Path::new(LOG))
    }

    /// The newest generation by its serial number, and how many bytes of it there are.
    pub fn newest(&self) -> (usize, usize) {
        let newest = &self.generations[self.generations.len() - 1];
        (newest.serial, newest.bytes.len())
    }

    pub fn inode_of(&self, generation: usize) -> u64 {
        self.files[self.generations[generation].file].inode
    }

    /// The files that have names, from the current to the oldest, and their names.
    pub fn paths(&self) -> Vec<(PathBuf, usize)> {
        let current = self.current().map(|file| (PathBuf::from(LOG), file));
        let rotated = self.rotated.iter().map(|slot| (slot.path.clone(), slot.file));
        current.into_iter().chain(rotated).collect()
    }

    /// How many of the first bytes of a generation are the same in another one, since it shares them.
    pub fn shared(&self, one: usize, other: usize) -> usize {
        let (mut older, mut newer) = (one.min(other), one.max(other));
        let mut shared = usize::MAX;
        while older != newer {
            let Some((from, count)) = self.generations[newer].shares else { return 0 };
            shared = shared.min(count);
            (older, newer) = (older.min(from), older.max(from));
        }
        shared.min(self.generations[older].bytes.len())
    }

    /// How many of its first bytes are in some file that has a name.
    pub fn to_be_had(&self, generation: usize) -> usize {
        self.to_be_had_until(generation, usize::MAX)
    }

    /// The same without files that have a generation newer than `last`.
    pub fn to_be_had_until(&self, generation: usize, last: usize) -> usize {
        let named = self.disk.names.values().map(|&number| &self.files[file_of(number)]);
        named
            .filter(|file| file.packed != Some(false) && file.generation <= last)
            .map(|file| file.have.min(self.shared(file.generation, generation)))
            .max()
            .unwrap_or(0)
    }

    /// A host without power answers nobody.
    fn check_alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
    }

    /// Notices whether something was lost by what was just done.
    pub fn take_stock(&mut self) {
        self.gone = self.gone
            || (0..self.generations.len())
                .any(|one| self.to_be_had(one) < self.generations[one].bytes.len());
    }
}

pub fn number_of(file: usize) -> NodeNo {
    file as NodeNo + 1
}

pub fn file_of(number: NodeNo) -> usize {
    number as usize - 1
}

impl Logs for World {
    type File = usize;

    fn open(&self, path: &Path) -> io::Result<usize> {
        self.check_alive()?;
        self.file_at(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn names(&self, dir: &Path, _names_max: usize) -> io::Result<Vec<OsString>> {
        self.check_alive()?;
        let names = self.disk.names.keys().filter_map(|path| name_in(path, dir));
        Ok(names.map(OsString::from).collect())
    }

    fn facts(&self, &number: &usize) -> io::Result<FileFacts> {
        self.check_alive()?;
        let file = &self.files[number];
        let birth_ns = Some(file.birth_ns).filter(|_| !self.habits.host.no_births);
        Ok(FileFacts {
            id: FileId { inode: file.inode, generation: None, birth_ns },
            device: 1,
            size: self.bytes(number).len() as u64,
            modified_ns: file.modified_ns,
            // After a power loss a file may have the name before a rename and that after another one.
            links: self.disk.names.values().filter(|&&node| file_of(node) == number).count() as u64,
            regular: true,
        })
    }

    fn generation(&self, &file: &usize) -> Option<u32> {
        self.habits.host.generations.then_some(file as u32 + 1)
    }

    fn facts_at(&self, path: &Path) -> io::Result<Option<FileFacts>> {
        self.check_alive()?;
        self.file_at(path).map(|file| self.facts(&file)).transpose()
    }

    fn read_at(&self, &file: &usize, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check_alive()?;
        let rest = self.bytes(file).get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn writers(&self, &file: &usize) -> Writers {
        match (self.habits.no_leases, self.files[file].writers) {
            (true, _) => Writers::Unknown,
            (false, true) => Writers::Somebody,
            (false, false) => Writers::Nobody,
        }
    }

    fn wall_ns(&self) -> u64 {
        self.now_ns
    }

    fn stream(&self, &file: &usize) -> io::Result<Stream> {
        self.check_alive()?;
        Ok(Box::new(io::Cursor::new(self.bytes(file).to_vec())))
    }
}

/// What `bytes` are compressed.
pub fn packed(format: Format, bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    match format {
        Format::Gzip => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Format::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        Format::Xz => {
            let options = lzma_rust2::XzOptions::with_preset(0);
            let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Format::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// What is unpacked of `bytes` before a damage is noticed, as whoever serves it does it.
pub fn unpacked(format: Format, bytes: &[u8]) -> Vec<u8> {
    let unpacker = Unpacker::new(format, io::Cursor::new(bytes.to_vec()));
    let mut unpacking = Unpacking::new(unpacker);
    let mut all = Vec::new();
    while unpacking.ending().is_none() {
        unpacking.refill();
        all.extend_from_slice(unpacking.rest());
        unpacking.consume(unpacking.rest().len());
    }
    all
}
