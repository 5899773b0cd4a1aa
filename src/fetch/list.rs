//! What a responder serves: `fetch_logs --list HOST:PORT [PATTERN]`.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::dial::{Dial, hear};
use super::manifest::emit_time;
use super::terms::Timing;
use crate::config::{Host, plain_word};
use crate::pos::{Inode, Offset, PATH_BYTES_MAX};
use crate::proto::ask::{Ask, emit_ask};
use crate::proto::line::LineBuf;
use crate::proto::list::{LISTING_BYTES_MAX, Listing, parse_listing};
use crate::sys::cause::cause;
use crate::sys::clock;

/// The pattern that every path matches.
pub const EVERYTHING: &[u8] = b"/**";

/// More lines are no list of somebody's logs: whoever goes on saying something is not heard any more.
const LINES_MAX: u32 = 1_000_000;

/// Nor who takes longer than that for it.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Read at once.
const READ_BYTES: usize = 64 * 1024;

/// A responder that is to be asked: `HOST:PORT`.
#[derive(Clone, Debug)]
pub struct Place {
    host: Host,
    port: u16,
}

impl Place {
    /// Reads `HOST:PORT`, an IPv6 address in brackets; the error is the cause.
    pub fn parse(text: &str) -> Result<Place, String> {
        let (host, port) = text.rsplit_once(':').ok_or("not HOST:PORT")?;
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port != 0);
        let port = port.ok_or("its port is not a number from 1 to 65535")?;
        if host.contains(':') && !host.starts_with('[') {
            return Err("an IPv6 address stands in brackets".to_owned());
        }
        Ok(Place { host: host.parse()?, port })
    }
}

/// Whether a pattern can be asked for; the cause if not.
pub fn check_pattern(pattern: &[u8]) -> Result<(), String> {
    match pattern.len() {
        0 => Err("the pattern is empty".to_owned()),
        1..=PATH_BYTES_MAX => Ok(()),
        _ => Err(format!("the pattern is longer than {PATH_BYTES_MAX} bytes")),
    }
}

/// A file that is served. Displayed as `INODE SIZE MTIME PATH`, the time in UTC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    inode: Inode,
    size: Offset,
    mtime_ns: u64,
    path: Vec<u8>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { inode, size, mtime_ns, path } = self;
        let (secs, nanos) = (mtime_ns / 1_000_000_000, mtime_ns % 1_000_000_000);
        let time = DateTime::<Utc>::from_timestamp(secs as i64, nanos as u32).unwrap_or_default();
        write!(f, "{inode} {size} {} {}", emit_time(time), plain_word(path))
    }
}

/// Asks for the files that match `pattern`, and has each told as it comes. The error says why not all
/// were.
pub fn list(
    place: &Place,
    pattern: &[u8],
    timing: &Timing,
    mut tell: impl FnMut(&Row) -> std::io::Result<()>,
) -> Result<(), String> {
    let Place { host, port } = place;
    let mut stream = Dial::new(host, *port, timing.connect_timeout).connect()?;
    let ask = Ask::List { pattern: pattern.to_vec() };
    stream.write_all(&emit_ask(&ask)).map_err(|error| cause(&error))?;
    let mut buf = vec![0; READ_BYTES];
    let mut line = LineBuf::new(LISTING_BYTES_MAX);
    let (mut heard, mut lines, until) = (false, 0, clock::now() + PATIENCE);
    loop {
        if clock::now() >= until {
            return Err("the list has no end within an hour".to_owned());
        }
        let mut bytes = match hear(&mut stream, &mut buf, timing.reply_timeout)? {
            [] if heard => return Err("connection closed before all were told".to_owned()),
            [] => return Err("connection closed: a responder of protocol 1 has no list".to_owned()),
            bytes => bytes,
        };
        heard = true;
        while !bytes.is_empty() {
            let fed = line.feed(bytes).map_err(|fault| fault.to_string())?;
            bytes = &bytes[fed.used..];
            let Some(line) = fed.line else { break };
            lines += 1;
            if lines > LINES_MAX {
                return Err(format!("the list has no end within {LINES_MAX} lines"));
            }
            match parse_listing(&line).map_err(|fault| fault.to_string())? {
                Listing::File { inode, size, mtime_ns, path } => {
                    tell(&Row { inode, size, mtime_ns, path }).map_err(|error| cause(&error))?;
                }
                Listing::Complete => return Ok(()),
                // News, which begins behind the end of the list.
                Listing::Gone { .. } => {}
                Listing::Refused(refusal) => {
                    return Err(format!("refused: {} {}", refusal.code, refusal.text()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_host_and_a_port() {
        for text in ["10.4.3.1:19", "web1:65535", "[::1]:19", "[2001:db8::1]:1"] {
            assert!(Place::parse(text).is_ok(), "{text}");
        }
        for text in
            ["", "web1", ":19", "web1:", "web1:0", "web1:65536", "web1:+1", "::1:19", "a/b:19"]
        {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_row_is_one_line_with_the_name_as_its_last_word() {
        let row = |mtime_ns, path: &[u8]| {
            let (inode, path) = (Inode::new(52), path.to_vec());
            Row { inode, size: 9000, mtime_ns, path }.to_string()
        };
        assert_eq!(row(1_795_180_991_000_000_001, b"/a"), "52 9000 2026-11-20T13:23:11Z /a");
        assert_eq!(row(0, b"/a b\n"), "52 9000 1970-01-01T00:00:00Z \"/a b\\n\"");
        assert_eq!(row(u64::MAX, b"/\xff"), "52 9000 2554-07-21T23:34:33Z \"/\\xff\"");
    }
}
