//! Rotated files that are no generation of their own.
//!
//! Somebody has made a plain copy of a log, to look at or to keep, and its name is that of a rotated
//! one. To send it would be to send a part of another generation twice. It is known by two things: all
//! its bytes are the beginning of the other file, and it was born while that one was there. A generation that
//! begins anew with the very bytes of the one before it was not: its file is the older one of both; but where
//! logs are emptied in place that can't be said, so the few bytes with which every generation may begin
//! are never enough; unless the other file was not changed since the copy was born, and so had them then.

use super::candidates::Candidate;
use super::{Finder, Nothing, Unserved, cannot};
use crate::pos::Offset;
use crate::sys::logs::Logs;

/// Bytes compared at once.
const PIECE_BYTES: usize = 64 << 10;

/// What two generations of a log, which differ in a time stamp at least, do not have in common.
const COPY_BYTES_MIN: Offset = 256;

/// The same where nobody knows which file is the older one.
const UNBORN_BYTES_MIN: Offset = 4096;

impl<L: Logs> Finder<'_, L> {
    /// Whether a candidate is only a copy of the beginning of another one.
    pub(super) fn is_copy(&self, candidates: &[Candidate], at: usize) -> Result<bool, Nothing> {
        let one = &candidates[at];
        if one.current || !one.is_plain() {
            return Ok(false);
        }
        let all = candidates.iter().enumerate();
        let mut originals = all
            .filter(|(place, other)| *place != at && may_be_copy(one, other, *place > at))
            .map(|(_, other)| other)
            .peekable();
        if originals.peek().is_none() {
            return Ok(false);
        }
        let (copy, facts) = match self.open_listed(one) {
            Err(Nothing::Closed(_)) => return Ok(false),
            other => other?,
        };
        for original in originals {
            let file = match self.open_listed(original) {
                Ok((file, seen)) if seen.size >= facts.size => file,
                Ok(_) | Err(Nothing::Closed(_)) => continue,
                Err(nothing) => return Err(nothing),
            };
            let same = self.agree(&copy, &file, facts.size).map_err(|error| {
                Nothing::Refused(Unserved::busy(cannot("compare", &one.path, &error)))
            })?;
            if same {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether two files agree in the last of their first `len` bytes, and in the very first.
    pub(super) fn agree(
        &self,
        one: &L::File,
        other: &L::File,
        len: Offset,
    ) -> std::io::Result<bool> {
        let (mut mine, mut others) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
        let piece = len.min(PIECE_BYTES as Offset);
        for begin in [len - piece, 0] {
            let (mine, others) = (&mut mine[..piece as usize], &mut others[..piece as usize]);
            if !(self.fill(one, mine, begin)? && self.fill(other, others, begin)?) || mine != others
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Fills `buf` from `begin` on; false if there are fewer bytes.
    pub(super) fn fill(
        &self,
        file: &L::File,
        buf: &mut [u8],
        begin: Offset,
    ) -> std::io::Result<bool> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.logs.read_at(file, &mut buf[filled..], begin + filled as Offset)? {
                0 => return Ok(false),
                count => filled += count,
            }
        }
        Ok(true)
    }
}

/// Whether the times and sizes allow that `one` is a copy of the beginning of `other`, which is `later` in
/// order or not.
fn may_be_copy(one: &Candidate, other: &Candidate, later: bool) -> bool {
    let (copy, original) = (&one.facts, &other.facts);
    let copied = copy.id.birth_ns.unwrap_or(copy.modified_ns);
    let bytes_min = match (copy.id.birth_ns, original.id.birth_ns) {
        (Some(copied), Some(born)) if born < copied && original.modified_ns < copied => 1,
        (Some(copied), Some(born)) if born < copied => COPY_BYTES_MIN,
        (Some(_), Some(_)) => return false,
        _ => UNBORN_BYTES_MIN,
    };
    // What was changed since and did not grow was emptied and written anew.
    let goes_on =
        original.size > copy.size || original.size == copy.size && original.modified_ns <= copied;
    // Behind it in the order is the next generation, which began while the last line of the one before was
    // still to come; or a copy that somebody has given a name of his own.
    let in_its_time = || one.is_named_otherwise(other) && copied <= original.modified_ns;
    other.is_plain() && copy.size >= bytes_min && goes_on && (later || in_its_time())
}
