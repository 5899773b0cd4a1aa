//! Disks of a machine, their file systems, and how these lose power.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::chance::Chance;
use crate::common::wait_for;

/// A file system that keeps a journal, or copies on write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "XFS",
            Kind::Btrfs => "btrfs",
        }
    }

    /// As mount(2) knows it.
    const fn driver(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
        }
    }

    /// The program that makes one, and how. The least that it takes.
    pub const fn maker(self) -> (&'static str, u64, &'static [&'static str]) {
        match self {
            Kind::Ext4 => ("mkfs.ext4", 48, &["-q", "-F", "-J", "size=4", "-m", "0"]),
            Kind::Xfs => ("mkfs.xfs", 300, &["-q", "-f"]),
            Kind::Btrfs => ("mkfs.btrfs", 160, &["-q", "-f"]),
        }
    }

    /// Ways to mount it that differ in what is on disk when.
    const fn ways(self) -> &'static [&'static str] {
        match self {
            Kind::Ext4 => &[
                "",
                "commit=1",
                "nodelalloc",
                "data=writeback",
                "data=writeback,nodelalloc,commit=1",
                "data=journal",
            ],
            // A copy of a disk has the name of the disk.
            Kind::Xfs => &["nouuid", "nouuid,allocsize=4k", "nouuid,wsync"],
            Kind::Btrfs => &["", "commit=1", "flushoncommit", "compress=zstd", "notreelog"],
        }
    }
}

/// A disk: a file of this content.
pub struct Disk {
    kind: Kind,
    image: PathBuf,
}

impl Disk {
    /// A new one, with an empty file system.
    pub fn made(kind: Kind, image: &Path) -> Disk {
        let (program, mebibytes, args) = kind.maker();
        File::create(image).unwrap().set_len(mebibytes << 20).unwrap();
        let path = crate::left_out::program(program).unwrap();
        let made = Command::new(path).args(args).arg(image).output().unwrap();
        assert!(made.status.success(), "{program}: {}", String::from_utf8_lossy(&made.stderr));
        Disk { kind, image: image.to_owned() }
    }

    /// One that has a file system already.
    pub fn found(kind: Kind, image: &Path) -> Disk {
        Disk { kind, image: image.to_owned() }
    }

    /// Mounts it, in a way that chance takes. What was lost with the power is now found out by the file
    /// system.
    pub fn mount(&self, at: &Path, chance: &mut Chance) -> Mounted {
        let ways = self.kind.ways();
        let way = ways[chance.below(ways.len() as u64) as usize];
        let (device, path) = loop_device(&self.image);
        let driver = Some(self.kind.driver());
        mount(Some(&path), at, driver, MsFlags::MS_NOATIME, Some(way))
            .unwrap_or_else(|error| panic!("cannot mount {} {way}: {error}", self.kind.name()));
        drop(device);
        Mounted { at: at.to_owned() }
    }
}

/// A file system that is mounted. Dropped, it is taken away.
pub struct Mounted {
    at: PathBuf,
}

/// `EXT4_IOC_SHUTDOWN` and `XFS_IOC_GOINGDOWN`: `_IOR('X', 125, __u32)`, xfs_fs.h.
const GOING_DOWN: libc::c_ulong = 0x8004_587d;

/// Nothing is written any more, not even what the journal still holds in memory: xfs_fs.h.
static NO_LOG_FLUSH: u32 = 2;

impl Mounted {
    /// From this call on nothing reaches the disk: what was not there by now is lost.
    pub fn lose_power(&self) {
        let root = File::open(&self.at).unwrap();
        // SAFETY: the argument is read, and lives.
        let done = unsafe { libc::ioctl(root.as_raw_fd(), GOING_DOWN, &raw const NO_LOG_FLUSH) };
        assert_eq!(done, 0, "{}", io::Error::last_os_error());
    }

    /// Takes it away. Nobody uses it any more: what is in memory of it goes.
    pub fn unmount(self) {
        wait_for("nobody uses the file system", || umount2(&self.at, MntFlags::empty()).ok());
    }

    /// Some of what is in memory gets to the disk, as it may at any time.
    pub fn hurry(&self, chance: &mut Chance) {
        let mut files: Vec<PathBuf> =
            fs::read_dir(&self.at).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let Some(path) = files.get(chance.below(files.len().max(1) as u64) as usize) else {
            return;
        };
        // It may be gone by now, or a directory.
        let Ok(file) = File::open(path) else { return };
        let fd = file.as_raw_fd();
        match chance.below(4) {
            // SAFETY: a descriptor that lives, and no memory.
            0 => drop(unsafe { libc::syncfs(fd) }),
            1 => drop(file.sync_all()),
            _ => {
                let pages = file.metadata().map_or(0, |facts| facts.len() / 4096) + 1;
                let from = chance.below(pages) * 4096;
                write_out(fd, from, (1 + chance.below(8)) * 4096);
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
    }
}

/// Writes these pages of a file out, and nothing that belongs to them: sync_file_range(2).
fn write_out(fd: RawFd, from: u64, len: u64) {
    let how = libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: a descriptor that lives, and no memory.
    unsafe { libc::sync_file_range(fd, from as i64, len as i64, how) };
}

/// `LOOP_CTL_GET_FREE` and `LOOP_CONFIGURE`: linux/loop.h.
const GET_FREE: libc::c_ulong = 0x4c82;
const CONFIGURE: libc::c_ulong = 0x4c0a;

/// The device goes when nobody uses it any more: linux/loop.h.
const AUTOCLEAR: u32 = 4;

/// A loop device with this image. Each mount gets a new one, which has nothing of it in memory.
fn loop_device(image: &Path) -> (File, PathBuf) {
    let control = File::options().read(true).write(true).open("/dev/loop-control").unwrap();
    let backing = File::options().read(true).write(true).open(image).unwrap();
    wait_for("there is a loop device", || {
        // SAFETY: takes no argument.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), GET_FREE) };
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = File::options().read(true).write(true).open(&path).ok()?;
        // struct loop_config: the image, the block size (any), struct loop_info64, 64 bytes reserved.
        let mut config = [0_u32; 76];
        config[0] = backing.as_raw_fd() as u32;
        config[15] = AUTOCLEAR;
        // SAFETY: the argument is of the size that the call reads, and lives.
        let done = unsafe { libc::ioctl(device.as_raw_fd(), CONFIGURE, config.as_ptr()) };
        // Somebody else may have been given the same.
        (done == 0).then_some((device, path))
    })
}

/// Copies an image, without its holes.
pub fn copy_image(from: &Path, to: &Path) {
    let (from, len) = (File::open(from).unwrap(), fs::metadata(from).unwrap().len());
    let to = File::create(to).unwrap();
    to.set_len(len).unwrap();
    let seek = |at: u64, whence| {
        // SAFETY: a descriptor that lives, and no memory.
        u64::try_from(unsafe { libc::lseek(from.as_raw_fd(), at as i64, whence) }).ok()
    };
    let mut at = 0;
    let mut buffer = vec![0; 1 << 20];
    while let Some(data) = seek(at, libc::SEEK_DATA) {
        let hole = seek(data, libc::SEEK_HOLE).unwrap();
        at = data;
        while at < hole {
            let piece = &mut buffer[..(hole - at).min(1 << 20) as usize];
            from.read_exact_at(piece, at).unwrap();
            if piece.iter().any(|&byte| byte != 0) {
                to.write_all_at(piece, at).unwrap();
            }
            at += piece.len() as u64;
        }
    }
}
