//! Chance that can be had again.
#![allow(dead_code)] // Each test binary uses its part of it.

/// A number from the environment.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The seed of a run, which is told: that of FETCHLOGS_SEED, or another each time.
pub fn seed() -> u64 {
    let seed = number("FETCHLOGS_SEED", u64::from(std::process::id()));
    eprintln!("FETCHLOGS_SEED={seed}");
    seed
}

/// Xorshift: chance that is the same for the same seed.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}
