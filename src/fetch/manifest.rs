//! The manifest: what became of every generation that has ended here.
//!
//! One text file beside the pointer, called like it and `.manifest`. It only grows: a line for each
//! archive, and another one if bytes came late for it. The last line of an archive counts. The line
//! ends with a checksum of all before it:
//!
//! ```text
//! 2026-11-21T13:22:49Z 1835021 0 40960 blake3=b0... archive=messages.20261121142249 end=complete id=1835021.7.1795132800000000000 seen=1795180991000000001 crc32=0a1b2c3d
//! ```
//!
//! First the time (UTC), the inode, and which bytes of the generation the archive holds; `blake3=` is
//! the digest of the archive. Keys that may be missing: `id=` and `seen=`, what a protocol 2 responder
//! told of the generation; `lost=FROM-TO`, bytes of it that could not be had, without TO if it was
//! never heard how many there are; `late=N`, the line replaces an earlier one, since N bytes came.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime, Utc};

use super::pointer::write_all_at;
use crate::pos::{Inode, Offset, Token, parse_number, parse_offset};
use crate::proto::answer::Why;
use crate::proto::digest::Whole;
use crate::proto::percent;
use crate::sys::fs::{Fs, dir_of};

/// An archive, as it was left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// When it was finished; whole seconds.
    pub time: DateTime<Utc>,
    /// The generation's name in protocol 1.
    pub inode: Inode,
    /// The first byte of the generation that the archive holds.
    pub from: Offset,
    /// The first that it does not hold any more.
    pub to: Offset,
    /// BLAKE3 of the archive.
    pub digest: Whole,
    /// The archive's name in the copy's directory; `None` if it could not be found out.
    pub archive: Option<OsString>,
    /// How it ended.
    pub ending: Ending,
    /// The generation's identity, if a protocol 2 responder told it.
    pub id: Option<Token>,
    /// When its file was changed last as far as was heard, in nanoseconds since 1970.
    pub seen_ns: Option<u64>,
    /// What could not be had.
    pub lost: Option<Gap>,
    /// So many bytes came after an earlier line for this archive, which this one replaces.
    pub late: Option<u64>,
}

/// How an archive ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ending {
    /// The responder named the successor: the generation is whole, if its archives begin at 0.
    Complete,
    /// The responder has no such generation.
    Gone,
    /// The responder has other bytes before the place where the archive ends.
    Digest,
    /// The responder has fewer bytes than the archive.
    Short,
    /// The bytes that came were not those that the copy had.
    Differs,
    /// Somebody renamed the copy; the generation goes on in the next archive.
    Reopened,
}

impl Ending {
    const ALL: [Ending; 6] = [
        Ending::Complete,
        Ending::Gone,
        Ending::Digest,
        Ending::Short,
        Ending::Differs,
        Ending::Reopened,
    ];

    /// Reads its word.
    pub fn parse(text: &str) -> Option<Ending> {
        Ending::ALL.into_iter().find(|ending| ending.as_str() == text)
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Ending::Complete => "complete",
            Ending::Gone => "gone",
            Ending::Digest => "digest",
            Ending::Short => "short",
            Ending::Differs => "differs",
            Ending::Reopened => "reopened",
        }
    }
}

impl From<Why> for Ending {
    fn from(why: Why) -> Ending {
        match why {
            Why::Gone => Ending::Gone,
            Why::Digest => Ending::Digest,
            Why::Short => Ending::Short,
        }
    }
}

/// What a generation's end is decided to be, before anything is done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// What could not be had.
    pub lost: Option<Gap>,
}

impl Outcome {
    /// All of it was had.
    pub const COMPLETE: Outcome = Outcome { ending: Ending::Complete, lost: None };
}

/// All that a line says and that a recovery could not find out any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// When.
    pub time: DateTime<Utc>,
    /// How.
    pub outcome: Outcome,
    /// BLAKE3 of the copy that becomes the archive.
    pub digest: Whole,
}

/// Bytes of a generation that could not be had.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Gap {
    /// The first of them.
    pub from: Offset,
    /// Where they ended when the generation was last heard of; `None` if nothing was heard of them.
    pub to: Option<Offset>,
}

