//! Digests: how two ends find out that they have the same bytes without sending them.
//!
//! BLAKE3, in hex. Where a digest decides whether to go on it is cut to 128 bits, which is enough to
//! tell contents apart, chosen ones as well; where it is the proof itself it is whole.

use std::fmt;

use super::percent::hex_byte;

/// BLAKE3 of some bytes, cut to 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

/// BLAKE3 of some bytes, all 256 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Whole(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Whole::of(bytes).cut()
    }

    /// Reads exactly 32 hex digits of either case.
    pub fn parse(text: &[u8]) -> Option<Digest> {
        parse_hex(text).map(Digest)
    }
}

impl Whole {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Whole {
        Whole(*blake3::hash(bytes).as_bytes())
    }

    /// Reads exactly 64 hex digits of either case.
    pub fn parse(text: &[u8]) -> Option<Whole> {
        parse_hex(text).map(Whole)
    }

    /// The first half.
    pub fn cut(self) -> Digest {
        let mut half = [0; 16];
        half.copy_from_slice(&self.0[..16]);
        Digest(half)
    }
}

/// Takes bytes piece by piece. Its 2 KiB do not grow.
#[derive(Clone, Debug, Default)]
pub struct Digester(blake3::Hasher);

impl Digester {
    /// Of no bytes yet.
    pub fn new() -> Digester {
        Digester::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of what was taken so far; more may follow.
    pub fn whole(&self) -> Whole {
        Whole(*self.0.finalize().as_bytes())
    }

    /// The same, cut.
    pub fn digest(&self) -> Digest {
        self.whole().cut()
    }
}

fn parse_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = hex_byte(digits[0], digits[1])?;
    }
    Some(bytes)
}

fn emit_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        emit_hex(&self.0, f)
    }
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        emit_hex(&self.0, f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Whole({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_digest_is_blake3() {
        // From the test vectors of BLAKE3: no bytes, and the bytes 0, 1, 2.
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(Whole::of(b"").to_string(), empty);
        assert_eq!(Digest::of(b"").to_string(), empty[..32]);
        let three = "e1be4d7a8ab5560aa4199eea339849ba8e293d55ca0a81006726d184519e647f";
        assert_eq!(Whole::of(&[0, 1, 2]).to_string(), three);
    }

    #[test]
    fn a_digest_of_another_length_is_none() {
        let digits = "0123456789abcdef0123456789ABCDEF";
        assert_eq!(Digest::parse(digits.as_bytes()).unwrap().to_string(), digits.to_lowercase());
        assert_eq!(Whole::parse(digits.as_bytes()), None);
        for text in ["", &digits[1..], &format!("{digits}0"), &digits.replace('0', "g")] {
            assert_eq!(Digest::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Digest::parse(&[0xff; 32]), None);
    }

    proptest! {
        #[test]
        fn pieces_have_the_digest_of_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..5000), piece in 1usize..2000
        ) {
            let mut digester = Digester::new();
            bytes.chunks(piece).for_each(|bytes| digester.update(bytes));
            prop_assert_eq!(digester.whole(), Whole::of(&bytes));
            prop_assert_eq!(digester.digest(), Digest::of(&bytes));
        }

        #[test]
        fn a_digest_comes_back(half in any::<[u8; 16]>(), whole in any::<[u8; 32]>()) {
            prop_assert_eq!(Digest::parse(Digest(half).to_string().as_bytes()), Some(Digest(half)));
            prop_assert_eq!(Whole::parse(Whole(whole).to_string().as_bytes()), Some(Whole(whole)));
        }
    }
}
