//! Names of any bytes as words of printable ASCII, and back.
//!
//! A byte that is printable, no blank and not `%` stands for itself; every other is `%HH`. NUL is in
//! no name of a file, so it is refused: what is decoded can be given to the kernel as it is.

/// Writes `bytes` as a word.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'%' {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.extend([byte >> 4, byte & 15].map(|digit| char::from(UPPER[usize::from(digit)])));
        }
    }
    text
}

const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Reads a word; `None` if it has a byte that is not printable, a `%` without two hex digits behind
/// it, or a NUL. The result is never longer than the word.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) => (hex_byte(*high, *low)?, after),
            (b'%', _) => return None,
            (byte, after) if byte.is_ascii_graphic() => (byte, after),
            _ => return None,
        };
        if byte == 0 {
            return None;
        }
        bytes.push(byte);
        rest = after;
    }
    Some(bytes)
}

/// The byte that two hex digits of either case stand for.
pub(super) fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |text: u8| char::from(text).to_digit(16);
    Some(((digit(high)? << 4) | digit(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_printable_stands_for_itself_and_all_else_is_escaped() {
        for (name, text) in [
            (&b"/var/log/messages"[..], "/var/log/messages"),
            (b"/a b", "/a%20b"),
            (b"/100%", "/100%25"),
            (b"/a\tb\r\n", "/a%09b%0D%0A"),
            (b"/\xc3\xa9\xff\x7f", "/%C3%A9%FF%7F"),
            (b"", ""),
        ] {
            assert_eq!(encode(name), text);
            assert_eq!(decode(text.as_bytes()).unwrap(), name);
        }
        assert_eq!(decode(b"/%61%c3%C3"), Some(b"/a\xc3\xc3".to_vec()));
    }

    #[test]
    fn a_bad_escape_is_refused_and_so_is_nul() {
        for text in ["%", "/%", "/%2", "/%2g", "/%g2", "/%+1", "/% 1", "/%-1", "%%41", "%00", "\0"]
        {
            assert_eq!(decode(text.as_bytes()), None, "{text:?}");
        }
        for text in ["/a b", "/a\n", "/é"] {
            assert_eq!(decode(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_a_word_and_comes_back(name in proptest::collection::vec(1u8.., 0..200)) {
            let text = encode(&name);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(text.len() <= 3 * name.len());
            prop_assert_eq!(decode(text.as_bytes()), Some(name));
        }

        #[test]
        fn any_bytes_are_a_name_or_refused(
            text in proptest::collection::vec(prop_oneof![Just(b'%'), b'0'..=b'9', any::<u8>()], 0..40)
        ) {
            if let Some(name) = decode(&text) {
                prop_assert!(!name.contains(&0) && name.len() <= text.len());
                prop_assert_eq!(decode(encode(&name).as_bytes()), Some(name));
            }
        }
    }
}