impl Gap {
    /// Reads `FROM-TO` or `FROM-`.
    pub fn parse(text: &str) -> Option<Gap> {
        let (from, to) = text.split_once('-')?;
        let from = parse_decimal(from)?;
        let to = if to.is_empty() { None } else { Some(parse_decimal(to)?) };
        to.is_none_or(|to| to > from).then_some(Gap { from, to })
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.from)?;
        self.to.map_or(Ok(()), |to| write!(f, "{to}"))
    }
}

fn parse_decimal(text: &str) -> Option<Offset> {
    parse_offset(text.as_bytes()).filter(|_| !text.is_empty())
}

const TIME: &str = "%Y-%m-%dT%H:%M:%SZ";

/// Longest line in bytes, newline included: a file name has at most 255 bytes, each of which may
/// be written as three, and all else has less than 500.
pub const LINE_BYTES_MAX: usize = 2048;

/// The manifest of the source whose pointer is `pointer`.
pub fn manifest_path(pointer: &Path) -> PathBuf {
    let mut name = OsString::from(pointer.file_name().unwrap_or_default());
    name.push(".manifest");
    pointer.with_file_name(name)
}

/// A time as lines have it.
pub fn emit_time(time: DateTime<Utc>) -> String {
    time.format(TIME).to_string()
}

/// Reads it.
pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    Some(NaiveDateTime::parse_from_str(text, TIME).ok()?.and_utc())
}

/// Writes a line, with its newline.
pub fn emit_line(line: &Line) -> Vec<u8> {
    let archive = match &line.archive {
        None => "-".to_owned(),
        Some(name) if name == "-" => "%2D".to_owned(),
        Some(name) => percent::encode(name.as_bytes()),
    };
    let mut text = format!(
        "{} {} {} {} blake3={} archive={archive} end={}",
        emit_time(line.time),
        line.inode,
        line.from,
        line.to,
        line.digest,
        line.ending.as_str()
    );
    let mut push = |key: &str, value: Option<&dyn fmt::Display>| {
        if let Some(value) = value {
            text.push_str(&format!(" {key}={value}"));
        }
    };
    push("id", line.id.as_ref().map(|id| id as _));
    push("seen", line.seen_ns.as_ref().map(|ns| ns as _));
    push("lost", line.lost.as_ref().map(|gap| gap as _));
    push("late", line.late.as_ref().map(|late| late as _));
    text.push_str(&format!(" crc32={:08x}\n", crc32fast::hash(text.as_bytes())));
    text.into_bytes()
}

/// Reads a line with its newline; `None` if it is damaged or of another version.
pub fn parse_line(bytes: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (line, checksum) = text.rsplit_once(" crc32=")?;
    if checksum != format!("{:08x}\n", crc32fast::hash(line.as_bytes())) {
        return None;
    }
    let mut words = line.split(' ');
    let time = parse_time(words.next()?)?;
    let inode = Inode::parse(words.next()?.as_bytes())?;
    let (from, to) = (parse_decimal(words.next()?)?, parse_decimal(words.next()?)?);
    let fields: Vec<(&str, &str)> =
        words.map(|word| word.split_once('=')).collect::<Option<_>>()?;
    let field = |key: &str| fields.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
    let archive = match field("archive")? {
        "-" => None,
        text => Some(parse_name(text)?),
    };
    (from <= to).then_some(())?;
    Some(Line {
        time,
        inode,
        from,
        to,
        digest: Whole::parse(field("blake3")?.as_bytes())?,
        archive,
        ending: Ending::parse(field("end")?)?,
        id: or_none(field("id"), |text| Token::parse(text.as_bytes()))?,
        seen_ns: or_none(field("seen"), |text| parse_number(text.as_bytes()))?,
        lost: or_none(field("lost"), Gap::parse)?,
        late: or_none(field("late"), |text| parse_number(text.as_bytes()))?,
    })
}

/// A value that may be missing, but not be wrong.
pub(super) fn or_none<T>(
    text: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<Option<T>> {
    match text {
        None => Some(None),
        Some(text) => parse(text).map(Some),
    }
}

/// A file's name, never one that leads out of its directory.
fn parse_name(text: &str) -> Option<OsString> {
    let name = percent::decode(text.as_bytes())?;
    let leads_out = name.is_empty() || name.contains(&b'/') || name == b"." || name == b"..";
    (!leads_out).then(|| OsString::from_vec(name))
}

/// How far a manifest is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extent {
    /// Where the last good line ends. What is behind it was torn by a crash, and is no line.
    pub good: u64,
    /// Lines before that which are not good: somebody changed them, or the disk did.
    pub damaged: u64,
    /// The file's length.
    pub size: u64,
}

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// Gives every good line, in order, with the offset at which it begins, to `each`; and how far the
/// file is good. `None` if there is no file. Of a file of any length, a part is in memory at once.
pub fn read_manifest<F: Fs>(
    fs: &F,
    path: &Path,
    mut each: impl FnMut(u64, Line),
) -> io::Result<Option<Extent>> {
    scan(fs, path, |at, _, line| each(at, line))
}

