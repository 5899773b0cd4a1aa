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
//! changes to a directory since its last sync a prefix survives, or any subset in strict mode. What
//! was synced without an error is never lost: that is all that a program may build on.
//!
//! A failure is told once to each who has the file open, and once to the whole file system, whoever
//! asks: see [`Node::errors`] and [`Disk::error`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fetchlogs::pos::FileId;
use fetchlogs::sys::fs::dir_of;

use crate::rng::Rng;

pub const BLOCK: usize = 16;

/// The number of a file in order of creation; never used again, unlike its inode number.
pub type NodeNo = u64;

#[derive(Clone, Debug)]
pub struct Node {
    pub id: FileId,
    pub volatile: Vec<u8>,
    pub durable: Vec<u8>,
    dirty: BTreeSet<usize>,
    stale: BTreeSet<usize>,
    /// The shortest it was since the last sync: what the disk has behind that may read as zeros.
    shortest: usize,
    /// What the cache has dropped, and whether it may drop more.
    forgotten: BTreeMap<usize, Vec<u8>>,
    forgetful: bool,
    /// How often blocks of it could not be written.
    pub errors: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Set(PathBuf, NodeNo),
    Remove(PathBuf),
    Move(PathBuf, PathBuf, NodeNo),
}

#[derive(Debug, Default)]
pub struct Disk {
    pub nodes: BTreeMap<NodeNo, Node>,
    /// What each name is, as a program sees it.
    pub names: BTreeMap<PathBuf, NodeNo>,
    durable_names: BTreeMap<PathBuf, NodeNo>,
    changes: Vec<Change>,
    /// Something could not be written since the whole was last synced.
    pub error: bool,
    created: NodeNo,
    /// Any subset of the changes of a directory may survive, not only a prefix.
    strict: bool,
    /// Inode numbers are given again.
    reuse: bool,
}

fn blocks(from: usize, to: usize) -> std::ops::Range<usize> {
    from / BLOCK..to.div_ceil(BLOCK)
}

impl Node {
    pub fn write(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        let from = at.min(self.volatile.len());
        if self.volatile.len() < end {
            self.volatile.resize(end, 0);
        }
        self.volatile[at..end].copy_from_slice(bytes);
        for block in blocks(from, end) {
            self.dirty.insert(block);
            self.stale.remove(&block);
            if let Some(known) = self.forgotten.get_mut(&block) {
                let first = (block * BLOCK).max(at);
                let last = (block * BLOCK + known.len()).min(end);
                if first < last {
                    known[first - block * BLOCK..last - block * BLOCK]
                        .copy_from_slice(&bytes[first - at..last - at]);
                }
            }
        }
    }

    pub fn set_len(&mut self, len: usize) {
        self.shortest = self.shortest.min(len);
        let before = self.volatile.len();
        self.volatile.resize(len, 0);
        self.dirty.retain(|&block| block * BLOCK < len);
        self.stale.retain(|&block| block * BLOCK < len);
        self.forgotten.retain(|&block, _| block * BLOCK < len);
        if len > before {
            self.dirty.extend(blocks(before, len));
        }
    }

    /// The durable bytes of a block, as long as the volatile ones are; zeros where there are none.
    fn old_block(&self, block: usize) -> Vec<u8> {
        let (from, to) = (block * BLOCK, ((block + 1) * BLOCK).min(self.volatile.len()));
        let known = self.shortest.min(self.durable.len());
        (from..to).map(|at| if at < known { self.durable[at] } else { 0 }).collect()
    }

    /// Copies what is dirty, which is all but what an earlier failure made stale.
    pub fn sync(&mut self) {
        let mut next = self.volatile.clone();
        for &block in &self.stale {
            let old = self.old_block(block);
            next[block * BLOCK..][..old.len()].copy_from_slice(&old);
        }
        self.dirty.clear();
        self.shortest = next.len();
        self.durable = next;
    }

