//! `a = b + s * c`, the triad of the STREAM benchmark: two streams in, one out.

use super::{LANES, rows, whole};
use crate::cli::bench::job::{Job, Memory};

/// Elements on a software adapter.
const LEN: usize = 4 << 20;
/// Whole, so that results are exact.
const S: f32 = 3.0;

/// The job, `scale` times as large.
#[must_use]
pub fn job(scale: usize, seed: u64) -> Job {
    sized(LEN * scale, seed)
}

/// The job over vectors of `len` elements.
#[must_use]
pub fn sized(len: usize, seed: u64) -> Job {
    let (b, c) = (
        whole(seed, 0x7401, len, 1 << 16),
        whole(seed, 0x7402, len, 1 << 16),
    );
    let a: Vec<f32> = b.iter().zip(&c).map(|(b, c)| b + S * c).collect();
    Job {
        name: "triad",
        source: include_str!("triad.wgsl"),
        memory: vec![
            Memory::result("a", &a),
            Memory::input("b", &b),
            Memory::input("c", &c),
        ],
        uniform: Some(("s", bytemuck::bytes_of(&S).to_vec())),
        grid: rows(len.div_ceil(LANES)),
        traffic: 12 * len as u64,
    }
}
