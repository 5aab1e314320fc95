//! A one-dimensional convolution: each result is a weighted sum of 17 neighbours, the weights in a uniform.

use super::{LANES, rows, whole};
use crate::cli::bench::job::{Job, Memory};

/// Results on a software adapter.
const LEN: usize = 2 << 20;
/// Weights, as the WGSL has it. A result needs so many elements, so there are `TAPS - 1` more of them than results.
pub const TAPS: usize = 17;
/// Whole, so that results are exact; not symmetric, so that a mirrored sum is noticed.
const WEIGHTS: [f32; TAPS] = [
    1.0, 2.0, 4.0, 7.0, 11.0, 16.0, 22.0, 29.0, 31.0, 30.0, 23.0, 17.0, 12.0, 8.0, 5.0, 3.0, 1.0,
];

/// The job, `scale` times as large.
#[must_use]
pub fn job(scale: usize, seed: u64) -> Job {
    sized(LEN * scale, seed)
}

/// The job with `len` results.
#[must_use]
pub fn sized(len: usize, seed: u64) -> Job {
    let source = whole(seed, 0x6301, len + TAPS - 1, 1 << 8);
    let to: Vec<f32> = source
        .windows(TAPS)
        .map(|window| window.iter().zip(&WEIGHTS).map(|(f, w)| f * w).sum())
        .collect();
    Job {
        name: "conv1d",
        source: include_str!("conv1d.wgsl"),
        memory: vec![Memory::input("source", &source), Memory::result("to", &to)],
        uniform: Some(("weights", uniform())),
        grid: rows(len.div_ceil(LANES)),
        traffic: 8 * len as u64,
    }
}

/// The weights, four to a vector as uniforms want arrays.
fn uniform() -> Vec<u8> {
    let mut padded = WEIGHTS.to_vec();
    padded.resize(TAPS.next_multiple_of(4), 0.0);
    bytemuck::cast_slice(&padded).to_vec()
}
