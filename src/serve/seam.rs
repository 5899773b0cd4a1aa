//! Whether a file still has what was sent of it.
//!
//! A file that was emptied in place and has grown beyond the old place since is longer, not shorter. So
//! the last bytes that were sent are kept, and looked at again where the file was changed, and *after*
//! each read of what comes next: as long as they are there, what was read belongs behind them. At the
//! beginning, when nothing may have been sent yet, the first bytes to be sent are kept as well.
//!
//! A report that is written anew in place may end as the old one did. So a checksum of the first bytes is kept,
//! too, and compared where a file was changed and has not grown, and at the first change after a rest. A
//! busy log, which only grows, is not read twice for that.

use std::io;

use crate::pos::Offset;
use crate::proto::serve::mask;
use crate::sys::logs::Logs;

/// Bytes kept: enough that two generations of a log, which differ in a time stamp at least, do not have
/// the same ones at one place.
const SEAM_BYTES: usize = 256;

/// Bytes at the beginning that are known by their checksum.
const HEAD_BYTES: Offset = 4096;

/// The last bytes that were sent, or that the fetcher had. As protocol 1 sends them, so that it does not
/// matter which is spoken.
#[derive(Clone, Debug, Default)]
pub struct Seam {
    bytes: Vec<u8>,
    /// The first bytes that are to be sent, until they are.
    ahead: Vec<u8>,
    /// Of the first bytes, and how many they are: all that were sent, or as many as are kept.
    head: crc32fast::Hasher,
    head_len: Offset,
}

impl Seam {
    /// The bytes of `file` around `at`.
    pub fn around<L: Logs>(logs: &L, file: &L::File, at: Offset) -> io::Result<Seam> {
        let begin = at.saturating_sub(SEAM_BYTES as Offset);
        let mut bytes = read_some(logs, file, begin, (at - begin) as usize + SEAM_BYTES)?;
        let before = bytes.len().min((at - begin) as usize);
        let ahead = bytes.split_off(before);
        let head_len = at.min(HEAD_BYTES);
        let first = read_some(logs, file, 0, head_len as usize)?;
        let mut head = crc32fast::Hasher::new();
        head.update(&first);
        Ok(Seam { bytes, ahead, head, head_len })
    }

    /// Whether the file has these bytes around `at`.
    pub fn holds<L: Logs>(&self, logs: &L, file: &L::File, at: Offset) -> io::Result<bool> {
        let begin = at.saturating_sub(self.bytes.len() as Offset);
        let there = read_some(logs, file, begin, self.bytes.len() + self.ahead.len())?;
        let (before, ahead) = there.split_at(there.len().min(self.bytes.len()));
        Ok(before == self.bytes && ahead == self.ahead)
    }

    /// Whether the file begins as it did.
    pub fn begins<L: Logs>(&self, logs: &L, file: &L::File) -> io::Result<bool> {
        let first = read_some(logs, file, 0, self.head_len as usize)?;
        Ok(first.len() as Offset == self.head_len
            && crc32fast::hash(&first) == self.head.clone().finalize())
    }

    /// `sent` followed.
    pub fn push(&mut self, sent: &[u8]) {
        let room = usize::try_from(HEAD_BYTES - self.head_len).unwrap_or(0).min(sent.len());
        if room > 0 {
            let mut first = sent[..room].to_vec();
            mask(&mut first);
            self.head.update(&first);
            self.head_len += room as Offset;
        }
        self.ahead.drain(..sent.len().min(self.ahead.len()));
        let last = &sent[sent.len().saturating_sub(SEAM_BYTES)..];
        let old = (self.bytes.len() + last.len()).saturating_sub(SEAM_BYTES);
        self.bytes.drain(..old);
        self.bytes.extend_from_slice(last);
        mask(&mut self.bytes);
    }
}

/// At most `len` bytes from `begin` on, as protocol 1 sends them; fewer where the file ends.
fn read_some<L: Logs>(logs: &L, file: &L::File, begin: Offset, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut read = 0;
    while read < len {
        match logs.read_at(file, &mut bytes[read..], begin + read as Offset) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(read);
    mask(&mut bytes);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::logs::DiskLogs;

    #[test]
    fn a_file_is_known_by_the_bytes_that_were_sent_last_however_long_it_has_become() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("log");
        let (old, new) = (b"first line\n".repeat(100), b"other line\n".repeat(300));
        std::fs::write(&path, &old).unwrap();
        let logs = DiskLogs::new().unwrap();
        let file = logs.open(&path).unwrap();
        for at in [0, 1, 255, 256, 257, 1100] {
            let mut seam = Seam::around(&logs, &file, at).unwrap();
            assert!(seam.holds(&logs, &file, at).unwrap());
            seam.push(&old[at as usize..]);
            assert!(seam.begins(&logs, &file).unwrap());
            let whole = Seam::around(&logs, &file, 1100).unwrap();
            assert_eq!((seam.bytes, seam.ahead, seam.head_len), (whole.bytes, whole.ahead, 1100));
            assert_eq!(seam.head.finalize(), whole.head.finalize());
            let seam = Seam::around(&logs, &file, 1100).unwrap();
            assert!(seam.holds(&logs, &file, 1100).unwrap());
            assert!(!seam.holds(&logs, &file, 1099).unwrap());
        }
        let [first, last] = [0, 1100].map(|at| Seam::around(&logs, &file, at).unwrap());
        for content in [&b""[..], &old[..255], &new[..1100], &new] {
            std::fs::write(&path, content).unwrap();
            assert!(!last.holds(&logs, &file, 1100).unwrap());
            assert!(!first.holds(&logs, &file, 0).unwrap());
        }
        // Where nothing was sent there is nothing that could be another's.
        assert!(Seam::default().holds(&logs, &file, 0).unwrap());
    }

    #[test]
    fn a_file_that_ends_as_the_old_one_is_known_by_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("log");
        let report = |day: &str| [day, &"nothing to tell\x07\n".repeat(1000)].concat();
        let old = report("one");
        std::fs::write(&path, &old).unwrap();
        let logs = DiskLogs::new().unwrap();
        let file = logs.open(&path).unwrap();
        let len = old.len() as Offset;
        let seams = [0, 1, 2, 3000, 4095, 4096, 5000, len].map(|at| {
            let mut seam = Seam::around(&logs, &file, at).unwrap();
            seam.push(&old.as_bytes()[at as usize..]);
            seam
        });
        assert!(seams.iter().all(|seam| seam.begins(&logs, &file).unwrap()));
        std::fs::write(&path, report("two")).unwrap();
        for seam in &seams {
            assert!(seam.holds(&logs, &file, len).unwrap());
            assert!(!seam.begins(&logs, &file).unwrap());
        }
        std::fs::write(&path, "").unwrap();
        assert!(seams.iter().all(|seam| !seam.begins(&logs, &file).unwrap()));
    }
}
