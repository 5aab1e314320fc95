//! `c = a * b`, by tiles of 16 x 16 in workgroup memory: each element is loaded once for 16 uses.

use super::whole;
use crate::cli::bench::job::{Job, Memory};

/// Rows and columns of square matrices on a software adapter.
const SIDE: usize = 192;
/// Rows and columns of a tile, which a workgroup makes.
const TILE: usize = 16;

/// The job with the square of `scale` times as many multiplications: at these, GPUs are faster than software by far more than at
/// moving memory.
#[must_use]
pub fn job(scale: usize, seed: u64) -> Job {
    let factor = (scale as f64).powf(2.0 / 3.0);
    let side = (SIDE as f64 * factor).round() as usize / TILE * TILE;
    sized(side, side, side, seed)
}

/// The job with so many rows and columns of the result and so many elements in each sum, all multiples of 16.
#[must_use]
pub fn sized(rows: usize, columns: usize, inner: usize, seed: u64) -> Job {
    let (a, b) = (
        whole(seed, 0x6d01, rows * inner, 16),
        whole(seed, 0x6d02, inner * columns, 16),
    );
    let mut c = vec![0.0f32; rows * columns];
    if inner > 0 && columns > 0 {
        for (row, sums) in a.chunks_exact(inner).zip(c.chunks_exact_mut(columns)) {
            for (&factor, line) in row.iter().zip(b.chunks_exact(columns)) {
                for (sum, &value) in sums.iter_mut().zip(line) {
                    *sum += factor * value;
                }
            }
        }
    }
    let tiles = |elements: usize| elements.div_ceil(TILE) as u32;
    let size = [inner as u32, columns as u32];
    Job {
        name: "gemm",
        source: include_str!("gemm.wgsl"),
        memory: vec![
            Memory::input("a", &a),
            Memory::input("b", &b),
            Memory::result("c", &c),
        ],
        uniform: Some(("size", bytemuck::bytes_of(&size).to_vec())),
        grid: [tiles(columns), tiles(rows), 1],
        traffic: 4 * (rows * inner + inner * columns + rows * columns) as u64,
    }
}

/// The most pages that a workgroup touches: a tile's rows of `a` and of `c`, and of `b` a part of every row.
#[must_use]
pub fn widest(job: &Job, page_bytes: u64) -> u64 {
    let bytes = |binding: usize| job.memory[binding].before.len() as u64;
    let rows = u64::from(job.grid[1]) * TILE as u64;
    let tile = |binding: usize| (bytes(binding) / rows * TILE as u64).div_ceil(page_bytes) + 1;
    tile(0) + tile(2) + bytes(1).div_ceil(page_bytes) + 1
}
