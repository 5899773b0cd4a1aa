//! No two files of a configuration are one: copies, pointers, and names that archives and manifests get.
//!
//! Two sources that append to one copy, or save into one pointer, destroy each other's data without
//! a word. Paths are compared in their normal form, so `a//b` and `a/x/../b` are found equal; links
//! are not seen here, and neither is that `a` and `/var/a` are one in the directory `/var`.

use std::collections::HashMap;
use std::fmt;

use super::fault::Faults;
use super::path::normal_form;
use super::words::{Word, show};

/// Digits that an archive's name has after the name of its copy and a dot: `20261231235959`.
const STAMP_DIGITS: usize = 14;

/// What a manifest's name has after that of its pointer.
const MANIFEST: &[u8] = b".manifest";

/// What a source keeps at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    Copy,
    Pointer,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Use::Copy => "copy",
            Use::Pointer => "pointer",
        })
    }
}

/// One path that a line wants for itself.
struct Claim {
    purpose: Use,
    line: usize,
    column: usize,
    written: Vec<u8>,
    normal: Vec<u8>,
}

/// All paths of a configuration, those of lines with other faults too.
#[derive(Default)]
pub(super) struct Claims {
    list: Vec<Claim>,
}

impl Claims {
    /// Notes that a line wants this path.
    pub(super) fn add(&mut self, purpose: Use, line: usize, word: &Word) {
        self.list.push(Claim {
            purpose,
            line,
            column: word.column,
            written: word.bytes.clone(),
            normal: normal_form(&word.bytes),
        });
    }

    /// Notes a fault for every path that is not its line's alone; the earlier line has the right.
    pub(super) fn check(&self, faults: &mut Faults) {
        let mut owners: HashMap<&[u8], &Claim> = HashMap::with_capacity(self.list.len());
        for claim in &self.list {
            let owner = *owners.entry(&claim.normal).or_insert(claim);
            if !std::ptr::eq(owner, claim) {
                let whose = whose(owner, claim);
                claim.note(faults, format!("{whose} keeps its {} there", owner.purpose));
            }
        }
        for claim in &self.list {
            let owner = archived_copy(&claim.normal).and_then(|copy| owners.get(copy));
            if let Some(owner) = owner.filter(|owner| owner.purpose == Use::Copy) {
                let whose = whose(owner, claim);
                claim.note(faults, format!("{whose} gives such names to archives of its copy"));
            }
            let pointer = claim.normal.strip_suffix(MANIFEST);
            let owner = pointer.and_then(|pointer| owners.get(pointer));
            if let Some(owner) = owner.filter(|owner| owner.purpose == Use::Pointer) {
                let whose = whose(owner, claim);
                claim.note(faults, format!("{whose} keeps the manifest of its pointer there"));
            }
        }
    }
}

impl Claim {
    fn note(&self, faults: &mut Faults, cause: String) {
        let (purpose, path) = (self.purpose, show(&self.written));
        faults.note(self.line, self.column, format!("cannot use {purpose} {path}: {cause}"));
    }
}

/// The owner's line, as the line of `claim` calls it.
fn whose(owner: &Claim, claim: &Claim) -> String {
    if owner.line == claim.line { "this line".into() } else { format!("line {}", owner.line) }
}

/// The copy whose archive could have this name.
fn archived_copy(path: &[u8]) -> Option<&[u8]> {
    let (copy, stamp) = path.split_at_checked(path.len().checked_sub(STAMP_DIGITS + 1)?)?;
    (stamp[0] == b'.' && stamp[1..].iter().all(u8::is_ascii_digit)).then_some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_known_by_a_dot_and_fourteen_digits() {
        assert_eq!(archived_copy(b"a/log.20261231235959"), Some(&b"a/log"[..]));
        for path in ["log.2026123123595", "log-20261231235959", "log.2026123123595x", "log", ""] {
            assert_eq!(archived_copy(path.as_bytes()), None, "{path:?}");
        }
    }
}
