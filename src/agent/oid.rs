//! Object identifiers: text to numbers and back, and their order.

use std::fmt;

/// Most sub-identifiers an OID may have (RFC 2578, 3.5); net-snmp's arrays end there, too.
pub const SUB_IDS_MAX: usize = 128;

/// An object identifier. Its order is SNMP's: by number, from the left, the shorter one first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Oid(Vec<u32>);

/// Where an OID lies, seen from the root of a subtree.
#[derive(PartialEq, Eq, Debug)]
pub enum Place<'a> {
    /// Smaller than everything in the subtree.
    Before,
    /// The root itself (then nothing is left) or below it, by what is left of the OID.
    Within(&'a [u32]),
    /// Greater than everything in the subtree.
    After,
}

impl Oid {
    /// Reads `.1.3.6` or `1.3.6`: decimal numbers of 32 bits, at most [`SUB_IDS_MAX`] of them.
    pub fn parse(text: &[u8]) -> Option<Oid> {
        let text = text.strip_prefix(b".").unwrap_or(text);
        let mut ids = Vec::new();
        for part in text.split(|&b| b == b'.') {
            if part.is_empty() || !part.iter().all(u8::is_ascii_digit) || ids.len() == SUB_IDS_MAX {
                return None;
            }
            ids.push(std::str::from_utf8(part).ok()?.parse().ok()?);
        }
        Some(Oid(ids))
    }

    /// The sub-identifiers.
    pub fn ids(&self) -> &[u32] {
        &self.0
    }

    /// The OID that continues this one by `ids`; `None` when it would be too long to exist.
    pub fn child(&self, ids: &[u32]) -> Option<Oid> {
        (self.0.len() + ids.len() <= SUB_IDS_MAX).then(|| Oid([&self.0[..], ids].concat()))
    }

    /// Where this OID lies, seen from `root`.
    pub fn seen_from(&self, root: &Oid) -> Place<'_> {
        match self.0.strip_prefix(&root.0[..]) {
            Some(rest) => Place::Within(rest),
            None if self < root => Place::Before,
            None => Place::After,
        }
    }
}

impl fmt::Display for Oid {
    /// `.1.3.6`, the form net-snmp writes and reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|id| write!(f, ".{id}"))
    }
}

impl std::str::FromStr for Oid {
    type Err = String;

    /// Like [`Oid::parse`], with a cause for the command line.
    fn from_str(text: &str) -> Result<Oid, String> {
        Oid::parse(text.as_bytes())
            .ok_or_else(|| format!("not an OID: 1 to {SUB_IDS_MAX} numbers of 32 bits with dots"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(text: &str) -> Oid {
        text.parse().unwrap()
    }

    #[test]
    fn an_oid_is_read_with_or_without_its_leading_dot_and_written_with_it() {
        assert_eq!(oid("1.3.6"), oid(".1.3.6"));
        assert_eq!(oid("1.3.6").to_string(), ".1.3.6");
        assert_eq!(oid(".0.4294967295").ids(), [0, u32::MAX]);
    }

    #[test]
    fn what_is_no_oid_is_refused() {
        for text in
            ["", ".", "..1", "1.", "1..3", "-1", "+1", "1. 3", "4294967296", "1.3\r", "iso.3"]
        {
            assert_eq!(Oid::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Oid::parse(b"1.\xff"), None);
    }

    #[test]
    fn an_oid_has_at_most_128_sub_identifiers() {
        let longest = oid(&".1".repeat(SUB_IDS_MAX));
        assert_eq!(Oid::parse(".1".repeat(SUB_IDS_MAX + 1).as_bytes()), None);
        assert_eq!(longest.child(&[]), Some(longest.clone()));
        assert_eq!(longest.child(&[1]), None);
    }

    #[test]
    fn order_is_by_number_not_by_text() {
        let sorted = ["1.3", "1.3.0", "1.3.2", "1.3.2.9", "1.3.10", "1.4"].map(oid);
        assert!(sorted.is_sorted());
    }

    #[test]
    fn a_subtree_has_a_before_a_within_and_an_after() {
        let root = oid("1.3.6");
        for (text, place) in [
            ("1.3", Place::Before),
            ("1.3.5.9", Place::Before),
            ("1.3.6", Place::Within(&[])),
            ("1.3.6.0.7", Place::Within(&[0, 7])),
            ("1.3.7", Place::After),
            ("2", Place::After),
        ] {
            assert_eq!(oid(text).seen_from(&root), place, "{text}");
        }
    }
}
