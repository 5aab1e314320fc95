//! Chance from a seed (splitmix64): the same seed is the same kernel, everywhere.

/// A sequence of random numbers.
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// Less than `n`, as a word.
    pub fn word(&mut self, n: u32) -> u32 {
        self.below(u64::from(n)) as u32
    }

    /// From `lo` to `hi`, both included.
    pub fn within(&mut self, lo: u32, hi: u32) -> u32 {
        lo + self.word(hi - lo + 1)
    }

    /// True `percent` times of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    /// One of the given, each as often as its weight says.
    pub fn weighted<T: Clone>(&mut self, of: &[(u32, T)]) -> T {
        let all: u32 = of.iter().map(|(weight, _)| weight).sum();
        let mut at = self.word(all);
        for (weight, what) in of {
            if at < *weight {
                return what.clone();
            }
            at -= weight;
        }
        of[0].1.clone()
    }
}
