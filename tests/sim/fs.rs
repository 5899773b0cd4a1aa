//! The file system under the fetcher: a [`Disk`] whose every call may be the last.
//!
//! Before each call the process may be killed or the machine lose power. A life that has ended so is
//! dead: each further call of it fails and does nothing, until its owner notices and throws all of it
//! away. Apart from that, calls fail: disks are full for a while, syncs and anything else give EIO,
//! reads and writes are interrupted or short. Which of these happen, and how often, the seed draws.
//!
//! A job runs with a [`SimFs::while_calling`] file system: before each of its calls the rest of the
//! world goes on, so data arrives while the disk is busy.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fetchlogs::fetch::manifest::manifest_path;
use fetchlogs::fetch::pointer::scratch_path;
use fetchlogs::pos::{FileFacts, FileId, Share, Space};
use fetchlogs::sys::fs::{Fs, Volume};

use crate::disk::{Disk, Node, NodeNo, name_in};
use crate::mutants::{Last, Mutant};
use crate::rng::Rng;

/// Chances in ten thousand, each before or in one call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chances {
    pub kill: u64,
    pub power: u64,
    /// A sync of a file fails.
    pub sync: u64,
    /// Before a read the cache drops what a failed sync left unwritten.
    pub evict: u64,
    /// Any call fails with EIO, without effect.
    pub any: u64,
    /// The disk is full from here on, for up to 40 calls.
    pub full: u64,
    /// A read or write is short or interrupted.
    pub short: u64,
    /// Somebody makes a file of the name that an archive gets, just before it gets it.
    pub foreign: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Death {
    Kill,
    Power,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub calls: u64,
    pub kills: u64,
    pub powers: u64,
    pub sync_errors: u64,
    pub errors: u64,
    pub full: u64,
}

impl Counts {
    pub fn add(&mut self, one: &Counts) {
        self.calls += one.calls;
        self.kills += one.kills;
        self.powers += one.powers;
        self.sync_errors += one.sync_errors;
        self.errors += one.errors;
        self.full += one.full;
    }
}

/// What all handles of one simulation share.
#[derive(Debug)]
pub struct Shared {
    pub disk: Disk,
    pub rng: Rng,
    pub chances: Chances,
    pub death: Option<Death>,
    pub counts: Counts,
    pub mutant: Option<Mutant>,
    pub trace: bool,
    sources: Vec<Names>,
    /// Of each source.
    last: Vec<Last>,
    /// Files that somebody made, and under which names they have to be.
    pub foreign: BTreeSet<NodeNo>,
    pub foreign_names: BTreeMap<OsString, NodeNo>,
    life: u64,
    boot: u64,
    full_until: u64,
    locks: BTreeMap<PathBuf, u64>,
}

/// What a source has on the disk.
#[derive(Clone, Debug)]
pub struct Names {
    pub copy: PathBuf,
    pub pointer: PathBuf,
}

type Meanwhile = Arc<dyn Fn() + Send + Sync>;

#[derive(Clone)]
pub struct SimFs {
    shared: Arc<Mutex<Shared>>,
    /// Whose calls these are.
    source: usize,
    names: Names,
    meanwhile: Option<Meanwhile>,
}

impl std::fmt::Debug for SimFs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimFs")
    }
}

#[derive(Debug)]
pub struct SimFile {
    node: NodeNo,
    path: PathBuf,
    life: u64,
    /// Errors of the file that this one was told of.
    told: AtomicU64,
}

#[derive(Debug)]
pub struct SimLock {
    shared: Arc<Mutex<Shared>>,
    path: PathBuf,
    life: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.locks.get(&self.path) == Some(&self.life) {
            shared.locks.remove(&self.path);
        }
    }
}

/// The number of the only one there is.
const DEVICE: u64 = 1;

fn io_error() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

impl SimFs {
    /// For the first of `sources`.
    pub fn new(disk: Disk, rng: Rng, sources: Vec<Names>) -> SimFs {
        let names = sources[0].clone();
        let shared = Shared {
            disk,
            rng,
            chances: Chances::default(),
            death: None,
            counts: Counts::default(),
            mutant: None,
            trace: false,
            last: vec![Last::Nothing; sources.len()],
            sources,
            foreign: BTreeSet::new(),
            foreign_names: BTreeMap::new(),
            life: 0,
            boot: 1,
            full_until: 0,
            locks: BTreeMap::new(),
        };
        SimFs { shared: Arc::new(Mutex::new(shared)), source: 0, names, meanwhile: None }
    }

