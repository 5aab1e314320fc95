//! A vector of the space beside the flat words that it should read as.

use gmem::Vector;

use crate::common::Rng;

/// A vector and what it should read as.
pub struct Memory {
    pub vector: Vector<u32>,
    pub words: Vec<u32>,
}

impl Memory {
    pub fn some(&self, rng: &mut Rng) -> std::ops::Range<usize> {
        let len = self.words.len() as u64;
        let start = rng.below(len);
        start as usize..(start + rng.within(1, len - start)) as usize
    }

    pub fn read(&self, range: std::ops::Range<usize>) {
        let found = self.vector.read(range.clone()).expect("nothing was lost");
        same(found, &self.words[range.clone()], || {
            format!("words {range:?} of {:?}", self.vector)
        });
    }

    pub fn write(&mut self, range: std::ops::Range<usize>, rng: &mut Rng) {
        rng.fill(bytemuck::cast_slice_mut(&mut self.words[range.clone()]));
        let slice = self.vector.write(range.clone()).expect("nothing was lost");
        slice.copy_from_slice(&self.words[range]);
    }

    /// A part to bind: where a vector of four words may begin.
    pub fn part(&self, rng: &mut Rng) -> std::ops::Range<usize> {
        let len = self.words.len() as u64;
        if rng.chance(70) {
            return 0..len as usize;
        }
        let start = rng.below((len - 4) / 4 + 1) * 4;
        start as usize..(start + rng.within(4, len - start)) as usize
    }
}

/// Asserts that words are equal, and says where they are not.
#[track_caller]
pub fn same(found: &[u32], expected: &[u32], what: impl Fn() -> String) {
    if found != expected {
        let wrong: Vec<usize> = (0..found.len())
            .filter(|&i| found[i] != expected[i])
            .collect();
        panic!(
            "{}: {} of {} words wrong, from {} to {}: first {:#x} for {:#x}",
            what(),
            wrong.len(),
            found.len(),
            wrong[0],
            wrong[wrong.len() - 1],
            found[wrong[0]],
            expected[wrong[0]]
        );
    }
}
