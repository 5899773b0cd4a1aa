//! Who a readiness is about: the only meaning of a token.

use super::slots::Slot;

/// A registered object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// Signals have arrived.
    Signals,
    /// Another thread has something for the loop.
    Wake,
    /// Files have changed.
    Watch,
    /// Somebody connects to the listener of this number.
    Listener(u16),
    /// A connection.
    Conn(Slot),
}

const KIND_SHIFT: u32 = 60;
const PAYLOAD: usize = (1 << KIND_SHIFT) - 1;

impl Who {
    /// Packs into a token's number: four bits of kind, sixty of payload.
    pub fn to_number(self) -> usize {
        let (kind, payload) = match self {
            Who::Signals => (0, 0),
            Who::Wake => (1, 0),
            Who::Watch => (2, 0),
            Who::Listener(index) => (3, usize::from(index)),
            Who::Conn(slot) => (4, slot.to_number()),
        };
        (kind << KIND_SHIFT) | payload
    }

    /// The inverse; `None` for a number that [`Who::to_number`] never gives.
    pub fn from_number(number: usize) -> Option<Who> {
        let payload = number & PAYLOAD;
        match number >> KIND_SHIFT {
            0 => Some(Who::Signals),
            1 => Some(Who::Wake),
            2 => Some(Who::Watch),
            3 => Some(Who::Listener(u16::try_from(payload).ok()?)),
            4 => Some(Who::Conn(Slot::from_number(payload))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_who_comes_back_from_its_number() {
        let slot = Slot::from_number(0xfff_ffff_ffff_ffff & PAYLOAD);
        for who in [Who::Signals, Who::Wake, Who::Watch, Who::Listener(u16::MAX), Who::Conn(slot)] {
            assert_eq!(Who::from_number(who.to_number()), Some(who));
        }
    }
}