    /// The same for another source.
    pub fn of(&self, source: usize) -> SimFs {
        let names = self.inner().sources[source].clone();
        SimFs { source, names, ..self.clone() }
    }

    /// The same, where the world goes on before each call.
    pub fn while_calling(&self, meanwhile: Meanwhile) -> SimFs {
        SimFs { meanwhile: Some(meanwhile), ..self.clone() }
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    /// For the simulation itself: looks and deeds that are no calls of the fetcher.
    pub fn inner(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    /// The process is gone, and its memory with it; the machine too, if it lost power.
    pub fn end_life(&self) -> Option<Death> {
        let mut shared = self.inner();
        let shared = &mut *shared;
        let death = shared.death.take();
        shared.life += 1;
        shared.locks.clear();
        shared.last.fill(Last::Nothing);
        // An honest exception: when a process ends between a failed sync and the comparison that
        // would show which pages the cache has dropped since, nothing tells the next process of it.
        shared.disk.nodes.values_mut().for_each(Node::remember);
        if death == Some(Death::Power) {
            shared.disk.lose_power(&mut shared.rng);
            shared.foreign_names.clear();
            shared.boot += u64::from(shared.mutant != Some(Mutant::BootStays));
        }
        death
    }

    fn enter(&self, call: &str, path: &Path) -> io::Result<MutexGuard<'_, Shared>> {
        if let Some(meanwhile) = &self.meanwhile {
            meanwhile();
        }
        let mut shared = self.inner();
        shared.counts.calls += 1;
        let chances = shared.chances;
        if shared.death.is_none() && shared.rng.hits(chances.kill) {
            shared.die(Death::Kill);
        }
        if shared.death.is_none() && shared.rng.hits(chances.power) {
            shared.die(Death::Power);
        }
        if let Some(death) = shared.death {
            shared.say(|| format!("{call} {}: {death:?}", path.display()));
            return Err(io::Error::other("this life has ended"));
        }
        if shared.rng.hits(chances.any) {
            shared.counts.errors += 1;
            shared.say(|| format!("{call} {}: EIO", path.display()));
            return Err(io_error());
        }
        shared.say(|| format!("{call} {}", path.display()));
        Ok(shared)
    }

    fn enter_file(&self, call: &str, file: &SimFile) -> io::Result<MutexGuard<'_, Shared>> {
        let shared = self.enter(call, &file.path)?;
        assert_eq!(file.life, shared.life, "a file of another life is used");
        Ok(shared)
    }
}

impl Shared {
    fn die(&mut self, death: Death) {
        self.death = Some(death);
        match death {
            Death::Kill => self.counts.kills += 1,
            Death::Power => self.counts.powers += 1,
        }
    }

