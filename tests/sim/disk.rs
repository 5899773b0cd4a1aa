//! A disk with a cache in front of it: what a program sees, and what is left after a power loss.
//!
//! Every file has a *volatile* content, which all calls work on, and a *durable* one. A block of 16
//! bytes that was written is dirty until a sync copies it. A failed sync marks dirty blocks clean and
//! copies only some of them: the others are *stale*, and no later sync touches them until they are
//! written again; the cache may also drop them, and then the old content is read. Names change at
//! once; in what order and whether they reach the disk before a `sync_dir` is open.
//!
//! After a power loss a file has any length between the durable and the volatile one, and each block
//! is the durable one or, unless it is stale, the volatile one; what neither has is zero. Of the
//! changes of names since the last sync a prefix survives, for each directory or for all together, or any
//! subset: see [`Order`]. What was synced without an error is never lost: that is all that a program may build on.
//!
//! A failure is told once to each who has the file open, and once to the whole file system, whoever
//! asks: see [`Node::errors`] and [`Disk::error`].

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use fetchlogs::pos::FileId;
use fetchlogs::proto::digest::Whole;
use fetchlogs::sys::fs::dir_of;

use crate::rng::Rng;

pub const BLOCK: usize = 16;

/// The number of a file in order of creation; never used again, unlike its inode number.
pub type NodeNo = u64;

/// What the cache has to do about a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    Clean,
    Dirty,
    /// Clean, as the kernel believes.
    Stale,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub id: FileId,
    volatile: Vec<u8>,
    durable: Vec<u8>,
    /// Of each block of the volatile content.
    marks: Vec<Mark>,
    /// Whether any block is not clean; how many are stale.
    touched: bool,
    stale: usize,
    /// The shortest it was since the last sync: what the disk has behind that may read as zeros.
    shortest: usize,
    /// What the cache has dropped, and whether it may drop more.
    forgotten: BTreeMap<usize, Vec<u8>>,
    forgetful: bool,
    /// How often blocks of it could not be written.
    pub errors: u64,
    /// Of the volatile content, since it was changed last.
    digest: OnceCell<Whole>,
}

#[derive(Clone, Debug)]
enum Change {
    Set(OsString, NodeNo),
    Remove(OsString),
    Move(OsString, OsString, NodeNo),
}

/// Which changes of names survive a power loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// None without all before it, as ext4, XFS and btrfs do it. Programs of hosts rely on that.
    #[default]
    Kept,
    /// None without all before it in its directory.
    InDirectory,
    /// Any.
    Any,
}

/// Names are full paths as bytes, since paths are slow to compare.
#[derive(Debug, Default)]
pub struct Disk {
    pub nodes: BTreeMap<NodeNo, Node>,
    /// What each name is, as a program sees it.
    pub names: BTreeMap<OsString, NodeNo>,
    durable_names: BTreeMap<OsString, NodeNo>,
    changes: Vec<Change>,
    /// Something could not be written since the whole was last synced.
    pub error: bool,
    created: NodeNo,
    order: Order,
    /// Inode numbers are given again.
    reuse: bool,
}

fn blocks(from: usize, to: usize) -> std::ops::Range<usize> {
    from / BLOCK..to.div_ceil(BLOCK)
}

/// The name in `dir` that a full path is, if it is in no directory below.
pub fn name_in<'a>(path: &'a OsStr, dir: &Path) -> Option<&'a OsStr> {
    let rest = path.as_bytes().strip_prefix(dir.as_os_str().as_bytes())?;
    let name = rest.strip_prefix(b"/")?;
    (!name.contains(&b'/')).then(|| OsStr::from_bytes(name))
}

impl Node {
    fn new(id: FileId) -> Node {
        Node {
            id,
            volatile: Vec::new(),
            durable: Vec::new(),
            marks: Vec::new(),
            touched: false,
            stale: 0,
            shortest: 0,
            forgotten: BTreeMap::new(),
            forgetful: false,
            errors: 0,
            digest: OnceCell::new(),
        }
    }

