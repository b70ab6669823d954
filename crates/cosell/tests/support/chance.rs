//! Seeded chance: the same seed, the same test.

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Chance that follows from this seed.
    pub fn from_seed(seed: u64) -> Chance {
        Chance(seed)
    }

    /// Chance whose seed follows from this one's.
    pub fn branch(&mut self) -> Chance {
        Chance(self.next())
    }

    /// Sixty-four bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound that is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, times: u64) -> bool {
        self.below(100) < times
    }

    /// A GUID.
    pub fn guid(&mut self) -> String {
        let bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
    }
}

/// A number from the environment, where the long run sets it.
pub fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?;
    let number = text.to_str().and_then(|text| text.parse().ok());
    Some(number.unwrap_or_else(|| panic!("{name} is not a number: {text:?}")))
}

/// A seed: the one of `COSELL_TEST_SEED`, or another at every run. Printed, so that a failure can be repeated.
#[expect(clippy::print_stdout, reason = "the test harness shows it when the test fails")]
pub fn seed() -> u64 {
    let fresh = || {
        let mut bytes = [0; 8];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
        u64::from_be_bytes(bytes)
    };
    let seed = number_from_environment("COSELL_TEST_SEED").unwrap_or_else(fresh);
    println!("repeat this run with COSELL_TEST_SEED={seed}");
    seed
}