    /// No call fails from here on.
    pub fn calm(&mut self) {
        self.chances = Chances::default();
        self.full_until = 0;
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("    fs {:6} {}", self.counts.calls, what());
        }
    }

    /// A call that needs room: fails while the disk is full.
    fn need_room(&mut self) -> io::Result<()> {
        if self.counts.calls >= self.full_until {
            let chance = self.chances.full;
            if !self.rng.hits(chance) {
                return Ok(());
            }
            self.full_until = self.counts.calls + self.rng.between(1, 40);
        }
        self.counts.full += 1;
        self.say(|| "  ENOSPC".to_owned());
        Err(io::Error::from_raw_os_error(libc::ENOSPC))
    }

    /// How much of `len` bytes is done at once.
    fn part(&mut self, len: usize) -> io::Result<usize> {
        if len == 0 || !self.rng.hits(self.chances.short) {
            return Ok(len);
        }
        match self.rng.below(len as u64 + 1) as usize {
            0 => Err(io::ErrorKind::Interrupted.into()),
            part => Ok(part),
        }
    }

    fn facts_of(&self, number: NodeNo, with_generation: bool) -> FileFacts {
        let node = &self.disk.nodes[&number];
        let generation = node.id.generation.filter(|_| with_generation);
        FileFacts {
            id: FileId { generation, ..node.id },
            device: DEVICE,
            size: node.bytes().len() as u64,
            modified_ns: 0,
            links: 1,
            regular: true,
        }
    }

    fn found(&self, path: &Path) -> io::Result<NodeNo> {
        self.disk.names.get(path.as_os_str()).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn opened(&self, node: NodeNo, path: &Path) -> SimFile {
        let told = AtomicU64::new(self.disk.nodes[&node].errors);
        SimFile { node, path: path.to_path_buf(), life: self.life, told }
    }

    /// Whether this file could not be written since it was opened or that was last told; it is told now.
    fn tells_error(&mut self, file: &SimFile) -> bool {
        let errors = self.disk.nodes[&file.node].errors;
        file.told.swap(errors, Ordering::SeqCst) < errors
    }

    fn fail_sync(&mut self, file: &SimFile) {
        let node = self.disk.nodes.get_mut(&file.node).unwrap();
        node.fail_sync(&mut self.rng);
        self.disk.error = true;
        self.counts.sync_errors += 1;
        self.say(|| "  EIO".to_owned());
    }

    /// Whether the mutant of this run leaves the file at `path` out when it is synced.
    fn leaves_out(&self, path: &OsStr) -> bool {
        let path = Path::new(path);
        let is_copy = || self.sources.iter().any(|names| names.copy == path);
        let is_scratch = || self.sources.iter().any(|names| scratch_path(&names.pointer) == path);
        let is_manifest = || self.sources.iter().any(|names| manifest_path(&names.pointer) == path);
        self.skips(Mutant::ScratchNotSynced) && is_scratch()
            || self.skips(Mutant::CopyNotSynced) && is_copy()
            || self.skips(Mutant::ManifestNotSynced) && is_manifest()
    }

    /// Whether a call is left out by the mutant of this run.
    fn skips(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

impl Fs for SimFs {
    type File = SimFile;
    type Lock = SimLock;

    fn lock(&self, path: &Path) -> io::Result<SimLock> {
        let mut shared = self.enter("lock", path)?;
        if shared.locks.contains_key(path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let life = shared.life;
        shared.locks.insert(path.to_path_buf(), life);
        drop(shared);
        Ok(SimLock { shared: Arc::clone(&self.shared), path: path.to_path_buf(), life })
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        drop(self.enter("make_dir", dir)?);
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut shared = self.enter("sync_dir", dir)?;
        if shared.mutant.is_some_and(|mutant| mutant.skips_sync_dir(shared.last[self.source])) {
            return Ok(());
        }
        shared.disk.sync_dir(dir);
        Ok(())
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let shared = self.enter("names", dir)?;
        let names = shared.disk.names.keys().filter_map(|path| name_in(path, dir));
        Ok(names.map(OsString::from).collect())
    }

    fn open(&self, path: &Path) -> io::Result<SimFile> {
        let shared = self.enter("open", path)?;
        let node = shared.found(path)?;
        Ok(shared.opened(node, path))
    }

    fn create_new(&self, path: &Path) -> io::Result<SimFile> {
        let mut shared = self.enter("create_new", path)?;
        if shared.disk.names.contains_key(path.as_os_str()) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        shared.need_room()?;
        let node = shared.disk.create(path);
        if path == self.names.copy {
            shared.last[self.source] = Last::CreatedCopy;
        } else if path == scratch_path(&self.names.pointer) {
            shared.last[self.source] = Last::CreatedScratch;
        }
        Ok(shared.opened(node, path))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut shared = self.enter("remove", path)?;
        shared.found(path)?;
        shared.disk.remove(path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut shared = self.enter("rename", from)?;
        shared.found(from)?;
        shared.disk.rename(from, to);
        if to == self.names.pointer {
            shared.last[self.source] = Last::RenamedPointer;
        }
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut shared = self.enter("rename_new", to)?;
        shared.found(from)?;
        let chance = shared.chances.foreign;
        if !shared.disk.names.contains_key(to.as_os_str()) && shared.rng.hits(chance) {
            let node = shared.disk.create(to);
            shared.foreign.insert(node);
            shared.foreign_names.insert(to.into(), node);
        }
        if shared.disk.names.contains_key(to.as_os_str()) && !shared.skips(Mutant::ArchiveReplaced)
        {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        shared.disk.rename(from, to);
        shared.last[self.source] = Last::Archived;
        Ok(())
    }

    fn facts(&self, file: &SimFile) -> io::Result<FileFacts> {
        Ok(self.enter_file("facts", file)?.facts_of(file.node, true))
    }

    fn len(&self, file: &SimFile) -> io::Result<u64> {
        Ok(self.enter_file("len", file)?.facts_of(file.node, false).size)
    }

    fn facts_at(&self, path: &Path) -> io::Result<Option<FileFacts>> {
        let shared = self.enter("facts_at", path)?;
        Ok(shared.disk.names.get(path.as_os_str()).map(|&number| shared.facts_of(number, false)))
    }

    fn read_at(&self, file: &SimFile, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut shared = self.enter_file("read_at", file)?;
        let part = shared.part(buf.len())?;
        let shared = &mut *shared;
        let node = shared.disk.nodes.get_mut(&file.node).unwrap();
        if shared.rng.hits(shared.chances.evict) {
            node.forget_stale(&mut shared.rng);
        }
        let rest = node.bytes().get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(part);
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, file: &SimFile, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut shared = self.enter_file("write_at", file)?;
        shared.need_room()?;
        let part = shared.part(bytes.len())?;
        let mut at = offset as usize;
        let of_copy = file.path == self.names.copy;
        let appending = shared.skips(Mutant::Appending);
        let no_rewrite = shared.skips(Mutant::NotWrittenAgain);
        let node = shared.disk.nodes.get_mut(&file.node).unwrap();
        if of_copy && no_rewrite && at < node.bytes().len() {
            return Ok(part);
        }
        if of_copy && appending {
            at = node.bytes().len();
        }
        node.write(&bytes[..part], at);
        let shared = &mut *shared;
        shared.say(|| format!("  {part} at {at}"));
        if shared.rng.hits(shared.chances.kill) {
            shared.die(Death::Kill);
        }
        Ok(part)
    }

    fn set_len(&self, file: &SimFile, len: u64) -> io::Result<()> {
        let mut shared = self.enter_file("set_len", file)?;
        shared.say(|| format!("  to {len}"));
        if !shared.skips(Mutant::NotCut) {
            shared.disk.nodes.get_mut(&file.node).unwrap().set_len(len as usize);
        }
        Ok(())
    }

    fn sync_data(&self, file: &SimFile) -> io::Result<()> {
        let mut shared = self.enter_file("sync_data", file)?;
        if shared.leaves_out(file.path.as_os_str()) {
            return Ok(());
        }
        let chance = shared.chances.sync;
        if shared.rng.hits(chance) {
            shared.fail_sync(file);
        } else {
            shared.disk.nodes.get_mut(&file.node).unwrap().sync();
        }
        let ignored = shared.skips(Mutant::SyncErrorsIgnored);
        if shared.tells_error(file) && !ignored { Err(io_error()) } else { Ok(()) }
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        let share = Share { free: 1 << 40, all: 1 << 40 };
        Ok(Space { device: DEVICE, bytes: share, files: share, network: None })
    }

    fn volume(&self, _: &Path) -> Option<Volume> {
        Some(Volume { device: DEVICE, failures: 0 })
    }

    fn write_out(&self, files: &[&SimFile]) -> Vec<io::Result<()>> {
        let write_out = |file: &&SimFile| {
            let mut shared = self.enter_file("write_out", file)?;
            let chance = shared.chances.sync / 2;
            if shared.rng.hits(chance) {
                shared.fail_sync(file);
                // Sometimes only who asks is told, and the file system as a whole knows nothing.
                let unknown = shared.rng.coin();
                shared.disk.error &= !unknown;
            }
            let ignored = shared.skips(Mutant::WriteErrorsIgnored);
            if shared.tells_error(file) && !ignored { Err(io_error()) } else { Ok(()) }
        };
        files.iter().map(write_out).collect()
    }

    fn sync_volume(&self, _: Volume) -> io::Result<()> {
        let mut shared = self.enter("sync_volume", Path::new("/"))?;
        let shared = &mut *shared;
        if shared.mutant.is_some_and(|mutant| mutant.skips_sync_all(shared.last[self.source])) {
            return Ok(());
        }
        let fails = shared.rng.hits(shared.chances.sync);
        let mut disk = std::mem::take(&mut shared.disk);
        let mut rng = Rng::new(shared.rng.next());
        let synced = disk.sync_all(fails, &mut rng, |path| shared.leaves_out(path));
        shared.disk = disk;
        if synced {
            return Ok(());
        }
        shared.counts.sync_errors += 1;
        shared.say(|| "  EIO".to_owned());
        if shared.skips(Mutant::SyncErrorsIgnored) { Ok(()) } else { Err(io_error()) }
    }

    fn boot_id(&self) -> io::Result<String> {
        Ok(format!("boot-{}", self.inner().boot))
    }
}
