//! Which calls can fail, and with what: only what this kernel gives to programs like these.
//!
//! Not here, because no kernel gives it: EMFILE of a call that makes no descriptor, ENOSPC of one that
//! only reads or removes, EIO of one on a socket, an epoll or a name that is watched, EINTR of a rename, a
//! removal, a look at a file, a watch or a lock that does not wait. Memory that can't be mapped ends any
//! program of Rust (`mmap`, `brk`). What comes before a program's own first line is the loader's. Fewer bytes than
//! were asked for can't be had by a call that is not made: see the limits of size in `resources.rs`.

use std::path::Path;

use nix::errno::Errno;

use crate::script::Which;
use crate::tracer::Call;

/// What a call has to be about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum About {
    /// A path of ours in this argument.
    Path(usize),
    /// A file or directory of ours behind the descriptor in this argument.
    File(usize),
    /// A path of ours, or else a file of ours, in these arguments.
    PathOrFile(usize, usize),
    /// A descriptor of which the kernel says this.
    Is(usize, &'static str),
    /// This command in this argument.
    Command(usize, u64),
    /// Flags in this argument of which one is there, and a path of ours in the other.
    Creates(usize, usize),
    /// More than a byte in this argument: a single one is what the handler of a signal sends its own
    /// process, by a socket that has nothing to fail.
    MoreThanOne(usize),
    /// Whatever it is.
    Anything,
}

/// A call and how it can fail.
#[derive(Debug)]
pub struct Fault {
    /// Its name.
    pub call: &'static str,
    number: i64,
    about: About,
    /// What it gives then.
    pub errnos: &'static [Errno],
    /// By whom the failure has to be told, in the words of the system. Not where there is another way that
    /// is as good: a file system that can't be opened is synced file by file.
    told: &'static [Which],
}

const fn fault(
    call: &'static str,
    number: i64,
    about: About,
    errnos: &'static [Errno],
    told: &'static [Which],
) -> Fault {
    Fault { call, number, about, errnos, told }
}

use About::{Anything, Command, Creates, File, Is, MoreThanOne, PathOrFile};
use Errno::{
    EADDRNOTAVAIL, EAGAIN, ECONNABORTED, ECONNREFUSED, ECONNRESET, EINTR, EIO, EMFILE, ENFILE,
    ENOLCK, ENOMEM, ENOSPC, ETIMEDOUT,
};

const NOBODY: &[Which] = &[];
const FETCHER: &[Which] = &[Which::FetchLogs];
const BOTH: &[Which] = &[Which::FetchLogs, Which::ServeLogs];
/// What a fetcher's second connection of a source fails with, the one for late bytes, is noted for
/// `RUST_LOG=debug` only, and tried again.
const RESPONDER: &[Which] = &[Which::ServeLogs];

