//! What somebody may put where a log is expected.

use super::*;
use std::os::unix::fs::symlink;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

fn served(names: &[&str]) -> String {
    names.iter().map(|name| format!("file BASE/{name}\n")).collect()
}

#[test]
fn what_is_no_regular_file_is_neither_read_nor_waited_for() {
    let dir = Dir::new();
    fs::create_dir(dir.path("directory")).unwrap();
    nix::unistd::mkfifo(&dir.path("pipe"), Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path("socket")).unwrap();
    let mut names = vec!["directory", "pipe", "socket", "environ", "stdin", "magic", "loop"];
    symlink("/proc/self/environ", dir.path("environ")).unwrap();
    symlink("/dev/stdin", dir.path("stdin")).unwrap();
    symlink("/proc/self/fd/0", dir.path("magic")).unwrap();
    symlink("loop", dir.path("loop")).unwrap();
    // /dev/zero, which never ends; and a terminal, which may become ours.
    let made = [("zero", (1, 5)), ("terminal", (5, 0))].map(|(name, (major, minor))| {
        mknod(&dir.path(name), SFlag::S_IFCHR, Mode::S_IRWXU, makedev(major, minor))
    });
    match made.iter().all(Result::is_ok) {
        true => names.extend(["zero", "terminal"]),
        false => left_out::tell("tests/attacks/files.rs", "devices can be made by root only"),
    }
    let target = Target::in_dir(dir, &served(&names));
    target.withstands(10, || {
        for name in &names {
            for _ in 0..20 {
                assert!(target.answer(target.request(name).as_bytes()).is_empty(), "{name}");
            }
        }
    });
    tally("attacks: special files asked for", names.len() as u64 * 20);
    target.stop();
}

#[test]
fn magic_links_below_proc_lead_nowhere_though_somebody_configured_them() {
    let dir = Dir::new();
    let names = ["/proc/self/fd/0", "/proc/self/exe", "/proc/self/cwd", "/proc/self/root"];
    let settings: String = names.iter().map(|name| format!("file {name}\n")).collect();
    let target = Target::in_dir(dir, &settings);
    for name in &names {
        assert!(target.answer(format!("{name}\n").as_bytes()).is_empty(), "{name}");
    }
    target.stop();
}

/// fs.protected_hardlinks forbids to link what one can't read and write, where it is set; what a name
/// in a log's directory leads to, without a link, is that log. This says so.
#[test]
fn a_hard_link_is_the_file_it_is_a_name_of() {
    let dir = Dir::new();
    dir.write("elsewhere", "behind a hard link\n");
    fs::hard_link(dir.path("elsewhere"), dir.path("linked")).unwrap();
    let target = Target::in_dir(dir, &served(&["linked"]));
    let mut stream = target.connect();
    stream.write_all(target.request("linked").as_bytes()).unwrap();
    let mut heard = vec![0; format!("O {}\nbehind", target.dir.inode("linked")).len()];
    stream.read_exact(&mut heard).unwrap();
    assert!(heard.ends_with(b"behind"));
    target.stop();
}

/// A directory on another file system than the rest, where files may be as long as numbers are.
fn in_memory(name: &str) -> Option<(tempfile::TempDir, std::path::PathBuf)> {
    let dir = tempfile::Builder::new().tempdir_in("/dev/shm").ok();
    let Some(dir) = dir else {
        left_out::tell("tests/attacks/files.rs", "there is no /dev/shm");
        return None;
    };
    let path = dir.path().join(name);
    Some((dir, path))
}

