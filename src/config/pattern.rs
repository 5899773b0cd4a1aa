//! Patterns for the names of rotated files.
//!
//! The last component of a pattern is a glob, the directory before it has no wildcards: a finder
//! reads one directory and never walks a tree. A backslash takes any byte literally, in the
//! directory too.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::glob::{check_glob, escape_glob, matches_glob};
use super::path::check_normal;
use super::words::emit_word;

/// The longest pattern, in bytes: the kernel's longest path.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// The names that rotated files may have, in one directory. Displayed as a word of a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    dir: PathBuf,
    name: Box<[u8]>,
}

impl Pattern {
    /// Reads a pattern; the error is the cause.
    pub(super) fn parse(text: &[u8]) -> Result<Pattern, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("longer than {PATTERN_BYTES_MAX} bytes"));
        }
        let slash = text.iter().rposition(|&b| b == b'/').filter(|_| text[0] == b'/');
        let slash = slash.ok_or("not an absolute path")?;
        let name = &text[slash + 1..];
        if matches!(name, b"" | b"." | b"..") {
            return Err("names a directory".to_owned());
        }
        let mut dir = unescape_dir(&text[..slash])?;
        check_normal(&[&dir, &b"/"[..], name].concat())?;
        if dir.is_empty() {
            dir.push(b'/');
        }
        check_glob(name)?;
        Ok(Pattern { dir: OsString::from_vec(dir).into(), name: name.into() })
    }

    /// The names `logrotate` and `savelog` give to what was at `path`: `PATH.*` and `PATH-*`.
    /// `path` must be absolute, in normal form, and name a file.
    pub(super) fn defaults(path: &[u8]) -> Vec<Pattern> {
        let slash = path.iter().rposition(|&b| b == b'/').unwrap_or(0);
        let dir = PathBuf::from(OsStr::from_bytes(&path[..slash.max(1)]));
        let literal = escape_glob(&path[slash + 1..]);
        [b'.', b'-']
            .map(|sign| {
                let name = [&literal[..], &[sign, b'*']].concat().into();
                Pattern { dir: dir.clone(), name }
            })
            .into()
    }

    /// The directory that holds the rotated files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether a file of this name, in that directory, is meant.
    pub fn matches(&self, name: &OsStr) -> bool {
        matches_glob(&self.name, name.as_bytes())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = escape_glob(self.dir.as_os_str().as_bytes());
        if text.last() != Some(&b'/') {
            text.push(b'/');
        }
        text.extend_from_slice(&self.name);
        f.write_str(&emit_word(&text))
    }
}

/// The directory a pattern means, which has no wildcard; the error is the cause.
fn unescape_dir(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut dir = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => dir.push(*bytes.next().ok_or("its directory ends in a backslash")?),
            b'*' | b'?' | b'[' | b'{' => {
                return Err("a wildcard is possible after the last / only".to_owned());
            }
            _ => dir.push(byte),
        }
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bytes() {
        let pattern = Pattern::parse(b"/d/\xff[\x80-\x8f]?").unwrap();
        assert!(pattern.matches(OsStr::from_bytes(b"\xff\x85\xfe")));
        assert!(!pattern.matches(OsStr::from_bytes(b"\xff\x90\xfe")));
    }

    #[test]
    fn the_directory_is_literal() {
        let pattern = Pattern::parse(br"/a\[1]/b.*").unwrap();
        assert_eq!(pattern.dir(), Path::new("/a[1]"));
        assert_eq!(pattern.to_string(), r"/a\[1]/b.*");
        assert_eq!(Pattern::parse(b"/*").unwrap().dir(), Path::new("/"));
        assert_eq!(Pattern::parse(b"/*").unwrap().to_string(), "/*");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "a",
            "a/b*",
            "/",
            "/a/",
            "/a/..",
            "/a/.",
            "/*/b",
            "/a?/b",
            "//b",
            "/a//b",
            "/a/../b",
            "/a/[",
            "/a/[]",
            "/a/[!]",
            "/a/[z-a]",
            "/a/[[:digit:]]",
            "/a/{b,c}",
            "/a/b\\",
            "/a\\/b",
            "/a/[a/]",
            "/a/[\\",
        ] {
            assert!(Pattern::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_defaults_take_the_rotations_of_that_file_alone() {
        let patterns = Pattern::defaults(b"/v/a[1].{x}*.log");
        let texts: Vec<String> = patterns.iter().map(Pattern::to_string).collect();
        assert_eq!(texts, [r"/v/a\[1].\{x}\*.log.*", r"/v/a\[1].\{x}\*.log-*"]);
        assert!(patterns[0].matches(OsStr::new("a[1].{x}*.log.1")));
        assert!(patterns[1].matches(OsStr::new("a[1].{x}*.log-20261231.gz")));
        assert!(!patterns[0].matches(OsStr::new("a1.x.log.1")));
        assert_eq!(Pattern::defaults(b"/log")[0].to_string(), "/log.*");
    }
}
