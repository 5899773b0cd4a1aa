//! Opening a file so that no link leads elsewhere.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

/// The root directory, held open: every path is resolved from this descriptor.
pub fn open_root() -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::open("/", flags, Mode::empty())?)
}

/// Never waits (a FIFO would), never becomes our terminal, never follows a link at the end.
const READ: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NOFOLLOW);

/// Opens the absolute `path` for reading, and fails (ELOOP) if any part of it is a symbolic link.
pub fn open(root: &OwnedFd, path: &Path) -> io::Result<File> {
    let relative =
        path.strip_prefix("/").map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    match openat2(root, relative, OpenHow::new().flags(READ).resolve(resolve)) {
        Ok(file) => Ok(file.into()),
        // Linux before 5.6, or a sandbox that does not know the call (it answers EPERM).
        Err(Errno::ENOSYS | Errno::EPERM) => walk(root, relative),
        Err(errno) => Err(errno.into()),
    }
}

/// The same by hand: each component is opened from the one before and must not be a link.
fn walk(root: &OwnedFd, relative: &Path) -> io::Result<File> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let names: Vec<&OsStr> = relative
        .components()
        .map(|part| match part {
            Component::Normal(name) => Ok(name),
            _ => Err(invalid()),
        })
        .collect::<io::Result<_>>()?;
    let (last, dirs) = names.split_last().ok_or_else(invalid)?;
    let step = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut at = root.try_clone()?;
    for name in dirs {
        at = openat(at.as_fd(), *name, step, Mode::empty())?;
    }
    Ok(openat(at.as_fd(), *last, READ, Mode::empty())?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_anywhere_in_the_path_is_refused_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        std::fs::create_dir(base.join("real")).unwrap();
        std::fs::write(base.join("real/log"), "content").unwrap();
        symlink("real", base.join("linked")).unwrap();
        symlink("log", base.join("real/link")).unwrap();
        let root = open_root().unwrap();
        let by_walk = |path: &Path| walk(&root, path.strip_prefix("/").unwrap());
        let by_call = |path: &Path| open(&root, path);
        for open in [&by_call as &dyn Fn(&Path) -> io::Result<File>, &by_walk] {
            let mut text = String::new();
            open(&base.join("real/log")).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "content");
            assert!(open(&base.join("linked/log")).is_err());
            assert!(open(&base.join("real/link")).is_err());
        }
    }
}
