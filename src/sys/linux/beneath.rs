//! Opening what is at a path, and looking at it, so that no link leads elsewhere.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

/// The root directory, held open: every path is resolved from this descriptor.
pub fn open_root() -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::open("/", flags, Mode::empty())?)
}

/// Never waits (a FIFO would), never becomes our terminal.
const READ: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

/// Opens the absolute `path` for reading, and fails (ELOOP) if any part of it is a symbolic link. What
/// is open may be anything that can be read; who is asked says what it is, and no longer its name.
pub fn open(root: &OwnedFd, path: &Path) -> io::Result<File> {
    Ok(open_with(root, path, READ)?.into())
}

/// The names in the directory at the absolute `path`, no part of which may be a symbolic link; an error
/// if there are more than `names_max`.
pub fn names(root: &OwnedFd, path: &Path, names_max: usize) -> io::Result<Vec<OsString>> {
    let mut dir = Dir::from_fd(open_with(root, path, READ | OFlag::O_DIRECTORY)?)?;
    let mut names = Vec::new();
    for entry in dir.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        if names.len() == names_max {
            let message = format!("more than {names_max} names in a directory");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        names.push(OsStr::from_bytes(name).to_owned());
    }
    Ok(names)
}

/// What is at the absolute `path`, of which only the last part may be a symbolic link; then it is told of
/// the link. `None`: there is no such name.
pub fn metadata(root: &OwnedFd, path: &Path) -> io::Result<Option<Metadata>> {
    match open_with(root, path, OFlag::O_PATH | OFlag::O_CLOEXEC) {
        Ok(place) => Ok(Some(File::from(place).metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Not RESOLVE_NO_XDEV: from the root directory it would forbid a `/var` of its own, and below a log's
/// directory a log that is mounted there by itself, as containers have them. To mount takes root.
fn open_with(root: &OwnedFd, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let relative = path.strip_prefix("/").map_err(|_| invalid())?;
    // O_PATH opens a link at the end instead of failing (openat2(2), RESOLVE_NO_SYMLINKS).
    let flags = flags | OFlag::O_NOFOLLOW;
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    match openat2(root, relative, OpenHow::new().flags(flags).resolve(resolve)) {
        Ok(file) => Ok(file),
        // Linux before 5.6, or a sandbox that does not know the call (it answers EPERM).
        Err(Errno::ENOSYS | Errno::EPERM) => walk(root, relative, flags),
        Err(errno) => Err(errno.into()),
    }
}

/// The same by hand: each component is opened from the one before and must not be a link.
fn walk(root: &OwnedFd, relative: &Path, flags: OFlag) -> io::Result<OwnedFd> {
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
    Ok(openat(at.as_fd(), *last, flags, Mode::empty())?)
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
        let by_walk =
            |path: &Path| walk(&root, path.strip_prefix("/").unwrap(), READ | OFlag::O_NOFOLLOW);
        let by_call = |path: &Path| open_with(&root, path, READ);
        for open in [&by_call as &dyn Fn(&Path) -> io::Result<OwnedFd>, &by_walk] {
            let mut text = String::new();
            let mut file = File::from(open(&base.join("real/log")).unwrap());
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "content");
            assert!(open(&base.join("linked/log")).is_err());
            assert!(open(&base.join("real/link")).is_err());
        }
        for (path, there) in [("real/log", true), ("real/link", false), ("real", false)] {
            let facts = metadata(&root, &base.join(path)).unwrap().unwrap();
            assert_eq!(facts.is_file(), there, "{path}");
        }
        assert!(metadata(&root, &base.join("real/none")).unwrap().is_none());
        assert!(metadata(&root, &base.join("linked/log")).is_err());
        assert_eq!(names(&root, &base.join("real"), 2).unwrap().len(), 2);
        assert!(names(&root, &base.join("real"), 1).is_err());
        assert!(names(&root, &base.join("linked"), 2).is_err());
        assert!(names(&root, &base.join("real/log"), 2).is_err());
    }
}
