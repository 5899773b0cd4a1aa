//! The archives that lie beside a copy, as their names tell: `COPY.YYYYmmddHHMMSS`, with a number behind it
//! where a second was taken, and with the suffix of a format where somebody compressed it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::sys::fs::{DiskFs, Fs, dir_of};
use crate::sys::unpack::Format;

/// Digits of the time in a name.
const TIME_DIGITS: usize = 14;

/// An archive's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Name {
    /// As it was when the archive was made: what the manifest has.
    pub plain: OsString,
    /// As it is.
    pub now: OsString,
}

impl Name {
    /// Of a file beside a copy called `copy`; `None` if no archive of it is called so.
    pub fn parse(copy: &OsStr, now: &OsStr) -> Option<Name> {
        let packed =
            Format::SUFFIXES.iter().find_map(|(suffix, _)| now.as_bytes().strip_suffix(*suffix));
        let plain = packed.unwrap_or(now.as_bytes());
        let rest = plain.strip_prefix(copy.as_bytes())?.strip_prefix(b".")?;
        let (time, number) = rest.split_at_checked(TIME_DIGITS)?;
        let numbered = match number {
            [] => true,
            [b'.', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        let whole = numbered && time.iter().all(u8::is_ascii_digit);
        whole.then(|| Name { plain: OsStr::from_bytes(plain).to_owned(), now: now.to_owned() })
    }
}

/// Every archive beside `copy`, in the order of their names.
pub fn archives(fs: &DiskFs, copy: &Path) -> io::Result<Vec<Name>> {
    let names = match fs.names(dir_of(copy)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names?,
    };
    let copy = copy.file_name().unwrap_or_default();
    let mut found: Vec<Name> = names.iter().filter_map(|now| Name::parse(copy, now)).collect();
    found.sort();
    Ok(found)
}

/// Where the archive at `path` may be since somebody compressed it, and how that is to be read.
pub fn packed(path: &Path) -> impl Iterator<Item = (PathBuf, Format)> {
    Format::SUFFIXES.iter().map(move |&(suffix, format)| {
        let mut packed = path.as_os_str().to_owned();
        packed.push(OsStr::from_bytes(suffix));
        (packed.into(), format)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_known_by_its_name_whatever_it_was_compressed_to() {
        let plain = |now: &str| {
            let name = Name::parse("log.gz".as_ref(), now.as_ref())?;
            assert_eq!(name.now, now);
            Some(name.plain.into_string().unwrap())
        };
        for name in ["log.gz.20261121142249", "log.gz.20261121142249.1", "log.gz.20261121142249.12"]
        {
            assert_eq!(plain(name).as_deref(), Some(name));
            for suffix in [".gz", ".zst", ".xz", ".bz2"] {
                assert_eq!(plain(&format!("{name}{suffix}")).as_deref(), Some(name));
            }
        }
        for name in [
            "log.gz",
            "log.gz.",
            "log.gz.2026112114224",
            "log.gz.202611211422490",
            "log.gz.2026112114224x",
            "log.gz.20261121142249.",
            "log.gz.20261121142249.1x",
            "log.gz.20261121142249.gz.gz",
            "log.gz.20261121142249.lz4",
            "log.gz20261121142249",
            "other.20261121142249",
            "log.gz.unverified.20261121142249",
        ] {
            assert_eq!(plain(name), None, "{name}");
        }
    }
}
