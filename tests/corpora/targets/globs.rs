//! A glob for paths, and behind a newline a path. Where it has neither classes nor escapes, it takes what
//! a simple-minded matcher takes; escaped it takes nothing but itself.

use fetchlogs::config::PathGlob;

use super::check_fault;

pub fn target(data: &[u8]) {
    let mut lines = data.splitn(2, |&byte| byte == b'\n');
    let (text, path) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let glob = match PathGlob::parse(text) {
        Ok(glob) => glob,
        Err(fault) => return check_fault(&fault),
    };
    let matches = glob.matches(path);
    if !text.iter().any(|byte| b"[]\\".contains(byte)) && text.len() * path.len() < 10_000 {
        let globs: Vec<&[u8]> = text.split(|&byte| byte == b'/').collect();
        let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        let expected = takes(&globs, &parts, &|glob| *glob == b"**", &|glob, part| {
            takes(glob, part, &|&byte| byte == b'*', &|&one, &other| one == b'?' || one == other)
        });
        assert_eq!(matches, expected);
    }
    let literal: Vec<u8> = path
        .iter()
        .flat_map(|&byte| [b'\\', byte].into_iter().skip(usize::from(byte == b'/')))
        .collect();
    if let Ok(literal) = PathGlob::parse(&literal) {
        assert!(literal.matches(path));
        assert!(!literal.matches(&[path, b"x"].concat()));
    }
}

/// Whether the pattern takes all of `what`, of which parts that are `any` take any number.
fn takes<P, W>(
    pattern: &[P],
    what: &[W],
    any: &dyn Fn(&P) -> bool,
    one: &dyn Fn(&P, &W) -> bool,
) -> bool {
    // Which beginnings of `what` the pattern so far takes.
    let mut taken = vec![false; what.len() + 1];
    taken[0] = true;
    for part in pattern {
        if any(part) {
            for at in 0..what.len() {
                taken[at + 1] |= taken[at];
            }
        } else {
            for at in (0..what.len()).rev() {
                taken[at + 1] = taken[at] && one(part, &what[at]);
            }
            taken[0] = false;
        }
    }
    taken[what.len()]
}
