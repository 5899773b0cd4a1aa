//! What somebody who wished the responder ill has found.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use crate::common::{Dir, PATIENCE, Program, inode};
use crate::left_out;

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
    let text = format!("listen 127.0.0.1:0\nallow 127.0.0.1\nfile {}\n", path.display());
    let conf = dir.config("conf", &text);
    let mut program = Program::spawn(Command::new(env!("CARGO_BIN_EXE_serve_logs")).arg(conf));
    let mut stream = TcpStream::connect(program.told("listening on ")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let inode = inode(&path);
    stream.write_all(format!("{} {inode} {}\n", path.display(), end - 2).as_bytes()).unwrap();
    let expected = format!("O {inode}\n\0\0\x07");
    let mut heard = vec![0; expected.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), expected);
}
