//! What is remembered of a generation that has ended.

use std::time::Instant;

use crate::fetch::manifest::Line;

/// A generation that is to be asked for once more.
#[derive(Debug)]
pub(super) struct Ended {
    /// What the manifest says of its archive.
    pub(super) line: Line,
    /// When; `None`: when the next generation ends.
    pub(super) due: Option<Instant>,
    /// The next one has ended.
    pub(super) followed: bool,
    /// It could not be asked, and waits for a while.
    pub(super) failed: bool,
    /// A trouble of it was told.
    pub(super) told: bool,
    /// The source has followed a file of its identity since: it may be this one once more, or where that
    /// is only a number another.
    pub(super) again: bool,
    /// The responder found its bytes in a file of another identity.
    pub(super) other: bool,
}

impl Ended {
    /// One that is asked for at `due`.
    pub(super) fn new(line: Line, due: Instant) -> Ended {
        let due = Some(due);
        Ended { line, due, followed: false, failed: false, told: false, again: false, other: false }
    }

    /// Whether what comes late to it comes to the source itself.
    pub(super) fn is_followed(&self) -> bool {
        self.again && !self.other
    }
}
