//! Being told of changes in directories.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// One inotify instance. It only hints: whoever is told looks for himself, and looks now and then
/// without being told, since the queue may overflow and network file systems tell nothing.
#[derive(Debug)]
pub struct Watch(Inotify);

/// A hint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hint {
    /// A file of that name in that directory was written, renamed, created or deleted.
    Name(WatchId, OsString),
    /// The watched directory itself changed or went away.
    Directory(WatchId),
    /// Hints were lost: look at everything.
    Overflow,
}

/// Which directory a hint is about; the same directory has the same number however it is named.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WatchId(WatchDescriptor);

impl Watch {
    /// A new instance, non-blocking.
    pub fn new() -> io::Result<Watch> {
        Ok(Watch(Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?))
    }

    /// Watches the files of a directory; repeated for the same directory it changes nothing.
    pub fn add_dir(&self, dir: &Path) -> io::Result<WatchId> {
        let flags = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        Ok(WatchId(self.0.add_watch(dir, flags)?))
    }

    /// Stops watching a directory. One that is gone is watched no more anyway.
    pub fn remove_dir(&self, id: WatchId) {
        if let Err(errno) = self.0.rm_watch(id.0) {
            log::debug!("cannot stop watching a directory: {errno}");
        }
    }

    /// The hints that wait; empty when there are none.
    pub fn read(&self) -> io::Result<Vec<Hint>> {
        let events = match self.0.read_events() {
            Ok(events) => events,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        };
        Ok(events
            .into_iter()
            .map(|event| match event.name {
                _ if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) => Hint::Overflow,
                Some(name) => Hint::Name(WatchId(event.wd), name),
                None => Hint::Directory(WatchId(event.wd)),
            })
            .collect())
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// The limit that made an instance or a watch impossible (inotify_init(2), inotify_add_watch(2)).
pub fn limit_of(error: &io::Error) -> Option<&'static str> {
    match Errno::from_raw(error.raw_os_error()?) {
        Errno::EMFILE => Some("fs.inotify.max_user_instances or that of descriptors"),
        Errno::ENOSPC => Some("fs.inotify.max_user_watches"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_the_kernel_is_called_by_its_name() {
        let limit = |errno| limit_of(&io::Error::from_raw_os_error(errno));
        assert!(limit(libc::EMFILE).unwrap().starts_with("fs.inotify.max_user_instances"));
        assert_eq!(limit(libc::ENOSPC), Some("fs.inotify.max_user_watches"));
        assert_eq!(limit(libc::EACCES), None);
    }
}
