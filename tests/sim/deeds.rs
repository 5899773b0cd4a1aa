//! What happens to the files of the host: lines, rotations, and what goes wrong.
//!
//! What takes several calls there takes several deeds here, so that others see what is between: a rotation
//! renames one file after the other, a copy or compressed file grows before it is whole.

use std::path::{Path, PathBuf};

use fetchlogs::sys::unpack::Format;

use crate::host::Naming;
use crate::rng::Rng;
use crate::serving::TIMES;
use crate::world::{LOG, LogFile, OLD, Slot, World, file_of, number_of, packed, unpacked};

/// What was done, as far as others have to react at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    Ordinary,
    /// A follower that knows nothing of content is told of it before the file grows again: to it, a file
    /// that was cut and is longer than before at the next look is one that grew.
    Truncated,
}

/// A part of something that is under way.
#[derive(Clone, Debug)]
pub enum Step {
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    /// The log is renamed: it has been rotated.
    Retire {
        to: PathBuf,
    },
    Create,
    /// A copy of the log is begun, and completed.
    Copy {
        to: PathBuf,
    },
    Complete {
        copy: usize,
    },
    /// The log that was copied is emptied.
    Empty,
    /// A plain file is compressed: a part of it, the rest, and the plain one is removed.
    Pack,
    PackRest {
        file: usize,
        rest: Vec<u8>,
        whole: bool,
        modified_ns: u64,
    },
    Remove {
        path: PathBuf,
    },
    /// The oldest are deleted.
    Prune,
}

/// So many are kept where none should be lost: to look at more takes long, and shows nothing.
const ROTATED_MAX: usize = 30;

impl World {
    /// The daemon writes, or somebody rotates. Says what was done.
    pub fn act(&mut self) -> Deed {
        if self.dead {
            return Deed::Ordinary;
        }
        let host = self.habits.host;
        // No two things are done at once.
        self.now_ns += 1000;
        if host.power > 0 && self.rng.hits(2000) {
            self.write_back();
        }
        if self.rng.hits(host.power) {
            self.lose_power();
            return Deed::Ordinary;
        }
        if let Some(step) = self.steps.pop_front() {
            return self.take(step);
        }
        if self.rng.hits(self.habits.rotations) && self.rotated.len() < ROTATED_MAX {
            let times = if self.habits.bursts { self.rng.between(1, 4) } else { 1 };
            for time in 0..times {
                self.rotate();
                while time + 1 < times || self.rng.coin() {
                    let Some(step) = self.steps.pop_front() else { break };
                    self.take(step);
                }
            }
            return Deed::Ordinary;
        }
        let Some(current) = self.current() else {
            self.create();
            return Deed::Ordinary;
        };
        if self.habits.truncation && self.rng.hits(100) {
            self.truncations += 1;
            self.cut(current, 0);
            return Deed::Truncated;
        }
        if self.disturb(current) {
            return Deed::Ordinary;
        }
        self.write(current);
        Deed::Ordinary
    }

    /// A line comes for the log, or for one that was renamed.
    fn write(&mut self, current: usize) {
        let rotated = self.rotated.iter().map(|slot| slot.file);
        let open: Vec<usize> = rotated
            .filter(|&file| self.files[file].writers && self.files[file].packed.is_none())
            .collect();
        if open.is_empty() || self.rng.coin() {
            self.append(current);
            return;
        }
        let file = self.rng.pick(&open);
        let too_late = !self.may_write_late(file);
        if self.rng.hits(3000) || too_late && !self.habits.too_late {
            self.files[file].writers = false;
            return;
        }
        if too_late {
            self.end(file);
        }
        self.append(file);
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

    // ---- rotation ----

    fn dir(&self) -> &'static str {
        if self.habits.host.apart { OLD } else { "/var/log" }
    }

    /// What is to be done for a rotation.
    fn rotate(&mut self) {
        let Some(current) = self.current() else { return self.create() };
        let host = self.habits.host;
        let to = match host.naming {
            Naming::Counter => PathBuf::from(format!("{}/log.1", self.dir())),
            Naming::Stamp => {
                PathBuf::from(format!("{}/log-{}", self.dir(), self.now_ns / 1_000_000_000))
            }
        };
        // As logrotate does it: not twice in a second.
        if host.naming == Naming::Stamp && self.rotated.iter().any(|slot| is_of(&slot.path, &to)) {
            return;
        }
        self.rotations += 1;
        if host.naming == Naming::Counter {
            for slot in self.rotated.iter().rev() {
                let (suffix, count) = (suffix(&slot.path), number_in(&slot.path) + 1);
                let to = PathBuf::from(format!("{}/log.{count}{suffix}", self.dir()));
                self.steps.push_back(Step::Rename { from: slot.path.clone(), to });
            }
        }
        if self.rng.hits(host.copied) && self.files[current].have > 0 {
            self.steps.extend([Step::Copy { to }, Step::Empty]);
        } else {
            self.steps.push_back(Step::Retire { to });
            if self.rng.hits(8000) {
                self.steps.push_back(Step::Create);
            }
        }
        self.steps.push_back(Step::Prune);
        if self.rng.hits(host.packed) {
            self.steps.push_back(Step::Pack);
        }
    }

