//! Whether the copies are what they should be.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use super::scene::Pair;
use crate::proto::{ALIVE, MASKED};

/// What the comparison found.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Copies that have what their logs have.
    pub equal: usize,
    /// Bytes compared.
    pub bytes: u64,
    /// Bytes 0x07 of a log that stand as 0xff in the copy, since protocol 1 has no way to send them.
    pub masked: u64,
    /// Copies that differ or could not be compared, and how.
    pub different: Vec<(PathBuf, String)>,
}

/// Compares every copy with its log, byte by byte, as far as the copy goes: a log may have grown
/// since.
pub fn compare_all(pairs: &[Pair]) -> Tally {
    let mut tally = Tally::default();
    for pair in pairs {
        match compare(pair, &mut tally) {
            Ok(None) => tally.equal += 1,
            Ok(Some(at)) => {
                tally.different.push((pair.copy.clone(), format!("differs at byte {at}")))
            }
            Err(error) => tally.different.push((pair.copy.clone(), error.to_string())),
        }
    }
    tally
}

/// The first byte that differs.
fn compare(pair: &Pair, tally: &mut Tally) -> io::Result<Option<u64>> {
    let mut source = BufReader::new(File::open(&pair.source)?);
    let mut copy = BufReader::new(File::open(&pair.copy)?);
    let mut at = 0;
    loop {
        let (theirs, ours) = (source.fill_buf()?, copy.fill_buf()?);
        if ours.is_empty() {
            tally.bytes += at;
            return Ok(None);
        }
        let len = theirs.len().min(ours.len());
        if len == 0 {
            return Ok(Some(at));
        }
        for (index, (&theirs, &ours)) in theirs.iter().zip(ours).enumerate() {
            if theirs == ALIVE && ours == MASKED {
                tally.masked += 1;
            } else if theirs != ours {
                return Ok(Some(at + index as u64));
            }
        }
        source.consume(len);
        copy.consume(len);
        at += len as u64;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "compared byte by byte: {} copies equal, {} bytes", self.equal, self.bytes)?;
        if self.masked > 0 {
            write!(f, " ({} of them 0x07, which protocol 1 sends as 0xff)", self.masked)?;
        }
        for (copy, how) in &self.different {
            write!(f, "\n      {}: {how}", copy.display())?;
        }
        Ok(())
    }
}
