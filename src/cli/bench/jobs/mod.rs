//! The kernels that are measured, each with its data and an independent computation of its results.
//!
//! Every one is a file of Rust and one of WGSL. `job(scale, seed)` is the job as P1, P2 and P4 run it, some 10 to 50 ms of work on
//! a software adapter where `scale` is 1; `sized` makes it of any size. All numbers are whole and small enough that float
//! sums and products are exact in any order: results are compared bit for bit.
//!
//! Where a vector could have more than 65,535 workgroups of elements (the most that plain wgpu dispatches in a dimension), the
//! workgroups stand in rows of [`ROW`]: both sides run the same grid.

pub mod conv1d;
pub mod gather;
pub mod gemm;
pub mod histogram;
pub mod radix;
pub mod saxpy;
pub mod spmv;
pub mod stencil;
#[cfg(test)]
mod tests;
pub mod triad;

use super::job::Job;
use crate::cli::seeded::Seeded;

/// Invocations in a workgroup of the kernels over vectors.
pub const LANES: usize = 256;

/// Workgroups in a row of the grid of a kernel over vectors; its WGSL has the same number.
const ROW: usize = 1024;

/// The jobs of P1, P2 and P4, `scale` times as large as on a software adapter.
#[must_use]
pub fn standard(scale: usize, seed: u64) -> Vec<Job> {
    vec![
        saxpy::job(scale, seed),
        stencil::job(scale, seed),
        gemm::job(scale, seed),
        spmv::job(scale, seed),
        histogram::job(scale, seed),
        radix::job(scale, seed),
    ]
}

/// The grid of so many workgroups in rows; the last row may be longer than it needs to be.
pub const fn rows(groups: usize) -> [u32; 3] {
    if groups <= ROW {
        [groups as u32, 1, 1]
    } else {
        [ROW as u32, groups.div_ceil(ROW) as u32, 1]
    }
}

/// Whole numbers below `below`, from a stream of the seed.
fn whole(seed: u64, stream: u64, len: usize, below: u64) -> Vec<f32> {
    let stream = Seeded::new(seed, stream);
    (0..len as u64)
        .map(|i| (((stream.at(i) >> 32) * below) >> 32) as f32)
        .collect()
}

/// 32-bit words, from a stream of the seed.
fn words(seed: u64, stream: u64, len: usize) -> Vec<u32> {
    let stream = Seeded::new(seed, stream);
    (0..len as u64)
        .map(|i| (stream.at(i) >> 32) as u32)
        .collect()
}
