//! What a file system has left, and whether it is another machine's.
//!
//! What is left is asked with statvfs(3), whose fragments are the unit of its blocks on every file system;
//! which kind it is, with statfs(2).

use std::fs::metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statfs::statfs;
use nix::sys::statvfs::statvfs;

use crate::pos::{Share, Space};

/// Kinds that another machine keeps, by their numbers in statfs(2) and linux/magic.h. FUSE is not among
/// them: it may be anything.
const NETWORK: [(u32, &str); 8] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00c3_6400, "Ceph"),
    (0x0102_1997, "9p"),
];

/// The file system that the directory `dir` is on.
pub fn space(dir: &Path) -> io::Result<Space> {
    let device = metadata(dir)?.dev();
    let (told, kind) = (statvfs(dir)?, statfs(dir)?.filesystem_type().0);
    let bytes = |blocks: u64| blocks.saturating_mul(told.fragment_size());
    Ok(Space {
        device,
        bytes: Share { free: bytes(told.blocks_available()), all: bytes(told.blocks()) },
        files: Share { free: told.files_available(), all: told.files() },
        network: network(kind),
    })
}

/// The name of a kind that another machine keeps.
fn network(kind: impl TryInto<i64>) -> Option<&'static str> {
    // The number has 32 bits, and comes with its sign where words have as many.
    let kind = kind.try_into().ok()? as u32;
    NETWORK.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_tells_what_its_file_system_has_left() {
        let dir = tempfile::tempdir().unwrap();
        let space = space(dir.path()).unwrap();
        assert_eq!(space.device, dir.path().metadata().unwrap().dev());
        assert!(space.bytes.free <= space.bytes.all && space.bytes.all > 0, "{space:?}");
        assert!(space.files.free <= space.files.all, "{space:?}");
        assert_eq!(
            super::space(&dir.path().join("none")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn what_another_machine_keeps_is_known_by_its_number() {
        assert_eq!(network(0x6969_i64), Some("NFS"));
        assert_eq!(network(0xff53_4d42_i64), Some("CIFS"));
        assert_eq!(network(0xff53_4d42_u32 as i32), Some("CIFS"));
        for local in [0xef53_i64, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x6573_5546] {
            assert_eq!(network(local), None, "{local:x}");
        }
    }
}
