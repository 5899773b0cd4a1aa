//! What is left to somebody who has taken a program over: the rights of its process, asked of the
//! kernel, and calls that are put into it.

use super::*;

use fetchlogs::sys::linux::confine::{Confined, Needs, Tcp, confine};
use nix::errno::Errno;

/// CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE, CAP_LEASE (linux/capability.h).
const KEPT: u64 = 1 << 2 | 1 << 10 | 1 << 28;

/// Whether this kernel can forbid everything; if not, that is told.
fn kernel_forbids_all() -> bool {
    let nothing = Needs { write_below: &[], tcp: Tcp::No, capabilities: &[] };
    let confined = std::thread::spawn(move || confine(&nothing).unwrap()).join().unwrap();
    if confined != Confined::Wholly {
        left_out::tell("tests/attacks/confined.rs", "this kernel's Landlock is too old, or off");
    }
    confined == Confined::Wholly
}

#[test]
fn every_thread_of_the_responder_has_the_capabilities_it_needs_and_can_get_no_others() {
    let target = Target::new("");
    assert!(target.serve_well() < PATIENCE);
    let tasks = format!("/proc/{}/task", target.program.pid());
    let mut threads = 0;
    for task in fs::read_dir(tasks).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert_eq!(field_of(&status, "NoNewPrivs:"), "1", "{status}");
        for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
            let has = u64::from_str_radix(&field_of(&status, set), 16).unwrap();
            assert_eq!(has & !KEPT, 0, "{set} {status}");
        }
        threads += 1;
    }
    assert!(threads > 1, "it has helpers");
    target.stop();
}

