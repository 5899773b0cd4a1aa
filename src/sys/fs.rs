//! The fetcher's store: what copies, pointers and archives need of a file system.
//!
//! Every call is one step that can fail, or after which the machine can stop: the crash-safe
//! sequences in `fetch/` are written in these steps, and the simulation puts its own file system
//! under them.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, RenameFlags, fcntl, renameat2};

use super::linux::identity;
use super::linux::space;
use super::linux::volume::{self, OpenVolume};
use crate::pos::{FileFacts, FileId, Space};

/// A file system that keeps copies.
pub trait Fs: Clone + Send + Sync + 'static {
    /// An open file; closed when dropped.
    type File: std::fmt::Debug + Send + Sync + 'static;
    /// A name that is ours as long as this lives.
    type Lock: std::fmt::Debug + Send + 'static;

    /// Claims the name `path`, whose directory exists, for this process and this caller.
    /// `WouldBlock` if somebody else has it.
    fn lock(&self, path: &Path) -> io::Result<Self::Lock>;
    /// Creates one directory.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names in `dir`.
    fn names(&self, dir: &Path) -> io::Result<Vec<std::ffi::OsString>>;
    /// Opens a regular file for reading and writing. A link or anything else is refused.
    fn open(&self, path: &Path) -> io::Result<Self::File>;
    /// Creates a file that must not exist yet.
    fn create_new(&self, path: &Path) -> io::Result<Self::File>;
    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Renames; what had the name `to` is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames; `AlreadyExists` if something has the name `to`.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Who an open file is, and how long.
    fn facts(&self, file: &Self::File) -> io::Result<FileFacts>;
    /// How long an open file is.
    fn len(&self, file: &Self::File) -> io::Result<u64>;
    /// Who a name is, a link not followed; without the inode's generation. `None`: no such name.
    fn facts_at(&self, path: &Path) -> io::Result<Option<FileFacts>>;
    /// Reads at most `buf.len()` bytes at `offset`; 0 at the end.
    fn read_at(&self, file: &Self::File, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at `offset`, perhaps fewer bytes than given.
    fn write_at(&self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Cuts or extends to `len` bytes.
    fn set_len(&self, file: &Self::File, len: u64) -> io::Result<()>;
    /// Makes content and length durable. After an error nothing may be concluded about what was
    /// written since the last success, and asking again would lie: the pages are marked clean.
    fn sync_data(&self, file: &Self::File) -> io::Result<()>;
    /// The file system of `path`, a name that is locked. Noted now, it can be synced after what is
    /// written out from now on. `None` where the errors of such a sync are not known to be reported.
    fn volume(&self, path: &Path) -> Option<Volume>;
    /// Has the content of `files` written to the disk, and says of each whether all of it went there
    /// since it was opened, or since an error was told. Nothing is durable yet; an error is one as of
    /// [`Fs::sync_data`].
    fn write_out(&self, files: &[&Self::File]) -> Vec<io::Result<()>>;
    /// Makes everything on a file system durable: files that were written out since `volume` was noted,
    /// and names. An error is one as of [`Fs::sync_data`], of any of them.
    fn sync_volume(&self, volume: Volume) -> io::Result<()>;
    /// What the file system of the directory `dir` has left, and whether copies may be on it.
    fn space(&self, dir: &Path) -> io::Result<Space>;
    /// Changes when this machine has been started anew.
    fn boot_id(&self) -> io::Result<String>;
}

/// A file system that can be synced as a whole, between two errors in doing that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Volume {
    /// The number of its device, as in [`FileFacts`].
    pub device: u64,
    /// How often it could not be synced before this was noted.
    pub failures: u64,
}

