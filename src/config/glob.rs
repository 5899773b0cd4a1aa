//! Globs over the bytes of a file's name.
//!
//! ```text
//! *       any bytes, none too; ** is the same
//! ?       any one byte
//! [a-z]   one byte of these; [!a-z] and [^a-z] one of all others; a ] in front is itself
//! \x      x itself
//! ```
//!
//! A leading dot is like any other byte, unlike in a shell: there are no hidden rotations. What a
//! shell or another library would take for more (`{a,b}`, `[:digit:]`) is refused, not misread.
//!
//! Why not globset: a matcher of it holds a compiled regex and weighs 6.7 KiB, so the default
//! patterns of 10,000 files took 130 MiB. Here a glob is its own text, read again for each name;
//! for names of at most 255 bytes that costs less than it sounds.

use super::words::show;

/// Whether the text is a glob; the cause if it is not.
pub(super) fn check_glob(glob: &[u8]) -> Result<(), String> {
    let mut at = 0;
    while at < glob.len() {
        at = if glob[at] == b'*' { at + 1 } else { read_item(glob, at, 0)?.0 };
    }
    Ok(())
}

/// Whether the glob, known to be valid, takes all of the name. A `*` first takes nothing, then one
/// byte more whenever what follows it fails; only the last `*` met is ever lengthened, which is
/// enough because an earlier one could only end in the same place.
pub(super) fn matches_glob(glob: &[u8], name: &[u8]) -> bool {
    let (mut at, mut taken) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if glob.get(at) == Some(&b'*') {
            at += 1;
            star = Some((at, taken));
            continue;
        }
        let item = name.get(taken).and_then(|&byte| read_item(glob, at, byte).ok());
        if let Some((next, true)) = item {
            (at, taken) = (next, taken + 1);
        } else if at == glob.len() && taken == name.len() {
            return true;
        } else if let Some((after, from)) = star.filter(|(_, from)| *from < name.len()) {
            (at, taken) = (after, from + 1);
            star = Some((at, taken));
        } else {
            return false;
        }
    }
}

/// Reads the item at `at` that takes exactly one byte: where it ends, and whether it takes `byte`.
/// At the end of the glob nothing takes anything. The error is the cause.
fn read_item(glob: &[u8], at: usize, byte: u8) -> Result<(usize, bool), String> {
    match glob.get(at) {
        None => Ok((at, false)),
        Some(b'?') => Ok((at + 1, true)),
        Some(b'[') => read_class(glob, at, byte),
        Some(b'{') => Err("{...} is unknown: write two patterns, or \\{ for the brace".to_owned()),
        Some(b'\\') => {
            let literal = glob.get(at + 1).ok_or("it ends in the middle of an escape")?;
            Ok((at + 2, *literal == byte))
        }
        Some(literal) => Ok((at + 1, *literal == byte)),
    }
}

/// Reads the class whose `[` stands at `at`; as [`read_item`].
fn read_class(glob: &[u8], start: usize, byte: u8) -> Result<(usize, bool), String> {
    let negated = matches!(glob.get(start + 1), Some(b'!' | b'^'));
    let first = start + 1 + usize::from(negated);
    let (mut at, mut found) = (first, false);
    loop {
        match &glob[at..] {
            [] => return Err("a [ has no ]".to_owned()),
            [b']', ..] if at > first => return Ok((at + 1, found != negated)),
            [b'[', b':', ..] => return Err("[:...:] is unknown: write the range".to_owned()),
            _ => {}
        }
        let low = read_class_byte(glob, &mut at)?;
        let mut high = low;
        // A - in front of the ] is itself.
        if glob.get(at) == Some(&b'-') && glob.get(at + 1).is_some_and(|&b| b != b']') {
            at += 1;
            high = read_class_byte(glob, &mut at)?;
        }
        if low > high {
            return Err(format!("the range {} runs backwards", show(&[low, b'-', high])));
        }
        found |= (low..=high).contains(&byte);
    }
}

/// Reads one byte of a class and goes on behind it.
fn read_class_byte(glob: &[u8], at: &mut usize) -> Result<u8, String> {
    if glob.get(*at) == Some(&b'\\') {
        *at += 1;
    }
    let byte = glob.get(*at).ok_or("a [ has no ]")?;
    *at += 1;
    Ok(*byte)
}

/// The glob that takes just this text.
pub(super) fn escape_glob(literal: &[u8]) -> Vec<u8> {
    let mut glob = Vec::with_capacity(literal.len() + 2);
    for &byte in literal {
        if matches!(byte, b'*' | b'?' | b'[' | b'{' | b'\\') {
            glob.push(b'\\');
        }
        glob.push(byte);
    }
    glob
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(glob: &str, name: &str) -> bool {
        check_glob(glob.as_bytes()).unwrap();
        matches_glob(glob.as_bytes(), name.as_bytes())
    }

    #[test]
    fn a_star_takes_any_bytes_and_a_leading_dot_too() {
        for (glob, name) in [
            ("*", ""),
            ("*", ".hidden"),
            ("app.log.*", "app.log."),
            ("app.log.*", "app.log.1.gz"),
            ("*.log", "a.log.log"),
            ("**a*b*", "xxaxbxab"),
            ("a*b?c", "abxbxbyc"),
        ] {
            assert!(takes(glob, name), "{glob} {name}");
        }
        for (glob, name) in
            [("app.log.*", "app.log"), ("*a", "b"), ("a*b", "ab c"), ("a", ""), ("?", "")]
        {
            assert!(!takes(glob, name), "{glob} {name}");
        }
    }

    #[test]
    fn a_class_takes_one_byte() {
        for (glob, name) in [
            ("m.*[0-9]*", "m.old1.gz"),
            ("[]a]", "]"),
            ("[!]a]", "b"),
            ("[^a]", "b"),
            ("[a-]", "-"),
            (r"[\]]", "]"),
            (r"[\--0]", "."),
            (r"\*\[", "*["),
            ("[*?]", "?"),
            ("a]}", "a]}"),
        ] {
            assert!(takes(glob, name), "{glob} {name}");
        }
        for (glob, name) in
            [("[0-9]", "a"), ("[!0-9]", "5"), ("[!]a]", "]"), ("[a]", ""), (r"\?", "a")]
        {
            assert!(!takes(glob, name), "{glob} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_more_than_the_product_of_the_lengths() {
        let glob = "a*".repeat(100) + "b";
        assert!(!takes(&glob, &"a".repeat(255)));
    }
}
