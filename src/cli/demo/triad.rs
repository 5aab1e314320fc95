//! `triad`: a stream over three arrays, each byte used once. Its footprint is known without asking the device.
//!
//! Inputs are whole numbers below 2^20 and the scale is 3, so every result is exact however a driver evaluates it.

use super::verify::{Comparison, Mismatch, Verified};
use crate::cli::progress::Progress;
use crate::cli::seeded::Seeded;

/// The kernel.
pub const SOURCE: &str = include_str!("triad.wgsl");
/// Its entry point.
pub const ENTRY: &str = "triad";
/// The factor: the uniform `scale`.
pub const SCALE: f32 = 3.0;
/// Data when nobody says how much.
pub const DEFAULT_BYTES: u64 = 128 << 20;

const LANES: u64 = 256;
/// Bytes of each array that one workgroup touches.
pub const GROUP_BYTES: u64 = LANES * 4;
const PIECE: usize = 1 << 18;

/// How large the arrays are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Triad {
    /// Elements in each.
    pub len: usize,
}

impl Triad {
    /// As many elements as fit in so many bytes; at least one.
    #[must_use]
    pub fn sized(bytes: u64) -> Self {
        // An index is 32 bits wide.
        Self {
            len: (bytes / 12).clamp(1, u64::from(u32::MAX)) as usize,
        }
    }

    /// Bytes of all arrays.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.len as u64 * 12
    }

    /// Workgroups to launch.
    #[must_use]
    pub const fn grid(self) -> [u32; 3] {
        [(self.len as u64).div_ceil(LANES) as u32, 1, 1]
    }
}

fn value(stream: Seeded, index: usize) -> f32 {
    (stream.at(index as u64) >> 44) as f32
}

const fn streams(seed: u64) -> (Seeded, Seeded) {
    (Seeded::new(seed, 0x6200), Seeded::new(seed, 0x6300))
}

/// Fills the inputs.
pub fn fill(b: &mut [f32], c: &mut [f32], seed: u64, progress: &Progress) {
    let (stream_b, stream_c) = streams(seed);
    for (array, stream) in [(b, stream_b), (c, stream_c)] {
        let mut index = 0;
        for piece in array.chunks_mut(PIECE) {
            for element in &mut *piece {
                *element = value(stream, index);
                index += 1;
            }
            progress.advance(size_of_val(piece) as u64);
        }
    }
}

/// Compares `a` with a computation on inputs made again from the seed, and the inputs with what they were.
///
/// # Errors
/// When one element is not what it should be.
pub fn verify(
    a: &[f32],
    b: &[f32],
    c: &[f32],
    seed: u64,
    progress: &Progress,
) -> Result<Verified, Mismatch> {
    let (stream_b, stream_c) = streams(seed);
    let mut results = Comparison::new("a", 0.0);
    for piece in a.chunks(PIECE) {
        let first = results.compared();
        for (offset, got) in piece.iter().enumerate() {
            let index = first + offset;
            results.float(
                *got,
                value(stream_b, index) + SCALE * value(stream_c, index),
            );
        }
        progress.advance(size_of_val(piece) as u64);
    }
    let verified = results.finish(a.len().max(b.len()).max(1))?;
    for (name, array, stream) in [("b", b, stream_b), ("c", c, stream_c)] {
        let mut inputs = Comparison::new(name, 0.0);
        for piece in array.chunks(PIECE) {
            let first = inputs.compared();
            for (offset, got) in piece.iter().enumerate() {
                inputs.float(*got, value(stream, first + offset));
            }
            progress.advance(size_of_val(piece) as u64);
        }
        inputs.finish(a.len())?;
    }
    Ok(verified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_result_is_verified_and_a_wrong_element_is_found() {
        let triad = Triad::sized(12 * 1000);
        assert_eq!(
            (triad.len, triad.bytes(), triad.grid()),
            (1000, 12_000, [4, 1, 1])
        );
        let (mut b, mut c) = (vec![0.0; 1000], vec![0.0; 1000]);
        fill(&mut b, &mut c, 5, &Progress::hidden());
        assert!(b != c && b.iter().all(|x| x.fract() == 0.0 && *x < 1_048_576.0));
        let mut a: Vec<f32> = (0..1000).map(|i| 3.0_f32.mul_add(c[i], b[i])).collect();
        assert_eq!(
            verify(&a, &b, &c, 5, &Progress::hidden()),
            Ok(Verified::Exact)
        );
        assert!(verify(&a, &b, &c, 6, &Progress::hidden()).is_err());
        a[700] += 1.0;
        let mismatch = verify(&a, &b, &c, 5, &Progress::hidden()).unwrap_err();
        assert_eq!(
            (mismatch.what, mismatch.index, mismatch.differing),
            ("a", 700, 1)
        );
        a[700] -= 1.0;
        c[3] += 1.0;
        assert_eq!(
            verify(&a, &b, &c, 5, &Progress::hidden()).unwrap_err().what,
            "c"
        );
        assert!(verify(&a[..999], &b, &c, 5, &Progress::hidden()).is_err());
        assert!(verify(&[], &[], &[], 5, &Progress::hidden()).is_err());
    }

    #[test]
    fn sizes_stay_within_an_index_and_above_nothing() {
        assert_eq!(Triad::sized(0).len, 1);
        assert_eq!(Triad::sized(u64::MAX).len, u32::MAX as usize);
        assert_eq!(Triad::sized(DEFAULT_BYTES).grid()[0], 43_691);
    }
}