#[test]
fn a_file_of_eight_exbibytes_on_another_file_system_is_served_in_small_pieces() {
    let Some((_dir, path)) = in_memory("sparse") else { return };
    fs::write(&path, "begin").unwrap();
    let end = i64::MAX as u64;
    fs::File::options().write(true).open(&path).unwrap().set_len(end).unwrap();
    let target = Target::in_dir(Dir::new(), &format!("file {}\n", path.display()));
    let inode = common::inode(&path);
    let ask = |offset: u64| {
        let mut stream = target.connect();
        stream.write_all(format!("{} {inode} {offset}\n", path.display()).as_bytes()).unwrap();
        let mut status = vec![0; format!("O {inode}\n").len()];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(status[0], b'O');
        stream
    };
    target.withstands(100, || {
        let mut begin = [0; 6];
        ask(0).read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"begin\0");
        // Many read some megabytes of it, some of them its very end, and some nothing.
        let idle: Vec<TcpStream> = (0..20).map(|at| ask(at << 55)).collect();
        std::thread::scope(|scope| {
            for at in 0..4u64 {
                let ask = &ask;
                scope.spawn(move || {
                    let mut stream = ask(at << 60);
                    let mut taken = vec![0; 1 << 20];
                    (0..8).for_each(|_| stream.read_exact(&mut taken).unwrap());
                    assert!(taken.iter().all(|&b| b == 0));
                });
            }
        });
        for left in [0, 1, 2, 4096] {
            let mut stream = ask(end - left);
            let mut all = vec![9; left as usize + 1];
            stream.read_exact(&mut all).unwrap();
            assert!(all[..left as usize].iter().all(|&b| b == 0) && all[left as usize] == 7);
        }
        // Its digest is asked for, and nobody waits for it.
        let digest = format!("DIGEST {} {inode} 0 {end} +2\n", path.display());
        let mut stream = target.connect();
        stream.write_all(digest.as_bytes()).unwrap();
        drop(idle);
    });
    target.stop();
}

#[test]
fn a_directory_with_too_many_names_costs_its_own_log_and_no_other() {
    let Some((_dir, path)) = in_memory("flooded") else { return };
    let number = 100_001;
    for count in 0..number {
        fs::File::create(path.with_extension(format!("{count}"))).unwrap();
    }
    fs::write(&path, CONTENT).unwrap();
    let target = Target::in_dir(Dir::new(), &format!("file {}\n", path.display()));
    let asked = format!("{} 5 7 +2 id=5.6.7\n", path.display());
    target.withstands(100, || {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let answer = target.answer(asked.as_bytes());
                    assert!(!answer.windows(8).any(|eight| eight == &CONTENT[..8]));
                });
            }
        });
    });
    tally("attacks: names in the directory of a log", number);
    // One that a rotation made is served again when the names are gone.
    for count in 0..number {
        fs::remove_file(path.with_extension(format!("{count}"))).unwrap();
    }
    let mut stream = target.connect();
    stream.write_all(format!("{}\n", path.display()).as_bytes()).unwrap();
    let mut heard = vec![0; format!("O {}\n", common::inode(&path)).len() + CONTENT.len()];
    stream.read_exact(&mut heard).unwrap();
    assert!(heard.ends_with(CONTENT));
    target.stop();
}

#[test]
fn a_log_that_is_cut_removed_and_replaced_all_the_time_gives_its_own_bytes_only() {
    let target = Target::new("file BASE/busy\nlinger 0s\ncheck 50ms\n");
    let line = b"a line of the log that is being served\n";
    target.dir.write("busy", line.repeat(1000));
    let over = AtomicBool::new(false);
    let mut changes = 0;
    target.withstands(100, || {
        std::thread::scope(|scope| {
            let reading: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..150 * times_more() {
                            // The status, then lines, and heartbeats of protocol 1 among them.
                            let heard = target.answer(target.request("busy").as_bytes());
                            let body = heard.splitn(2, |&b| b == b'\n').nth(1).unwrap_or_default();
                            assert!(body.iter().all(|b| *b == 7 || line.contains(b)));
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    match changes % 4 {
                        0 => fs::File::create(target.dir.path("busy")).map(drop).unwrap(),
                        1 => fs::remove_file(target.dir.path("busy")).unwrap(),
                        2 => {
                            target.dir.write("busy", line.repeat(500)).pop().then_some(()).unwrap()
                        }
                        _ => {
                            target.dir.write("new", line.repeat(2000));
                            target.dir.rename("new", "busy");
                        }
                    }
                    changes += 1;
                }
            });
            let read: Vec<_> = reading.into_iter().map(|reader| reader.join()).collect();
            over.store(true, Ordering::Relaxed);
            read.into_iter().for_each(|read| read.unwrap());
        });
    });
    tally("attacks: changes of a log while it was opened and read", changes);
    target.stop();
}