    /// Some dirty blocks are copied, all are clean, and the length may be the old one.
    pub fn fail_sync(&mut self, rng: &mut Rng) {
        self.errors += 1;
        self.forgetful = true;
        let lost: Vec<usize> = self.dirty.iter().copied().filter(|_| rng.coin()).collect();
        let (len, shortest) = (self.durable.len(), self.shortest);
        self.stale.extend(lost);
        self.sync();
        if rng.coin() && len < self.durable.len() {
            self.durable.truncate(len);
            self.shortest = shortest.min(len);
            // What lies behind the old length is not there yet; its blocks are clean all the same.
            self.stale.extend(blocks(len, self.volatile.len()));
        }
    }

    /// The cache drops stale blocks: what the disk has is read from now on.
    pub fn forget_stale(&mut self, rng: &mut Rng) {
        let forgetful = self.forgetful;
        let dropped: Vec<usize> =
            self.stale.iter().copied().filter(|_| forgetful && rng.coin()).collect();
        for block in dropped {
            let old = self.old_block(block);
            let place = &mut self.volatile[block * BLOCK..][..old.len()];
            self.forgotten.insert(block, place.to_vec());
            place.copy_from_slice(&old);
            self.stale.remove(&block);
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
                self.stale.insert(block);
                self.dirty.remove(&block);
            }
        }
    }

    fn lose_power(&mut self, rng: &mut Rng) {
        let (old, new) = (self.durable.len(), self.volatile.len());
        let len = match rng.below(4) {
            0 => old,
            1 => new,
            _ => rng.between(old.min(new) as u64, old.max(new) as u64) as usize,
        };
        let newest = rng.pick(&[0, 5000, 10_000]);
        let mut left = vec![0; len];
        for block in 0..len.div_ceil(BLOCK) {
            let clean = !self.dirty.contains(&block) && !self.stale.contains(&block);
            let as_new = clean || !self.stale.contains(&block) && rng.hits(newest);
            let zero = !clean && rng.hits(1000);
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
        self.durable = left.clone();
        self.volatile = left;
        self.shortest = len;
        self.dirty.clear();
        self.stale.clear();
    }
}

impl Disk {
    pub fn new(strict: bool, reuse: bool) -> Disk {
        Disk { strict, reuse, ..Disk::default() }
    }

    pub fn create(&mut self, path: &Path) -> NodeNo {
        self.created += 1;
        let number = self.created;
        let inode = if self.reuse { self.free_inode() } else { 1000 + number };
        let id =
            FileId { inode, generation: Some(number as u32), birth_ns: Some(number * 4_000_000) };
        let node = Node {
            id,
            volatile: Vec::new(),
            durable: Vec::new(),
            dirty: BTreeSet::new(),
            stale: BTreeSet::new(),
            shortest: 0,
            forgotten: BTreeMap::new(),
            forgetful: false,
            errors: 0,
        };
        self.nodes.insert(number, node);
        self.names.insert(path.to_path_buf(), number);
        self.changes.push(Change::Set(path.to_path_buf(), number));
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
        self.changes.push(Change::Remove(path.to_path_buf()));
        self.names.remove(path).is_some()
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> bool {
        let Some(number) = self.names.remove(from) else { return false };
        self.names.insert(to.to_path_buf(), number);
        self.changes.push(Change::Move(from.to_path_buf(), to.to_path_buf(), number));
        true
    }

    pub fn sync_dir(&mut self, dir: &Path) {
        let (done, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.changes)
            .into_iter()
            .partition(|one| dir_of(one.path()) == dir);
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
        left_out: impl Fn(&Path) -> bool,
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

    /// What is in memory is gone.
    pub fn lose_power(&mut self, rng: &mut Rng) {
        let mut by_dir: BTreeMap<PathBuf, Vec<Change>> = BTreeMap::new();
        for change in std::mem::take(&mut self.changes) {
            by_dir.entry(dir_of(change.path()).to_path_buf()).or_default().push(change);
        }
        for changes in by_dir.into_values() {
            let prefix = rng.below(changes.len() as u64 + 1) as usize;
            for (at, change) in changes.into_iter().enumerate() {
                if if self.strict { rng.coin() } else { at < prefix } {
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
        self.nodes.get(self.names.get(path)?)
    }
}

impl Change {
    fn path(&self) -> &Path {
        match self {
            Change::Set(path, _) | Change::Remove(path) | Change::Move(path, ..) => path,
        }
    }
}
