//! A pointer file: any bytes are a pointer or refused in printable words. A pointer is written as one that
//! is the same, and of that every beginning and every flipped bit is refused.

use fetchlogs::fetch::pointer::{Held, emit_pointer, parse_pointer};

use super::checked::with_checksums;
use super::{Cuts, check_fault};

/// Beginnings and flipped bits that are tried of one pointer; which, its own bytes decide.
const DAMAGES: usize = 16;

pub fn target(data: &[u8]) {
    let bytes = with_checksums(data);
    let pointer = match parse_pointer(&bytes) {
        Ok(Held::Pointer(pointer)) => pointer,
        Ok(Held::Original(inode)) => {
            assert_eq!(inode.to_string().as_bytes(), bytes.trim_ascii());
            return;
        }
        Err(fault) => return check_fault(&fault),
    };
    let whole = emit_pointer(&pointer);
    assert_eq!(parse_pointer(&whole), Ok(Held::Pointer(pointer.clone())));
    assert!(pointer.base.checked_add(pointer.durable).is_some_and(|end| end <= i64::MAX as u64));
    let mut cuts = Cuts::of(&whole);
    let mut damaged = whole.clone();
    for _ in 0..DAMAGES {
        let at = cuts.number() % whole.len();
        match parse_pointer(&whole[..at]) {
            Err(_) => {}
            // The first word alone is what fetchlogs 1.1 wrote; ours are replaced as a whole.
            Ok(Held::Original(_)) => assert!(!whole[..at].trim_ascii().contains(&b' ')),
            Ok(other) => panic!("{at} bytes of {} are {other:?}", whole.escape_ascii()),
        }
        let bit = 1 << (cuts.number() % 8);
        damaged[at] ^= bit;
        assert!(parse_pointer(&damaged).is_err(), "{}", damaged.escape_ascii());
        damaged[at] ^= bit;
    }
}
