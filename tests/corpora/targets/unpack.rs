//! A compressed file: the first byte says how (`g`, `z`, `x`, `b`), the rest is the file.
//!
//! Its bytes and its end are the same however they are read, a decoder needs no more memory than it may,
//! and of bytes behind a damage there are none.

use std::io::{Cursor, Read};

use fetchlogs::serve::unpacking::{Ending, STEP_BYTES, Unpacking};
use fetchlogs::sys::unpack::{Format, Unpacker};

/// Read of one file; a few bytes may be the beginning of terabytes.
const READ_BYTES_MAX: usize = 400 << 10;

pub fn target(data: &[u8]) {
    let Some((letter, packed)) = data.split_first() else { return };
    let suffix: &[u8] = match letter {
        b'g' => b"log.gz",
        b'z' => b"log.zst",
        b'x' => b"log.xz",
        b'b' => b"log.bz2",
        _ => return,
    };
    let format = Format::of_name(suffix).expect("a format");
    let [steps, small] = [STEP_BYTES, 1000].map(|piece| read(format, packed, piece));
    let len = steps.0.len().min(small.0.len());
    assert!(steps.0[..len] == small.0[..len]);
    // How much is had before a damage depends on how it is read, how a whole file ends does not.
    if steps.1 == Some(true) || small.1 == Some(true) {
        assert!(steps.1 == small.1 && steps.0.len() == small.0.len());
    }
    check_unpacking(format, packed, &steps);
}

/// What was read, and whether that was all; `None` where that was not found out.
fn read(format: Format, packed: &[u8], piece: usize) -> (Vec<u8>, Option<bool>) {
    let mut bytes = Vec::new();
    let Ok(mut unpacker) = Unpacker::new(format, Cursor::new(packed.to_vec())) else {
        return (bytes, Some(false));
    };
    let mut buf = vec![0; piece];
    while bytes.len() < READ_BYTES_MAX {
        match unpacker.read(&mut buf) {
            Ok(0) => return (bytes, Some(true)),
            Ok(count) => bytes.extend_from_slice(&buf[..count]),
            Err(_) => {
                assert!(unpacker.read(&mut buf).is_err(), "something behind an error");
                return (bytes, Some(false));
            }
        }
    }
    (bytes, None)
}

/// The same through what a responder reads it with.
fn check_unpacking(format: Format, packed: &[u8], read: &(Vec<u8>, Option<bool>)) {
    let mut unpacking = Unpacking::new(Unpacker::new(format, Cursor::new(packed.to_vec())));
    let mut at = 0;
    while unpacking.ending().is_none() && at < READ_BYTES_MAX {
        unpacking.refill();
        let rest = unpacking.rest();
        // Before a damage it may have more than was read otherwise.
        let known = read.0.get(at..).unwrap_or_default();
        let len = rest.len().min(known.len());
        assert!(rest[..len] == known[..len]);
        at += rest.len();
        unpacking.consume(rest.len());
    }
    match (unpacking.ending(), read.1) {
        (Some(Ending::Whole), Some(whole)) => assert!(whole && at == read.0.len()),
        (Some(Ending::Damaged(_)), Some(whole)) => assert!(!whole),
        (_, None) => assert!(at >= READ_BYTES_MAX.min(read.0.len())),
        (None, Some(_)) => assert!(at >= READ_BYTES_MAX),
    }
}
