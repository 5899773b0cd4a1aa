//! One line to words, and a word to text again.
//!
//! Words are separated by blanks and tabs. `#` where a word would begin starts a comment; inside a
//! word it is a byte like any other, and so is a backslash outside quotes. Quotes may begin and end
//! anywhere in a word, so that `key="a value"` is one word; between them `\"`, `\\`, `\n`, `\t` and
//! `\xHH` stand for one byte each. Paths are bytes: no encoding is assumed, only NUL is refused.

use std::borrow::Cow;

/// A word of a line, its quotes and escapes taken away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// Where it begins in its line, in bytes from 1.
    pub column: usize,
    /// What it says; empty for `""`.
    pub bytes: Vec<u8>,
}

/// Why a line has no meaning as words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WordFault {
    /// Where in the line, in bytes from 1.
    pub column: usize,
    /// `cannot <verb> <object>: <cause>`.
    pub text: String,
}

/// How much of a word a fault shows: enough to recognise it, still one line on a terminal.
const SHOWN_BYTES_MAX: usize = 120;

/// The lines of a file with their numbers, from 1. A line ends in `\n` or `\r\n`.
pub(super) fn split_lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = text.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.enumerate().map(|(before, line)| (before + 1, line))
}

/// The words of one line, which carries no line end; all that is wrong with it otherwise.
pub fn split_words(line: &[u8]) -> Result<Vec<Word>, Vec<WordFault>> {
    let mut words = Vec::new();
    let mut faults = Vec::new();
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        match byte {
            b' ' | b'\t' => at += 1,
            b'#' => break,
            _ => {
                let column = at + 1;
                let (end, bytes) = read_word(line, at, &mut faults);
                if bytes.contains(&0) {
                    let text = format!("cannot use {}: nothing has a NUL byte in it", show(&bytes));
                    faults.push(WordFault { column, text });
                }
                words.push(Word { column, bytes });
                at = end;
            }
        }
    }
    if faults.is_empty() { Ok(words) } else { Err(faults) }
}

/// The word that begins at `at`, and where it ends.
fn read_word(line: &[u8], mut at: usize, faults: &mut Vec<WordFault>) -> (usize, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut quote = None;
    while let Some(&byte) = line.get(at) {
        match (byte, quote) {
            (b' ' | b'\t', None) => break,
            (b'"', None) => quote = Some(at),
            (b'"', Some(_)) => quote = None,
            (b'\\', Some(_)) => {
                at = read_escape(line, at, &mut bytes, faults);
                continue;
            }
            (byte, _) => bytes.push(byte),
        }
        at += 1;
    }
    if let Some(start) = quote {
        let shown = show(&line[start + 1..]);
        let text = format!("cannot find the end of the quote {shown}: no \" ends it on this line");
        faults.push(WordFault { column: start + 1, text });
    }
    (at, bytes)
}

/// Reads the escape whose backslash stands at `at`; where it ends.
fn read_escape(line: &[u8], at: usize, bytes: &mut Vec<u8>, faults: &mut Vec<WordFault>) -> usize {
    let Some(&letter) = line.get(at + 1) else {
        return line.len(); // the quote has no end either: said once
    };
    let mut fault = |end: usize, cause: &str| {
        let text = format!("cannot read escape {}: {cause}", escape(&line[at..end]));
        faults.push(WordFault { column: at + 1, text });
        end
    };
    match letter {
        b'"' | b'\\' => bytes.push(letter),
        b'n' => bytes.push(b'\n'),
        b't' => bytes.push(b'\t'),
        b'x' => {
            let digit = |at: usize| line.get(at).and_then(|b| char::from(*b).to_digit(16));
            let (Some(high), Some(low)) = (digit(at + 2), digit(at + 3)) else {
                return fault(at + 2, "two hex digits must follow");
            };
            bytes.push((high * 16 + low) as u8);
            return at + 4;
        }
        _ => return fault(at + 2, "in quotes only \\\" \\\\ \\n \\t and \\xHH are known"),
    }
    at + 2
}

