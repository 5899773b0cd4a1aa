//! A table whose places are used again, with names that are not.

/// The name of one occupation of a place: after the occupant is gone the name finds nothing, even
/// when the place is taken again. So late events and timers fall away by themselves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot {
    index: u32,
    generation: u32,
}

/// Generations wrap at 28 bits, so that a slot fits in 60.
const GENERATION_MASK: u32 = (1 << 28) - 1;

impl Slot {
    pub(super) fn to_number(self) -> usize {
        ((self.generation as usize) << 32) | self.index as usize
    }

    pub(super) fn from_number(number: usize) -> Slot {
        Slot { index: number as u32, generation: (number >> 32) as u32 & GENERATION_MASK }
    }
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    occupant: Option<T>,
}

/// The table.
#[derive(Debug)]
pub struct Slots<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Takes a place for what `make` returns, which may want to know its own name.
    pub fn insert_with(&mut self, make: impl FnOnce(Slot) -> T) -> Slot {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, occupant: None });
            (self.places.len() - 1) as u32
        });
        let place = &mut self.places[index as usize];
        let slot = Slot { index, generation: place.generation };
        place.occupant = Some(make(slot));
        slot
    }

    /// The occupant of that name.
    pub fn get(&self, slot: Slot) -> Option<&T> {
        let place = self.places.get(slot.index as usize)?;
        place.occupant.as_ref().filter(|_| place.generation == slot.generation)
    }

    /// The occupant of that name.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        let place = self.places.get_mut(slot.index as usize)?;
        place.occupant.as_mut().filter(|_| place.generation == slot.generation)
    }

    /// Frees the place.
    pub fn remove(&mut self, slot: Slot) -> Option<T> {
        let place = self.places.get_mut(slot.index as usize)?;
        if place.generation != slot.generation {
            return None;
        }
        let occupant = place.occupant.take()?;
        place.generation = (place.generation + 1) & GENERATION_MASK;
        self.free.push(slot.index);
        Some(occupant)
    }

    /// How many places are taken.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether no place is taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All names in use, in order of place.
    pub fn slots(&self) -> Vec<Slot> {
        self.iter().map(|(slot, _)| slot).collect()
    }

    /// All occupants with their names.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let slot = Slot { index: index as u32, generation: place.generation };
            Some((slot, place.occupant.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_one_who_left_finds_nobody() {
        let mut slots = Slots::default();
        let first = slots.insert_with(|_| 'a');
        assert_eq!(slots.remove(first), Some('a'));
        let second = slots.insert_with(|_| 'b');
        assert_ne!(first, second);
        assert_eq!((slots.get(first), slots.get(second)), (None, Some(&'b')));
        assert_eq!(slots.get_mut(first), None);
        assert_eq!((slots.remove(first), slots.len()), (None, 1));
        assert_eq!(slots.slots(), [second]);
    }
}
