//! The responder's view of log files: read-only by its type.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::clock;
use super::linux::{beneath, identity, lease};
use crate::pos::{FileFacts, Writers};

/// Files as a responder sees them. There is no call that changes anything.
pub trait Logs {
    /// An open file; closed when dropped.
    type File: fmt::Debug + Send + 'static;

    /// Opens a regular file. A link anywhere in the path, a directory, a FIFO and so on are refused.
    fn open(&self, path: &Path) -> io::Result<Self::File>;
    /// The names in a directory, in no order; an error if there are more than `names_max`, since a
    /// part of them would hide the others.
    fn names(&self, dir: &Path, names_max: usize) -> io::Result<Vec<OsString>>;
    /// What is known of an open file, but for the inode's generation.
    fn facts(&self, file: &Self::File) -> io::Result<FileFacts>;
    /// The inode's generation, where the file system has one.
    fn generation(&self, file: &Self::File) -> Option<u32>;
    /// What is known of a name, a link not followed. `None`: no such name.
    fn facts_at(&self, path: &Path) -> io::Result<Option<FileFacts>>;
    /// Reads at most `buf.len()` bytes at `offset`; 0 at the end.
    fn read_at(&self, file: &Self::File, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Whether somebody has the file open for writing.
    fn writers(&self, file: &Self::File) -> Writers;
    /// The content of a file from its beginning, to be read in order by whoever unpacks it. An error
    /// where as many are read as may be at once, or files can't be read so.
    fn stream(&self, _file: &Self::File) -> io::Result<Stream> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Wall time in nanoseconds since 1970, by the clock that times of change are told by.
    fn wall_ns(&self) -> u64;
    /// An error if nobody waits any more for what is being done.
    fn check_wanted(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The content of a file from its beginning.
pub type Stream = Box<dyn Read + Send>;

/// Streams at once. A decoder needs up to 128 MiB, so with these and no more the memory is bounded; and
/// those who wait ask again.
const STREAMS_MAX: usize = 8;

/// A file that is read in order. It counts as long as it lives.
#[derive(Debug)]
struct Reading {
    file: File,
    at: u64,
    streams: Arc<AtomicUsize>,
}

impl Reading {
    fn new(file: &File, streams: &Arc<AtomicUsize>) -> io::Result<Reading> {
        let file = file.try_clone()?;
        let reading = Reading { file, at: 0, streams: Arc::clone(streams) };
        if streams.fetch_add(1, Ordering::Relaxed) < STREAMS_MAX {
            Ok(reading)
        } else {
            let message = format!("{STREAMS_MAX} compressed files are being read");
            Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Read for Reading {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = read_at(&self.file, buf, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// No byte of a file has an offset beyond this, and a read that would end there is refused as a whole
/// (pread(2), EINVAL), even where the file ends before.
const OFFSET_MAX: u64 = i64::MAX as u64;

fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let room = usize::try_from(OFFSET_MAX.saturating_sub(offset)).unwrap_or(usize::MAX);
    let len = buf.len().min(room);
    if len == 0 { Ok(0) } else { file.read_at(&mut buf[..len], offset) }
}

/// The kernel's files, opened from the root directory without following links.
#[derive(Debug)]
pub struct DiskLogs {
    root: OwnedFd,
    streams: Arc<AtomicUsize>,
}

impl DiskLogs {
    /// Holds the root directory open.
    pub fn new() -> io::Result<DiskLogs> {
        Ok(DiskLogs { root: beneath::open_root()?, streams: Arc::default() })
    }

    /// `path` with the links in its directory followed, as they are now. A directory that does not
    /// exist yet is taken as written, below the part that does.
    pub fn resolve(path: &Path) -> PathBuf {
        let Some(dir) = path.parent() else { return path.to_path_buf() };
        let name = path.file_name().unwrap_or_default();
        match dir.canonicalize() {
            Ok(dir) => dir.join(name),
            Err(_) if dir.parent().is_some() => DiskLogs::resolve(dir).join(name),
            Err(_) => path.to_path_buf(),
        }
    }
}

impl Logs for DiskLogs {
    type File = File;

    fn open(&self, path: &Path) -> io::Result<File> {
        let file = beneath::open(&self.root, path)?;
        if file.metadata()?.file_type().is_file() {
            Ok(file)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
        }
    }

    fn names(&self, dir: &Path, names_max: usize) -> io::Result<Vec<OsString>> {
        beneath::names(&self.root, dir, names_max)
    }

    fn facts(&self, file: &File) -> io::Result<FileFacts> {
        Ok(identity::facts_of(&file.metadata()?))
    }

    fn generation(&self, file: &File) -> Option<u32> {
        identity::inode_generation(file)
    }

    fn facts_at(&self, path: &Path) -> io::Result<Option<FileFacts>> {
        let metadata = beneath::metadata(&self.root, path)?;
        Ok(metadata.map(|metadata| identity::facts_of(&metadata)))
    }

    fn read_at(&self, file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        read_at(file, buf, offset)
    }

    fn writers(&self, file: &File) -> Writers {
        lease::writers(file)
    }

    fn stream(&self, file: &File) -> io::Result<Stream> {
        Ok(Box::new(Reading::new(file, &self.streams)?))
    }

    fn wall_ns(&self) -> u64 {
        clock::wall_ns()
    }
}

/// The same files for work that may be called off: once `stop` is set no file is opened or read.
#[derive(Debug)]
pub struct Stoppable<'a, L> {
    /// The files.
    pub logs: &'a L,
    /// Nobody waits for the work any more.
    pub stop: &'a AtomicBool,
}

impl<L: Logs> Logs for Stoppable<'_, L> {
    type File = L::File;

    fn open(&self, path: &Path) -> io::Result<L::File> {
        self.check_wanted()?;
        self.logs.open(path)
    }

    fn names(&self, dir: &Path, names_max: usize) -> io::Result<Vec<OsString>> {
        self.check_wanted()?;
        self.logs.names(dir, names_max)
    }

    fn facts(&self, file: &L::File) -> io::Result<FileFacts> {
        self.logs.facts(file)
    }

    fn generation(&self, file: &L::File) -> Option<u32> {
        self.logs.generation(file)
    }

    fn facts_at(&self, path: &Path) -> io::Result<Option<FileFacts>> {
        self.logs.facts_at(path)
    }

    fn read_at(&self, file: &L::File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check_wanted()?;
        self.logs.read_at(file, buf, offset)
    }

    fn writers(&self, file: &L::File) -> Writers {
        self.logs.writers(file)
    }

    /// What is read of it later is not called off by this.
    fn stream(&self, file: &L::File) -> io::Result<Stream> {
        self.check_wanted()?;
        self.logs.stream(file)
    }

    fn wall_ns(&self) -> u64 {
        self.logs.wall_ns()
    }

    fn check_wanted(&self) -> io::Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(io::Error::other("nobody waits for it any more")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_all_there_are_or_an_error() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let logs = DiskLogs::new().unwrap();
        assert_eq!(logs.names(dir.path(), 3).unwrap().len(), 3);
        assert!(logs.names(dir.path(), 2).is_err());
    }

    #[test]
    fn work_that_was_called_off_reads_nothing_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("a");
        std::fs::write(&path, "abc").unwrap();
        let (logs, stop) = (DiskLogs::new().unwrap(), AtomicBool::new(false));
        let stoppable = Stoppable { logs: &logs, stop: &stop };
        let file = stoppable.open(&path).unwrap();
        assert_eq!(stoppable.read_at(&file, &mut [0; 2], 0).unwrap(), 2);
        stop.store(true, Ordering::Relaxed);
        assert!(stoppable.read_at(&file, &mut [0; 2], 0).is_err());
        assert!(stoppable.open(&path).is_err() && stoppable.names(dir.path(), 9).is_err());
    }

    #[test]
    fn only_so_many_streams_are_read_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("a");
        std::fs::write(&path, "abc").unwrap();
        let logs = DiskLogs::new().unwrap();
        let file = logs.open(&path).unwrap();
        for _ in 0..3 {
            let mut streams: Vec<Stream> =
                (0..STREAMS_MAX).map(|_| logs.stream(&file).unwrap()).collect();
            let busy = logs.stream(&file).err().unwrap();
            assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
            for stream in &mut streams {
                assert_eq!(io::read_to_string(stream).unwrap(), "abc");
            }
        }
    }

    #[test]
    fn links_in_the_directory_are_followed_once_and_what_is_missing_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        std::fs::create_dir(base.join("real")).unwrap();
        std::os::unix::fs::symlink("real", base.join("linked")).unwrap();
        assert_eq!(DiskLogs::resolve(&base.join("linked/log")), base.join("real/log"));
        assert_eq!(DiskLogs::resolve(&base.join("linked/new/log")), base.join("real/new/log"));
    }
}
