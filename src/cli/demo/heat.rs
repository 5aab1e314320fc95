//! `heat`: a Jacobi iteration between two grids, so that the same pages are used again and again.
//!
//! Temperatures begin as whole numbers below 256, and each step divides by 4: every one of the first eight steps is exact
//! in 24 bits, in whatever order a driver adds. The reference goes through the plate once, all steps at a time, with three rows in
//! hand for each step: it needs no grid of its own and shares nothing with the kernel.

use super::verify::{Comparison, Mismatch, Verified};
use crate::cli::progress::Progress;
use crate::cli::seeded::Seeded;

/// The kernel.
pub const SOURCE: &str = include_str!("heat.wgsl");
/// Its entry point.
pub const ENTRY: &str = "heat";
/// Data when nobody says how much.
pub const DEFAULT_BYTES: u64 = 64 << 20;
/// Steps: even, so that the last grid written is the first one.
pub const STEPS: u32 = 4;

const SIDE: u64 = 16;

/// A plate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plate {
    /// Cells in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Plate {
    /// The plate whose two grids fill so many bytes: at least 16 by 3, and about as high as it is wide.
    #[must_use]
    pub fn sized(bytes: u64) -> Self {
        // An index is 32 bits wide.
        let cells = (bytes / 8).clamp(48, u64::from(u32::MAX) / 2);
        let width = cells.isqrt().next_power_of_two().clamp(16, cells / 3);
        Self {
            width: width as usize,
            height: (cells / width) as usize,
        }
    }

    /// Cells in a grid.
    #[must_use]
    pub const fn cells(self) -> usize {
        self.width * self.height
    }

    /// Bytes of both grids.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.cells() as u64 * 8
    }

    /// The uniform `plate`.
    #[must_use]
    pub const fn uniform(self) -> [u32; 2] {
        [self.width as u32, self.height as u32]
    }

    /// Workgroups to launch.
    #[must_use]
    pub const fn grid(self) -> [u32; 3] {
        [
            (self.width as u64).div_ceil(SIDE) as u32,
            (self.height as u64).div_ceil(SIDE) as u32,
            1,
        ]
    }

    fn first(self, seed: u64, row: usize, into: &mut [f32]) {
        let stream = Seeded::new(seed, 0x6865_6174);
        let first = (row * self.width) as u64;
        for (index, cell) in (first..).zip(into) {
            *cell = (stream.at(index) >> 56) as f32;
        }
    }
}

/// Fills the first grid.
pub fn fill(grid: &mut [f32], plate: Plate, seed: u64, progress: &Progress) {
    for (index, row) in grid.chunks_mut(plate.width).enumerate() {
        plate.first(seed, index, row);
        progress.advance(size_of_val(row) as u64);
    }
}

/// Compares the last grid with a computation from the seed.
///
/// # Errors
/// When one cell is not what it should be.
pub fn verify(
    grid: &[f32],
    plate: Plate,
    steps: u32,
    seed: u64,
    progress: &Progress,
) -> Result<Verified, Mismatch> {
    let mut cells = Comparison::new("heat", if steps > 8 { 1e-5 } else { 0.0 });
    let mut rows = grid.chunks(plate.width);
    reference(plate, steps, seed, |want| {
        let got = rows.next().unwrap_or_default();
        for (got, want) in got.iter().zip(want) {
            cells.float(*got, *want);
        }
        progress.advance(size_of_val(got) as u64);
    });
    cells.finish(plate.cells())
}

/// Calls `row` with every row of the plate after `steps` steps, from the top.
fn reference(plate: Plate, steps: u32, seed: u64, mut row: impl FnMut(&[f32])) {
    let steps = steps as usize;
    // Of each step the three rows made last, by their number modulo three.
    let mut recent = vec![[(); 3].map(|()| vec![0.0; plate.width]); steps + 1];
    let mut made = vec![0.0; plate.width];
    for tick in 0..plate.height + steps {
        // Step k is k rows behind the first grid, so the row below the one it makes was made in this same tick.
        for step in 0..=steps {
            let Some(y) = tick.checked_sub(step).filter(|y| *y < plate.height) else {
                continue;
            };
            if step == 0 {
                plate.first(seed, y, &mut made);
            } else {
                let before = &recent[step - 1];
                relax(
                    plate,
                    y,
                    [&before[(y + 2) % 3], &before[y % 3], &before[(y + 1) % 3]],
                    &mut made,
                );
            }
            std::mem::swap(&mut recent[step][y % 3], &mut made);
        }
        if let Some(y) = tick.checked_sub(steps) {
            row(&recent[steps][y % 3]);
        }
    }
}