    pub fn take(&mut self, step: Step) -> Deed {
        // What is later has a later time, in a burst as well.
        self.now_ns += 1000;
        match step {
            Step::Rename { from, to } => {
                self.disk.rename(&from, &to);
                if let Some(slot) = self.rotated.iter_mut().find(|slot| slot.path == from) {
                    slot.path = to;
                }
            }
            Step::Retire { to } => {
                let Some(current) = self.current() else { return Deed::Ordinary };
                self.disk.rename(Path::new(LOG), &to);
                self.files[current].writers = self.habits.late_writers && self.rng.coin();
                self.files[current].retired_ns = self.now_ns;
                self.rotated.insert(0, Slot { path: to, file: current });
            }
            Step::Create => {
                if self.current().is_none() {
                    self.create();
                }
            }
            Step::Copy { to } => self.copy(to),
            Step::Complete { copy } => {
                let LogFile { generation, .. } = self.files[copy];
                let all = self.generations[generation].bytes.len();
                self.fill(copy, all);
                self.files[copy].writers = false;
                self.generations[generation].ends.insert(all);
                if self.habits.host.between && self.rng.coin() {
                    let empty = self.steps.pop_front();
                    self.steps.extend(empty);
                    if let Some(current) = self.current() {
                        self.append(current);
                    }
                }
            }
            Step::Empty => {
                if let Some(current) = self.current() {
                    self.cut(current, 0);
                    return Deed::Truncated;
                }
            }
            Step::Pack => self.pack(),
            Step::PackRest { file, rest, whole, modified_ns } => {
                let at = self.bytes(file).len();
                self.disk.nodes.get_mut(&number_of(file)).unwrap().write(&rest, at);
                // As gzip does it: the generation was changed last then.
                self.files[file].modified_ns = modified_ns;
                self.files[file].packed = Some(whole);
                self.files[file].writers = false;
            }
            Step::Remove { path } => {
                if let Some(file) = self.file_at(&path) {
                    self.unlink(&path, file);
                }
            }
            Step::Prune => self.prune(),
        }
        Deed::Ordinary
    }

    fn copy(&mut self, to: PathBuf) {
        let Some(current) = self.current() else { return };
        let LogFile { generation, have, .. } = self.files[current];
        self.copies += 1;
        let copy = self.new_file(&to, generation);
        let part = self.rng.below(have as u64 + 1) as usize;
        self.fill(copy, part);
        self.rotated.insert(0, Slot { path: to, file: copy });
        self.steps.push_front(Step::Complete { copy });
    }

    /// The file is cut, and another generation begins in it.
    fn cut(&mut self, file: usize, len: usize) {
        let LogFile { generation, .. } = self.files[file];
        self.generations[generation].overwritten = true;
        self.disk.nodes.get_mut(&number_of(file)).unwrap().set_len(len);
        self.files[file].have = len;
        self.files[file].generation = self.begin(file, Some((generation, len)));
        self.touch(file);
        self.take_stock();
    }

    fn prune(&mut self) {
        while self.habits.keep.is_some_and(|keep| self.rotated.len() > keep) {
            let Some(oldest) = self.rotated.pop() else { break };
            self.unlink(&oldest.path, oldest.file);
            self.deletions += 1;
        }
    }

    fn unlink(&mut self, path: &Path, file: usize) {
        self.disk.remove(path);
        self.rotated.retain(|slot| slot.path != path);
        let file = &mut self.files[file];
        (file.named, file.writers) = (false, false);
        self.free_inodes.push(file.inode);
        self.vanished.insert(file.inode);
        self.take_stock();
    }

    // ---- compression ----

