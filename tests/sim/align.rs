//! Which generations the copy and its archives are.
//!
//! Each *piece* holds a generation from its beginning (or, where somebody renamed the copy, from where the
//! piece before ended), and before the next generation begins, all of it. No reason allows a byte that is not
//! the generation's at its place, a byte twice, or an older generation behind a newer one. Leaving one early,
//! or passing one over, needs a reason. In protocol 2 that is:
//!
//! * No file that has a name has more of it: what can be had is never left out, whatever is told; but for what
//!   was told and a power loss of its host brought back.
//! * And it was told with its place, in an event or in the line of the archive; but not
//!   - where a file ended there that was not all of it, as the copy that `copytruncate` makes before the last
//!     line: "what `copytruncate` and its like lose between the copy and the truncation is in no file";
//!   - where all that was had of it is also the beginning of the next: "a log that is emptied and written anew
//!     while it is followed is known by its bytes";
//!   - of a generation of which nothing was had and that was cut or replaced at its own path: "what was
//!     truncated away, or deleted, before anybody read it";
//!   - of a generation of which nothing was had and whose number was used again, where nothing but the number
//!     is known of a file: "whatever file has its number passes for it".
//!
//! A loss is told only where something was lost: as long as some file has every byte of every generation, it
//! is a false alarm; but for a file of which nothing was had and that is gone. Where its end is told, there were so many bytes.
//!
//! In protocol 1 an event that names the generation left is reason enough, and the exceptions are those of
//! [`Rules`].

use std::collections::BTreeSet;

use crate::oracle::{Piece, Rules};
use crate::world::{Generation, World};

/// A loss that was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loss {
    pub inode: u64,
    /// How much of it was had; `None`: the end of a copy was kept apart, and may be all that there is of it.
    pub from: Option<u64>,
    pub to: Option<u64>,
    /// It was asked for by its first bytes, so without a digest.
    pub blind: bool,
}

/// A generation and how much of it is had; before the first, nothing.
pub type Reached = Option<(usize, usize)>;

/// What was written, what was told, and what is allowed.
#[derive(Clone, Copy)]
pub struct Truth<'a> {
    pub world: &'a World,
    pub lost: &'a [Loss],
    pub rules: Rules,
}

