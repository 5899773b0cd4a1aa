//! A file system that is synced as a whole, by syncfs(2).
//!
//! What syncfs says of errors decides where it may be used:
//!
//! * It writes what is dirty and commits the journal, as fsync(2) on every file would (sync(2)).
//! * Since Linux 5.8 it reports that writing back a file of the file system has failed since it was
//!   called last *on the same open descriptor*, or since that was opened (commit 735e4ae5ba28: the
//!   super block has an errseq_t, each open file a cursor in it). So one descriptor is open from before
//!   the first write on. An error that fsync reports, or another's syncfs, is reported here all the
//!   same: their cursors are others.
//! * Before Linux 5.17 it did not report that the journal could not be committed: what the file
//!   system's `sync_fs` returns was ignored (commits 5679897eb104, and 2d86293c7075 for XFS).
//! * It does not report what a file system only returns to who asked for a file to be written, as
//!   ext4 does where blocks can't be allocated at that time (`mpage_map_and_submit_extent`, whose
//!   result `writeback_sb_inodes` drops). So the files are written before, each by itself, by a call
//!   that reports it: sync_file_range(2), which commits and flushes nothing.
//! * That call also reports what failed in the background, or in another's syncfs, since the file was
//!   opened: each open file has a cursor in the errors of its file, too. So an error may be reported
//!   to a syncfs that was not about this file, and is not lost for it.
//! * Through overlayfs errors of the file system below are not reported (its super block is another),
//!   FUSE mostly does nothing at syncfs (commit 2d82ab251ef0), and others are not known well enough.
//!
//! The error may be about anybody's file. Each is reported once, so that it does no harm for ever.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::sys::statfs::fstatfs;
use nix::unistd::syncfs;

use crate::sys::text::read_whole;

/// File systems of which the above is known (statfs(2)): ext2 to ext4, XFS, btrfs; and tmpfs, where
/// nothing is durable anyway.
const KNOWN: [u32; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994];

/// The first Linux whose syncfs reports all errors.
const LINUX_MIN: (u32, u32) = (5, 17);

/// After so many errors a file system is no longer synced as a whole: where somebody else's file
/// fails again and again, ours would fail with it.
const FAILURES_MAX: u64 = 3;

/// A file system, held open.
#[derive(Debug)]
pub struct OpenVolume {
    dir: File,
    device: u64,
    failures: AtomicU64,
    syncing: Mutex<()>,
}

impl OpenVolume {
    /// The file system that the directory `dir` is on; `None` if it can't be synced as a whole.
    pub fn open(dir: &Path) -> io::Result<Option<OpenVolume>> {
        let dir = File::options().read(true).custom_flags(libc::O_DIRECTORY).open(dir)?;
        let kind = u32::try_from(fstatfs(&dir)?.filesystem_type().0);
        if !kind.is_ok_and(|kind| KNOWN.contains(&kind)) || !linux_reports_all() {
            return Ok(None);
        }
        let device = dir.metadata()?.dev();
        Ok(Some(OpenVolume { dir, device, failures: AtomicU64::new(0), syncing: Mutex::default() }))
    }

    /// The number of its device.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// How often a sync has failed; `None` if there will be none any more.
    pub fn failures(&self) -> Option<u64> {
        let failures = self.failures.load(Ordering::SeqCst);
        (failures < FAILURES_MAX).then_some(failures)
    }

    /// Syncs it, unless more than `failures` syncs have failed by now: an error in what was to be made
    /// durable may have been told in one of them, if it came after that was written out.
    pub fn sync(&self, failures: u64) -> io::Result<()> {
        // One at a time, so that nobody is told of another's errors.
        let _alone = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.failures.load(Ordering::SeqCst) > failures {
            return Err(io::Error::other("its file system could not be synced before"));
        }
        syncfs(&self.dir).map_err(|errno| {
            self.failures.fetch_add(1, Ordering::SeqCst);
            errno.into()
        })
    }
}

fn linux_reports_all() -> bool {
    let release = read_whole(Path::new("/proc/sys/kernel/osrelease"), 4096).unwrap_or_default();
    version_of(&String::from_utf8_lossy(&release)) >= Some(LINUX_MIN)
}

/// The two numbers that a release of Linux begins with.
fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Has the content of all `files` written to the disk, and waits for it. What fails is told of each
/// that it is about; success makes nothing durable yet.
pub fn write_out(files: &[&File]) -> Vec<io::Result<()>> {
    let range = |file: &File, flags: libc::c_uint| {
        // SAFETY: the call takes numbers and touches no memory of ours; the descriptor is open.
        let done = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, flags) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // All are begun before the first is waited for: the disk has them all to choose from.
    let begun: Vec<_> = files.iter().map(|file| range(file, libc::SYNC_FILE_RANGE_WRITE)).collect();
    let all = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    files.iter().zip(begun).map(|(file, begun)| begun.and_then(|()| range(file, all))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_of_linux_is_compared_by_its_numbers() {
        assert_eq!(version_of("6.18.44-cloud\n"), Some((6, 18)));
        assert_eq!(version_of("5.4.0-150-generic"), Some((5, 4)));
        assert_eq!(version_of("5.17-rc1"), Some((5, 17)));
        assert_eq!(version_of(""), None);
        assert!(version_of("5.9.16") < Some(LINUX_MIN));
        assert!(version_of("10.0.1") > Some(LINUX_MIN));
    }

    #[test]
    fn after_an_error_in_another_sync_it_is_not_synced_for_what_was_noted_before() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().metadata().unwrap().dev();
        let dir = File::open(dir.path()).unwrap();
        let (failures, syncing) = (AtomicU64::new(0), Mutex::default());
        let volume = OpenVolume { dir, device, failures, syncing };
        volume.sync(0).unwrap();
        volume.failures.store(1, Ordering::SeqCst);
        volume.sync(0).unwrap_err();
        assert_eq!(volume.failures(), Some(1));
        volume.sync(1).unwrap();
        volume.failures.store(FAILURES_MAX, Ordering::SeqCst);
        assert_eq!(volume.failures(), None);
    }

    #[test]
    fn a_file_that_cant_be_written_is_told_of_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("file")).unwrap();
        let (pipe, _other) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
        let told = write_out(&[&file, &pipe, &file]);
        assert_eq!(told.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }
}