/// The same, with the bytes of each line.
fn scan<F: Fs>(
    fs: &F,
    path: &Path,
    mut each: impl FnMut(u64, &[u8], Line),
) -> io::Result<Option<Extent>> {
    let file = match fs.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut extent = Extent::default();
    // Bad lines since the last good one. They are damaged if a good one follows, else torn.
    let mut bad = 0;
    let mut buf = vec![0; READ_BYTES];
    // The line that is being read, as far as it is of a length that a line may have.
    let (mut line, mut begins) = (Vec::new(), 0);
    loop {
        let read = match fs.read_at(&file, &mut buf, extent.size) {
            Ok(0) => return Ok(Some(extent)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for piece in buf[..read].split_inclusive(|&byte| byte == b'\n') {
            extent.size += piece.len() as u64;
            let room = LINE_BYTES_MAX + 1 - line.len();
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            if !piece.ends_with(b"\n") {
                continue;
            }
            match parse_line(&line).filter(|_| line.len() <= LINE_BYTES_MAX) {
                Some(good) => {
                    extent.good = extent.size;
                    extent.damaged += std::mem::take(&mut bad);
                    each(begins, &line, good);
                }
                None => bad += 1,
            }
            line.clear();
            begins = extent.size;
        }
    }
}

/// Every archive's line that counts, in the order of their first lines; and how far the file is good.
/// `None` if there is no file.
pub fn read_latest<F: Fs>(fs: &F, path: &Path) -> io::Result<Option<(Vec<Line>, Extent)>> {
    let mut lines: Vec<Line> = Vec::new();
    let mut known: HashMap<OsString, usize> = HashMap::new();
    let extent = read_manifest(fs, path, |_, line| {
        let place = line.archive.clone().map(|name| *known.entry(name).or_insert(lines.len()));
        match place.and_then(|place| lines.get_mut(place)) {
            Some(replaced) => *replaced = line,
            None => lines.push(line),
        }
    })?;
    Ok(extent.map(|extent| (lines, extent)))
}

/// The last line, and of those before it at most so many bytes, are written once more with the next
/// one: a process before us may have failed to sync them, which leaves pages that look clean and are not
/// on disk.
const AGAIN_BYTES: usize = 4096;

/// Adds a line, unless the one that counts for its archive says the same already. When this returns,
/// it is on disk. A torn end is cut off before. After an error the line is there or it is not.
pub fn append_line<F: Fs>(fs: &F, path: &Path, line: &Line) -> io::Result<()> {
    let mut said = false;
    // What is written again is what was found good: read once more, it could be something else.
    let (mut from, mut bytes) = (0, Vec::new());
    let found = scan(fs, path, |at, text, known| {
        if at != from + bytes.len() as u64 || bytes.len() > AGAIN_BYTES {
            (from, bytes) = (at, Vec::new());
        }
        bytes.extend_from_slice(text);
        if known.archive == line.archive {
            said = Line { time: line.time, ..known } == *line;
        }
    })?;
    let (file, extent) = match found {
        Some(extent) => (fs.open(path)?, extent),
        None => (fs.create_new(path)?, Extent::default()),
    };
    if extent.good < extent.size {
        fs.set_len(&file, extent.good)?;
    }
    if !said {
        bytes.extend(emit_line(line));
    }
    write_all_at(fs, &file, &bytes, from)?;
    fs.sync_data(&file)?;
    if found.is_none() {
        fs.sync_dir(dir_of(path))?;
    }
    Ok(())
}

/// The line that counts for the archive called `name`; `None` if it has none.
pub fn line_of<F: Fs>(fs: &F, path: &Path, name: &OsStr) -> io::Result<Option<Line>> {
    let mut found = None;
    read_manifest(fs, path, |_, line| {
        if line.archive.as_deref() == Some(name) {
            found = Some(line);
        }
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests;