/// All of them.
pub const FAULTS: &[Fault] = &[
    fault("openat", libc::SYS_openat, About::Path(1), &[EIO, EMFILE, EINTR], NOBODY),
    fault("openat, to create", libc::SYS_openat, Creates(2, 1), &[ENOSPC], FETCHER),
    fault("openat2", libc::SYS_openat2, About::Path(1), &[EIO, EMFILE, EINTR], NOBODY),
    fault("read of a file", libc::SYS_read, File(0), &[EIO, EINTR], NOBODY),
    fault("read of inotify", libc::SYS_read, Is(0, "anon_inode:inotify"), &[EINTR], NOBODY),
    fault("pread64", libc::SYS_pread64, File(0), &[EIO, EINTR], NOBODY),
    fault("write to a file", libc::SYS_write, File(0), &[EIO, ENOSPC, EINTR], FETCHER),
    fault("write to a pipe", libc::SYS_write, Is(0, "pipe:"), &[EINTR], NOBODY),
    fault("pwrite64", libc::SYS_pwrite64, File(0), &[EIO, ENOSPC, EINTR], FETCHER),
    fault("fsync", libc::SYS_fsync, File(0), &[EIO, ENOSPC, EINTR], FETCHER),
    fault("fdatasync", libc::SYS_fdatasync, File(0), &[EIO, ENOSPC, EINTR], FETCHER),
    fault("syncfs", libc::SYS_syncfs, File(0), &[EIO, ENOSPC], FETCHER),
    fault("sync_file_range", libc::SYS_sync_file_range, File(0), &[EIO, ENOSPC], FETCHER),
    #[cfg(target_arch = "x86_64")]
    fault("rename", libc::SYS_rename, About::Path(0), &[EIO, ENOSPC], FETCHER),
    fault("renameat2", libc::SYS_renameat2, About::Path(1), &[EIO, ENOSPC], FETCHER),
    #[cfg(target_arch = "x86_64")]
    fault("unlink", libc::SYS_unlink, About::Path(0), &[EIO], FETCHER),
    #[cfg(target_arch = "x86_64")]
    fault("mkdir", libc::SYS_mkdir, About::Path(0), &[EIO, ENOSPC], FETCHER),
    fault("ftruncate", libc::SYS_ftruncate, File(0), &[EIO, EINTR], FETCHER),
    fault("getdents64", libc::SYS_getdents64, File(0), &[EIO], FETCHER),
    fault("statx", libc::SYS_statx, PathOrFile(1, 0), &[EIO], NOBODY),
    fault("newfstatat", libc::SYS_newfstatat, PathOrFile(1, 0), &[EIO], NOBODY),
    fault("fstat", libc::SYS_fstat, File(0), &[EIO], NOBODY),
    fault("fcntl, a lock", libc::SYS_fcntl, Command(1, 37), &[ENOLCK, EIO], FETCHER),
    fault("fcntl, a lease", libc::SYS_fcntl, Command(1, 1024), &[EAGAIN, ENOMEM], NOBODY),
    fault("inotify_init1", libc::SYS_inotify_init1, Anything, &[EMFILE], BOTH),
    fault("inotify_add_watch", libc::SYS_inotify_add_watch, Anything, &[ENOSPC, ENOMEM], BOTH),
    fault("socket", libc::SYS_socket, Anything, &[EMFILE, ENFILE], RESPONDER),
    fault("accept4", libc::SYS_accept4, Anything, &[EMFILE, ENFILE, ECONNABORTED, EINTR], NOBODY),
    fault(
        "connect",
        libc::SYS_connect,
        Anything,
        &[ECONNREFUSED, ETIMEDOUT, EADDRNOTAVAIL, EINTR],
        NOBODY,
    ),
    fault("recvfrom", libc::SYS_recvfrom, Anything, &[EINTR, ECONNRESET, ENOMEM], NOBODY),
    fault("sendto", libc::SYS_sendto, MoreThanOne(2), &[EINTR, ECONNRESET, ENOMEM], NOBODY),
    fault("sendfile", libc::SYS_sendfile, Anything, &[EINTR, ECONNRESET, EIO], NOBODY),
    #[cfg(target_arch = "x86_64")]
    fault("epoll_wait", libc::SYS_epoll_wait, Anything, &[EINTR], NOBODY),
    fault("epoll_ctl", libc::SYS_epoll_ctl, Anything, &[ENOSPC, ENOMEM], RESPONDER),
    fault("epoll_create1", libc::SYS_epoll_create1, Anything, &[EMFILE], BOTH),
    fault("eventfd2", libc::SYS_eventfd2, Anything, &[EMFILE], BOTH),
    fault("clone3", libc::SYS_clone3, Anything, &[EAGAIN], BOTH),
];

/// Temporary directories of tests, and all that is in them.
fn is_ours(path: &Path) -> bool {
    path.to_string_lossy().contains("/.tmp")
}

impl Fault {
    /// Whether a call is one.
    pub fn is(&self, call: &Call) -> bool {
        let path = |arg| call.path(arg).is_some_and(|path| is_ours(&path));
        let file = |arg| call.descriptor(arg).is_some_and(|path| is_ours(&path));
        call.number == self.number
            && match self.about {
                About::Path(arg) => path(arg),
                File(arg) => file(arg),
                PathOrFile(name, descriptor) => {
                    path(name)
                        || (file(descriptor)
                            && call.path(name).is_none_or(|name| name.as_os_str().is_empty()))
                }
                Is(arg, what) => {
                    let found = call.descriptor(arg);
                    found.is_some_and(|found| found.to_string_lossy().starts_with(what))
                }
                Command(arg, command) => call.args[arg] == command,
                Creates(flags, name) => call.args[flags] & libc::O_CREAT as u64 != 0 && path(name),
                MoreThanOne(arg) => call.args[arg] > 1,
                Anything => true,
            }
    }

    /// Whether `which` has to tell of it.
    pub fn has_to_be_told_by(&self, which: Which, errno: Errno) -> bool {
        errno != EINTR && self.told.contains(&which)
    }
}
