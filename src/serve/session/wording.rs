//! How a generation is told, in either protocol.
//!
//! Protocol 1 sends the bytes as they are. Protocol 2 puts a header in front of them that promises how
//! many come, so a promise is made of what is there only, and as late as can be: what was not said of
//! it is taken back when the socket takes nothing.

use super::Answered;
use crate::pos::Offset;
use crate::proto::ALIVE;
use crate::proto::answer::emit_answer;
use crate::proto::frame::{emit_data_header, emit_heartbeat};
use crate::proto::status::emit_status;

/// The most bytes that one header promises.
pub(super) const FRAME_BYTES_MAX: u64 = 1 << 20;

/// The protocol, and where in it the connection is.
#[derive(Debug)]
pub(super) enum Wording {
    One,
    Two {
        /// Bytes of the frame that are still to be sent.
        left: u64,
        /// Of its header nothing is said yet.
        unsaid: bool,
    },
}

impl Wording {
    /// The protocol of the answer, and the status line.
    pub(super) fn begin(answer: &Answered) -> (Wording, Vec<u8>) {
        match answer {
            Answered::One(status) => (Wording::One, emit_status(*status)),
            Answered::Two(answer) => (Wording::Two { left: 0, unsaid: false }, emit_answer(answer)),
        }
    }

    pub(super) fn is_two(&self) -> bool {
        matches!(self, Wording::Two { .. })
    }

    /// Whether a byte may mean "alive", so that it can't stand for itself.
    pub(super) fn is_masked(&self) -> bool {
        matches!(self, Wording::One)
    }

    /// Whether there may be words now: no header's promise is open.
    pub(super) fn may_close(&self) -> bool {
        self.promised() == 0
    }

    /// Bytes that were promised and not sent, by words of which some were said.
    pub(super) fn promised(&self) -> u64 {
        match self {
            Wording::Two { left, unsaid: false } => *left,
            Wording::Two { unsaid: true, .. } | Wording::One => 0,
        }
    }

    /// The header of a new frame, where there is none, for a file that has `there` bytes more.
    pub(super) fn header(&mut self, there: u64) -> Option<Vec<u8>> {
        match self {
            Wording::Two { left, unsaid } if *left == 0 => {
                (*left, *unsaid) = (there.min(FRAME_BYTES_MAX), true);
                Some(emit_data_header(*left))
            }
            Wording::Two { .. } | Wording::One => None,
        }
    }

    /// How many bytes may be sent now.
    pub(super) fn most(&self) -> u64 {
        match self {
            Wording::One => u64::MAX,
            Wording::Two { left, .. } => *left,
        }
    }

    /// Takes back a header of which nothing was said; false if there is none.
    pub(super) fn withdraw(&mut self) -> bool {
        match self {
            Wording::Two { left, unsaid: unsaid @ true } => {
                (*left, *unsaid) = (0, false);
                true
            }
            Wording::Two { .. } | Wording::One => false,
        }
    }

    /// Some of the words were said.
    pub(super) fn handle_said(&mut self) {
        if let Wording::Two { unsaid, .. } = self {
            *unsaid = false;
        }
    }

    /// So many bytes of the file were sent.
    pub(super) fn handle_sent(&mut self, count: usize) {
        if let Wording::Two { left, .. } = self {
            *left = left.saturating_sub(count as u64);
        }
    }

    /// A file of `size` bytes is sent to its end.
    pub(super) fn heartbeat(&self, size: Offset, modified_ns: u64) -> Vec<u8> {
        match self {
            Wording::One => vec![ALIVE],
            Wording::Two { .. } => emit_heartbeat(size, modified_ns),
        }
    }
}
