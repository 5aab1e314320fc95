//! Seeded data that any element of can be made again at will, in any order.
//!
//! A counter through splitmix64's mixing function: element `i` depends on the seed, the stream and `i` alone, so a
//! reference computation makes its inputs again instead of reading back the memory that is being verified.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of 64-bit values with random access.
#[derive(Clone, Copy, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// The stream numbered `stream` of a seed; different streams are unrelated.
    #[must_use]
    pub const fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed ^ mix(stream.wrapping_add(GOLDEN))))
    }

    /// The `index`th value.
    #[must_use]
    pub const fn at(self, index: u64) -> u64 {
        mix(self.0.wrapping_add(index.wrapping_mul(GOLDEN)))
    }
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_function_of_seed_stream_and_index() {
        let a = Seeded::new(7, 0);
        assert_eq!(a.at(12), Seeded::new(7, 0).at(12));
        assert_ne!(a.at(12), a.at(13));
        assert_ne!(a.at(12), Seeded::new(7, 1).at(12));
        assert_ne!(a.at(12), Seeded::new(8, 0).at(12));
    }

    #[test]
    fn bits_are_set_half_of_the_time() {
        let stream = Seeded::new(0, 0);
        let ones: u32 = (0..4096).map(|i| stream.at(i).count_ones()).sum();
        assert!((ones as i64 - 4096 * 32).abs() < 2000, "{ones}");
    }
}
