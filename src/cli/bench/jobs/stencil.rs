//! A five-point stencil over a grid of cells: the sum of four neighbours less four times the cell. Cells at the edge stay.

use super::whole;
use crate::cli::bench::job::{Job, Memory};

/// Cells in a row.
const WIDTH: usize = 2048;
/// Rows on a software adapter.
const HEIGHT: usize = 1024;
/// Cells in a row and rows of a workgroup.
const TILE: usize = 16;

/// The job, `scale` times as large.
#[must_use]
pub fn job(scale: usize, seed: u64) -> Job {
    sized(WIDTH, HEIGHT * scale, seed)
}

/// The job over `height` rows of `width` cells.
#[must_use]
pub fn sized(width: usize, height: usize, seed: u64) -> Job {
    let before = whole(seed, 0x7301, width * height, 1 << 8);
    let mut after = before.clone();
    for y in 1..height.saturating_sub(1) {
        let row = |y: usize| &before[y * width..][..width];
        let (above, here, below) = (row(y - 1), row(y), row(y + 1));
        for x in 1..width.saturating_sub(1) {
            after[y * width + x] = above[x] + below[x] + here[x - 1] + here[x + 1] - 4.0 * here[x];
        }
    }
    let size = [width as u32, height as u32];
    Job {
        name: "stencil",
        source: include_str!("stencil.wgsl"),
        memory: vec![
            Memory::input("before", &before),
            Memory::result("after", &after),
        ],
        uniform: Some(("size", bytemuck::bytes_of(&size).to_vec())),
        grid: [width.div_ceil(TILE) as u32, height.div_ceil(TILE) as u32, 1],
        traffic: 8 * (width * height) as u64,
    }
}
