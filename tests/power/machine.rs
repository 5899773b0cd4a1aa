//! A machine that can lose its power without the others: a thread with a mount namespace of its own.
//!
//! Whatever it mounts is seen by it and by the programs that it starts, and by nobody else. When the
//! thread ends, the kernel takes the mounts away and with them the loop devices, however it ended: a
//! test that panics, or is killed, leaves nothing behind.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// Where both programs look which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What this thread has become.
pub struct Machine {
    /// Its disks lie here, in memory: what counts is what its file systems think of them.
    memory: tempfile::TempDir,
    boots: u64,
}

impl Machine {
    /// Makes this thread a machine, which has just been started.
    pub fn start() -> io::Result<Machine> {
        let none: Option<&str> = None;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let memory = tempfile::tempdir()?;
        mount(Some("tmpfs"), memory.path(), Some("tmpfs"), MsFlags::empty(), none)?;
        let mut machine = Machine { memory, boots: 0 };
        machine.boot();
        mount(Some(&machine.path("boot")), BOOT_ID, none, MsFlags::MS_BIND, none)?;
        Ok(machine)
    }

    /// A path in its memory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.memory.path().join(name)
    }

    /// It is started anew: programs that are started from now on see another boot.
    pub fn boot(&mut self) {
        self.boots += 1;
        let id = format!("{:08x}-0000-4000-8000-{:012x}\n", std::process::id(), self.boots);
        fs::write(self.path("boot"), id).unwrap();
    }

    /// Whether a thread can become one here, and why not.
    pub fn possible() -> Result<(), String> {
        let tried = std::thread::spawn(|| {
            let mut machine = Machine::start()?;
            let seen = fs::read_to_string(BOOT_ID)?;
            machine.boot();
            let differs = fs::read_to_string(BOOT_ID)? != seen;
            File::options().read(true).write(true).open("/dev/loop-control")?;
            Ok(differs)
        });
        match tried.join().unwrap() {
            Ok(true) => Ok(()),
            Ok(false) => Err("the boot's name can't be changed".to_owned()),
            Err(error) => Err(io::Error::to_string(&error)),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = umount2(BOOT_ID, MntFlags::MNT_DETACH);
        let _ = umount2(self.memory.path(), MntFlags::MNT_DETACH);
    }
}

/// The program ends with the thread that starts it, even if that is killed: it would hold the mounts.
pub fn bound(command: &mut Command) -> &mut Command {
    // SAFETY: prctl(2) is a system call and allocates nothing.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        })
    }
}

/// The directory of a path.
pub fn dir(path: &Path) -> &Path {
    path.parent().unwrap()
}
