//! How often a source may come back at once.
//!
//! When a generation has ended, what follows is asked for without a wait: who was away for a year has
//! hundreds of them to fetch. A responder that is broken or hostile can make use of that: it names a new
//! generation at each question, or closes behind each byte, and we would make connections, archives and
//! syncs as fast as both can. So a connection that brought little and is followed by another at once costs
//! one of [`BURST`]; one is regained every [`REGAINED_EVERY`]. When none is left there is a wait before
//! the next connection, as after a failure, and it is told.
//!
//! One that brought much costs nothing: its bytes are limited by what may be on the disk.
//!
//! Who is fetched once may come back more often: a wait is the end of that, and a year of hourly logs has to
//! come before it.

use std::time::{Duration, Instant};

/// Connections that may follow at once, each with little: those of a year of nights, and more than twice
/// as many, since one generation may need two.
pub const BURST: u32 = 1000;

/// The same where what there is now is fetched once: hourly logs of a year, and some.
pub const BURST_ONCE: u32 = 10_000;

/// After which time one more may.
pub const REGAINED_EVERY: Duration = Duration::from_secs(1);

/// Bytes that are much: with fewer an archive is more work than what is in it.
pub const BYTES_MUCH: u64 = 64 * 1024;

/// What of it was used up by one source.
#[derive(Clone, Copy, Debug)]
pub struct Haste {
    burst: u32,
    /// When all of it is regained.
    all_at: Option<Instant>,
    /// None was left, and not half of them is regained.
    exhausted: bool,
}

impl Haste {
    /// So many connections may follow at once.
    pub fn new(burst: u32) -> Haste {
        Haste { burst, all_at: None, exhausted: false }
    }

    /// A connection that brought so many new bytes is to be followed by another at once. Says whether it
    /// may be.
    pub fn spend(&mut self, now: Instant, brought: u64) -> bool {
        if brought >= BYTES_MUCH {
            return true;
        }
        let all_at = self.all_at.map_or(now, |at| at.max(now)) + REGAINED_EVERY;
        if all_at > now + REGAINED_EVERY * self.burst {
            self.exhausted = true;
            return false;
        }
        self.all_at = Some(all_at);
        true
    }

    /// A connection lasts: it is not one of many.
    pub fn handle_calm(&mut self) {
        self.exhausted = false;
    }

    /// Whether none was left, and not half of them was regained since.
    pub fn is_exhausted(&mut self, now: Instant) -> bool {
        let calm_at = REGAINED_EVERY * (self.burst / 2);
        self.exhausted &= self.all_at.is_some_and(|at| at > now + calm_at);
        self.exhausted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_follow_at_once_and_then_one_a_second() {
        let start = Instant::now();
        let mut haste = Haste::new(BURST);
        assert!((0..BURST).all(|_| haste.spend(start, 0)));
        assert!(!haste.is_exhausted(start));
        assert!(!haste.spend(start, 0) && haste.is_exhausted(start));
        let later = start + REGAINED_EVERY;
        assert!(haste.spend(later, BYTES_MUCH - 1));
        assert!(!haste.spend(later, BYTES_MUCH - 1));
    }

    #[test]
    fn one_that_brought_much_costs_nothing() {
        let start = Instant::now();
        let mut haste = Haste::new(BURST);
        assert!((0..10 * BURST).all(|_| haste.spend(start, BYTES_MUCH)));
        assert!(haste.spend(start, 0));
    }

    #[test]
    fn it_is_calm_again_when_half_is_regained() {
        let start = Instant::now();
        let mut haste = Haste::new(BURST);
        while haste.spend(start, 0) {}
        let half = REGAINED_EVERY * (BURST / 2);
        assert!(haste.is_exhausted(start + half - Duration::from_millis(1)));
        assert!(!haste.is_exhausted(start + half));
        assert!(!haste.is_exhausted(start));
        assert!(!haste.spend(start, 0) && haste.is_exhausted(start));
        haste.handle_calm();
        assert!(!haste.is_exhausted(start));
    }
}
