//! `E code +2 text`: why a responder serves nothing, in words for an operator.
//!
//! Only a peer that is allowed and asked in protocol 2 is told. To all others a responder that serves
//! nothing says nothing.

use std::fmt;

use super::{TWO, WireFault, printable};
use crate::pos::Token;

/// The answer that refuses a request; the connection is closed behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// For the fetcher.
    pub code: Code,
    text: String,
}

/// What kind of refusal it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Code {
    /// The request is not one.
    BadRequest,
    /// The configuration does not serve it, or not to this peer.
    NotServed,
    /// It is served, but there is no such file now.
    Missing,
    /// Not now: asked again later it may be served.
    Busy,
    /// One of a later version; as good as [`Code::Busy`].
    Other(Token),
}

impl Code {
    const NAMED: [(Code, &'static str); 4] = [
        (Code::BadRequest, "bad-request"),
        (Code::NotServed, "not-served"),
        (Code::Missing, "missing"),
        (Code::Busy, "busy"),
    ];

    fn parse(text: &[u8]) -> Option<Code> {
        match Code::NAMED.iter().find(|(_, name)| name.as_bytes() == text) {
            Some((code, _)) => Some(*code),
            None => Token::parse(text).map(Code::Other),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, Code::NAMED.iter().find(|(code, _)| code == self)) {
            (_, Some((_, name))) => f.write_str(name),
            (Code::Other(token), None) => write!(f, "{token}"),
            (_, None) => Ok(()),
        }
    }
}

impl Refusal {
    /// Longest text, in characters: a line on a terminal or two.
    pub const TEXT_CHARS_MAX: usize = 200;

    /// A refusal. The text is cut to its limit, and what is not printable ASCII becomes `?`: names in
    /// it are best given through [`printable`].
    pub fn new(code: Code, text: &str) -> Refusal {
        Refusal { code, text: one_line(text.as_bytes()) }
    }

    /// Why, for an operator; printable ASCII.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// At most so many characters of `text`, all of them printable ASCII.
fn one_line(text: &[u8]) -> String {
    let text = &text[..text.len().min(Refusal::TEXT_CHARS_MAX)];
    let clean = |&byte: &u8| if matches!(byte, b' '..=b'~') { char::from(byte) } else { '?' };
    text.iter().map(clean).collect()
}

/// Reads the line (without its newline).
pub fn parse_refusal(line: &[u8]) -> Result<Refusal, WireFault> {
    let mut words = line.splitn(4, |&byte| byte == b' ');
    let (Some(b"E"), Some(code), Some(TWO)) = (words.next(), words.next(), words.next()) else {
        return Err(WireFault::BadStatus(printable(line)));
    };
    let code = Code::parse(code).ok_or_else(|| WireFault::BadStatus(printable(line)))?;
    Ok(Refusal { code, text: one_line(words.next().unwrap_or_default()) })
}

/// Writes the line, newline included.
pub fn emit_refusal(refusal: &Refusal) -> Vec<u8> {
    format!("E {} +2 {}\n", refusal.code, refusal.text).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_refusal_is_a_code_and_a_sentence() {
        let refusal = Refusal::new(Code::NotServed, "/etc/shadow is not in the configuration");
        let line = b"E not-served +2 /etc/shadow is not in the configuration\n";
        assert_eq!(emit_refusal(&refusal), line);
        assert_eq!(parse_refusal(&line[..line.len() - 1]), Ok(refusal));
        let later = parse_refusal(b"E out-of-coffee +2").unwrap();
        assert_eq!((later.code.to_string(), later.text()), ("out-of-coffee".into(), ""));
    }

    #[test]
    fn the_text_cannot_reach_a_terminal_as_more_than_one_printable_line() {
        assert_eq!(Refusal::new(Code::Busy, "a\nb\x1b[2J").text(), "a?b?[2J");
        assert_eq!(parse_refusal(b"E busy +2 a\x1bb\xff").unwrap().text(), "a?b?");
        assert_eq!(Refusal::new(Code::Busy, &"x".repeat(4000)).text().len(), 200);
    }

    #[test]
    fn what_is_no_refusal_is_a_fault() {
        for line in ["", "E", "E busy", "E busy 2 x", "E  +2 x", "O 7 +2", "e busy +2", "E b\tc +2"]
        {
            let fault = parse_refusal(line.as_bytes());
            assert!(matches!(fault, Err(WireFault::BadStatus(_))), "{line:?}: {fault:?}");
        }
        assert!(parse_refusal(format!("E {} +2", "x".repeat(65)).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn a_refusal_comes_back(code in "[!-~]{1,64}", text in "\\PC{0,300}") {
            let refusal = Refusal::new(Code::parse(code.as_bytes()).unwrap(), &text);
            let line = emit_refusal(&refusal);
            prop_assert_eq!(parse_refusal(&line[..line.len() - 1]), Ok(refusal));
        }

        #[test]
        fn any_bytes_are_a_refusal_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_refusal(&bytes);
            let line = [b"E busy +2 ", &bytes[..]].concat();
            prop_assert!(parse_refusal(&line).unwrap().text().bytes().all(|b| (b' '..=b'~').contains(&b)));
        }
    }
}
