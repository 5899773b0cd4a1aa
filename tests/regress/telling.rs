//! What was told wrongly, or not at all, when a call failed.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;

use crate::common::{Dir, Program, wait_until};
use crate::mirror::Mirror;
use crate::tracer::{Act, CAN_FAIL, Call, Ended, Traced};

/// What `fetch_logs` says whose call that `is` the one fails, at its start.
fn told_at_start(errno: Errno, is: impl Fn(&Call) -> bool + Send + 'static) -> String {
    let dir = Dir::new();
    dir.config("conf", "127.0.0.1 1 /log BASE/log BASE/log.pointer\n");
    std::fs::create_dir(dir.path("snmp")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fetch_logs"));
    command.arg(dir.path("snmp")).arg(dir.path("conf"));
    let decide = move |call: &Call| if is(call) { Act::Fail(errno) } else { Act::Go };
    let mut fetcher = Traced::start(command, decide);
    assert_eq!(fetcher.ended(), Ended::Code(1), "{}", fetcher.stderr());
    fetcher.stderr()
}

/// Found by failing calls: without memory for the first descriptor of its epoll, `fetch_logs` said that
/// it could not use the directory of the status files: all that can fail at its start was told by that name.
#[test]
fn a_start_without_memory_is_not_told_as_a_fault_of_the_status_directory() {
    if !CAN_FAIL {
        return;
    }
    let told = told_at_start(Errno::ENOMEM, |call| call.number == libc::SYS_epoll_ctl);
    assert_eq!(told, "cannot begin: Out of memory\n");
}

/// Found by failing calls: of a status directory that can't be looked at `fetch_logs` said `File exists`:
/// making it comes first, and whether it is a directory was asked by a call that has no room for a cause.
#[test]
fn a_status_directory_that_fails_is_told_with_its_cause() {
    if !CAN_FAIL {
        return;
    }
    let told = told_at_start(Errno::EIO, |call| {
        let looks = [libc::SYS_statx, libc::SYS_newfstatat].contains(&call.number);
        looks && call.path(1).is_some_and(|path| path.ends_with("snmp"))
    });
    assert!(told.ends_with("snmp: I/O error\n"), "{told}");
}

/// Found by failing calls: a connection that `serve_logs` had accepted and could not watch, for want of
/// memory, was closed without a word, and so were all that came after it.
#[test]
fn a_connection_that_cannot_be_watched_is_told_and_then_served() {
    if !CAN_FAIL {
        return;
    }
    let mirror = Mirror::of(b"a line\n");
    let (mut responder, address) = mirror.serve();
    responder.kill();
    let mut command = Command::new(env!("CARGO_BIN_EXE_serve_logs"));
    command.arg(mirror.log.with_file_name("../serve_logs.conf"));
    let mut accepted = false;
    let mut failed = false;
    let traced = Traced::start(command, move |call| {
        accepted |= call.number == libc::SYS_accept4;
        if accepted && !failed && call.number == libc::SYS_epoll_ctl {
            failed = true;
            return Act::Fail(Errno::ENOMEM);
        }
        Act::Go
    });
    wait_until("it listens", || traced.stdout().contains("listening on "));
    let fetcher: Program = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
    let told = "cannot accept connections for now: Out of memory";
    wait_until("it is told", || traced.stderr().contains(told));
    traced.signal(Signal::SIGTERM);
}

/// Found by failing calls: with a limit on the size of files `fetch_logs` was ended by SIGXFSZ at the first
/// write beyond it, without a word, and so at each start: nobody ignored the signal that comes with the error.
#[test]
fn a_copy_beyond_the_limit_of_file_size_is_told_and_the_fetcher_goes_on() {
    let mirror = Mirror::of(&vec![b'x'; 200_000]);
    let (_responder, address) = mirror.serve();
    mirror.configure(address, "");
    let mut command = mirror.command(&[]);
    // SAFETY: between fork and exec it makes this one system call.
    unsafe {
        command.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_FSIZE, 100_000, 100_000)?));
    }
    let mut fetcher = Program::spawn(&mut command);
    wait_until("it is told, or over", || {
        fetcher.said("ERR write data file: File too large") > 0 || fetcher.try_ended().is_some()
    });
    assert_eq!(fetcher.try_ended(), None);
    fetcher.stop();
    let fetcher = mirror.fetch_logs(address);
    mirror.wait_exact_by(&fetcher);
}

/// Found by failing calls: when the directory of copies was removed and made again between two checkpoints,
/// the next one synced the removed copy, wrote its pointer into the new directory and found nothing wrong:
/// what came was written to a file without a name, until the fetcher was started anew.
#[test]
fn a_copy_that_somebody_removed_is_told_and_fetched_again() {
    let mut mirror = Mirror::of(b"the first line\n");
    let (_responder, address) = mirror.serve();
    mirror.configure(address, "");
    let fetcher = mirror.fetch_logs_as(&["--sync", "50ms"]);
    mirror.wait_exact_by(&fetcher);
    let centre = mirror.copy.parent().unwrap();
    fs::remove_dir_all(centre).unwrap();
    fs::create_dir(centre).unwrap();
    mirror.append(b"the second line\n");
    fetcher.wait_said("it was removed by somebody else");
    mirror.wait_exact_by(&fetcher);
}