/// One row of a step, from the row above, the same row and the row below.
fn relax(plate: Plate, y: usize, [above, same, below]: [&[f32]; 3], made: &mut [f32]) {
    made.copy_from_slice(same);
    if y == 0 || y == plate.height - 1 {
        return;
    }
    for x in 1..plate.width - 1 {
        made[x] = (same[x - 1] + same[x + 1] + above[x] + below[x]) / 4.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by two whole grids, as the kernel does it.
    fn whole(plate: Plate, steps: u32, seed: u64) -> Vec<f32> {
        let mut before = vec![0.0; plate.cells()];
        fill(&mut before, plate, seed, &Progress::hidden());
        for _ in 0..steps {
            let mut after = before.clone();
            for y in 1..plate.height - 1 {
                for x in 1..plate.width - 1 {
                    let i = y * plate.width + x;
                    let vertical = before[i - plate.width] + before[i + plate.width];
                    after[i] = 0.25 * (vertical + (before[i - 1] + before[i + 1]));
                }
            }
            before = after;
        }
        before
    }

    #[test]
    fn rows_in_passing_are_the_same_as_whole_grids() {
        for (width, height) in [(16, 3), (17, 5), (64, 40), (3, 3)] {
            let plate = Plate { width, height };
            for steps in 0..=8 {
                let grid = whole(plate, steps, 2);
                let verified = verify(&grid, plate, steps, 2, &Progress::hidden());
                assert_eq!(
                    verified,
                    Ok(Verified::Exact),
                    "{width} x {height}, {steps} steps"
                );
            }
        }
    }

    #[test]
    fn a_cell_becomes_the_mean_of_its_neighbours() {
        let plate = Plate {
            width: 3,
            height: 3,
        };
        let mut made = [0.0; 3];
        relax(
            plate,
            1,
            [&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], &[7.0, 8.0, 9.0]],
            &mut made,
        );
        assert_eq!(made, [4.0, 5.0, 6.0]);
        relax(
            plate,
            1,
            [&[0.0, 8.0, 0.0], &[1.0, 5.0, 3.0], &[0.0; 3]],
            &mut made,
        );
        assert_eq!(made, [1.0, 3.0, 3.0]);
    }

    #[test]
    fn a_wrong_cell_and_a_missing_row_are_found() {
        let plate = Plate {
            width: 20,
            height: 9,
        };
        let mut grid = whole(plate, 4, 7);
        assert!(
            verify(&grid, plate, 3, 7, &Progress::hidden()).is_err(),
            "one step too few"
        );
        assert!(
            verify(&grid[..160], plate, 4, 7, &Progress::hidden()).is_err(),
            "a row is missing"
        );
        grid[45] += 1.0 / 256.0;
        assert_eq!(
            verify(&grid, plate, 4, 7, &Progress::hidden())
                .unwrap_err()
                .index,
            45
        );
    }

    #[test]
    fn a_plate_fills_its_bytes() {
        for bytes in [0, 1000, 1 << 20, DEFAULT_BYTES, 1 << 33, u64::MAX] {
            let plate = Plate::sized(bytes);
            assert!(plate.width >= 16 && plate.height >= 3, "{plate:?}");
            assert!(
                plate.bytes() <= bytes.max(384) && plate.cells() <= u32::MAX as usize,
                "{plate:?}"
            );
            if (1 << 20..1 << 33).contains(&bytes) {
                assert!(plate.bytes() * 100 >= bytes * 99, "{plate:?}");
            }
        }
        assert_eq!(
            Plate::sized(DEFAULT_BYTES),
            Plate {
                width: 4096,
                height: 2048
            }
        );
        assert_eq!(Plate::sized(DEFAULT_BYTES).grid(), [256, 128, 1]);
    }
}
