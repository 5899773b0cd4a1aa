//! Everything that can be told of a source. This file owns the sentences.
//!
//! Where fetchlogs 1.1 has a sentence for an event, it is that one, since there are scripts that
//! look for it. A line is `2026-11-20T13:22:49 HOST PATH SENTENCE`, the time being local time.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use chrono::{DateTime, Local};

use crate::pos::{Inode, Offset};

/// Something that keeps a source from being followed, until it ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// No connection, or no address for the name; why.
    InitConnect(String),
    /// The request could not be sent; why.
    InitWrite(String),
    /// No status line came; why.
    InitRead(String),
    /// What came is no status line; what it was.
    InitHeader(String),
    /// The connection broke while the source was being followed; why.
    Read(String),
    /// The copy could not be written; why.
    WriteData(String),
    /// Copy, pointer or archive could not be kept; which and why.
    Store(String),
    /// The file system of the copy has less than so much left.
    NoRoom {
        /// The copy.
        copy: PathBuf,
        /// What is to be left.
        floor: String,
    },
    /// Too many connections in a row brought too little.
    Haste,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::InitConnect(why) => write!(f, "ERR init connect: {why}"),
            Fault::InitWrite(why) => write!(f, "ERR init write: {why}"),
            Fault::InitRead(why) => write!(f, "ERR init read: {why}"),
            Fault::InitHeader(what) => write!(f, "ERR init header is broken: {what}"),
            Fault::Read(why) => write!(f, "ERR read: {why}"),
            Fault::WriteData(why) => write!(f, "ERR write data file: {why}"),
            Fault::Store(what) => write!(f, "ERR {what}"),
            Fault::NoRoom { copy, floor } => write!(
                f,
                "ERR no room: less than {floor} is left for {}, nothing is read until there is more",
                copy.display()
            ),
            Fault::Haste => {
                f.write_str("ERR too many connections brought too little: waiting between them")
            }
        }
    }
}

/// Something that happened to a source, once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The generation can't be had any more from here on; what follows it begins.
    Lost {
        /// The generation.
        inode: Inode,
        /// Bytes of it that we have.
        offset: Offset,
        /// Where it ended when it was last heard of, if that is behind what we have.
        end: Option<Offset>,
    },
    /// The generation is said to be complete at fewer bytes than the copy has.
    Shorter {
        /// The generation.
        inode: Inode,
        /// Where the responder says that it ended.
        ended: Offset,
        /// Where the copy ends.
        have: Offset,
    },
    /// A generation that had ended has grown, and so has its archive.
    Late {
        /// The generation.
        inode: Inode,
        /// The first byte that came late.
        from: Offset,
        /// How many did.
        bytes: Offset,
        /// The archive's name.
        archive: OsString,
    },
    /// A generation that had ended has grown, and its archive is not what it was.
    LateRefused {
        /// The generation.
        inode: Inode,
        /// The archive's name.
        archive: OsString,
    },
    /// What a generation has grown by can't be kept now; it is tried again.
    LateFault {
        /// The generation.
        inode: Inode,
        /// Why.
        why: String,
    },
    /// A generation is not asked for once more.
    LateGivenUp {
        /// The generation.
        inode: Inode,
    },
    /// The copy has become an archive, and a new copy begins.
    Rotated {
        /// The generation that begins.
        to: Inode,
    },
    /// The pointer file is there and can't be used; why.
    PointerUnusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The manifest is not there, or shorter than it was.
    ManifestShort {
        /// The file.
        path: PathBuf,
        /// How many bytes it has.
        size: u64,
        /// How many it had, and what was added since.
        had: u64,
    },
    /// Lines of the manifest can't be read.
    ManifestDamaged {
        /// The file.
        path: PathBuf,
        /// How many.
        lines: u64,
    },
    /// The copy does not agree with its pointer; how.
    CopyDoubted {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The copy is not what its source has.
    CopyDiffers {
        /// First byte that differs.
        at: Offset,
    },
    /// The end of the copy did not agree with the source and was cut off.
    TailCut {
        /// The copy's length now.
        from: Offset,
        /// The copy's length before.
        to: Offset,
        /// Where the bytes cut off are; `None` if they were left by a power loss.
        kept: Option<PathBuf>,
    },
    /// Somebody renamed the copy, and a new one goes on from there.
    CopyReopened {
        /// Where in the generation the new copy begins.
        base: Offset,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Lost { inode, offset, end: Some(end) } => {
                write!(f, "lost {inode}:{offset} to {end}")
            }
            Event::Lost { inode, offset, end: None } => {
                write!(f, "lost {inode}:{offset} to an unknown end")
            }
            Event::Shorter { inode, ended, have } => write!(
                f,
                "source ended {inode} at byte {ended}, the copy has {have}: the rest is unconfirmed"
            ),
            Event::Late { inode, from, bytes, archive } => {
                write!(f, "late {inode}:{from} {bytes} bytes into {}", archive.display())
            }
            Event::LateRefused { inode, archive } => write!(
                f,
                "archive {} was changed: late bytes of {inode} are not taken",
                archive.display()
            ),
            Event::LateFault { inode, why } => {
                write!(f, "late bytes of {inode} wait: {why}")
            }
            Event::LateGivenUp { inode } => {
                write!(f, "{inode} is not asked for once more: too many have ended since")
            }
            Event::Rotated { to } => write!(f, "rotated to {to}"),
            Event::PointerUnusable { path, why } => {
                write!(
                    f,
                    "pointer {} can't be used, {why}: comparing the copy from its beginning",
                    path.display()
                )
            }
            Event::ManifestShort { path, size, had } => {
                write!(
                    f,
                    "manifest {} has {size} bytes, and not {had}: lines are missing",
                    path.display()
                )
            }
            Event::ManifestDamaged { path, lines } => write!(
                f,
                "manifest {} is damaged: lines that can't be read: {lines}",
                path.display()
            ),
            Event::CopyDoubted { path, why } => {
                write!(f, "copy {} {why}: comparing it from its beginning", path.display())
            }
            Event::CopyDiffers { at } => {
                write!(f, "copy differs from the source at byte {at}: it becomes an archive")
            }
            Event::TailCut { from, to, kept: Some(kept) } => {
                write!(
                    f,
                    "bytes {from} to {to} of the copy are not the source's: kept as {}",
                    kept.display()
                )
            }
            Event::TailCut { from, to, kept: None } => {
                write!(f, "bytes {from} to {to} of the copy did not survive: fetching them again")
            }
            Event::CopyReopened { base } => write!(f, "copy reopened at byte {base}"),
        }
    }
}