    /// What a program reads.
    pub fn bytes(&self) -> &[u8] {
        &self.volatile
    }

    /// The digest of that.
    pub fn whole(&self) -> Whole {
        *self.digest.get_or_init(|| Whole::of(&self.volatile))
    }

    fn mark(&mut self, block: usize, mark: Mark) {
        let old = std::mem::replace(&mut self.marks[block], mark);
        self.touched |= mark != Mark::Clean;
        self.stale += usize::from(mark == Mark::Stale);
        self.stale -= usize::from(old == Mark::Stale);
    }

    /// The length of the volatile content changes; new blocks are dirty.
    fn resize(&mut self, len: usize) {
        let before = self.volatile.len();
        self.volatile.resize(len, 0);
        let count = len.div_ceil(BLOCK);
        if count < self.marks.len() {
            self.stale -= self.marks[count..].iter().filter(|&&mark| mark == Mark::Stale).count();
        }
        self.marks.resize(count, Mark::Dirty);
        for block in blocks(before.min(len), len) {
            if self.marks[block] == Mark::Clean {
                self.mark(block, Mark::Dirty);
            }
        }
        self.touched = true;
    }

    pub fn write(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        let from = at.min(self.volatile.len());
        self.digest.take();
        if self.volatile.len() < end {
            self.resize(end);
        }
        for block in blocks(from, end) {
            self.mark(block, Mark::Dirty);
            if let Some(known) = self.forgotten.get_mut(&block) {
                let first = (block * BLOCK).max(at);
                let last = (block * BLOCK + known.len()).min(end);
                // What is only written back as it was read is still not what the cache has dropped.
                for place in first..last {
                    if self.volatile[place] != bytes[place - at] {
                        known[place - block * BLOCK] = bytes[place - at];
                    }
                }
            }
        }
        self.volatile[at..end].copy_from_slice(bytes);
    }

    pub fn set_len(&mut self, len: usize) {
        self.digest.take();
        self.shortest = self.shortest.min(len);
        self.resize(len);
        self.forgotten.retain(|&block, _| block * BLOCK < len);
    }

    /// The durable bytes of a block, as long as the volatile ones are; zeros where there are none.
    fn old_block(&self, block: usize) -> Vec<u8> {
        let (from, to) = (block * BLOCK, ((block + 1) * BLOCK).min(self.volatile.len()));
        let known = self.shortest.min(self.durable.len());
        (from..to).map(|at| if at < known { self.durable[at] } else { 0 }).collect()
    }

    fn marked(&self, wanted: Mark) -> Vec<usize> {
        let marks = self.marks.iter().enumerate();
        marks.filter(|&(_, &mark)| mark == wanted).map(|(block, _)| block).collect()
    }

    /// Copies what is dirty, which is all but what an earlier failure made stale.
    pub fn sync(&mut self) {
        if !self.touched && self.durable.len() == self.volatile.len() {
            return;
        }
        let stale = if self.stale > 0 { self.marked(Mark::Stale) } else { Vec::new() };
        let old: Vec<Vec<u8>> = stale.iter().map(|&block| self.old_block(block)).collect();
        self.durable.clone_from(&self.volatile);
        for (block, old) in stale.iter().zip(old) {
            self.durable[block * BLOCK..][..old.len()].copy_from_slice(&old);
        }
        for mark in self.marks.iter_mut().filter(|mark| **mark == Mark::Dirty) {
            *mark = Mark::Clean;
        }
        self.touched = self.stale > 0;
        self.shortest = self.durable.len();
    }

