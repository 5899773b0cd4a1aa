//! What is told of each copy and archive that was verified, and which of it is good.
//!
//! ```text
//! HOST PATH copy INODE FROM-TO VERDICT
//! HOST PATH archive NAME INODE FROM-TO VERDICT
//! HOST PATH archive NAME not in the manifest
//! ```
//!
//! Ranges are of the generation: the first byte, and the first that is not meant any more. Nothing that
//! reaches a line can break it or speak to a terminal.

use std::fmt;
use std::ops::Range;

use crate::fetch::manifest::Gap;
use crate::pos::{Inode, Offset};
use crate::status::event;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The source's host.
    pub host: String,
    /// The remote path, as one word.
    pub path: String,
    /// What was verified.
    pub what: What,
    /// What was found.
    pub verdict: Verdict,
}

/// What was verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// The copy.
    Copy(Option<Extent>),
    /// An archive.
    Archive {
        /// Its name in the copy's directory, as one word; a dash if the manifest does not know it.
        name: String,
        /// What it holds, if the manifest says so.
        extent: Option<Extent>,
    },
    /// The manifest itself.
    Manifest,
}

/// A part of a generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The generation's inode number.
    pub inode: Inode,
    /// The part.
    pub range: Range<Offset>,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It was compared.
    Compared {
        /// With its source.
        source: Compared,
        /// With the manifest.
        manifest: Listed,
    },
    /// It is not there.
    Missing,
    /// It is there, and no line of the manifest tells what it is.
    Unlisted,
    /// It has another length than it should.
    Length(Offset),
    /// Bytes of the generation could not be had when it was fetched.
    Lost(Gap),
    /// So many lines of the manifest can't be read.
    Damaged(u64),
    /// It can't be read; why.
    Unreadable(String),
}

/// What the comparison with the source gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Compared {
    /// The same bytes.
    Equal,
    /// Other bytes, all of them in this range.
    Differs(Range<Offset>),
    /// The source does not have the generation any more.
    Gone,
    /// It could not be compared; why.
    Unknown(String),
}

/// What the comparison with the manifest gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listed {
    /// A manifest knows archives only.
    Not,
    /// The same digest.
    Equal,
    /// Another digest.
    Differs,
}

impl Line {
    /// Whether this is as it should be.
    pub fn is_good(&self) -> bool {
        match &self.verdict {
            Verdict::Compared { source: Compared::Equal, manifest } => *manifest != Listed::Differs,
            Verdict::Compared { source: Compared::Gone, manifest } => *manifest == Listed::Equal,
            _ => false,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { host, path, what, verdict } = self;
        f.write_str(&event::one_line(format!("{host} {path} {what} {verdict}")))
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Copy(None) => f.write_str("copy"),
            What::Copy(Some(extent)) => write!(f, "copy {extent}"),
            What::Archive { name, extent: None } => write!(f, "archive {name}"),
            What::Archive { name, extent: Some(extent) } => write!(f, "archive {name} {extent}"),
            What::Manifest => f.write_str("manifest"),
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Extent { inode, range } = self;
        write!(f, "{inode} {}-{}", range.start, range.end)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, manifest) = match self {
            Verdict::Compared { source, manifest } => (source, *manifest),
            Verdict::Missing => return f.write_str("missing"),
            Verdict::Unlisted => return f.write_str("not in the manifest"),
            Verdict::Length(bytes) => return write!(f, "has {bytes} bytes"),
            Verdict::Lost(gap) => return write!(f, "lost {gap}"),
            Verdict::Damaged(1) => return f.write_str("damaged: 1 line can't be read"),
            Verdict::Damaged(lines) => return write!(f, "damaged: {lines} lines can't be read"),
            Verdict::Unreadable(why) => return write!(f, "cannot verify: {why}"),
        };
        match (source, manifest) {
            (Compared::Equal, Listed::Differs) => f.write_str("manifest differs"),
            (Compared::Equal, _) => f.write_str("equal"),
            (Compared::Unknown(why), Listed::Not) => write!(f, "cannot verify: {why}"),
            // A reason may be anything, so it comes last.
            (Compared::Unknown(why), Listed::Equal) => {
                write!(f, "equal to the manifest, cannot verify: {why}")
            }
            (Compared::Unknown(why), Listed::Differs) => {
                write!(f, "manifest differs, cannot verify: {why}")
            }
            (found, manifest) => {
                match found {
                    Compared::Differs(at) => write!(f, "differs at {}-{}", at.start, at.end)?,
                    _ => f.write_str("gone at the source")?,
                }
                f.write_str(match manifest {
                    Listed::Not => "",
                    Listed::Equal => ", equal to the manifest",
                    Listed::Differs => ", manifest differs",
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verdict: Verdict) -> Line {
        let extent = Extent { inode: Inode::new(1835021), range: 0..40960 };
        let name = "log.20261121000002".to_owned();
        let what = What::Archive { name, extent: Some(extent) };
        Line { host: "web1".to_owned(), path: "/log".to_owned(), what, verdict }
    }

    #[test]
    fn every_verdict_has_its_words_and_only_what_is_proved_is_good() {
        let compared = |source, manifest| Verdict::Compared { source, manifest };
        let why = || Compared::Unknown("timeout".to_owned());
        for (verdict, words, good) in [
            (compared(Compared::Equal, Listed::Equal), "equal", true),
            (compared(Compared::Equal, Listed::Not), "equal", true),
            (compared(Compared::Equal, Listed::Differs), "manifest differs", false),
            (compared(Compared::Differs(512..513), Listed::Not), "differs at 512-513", false),
            (
                compared(Compared::Differs(512..513), Listed::Equal),
                "differs at 512-513, equal to the manifest",
                false,
            ),
            (
                compared(Compared::Differs(0..1), Listed::Differs),
                "differs at 0-1, manifest differs",
                false,
            ),
            (
                compared(Compared::Gone, Listed::Equal),
                "gone at the source, equal to the manifest",
                true,
            ),
            (
                compared(Compared::Gone, Listed::Differs),
                "gone at the source, manifest differs",
                false,
            ),
            (compared(Compared::Gone, Listed::Not), "gone at the source", false),
            (compared(why(), Listed::Not), "cannot verify: timeout", false),
            (
                compared(why(), Listed::Equal),
                "equal to the manifest, cannot verify: timeout",
                false,
            ),
            (compared(why(), Listed::Differs), "manifest differs, cannot verify: timeout", false),
            (Verdict::Missing, "missing", false),
            (Verdict::Unlisted, "not in the manifest", false),
            (Verdict::Length(7), "has 7 bytes", false),
            (Verdict::Lost(Gap { from: 40960, to: Some(52000) }), "lost 40960-52000", false),
            (Verdict::Lost(Gap { from: 40960, to: None }), "lost 40960-", false),
            (Verdict::Damaged(2), "damaged: 2 lines can't be read", false),
        ] {
            let line = line(verdict);
            let told = format!("web1 /log archive log.20261121000002 1835021 0-40960 {words}");
            assert_eq!((line.to_string(), line.is_good()), (told, good));
        }
    }

    #[test]
    fn nothing_in_a_line_can_break_it_or_speak_to_a_terminal() {
        let what = What::Copy(None);
        let verdict = Verdict::Unreadable("\x1b[2J\n".to_owned());
        let line = Line { host: "h".to_owned(), path: "/a\nb".to_owned(), what, verdict };
        assert_eq!(line.to_string(), "h /a\\nb copy cannot verify: \\u{1b}[2J\\n");
    }
}