impl Truth<'_> {
    /// No loss was told without need, and none of bytes that never were.
    pub fn check_losses(&self) -> Result<(), String> {
        if !self.rules.exact || self.rules.continued {
            return Ok(());
        }
        for loss in self.lost.iter().filter(|loss| loss.from.is_some()) {
            let empty = loss.from == Some(0) && self.world.vanished.contains(&loss.inode);
            if !(self.world.gone || empty || self.unknowable(loss)) {
                return Err(format!("nothing is lost, and it was told: {loss:?}"));
            }
            let is_so =
                |to: u64| self.world.generations.iter().any(|one| one.bytes.len() as u64 >= to);
            if !loss.to.is_none_or(is_so) {
                return Err(format!("there never were so many bytes: {loss:?}"));
            }
        }
        Ok(())
    }

    /// Of a generation of which not more than a byte is durable nothing is told that is in its file, so
    /// one that was compressed, or copied before it was emptied, is another, and another may be taken for it.
    fn unknowable(&self, loss: &Loss) -> bool {
        self.world.packings + self.world.copies > 0 && loss.blind
    }

    /// How far the pieces can have got, every way they can be read.
    pub fn align(&self, pieces: &[Piece<'_>]) -> Result<BTreeSet<Reached>, String> {
        let mut reached: BTreeSet<Reached> = BTreeSet::from([None]);
        let mut told_in_line = None;
        for piece in pieces {
            let mut next = BTreeSet::new();
            for &from in &reached {
                for (number, offset) in self.beginnings(from, told_in_line) {
                    if self.world.generations[number].bytes[offset..].starts_with(piece.bytes) {
                        next.insert(Some((number, offset + piece.bytes.len())));
                    }
                }
            }
            if next.is_empty() {
                return Err(self.explain(piece, &reached));
            }
            reached = next;
            let lost = piece.line.as_ref().and_then(|line| line.lost);
            told_in_line = lost.map(|lost| lost.from);
        }
        Ok(reached)
    }

    /// Nothing is left to be had.
    pub fn is_all(&self, (number, length): (usize, usize)) -> bool {
        let world = self.world;
        let due = world.generations[number].due();
        let has = match self.rules.exact {
            true => length >= due || length >= world.to_be_had(number),
            false => length >= due,
        };
        let mut later = number + 1..world.generations.len();
        has && later.all(|later| {
            world.generations[later].bytes.is_empty()
                || self.rules.exact && world.to_be_had(later) <= world.shared(later, number)
        })
    }

    /// Where a piece may begin after `from` was reached, and a loss was told in the line of what it left.
    fn beginnings(&self, from: Reached, told_in_line: Option<u64>) -> Vec<(usize, usize)> {
        let count = self.world.generations.len();
        let Some(at) = from else { return (0..count).map(|first| (first, 0)).collect() };
        let mut found = Vec::new();
        if self.rules.continued {
            found.push(at);
        }
        match self.rules.exact {
            true => self.add_exactly(at, told_in_line, &mut found),
            false => self.add_loosely(at, &mut found),
        }
        found
    }

    fn add_exactly(
        &self,
        (number, offset): (usize, usize),
        told_in_line: Option<u64>,
        found: &mut Vec<(usize, usize)>,
    ) {
        let (world, left) = (self.world, &self.world.generations[number]);
        let whole = offset >= left.due();
        let told = told_in_line == Some(offset as u64) || self.is_told(number, offset);
        // What was lost and came back from a backup is due as that of the newer generation.
        let had_since = || left.returned || offset >= world.to_be_had_until(number, number);
        let nothing_more = whole || offset >= world.to_be_had(number) || told && had_since();
        let unknown = |loss: &Loss| self.unknowable(loss) && self.is_of(loss, number, offset);
        // Nothing was had of it yet; or a power loss has cut it, or damaged what it was compressed to, to less than
        // was had, and what is left may as well be something new.
        let less = !left.ends.is_empty() || left.torn;
        let cut = told && less && offset > world.to_be_had(number);
        if offset == 0 || cut || self.lost.iter().any(unknown) {
            found.push((number, 0));
        }
        // An honest exception: once a file that was emptied in place is gone, who has not a byte of what it had then
        // is told by its birth that all copies of it are later, those from before as well.
        if self.lost.iter().any(unknown) {
            let of_one_file =
                |one: &usize| !world.generations[*one].inodes.is_disjoint(&left.inodes);
            found.extend((0..number).filter(of_one_file).map(|older| (older, 0)));
        }
        let ended = whole || told || offset == 0 || left.ends.contains(&offset);
        let mut passes = told;
        // A number that was used again stands for all up to the last one that has it.
        let mut again = if offset == 0 { self.used_again(number) } else { 0 };
        for next in number + 1..world.generations.len() {
            let passes_here = passes || next <= again;
            let alike = offset <= world.shared(number, next);
            let left = (nothing_more || alike && left.overwritten) && (ended || alike);
            if left
                && (number + 1..next)
                    .all(|passed| self.may_pass(passed, (number, offset), next, passes_here))
            {
                found.push((next, 0));
            }
            // A loss of one of which nothing was had is of all up to the one that comes.
            passes |= self.is_told(next, 0);
            again = again.max(self.used_again(next));
            let passed = &world.generations[next];
            if !passed.bytes.is_empty()
                && !passed.overwritten
                && !passed.remade
                && !passes
                && again <= next
            {
                break;
            }
        }
    }

    /// Whether nothing is to be had of a generation but what was had of the one that is left or what the next
    /// one has as well, and that need not be told or was. Three honest exceptions: what was told as lost is not
    /// asked for any more when a power loss undoes its deletion; of a file that was fetched as a whole nobody hears
    /// that a power loss has made another of it since; and where a power loss has undone a rotation that was
    /// followed, what is lost is told, and the file that was left is still the older one. What came back in a newer
    /// generation is due as that one's.
    fn may_pass(&self, passed: usize, left: (usize, usize), next: usize, told: bool) -> bool {
        let (world, one) = (self.world, &self.world.generations[passed]);
        let had = world.shared(left.0, passed).min(left.1);
        let there = || world.to_be_had_until(passed, next);
        let rest = || there() > had.max(world.shared(passed, next));
        let whole = left.1 >= world.generations[left.0].due();
        let behind =
            || whole && world.generations[left.0 + 1..=passed].iter().all(|one| one.remade);
        // A power loss has brought an older file back as it was: nothing in it is later than what was had.
        let as_it_was = || one.shares.is_some_and(|(_, count)| count == one.bytes.len());
        // What is to be had of it is in a file that came back; of that a later generation may be it.
        let returned = || {
            let back = |later: usize| world.generations[later].returned;
            (passed..next).any(|later| back(later) && world.shared(passed, later) >= there())
        };
        let undone = || one.again && !world.habits.host.no_births;
        let is_older = one.file < world.generations[left.0].file;
        // Nobody ever wrote what a power loss has made of a compressed file.
        let made = one.torn && one.remade;
        one.bytes.is_empty()
            || made
            || (one.overwritten || told) && !rest()
            || behind()
            || told && (returned() || is_older && (as_it_was() || undone()))
    }

    /// The last generation that came to have the number of one that was asked for when nothing of it was had,
    /// where births and generations of inodes are not known: nothing tells the two apart then.
    fn used_again(&self, number: usize) -> usize {
        let World { habits, generations, asked_blindly, .. } = self.world;
        let has_it = |one: &Generation| !one.inodes.is_disjoint(&generations[number].inodes);
        let blindly = !generations[number].inodes.is_disjoint(asked_blindly);
        if habits.host.no_births && !habits.host.generations && blindly {
            generations.iter().rposition(has_it).unwrap_or(number)
        } else {
            number
        }
    }

    /// Whether it was told that a generation ends for us there.
    fn is_told(&self, number: usize, offset: usize) -> bool {
        self.lost.iter().any(|loss| self.is_of(loss, number, offset))
    }

    /// The number that is told is that of the file in which a generation went on: one that a backup brought back
    /// and that begins as the one that is gone is taken for it, until they differ.
    fn is_of(&self, loss: &Loss, number: usize, offset: usize) -> bool {
        let world = self.world;
        let had = |one: usize| world.generations[one].inodes.contains(&loss.inode);
        let Some(from) = loss.from else { return had(number) };
        let taken_for = |newer: usize| had(newer) && offset > 0 && world.shared(number, newer) > 0;
        from == offset as u64
            && (had(number) || (number + 1..world.generations.len()).any(taken_for))
    }

    fn add_loosely(&self, (number, offset): (usize, usize), found: &mut Vec<(usize, usize)>) {
        let world = self.world;
        let named = world.inode_of(number);
        let told = self.rules.silent_gaps || self.lost.iter().any(|loss| loss.inode == named);
        let first_unread = if offset == 0 { number } else { number + 1 };
        let mut gap = offset < world.generations[number].due();
        for later in number + 1..world.generations.len() {
            let same_number = |one| world.inode_of(one) == world.inode_of(later);
            let empty = self.rules.silent_when_empty;
            let replaced = || empty && (first_unread..later).any(same_number);
            if !gap || told || replaced() {
                found.push((later, 0));
            } else if !empty {
                break;
            }
            gap |= !world.generations[later].bytes.is_empty();
        }
    }

    /// Says of a piece that fits nowhere what it is.
    fn explain(&self, piece: &Piece<'_>, reached: &BTreeSet<Reached>) -> String {
        let generations = &self.world.generations;
        let fits = |generation: &[u8]| {
            generation.iter().zip(piece.bytes).take_while(|(one, other)| one == other).count()
        };
        let (best, equal) = generations
            .iter()
            .enumerate()
            .map(|(number, generation)| (number, fits(&generation.bytes)))
            .max_by_key(|&(_, equal)| equal)
            .unwrap_or_default();
        let before = reached.iter().map(|at| match *at {
            Some((number, length)) => format!(
                "{length} of {} bytes of {number}, {} to be had",
                generations[number].bytes.len(),
                self.world.to_be_had(number)
            ),
            None => "nothing".to_owned(),
        });
        format!(
            "{}: {} bytes, {equal} of them are those of generation {best} with {} bytes; before it: {}",
            piece.path.display(),
            piece.bytes.len(),
            generations[best].bytes.len(),
            before.collect::<Vec<_>>().join(" or "),
        )
    }
}
