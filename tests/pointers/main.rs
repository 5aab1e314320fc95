//! Kernels that follow 64-bit pointers: lists and trees that the CPU built with ordinary pointers, walked and changed by the GPU in
//! a quarter of their memory, structures that the GPU built, and pointers that lead nowhere.

#[path = "../adapters/mod.rs"]
mod adapters;
#[path = "../few_pages/mod.rs"]
mod few_pages;
#[path = "../skipped/mod.rs"]
mod skipped;

mod built;
mod list;
mod tree;
mod wide;
mod wild;

use few_pages::{PAGE, space};

/// Chance from a seed.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        ((self.0 >> 33) as usize) % n
    }

    fn shuffle<T>(&mut self, of: &mut [T]) {
        for i in (1..of.len()).rev() {
            of.swap(i, self.below(i + 1));
        }
    }
}

/// A pointer as a kernel has it.
fn halves(address: u64) -> [u32; 2] {
    [address as u32, (address >> 32) as u32]
}
