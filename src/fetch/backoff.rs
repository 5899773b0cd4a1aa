//! How long to wait before the next try.

use std::time::Duration;

/// Longest wait between two tries.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Waits that double from the configured one up to [`WAIT_MAX`], each made up to a quarter longer by
/// chance, so that a thousand sources of a host that was down don't all come back at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    failures: u32,
    chance: u64,
}

impl Backoff {
    /// Begins with `first`; `seed` makes the chance, and differs from source to source.
    pub fn new(first: Duration, seed: u64) -> Backoff {
        Backoff { first, failures: 0, chance: seed | 1 }
    }

    /// How long to wait after one more failure.
    pub fn fail(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        // xorshift: no more is needed to spread tries.
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let wait = doubled.min(WAIT_MAX.max(self.first));
        wait + wait.mul_f64((self.chance % 1000) as f64 / 4000.0)
    }

    /// It works again.
    pub fn succeed(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(5), 42);
        for base in [5, 10, 20, 40, 60, 60] {
            let wait = backoff.fail().as_secs_f64();
            assert!((base as f64..=base as f64 * 1.25).contains(&wait), "{base}: {wait}");
        }
        backoff.succeed();
        assert!(backoff.fail() < Duration::from_secs(7));
    }
}