/// One line of the event log, newline included. Nothing that reaches it can break the line or speak
/// to a terminal: control characters are escaped.
pub fn line(time: DateTime<Local>, host: &str, path: &str, sentence: &str) -> String {
    let line = format!("{} {host} {path} {sentence}", time.format("%Y-%m-%dT%H:%M:%S"));
    let mut line = one_line(line);
    line.push('\n');
    line
}

/// The same text with its control characters escaped.
pub fn one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    text.chars().fold(String::new(), |mut clean, c| {
        if c.is_control() {
            clean.extend(c.escape_default())
        } else {
            clean.push(c)
        }
        clean
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn an_event_line_is_time_host_path_and_sentence() {
        let time = Local.with_ymd_and_hms(2026, 11, 20, 13, 22, 49).unwrap();
        let tell = |sentence: &str| line(time, "192.0.2.7", "/var/log/messages", sentence);
        let rotated = Event::Rotated { to: Inode::new(1835021) };
        assert_eq!(
            tell(&rotated.to_string()),
            "2026-11-20T13:22:49 192.0.2.7 /var/log/messages rotated to 1835021\n"
        );
        let lost = |end| Event::Lost { inode: Inode::new(1835021), offset: 40960, end };
        assert_eq!(
            tell(&lost(Some(52000)).to_string()),
            "2026-11-20T13:22:49 192.0.2.7 /var/log/messages lost 1835021:40960 to 52000\n"
        );
        assert_eq!(lost(None).to_string(), "lost 1835021:40960 to an unknown end");
        let archive = "messages.20261120132249".into();
        let late = Event::Late { inode: Inode::new(1835021), from: 40960, bytes: 12, archive };
        assert_eq!(late.to_string(), "late 1835021:40960 12 bytes into messages.20261120132249");
        let refused = Fault::InitConnect("Connection refused".to_owned());
        assert_eq!(
            tell(&refused.to_string()),
            "2026-11-20T13:22:49 192.0.2.7 /var/log/messages ERR init connect: Connection refused\n"
        );
    }

    #[test]
    fn nothing_in_a_line_can_break_it_or_speak_to_a_terminal() {
        let time = Local.with_ymd_and_hms(2026, 11, 20, 13, 22, 49).unwrap();
        let told = line(time, "h", "/a\nb", "\x1b[2J");
        assert_eq!(told, "2026-11-20T13:22:49 h /a\\nb \\u{1b}[2J\n");
    }
}
