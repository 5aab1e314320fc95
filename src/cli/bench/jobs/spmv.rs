//! A sparse matrix times a vector: compressed rows of uneven lengths, an invocation for each, the vector gathered from.

use super::{LANES, rows, whole};
use crate::cli::bench::job::{Job, Memory};
use crate::cli::seeded::Seeded;

/// Rows and columns on a software adapter.
const SIDE: usize = 64 << 10;

/// The job, `scale` times as large.
#[must_use]
pub fn job(scale: usize, seed: u64) -> Job {
    sized(SIDE * scale, seed)
}

/// The job with so many rows and columns.
#[must_use]
pub fn sized(side: usize, seed: u64) -> Job {
    let starts = starts(side, seed);
    let entries = starts[side] as usize;
    let columns = columns(side, &starts, seed);
    let values = whole(seed, 0x5303, entries, 16);
    let x = whole(seed, 0x5304, side, 1 << 8);
    let y: Vec<f32> = starts
        .windows(2)
        .map(|row| {
            let row = row[0] as usize..row[1] as usize;
            // From 0.0 on: `sum` of nothing is -0.0.
            row.fold(0.0, |sum, i| sum + values[i] * x[columns[i] as usize])
        })
        .collect();
    Job {
        name: "spmv",
        source: include_str!("spmv.wgsl"),
        memory: vec![
            Memory::input("starts", &starts),
            Memory::input("columns", &columns),
            Memory::input("values", &values),
            Memory::input("x", &x),
            Memory::result("y", &y),
        ],
        uniform: None,
        grid: rows(side.div_ceil(LANES)),
        // Each entry has a value, a column and an element of the vector; each row its start and a result.
        traffic: (12 * entries + 8 * side) as u64,
    }
}

/// Where each row begins, and the last one ends: mostly 1 to 24 entries, one row in 16 has up to 192, some have none.
fn starts(side: usize, seed: u64) -> Vec<u32> {
    let stream = Seeded::new(seed, 0x5301);
    let mut end = 0;
    let mut starts = vec![0];
    starts.extend((0..side as u64).map(|row| {
        let word = stream.at(row);
        let length = match word & 15 {
            0 => 64 + (word >> 32) % 129,
            1 => 0,
            _ => 1 + (word >> 32) % 24,
        };
        end += length.min(side as u64) as u32;
        end
    }));
    starts
}

/// The columns of each row, ascending and each once, from the whole width.
fn columns(side: usize, starts: &[u32], seed: u64) -> Vec<u32> {
    let stream = Seeded::new(seed, 0x5302);
    let mut columns = Vec::with_capacity(starts[side] as usize);
    for row in starts.windows(2) {
        // The width is cut in as many parts as there are entries; each lies somewhere in its own.
        let (first, length) = (u64::from(row[0]), u64::from(row[1] - row[0]));
        columns.extend((0..length).map(|i| {
            let part = |i: u64| i * side as u64 / length;
            let width = part(i + 1) - part(i);
            (part(i) + (((stream.at(first + i) >> 32) * width) >> 32)) as u32
        }));
    }
    columns
}
