//! The scatter of one pass of a radix sort: the last of its three steps (count digits per block, scan the counts, scatter).
//!
//! A block is a workgroup's 256 keys. Where the first key of each digit of each block goes is known from the scan; a key goes
//! as many places further as its block has keys of the same digit before it. That rank is found as in multisplit sorts: a bit
//! mask of lanes for each digit in workgroup memory, of which the bits below one's own are counted. The order of equal digits
//! is kept, so passes over all digits sort.

use super::{LANES, rows, words};
use crate::cli::bench::job::{Job, Memory};

/// Keys on a software adapter.
const LEN: usize = 1 << 20;
/// Values of a digit of four bits.
const DIGITS: usize = 16;
/// Bits below the digit that is sorted by.
const SHIFT: u32 = 8;

/// The job, `scale` times as large.
#[must_use]
pub fn job(scale: usize, seed: u64) -> Job {
    sized(LEN * scale, seed)
}

/// The job over `len` keys.
#[must_use]
pub fn sized(len: usize, seed: u64) -> Job {
    let keys = words(seed, 0x7201, len);
    let mut sorted: [Vec<u32>; DIGITS] = Default::default();
    for &key in &keys {
        sorted[digit(key)].push(key);
    }
    let offsets = offsets(&keys);
    Job {
        name: "radix scatter",
        source: include_str!("radix.wgsl"),
        memory: vec![
            Memory::input("keys", &keys),
            Memory::input("offsets", &offsets),
            Memory::result("sorted", &sorted.concat()),
        ],
        uniform: Some(("shift", bytemuck::bytes_of(&SHIFT).to_vec())),
        grid: rows(len.div_ceil(LANES)),
        traffic: (8 * len + 4 * offsets.len()) as u64,
    }
}

const fn digit(key: u32) -> usize {
    (key >> SHIFT) as usize % DIGITS
}

/// Where the first key of each digit of each block goes, digits first.
fn offsets(keys: &[u32]) -> Vec<u32> {
    let blocks = keys.len().div_ceil(LANES);
    let mut counts = vec![0u32; DIGITS * blocks];
    for (block, keys) in keys.chunks(LANES).enumerate() {
        for &key in keys {
            counts[digit(key) * blocks + block] += 1;
        }
    }
    let mut before = 0;
    for count in &mut counts {
        before += std::mem::replace(count, before);
    }
    counts
}
