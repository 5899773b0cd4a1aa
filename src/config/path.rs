//! Normal forms and limits of paths. Nothing here looks at a file system: `a/link/../b` is taken for
//! `a/b`, whatever the link points at.

use super::words::show;
use crate::pos::PATH_BYTES_MAX;

/// The shortest text for the same path, by its letters: no `//`, no `.`, no `/` at the end, and `..`
/// only at the beginning of a relative path.
pub(super) fn normal_form(path: &[u8]) -> Vec<u8> {
    let absolute = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => {
                parts.pop();
            }
            b".." if absolute => {}
            part => parts.push(part),
        }
    }
    let mut normal = if absolute { vec![b'/'] } else { Vec::new() };
    normal.extend(parts.join(&b'/'));
    normal
}

/// Whether the path is absolute and its own normal form; the cause if it is not.
pub(super) fn check_normal(path: &[u8]) -> Result<(), String> {
    if path.first() != Some(&b'/') {
        return Err("not an absolute path".to_owned());
    }
    let normal = normal_form(path);
    if normal == path {
        return Ok(());
    }
    Err(format!("not in its shortest form, which is {}", show(&normal)))
}

/// Whether the last component can be the name of a file; the cause if it can't.
pub(super) fn check_names_file(path: &[u8]) -> Result<(), String> {
    let cause = match path.rsplit(|&b| b == b'/').next().unwrap_or(path) {
        b"" if path.is_empty() => "empty",
        b"" => "ends in / and so names a directory",
        b"." | b".." => "names a directory",
        _ => return Ok(()),
    };
    Err(cause.to_owned())
}

/// Whether the path is short enough for the wire; the cause if it is not.
pub(super) fn check_length(path: &[u8]) -> Result<(), String> {
    if path.len() <= PATH_BYTES_MAX {
        return Ok(());
    }
    Err(format!("longer than {PATH_BYTES_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_name_the_same_by_their_letters_have_one_normal_form() {
        for (path, normal) in [
            ("a//b", "a/b"),
            ("a/./b", "a/b"),
            ("./a/x/../b", "a/b"),
            ("/a/b/", "/a/b"),
            ("/../a", "/a"),
            ("../../a", "../../a"),
            ("a/../../b", "../b"),
            ("//", "/"),
            ("", ""),
        ] {
            assert_eq!(normal_form(path.as_bytes()), normal.as_bytes(), "{path:?}");
        }
    }

    #[test]
    fn a_path_that_is_not_normal_is_told_its_normal_form() {
        assert_eq!(check_normal(b"/a/b"), Ok(()));
        assert_eq!(check_normal(b"a").unwrap_err(), "not an absolute path");
        let cause = "not in its shortest form, which is \"/a/b\"";
        for path in ["//a/b", "/a/b/", "/a/./b", "/a/x/../b"] {
            assert_eq!(check_normal(path.as_bytes()).unwrap_err(), cause, "{path:?}");
        }
    }

    #[test]
    fn a_directory_is_no_file() {
        for path in ["", "/", "a/", ".", "..", "a/..", "/."] {
            assert!(check_names_file(path.as_bytes()).is_err(), "{path:?}");
        }
        for path in ["a", "/a", "../a", "...", "a/.b"] {
            assert_eq!(check_names_file(path.as_bytes()), Ok(()), "{path:?}");
        }
    }
}