/// Fills `buf` from `offset`; the file ending before is an error.
pub fn read_exact_at<F: Fs>(
    fs: &F,
    file: &F::File,
    mut buf: &mut [u8],
    mut offset: u64,
) -> io::Result<()> {
    while !buf.is_empty() {
        match fs.read_at(file, buf, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                buf = &mut buf[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `bytes` at `offset`, however few the file system takes at once.
pub fn write_all_at<F: Fs>(
    fs: &F,
    file: &F::File,
    mut bytes: &[u8],
    mut offset: u64,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match fs.write_at(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The kernel's file systems.
#[derive(Clone, Debug, Default)]
pub struct DiskFs {
    /// Files are opened for reading only.
    read_only: bool,
    /// Copies may be on a file system that another machine keeps.
    network: bool,
    /// One open lock file a directory, shared by all locks in it.
    lock_files: Arc<Mutex<HashMap<PathBuf, Weak<LockFile>>>>,
    /// By device, what those directories are on.
    volumes: Arc<Mutex<HashMap<u64, Weak<OpenVolume>>>>,
}

/// The lock file of a directory. Each locked name locks one byte of it, at an offset made of the
/// name, so ten thousand copies in a directory need one descriptor to be locked.
pub const LOCK_FILE: &str = ".fetch_logs.lock";

/// An open lock file and the bytes of it that are locked through it. The kernel keeps other
/// descriptors out ("open file description locks", fcntl(2)); this one's own locks it lets pass.
#[derive(Debug)]
struct LockFile {
    file: File,
    held: Mutex<HashSet<i64>>,
    /// Open from before the first file in the directory is written.
    volume: Option<Arc<OpenVolume>>,
}

/// A lock held on one byte of a directory's lock file.
#[derive(Debug)]
pub struct DiskLock {
    lock_file: Arc<LockFile>,
    at: i64,
}

/// The byte that stands for `name`: FNV-1a, cut to the range of file offsets. It must be the same
/// in every version of this program that may run on one machine.
fn lock_byte(name: &std::ffi::OsStr) -> i64 {
    let hash = name.as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &b| {
        (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
    });
    (hash >> 2) as i64
}

fn lock_range(kind: libc::c_int, at: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: at,
        l_len: 1,
        l_pid: 0,
    }
}

impl Drop for DiskLock {
    fn drop(&mut self) {
        let mut held = self.lock_file.held.lock().unwrap_or_else(PoisonError::into_inner);
        let unlock = lock_range(libc::F_UNLCK, self.at);
        if let Err(errno) = fcntl(self.lock_file.file.as_fd(), FcntlArg::F_OFD_SETLK(&unlock)) {
            log::warn!("cannot release a lock: {errno}");
        }
        held.remove(&self.at);
    }
}

/// The directory part of a path, `.` for a bare name.
pub fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// The real name of `dir`, or of the nearest directory above it that exists.
pub fn existing(dir: &Path) -> io::Result<PathBuf> {
    let dir = std::path::absolute(dir)?;
    let there = dir.ancestors().find_map(|above| above.canonicalize().ok());
    there.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The real name of the nearest directory above `dir` that exists, not `dir` itself.
pub fn existing_above(dir: &Path) -> io::Result<PathBuf> {
    existing(std::path::absolute(dir)?.parent().unwrap_or(Path::new("/")))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    options.mode(0o644);
    options
}

impl DiskFs {
    /// For somebody who only looks, and may not be allowed more.
    pub fn for_reading() -> DiskFs {
        DiskFs { read_only: true, ..DiskFs::default() }
    }

    /// For copies that may be on a file system that another machine keeps.
    pub fn with_network(network: bool) -> DiskFs {
        DiskFs { network, ..DiskFs::default() }
    }

    fn lock_file(&self, dir: &Path) -> io::Result<Arc<LockFile>> {
        let mut files = self.lock_files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock_file) = files.get(dir).and_then(Weak::upgrade) {
            return Ok(lock_file);
        }
        let file = options().create(true).truncate(false).open(dir.join(LOCK_FILE))?;
        let volume = self.open_volume(dir);
        let lock_file = Arc::new(LockFile { file, held: Mutex::default(), volume });
        files.insert(dir.to_path_buf(), Arc::downgrade(&lock_file));
        Ok(lock_file)
    }

    /// The file system of a directory. What can't be opened is synced file by file.
    fn open_volume(&self, dir: &Path) -> Option<Arc<OpenVolume>> {
        let opened = OpenVolume::open(dir).unwrap_or_else(|error| {
            log::debug!("cannot open the file system of {}: {error}", dir.display());
            None
        })?;
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = volumes.entry(opened.device()).or_default();
        Some(known.upgrade().unwrap_or_else(|| {
            let opened = Arc::new(opened);
            *known = Arc::downgrade(&opened);
            opened
        }))
    }
}

impl Fs for DiskFs {
    type File = File;
    type Lock = DiskLock;

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let lock_file = self.lock_file(dir_of(path))?;
        let at = lock_byte(name);
        let mut held = lock_file.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains(&at) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let range = lock_range(libc::F_WRLCK, at);
        fcntl(lock_file.file.as_fd(), FcntlArg::F_OFD_SETLK(&range)).map_err(
            |errno| match errno {
                Errno::EAGAIN | Errno::EACCES => io::ErrorKind::WouldBlock.into(),
                other => io::Error::from(other),
            },
        )?;
        held.insert(at);
        drop(held);
        Ok(DiskLock { lock_file, at })
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new().mode(0o755).create(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<std::ffi::OsString>> {
        std::fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let file = options().write(!self.read_only).open(path)?;
        if file.metadata()?.file_type().is_file() {
            Ok(file)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
        }
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        options().create_new(true).open(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
            Ok(()) => Ok(()),
            // A file system without the flag. A crash between the two calls leaves both names on
            // one file, which the fetcher's recovery knows.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                std::fs::hard_link(from, to)?;
                std::fs::remove_file(from)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn facts(&self, file: &File) -> io::Result<FileFacts> {
        identity::facts(file)
    }

    fn len(&self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn facts_at(&self, path: &Path) -> io::Result<Option<FileFacts>> {
        match std::fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(identity::facts_of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_at(&self, file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(buf, offset)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(bytes, offset)
    }

    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn volume(&self, path: &Path) -> Option<Volume> {
        let files = self.lock_files.lock().unwrap_or_else(PoisonError::into_inner);
        let lock_file = files.get(dir_of(path))?.upgrade()?;
        let volume = lock_file.volume.as_ref()?;
        Some(Volume { device: volume.device(), failures: volume.failures()? })
    }

    fn write_out(&self, files: &[&File]) -> Vec<io::Result<()>> {
        volume::write_out(files)
    }

    fn sync_volume(&self, volume: Volume) -> io::Result<()> {
        let volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        let open = volumes.get(&volume.device).and_then(Weak::upgrade);
        drop(volumes);
        open.ok_or(io::ErrorKind::NotFound)?.sync(volume.failures)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let space = space::space(dir)?;
        Ok(Space { network: space.network.filter(|_| !self.network), ..space })
    }

    fn boot_id(&self) -> io::Result<String> {
        Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
    }
}

/// Whether `facts`, taken of a name, can be the file known as `id`: all that both know agrees.
pub fn may_be(facts: &FileFacts, id: &FileId) -> bool {
    fn agree<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
        a.is_none() || b.is_none() || a == b
    }
    facts.id.inode == id.inode
        && agree(facts.id.generation, id.generation)
        && agree(facts.id.birth_ns, id.birth_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_locked_against_every_other_and_only_this_name() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (DiskFs::default(), DiskFs::default());
        let held = one.lock(&dir.path().join("a")).unwrap();
        let refused = other.lock(&dir.path().join("a")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        let refused = one.lock(&dir.path().join("a")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        other.lock(&dir.path().join("b")).unwrap();
        drop(held);
        other.lock(&dir.path().join("a")).unwrap();
    }

    #[test]
    fn a_file_system_is_known_while_a_name_on_it_is_locked() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let fs = DiskFs::default();
        let (one, other) = (dir.path().join("one"), dir.path().join("d/other"));
        assert_eq!(fs.volume(&one), None);
        let held = [&one, &other].map(|path| fs.lock(path).unwrap());
        assert_eq!(fs.volume(&one), fs.volume(&other));
        assert_eq!(fs.volumes.lock().unwrap().len(), fs.volume(&one).iter().count());
        let Some(volume) = fs.volume(&one) else { return };
        fs.sync_volume(volume).unwrap();
        drop(held);
        assert_eq!(fs.volume(&one), None);
        assert_eq!(fs.sync_volume(volume).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn renaming_to_a_new_name_never_replaces_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, "from").unwrap();
        std::fs::write(&to, "to").unwrap();
        let fs = DiskFs::default();
        assert_eq!(fs.rename_new(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        std::fs::remove_file(&to).unwrap();
        fs.rename_new(&from, &to).unwrap();
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "from");
        assert!(!from.exists());
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let fs = DiskFs::default();
        assert!(fs.open(dir.path()).is_err());
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        assert!(fs.open(&dir.path().join("link")).is_err());
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(fs.open(&fifo).is_err());
    }
}
