//! What is to be said, and whether anybody listens.

use std::time::{Duration, Instant};

/// A fetcher that takes nothing for so long is given up, as fetchlogs 1.1 does.
pub(super) const BLOCKED_MAX: Duration = Duration::from_secs(60);

/// Words that wait to be said.
#[derive(Debug)]
pub(super) struct Mouth {
    words: Vec<u8>,
    /// When the last of them was said.
    spoke_at: Instant,
    /// Since when the socket takes nothing.
    blocked_since: Option<Instant>,
}

impl Mouth {
    pub(super) fn new(now: Instant) -> Mouth {
        Mouth { words: Vec::new(), spoke_at: now, blocked_since: None }
    }

    pub(super) fn words(&self) -> &[u8] {
        &self.words
    }

    /// What is left to be said, which is no longer this mouth's.
    pub(super) fn take_words(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.words)
    }

    pub(super) fn is_done(&self) -> bool {
        self.words.is_empty()
    }

    /// These are to be said behind what is left.
    pub(super) fn add(&mut self, words: &[u8]) {
        self.words.extend_from_slice(words);
    }

    pub(super) fn handle_said(&mut self, now: Instant, count: usize) {
        self.words.drain(..count.min(self.words.len()));
        self.handle_taken(now);
    }

    /// The socket took something.
    pub(super) fn handle_taken(&mut self, now: Instant) {
        self.spoke_at = now;
        self.blocked_since = None;
    }

    pub(super) fn handle_blocked(&mut self, now: Instant) {
        self.blocked_since.get_or_insert(now);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked_since.is_some()
    }

    /// Whether it is time to give the fetcher up.
    pub(super) fn is_given_up(&self, now: Instant) -> bool {
        self.blocked_since.is_some_and(|since| now >= since + BLOCKED_MAX)
    }

    /// When nothing was said for `silence`, or nothing could be for too long.
    pub(super) fn deadline(&self, silence: Duration) -> Instant {
        match self.blocked_since {
            Some(since) => since + BLOCKED_MAX,
            None => self.spoke_at + silence,
        }
    }

    /// Whether nothing was said for `silence` and something may be.
    pub(super) fn is_silent(&self, now: Instant, silence: Duration) -> bool {
        self.words.is_empty() && self.blocked_since.is_none() && now >= self.spoke_at + silence
    }
}
