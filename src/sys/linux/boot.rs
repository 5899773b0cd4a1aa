//! Which run of the host this is.

use std::path::Path;

use crate::pos::Token;
use crate::sys::clock;
use crate::sys::text::read_whole;

/// A name that is another one each time the host is started. Where the kernel gives none, as without
/// `/proc`, it is another one each time this is called: more is compared then, never less.
pub fn boot_id() -> Token {
    let told = read_whole(Path::new("/proc/sys/kernel/random/boot_id"), 4096).ok();
    told.and_then(|text| Token::parse(text.trim_ascii()))
        .unwrap_or_else(|| Token::of_number(clock::wall_ns()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_has_one_name() {
        assert_eq!(boot_id(), boot_id());
    }
}
