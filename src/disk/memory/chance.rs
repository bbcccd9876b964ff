//! `Chance`: which of the things that were not synced survive a power cut.

/// The dice of one crash image.
pub(super) struct Chance {
    random: u64,
    /// How many of 256 unsynced sectors survive, on average.
    keep: u64,
}

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        let keep = match seed {
            0 => 0,
            1 => 256,
            _ if seed.is_multiple_of(3) => 32,
            _ if seed % 3 == 1 => 224,
            _ => 128,
        };
        Self { random: seed, keep }
    }

    /// `SplitMix64`: small, and good enough to lose sectors with.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn survives(&mut self) -> bool {
        self.next() % 256 < self.keep
    }

    /// How many of `count` ordered changes survive.
    pub(super) fn part_of(&mut self, count: usize) -> usize {
        match self.keep {
            0 => 0,
            256 => count,
            _ => (self.next() % (count as u64 + 1)) as usize,
        }
    }
}
