//! Whether both ends hold the same bytes of a generation, found out by digests alone.
//!
//! The generation is asked for by its identity first, without samples of our bytes: so a byte that was
//! changed on either side is found, and not taken for another file. Where that file is not there any
//! more, or holds something else, the generation may be in another file (copied and truncated, restored,
//! compressed): then it is asked for by samples of our bytes, before its end and at its beginning; then
//! by either of them alone, since the other may be what is damaged.
//!
//! A log that is emptied in place is one file for many generations. Of those before the last that file says
//! nothing any more: only samples find them.
//!
//! If the digests differ, halving finds the first byte that differs and the last. Each half is asked for
//! in the file that was found, by its identity. Where a responder does not know it by that, by the sample
//! that found it: at the beginning, or of the very bytes that are asked for; then "not found" says that
//! these differ.
//!
//! A [`Step`] says what is to be asked, [`Proof::handle`] is told the answer. Sockets and files are the
//! caller's.

use std::ops::Range;

use crate::pos::{Generation, Inode, Offset, Token};
use crate::proto::digest::Whole;

/// Bytes before the end of a range that its question has the digest of, and bytes at the beginning of
/// the generation.
const TAIL_BYTES: Offset = 64 * 1024;
const HEAD_BYTES: Offset = 4096;

/// What is to be done next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Have this answered, and make the digest of our own bytes in its range.
    Ask(Question),
    /// Nothing more: this was found out.
    Done(Finding),
}

/// A question for the digest of a range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// The generation's name in protocol 1.
    pub inode: Inode,
    /// Its identity, if it is known.
    pub id: Option<Token>,
    /// When it was changed last as far as was heard; where samples are told.
    pub seen_ns: Option<u64>,
    /// The range, in the generation.
    pub range: Range<Offset>,
    /// So many bytes before the end of the range are told by their digest; 0: none.
    pub tail: Offset,
    /// So many bytes at the beginning of the generation are; 0: none.
    pub head: Offset,
}

/// What a responder answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// The digest of the range in a file that it found.
    Sum {
        /// The file's inode number.
        inode: Inode,
        /// The file's identity.
        id: Token,
        /// The digest.
        whole: Whole,
    },
    /// It has no such generation.
    Lost,
}

/// What was found out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// Both ends hold the same bytes.
    Equal,
    /// The first byte that differs, and where the last one ends; all outside is equal. If the generation
    /// went while it was asked for, so much is known that both are in this range.
    Differs(Range<Offset>),
    /// The responder does not have the generation any more.
    Gone,
}

/// How a generation is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    Identity,
    Both,
    Head,
    Tail,
}

/// A file that holds the generation, as far as is known.
#[derive(Clone, Copy, Debug)]
struct Found {
    inode: Inode,
    id: Token,
    by: By,
}

#[derive(Clone, Copy, Debug)]
enum Edge {
    /// All before `equal` is the same, and up to `differs` it is not.
    First { equal: Offset, differs: Offset },
    /// All from `equal` on is the same, and from `differs` on it is not. The first byte that differs is
    /// `first`.
    Last { first: Offset, differs: Offset, equal: Offset },
}

#[derive(Debug)]
enum State {
    /// The whole range is asked for. A file found before is another, or damaged.
    Whole {
        by: By,
        found: Option<Found>,
    },
    /// Halves are.
    Halving {
        found: Found,
        by: By,
        edge: Edge,
    },
    Done(Finding),
}

/// The proof of one range of a generation.
#[derive(Debug)]
pub struct Proof {
    generation: Generation,
    range: Range<Offset>,
    /// Its file was emptied since.
    emptied: bool,
    state: State,
}

impl Proof {
    /// Of our bytes `range` of `generation`.
    pub fn new(generation: Generation, range: Range<Offset>) -> Proof {
        let state = State::Whole { by: By::Identity, found: None };
        Proof { generation, range, emptied: false, state }
    }

    /// The same for a generation whose file was emptied in place, and has been the next one since: that it
    /// has other bytes is no difference.
    pub fn of_emptied(self) -> Proof {
        Proof { emptied: true, ..self }
    }

    /// What is to be done next.
    pub fn step(&self) -> Step {
        let Generation { inode, id, seen_ns, .. } = self.generation;
        match &self.state {
            State::Whole { by, .. } => {
                Step::Ask(question(inode, id, seen_ns, *by, self.range.clone()))
            }
            State::Halving { found, by, edge } => {
                let Found { inode, id, .. } = *found;
                Step::Ask(question(inode, Some(id), seen_ns, *by, edge.half()))
            }
            State::Done(finding) => Step::Done(finding.clone()),
        }
    }

    /// The answer to the question, and the digest of our own bytes in its range.
    pub fn handle(&mut self, heard: Heard, ours: Whole) {
        self.state = match self.state {
            State::Whole { by, found } => self.handle_whole(by, found, heard, ours),
            State::Halving { found, by, edge } => self.handle_half(found, by, edge, heard, ours),
            State::Done(_) => return,
        };
    }

