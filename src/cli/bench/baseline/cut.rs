//! A job cut in chunks that pass through less memory than its data need: which elements, and what a chunk's kernel sees.
//!
//! For jobs over vectors whose result `i` needs of each long array the elements from `i` on, a fixed number of them: the arrays that have
//! more elements than there are results overlap from chunk to chunk. The kernel stays as it is: it sees shorter arrays.

use std::ops::Range;

use crate::cli::bench::job::Job;
use crate::cli::bench::jobs::{LANES, rows};

/// Bytes of an element of every array that is cut.
const ELEMENT: usize = 4;

/// One array as a chunk has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// As many elements as the chunk has results, and so many more.
    Cut {
        /// Elements that the array has more than there are results.
        more: usize,
    },
    /// All of it, the same for every chunk.
    Whole,
}

impl Part {
    const fn more(self) -> usize {
        match self {
            Self::Cut { more } => more,
            Self::Whole => 0,
        }
    }
}

/// A job in chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    elements: usize,
    each: usize,
    parts: Vec<Part>,
}

impl Cut {
    /// The chunks of a job, each as large as the arrays of one fit in `bytes`, and at least a workgroup. Arrays shorter than
    /// the results are not cut.
    #[must_use]
    pub fn new(job: &Job, bytes: u64) -> Self {
        let len = |bytes: &[u8]| bytes.len() / ELEMENT;
        let results = job.memory.iter().filter(|m| m.after.is_some());
        let elements = results.map(|m| len(&m.before)).max().unwrap_or(0);
        let parts: Vec<Part> = (job.memory.iter())
            .map(|m| match len(&m.before).checked_sub(elements) {
                Some(more) => Part::Cut { more },
                None => Part::Whole,
            })
            .collect();
        let cut = parts.iter().filter(|p| **p != Part::Whole).count().max(1);
        let more: usize = parts.iter().map(|p| p.more()).sum();
        let room = (bytes as usize / ELEMENT).saturating_sub(more) / cut;
        Self {
            elements,
            each: (room / LANES * LANES).max(LANES),
            parts,
        }
    }

    /// How many chunks.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.elements.div_ceil(self.each)
    }

    /// The results of a chunk, as elements.
    fn results(&self, chunk: usize) -> Range<usize> {
        let start = chunk * self.each;
        start..(start + self.each).min(self.elements)
    }

    /// Workgroups of a chunk.
    #[must_use]
    pub fn grid(&self, chunk: usize) -> [u32; 3] {
        rows(self.results(chunk).len().div_ceil(LANES))
    }

    /// How the chunks have each array, in binding order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The bytes of an array that a chunk's kernel sees; of results, those that it gives.
    #[must_use]
    pub fn seen(&self, chunk: usize, part: Part) -> Range<usize> {
        let results = self.results(chunk);
        results.start * ELEMENT..(results.end + part.more()) * ELEMENT
    }

    /// The most bytes of an array that any chunk sees.
    #[must_use]
    pub fn most(&self, part: Part) -> u64 {
        ((self.each.min(self.elements) + part.more()) * ELEMENT) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::job::Memory;

    fn job(inputs: &[usize], results: usize) -> Job {
        let mut memory: Vec<Memory> = inputs
            .iter()
            .map(|len| Memory::input("x", &vec![0_u32; *len]))
            .collect();
        let zeros = vec![0_u32; results];
        memory.push(Memory::output("y", &zeros, &zeros));
        Job {
            name: "job",
            source: "",
            memory,
            uniform: None,
            grid: [1, 1, 1],
            traffic: 0,
        }
    }

    #[test]
    fn chunks_hold_every_result_once_and_fit() {
        for (inputs, results, bytes) in [
            (vec![10_000, 10_000], 10_000, 12_288),
            (vec![10_016, 17], 10_000, 20_000),
            (vec![7], 7, 1 << 20),
        ] {
            let cut = Cut::new(&job(&inputs, results), bytes);
            let mut next = 0;
            for chunk in 0..cut.count() {
                let given = cut.seen(chunk, Part::Cut { more: 0 });
                assert_eq!(given.start, next);
                next = given.end;
                let long = || cut.parts().iter().zip(inputs.iter().chain([&results]));
                let held: usize = (long().filter(|(p, _)| **p != Part::Whole))
                    .map(|(p, _)| cut.seen(chunk, *p).len())
                    .sum();
                assert!(held as u64 <= bytes, "{held} of {bytes}");
                for (part, len) in long().filter(|(p, _)| **p != Part::Whole) {
                    let seen = cut.seen(chunk, *part);
                    assert!(seen.end <= len * 4 && seen.len() as u64 <= cut.most(*part));
                    assert_eq!(seen.len() - given.len(), (len - results) * 4);
                }
                assert!(cut.grid(chunk)[0] as usize * LANES >= given.len() / 4);
            }
            assert_eq!(next, results * 4);
        }
    }

    #[test]
    fn short_arrays_are_not_cut_and_long_ones_overlap() {
        let cut = Cut::new(&job(&[17, 1016], 1000), 2 * 4 * (512 + 16));
        assert_eq!(
            cut.parts(),
            [Part::Whole, Part::Cut { more: 16 }, Part::Cut { more: 0 }]
        );
        assert_eq!(cut.count(), 2);
        assert_eq!(cut.seen(0, Part::Cut { more: 16 }), 0..4 * 528);
        assert_eq!(cut.seen(1, Part::Cut { more: 16 }), 4 * 512..4 * 1016);
    }
}
