//! The lines of `pass_persist`: bytes in, requests out; answers in, bytes out.
//!
//! The peer is snmpd, through two pipes. What it says, and what it must hear:
//!
//! ```text
//! PING                      PONG
//! get      and an OID       the OID, its type, its value: three lines; or NONE
//! getnext  and an OID       the same for the OID that follows; or NONE
//! set      and an OID       not-writable
//! ```
//!
//! There are two states: `Idle`, and `Asking` between a verb and its OID.
//!
//! * The refusal of a `set` is due after its OID line. The line with the value comes later, and how
//!   it ends differs: net-snmp 5.9.3 sends an empty line after it, other versions send no line end
//!   after a value they cannot print, so that the next PING is glued to it. Hence in `Idle` a line
//!   that *ends* in PING is a PING, and every line that is not a word above is ignored.
//! * A line that is not an OID where one is due gets NONE: snmpd waits for an answer in any case.
//! * snmpd gives up an agent whose reply line passes 4,095 bytes. Values stay within
//!   [`VALUE_BYTES_MAX`]; an OID of 128 sub-identifiers has at most 1,408 bytes.
//! * A line longer than [`LINE_BYTES_MAX`] is no command and no OID, whatever it begins with.

use super::oid::Oid;
use std::collections::VecDeque;

/// Longest line looked at, in bytes; of a longer one nothing is kept. The longest OID has 1,408.
pub const LINE_BYTES_MAX: usize = 4096;

/// Longest value sent, in bytes: the most a DisplayString holds (RFC 2579).
pub const VALUE_BYTES_MAX: usize = 255;

/// What snmpd wants to know.
#[derive(PartialEq, Eq, Debug)]
pub enum Request {
    /// Whether the agent is alive.
    Ping,
    /// The value of exactly this OID.
    Get(Oid),
    /// The value of the first OID after this one.
    GetNext(Oid),
    /// A value is to be changed, which is always refused.
    Set,
    /// A verb was followed by something that is no OID.
    NoOid,
}

/// What snmpd is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Whose value it is.
    pub oid: Oid,
    /// The value.
    pub value: Value,
}

/// A value, by its type on the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// `string`: an OCTET STRING of printable ASCII, see [`printable`].
    Text(String),
    /// `integer`: an INTEGER, here always an enumeration.
    Integer(u8),
    /// `gauge`: a Gauge32.
    Gauge(u32),
}

#[derive(Clone, Copy)]
enum Verb {
    Get,
    GetNext,
    Set,
}

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Asking(Verb),
}

/// The reading half: cuts input into lines, and lines into requests.
#[derive(Default)]
pub struct Requests {
    state: State,
    line: Vec<u8>,
    too_long: bool,
    due: VecDeque<Request>,
}

impl Requests {
    /// Takes in what was read, in pieces of any size. Poll until `None` before the next piece.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            self.too_long |= self.line.len() + text.len() > LINE_BYTES_MAX;
            if !self.too_long {
                self.line.extend_from_slice(text);
            }
            if ended {
                self.handle_line();
            }
        }
    }

    /// The next request, oldest first.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.due.pop_front()
    }

    fn handle_line(&mut self) {
        let line = if self.too_long { &b""[..] } else { &self.line[..] };
        let (state, request) = match (&self.state, line) {
            (State::Idle, b"get") => (State::Asking(Verb::Get), None),
            (State::Idle, b"getnext") => (State::Asking(Verb::GetNext), None),
            (State::Idle, b"set") => (State::Asking(Verb::Set), None),
            (State::Idle, line) if line.ends_with(b"PING") => (State::Idle, Some(Request::Ping)),
            (State::Idle, _ignored) => (State::Idle, None),
            (State::Asking(verb), line) => {
                let request = match (verb, Oid::parse(line)) {
                    (Verb::Set, _) => Request::Set,
                    (Verb::Get, Some(oid)) => Request::Get(oid),
                    (Verb::GetNext, Some(oid)) => Request::GetNext(oid),
                    (Verb::Get | Verb::GetNext, None) => Request::NoOid,
                };
                (State::Idle, Some(request))
            }
        };
        self.state = state;
        self.due.extend(request);
        self.line.clear();
        self.too_long = false;
    }
}

/// Appends the reply to a PING.
pub fn emit_pong(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PONG\n");
}

/// Appends the refusal of a `set`.
pub fn emit_not_writable(out: &mut Vec<u8>) {
    out.extend_from_slice(b"not-writable\n");
}

/// Appends the reply to `get` and `getnext`.
pub fn emit_answer(answer: Option<&Answer>, out: &mut Vec<u8>) {
    let text = match answer {
        None => "NONE\n".to_owned(),
        Some(Answer { oid, value }) => match value {
            Value::Text(text) => format!("{oid}\nstring\n{}\n", printable(text.as_bytes())),
            Value::Integer(number) => format!("{oid}\ninteger\n{number}\n"),
            Value::Gauge(number) => format!("{oid}\ngauge\n{number}\n"),
        },
    };
    out.extend_from_slice(text.as_bytes());
}

/// What may stand in a reply: printable ASCII (`?` for each other byte), at most
/// [`VALUE_BYTES_MAX`] bytes (a longer text ends in `...`), and never nothing (then a `?`).
pub fn printable(bytes: &[u8]) -> String {
    let kept = if bytes.len() > VALUE_BYTES_MAX { &bytes[..VALUE_BYTES_MAX - 3] } else { bytes };
    let clean = |&b: &u8| if b == b' ' || b.is_ascii_graphic() { char::from(b) } else { '?' };
    let mut text: String = kept.iter().map(clean).collect();
    if kept.len() < bytes.len() {
        text.push_str("...");
    }
    if text.is_empty() {
        text.push('?');
    }
    text
}