    /// How the generation can be asked for, one way after the other.
    fn ways(&self) -> &'static [By] {
        match self.range {
            Range { start, end } if start == end => &[By::Identity],
            Range { start: 0, .. } => &[By::Identity, By::Both, By::Head, By::Tail],
            Range { .. } => &[By::Identity, By::Tail],
        }
    }

    fn way_after(&self, by: By) -> Option<By> {
        self.ways().iter().copied().skip_while(|way| *way != by).nth(1)
    }

    fn handle_whole(&self, by: By, found: Option<Found>, heard: Heard, ours: Whole) -> State {
        match (heard, found) {
            (Heard::Sum { whole, .. }, _) if whole == ours => State::Done(Finding::Equal),
            (Heard::Sum { inode, id, .. }, _) => {
                let found = Found { inode, id, by };
                match self.way_after(by).filter(|_| by == By::Identity) {
                    Some(by) => State::Whole { by, found: Some(found).filter(|_| !self.emptied) },
                    None if by == By::Identity && self.emptied => State::Done(Finding::Gone),
                    None => self.halve(found, By::Identity, Edge::of(&self.range)),
                }
            }
            (Heard::Lost, Some(found)) => self.halve(found, By::Identity, Edge::of(&self.range)),
            (Heard::Lost, None) => match self.way_after(by) {
                Some(by) => State::Whole { by, found: None },
                None => State::Done(Finding::Gone),
            },
        }
    }

    fn handle_half(&self, found: Found, by: By, edge: Edge, heard: Heard, ours: Whole) -> State {
        let differs = match heard {
            // A short sample may fit another file as well.
            Heard::Sum { inode, id, whole } if (inode, id) == (found.inode, found.id) => {
                whole != ours
            }
            _ if by == By::Tail => true,
            _ => {
                let way = match found.by {
                    By::Identity => None,
                    By::Both | By::Head => Some(By::Head),
                    By::Tail => Some(By::Tail),
                };
                return match way.filter(|_| by == By::Identity) {
                    Some(by) => self.halve(found, by, edge),
                    None => State::Done(Finding::Differs(edge.bounds(&self.range))),
                };
            }
        };
        self.halve(found, by, edge.after(differs))
    }

    /// Goes on to halve, unless there is nothing left.
    fn halve(&self, found: Found, by: By, edge: Edge) -> State {
        match edge.settle(&self.range) {
            Ok(edge) => State::Halving { found, by, edge },
            Err(range) => State::Done(Finding::Differs(range)),
        }
    }
}

fn question(
    inode: Inode,
    id: Option<Token>,
    seen_ns: Option<u64>,
    by: By,
    range: Range<Offset>,
) -> Question {
    let tail = (range.end - range.start).min(TAIL_BYTES);
    let head = range.end.min(HEAD_BYTES);
    let (tail, head) = match by {
        By::Identity => (0, 0),
        By::Both => (tail, head),
        By::Head => (0, head),
        By::Tail => (tail, 0),
    };
    let seen_ns = seen_ns.filter(|_| tail + head > 0);
    Question { inode, id, seen_ns, range, tail, head }
}

impl Edge {
    fn of(range: &Range<Offset>) -> Edge {
        Edge::First { equal: range.start, differs: range.end }
    }

    /// The half that tells where to go on.
    fn half(self) -> Range<Offset> {
        match self {
            Edge::First { equal, differs } => equal..equal + (differs - equal) / 2,
            Edge::Last { differs, equal, .. } => differs + (equal - differs) / 2..equal,
        }
    }

    /// After it was found out whether that half differs.
    fn after(self, half_differs: bool) -> Edge {
        let half = self.half();
        match self {
            Edge::First { equal, .. } if half_differs => Edge::First { equal, differs: half.end },
            Edge::First { differs, .. } => Edge::First { equal: half.end, differs },
            Edge::Last { first, equal, .. } if half_differs => {
                Edge::Last { first, differs: half.start, equal }
            }
            Edge::Last { first, differs, .. } => Edge::Last { first, differs, equal: half.start },
        }
    }

    /// Goes on to the other edge when the first byte is known. The error is the result.
    fn settle(self, range: &Range<Offset>) -> Result<Edge, Range<Offset>> {
        let edge = match self {
            Edge::First { equal, differs } if differs - equal <= 1 => {
                Edge::Last { first: equal, differs: equal, equal: range.end }
            }
            edge => edge,
        };
        match edge {
            Edge::Last { first, differs, equal } if equal - differs <= 1 => Err(first..equal),
            edge => Ok(edge),
        }
    }

    /// Where all bytes that differ are, as far as is known.
    fn bounds(self, range: &Range<Offset>) -> Range<Offset> {
        match self {
            Edge::First { equal, .. } => equal..range.end,
            Edge::Last { first, equal, .. } => first..equal,
        }
    }
}

#[cfg(test)]
mod tests;
