//! What is given up is gone, and what is needed is there.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::*;

/// What is confined is a thread: the test's own goes on as it was.
fn confined(needs: Needs<'static>, doing: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || match confine(&needs).unwrap() {
        Confined::Wholly => doing(),
        Confined::Partly | Confined::WithoutLandlock => {
            eprintln!("sys/linux/confine: this kernel can't forbid all that there is to forbid");
        }
    });
    thread.join().unwrap();
}

fn is_denied<T>(done: io::Result<T>) -> bool {
    done.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

const NOTHING: Needs<'static> = Needs { write_below: &[], tcp: Tcp::No, capabilities: &[] };

#[test]
fn who_needs_nothing_reads_and_neither_writes_nor_executes_nor_connects_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    std::fs::write(&path, "before").unwrap();
    let mut open = File::options().append(true).open(&path).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    confined(NOTHING, move || {
        assert_eq!(std::fs::read(&path).unwrap(), b"before");
        assert!(is_denied(File::options().write(true).open(&path)));
        assert!(is_denied(File::options().append(true).open(&path)));
        assert!(is_denied(File::create(path.with_extension("new"))));
        assert!(is_denied(std::fs::create_dir(path.with_extension("dir"))));
        assert!(is_denied(std::os::unix::fs::symlink(&path, path.with_extension("link"))));
        assert!(is_denied(std::fs::rename(&path, path.with_extension("moved"))));
        assert!(is_denied(std::fs::remove_file(&path)));
        assert!(is_denied(UnixListener::bind(path.with_extension("socket"))));
        assert!(is_denied(Command::new("/bin/true").status()));
        assert!(is_denied(TcpStream::connect(address)));
        assert!(is_denied(TcpListener::bind("127.0.0.1:0")));
        // What was open before stays so: a journal, a standard stream.
        open.write_all(b" and after").unwrap();
        let mut text = String::new();
        File::open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "before and after");
    });
    assert!(TcpStream::connect(address).is_ok());
}

#[test]
fn files_are_kept_below_the_directories_that_are_named_and_nowhere_else() {
    let dir = Box::leak(Box::new(tempfile::tempdir().unwrap())).path();
    for sub in ["kept", "kept/a", "kept/b", "other"] {
        std::fs::create_dir(dir.join(sub)).unwrap();
    }
    let kept: &'static Path = Box::leak(dir.join("kept").into_boxed_path());
    let write_below: &'static [&'static Path] = Box::leak(Box::new([kept]));
    confined(Needs { write_below, ..NOTHING }, move || {
        std::fs::write(kept.join("a/log"), "text").unwrap();
        std::fs::rename(kept.join("a/log"), kept.join("b/log")).unwrap();
        std::fs::create_dir(kept.join("c")).unwrap();
        std::fs::remove_dir(kept.join("c")).unwrap();
        File::options().write(true).truncate(true).open(kept.join("b/log")).unwrap();
        assert!(is_denied(std::os::unix::fs::symlink("/etc", kept.join("link"))));
        assert!(std::fs::rename(kept.join("b/log"), dir.join("other/log")).is_err());
        assert!(is_denied(File::create(dir.join("other/log"))));
        std::fs::remove_file(kept.join("b/log")).unwrap();
    });
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_directory_that_is_missing_is_an_error_that_names_it() {
    let missing: &'static [&'static Path] = Box::leak(Box::new([Path::new("/no/such/place")]));
    let told = std::thread::spawn(move || confine(&Needs { write_below: missing, ..NOTHING }));
    let error = told.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("/no/such/place"), "{error}");
}

#[test]
fn tcp_goes_only_the_way_that_is_needed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    confined(Needs { tcp: Tcp::Listens, ..NOTHING }, move || {
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(is_denied(TcpStream::connect(own.local_addr().unwrap())));
        assert!(is_denied(TcpStream::connect(address)));
    });
    confined(Needs { tcp: Tcp::Connects, ..NOTHING }, move || {
        TcpStream::connect(address).unwrap();
        assert!(is_denied(TcpListener::bind("127.0.0.1:0")));
    });
}

#[test]
fn of_the_capabilities_only_those_are_left_that_were_there_and_are_kept() {
    let had = caps::read(None, CapSet::Permitted).unwrap();
    let capabilities: &'static [Keep] = &[Keep::Leases, Keep::ReadAll];
    let thread = std::thread::spawn(move || {
        confine(&Needs { capabilities, ..NOTHING }).unwrap();
        let mut status = String::new();
        File::open("/proc/thread-self/status").unwrap().read_to_string(&mut status).unwrap();
        assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
        [CapSet::Permitted, CapSet::Effective, CapSet::Inheritable, CapSet::Ambient]
            .map(|set| caps::read(None, set).unwrap())
    });
    let [permitted, effective, inheritable, ambient] = thread.join().unwrap();
    let kept = [Capability::CAP_LEASE, Capability::CAP_DAC_READ_SEARCH];
    let left: CapsHashSet = kept.into_iter().filter(|one| had.contains(one)).collect();
    assert_eq!(permitted, left);
    assert!(effective.is_subset(&left) && inheritable.is_empty() && ambient.is_empty());
    assert_eq!(caps::read(None, CapSet::Permitted).unwrap(), had);
}

/// Refuses a call to this thread, as the filter of a unit does.
fn refuse(call: libc::c_long) {
    let jump = |code: u32, k: u32, jt, jf| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut lines = [
        jump(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        jump(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call as u32, 0, 1),
        jump(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0, 0),
        jump(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let filter = libc::sock_fprog { len: 4, filter: lines.as_mut_ptr() };
    // SAFETY: the first takes numbers; the second reads the filter, which lives until it returns.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter), 0);
    }
}

#[test]
fn a_sandbox_that_keeps_capabilities_in_place_keeps_nobody_from_giving_up_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let had = !caps::read(None, CapSet::Permitted).unwrap().is_empty();
    std::thread::spawn(move || {
        refuse(libc::SYS_capset);
        let done = confine(&NOTHING).unwrap();
        if done != Confined::WithoutLandlock {
            assert!(!had || done == Confined::Partly);
            assert!(is_denied(File::create(path)));
        }
    })
    .join()
    .unwrap();
}

#[test]
fn where_there_is_no_landlock_it_is_said_and_the_rest_is_given_up() {
    std::thread::spawn(|| {
        refuse(libc::SYS_landlock_create_ruleset);
        assert_eq!(confine(&NOTHING).unwrap(), Confined::WithoutLandlock);
        assert!(caps::read(None, CapSet::Permitted).unwrap().is_empty());
    })
    .join()
    .unwrap();
}