#[cfg(target_arch = "x86_64")]
#[test]
fn whoever_runs_code_in_the_responder_can_read_and_neither_write_nor_execute_nor_connect() {
    use nix::libc;
    if !kernel_forbids_all() {
        return;
    }
    let target = Target::new("");
    let path = |name: &str| target.dir.path(name).into_os_string().into_encoded_bytes();
    let (log, new) = (path("log"), path("new"));
    let cwd = libc::AT_FDCWD as u64;
    let Some(mut inside) = Inside::of(target.program.pid()) else { return };
    let mut call = |number: i64, arguments: [Value<'_>; 4]| inside.call(number, arguments);
    use Value::{Bytes, Number};
    let none = Number(0);
    let open = |flags: i32| Number(flags as u64);
    // That calls can be put into it at all.
    let file = call(libc::SYS_openat, [Number(cwd), Bytes(&log), open(libc::O_RDONLY), none]);
    assert!(file.is_ok(), "{file:?}");
    let socket = [libc::AF_INET, libc::SOCK_STREAM, 0].map(|n| Number(n as u64));
    let socket = call(libc::SYS_socket, [socket[0], socket[1], socket[2], none]).unwrap();
    let mut address = (libc::AF_INET as u16).to_ne_bytes().to_vec();
    address.extend(target.address.port().to_be_bytes());
    address.extend([127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let append = open(libc::O_WRONLY | libc::O_APPEND);
    let create = open(libc::O_WRONLY | libc::O_CREAT);
    let attempts = [
        (libc::SYS_openat, [Number(cwd), Bytes(&log), append, none]),
        (libc::SYS_openat, [Number(cwd), Bytes(&new), create, Number(0o600)]),
        (libc::SYS_truncate, [Bytes(&log), Number(1), none, none]),
        (libc::SYS_mkdir, [Bytes(&new), Number(0o700), none, none]),
        (libc::SYS_symlink, [Bytes(&log), Bytes(&new), none, none]),
        (libc::SYS_unlink, [Bytes(&log), none, none, none]),
        (libc::SYS_rename, [Bytes(&log), Bytes(&new), none, none]),
        (libc::SYS_execve, [Bytes(b"/bin/true"), none, none, none]),
        (libc::SYS_connect, [Number(socket), Bytes(&address), Number(16), none]),
    ];
    for (number, arguments) in attempts {
        assert_eq!(call(number, arguments), Err(Errno::EACCES), "call {number}");
    }
    let others = Number(std::process::id().into());
    assert_eq!(call(libc::SYS_kill, [others, none, none, none]), Err(Errno::EPERM));
    let root = [Number(0), none, none, none];
    if nix::unistd::geteuid().is_root() {
        assert_eq!(call(libc::SYS_chroot, [Bytes(b"/"), none, none, none]), Err(Errno::EPERM));
    } else {
        assert_eq!(call(libc::SYS_setuid, root), Err(Errno::EPERM));
    }
    drop(inside);
    tally("attacks: calls put into the responder", attempts.len() as u64 + 2);
    assert_eq!(fs::read(target.dir.path("log")).unwrap(), CONTENT);
    assert!(!target.dir.path("new").exists());
    assert!(target.serve_well() < PATIENCE);
    target.stop();
}

#[test]
fn the_agent_of_snmpd_is_confined_before_it_reads_a_request() {
    let dir = Dir::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_snmp_from_file"))
        .arg(dir.path(""))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"PING\n").unwrap();
    let mut pong = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"PONG\n");
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(field_of(&status, "NoNewPrivs:"), "1");
    let has = u64::from_str_radix(&field_of(&status, "CapEff:"), 16).unwrap();
    assert_eq!(has & !(1 << 2), 0, "{has:x}");
}

/// An argument of a call.
#[derive(Clone, Copy)]
#[cfg(target_arch = "x86_64")]
enum Value<'a> {
    Number(u64),
    /// The address of these, and a NUL behind them.
    Bytes(&'a [u8]),
}

/// A process that is made to do calls by ptrace(2). It waits in one when it is seized.
#[cfg(target_arch = "x86_64")]
struct Inside {
    pid: nix::unistd::Pid,
    before: nix::libc::user_regs_struct,
}

#[cfg(target_arch = "x86_64")]
impl Inside {
    fn of(pid: i32) -> Option<Inside> {
        use nix::sys::{ptrace, wait::waitpid};
        let pid = nix::unistd::Pid::from_raw(pid);
        if let Err(errno) = ptrace::attach(pid) {
            left_out::tell("tests/attacks/confined.rs", &format!("ptrace: {errno}"));
            return None;
        }
        waitpid(pid, None).unwrap();
        Some(Inside { pid, before: ptrace::getregs(pid).unwrap() })
    }

    fn call(&mut self, number: i64, arguments: [Value<'_>; 4]) -> Result<u64, Errno> {
        use nix::sys::{ptrace, wait::waitpid};
        use std::os::unix::fs::FileExt;
        let memory = format!("/proc/{}/mem", self.pid);
        let memory = fs::File::options().write(true).open(memory).unwrap();
        // Below what is used of the stack, and its red zone.
        let mut place = (self.before.rsp - 65_536) & !15;
        let values = arguments.map(|argument| match argument {
            Value::Number(number) => number,
            Value::Bytes(bytes) => {
                let at = place;
                memory.write_all_at(&[bytes, &[0]].concat(), at).unwrap();
                place += bytes.len() as u64 / 16 * 16 + 32;
                at
            }
        });
        let mut there = self.before;
        // It stands behind the two bytes of the instruction by which it entered the kernel.
        there.rip -= 2;
        (there.rax, there.orig_rax) = (number as u64, u64::MAX);
        [there.rdi, there.rsi, there.rdx, there.r10] = values;
        ptrace::setregs(self.pid, there).unwrap();
        ptrace::step(self.pid, None).unwrap();
        waitpid(self.pid, None).unwrap();
        let result = ptrace::getregs(self.pid).unwrap().rax as i64;
        if (-4095..0).contains(&result) {
            Err(Errno::from_raw(-result as i32))
        } else {
            Ok(result as u64)
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for Inside {
    /// It goes on where it was.
    fn drop(&mut self) {
        use nix::sys::ptrace;
        let _ = ptrace::setregs(self.pid, self.before);
        let _ = ptrace::detach(self.pid, None);
    }
}
