//! The copy: what arrives is put where it belongs, and compared where something is already.
//!
//! Bytes are always written at their own place, never "at the end": then receiving the same bytes
//! twice changes nothing. Where the copy already has bytes that are not yet known to be right, they
//! are compared with what arrives *and written again*: a process before us may have been killed after
//! a failed sync, which leaves pages that are marked clean and are not on disk.

use std::io;

use crate::pos::Offset;
use crate::proto::asked::Sample;
use crate::proto::{ALIVE, MASKED};
use crate::sys::cause::cause;
use crate::sys::fs::{Fs, read_exact_at, write_all_at};

/// Where a source is in its copy. All offsets are the copy's; the generation's are `base` more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// Where in the generation the copy's first byte belongs.
    pub base: Offset,
    /// The generation's bytes just before that, as far as they were known: the copy does not have them.
    pub before: Option<Sample>,
    /// Bytes at the front that came in protocol 1, and what follows came in protocol 2: a 0x07 of the log is
    /// 0xff in them.
    pub masked: Offset,
    /// Bytes at the front that are on disk and right.
    pub durable: Offset,
    /// Bytes at the front that connections before this one have compared, where the rest can't be believed.
    pub compared: Offset,
    /// Where the next byte that arrives belongs. Below `size`, it is compared with what is there.
    pub at: Offset,
    /// Length of the copy.
    pub size: Offset,
    /// How much of the copy may be believed.
    pub trust: Trust,
}

/// How much of the copy may be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Trust {
    /// All of it: written by this process, or compared.
    #[default]
    Whole,
    /// What is durable; behind it there is something.
    Durable {
        /// What that may be.
        rest: Rest,
    },
    /// Nothing: it was found without a pointer that fits.
    Nothing,
}

/// What the end of a copy may be that was not known to be durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// Bytes that did arrive: a process ended without saying so, and the machine ran on.
    Arrived,
    /// The same, unless the cache has dropped some: this process failed to make them durable, and
    /// after a failed sync old bytes, or zeros, may be read in their place.
    Doubtful,
    /// Anything: the machine lost power.
    Torn,
}

impl Place {
    /// Bytes at the front that are known to be right, durable or not.
    pub fn right(&self) -> Offset {
        match self.trust {
            Trust::Whole => self.size,
            Trust::Durable { .. } => self.at.max(self.durable).max(self.compared),
            Trust::Nothing => 0,
        }
    }

    /// A connection begins at `at`. What those before it have compared is right all the same.
    pub fn begin_at(&mut self, at: Offset) {
        self.compared = if let Trust::Durable { .. } = self.trust { self.right() } else { 0 };
        self.at = at;
    }

    /// Everything that the copy has agrees with the source.
    pub fn verified(&self) -> bool {
        self.at == self.size
    }
}

/// What became of bytes that arrived.
#[derive(Debug)]
pub enum Took {
    /// All are in the copy.
    All,
    /// The copy has something else at `at`, and was left as it is from there on.
    Differs,
    /// The copy is not as long as it was left: somebody else changed it.
    Changed,
    /// They could not be written from `at` on; why.
    Failed(String),
}

/// How much of the copy is read at once to be compared.
const COMPARE_BYTES: usize = 16 * 1024;

