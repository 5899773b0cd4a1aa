//! Bytes of ours that are proved: where they belong in their generation, and their digests.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::fetch::copy::read_exact_at;
use crate::pos::Offset;
use crate::proto::asked::Sample;
use crate::proto::digest::{Digester, Whole};
use crate::sys::cause::cause;
use crate::sys::fs::{DiskFs, Fs};

/// Bytes read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Our bytes of a generation.
#[derive(Debug)]
pub struct Bytes {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Where in the generation the file's first byte belongs.
    base: Offset,
    /// The digest that was made last: several questions may be for one range.
    last: Option<(Range<Offset>, Whole)>,
}

impl Bytes {
    /// The file at `path`, whose first byte is the generation's at `base`; and its length. `None` if
    /// there is none.
    pub fn open(fs: &DiskFs, path: &Path, base: Offset) -> Result<Option<(Bytes, Offset)>, String> {
        let file = match fs.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| cannot("open", path, &error))?,
        };
        let len = fs.len(&file).map_err(|error| cannot("look at", path, &error))?;
        Ok(Some((Bytes { file, path: path.to_path_buf(), base, last: None }, len)))
    }

    /// The digest of `range` of the generation, which the file has.
    pub fn digest(&mut self, fs: &DiskFs, range: &Range<Offset>) -> Result<Whole, String> {
        if let Some((of, whole)) = &self.last
            && of == range
        {
            return Ok(*whole);
        }
        let mut digester = Digester::new();
        let mut piece = vec![0; PIECE_BYTES.min(length(range))];
        let mut at = range.start;
        while at < range.end {
            let piece = &mut piece[..length(&(at..range.end)).min(PIECE_BYTES)];
            read_exact_at(fs, &self.file, piece, at - self.base)
                .map_err(|error| cannot("read", &self.path, &error))?;
            digester.update(piece);
            at += piece.len() as Offset;
        }
        let whole = digester.whole();
        self.last = Some((range.clone(), whole));
        Ok(whole)
    }

    /// The sample that is the `len` bytes before `end`; `None` if that are none.
    pub fn sample(&self, fs: &DiskFs, end: Offset, len: Offset) -> Result<Option<Sample>, String> {
        if len == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; length(&(end - len..end))];
        read_exact_at(fs, &self.file, &mut bytes, end - len - self.base)
            .map_err(|error| cannot("read", &self.path, &error))?;
        Ok(Sample::of(&bytes))
    }
}

fn length(range: &Range<Offset>) -> usize {
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

pub(super) fn cannot(verb: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {verb} {}: {}", path.display(), cause(error))
}
