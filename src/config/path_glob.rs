//! Globs for whole paths, as a fetcher lists files by them.

use super::glob::{check_glob, matches_glob};

/// A glob for each part of an absolute path: no wildcard takes a `/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathGlob(Box<[u8]>);

impl PathGlob {
    /// Reads a glob; the error is the cause.
    pub fn parse(text: &[u8]) -> Result<PathGlob, String> {
        let parts = text.strip_prefix(b"/").ok_or("not an absolute path")?;
        parts.split(|&byte| byte == b'/').try_for_each(check_glob)?;
        Ok(PathGlob(text.into()))
    }

    /// Whether a file of this path is meant.
    pub fn matches(&self, path: &[u8]) -> bool {
        let mut globs = self.0.split(|&byte| byte == b'/');
        let mut parts = path.split(|&byte| byte == b'/');
        loop {
            match (globs.next(), parts.next()) {
                (Some(glob), Some(part)) if matches_glob(glob, part) => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_path_is_matched_by_its_own_part_of_the_glob() {
        for (glob, path) in [
            ("/var/log/messages", "/var/log/messages"),
            ("/var/log/*.log", "/var/log/a.log"),
            ("/*/log/app-[0-9]/?", "/srv/log/app-7/x"),
            ("/a\\*", "/a*"),
        ] {
            assert!(PathGlob::parse(glob.as_bytes()).unwrap().matches(path.as_bytes()), "{glob}");
        }
        for (glob, path) in [
            ("/var/log/*", "/var/log/app/one.log"),
            ("/var/*", "/var"),
            ("/*", "/"),
            ("/var/log", "/var/log/messages"),
            ("/a[!b]c", "/a/c"),
        ] {
            let takes = PathGlob::parse(glob.as_bytes()).unwrap().matches(path.as_bytes());
            assert_eq!(takes, glob == "/*", "{glob}");
        }
    }

    #[test]
    fn what_is_no_glob_of_an_absolute_path_is_refused() {
        for glob in ["", "*", "var/log/*", "/a[", "/a\\/b", "/{a,b}"] {
            assert!(PathGlob::parse(glob.as_bytes()).is_err(), "{glob}");
        }
    }
}