/// The text of one word: as it is where that reads back, else in quotes. Printable ASCII always.
pub fn emit_word(bytes: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_graphic() && *b != b'"';
    if !bytes.is_empty() && bytes[0] != b'#' && bytes.iter().all(plain) {
        return bytes.iter().map(|&b| char::from(b)).collect();
    }
    format!("\"{}\"", escape_quoted(bytes))
}

/// One word for people: as it is where it is text without blanks and control characters, else as
/// [`emit_word`] writes it.
pub fn plain_word(bytes: &[u8]) -> Cow<'_, str> {
    let odd = |c: char| c.is_control() || c.is_whitespace();
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(odd) => Cow::Borrowed(text),
        _ => Cow::Owned(emit_word(bytes)),
    }
}

/// A word as a fault shows it: in quotes, printable ASCII, not too long.
pub(super) fn show(bytes: &[u8]) -> String {
    if bytes.len() <= SHOWN_BYTES_MAX {
        return format!("\"{}\"", escape_quoted(bytes));
    }
    format!("\"{}...\" ({} bytes)", escape_quoted(&bytes[..SHOWN_BYTES_MAX]), bytes.len())
}

/// What stands between quotes for these bytes.
fn escape_quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            _ => text.push_str(&escape(&[byte])),
        }
    }
    text
}

/// Printable ASCII for these bytes; quotes and backslashes stay as they are.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b' '..=b'~' => text.push(char::from(byte)),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let words = split_words(line.as_bytes()).unwrap();
        words.into_iter().map(|w| String::from_utf8(w.bytes).unwrap()).collect()
    }

    fn faults(line: &str) -> Vec<(usize, String)> {
        let faults = split_words(line.as_bytes()).unwrap_err();
        faults.into_iter().map(|f| (f.column, f.text)).collect()
    }

    #[test]
    fn words_are_separated_by_blanks_and_tabs() {
        assert_eq!(words("  a\t b  c "), ["a", "b", "c"]);
        assert!(words("").is_empty());
        let columns: Vec<usize> =
            split_words(b"  a \"b\" c").unwrap().iter().map(|w| w.column).collect();
        assert_eq!(columns, [3, 5, 9]);
    }

    #[test]
    fn a_comment_begins_where_a_word_would() {
        assert_eq!(words("a #b c"), ["a"]);
        assert_eq!(words("a#b c#"), ["a#b", "c#"]);
        assert_eq!(words("\"#a\" \"\"#b"), ["#a", "#b"]);
        assert!(words("# \"").is_empty());
    }

    #[test]
    fn quotes_may_begin_inside_a_word() {
        assert_eq!(words(r#"key="a b"c "" d\e"#), ["key=a bc", "", r"d\e"]);
        assert_eq!(words(r#""\"\\\n\t\x41\x7e""#), ["\"\\\n\tA~"]);
    }

    #[test]
    fn a_line_tells_all_that_is_wrong_with_it() {
        let both = faults(r#""\q" "\xg0" "\x00" "abc"#);
        assert_eq!(both.iter().map(|f| f.0).collect::<Vec<_>>(), [2, 7, 13, 20]);
        assert_eq!(
            both[3].1,
            "cannot find the end of the quote \"abc\": no \" ends it on this line"
        );
        assert_eq!(faults("\"a\\").len(), 1);
        assert_eq!(faults("\"\\x4").len(), 2);
    }

    #[test]
    fn a_line_may_end_in_carriage_return_and_line_feed() {
        let lines: Vec<_> = split_lines(b"a\r\nb\n\nc\r").collect();
        assert_eq!(lines, [(1, &b"a"[..]), (2, b"b"), (3, b""), (4, b"c")]);
    }

    #[test]
    fn a_word_is_quoted_only_where_it_must_be() {
        assert_eq!(emit_word(br"/a\[1\].*#"), r"/a\[1\].*#");
        assert_eq!(emit_word(b""), r#""""#);
        assert_eq!(emit_word(b"#a"), r##""#a""##);
        assert_eq!(emit_word(b"a \"\\\n\xff"), r#""a \"\\\n\xff""#);
    }

    #[test]
    fn a_long_word_is_shown_in_part() {
        let shown = show(&[b'a'; 5000]);
        assert!(shown.ends_with("aaa...\" (5000 bytes)") && shown.len() < 150, "{shown}");
    }
}
