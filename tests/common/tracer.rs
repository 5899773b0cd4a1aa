//! A program whose system calls are seen one by one, in all of its threads: each is let go, made to fail, or
//! the last thing that the program is about to do.
//!
//! strace counts the calls of each thread apart, so its `when=N` can't reach the second thread's first call
//! behind the first thread's. Here the calls are counted as they come.

#![allow(dead_code)] // Each test binary uses its part of it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::common::{Collected, collect, wait_for};

/// Whether calls can be made to fail: how a call is changed is known of this machine only.
pub const CAN_FAIL: bool = cfg!(target_arch = "x86_64");

/// A call that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pid: Pid,
    /// Its number, one of `libc::SYS_*`.
    pub number: i64,
    /// Its arguments.
    pub args: [u64; 6],
    /// The first thread of the program makes it.
    pub main: bool,
}

impl Call {
    /// What the descriptor in an argument is: a path, or `socket:[...]` and the like.
    pub fn descriptor(&self, arg: usize) -> Option<PathBuf> {
        let number = i32::try_from(self.args[arg] as i64).ok()?;
        fs::read_link(format!("/proc/{}/fd/{number}", self.pid)).ok()
    }

    /// The path that an argument points to.
    pub fn path(&self, arg: usize) -> Option<PathBuf> {
        let memory = fs::File::open(format!("/proc/{}/mem", self.pid)).ok()?;
        let mut bytes = [0; 256];
        let count = memory.read_at(&mut bytes, self.args[arg]).ok()?;
        let end = bytes[..count].iter().position(|&byte| byte == 0)?;
        Some(Path::new(std::str::from_utf8(&bytes[..end]).ok()?).to_owned())
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// It is made.
    Go,
    /// The program is killed before it is made.
    Kill,
    /// It is not made, and fails with this.
    Fail(Errno),
}

/// How a program ended: its exit code, or the signal that ended it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    Code(i32),
    Signal(Signal),
}

/// A program that is traced; killed when dropped.
pub struct Traced {
    pid: Pid,
    tracing: Option<JoinHandle<()>>,
    ended: Arc<Mutex<Option<Ended>>>,
    /// What it wrote on standard output and standard error.
    output: [Collected; 2],
}

impl Traced {
    /// Starts `command`; `decide` is asked before each call.
    pub fn start(
        mut command: Command,
        decide: impl FnMut(&Call) -> Act + Send + 'static,
    ) -> Traced {
        let (tell, told) = channel();
        let ended = Arc::new(Mutex::new(None));
        let theirs = Arc::clone(&ended);
        let tracing = std::thread::spawn(move || {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            // SAFETY: between fork and exec it makes this one system call.
            unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
            #[allow(clippy::zombie_processes)] // The tracer waits for it, and for its threads.
            let mut child = command.spawn().expect("the program can be started");
            let output =
                [collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap())];
            let pid = Pid::from_raw(child.id() as i32);
            tell.send((pid, output)).unwrap();
            let mut tracer =
                Tracer { pid, threads: HashSet::new(), failing: HashMap::new(), decide };
            *theirs.lock().unwrap() = Some(tracer.trace());
        });
        let (pid, output) = Receiver::recv(&told).expect("it was started");
        Traced { pid, tracing: Some(tracing), ended, output }
    }

    /// How it ended, if it has.
    pub fn try_ended(&self) -> Option<Ended> {
        *self.ended.lock().unwrap()
    }

    /// Waits for its end, and until all that it wrote was read.
    pub fn ended(&mut self) -> Ended {
        let ended = wait_for("the traced program has ended", || self.try_ended());
        self.output.iter_mut().for_each(Collected::finish);
        ended
    }

    /// Sends it a signal, if it has not ended.
    pub fn signal(&self, signal: Signal) {
        if self.try_ended().is_none() {
            // It may end this moment; nobody else gets its number so soon.
            let _ = kill(self.pid, signal);
        }
    }

    /// What it wrote on standard output.
    pub fn stdout(&self) -> String {
        self.output[0].text()
    }

    /// What it wrote on standard error.
    pub fn stderr(&self) -> String {
        self.output[1].text()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Some(tracing) = self.tracing.take() {
            let _ = tracing.join();
        }
    }
}

/// The thread that traces: only the one that started the program may.
struct Tracer<D> {
    pid: Pid,
    threads: HashSet<Pid>,
    /// Threads in a call that is to fail.
    failing: HashMap<Pid, Errno>,
    decide: D,
}

impl<D: FnMut(&Call) -> Act> Tracer<D> {
    /// Until the end of the program.
    fn trace(&mut self) -> Ended {
        let first = waitpid(self.pid, Some(WaitPidFlag::__WALL)).unwrap();
        assert!(matches!(first, WaitStatus::Stopped(..)), "{first:?}");
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(self.pid, options).unwrap();
        self.threads.insert(self.pid);
        self.go_on(self.pid, None);
        let mut ended = None;
        loop {
            // Only children of this thread: the others belong to other tests.
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.pid => {
                    ended = Some(Ended::Code(code))
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.pid => {
                    ended = Some(Ended::Signal(signal));
                }
                Ok(WaitStatus::PtraceSyscall(thread)) => self.at_call(thread),
                Ok(WaitStatus::Stopped(thread, signal)) => {
                    // A new thread begins with a stop of its own.
                    let new = self.threads.insert(thread) && signal == Signal::SIGSTOP;
                    self.go_on(thread, (!new).then_some(signal));
                }
                Ok(WaitStatus::PtraceEvent(thread, ..)) => self.go_on(thread, None),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return ended.expect("the first thread was waited for"),
                Err(errno) => panic!("{errno}"),
            }
        }
    }

    /// It may have been killed meanwhile.
    fn go_on(&self, thread: Pid, signal: Option<Signal>) {
        let _ = ptrace::syscall(thread, signal);
    }

    fn at_call(&mut self, thread: Pid) {
        let Ok(info) = ptrace::syscall_info(thread) else { return };
        if info.op == libc::PTRACE_SYSCALL_INFO_EXIT {
            if let Some(errno) = self.failing.remove(&thread) {
                set_result(thread, errno);
            }
        } else if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY {
            // SAFETY: `op` says which of them it is.
            let entry = unsafe { info.u.entry };
            let main = thread == self.pid;
            let call = Call { pid: self.pid, number: entry.nr as i64, args: entry.args, main };
            match (self.decide)(&call) {
                Act::Go => {}
                Act::Kill => {
                    let _ = kill(self.pid, Signal::SIGKILL);
                    return;
                }
                Act::Fail(errno) => {
                    skip_call(thread);
                    self.failing.insert(thread, errno);
                }
            }
        }
        self.go_on(thread, None);
    }
}

/// The call that a thread is about to make is not made.
#[cfg(target_arch = "x86_64")]
fn skip_call(thread: Pid) {
    if let Ok(mut registers) = ptrace::getregs(thread) {
        registers.orig_rax = u64::MAX;
        let _ = ptrace::setregs(thread, registers);
    }
}

/// What the call of a thread gives.
#[cfg(target_arch = "x86_64")]
fn set_result(thread: Pid, errno: Errno) {
    if let Ok(mut registers) = ptrace::getregs(thread) {
        registers.rax = -(errno as i64) as u64;
        let _ = ptrace::setregs(thread, registers);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn skip_call(_: Pid) {
    panic!("calls can't be made to fail on this machine");
}

#[cfg(not(target_arch = "x86_64"))]
fn set_result(_: Pid, _: Errno) {
    panic!("calls can't be made to fail on this machine");
}
