//! `histogram`: how often each byte occurs. The input is a stream; the bins are shared by all workgroups through atomics.

use std::io::Read;
use std::path::Path;

use super::verify::{Comparison, Mismatch, Verified};
use crate::cli::progress::Progress;
use crate::cli::seeded::Seeded;
use crate::cli::stream::{self, StreamError};

/// The kernel.
pub const SOURCE: &str = include_str!("histogram.wgsl");
/// Its entry point.
pub const ENTRY: &str = "histogram";
/// Data when nobody says how much.
pub const DEFAULT_BYTES: u64 = 256 << 20;
/// The most bytes that 32-bit bins can count, whatever they are.
pub const MOST_BYTES: u64 = u32::MAX as u64;
/// Byte values.
pub const BINS: usize = 256;

/// Bytes that one workgroup counts.
pub const GROUP_BYTES: u64 = 64 << 10;
const PIECE: usize = 1 << 18;

/// More data than 32-bit bins can count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes are more than 32-bit bins can count: give at most {MOST_BYTES}")]
pub struct TooLong {
    /// Bytes given.
    pub bytes: u64,
}

/// Words that hold so many bytes.
#[must_use]
pub const fn words(bytes: u64) -> usize {
    bytes.div_ceil(4) as usize
}

/// Workgroups to launch.
#[must_use]
pub const fn grid(bytes: u64) -> [u32; 3] {
    [bytes.div_ceil(GROUP_BYTES) as u32, 1, 1]
}

/// The data's word of a number: two random words, of which a bit is set where both have it, so that bytes are not equally frequent.
fn word(stream: Seeded, index: usize) -> u32 {
    let value = stream.at(index as u64);
    value as u32 & (value >> 32) as u32
}

const fn stream_of(seed: u64) -> Seeded {
    Seeded::new(seed, 0x6869_7374)
}

/// Fills words with random bytes.
pub fn fill(words: &mut [u32], seed: u64, progress: &Progress) {
    let stream = stream_of(seed);
    let mut index = 0;
    for piece in words.chunks_mut(PIECE) {
        for element in &mut *piece {
            *element = word(stream, index);
            index += 1;
        }
        progress.advance(size_of_val(piece) as u64);
    }
}

/// How often each byte occurs, counted on the CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts([u64; BINS]);

impl Counts {
    /// Of the first `bytes` bytes of the random data of a seed, made again.
    #[must_use]
    pub fn of_seed(seed: u64, bytes: u64, progress: &Progress) -> Self {
        let stream = stream_of(seed);
        let mut counts = Self([0; BINS]);
        let mut left = bytes;
        for index in 0..words(bytes) {
            let here = left.min(4);
            counts.add(&word(stream, index).to_le_bytes()[..here as usize]);
            left -= here;
            if index % PIECE == PIECE - 1 {
                progress.advance(4 * PIECE as u64);
            }
        }
        counts
    }

    /// Of `bytes` bytes of a file, read by themselves.
    ///
    /// # Errors
    /// When the file cannot be read, or is shorter.
    pub fn of_file(
        path: &Path,
        file: &mut impl Read,
        bytes: u64,
        progress: &Progress,
    ) -> Result<Self, StreamError> {
        let mut counts = Self([0; BINS]);
        stream::pieces(path, file, bytes, progress, |piece| counts.add(piece))?;
        Ok(counts)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0[usize::from(*byte)] += 1;
        }
    }

    /// Compares bins with these counts.
    ///
    /// # Errors
    /// When one differs.
    pub fn verify(&self, bins: &[u32]) -> Result<Verified, Mismatch> {
        let mut comparison = Comparison::new("bins", 0.0);
        for (got, want) in bins.iter().zip(self.0) {
            comparison.integer(u64::from(*got), want);
        }
        comparison.finish(BINS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_small_file_are_counted() {
        let counts = Counts::of_file(
            Path::new("f"),
            &mut b"abracadabra".as_slice(),
            11,
            &Progress::hidden(),
        )
        .unwrap();
        let of = |byte: u8| counts.0[usize::from(byte)];
        assert_eq!(
            (of(b'a'), of(b'b'), of(b'r'), of(b'c'), of(b'd'), of(b'z')),
            (5, 2, 2, 1, 1, 0)
        );
        assert!(
            Counts::of_file(
                Path::new("f"),
                &mut b"abc".as_slice(),
                4,
                &Progress::hidden()
            )
            .is_err()
        );
        let mut bins = counts.0.map(|count| count as u32);
        assert_eq!(counts.verify(&bins), Ok(Verified::Exact));
        assert!(counts.verify(&bins[..255]).is_err());
        bins[98] += 1;
        assert_eq!(counts.verify(&bins).unwrap_err().index, 98);
    }

    #[test]
    fn random_data_made_again_are_the_same() {
        let bytes = 4 * 1000 + 3;
        let mut data = vec![0; words(bytes)];
        fill(&mut data, 9, &Progress::hidden());
        let flat: Vec<u8> = data.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!((data.len(), flat.len()), (1001, 4004));
        let counted = Counts::of_file(
            Path::new("f"),
            &mut flat.as_slice(),
            bytes,
            &Progress::hidden(),
        )
        .unwrap();
        assert_eq!(counted, Counts::of_seed(9, bytes, &Progress::hidden()));
        assert_ne!(counted, Counts::of_seed(8, bytes, &Progress::hidden()));
        assert_eq!(counted.0.iter().sum::<u64>(), bytes);
        // Most bits are clear, so low bytes are the frequent ones.
        assert!(counted.0[0] > 20 * counted.0[255].max(1));
    }

    #[test]
    fn every_byte_has_a_workgroup() {
        assert_eq!(grid(1), [1, 1, 1]);
        assert_eq!(grid(65_536), [1, 1, 1]);
        assert_eq!(grid(65_537), [2, 1, 1]);
        assert_eq!(grid(DEFAULT_BYTES), [4096, 1, 1]);
        assert_eq!(grid(MOST_BYTES), [65_536, 1, 1]);
    }
}
