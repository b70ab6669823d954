//! A reproducible random number generator: SplitMix64, seeded with a number.

/// A sequence of numbers that depends only on its seed.
#[derive(Debug, Clone)]
pub struct SeededRandom(u64);

/// 2^64 divided by the golden ratio, odd: the step of SplitMix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl SeededRandom {
    /// Creates the sequence of a number. `purpose` selects one of several sequences of the same number.
    pub fn new(number: u64, purpose: u64) -> SeededRandom {
        let mut seed = SeededRandom(number.wrapping_mul(STEP) ^ purpose.wrapping_mul(0xd1b5_4a32_d192_ed03));
        SeededRandom(seed.next())
    }

    /// Returns the next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `limit`, which is at least 1.
    pub fn below(&mut self, limit: usize) -> usize {
        // The high half of the product is distributed evenly enough, and needs no division.
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }

    /// Returns a number from `first` to `last`, both included.
    pub fn between(&mut self, first: i64, last: i64) -> i64 {
        first + self.below((last - first + 1) as usize) as i64
    }

    /// Returns one of these; there is at least one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Returns one of these words; there is at least one.
    pub fn word(&mut self, from: &[&'static str]) -> &'static str {
        self.pick::<&str>(from)
    }

    /// Returns `true` once in the given number of times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Returns ten random bytes for an identifier.
    pub fn bytes(&mut self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next().to_be_bytes()[..2]);
        bytes
    }
}
