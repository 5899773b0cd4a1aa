//! Whether a file has the bytes that are asked for.

use super::{PIECE_BYTES, Wanted};
use crate::pos::{FileFacts, FileId, Offset, Token};
use crate::proto::ALIVE;
use crate::proto::asked::Sample;
use crate::proto::digest::{Digest, Digester};
use crate::proto::serve::mask;
use crate::serve::finder::{Finder, Nothing, Unserved};
use crate::serve::seam::Seam;
use crate::sys::logs::Logs;

/// What a file turned out to be.
pub(super) enum Fit {
    /// The one asked for.
    Same,
    /// Another one, though nothing in it says so.
    Other,
    /// It has other bytes before the offset.
    Differs,
    /// It has fewer bytes than the offset.
    Short,
}

/// What was read of a file.
struct Read {
    digest: Digest,
    /// There are bytes that protocol 1 sends as others.
    masks: bool,
}

impl<L: Logs> Finder<'_, L> {
    /// Whether an open file is the one asked for, and what it has around the offset: before it was compared,
    /// and still after that.
    pub(super) fn fit_as_it_stays(
        &self,
        wanted: &Wanted<'_>,
        buffer: &mut [u8],
        file: &L::File,
        facts: &FileFacts,
    ) -> Result<(Fit, Seam), Nothing> {
        let busy = |error| Nothing::Refused(Unserved::unreadable(error));
        let seam = Seam::around(self.logs, file, wanted.have.offset).map_err(busy)?;
        let fit = self.fit(wanted, buffer, file, facts).map_err(busy)?;
        let still = || seam.holds(self.logs, file, wanted.have.offset).map_err(busy);
        if !matches!(fit, Fit::Same) || still()? { Ok((fit, seam)) } else { Err(Nothing::Changed) }
    }

    /// Whether an open file is the one asked for.
    fn fit(
        &self,
        wanted: &Wanted<'_>,
        buffer: &mut [u8],
        file: &L::File,
        facts: &FileFacts,
    ) -> std::io::Result<Fit> {
        let offset = wanted.have.offset;
        if facts.size < offset {
            return Ok(Fit::Short);
        }
        for (begin, sample) in wanted.samples() {
            if !self.has(buffer, file, begin, &sample)? {
                return Ok(Fit::Differs);
            }
        }
        // Who tells digests is told the truth by them; the identity only says where to look first.
        let same = wanted.has_samples() || self.is_known(wanted, file, facts, Token::of_file);
        Ok(if same { Fit::Same } else { Fit::Other })
    }

    /// Whether a file has the number and the identity asked for, as it is `told`.
    pub(super) fn is_known(
        &self,
        wanted: &Wanted<'_>,
        file: &L::File,
        facts: &FileFacts,
        told: fn(&FileId) -> Token,
    ) -> bool {
        let known = || match wanted.asked.id {
            Some(id) => {
                let mut own = facts.id;
                own.generation = self.logs.generation(file);
                id == told(&own)
            }
            None => true,
        };
        wanted.has_number(facts) && known()
    }

    /// Whether the bytes from `begin` on are those of the sample, as they are or as protocol 1 sends
    /// them: a copy that was begun in protocol 1 has the masked ones.
    fn has(
        &self,
        buffer: &mut [u8],
        file: &L::File,
        begin: Offset,
        sample: &Sample,
    ) -> std::io::Result<bool> {
        let Some(exact) = self.digest(buffer, file, begin, sample.len, false)? else {
            return Ok(false);
        };
        if exact.digest == sample.digest || !exact.masks {
            return Ok(exact.digest == sample.digest);
        }
        let masked = self.digest(buffer, file, begin, sample.len, true)?;
        Ok(masked.is_some_and(|masked| masked.digest == sample.digest))
    }

    /// The digest of `len` bytes from `begin` on; `None` if there are fewer.
    fn digest(
        &self,
        buffer: &mut [u8],
        file: &L::File,
        begin: Offset,
        len: Offset,
        masked: bool,
    ) -> std::io::Result<Option<Read>> {
        let (mut digester, mut masks) = (Digester::new(), false);
        let (mut at, end) = (begin, begin.saturating_add(len));
        while at < end {
            let room = usize::try_from(end - at).map_or(PIECE_BYTES, |room| room.min(PIECE_BYTES));
            let count = self.logs.read_at(file, &mut buffer[..room], at)?;
            if count == 0 {
                return Ok(None);
            }
            let bytes = &mut buffer[..count];
            masks |= memchr::memchr(ALIVE, bytes).is_some();
            if masked {
                mask(bytes);
            }
            digester.update(bytes);
            at += count as Offset;
        }
        Ok(Some(Read { digest: digester.digest(), masks }))
    }

    /// The last bytes before `end`; `None` if there are none, or they can't be read.
    pub(super) fn sample_before(&self, file: &L::File, end: Offset) -> Option<Sample> {
        let mut bytes = vec![0; end.min(PIECE_BYTES as Offset) as usize];
        let begin = end - bytes.len() as Offset;
        self.fill(file, &mut bytes, begin).ok()?.then(|| Sample::of(&bytes))?
    }
}