    fn pack(&mut self) {
        let newest = usize::from(self.habits.host.delayed);
        let plain = self.rotated.iter().skip(newest).position(|slot| {
            let file = &self.files[slot.file];
            // An honest exception: of compressed files only the last change is known, and a line that came
            // late to one contradicts their names.
            let in_time = file.modified_ns <= file.retired_ns;
            file.packed.is_none() && !file.writers && file.have > 0 && in_time
        });
        let Some(at) = plain.map(|at| at + newest) else { return };
        let plain = self.rotated[at].clone();
        let LogFile { generation, have, modified_ns, .. } = self.files[plain.file];
        let drawn = self.rng.pick(&[
            Format::Gzip,
            Format::Gzip,
            Format::Gzip,
            Format::Zstd,
            Format::Bzip2,
            Format::Xz,
        ]);
        // One host has one program for it.
        let format = *self.format.get_or_insert(drawn);
        let mut bytes = packed(format, self.bytes(plain.file));
        let damaged = self.rng.hits(self.habits.host.damaged);
        if damaged {
            let len = self.rng.below(bytes.len() as u64) as usize;
            bytes.truncate(len);
        }
        self.packings += 1;
        let suffix = Format::SUFFIXES.iter().find(|(_, of)| *of == format).unwrap().0;
        let mut name = plain.path.clone().into_os_string();
        name.push(std::str::from_utf8(suffix).unwrap());
        // What was left in part is replaced.
        if let Some(part) = self.rotated.iter().position(|slot| slot.path.as_os_str() == name) {
            let Slot { path, file } = self.rotated[part].clone();
            self.unlink(&path, file);
        }
        let at = self.rotated.iter().position(|slot| slot.path == plain.path).unwrap();
        let file = self.new_file(Path::new(&name), generation);
        self.files[file].have = have;
        self.files[file].packed = Some(false);
        let rest = bytes.split_off(self.rng.below(bytes.len() as u64 + 1) as usize);
        self.disk.nodes.get_mut(&number_of(file)).unwrap().write(&bytes, 0);
        self.touch(file);
        self.rotated.insert(at + 1, Slot { path: name.into(), file });
        let whole = !damaged;
        self.steps.push_front(Step::Remove { path: plain.path });
        self.steps.push_front(Step::PackRest { file, rest, whole, modified_ns });
    }

    // ---- what goes wrong ----

    /// Something happens to the log that no rotation does. Says whether it did.
    fn disturb(&mut self, current: usize) -> bool {
        let host = self.habits.host;
        let LogFile { generation, have, .. } = self.files[current];
        if self.rng.hits(host.rollback) && have > 0 {
            let len = self.rng.below(have as u64) as usize;
            self.truncations += 1;
            self.cut(current, len);
        } else if self.rng.hits(host.deleted) {
            self.generations[generation].overwritten = true;
            self.deletions += 1;
            self.unlink(Path::new(LOG), current);
        } else if self.rng.hits(host.restored) {
            match self.backup.take() {
                Some((from, _)) if self.shared(from, generation) == 0 => {}
                Some((from, len)) => {
                    self.restorations += 1;
                    self.generations[generation].overwritten = true;
                    self.unlink(Path::new(LOG), current);
                    let begun = self.begin(self.files.len(), Some((from, len)));
                    let file = self.new_file(Path::new(LOG), begun);
                    self.fill(file, len);
                }
                None => self.backup = Some((generation, have)),
            }
        } else {
            return false;
        }
        true
    }

    /// The kernel writes back what it likes.
    fn write_back(&mut self) {
        let mut rng = Rng::new(self.rng.next());
        self.disk.sync_all(false, &mut rng, |_| false);
    }

    /// The host loses power: what its files are by then is seen, and whose.
    pub fn lose_power(&mut self) {
        self.powers += 1;
        self.steps.clear();
        let mut rng = Rng::new(self.rng.next());
        self.disk.lose_power(&mut rng);
        self.dead = true;
        let (named, nameless): (Vec<_>, Vec<_>) =
            (0..self.files.len()).partition(|&file| self.files[file].named);
        for file in &mut self.files {
            (file.named, file.writers) = (false, false);
        }
        let there: Vec<(PathBuf, usize)> = self
            .disk
            .names
            .iter()
            .map(|(path, &number)| (PathBuf::from(path), file_of(number)))
            .collect();
        for (path, file) in &there {
            self.files[*file].named = true;
            self.files[*file].writers = path == Path::new(LOG);
            match Format::of_name(path.as_os_str().as_encoded_bytes()) {
                Some(format) if self.files[*file].packed.is_some() => {
                    self.recognize_packed(*file, format);
                }
                _ => self.recognize(*file),
            }
        }
        for file in nameless.into_iter().filter(|&file| self.files[file].named) {
            let LogFile { generation, .. } = self.files[file];
            self.generations[generation].returned = true;
        }
        // Who has not read it by then finds no trace of a file whose name was not durable.
        for file in named.into_iter().filter(|&file| !self.files[file].named) {
            let LogFile { generation, inode, .. } = self.files[file];
            self.generations[generation].overwritten = true;
            self.vanished.insert(inode);
        }
        self.go_on_anew();
        let mut rotated: Vec<Slot> = there
            .into_iter()
            .filter(|(path, _)| path != Path::new(LOG))
            .map(|(path, file)| Slot { path, file })
            .collect();
        let newest_first = self.habits.host.naming == Naming::Counter;
        rotated.sort_by_key(|slot| match number_in(&slot.path) {
            number if newest_first => number,
            number => u64::MAX - number,
        });
        self.rotated = rotated;
        self.take_stock();
    }

