//! `y = a * x + y`: two loads and a store for each multiplication, in order.

use super::{LANES, rows, whole};
use crate::cli::bench::job::{Job, Memory};

/// Elements on a software adapter.
const LEN: usize = 4 << 20;
/// Whole, so that results are exact.
const A: f32 = 3.0;

/// The job, `scale` times as large.
#[must_use]
pub fn job(scale: usize, seed: u64) -> Job {
    sized(LEN * scale, seed)
}

/// The job over vectors of `len` elements.
#[must_use]
pub fn sized(len: usize, seed: u64) -> Job {
    let (x, y) = (
        whole(seed, 0x7801, len, 1 << 16),
        whole(seed, 0x7802, len, 1 << 16),
    );
    let after: Vec<f32> = x.iter().zip(&y).map(|(x, y)| A * x + y).collect();
    Job {
        name: "saxpy",
        source: include_str!("saxpy.wgsl"),
        memory: vec![Memory::input("x", &x), Memory::output("y", &y, &after)],
        uniform: Some(("a", bytemuck::bytes_of(&A).to_vec())),
        grid: rows(len.div_ceil(LANES)),
        traffic: 12 * len as u64,
    }
}
