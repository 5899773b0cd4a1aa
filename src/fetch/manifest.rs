//! The manifest: what became of every generation that has ended here.
//!
//! One text file beside the pointer, called like it and `.manifest`. It only grows: a line for each
//! archive, and another one if bytes came late for it, or if it is a copy that somebody renamed and a crash kept
//! it the copy for a while. The last line of an archive counts: that is one of
//! the same name, generation and first byte. What is damaged stays, and new lines go behind it; only what
//! a crash tore off is cut. The line ends with a checksum of all before it:
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
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::pos::{Inode, Offset, Token, parse_number, parse_offset};
use crate::proto::answer::Why;
use crate::proto::digest::Whole;
use crate::proto::percent;
use crate::sys::fs::{Fs, dir_of, read_exact_at, write_all_at};

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

impl Line {
    /// Whether both lines are of one archive. A name alone does not say so: it may have been given again
    /// once somebody had moved the archive that had it.
    pub fn is_of(&self, other: &Line) -> bool {
        self.archive == other.archive
            && (self.inode, self.id, self.from) == (other.inode, other.id, other.from)
    }
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
    pub(super) const ALL: [Ending; 6] = [
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

/// How far a manifest has lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extent {
    /// Where the last whole line ends, good or damaged. What is behind it was torn by a crash, and is no
    /// line: it has no newline and begins as a line does, or it has zeros.
    pub whole: u64,
    /// Lines before that which are not good: somebody changed them, or the disk did, or they are of a
    /// later version.
    pub damaged: u64,
    /// The last of them has no newline.
    pub unended: bool,
    /// The file's length.
    pub size: u64,
}

/// Whether the end of a file, which has no newline, can be the beginning of a line.
fn may_be_torn(end: &[u8]) -> bool {
    let like = b"0000-00-00T00:00:00Z ";
    let fits = |(have, like): (&u8, &u8)| match like {
        b'0' => have.is_ascii_digit(),
        like => have == like,
    };
    end.contains(&0) || end.len() <= LINE_BYTES_MAX && end.iter().zip(like).all(fits)
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
    scan(fs, path, 0, |at, _, line| each(at, line))
}

/// The same, with the bytes of each line. Of the first `had` bytes none can be torn.
fn scan<F: Fs>(
    fs: &F,
    path: &Path,
    had: u64,
    mut each: impl FnMut(u64, &[u8], Line),
) -> io::Result<Option<Extent>> {
    let file = match fs.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut extent = Extent::default();
    // Lines with zeros since the last whole one. They are damaged if one follows, else torn.
    let mut zeros = 0;
    let mut buf = vec![0; READ_BYTES];
    // The line that is being read, as far as it is of a length that a line may have.
    let (mut line, mut begins) = (Vec::new(), 0);
    loop {
        let read = match fs.read_at(&file, &mut buf, extent.size) {
            Ok(0) => break,
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
                    extent.whole = extent.size;
                    extent.damaged += std::mem::take(&mut zeros);
                    each(begins, &line, good);
                }
                None if line.contains(&0) => zeros += 1,
                None => {
                    extent.whole = extent.size;
                    extent.damaged += std::mem::take(&mut zeros) + 1;
                }
            }
            line.clear();
            begins = extent.size;
        }
    }
    let foreign = !line.is_empty() && !may_be_torn(&line);
    if foreign || extent.whole < had.min(extent.size) {
        extent.unended = !line.is_empty();
        extent.damaged += zeros + u64::from(extent.unended);
        extent.whole = extent.size;
    }
    Ok(Some(extent))
}

/// Every archive's line that counts, in the order of their first lines; and how far the file has lines.
/// `None` if there is no file. It is known to have had so many bytes.
pub fn read_latest<F: Fs>(
    fs: &F,
    path: &Path,
    had: u64,
) -> io::Result<Option<(Vec<Line>, Extent)>> {
    let mut lines: Vec<Line> = Vec::new();
    let mut known: HashMap<_, usize> = HashMap::new();
    let extent = scan(fs, path, had, |_, _, line| {
        let key = (line.archive.clone(), line.inode, line.id, line.from);
        let place = key.0.is_some().then(|| *known.entry(key).or_insert(lines.len()));
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

/// What a manifest was when a line was added to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Before.
    pub before: Extent,
    /// Its length now.
    pub size: u64,
}

/// Adds a line, unless the one that counts for its archive says the same already. When this returns,
/// it is on disk. A torn end is cut off before, but none of the `had` bytes that were on disk once; what
/// is damaged stays. After an error the line is there or it is not.
pub fn append_line<F: Fs>(fs: &F, path: &Path, line: &Line, had: u64) -> io::Result<Appended> {
    let mut said = false;
    // What is written again is what was found good: read once more, it could be something else.
    let (mut from, mut bytes) = (0, Vec::new());
    let found = scan(fs, path, had, |at, text, known| {
        if at != from + bytes.len() as u64 || bytes.len() > AGAIN_BYTES {
            (from, bytes) = (at, Vec::new());
        }
        bytes.extend_from_slice(text);
        if known.is_of(line) {
            said = Line { time: line.time, ..known } == *line;
        }
    })?;
    let (file, extent) = match found {
        Some(extent) => (fs.open(path)?, extent),
        None => (fs.create_new(path)?, Extent::default()),
    };
    if extent.whole < extent.size {
        fs.set_len(&file, extent.whole)?;
    }
    // What is damaged is between.
    if from + bytes.len() as u64 != extent.whole {
        (from, bytes) = (extent.whole, Vec::new());
    }
    if !said {
        bytes.extend(extent.unended.then_some(b'\n'));
        bytes.extend(emit_line(line));
    }
    write_all_at(fs, &file, &bytes, from)?;
    fs.sync_data(&file)?;
    if found.is_none() {
        fs.sync_dir(dir_of(path))?;
    }
    Ok(Appended { before: extent, size: from + bytes.len() as u64 })
}

/// The end of a manifest.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Last {
    /// The good lines among the last 16 KiB, in order.
    pub lines: Vec<Line>,
    /// Whole lines there that are not good.
    pub damaged: u64,
    /// The file's length; 0 if there is none.
    pub size: u64,
}

/// Reads the end of a manifest.
pub fn read_last<F: Fs>(fs: &F, path: &Path) -> io::Result<Last> {
    let file = match fs.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Last::default()),
        Err(error) => return Err(error),
    };
    let size = fs.len(&file)?;
    let mut last = Last { size, ..Last::default() };
    let len = size.min(LAST_BYTES);
    let mut bytes = vec![0; len as usize];
    read_exact_at(fs, &file, &mut bytes, size - len)?;
    for (number, text) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        match parse_line(text) {
            Some(line) => last.lines.push(line),
            // The first may be the rest of a longer one.
            None if number == 0 && len < size => {}
            None => last.damaged += u64::from(text.ends_with(b"\n") && !text.contains(&0)),
        }
    }
    Ok(last)
}

const LAST_BYTES: u64 = 16 * 1024;

/// The line that counts for the archive of `listed`; `None` if it has none.
pub fn line_of<F: Fs>(fs: &F, path: &Path, listed: &Line) -> io::Result<Option<Line>> {
    let mut found = None;
    read_manifest(fs, path, |_, line| {
        if line.is_of(listed) {
            found = Some(line);
        }
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests;
