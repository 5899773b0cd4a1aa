//! What is later than a generation that cannot be had.
//!
//! The identity that the fetcher tells has the birth of its file. Where the files that are there were born in
//! the order of the list, so that none was brought back or emptied in place, what was born after that
//! one is later and what was born before it is not, whatever was written to it since, and whatever the
//! clock said. The current file is the last one in any case: it may have been emptied in place. Else, and for
//! compressed files, whose birth is not the generation's (and whose identity says that they are), it is what was
//! changed after the fetcher heard of its file. A power loss may give a file other
//! bytes and leave its time: then the file asked for is itself what follows, as it is where it is the current
//! one, since it may have what was not fetched yet. Compressing keeps the time: for
//! who has not a byte, a compressed file of the very time that was heard of may be the generation itself. Who
//! never heard of a time is at least given the file that has the number.

use super::Wanted;
use crate::pos::FileId;
use crate::serve::finder::candidates::Candidate;

/// What is known of the generation asked for.
pub(super) struct Later {
    /// The birth of its file.
    own_birth_ns: Option<u64>,
    /// The same, where those of the others can be compared with it.
    birth_ns: Option<u64>,
    /// The first candidate behind all rotated ones that were born before.
    first: usize,
}

impl Later {
    pub(super) fn than(wanted: &Wanted<'_>, candidates: &[Candidate]) -> Later {
        let plain = || candidates.iter().filter(|one| one.is_plain());
        let in_order = plain().zip(plain().skip(1)).all(|(one, next)| {
            let births = (one.facts.id.birth_ns, next.facts.id.birth_ns);
            matches!(births, (Some(one), Some(next)) if one <= next)
        });
        let id = wanted.asked.id.and_then(|id| id.as_str().parse::<FileId>().ok());
        let own_birth_ns = id.and_then(|id| id.birth_ns);
        let birth_ns = own_birth_ns.filter(|_| in_order);
        // The current file says nothing of those before it: emptied in place it is older than its copies.
        let before = |one: &Candidate| {
            one.is_plain()
                && !one.current
                && one.facts.id.birth_ns.zip(birth_ns).is_some_and(|(one, lost)| one < lost)
        };
        let first = candidates.iter().rposition(before).map_or(0, |last| last + 1);
        Later { own_birth_ns, birth_ns, first }
    }

    /// Whether the candidate at `at` is later.
    pub(super) fn has(&self, wanted: &Wanted<'_>, candidates: &[Candidate], at: usize) -> bool {
        let one = &candidates[at];
        let changed = match wanted.asked.seen_ns {
            Some(seen) if one.compressed && wanted.have.offset == 0 => {
                one.facts.modified_ns >= seen
            }
            Some(seen) => one.facts.modified_ns > seen,
            None => wanted.has_number(&one.facts),
        };
        let births = one.facts.id.birth_ns.zip(self.birth_ns).filter(|_| one.is_plain());
        let later = changed || births.is_some_and(|(one, lost)| one > lost);
        // Files that are older by birth say nothing of what a compressed one before them held: they may have been
        // emptied in place since.
        (at >= self.first || one.compressed) && (later || self.is_itself(wanted, one))
    }

    /// Whether it is the very file asked for, and has bytes behind the offset or other ones before it.
    fn is_itself(&self, wanted: &Wanted<'_>, one: &Candidate) -> bool {
        let Candidate { facts, .. } = one;
        let known = match self.own_birth_ns.zip(facts.id.birth_ns) {
            Some((own, birth)) => own == birth,
            None => wanted.asked.seen_ns == Some(facts.modified_ns),
        };
        one.is_plain() && wanted.has_number(facts) && facts.size >= wanted.have.offset && known
    }
}
