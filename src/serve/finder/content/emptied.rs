//! A log that was emptied in place after a copy of it was made: the copy is what is asked for.

use super::fits::Fit;
use super::{Opened, Placed, Wanted};
use crate::pos::FileFacts;
use crate::serve::finder::candidates::Candidate;
use crate::serve::finder::packed::{Body, Reached};
use crate::serve::finder::{Finder, Nothing, Unserved};
use crate::sys::logs::Logs;
use crate::sys::unpack::Format;

impl<L: Logs> Finder<'_, L> {
    /// The oldest copy that was made of what is asked for before the file at `at` was emptied in place.
    /// What has the same beginning as it, or of which nothing was fetched yet, only seems to be it.
    pub(super) fn copied_before(
        &self,
        candidates: &[Candidate],
        at: usize,
        opened: &Opened<L::File>,
        wanted: &Wanted<'_>,
        buffer: &mut [u8],
    ) -> Result<Option<Placed<L::File>>, Nothing> {
        let Opened { body: Body::Plain(file), facts, .. } = opened else { return Ok(None) };
        let Some(seen) = wanted.asked.seen_ns else { return Ok(None) };
        let is_copy = |one: &Candidate| {
            let born_later = match (one.facts.id.birth_ns, facts.id.birth_ns) {
                (Some(copied), Some(born)) => copied > born,
                // Then it is at least no newer than what the file holds since it was emptied.
                _ => one.facts.modified_ns <= facts.modified_ns,
            };
            // The birth of a compressed one is not that of the copy.
            let may_be = if one.is_plain() { born_later } else { one.packed.is_some() };
            may_be && one.facts.modified_ns > seen && !one.closed
        };
        for (at, one) in candidates[..at].iter().enumerate().filter(|(_, one)| is_copy(one)) {
            if let Some(format) = one.packed {
                match self.packed_before(one, format, (file, facts), wanted)? {
                    Some(opened) => return Ok(Some((at, opened))),
                    None => continue,
                }
            }
            let (copy, copy_facts) = match self.open_listed(one) {
                Err(Nothing::Closed(_)) => continue,
                other => other?,
            };
            let (fit, seam) = self.fit_as_it_stays(wanted, buffer, &copy, &copy_facts)?;
            match fit {
                Fit::Same => {}
                Fit::Other if wanted.have.offset == 0 => {}
                Fit::Other | Fit::Differs | Fit::Short => continue,
            }
            let shared = facts.size.min(copy_facts.size);
            let agrees = self
                .agree(&copy, file, shared)
                .map_err(|error| Nothing::Refused(Unserved::unreadable(error)))?;
            // A copy that was written on is longer than the file, which has lost nothing.
            let copied = copy_facts.id.birth_ns.unwrap_or(copy_facts.modified_ns);
            let unchanged = facts.size > 0 && facts.modified_ns <= copied;
            if !agrees || (facts.size < copy_facts.size && !unchanged) {
                let opened = Opened { body: Body::Plain(copy), facts: copy_facts, seam };
                return Ok(Some((at, opened)));
            }
        }
        Ok(None)
    }

    /// Whether nothing but its number says that a file is the one asked for. Then it need not have been emptied:
    /// that one may be gone, and others, since its number was given to this one.
    pub(super) fn has_only_number(&self, opened: &Opened<L::File>, wanted: &Wanted<'_>) -> bool {
        let file = opened.body.file();
        let unborn = opened.facts.id.birth_ns.is_none() && self.logs.generation(file).is_none();
        unborn && !wanted.has_samples()
    }

    /// The copy, where it was compressed meanwhile: if it holds what is asked for, and the file that was
    /// `emptied` begins with something else by now.
    fn packed_before(
        &self,
        one: &Candidate,
        format: Format,
        (emptied, facts): (&L::File, &FileFacts),
        wanted: &Wanted<'_>,
    ) -> Result<Option<Opened<L::File>>, Nothing> {
        let opened = match self.open_first(one) {
            Err(Nothing::Closed(_)) => return Ok(None),
            other => other?,
        };
        let Some(Opened { body: Body::Packed(file, first), facts: packed_facts, .. }) = opened
        else {
            return Ok(None);
        };
        let beginning = first.rest();
        let shared = beginning.len().min(usize::try_from(facts.size).unwrap_or(usize::MAX));
        let mut own = vec![0; shared];
        let there = self
            .fill(emptied, &mut own, 0)
            .map_err(|error| Nothing::Refused(Unserved::unreadable(error)))?;
        if there && own == beginning[..shared] && shared == beginning.len() {
            return Ok(None);
        }
        // The first decoder is gone before there is another.
        drop(first);
        let mut unpacking = self.unpack(format, &file)?;
        match self.reach(wanted, &mut unpacking)? {
            Reached::Here => Ok(Some(Opened::packed(file, unpacking, packed_facts))),
            Reached::Differs | Reached::Short => Ok(None),
            Reached::Damaged(why) => {
                self.check_unfinished(one, &file, &packed_facts, &why)?;
                Ok(None)
            }
        }
    }
}