    /// Some dirty blocks are copied, all are clean, and the length may be the old one.
    pub fn fail_sync(&mut self, rng: &mut Rng) {
        self.errors += 1;
        self.forgetful = true;
        let (len, shortest) = (self.durable.len(), self.shortest);
        for block in self.marked(Mark::Dirty) {
            if rng.coin() {
                self.mark(block, Mark::Stale);
            }
        }
        self.sync();
        if rng.coin() && len < self.durable.len() {
            self.durable.truncate(len);
            self.shortest = shortest.min(len);
            // What lies behind the old length is not there yet; its blocks are clean all the same.
            for block in blocks(len, self.volatile.len()) {
                self.mark(block, Mark::Stale);
            }
        }
    }

    /// The cache drops stale blocks: what the disk has is read from now on.
    pub fn forget_stale(&mut self, rng: &mut Rng) {
        if !self.forgetful || self.stale == 0 {
            return;
        }
        for block in self.marked(Mark::Stale) {
            if !rng.coin() {
                continue;
            }
            let old = self.old_block(block);
            let place = &mut self.volatile[block * BLOCK..][..old.len()];
            self.forgotten.insert(block, place.to_vec());
            place.copy_from_slice(&old);
            self.mark(block, Mark::Clean);
            self.digest.take();
        }
    }

    /// As if the cache had dropped nothing, and it drops nothing more.
    pub fn remember(&mut self) {
        self.forgetful = false;
        for (block, bytes) in std::mem::take(&mut self.forgotten) {
            let from = block * BLOCK;
            let Some(rest) = self.volatile.get_mut(from..) else { continue };
            let len = bytes.len().min(rest.len());
            let place = &mut rest[..len];
            if place != &bytes[..len] {
                place.copy_from_slice(&bytes[..len]);
                self.mark(block, Mark::Stale);
                self.digest.take();
            }
        }
    }

    fn lose_power(&mut self, rng: &mut Rng) {
        let (old, new) = (self.durable.len(), self.volatile.len());
        if !self.touched && old == new {
            self.forgotten.clear();
            return;
        }
        let len = match rng.below(4) {
            0 => old,
            1 => new,
            _ => rng.between(old.min(new) as u64, old.max(new) as u64) as usize,
        };
        let newest = rng.pick(&[0, 5000, 10_000]);
        let mut left = vec![0; len];
        for block in 0..len.div_ceil(BLOCK) {
            let mark = self.marks.get(block).copied().unwrap_or(Mark::Clean);
            let as_new = mark == Mark::Clean || mark == Mark::Dirty && rng.hits(newest);
            let zero = mark != Mark::Clean && rng.hits(1000);
            #[allow(clippy::needless_range_loop)] // The place in all three files counts.
            for at in block * BLOCK..((block + 1) * BLOCK).min(len) {
                let durable = self.durable.get(at).copied();
                left[at] = match (self.volatile.get(at), durable) {
                    (Some(&byte), _) if as_new => byte,
                    // Its blocks were freed, and perhaps given back empty.
                    (_, Some(_)) if at >= self.shortest && zero => 0,
                    (_, durable) => durable.unwrap_or(0),
                };
            }
        }
        *self = Node { errors: self.errors, ..Node::new(self.id) };
        self.marks = vec![Mark::Clean; len.div_ceil(BLOCK)];
        self.shortest = len;
        self.durable.clone_from(&left);
        self.volatile = left;
    }
}

impl Disk {
    pub fn new(order: Order, reuse: bool) -> Disk {
        Disk { order, reuse, ..Disk::default() }
    }

    pub fn create(&mut self, path: &Path) -> NodeNo {
        self.created += 1;
        let number = self.created;
        let inode = if self.reuse { self.free_inode() } else { 1000 + number };
        let id =
            FileId { inode, generation: Some(number as u32), birth_ns: Some(number * 4_000_000) };
        self.nodes.insert(number, Node::new(id));
        self.names.insert(path.into(), number);
        self.changes.push(Change::Set(path.into(), number));
        number
    }

    /// As ext4 does it: the lowest number that no file has.
    fn free_inode(&self) -> u64 {
        let named: BTreeSet<NodeNo> = self.names.values().copied().collect();
        let taken: BTreeSet<u64> = self
            .nodes
            .iter()
            .filter(|(number, _)| named.contains(number))
            .map(|(_, node)| node.id.inode)
            .collect();
        (1000..).find(|inode| !taken.contains(inode)).unwrap_or_default()
    }

