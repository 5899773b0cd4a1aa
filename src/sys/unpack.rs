//! What a compressed file held, as a stream of bytes from its beginning.
//!
//! Decoders read what somebody else wrote, so they are bounded: in memory, whatever a header says; and
//! one that panics is a file that cannot be read. A file of several members, frames or streams one
//! behind the other is read through, as the formats' own tools do.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes read from the file at once.
const PACKED_BYTES: usize = 64 << 10;

/// The largest window of zstd, as a power of two: 128 MiB, the most that `zstd -d` takes unasked.
const WINDOW_LOG_MAX: u32 = 27;

/// The most memory for xz, in KiB: `xz -9` needs 65 MiB.
const XZ_KIB_MAX: u32 = 80 << 10;

/// How a file is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
    /// `.xz`
    Xz,
    /// `.bz2`
    Bzip2,
}

impl Format {
    /// How names end, and what that says.
    pub const SUFFIXES: [(&[u8], Format); 4] = [
        (b".gz", Format::Gzip),
        (b".zst", Format::Zstd),
        (b".xz", Format::Xz),
        (b".bz2", Format::Bzip2),
    ];

    /// The format that a file's name tells; `None` if it is none of these.
    pub fn of_name(name: &[u8]) -> Option<Format> {
        let mut suffixes = Format::SUFFIXES.into_iter();
        suffixes.find(|(suffix, _)| name.ends_with(suffix)).map(|(_, format)| format)
    }
}

/// Reads what was compressed. After an error there is nothing more to be had.
pub struct Unpacker {
    /// `None` after an error.
    decoder: Option<Box<dyn Read + Send>>,
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.decoder.is_some() { "Unpacker" } else { "Unpacker, failed" })
    }
}

impl Unpacker {
    /// From the beginning of `packed`. An empty file is an error in all formats: somebody is about to
    /// write it.
    pub fn new(format: Format, packed: impl Read + Send + 'static) -> io::Result<Unpacker> {
        let mut packed = BufReader::with_capacity(PACKED_BYTES, packed);
        if packed.fill_buf()?.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is empty"));
        }
        let decoder: Box<dyn Read + Send> = match format {
            Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Format::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
            Format::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_KIB_MAX)),
            Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
        };
        Ok(Unpacker { decoder: Some(decoder) })
    }
}

impl Read for Unpacker {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let failed = || io::Error::other("its decoder failed");
        let Some(decoder) = &mut self.decoder else { return Err(failed()) };
        let read = catch_unwind(AssertUnwindSafe(|| decoder.read(buf))).unwrap_or(Err(failed()));
        match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.decoder = None;
                Err(error)
            }
            // No decoder says that it wrote more than there was room for; what it says is not trusted.
            Ok(count) => Ok(count.min(buf.len())),
        }
    }
}

#[cfg(test)]
mod tests;
