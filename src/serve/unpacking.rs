//! A compressed file that is being read, and how far.
//!
//! It has at most one piece in memory. What it stands at is known: some bytes, the end, or a damage.

use std::io::{self, Read};

use crate::sys::unpack::Unpacker;

/// The most bytes in memory.
const PIECE_BYTES: usize = 256 << 10;

/// The most bytes that are unpacked at once. A decoder that meets a damage does not say how much of what
/// was asked for it had by then, so all of that is lost.
pub const STEP_BYTES: usize = 4 << 10;

/// How the bytes of a compressed file end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// As they should.
    Whole,
    /// Nothing behind this can be read, and why.
    Damaged(String),
}

/// The bytes of a compressed file from somewhere on.
#[derive(Debug)]
pub struct Unpacking {
    unpacker: Option<Unpacker>,
    piece: Vec<u8>,
    /// What of the piece is used.
    at: usize,
    ending: Option<Ending>,
}

impl Unpacking {
    /// From the beginning; nothing is read yet. A file of which not even the beginning is right is
    /// damaged there.
    pub fn new(unpacker: io::Result<Unpacker>) -> Unpacking {
        let (unpacker, ending) = match unpacker {
            Ok(unpacker) => (Some(unpacker), None),
            Err(error) => (None, Some(Ending::Damaged(error.to_string()))),
        };
        Unpacking { unpacker, piece: Vec::new(), at: 0, ending }
    }

    /// The next bytes, as far as they were read.
    pub fn rest(&self) -> &[u8] {
        &self.piece[self.at..]
    }

    /// So many of the next bytes are used.
    pub fn consume(&mut self, count: usize) {
        self.at = self.piece.len().min(self.at + count);
    }

    /// How the bytes end, once there are no more.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref().filter(|_| self.rest().is_empty())
    }

    /// Reads the next piece if all of the last one is used.
    pub fn refill(&mut self) {
        if !self.rest().is_empty() || self.ending.is_some() {
            return;
        }
        let Some(unpacker) = &mut self.unpacker else { return };
        self.at = 0;
        self.piece.resize(PIECE_BYTES, 0);
        let mut len = 0;
        while len < PIECE_BYTES && self.ending.is_none() {
            let end = PIECE_BYTES.min(len + STEP_BYTES);
            match unpacker.read(&mut self.piece[len..end]) {
                Ok(0) => self.ending = Some(Ending::Whole),
                Ok(count) => len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.ending = Some(Ending::Damaged(error.to_string())),
            }
        }
        self.piece.truncate(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::unpack::Format;
    use std::io::{Cursor, Write};

    fn gzipped(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacking(packed: Vec<u8>) -> Unpacking {
        Unpacking::new(Unpacker::new(Format::Gzip, Cursor::new(packed)))
    }

    #[test]
    fn bytes_come_in_pieces_and_the_end_after_the_last_of_them() {
        let content: Vec<u8> = (0..600_000u32).map(|n| (n % 251) as u8).collect();
        let mut unpacking = unpacking(gzipped(&content));
        let mut read = Vec::new();
        while unpacking.ending().is_none() {
            unpacking.refill();
            let take = unpacking.rest().len().min(100_000);
            assert!(unpacking.rest().len() <= PIECE_BYTES);
            read.extend_from_slice(&unpacking.rest()[..take]);
            unpacking.consume(take);
        }
        assert!(read == content);
        assert_eq!(unpacking.ending(), Some(&Ending::Whole));
    }

    /// Found by fuzzing: a file whose middle is damaged lost up to 256 KiB before the damage. Whoever
    /// asks a decoder for many bytes at once hears of the damage only, and not what came before it.
    #[test]
    fn a_damaged_file_is_read_up_to_its_damage() {
        let content: Vec<u8> =
            (0..100_000u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        let packed = gzipped(&content);
        for damaged_at in [packed.len() / 8, packed.len() / 2] {
            let mut damaged = packed.clone();
            damaged[damaged_at..].fill(0xff);
            let mut unpacking = unpacking(damaged);
            let mut read = 0;
            while unpacking.ending().is_none() {
                unpacking.refill();
                let rest = unpacking.rest();
                let equal = rest.iter().zip(&content[read..]).take_while(|(a, b)| a == b).count();
                read += equal;
                let len = rest.len();
                unpacking.consume(len);
            }
            assert!(matches!(unpacking.ending(), Some(Ending::Damaged(_))));
            // As many bytes as were packed before the damage, since these cannot be packed well.
            assert!(read + (8 << 10) > damaged_at, "{read} of {damaged_at}");
        }
    }

    #[test]
    fn a_damage_is_told_behind_the_bytes_before_it() {
        let mut packed = gzipped(&[b'x'; 1000]);
        packed.truncate(packed.len() - 3);
        let mut cut = unpacking(packed);
        cut.refill();
        assert_eq!((cut.rest().len(), cut.ending()), (1000, None));
        cut.consume(1000);
        assert!(matches!(cut.ending(), Some(Ending::Damaged(_))));
        let mut nothing = unpacking(Vec::new());
        nothing.refill();
        assert_eq!(nothing.ending(), Some(&Ending::Damaged("it is empty".to_owned())));
    }
}
