//! `key=value` words behind the fixed fields of a line.

use super::{WireFault, printable};

/// The words of a line, separated by blanks and tabs.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// The values of `keys`, in their order. Other keys and words without `=` are a later version's and
/// are ignored; a key that stands twice is a fault, whatever its values.
pub(super) fn known<'a, const N: usize>(
    words: impl Iterator<Item = &'a [u8]>,
    keys: [&str; N],
) -> Result<[Option<&'a [u8]>; N], WireFault> {
    let mut values = [None; N];
    for word in words {
        let Some(equals) = memchr::memchr(b'=', word) else { continue };
        let Some(at) = keys.iter().position(|key| key.as_bytes() == &word[..equals]) else {
            continue;
        };
        if values[at].replace(&word[equals + 1..]).is_some() {
            return Err(WireFault::RepeatedField(printable(&word[..equals])));
        }
    }
    Ok(values)
}

/// What a value means, if it is there; a fault if it means nothing.
pub(super) fn optional<T>(
    key: &str,
    value: Option<&[u8]>,
    parse: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, WireFault> {
    let Some(value) = value else { return Ok(None) };
    match parse(value) {
        Some(meaning) => Ok(Some(meaning)),
        None => Err(WireFault::BadField(format!("{key}={}", printable(value)))),
    }
}

/// What a value means; a fault if it means nothing or is missing.
pub(super) fn required<T>(
    key: &'static str,
    value: Option<&[u8]>,
    parse: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<T, WireFault> {
    optional(key, value, parse)?.ok_or(WireFault::MissingField(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pos::parse_offset;

    fn read(line: &str) -> Result<[Option<&[u8]>; 2], WireFault> {
        known(words(line.as_bytes()), ["a", "b"])
    }

    #[test]
    fn known_keys_are_found_wherever_they_stand_and_others_are_ignored() {
        assert_eq!(read("+2 b=2 c=3 word =x ab=4 a="), Ok([Some(&b""[..]), Some(b"2")]));
        assert_eq!(read("a=b=c"), Ok([Some(&b"b=c"[..]), None]));
        assert_eq!(read(""), Ok([None, None]));
    }

    #[test]
    fn a_key_that_stands_twice_is_a_fault_even_if_its_values_agree() {
        assert_eq!(read("a=1 a=1"), Err(WireFault::RepeatedField("a".into())));
        assert!(read("c=1 c=2").is_ok());
    }

    #[test]
    fn a_value_without_meaning_is_a_fault_told_in_printable_letters() {
        assert_eq!(required("a", Some(b"12"), parse_offset), Ok(12));
        assert_eq!(optional("a", None, parse_offset), Ok(None));
        assert_eq!(required("a", None, parse_offset), Err(WireFault::MissingField("a")));
        let fault = optional("a", Some(b"-1\x1b"), parse_offset).unwrap_err();
        assert_eq!(fault.to_string(), r#"bad field "a=-1\x1b""#);
    }
}