/// Puts `bytes` into the copy at `place.at` and moves `place` on by as much as was done.
pub fn take<F: Fs>(fs: &F, file: &F::File, place: &mut Place, mut bytes: &[u8]) -> Took {
    while !bytes.is_empty() && place.at < place.size {
        let there = (place.size - place.at).min(bytes.len().min(COMPARE_BYTES) as u64) as usize;
        match compare(fs, file, &bytes[..there], place) {
            Ok(equal) => {
                place.at += equal as u64;
                if equal < there {
                    return Took::Differs;
                }
            }
            Err(error) => return Took::Failed(cause(&error)),
        }
        bytes = &bytes[there..];
    }
    if place.at == place.size {
        place.trust = Trust::Whole;
    }
    if bytes.is_empty() {
        return Took::All;
    }
    // Written behind the end of a copy that somebody has cut, they would leave a hole before them.
    match fs.len(file) {
        Ok(len) if len == place.size => {}
        Ok(_) => return Took::Changed,
        Err(error) => return Took::Failed(cause(&error)),
    }
    while !bytes.is_empty() {
        match fs.write_at(file, bytes, place.at) {
            Ok(0) => return Took::Failed(cause(&io::ErrorKind::WriteZero.into())),
            Ok(written) => {
                bytes = &bytes[written..];
                place.at += written as u64;
                place.size = place.at;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Took::Failed(cause(&error)),
        }
    }
    Took::All
}

/// How many of `bytes` are in the file at `place.at`; as many are written again, as they are in the file.
/// At most [`COMPARE_BYTES`] are given.
fn compare<F: Fs>(fs: &F, file: &F::File, bytes: &[u8], place: &Place) -> io::Result<usize> {
    let mut mine = [0; COMPARE_BYTES];
    let mine = &mut mine[..bytes.len()];
    read_exact_at(fs, file, mine, place.at)?;
    let masked = place.masked.saturating_sub(place.at);
    let alike = |&(at, (&mine, &theirs)): &(usize, (&u8, &u8))| {
        mine == theirs || ((at as u64) < masked && (mine, theirs) == (MASKED, ALIVE))
    };
    let equal = mine.iter().zip(bytes).enumerate().take_while(alike).count();
    write_all_at(fs, file, &mine[..equal], place.at)?;
    Ok(equal)
}

/// Writes the first `len` bytes of the file once more, as they are in it: they may look clean and not be on disk.
pub fn write_again<F: Fs>(fs: &F, file: &F::File, len: Offset) -> io::Result<()> {
    let mut bytes = vec![0; len.min(TAIL_BYTES) as usize];
    read_exact_at(fs, file, &mut bytes, 0)?;
    write_all_at(fs, file, &bytes, 0)
}

/// The most bytes before a position that are told by a digest.
pub const TAIL_BYTES: Offset = 64 * 1024;

/// The digest of what is before `place.base + end` in the generation: of the file's bytes, or where there
/// are none of what is known to be before its first. `None` if nothing is known.
pub fn sample_before<F: Fs>(
    fs: &F,
    file: &F::File,
    place: &Place,
    end: Offset,
) -> io::Result<Option<Sample>> {
    if end == 0 {
        return Ok(place.before);
    }
    let len = end.min(TAIL_BYTES);
    let mut bytes = vec![0; len as usize];
    read_exact_at(fs, file, &mut bytes, end - len)?;
    let masked = part_masked(&bytes, place.masked.saturating_sub(end - len));
    Ok(Sample::of(&bytes[masked..]))
}

/// The digest of the file's first bytes, at most `len`; the first one belongs at `place.base`.
pub fn sample_first<F: Fs>(
    fs: &F,
    file: &F::File,
    place: &Place,
    len: Offset,
) -> io::Result<Option<Sample>> {
    let mut bytes = vec![0; len as usize];
    read_exact_at(fs, file, &mut bytes, 0)?;
    Ok(match part_masked(&bytes, place.masked) {
        0 => Sample::of(&bytes),
        masked => Sample::of(&bytes[..masked]),
    })
}

/// How many of `bytes` are masked, if the first `masked` are and it matters: a digest is compared with bytes
/// that are masked all or not at all. 0: they are one or the other.
fn part_masked(bytes: &[u8], masked: Offset) -> usize {
    match usize::try_from(masked) {
        Ok(masked) if masked < bytes.len() && bytes[..masked].contains(&MASKED) => masked,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs::DiskFs;

    fn copy_of(content: &str) -> (tempfile::TempDir, std::fs::File) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        std::fs::write(&path, content).unwrap();
        let file = DiskFs::default().open(&path).unwrap();
        (dir, file)
    }

    fn content(dir: &tempfile::TempDir) -> String {
        std::fs::read_to_string(dir.path().join("copy")).unwrap()
    }

    #[test]
    fn bytes_that_are_there_already_are_compared_and_the_rest_is_appended() {
        let (dir, file) = copy_of("one two ");
        let mut place = Place { at: 4, size: 8, trust: Trust::Nothing, ..Place::default() };
        assert!(matches!(take(&DiskFs::default(), &file, &mut place, b"tw"), Took::All));
        assert_eq!((place.at, place.size, place.trust), (6, 8, Trust::Nothing));
        assert!(matches!(take(&DiskFs::default(), &file, &mut place, b"o three"), Took::All));
        assert_eq!((place.at, place.size, place.trust), (13, 13, Trust::Whole));
        assert_eq!(content(&dir), "one two three");
    }

    #[test]
    fn a_copy_that_somebody_cut_or_extended_is_left_as_it_is() {
        for content_now in ["", "one two ?"] {
            let (dir, file) = copy_of("one two ");
            let mut place = Place { at: 8, size: 8, ..Place::default() };
            std::fs::write(dir.path().join("copy"), content_now).unwrap();
            assert!(matches!(take(&DiskFs::default(), &file, &mut place, b"three"), Took::Changed));
            assert_eq!(content(&dir), content_now);
        }
    }

    #[test]
    fn what_came_in_protocol_1_is_as_good_as_the_log_and_stays() {
        let before = b"a \xff b \xff";
        for (masked, equal) in [(7, 7), (6, 6), (3, 6), (2, 2)] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("copy");
            std::fs::write(&path, before).unwrap();
            let file = DiskFs::default().open(&path).unwrap();
            let mut place = Place { size: 7, masked, trust: Trust::Nothing, ..Place::default() };
            let took = take(&DiskFs::default(), &file, &mut place, b"a \x07 b \x07");
            assert_eq!((place.at, matches!(took, Took::All)), (equal, equal == 7), "{masked}");
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }

    #[test]
    fn no_digest_is_of_bytes_that_are_masked_in_part() {
        type Case<'a> = (&'a [u8], u64, &'a [u8], &'a [u8]);
        let cases: [Case<'_>; 5] = [
            (b"abcdefgh", 4, b"abcdefgh", b"abcdef"),
            (b"abcdefg\xff", 4, b"abcdefg\xff", b"abcdef"),
            (b"ab\xffdefgh", 0, b"ab\xffdefgh", b"ab\xffdef"),
            (b"ab\xffdefgh", 8, b"ab\xffdefgh", b"ab\xffdef"),
            (b"ab\xffdefgh", 4, b"efgh", b"ab\xffd"),
        ];
        for (content, masked, tail, head) in cases {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("copy"), content).unwrap();
            let fs = DiskFs::default();
            let file = fs.open(&dir.path().join("copy")).unwrap();
            let place = Place { masked, size: 8, ..Place::default() };
            assert_eq!(sample_before(&fs, &file, &place, 8).unwrap(), Sample::of(tail));
            assert_eq!(sample_first(&fs, &file, &place, 6).unwrap(), Sample::of(head));
        }
    }

    #[test]
    fn the_first_byte_that_differs_stops_it_and_nothing_is_changed_from_there() {
        let (dir, file) = copy_of("one two three");
        let mut place = Place { at: 0, size: 13, trust: Trust::Nothing, ..Place::default() };
        assert!(matches!(take(&DiskFs::default(), &file, &mut place, b"one too"), Took::Differs));
        assert_eq!((place.at, place.size), (5, 13));
        assert_eq!(content(&dir), "one two three");
    }
}
