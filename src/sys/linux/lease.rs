//! Whether somebody has a file open for writing.

use std::fs::File;
use std::os::fd::AsRawFd;

use crate::pos::Writers;

/// Asks by taking a read lease and giving it back at once: the kernel grants `F_RDLCK` on a
/// descriptor that is open for reading only if nobody has the file open for writing (fcntl(2),
/// "Leases"; EAGAIN otherwise). A writer that opens the file in between waits for these
/// microseconds, and SIGIO, which we ignore, is sent to us.
pub fn writers(file: &File) -> Writers {
    // SAFETY: F_SETLEASE takes an integer and touches no memory of ours; the descriptor is open.
    let set =
        |lease: libc::c_int| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, lease) };
    if set(libc::F_RDLCK) == 0 {
        set(libc::F_UNLCK);
        return Writers::Nobody;
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) => Writers::Somebody,
        _ => Writers::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_tells_whether_somebody_has_the_file_open_for_writing() {
        crate::sys::signal::ignore_sigio().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        let while_open = writers(&reader);
        drop(writer);
        let closed = writers(&reader);
        assert_ne!(while_open, Writers::Nobody);
        if closed != Writers::Unknown {
            assert_eq!((while_open, closed), (Writers::Somebody, Writers::Nobody));
        }
    }
}
