//! What the kernel says was wrong, for people.

use std::io;

use nix::errno::Errno;

/// The cause in words: the kernel's own, without the number that `io::Error` puts behind them.
pub fn cause(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_in_words_only() {
        assert_eq!(
            cause(&io::Error::from_raw_os_error(libc::EADDRINUSE)),
            "Address already in use"
        );
        assert_eq!(cause(&io::Error::other("own words")), "own words");
    }
}
