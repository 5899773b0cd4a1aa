//! Bytes of ours that are proved: where they belong in their generation, and their digests.
//!
//! An archive that somebody compressed is unpacked as often as it is asked about: once, if it is equal.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::pos::Offset;
use crate::proto::asked::Sample;
use crate::proto::digest::{Digester, Whole};
use crate::sys::cause::cause;
use crate::sys::fs::{DiskFs, Fs, read_exact_at};
use crate::sys::unpack::{Format, Unpacker};

/// Bytes read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Our bytes of a generation.
#[derive(Debug)]
pub struct Bytes {
    pub(super) file: Arc<File>,
    /// How it is compressed, if it is.
    packed: Option<Format>,
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
        let Some(bytes) = Bytes::of(fs, path, base, None)? else { return Ok(None) };
        let len = fs.len(&bytes.file).map_err(|error| cannot("look at", path, &error))?;
        Ok(Some((bytes, len)))
    }

    /// What the compressed file at `path` held, in the same way.
    pub fn open_packed(
        fs: &DiskFs,
        path: &Path,
        base: Offset,
        format: Format,
    ) -> Result<Option<(Bytes, Offset)>, String> {
        let Some(mut bytes) = Bytes::of(fs, path, base, Some(format))? else { return Ok(None) };
        let (mut digester, mut len) = (Digester::new(), 0);
        bytes
            .unpack(fs, format, |piece| {
                digester.update(piece);
                len += piece.len() as Offset;
                true
            })
            .map_err(|error| cannot("unpack", path, &error))?;
        bytes.last = Some((base..base + len, digester.whole()));
        Ok(Some((bytes, len)))
    }

    fn of(
        fs: &DiskFs,
        path: &Path,
        base: Offset,
        packed: Option<Format>,
    ) -> Result<Option<Bytes>, String> {
        let file = match fs.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| cannot("open", path, &error))?,
        };
        let (file, path) = (Arc::new(file), path.to_path_buf());
        Ok(Some(Bytes { file, packed, path, base, last: None }))
    }

    /// The file's name in its directory.
    pub fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// The digest of `range` of the generation, which the file has.
    pub fn digest(&mut self, fs: &DiskFs, range: &Range<Offset>) -> Result<Whole, String> {
        if let Some((of, whole)) = &self.last
            && of == range
        {
            return Ok(*whole);
        }
        let mut digester = Digester::new();
        self.read(fs, range, |piece| digester.update(piece))?;
        let whole = digester.whole();
        self.last = Some((range.clone(), whole));
        Ok(whole)
    }

    /// The sample that is the `len` bytes before `end`; `None` if that are none.
    pub fn sample(&self, fs: &DiskFs, end: Offset, len: Offset) -> Result<Option<Sample>, String> {
        if len == 0 {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(length(&(end - len..end)));
        self.read(fs, &(end - len..end), |piece| bytes.extend_from_slice(piece))?;
        Ok(Sample::of(&bytes))
    }

    /// Gives `range` of the generation to `take`, piece by piece. The file ending before is an error.
    fn read(
        &self,
        fs: &DiskFs,
        range: &Range<Offset>,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), String> {
        let Some(format) = self.packed else { return self.read_plain(fs, range, take) };
        let mut at = self.base;
        self.unpack(fs, format, |piece| {
            let (from, to) = (at, at + piece.len() as Offset);
            at = to;
            let (from, to) = (range.start.max(from) - from, range.end.min(to).saturating_sub(from));
            if from < to {
                take(&piece[from as usize..to as usize]);
            }
            at < range.end
        })
        .and_then(|()| match at < range.end {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(()),
        })
        .map_err(|error| cannot("unpack", &self.path, &error))
    }

    fn read_plain(
        &self,
        fs: &DiskFs,
        range: &Range<Offset>,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), String> {
        let mut piece = vec![0; PIECE_BYTES.min(length(range))];
        let mut at = range.start;
        while at < range.end {
            let piece = &mut piece[..length(&(at..range.end)).min(PIECE_BYTES)];
            read_exact_at(fs, &self.file, piece, at - self.base)
                .map_err(|error| cannot("read", &self.path, &error))?;
            take(piece);
            at += piece.len() as Offset;
        }
        Ok(())
    }

    /// Gives what the file held to `take`, from its beginning, as long as that wants more.
    fn unpack(
        &self,
        fs: &DiskFs,
        format: Format,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        let mut unpacker = Unpacker::new(format, Stream { fs: fs.clone(), file, at: 0 })?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match unpacker.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(read) if take(&piece[..read]) => {}
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A file from its beginning on.
struct Stream {
    fs: DiskFs,
    file: Arc<File>,
    at: Offset,
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.fs.read_at(&self.file, buf, self.at)?;
        self.at += read as Offset;
        Ok(read)
    }
}

fn length(range: &Range<Offset>) -> usize {
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

pub(super) fn cannot(verb: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {verb} {}: {}", path.display(), cause(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    #[test]
    fn any_part_of_a_compressed_file_is_as_it_was_before() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, packed) = (dir.path().join("log"), dir.path().join("log.gz"));
        let content: Vec<u8> = (0..PIECE_BYTES as u32).flat_map(u32::to_le_bytes).collect();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&content).unwrap();
        std::fs::write(&plain, &content).unwrap();
        std::fs::write(&packed, encoder.finish().unwrap()).unwrap();
        let fs = DiskFs::for_reading();
        let (mut plain, len) = Bytes::open(&fs, &plain, 100).unwrap().unwrap();
        let opened = Bytes::open_packed(&fs, &packed, 100, Format::Gzip).unwrap().unwrap();
        let (mut packed, unpacked) = opened;
        assert_eq!((len, unpacked), (content.len() as Offset, len));
        let end = 100 + len;
        for range in [100..end, 100..101, 100..100, 4711..400_000, end - 1..end, end..end] {
            assert_eq!(packed.digest(&fs, &range), plain.digest(&fs, &range), "{range:?}");
        }
        for (to, len) in [(end, 64 * 1024), (4196, 4096), (300_000, 1), (300_000, 0)] {
            assert_eq!(packed.sample(&fs, to, len), plain.sample(&fs, to, len), "{to} {len}");
        }
        assert!(packed.digest(&fs, &(100..end + 1)).unwrap_err().starts_with("cannot unpack "));
    }
}
