//! Globs for whole paths, as a fetcher lists files by them.

use super::glob::{check_glob, matches_glob};

/// A glob for each part of an absolute path: no wildcard takes a `/`. A part that is `**` stands for any
/// number of parts, none too.
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
        let globs: Vec<&[u8]> = self.0.split(|&byte| byte == b'/').collect();
        let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        let (mut at, mut taken) = (0, 0);
        // As a `*` in a glob: only the last one met is ever lengthened.
        let mut any: Option<(usize, usize)> = None;
        loop {
            match (globs.get(at), parts.get(taken)) {
                (Some(&b"**"), _) => {
                    at += 1;
                    any = Some((at, taken));
                }
                (Some(glob), Some(part)) if matches_glob(glob, part) => {
                    (at, taken) = (at + 1, taken + 1);
                }
                (None, None) => return true,
                _ => {
                    let Some((after, from)) = any.filter(|(_, from)| *from < parts.len()) else {
                        return false;
                    };
                    (at, taken) = (after, from + 1);
                    any = Some((at, taken));
                }
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
    fn two_stars_stand_for_any_number_of_parts() {
        for (glob, path) in [
            ("/**", "/messages"),
            ("/**", "/var/log/messages"),
            ("/var/**", "/var/log/app/one.log"),
            ("/**/*.log", "/one.log"),
            ("/**/*.log", "/var/log/app/one.log"),
            ("/var/**/app/*", "/var/app/app/log/app/one"),
            ("/**/log/**/a*", "/var/log/log/x/ab"),
        ] {
            assert!(PathGlob::parse(glob.as_bytes()).unwrap().matches(path.as_bytes()), "{glob}");
        }
        for (glob, path) in [
            ("/var/**", "/srv/log"),
            ("/**/*.log", "/var/log/messages"),
            ("/**/app/*", "/var/app/log/x"),
            ("/var/a**", "/var/a/b"),
        ] {
            assert!(!PathGlob::parse(glob.as_bytes()).unwrap().matches(path.as_bytes()), "{glob}");
        }
    }

    #[test]
    fn what_is_no_glob_of_an_absolute_path_is_refused() {
        for glob in ["", "*", "var/log/*", "/a[", "/a\\/b", "/{a,b}"] {
            assert!(PathGlob::parse(glob.as_bytes()).is_err(), "{glob}");
        }
    }
}
