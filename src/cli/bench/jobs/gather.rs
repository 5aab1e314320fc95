//! `to[i] = data[index[i]]` with indices from all over the data: what a page table is worst at.

use super::{LANES, rows, words};
use crate::cli::bench::job::{Job, Memory};

/// The job that takes `len` elements out of `data`.
#[must_use]
pub fn sized(len: usize, data: usize, seed: u64) -> Job {
    let values = words(seed, 0x6701, data);
    let index: Vec<u32> = words(seed, 0x6702, len)
        .iter()
        .map(|&word| ((u64::from(word) * data as u64) >> 32) as u32)
        .collect();
    let to: Vec<u32> = index.iter().map(|&i| values[i as usize]).collect();
    Job {
        name: "gather",
        source: include_str!("gather.wgsl"),
        memory: vec![
            Memory::input("data", &values),
            Memory::input("index", &index),
            Memory::result("to", &to),
        ],
        uniform: None,
        grid: rows(len.div_ceil(LANES)),
        traffic: 12 * len as u64,
    }
}

/// The most pages that a workgroup touches: one of data for each lane, and its own indices and results.
#[must_use]
pub fn widest(job: &Job, page_bytes: u64) -> u64 {
    let data = (job.memory[0].before.len() as u64).div_ceil(page_bytes);
    data.min(LANES as u64) + 4
}