    /// The log may be an older file again than it was. What comes to it then is the newest there is.
    fn go_on_anew(&mut self) {
        let Some(current) = self.current() else { return };
        let LogFile { generation, have, .. } = self.files[current];
        if generation + 1 < self.generations.len() {
            self.generations[generation].overwritten = true;
            let begun = self.begin(current, Some((generation, have)));
            self.generations[begun].again = true;
            self.files[current].generation = begun;
        }
    }

    /// What a file has after a power loss: less of its generation than before, or what never was before.
    fn recognize(&mut self, file: usize) {
        let LogFile { generation, .. } = self.files[file];
        let bytes = self.bytes(file).to_vec();
        let known = &self.generations[generation].bytes;
        let same = known.iter().zip(&bytes).take_while(|(one, other)| one == other).count();
        if same == bytes.len() {
            self.files[file].have = same;
            self.generations[generation].ends.insert(same);
            return;
        }
        self.generations[generation].overwritten = true;
        let is_current = self.current() == Some(file);
        let undone = is_current && generation + 1 < self.generations.len();
        let begun = self.begin(file, Some((generation, same)));
        self.generations[begun].bytes = bytes;
        self.generations[begun].remade = !is_current;
        self.generations[begun].again |= undone;
        self.files[file].generation = begun;
        self.files[file].have = self.generations[begun].bytes.len();
    }

    /// The same of a compressed file. One that is damaged need not be had. Before its decoder notices that it may
    /// give what never was, which nobody can tell from what was.
    fn recognize_packed(&mut self, file: usize, format: Format) {
        let LogFile { generation, packed: whole, have, .. } = self.files[file];
        let known = &self.generations[generation].bytes;
        let intact = whole == Some(true) && packed(format, &known[..have]) == self.bytes(file);
        self.files[file].packed = Some(intact);
        if intact {
            return;
        }
        self.generations[generation].torn = true;
        let bytes = unpacked(format, self.bytes(file));
        let known = &self.generations[generation].bytes;
        let same = known.iter().zip(&bytes).take_while(|(one, other)| one == other).count();
        if same < bytes.len() {
            self.generations[generation].overwritten = true;
            let begun = self.begin(file, Some((generation, same)));
            self.generations[begun].bytes = bytes;
            self.generations[begun].remade = true;
            self.generations[begun].torn = true;
            self.files[file].generation = begun;
            self.files[file].have = self.generations[begun].bytes.len();
        }
    }

    /// From now on only what is needed for everybody to get in step: what was under way is done, whoever
    /// wrote has ended, and there is a log. `last` is written, so that the last generation has something.
    pub fn settle(&mut self, last: u64) {
        while let Some(step) = self.steps.pop_front() {
            self.take(step);
        }
        self.habits.host.power = 0;
        if self.current().is_none() {
            self.create();
        }
        for slot in &self.rotated {
            self.files[slot.file].writers = false;
        }
        if let Some(current) = self.current().filter(|_| last > 0) {
            self.grow(current, last);
        }
    }
}

/// Whether a rotated file has that name, compressed or not.
fn is_of(path: &Path, plain: &Path) -> bool {
    let rest = path.to_str().and_then(|path| path.strip_prefix(plain.to_str()?));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The number in the name of a rotated file.
fn number_in(path: &Path) -> u64 {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.strip_suffix(suffix(path)).unwrap_or(&name);
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// How the name of a compressed file ends.
fn suffix(path: &Path) -> &'static str {
    let name = path.as_os_str().as_encoded_bytes();
    let known = Format::SUFFIXES.iter().find(|(suffix, _)| name.ends_with(suffix));
    known.map_or("", |(suffix, _)| std::str::from_utf8(suffix).unwrap())
}
