//! A file system in memory, as small as can be, whose calls may be made to fail.
//!
//! It is not there to try power losses, which `tests/sim` does, but to be quick and to hold what a target
//! wants to look at. The process may be killed: from then on each call fails and does nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fetchlogs::pos::{FileFacts, FileId, Share, Space};
use fetchlogs::sys::fs::{Fs, Volume, dir_of};

/// The number of a file, which no other gets.
pub type Number = usize;

#[derive(Debug, Default)]
pub struct Held {
    pub files: Vec<Vec<u8>>,
    pub names: BTreeMap<PathBuf, Number>,
    /// Calls until the process is killed, and until one fails.
    pub kill_in: Option<u32>,
    pub fail_in: Option<u32>,
    life: u32,
    killed: bool,
}

#[derive(Clone, Debug, Default)]
pub struct MemFs(Arc<Mutex<Held>>);

#[derive(Debug)]
pub struct MemFile {
    number: Number,
    life: u32,
}

impl MemFs {
    /// One file of that content.
    pub fn with(path: &Path, content: &[u8]) -> MemFs {
        let fs = MemFs::default();
        let mut held = fs.held();
        held.files.push(content.to_vec());
        held.names.insert(path.to_path_buf(), 0);
        drop(held);
        fs
    }

    /// For looks that are no calls.
    pub fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a name has.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let held = self.held();
        held.names.get(path).map(|&number| held.files[number].clone())
    }

    pub fn is_killed(&self) -> bool {
        self.held().killed
    }

    /// The next process: what the one before has open is of no use any more.
    pub fn begin_life(&self) {
        let mut held = self.held();
        held.life += 1;
        (held.killed, held.kill_in, held.fail_in) = (false, None, None);
    }

    fn enter(&self) -> io::Result<MutexGuard<'_, Held>> {
        let mut held = self.held();
        if let Some(left) = &mut held.kill_in {
            *left = left.saturating_sub(1);
            held.killed |= held.kill_in == Some(0);
        }
        if held.killed {
            return Err(io::Error::other("killed"));
        }
        if let Some(left) = &mut held.fail_in {
            *left = left.saturating_sub(1);
            if *left == 0 {
                held.fail_in = None;
                return Err(io::Error::other("a call fails"));
            }
        }
        Ok(held)
    }

    fn enter_file(&self, file: &MemFile) -> io::Result<MutexGuard<'_, Held>> {
        let held = self.enter()?;
        assert_eq!(file.life, held.life, "a file of another life is used");
        Ok(held)
    }
}

impl Held {
    fn found(&self, path: &Path) -> io::Result<Number> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn facts(&self, number: Number) -> FileFacts {
        let id = FileId {
            inode: 1000 + number as u64,
            generation: Some(number as u32),
            birth_ns: Some(number as u64),
        };
        let size = self.files[number].len() as u64;
        FileFacts { id, device: 1, size, modified_ns: 0, links: 1, regular: true }
    }
}

impl Fs for MemFs {
    type File = MemFile;
    type Lock = ();

    fn lock(&self, _: &Path) -> io::Result<()> {
        self.enter().map(drop)
    }

    fn make_dir(&self, _: &Path) -> io::Result<()> {
        drop(self.enter()?);
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.enter().map(drop)
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        let share = Share { free: 1 << 40, all: 1 << 40 };
        Ok(Space { device: 1, bytes: share, files: share, network: None })
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let held = self.enter()?;
        let paths = held.names.keys().filter(|path| dir_of(path) == dir);
        Ok(paths.filter_map(|path| path.file_name()).map(OsString::from).collect())
    }

    fn open(&self, path: &Path) -> io::Result<MemFile> {
        let held = self.enter()?;
        Ok(MemFile { number: held.found(path)?, life: held.life })
    }

    fn create_new(&self, path: &Path) -> io::Result<MemFile> {
        let mut held = self.enter()?;
        if held.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let number = held.files.len();
        held.files.push(Vec::new());
        held.names.insert(path.to_path_buf(), number);
        Ok(MemFile { number, life: held.life })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut held = self.enter()?;
        held.names.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut held = self.enter()?;
        let number = held.found(from)?;
        held.names.remove(from);
        held.names.insert(to.to_path_buf(), number);
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.held().names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.rename(from, to)
    }

    fn facts(&self, file: &MemFile) -> io::Result<FileFacts> {
        Ok(self.enter_file(file)?.facts(file.number))
    }

    fn len(&self, file: &MemFile) -> io::Result<u64> {
        Ok(self.enter_file(file)?.files[file.number].len() as u64)
    }

    fn facts_at(&self, path: &Path) -> io::Result<Option<FileFacts>> {
        let held = self.enter()?;
        let facts = held.names.get(path).map(|&number| held.facts(number));
        // Of a name the kernel does not tell the generation.
        Ok(facts.map(|facts| FileFacts { id: FileId { generation: None, ..facts.id }, ..facts }))
    }

    fn read_at(&self, file: &MemFile, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let held = self.enter_file(file)?;
        let rest = held.files[file.number].get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, file: &MemFile, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut held = self.enter_file(file)?;
        // A kill in the middle of a write leaves a part of it.
        let part = if held.kill_in == Some(1) { bytes.len() / 2 } else { bytes.len() };
        let content = &mut held.files[file.number];
        let (at, end) = (offset as usize, offset as usize + part);
        if content.len() < end {
            content.resize(end, 0);
        }
        content[at..end].copy_from_slice(&bytes[..part]);
        Ok(part)
    }

    fn set_len(&self, file: &MemFile, len: u64) -> io::Result<()> {
        self.enter_file(file)?.files[file.number].resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self, file: &MemFile) -> io::Result<()> {
        self.enter_file(file).map(drop)
    }

    fn volume(&self, _: &Path) -> Option<Volume> {
        None
    }

    fn write_out(&self, files: &[&MemFile]) -> Vec<io::Result<()>> {
        files.iter().map(|file| self.sync_data(file)).collect()
    }

    fn sync_volume(&self, _: Volume) -> io::Result<()> {
        self.enter().map(drop)
    }

    fn boot_id(&self) -> io::Result<String> {
        Ok("boot".to_owned())
    }
}