    pub fn remove(&mut self, path: &Path) -> bool {
        self.changes.push(Change::Remove(path.into()));
        self.names.remove(path.as_os_str()).is_some()
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> bool {
        let Some(number) = self.names.remove(from.as_os_str()) else { return false };
        self.names.insert(to.into(), number);
        self.changes.push(Change::Move(from.into(), to.into(), number));
        true
    }

    pub fn sync_dir(&mut self, dir: &Path) {
        let (done, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.changes)
            .into_iter()
            .partition(|one| name_in(one.path(), dir).is_some());
        self.changes = left;
        for change in done {
            self.settle(change);
        }
    }

    /// Makes all names durable, and all files but those for which `left_out` holds. If it fails, some
    /// of that is done, and each file may have blocks that are clean and were not written.
    pub fn sync_all(
        &mut self,
        fails: bool,
        rng: &mut Rng,
        left_out: impl Fn(&OsStr) -> bool,
    ) -> bool {
        let left_out: BTreeSet<NodeNo> = self
            .names
            .iter()
            .filter(|(path, _)| left_out(path))
            .map(|(_, &number)| number)
            .collect();
        for (_, node) in self.nodes.iter_mut().filter(|(number, _)| !left_out.contains(number)) {
            match if fails { rng.below(3) } else { 0 } {
                0 => node.sync(),
                1 => node.fail_sync(rng),
                _ => {}
            }
        }
        if !fails {
            for change in std::mem::take(&mut self.changes) {
                self.settle(change);
            }
        }
        !std::mem::take(&mut self.error) && !fails
    }

    fn settle(&mut self, change: Change) {
        match change {
            Change::Set(path, number) => drop(self.durable_names.insert(path, number)),
            Change::Remove(path) => drop(self.durable_names.remove(&path)),
            Change::Move(from, to, number) => {
                if self.durable_names.get(&from) == Some(&number) {
                    self.durable_names.remove(&from);
                }
                self.durable_names.insert(to, number);
            }
        }
    }

    /// Whether a file may have a name after a power loss.
    pub fn may_come_back(&self, number: NodeNo) -> bool {
        let named = |change: &Change| match change {
            Change::Set(_, named) | Change::Move(_, _, named) => *named == number,
            Change::Remove(_) => false,
        };
        self.durable_names.values().any(|&named| named == number) || self.changes.iter().any(named)
    }

    /// What is in memory is gone.
    pub fn lose_power(&mut self, rng: &mut Rng) {
        let mut by_dir: BTreeMap<OsString, Vec<Change>> = BTreeMap::new();
        for change in std::mem::take(&mut self.changes) {
            let dir = match self.order {
                Order::Kept => OsString::new(),
                Order::InDirectory | Order::Any => dir_of(Path::new(change.path())).into(),
            };
            by_dir.entry(dir).or_default().push(change);
        }
        for changes in by_dir.into_values() {
            let prefix = rng.below(changes.len() as u64 + 1) as usize;
            for (at, change) in changes.into_iter().enumerate() {
                if if self.order == Order::Any { rng.coin() } else { at < prefix } {
                    self.settle(change);
                }
            }
        }
        self.error = false;
        self.names = self.durable_names.clone();
        let named: BTreeSet<NodeNo> = self.names.values().copied().collect();
        self.nodes.retain(|number, _| named.contains(number));
        for node in self.nodes.values_mut() {
            node.lose_power(rng);
        }
    }

    pub fn at(&self, path: &Path) -> Option<&Node> {
        self.nodes.get(self.names.get(path.as_os_str())?)
    }
}

impl Change {
    fn path(&self) -> &OsStr {
        match self {
            Change::Set(path, _) | Change::Remove(path) | Change::Move(path, ..) => path,
        }
    }
}
