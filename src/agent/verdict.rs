//! What a status file says of its host at a moment, and in which words. All texts stand here.
//!
//! The fetcher touches each status file every 50 s at the latest, so one that was not touched for
//! longer than the limit (120 s unless told otherwise) says nothing any more, not even its error.
//! A file from the *future* is stale as soon as it is further ahead than the limit: after a clock
//! was set back by a year, an old OK would otherwise stand for that year.

use super::protocol::printable;
use std::time::{Duration, SystemTime};

/// What was found under the name of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// A status file.
    Line {
        /// Its first line without the line end, printable; empty for an empty line.
        text: String,
        /// When it was last touched.
        modified: SystemTime,
    },
    /// Something that can't be read, or nothing.
    Unreadable {
        /// What failed: `stat` or `read`.
        verb: &'static str,
        /// Why, in the words of the system.
        cause: String,
        /// When it was last touched, where that is known.
        modified: Option<SystemTime>,
    },
}

/// A host's state, by its number in the MIB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// All sources of the host are followed.
    Ok = 1,
    /// The fetcher reports an error.
    Error = 2,
    /// The fetcher does not report any more.
    Stale = 3,
    /// The report can't be read.
    Unreadable = 4,
}

/// The age told for a file whose age is not known, in seconds.
pub const AGE_UNKNOWN_SECS: u32 = u32::MAX;

impl Found {
    /// The state at `now`, when reports hold for `stale`.
    pub fn state(&self, now: SystemTime, stale: Duration) -> State {
        match self {
            Found::Unreadable { .. } => State::Unreadable,
            Found::Line { modified, .. } if distance(now, *modified) > stale => State::Stale,
            Found::Line { text, .. } if text.split(' ').next() == Some("OK") => State::Ok,
            Found::Line { .. } => State::Error,
        }
    }

    /// The text at `now` for the file named `path`.
    pub fn text(&self, path: &str, now: SystemTime, stale: Duration) -> String {
        let path = short(path);
        match (self, self.state(now, stale)) {
            (Found::Unreadable { verb, cause, .. }, _) => format!("ERR {verb} {path}: {cause}"),
            (Found::Line { .. }, State::Stale) => format!("ERR {path} is stale"),
            (Found::Line { text, .. }, _) if text.is_empty() => "ERR NO DATA".to_owned(),
            (Found::Line { text, .. }, _) => text.clone(),
        }
    }

    /// The age at `now` in whole seconds; 0 for a file from the future.
    pub fn age_secs(&self, now: SystemTime) -> u32 {
        let modified = match self {
            Found::Line { modified, .. } => Some(*modified),
            Found::Unreadable { modified, .. } => *modified,
        };
        modified.map_or(AGE_UNKNOWN_SECS, |modified| {
            let age = now.duration_since(modified).unwrap_or_default();
            u32::try_from(age.as_secs()).unwrap_or(AGE_UNKNOWN_SECS)
        })
    }
}

/// The text of a status directory: what there is to say of it as a whole.
pub fn directory_text(fault: Option<&str>, path: &str) -> String {
    match fault {
        None => "OK".to_owned(),
        Some(fault) => format!("ERR read {}: {fault}", short(path)),
    }
}

/// The first line of a file's contents, ready to be a [`Found::Line`].
pub fn first_line(contents: &[u8]) -> String {
    let line = contents.split(|&b| b == b'\n').next().unwrap_or_default().trim_ascii_end();
    if line.is_empty() { String::new() } else { printable(line) }
}

fn distance(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|e| e.duration())
}

/// The path, or its end when it is long: the host stands there, and the words after the path must
/// still fit in a reply.
fn short(path: &str) -> String {
    const BYTES_MAX: usize = 160;
    if path.len() <= BYTES_MAX {
        return path.to_owned();
    }
    let from = (path.len() - BYTES_MAX..path.len()).find(|&i| path.is_char_boundary(i));
    format!("...{}", &path[from.unwrap_or(path.len())..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: Duration = Duration::from_secs(120);
    const PATH: &str = "/var/lib/fetchlogs/snmp/192.0.2.7";

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn line(text: &str, modified: SystemTime) -> Found {
        Found::Line { text: text.into(), modified }
    }

    fn said(found: &Found) -> (State, String, u32) {
        (found.state(now(), STALE), found.text(PATH, now(), STALE), found.age_secs(now()))
    }

    #[test]
    fn a_fresh_file_speaks_for_itself() {
        let error = "ERR 2 of 7 sources: /var/log/messages: ERR read: connection closed";
        assert_eq!(said(&line("OK", now())), (State::Ok, "OK".into(), 0));
        assert_eq!(said(&line("OK", now() - STALE)), (State::Ok, "OK".into(), 120));
        assert_eq!(said(&line(error, now())), (State::Error, error.into(), 0));
        assert_eq!(said(&line("OKAY", now())), (State::Error, "OKAY".into(), 0));
        let empty = "ERR NO DATA".to_owned();
        assert_eq!(said(&line("", now())), (State::Error, empty, 0));
    }

    #[test]
    fn a_file_too_old_or_from_the_future_is_stale_whatever_it_says() {
        let stale = format!("ERR {PATH} is stale");
        let just = STALE + Duration::from_millis(1);
        for text in ["OK", "ERR 2 of 7 sources", ""] {
            assert_eq!(said(&line(text, now() - just)), (State::Stale, stale.clone(), 120));
            assert_eq!(said(&line(text, now() + just)), (State::Stale, stale.clone(), 0));
        }
        assert_eq!(said(&line("OK", now() + STALE)), (State::Ok, "OK".into(), 0));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let cause = "Permission denied".to_owned();
        let found = Found::Unreadable { verb: "read", cause, modified: Some(now() - STALE * 2) };
        let text = format!("ERR read {PATH}: Permission denied");
        assert_eq!(said(&found), (State::Unreadable, text, 240));
        let cause = "No such file or directory".to_owned();
        let found = Found::Unreadable { verb: "stat", cause, modified: None };
        let text = format!("ERR stat {PATH}: No such file or directory");
        assert_eq!(said(&found), (State::Unreadable, text, AGE_UNKNOWN_SECS));
    }

    #[test]
    fn the_end_of_a_long_path_and_the_words_around_it_are_kept() {
        let path = format!("/{}/192.0.2.7", "é".repeat(2000));
        let text = line("OK", SystemTime::UNIX_EPOCH).text(&path, now(), STALE);
        assert!(text.starts_with("ERR ...") && text.ends_with("/192.0.2.7 is stale"), "{text}");
        assert!(text.len() < 255);
    }

    #[test]
    fn only_the_first_line_counts() {
        assert_eq!(first_line(b"OK\nERR\n"), "OK");
        assert_eq!(first_line(b"OK \r\n"), "OK");
        assert_eq!(first_line(b"\nERR\n"), "");
        assert_eq!(first_line(b"ERR \xc3\xa9\x1b[31m"), "ERR ???[31m");
        assert_eq!(first_line(&[b'x'; 4096]).len(), 255);
    }
}
