//! A histogram of 256 bins: each workgroup counts 4096 words in workgroup memory and adds its counts by global atomics.

use super::{LANES, rows, words};
use crate::cli::bench::job::{Job, Memory};

/// Words on a software adapter.
const LEN: usize = 4 << 20;
/// Bins; a word's is its highest byte.
const BINS: usize = 256;
/// Words for each invocation.
const EACH: usize = 16;

/// The job, `scale` times as large.
#[must_use]
pub fn job(scale: usize, seed: u64) -> Job {
    sized(LEN * scale, seed)
}

/// The job over `len` words.
#[must_use]
pub fn sized(len: usize, seed: u64) -> Job {
    let data = words(seed, 0x6801, len);
    let mut bins = [0u32; BINS];
    for word in &data {
        bins[(word >> 24) as usize] += 1;
    }
    Job {
        name: "histogram",
        source: include_str!("histogram.wgsl"),
        memory: vec![
            Memory::input("data", &data),
            Memory::output("bins", &[0u32; BINS], &bins),
        ],
        uniform: None,
        grid: rows(len.div_ceil(LANES * EACH)),
        traffic: 4 * len as u64,
    }
}
