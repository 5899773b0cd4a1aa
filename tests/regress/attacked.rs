//! What somebody who wished the responder ill has found.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use crate::common::{Dir, PATIENCE, Program, inode};
use crate::left_out;
use fetchlogs::sys::logs::{DiskLogs, Logs};

/// What is told to be listened at.
fn serve(dir: &Dir, settings: &str) -> (Program, String) {
    let conf = dir.config("conf", &format!("listen 127.0.0.1:0\nallow 127.0.0.1\n{settings}"));
    let mut program = Program::spawn(Command::new(env!("CARGO_BIN_EXE_serve_logs")).arg(conf));
    let address = program.told("listening on ");
    (program, address)
}

fn ask(address: &str, request: &str, expected: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut heard = vec![0; expected.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), expected);
}

/// Found by attacks: as many peers as max-connections that connected and asked for nothing kept everybody
/// else out until request-timeout had passed, and then came again. Nothing bounded those without a request
/// but the limit of all.
#[test]
fn peers_that_ask_for_nothing_keep_nobody_out_however_many_they_are() {
    let dir = Dir::new();
    let path = dir.write("log", "content\n");
    let settings = "file BASE/log\nmax-connections 100\nrequest-timeout 10m\n";
    let (_program, address) = serve(&dir, settings);
    let silent: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let expected = format!("O {}\ncontent\n", inode(&path));
    ask(&address, &format!("{}\n", path.display()), &expected);
    drop(silent);
}

/// Found by attacks: rotated logs were looked for by a path that follows links. Who put a link in the place
/// of a log's directory had the responder list another one and look at what it could not have looked at
/// himself. No byte of a file was sent: files were opened without following links.
#[test]
fn a_directory_behind_a_link_is_neither_listed_nor_looked_at() {
    let dir = Dir::new();
    fs::create_dir(dir.path("secret")).unwrap();
    dir.write("secret/log.1", "secret");
    std::os::unix::fs::symlink("secret", dir.path("logs")).unwrap();
    let logs = DiskLogs::new().unwrap();
    assert!(logs.names(&dir.path("logs"), 9).is_err());
    assert!(logs.facts_at(&dir.path("logs/log.1")).is_err());
    assert_eq!(logs.names(&dir.path("secret"), 9).unwrap(), ["log.1"]);
}

/// Found by attacks: a sparse file of 8 EiB could not be asked for near its end. The kernel refuses a read
/// whose offset and length together are beyond 2^63 - 1 (EINVAL), however few bytes there are, and the bytes
/// around the position are read with some to spare. So such a log was called unreadable for ever.
#[test]
fn the_last_bytes_of_a_file_that_is_as_long_as_a_file_can_be_are_served() {
    let Ok(shm) = tempfile::Builder::new().tempdir_in("/dev/shm") else {
        return left_out::tell("tests/regress/attacked.rs", "there is no /dev/shm");
    };
    let path = shm.path().join("log");
    let end = i64::MAX as u64;
    fs::File::create(&path).unwrap().set_len(end).unwrap();
    let dir = Dir::new();
    let (_program, address) = serve(&dir, &format!("file {}\n", path.display()));
    let inode = inode(&path);
    let request = format!("{} {inode} {}\n", path.display(), end - 2);
    ask(&address, &request, &format!("O {inode}\n\0\0\x07"));
}
