//! Who a file is.

use std::fs::{File, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use crate::pos::{FileFacts, FileId};

mod ioctl {
    nix::ioctl_read!(fs_get_version, b'v', 1, libc::c_long);
}

/// The inode's generation: differs between two files that were given the same inode number. `None`
/// where the file system has none (tmpfs, overlay).
pub fn inode_generation(file: &File) -> Option<u32> {
    let mut version: libc::c_long = 0;
    // SAFETY: FS_IOC_GETVERSION writes at most a long at the address given, which is one; the
    // descriptor is open for the whole call.
    unsafe { ioctl::fs_get_version(file.as_raw_fd(), &mut version) }.ok()?;
    Some(version as u32)
}

/// What `metadata` says, without the inode's generation.
pub fn facts_of(metadata: &Metadata) -> FileFacts {
    let birth_ns = metadata
        .created()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| u64::try_from(since.as_nanos()).ok());
    let modified_ns = u64::try_from(metadata.mtime())
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(metadata.mtime_nsec()).unwrap_or(0));
    FileFacts {
        id: FileId { inode: metadata.ino(), generation: None, birth_ns },
        device: metadata.dev(),
        size: metadata.len(),
        modified_ns,
        links: metadata.nlink(),
        regular: metadata.file_type().is_file(),
    }
}

/// What the kernel says of an open file, the inode's generation included.
pub fn facts(file: &File) -> std::io::Result<FileFacts> {
    let mut facts = facts_of(&file.metadata()?);
    facts.id.generation = inode_generation(file);
    Ok(facts)
}
