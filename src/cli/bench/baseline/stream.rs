//! More data than the device may hold, streamed by hand: sets of chunk buffers through a ring of staging.
//!
//! What the kernel only writes is not uploaded, what it only reads is not brought back, and what every chunk needs is uploaded
//! once. Buffers and bind groups (one for each chunk: its last one is shorter) are made beforehand.

use std::hint::black_box;

use super::cut::{Cut, Part};
use super::ring::{Chunks, Ring, SETS};
use super::{Plain, dispatch};
use crate::cli::Failure;
use crate::cli::bench::job::{Job, sum};

/// Data are cut in so many chunks at the least, however much memory there is: the first one's way up and the last one's way down overlap
/// with nothing.
const LEAST_CHUNKS: u64 = 8;

/// A job that is streamed. Its kernel must not read what it writes.
pub struct Stream<'a> {
    ring: Ring,
    pieces: Pieces<'a>,
}

/// The job's chunks.
struct Pieces<'a> {
    job: &'a Job,
    cut: Cut,
    pipeline: wgpu::ComputePipeline,
    /// Buffers of each set, in binding order.
    sets: Vec<Vec<wgpu::Buffer>>,
    /// By chunk.
    groups: Vec<wgpu::BindGroup>,
    /// What came back, by binding; empty where nothing does.
    results: Vec<Vec<u8>>,
}

impl<'a> Stream<'a> {
    /// Makes everything; all chunk buffers together take at most `memory` bytes of the device.
    #[must_use]
    pub fn new(plain: &Plain, job: &'a Job, memory: u64) -> Self {
        let set = (memory / SETS as u64).min(job.bytes() / LEAST_CHUNKS);
        let cut = Cut::new(job, set);
        let pipeline = plain.pipeline(job.source);
        let constant = |bytes: &[u8]| {
            let buffer = plain.storage(bytes.len() as u64);
            plain.queue.write_buffer(&buffer, 0, bytes);
            buffer
        };
        let whole: Vec<Option<wgpu::Buffer>> = (job.memory.iter().zip(cut.parts()))
            .map(|(memory, part)| (*part == Part::Whole).then(|| constant(&memory.before)))
            .collect();
        let sets: Vec<Vec<wgpu::Buffer>> = (0..SETS)
            .map(|_| {
                (whole.iter().zip(cut.parts()))
                    .map(|(whole, part)| {
                        (whole.clone()).unwrap_or_else(|| plain.storage(cut.most(*part)))
                    })
                    .collect()
            })
            .collect();
        let uniform = job.uniform.as_ref().map(|(_, bytes)| plain.uniform(bytes));
        let groups = (0..cut.count())
            .map(|chunk| {
                let seen = |part: Part| match part {
                    Part::Whole => None,
                    Part::Cut { .. } => Some(cut.seen(chunk, part).len() as u64),
                };
                let buffers = sets[chunk % SETS].iter().zip(cut.parts());
                let parts: Vec<_> = buffers
                    .map(|(buffer, part)| (buffer, 0, seen(*part)))
                    .chain(uniform.iter().map(|uniform| (uniform, 0, None)))
                    .collect();
                plain.group(&pipeline, &parts)
            })
            .collect();
        let bytes = |results: bool| -> u64 {
            (job.memory.iter().zip(cut.parts()))
                .filter(|(memory, part)| memory.after.is_some() == results && **part != Part::Whole)
                .map(|(_, part)| cut.most(*part))
                .sum()
        };
        let ring = Ring::new(plain, bytes(false), bytes(true));
        // Filled and not only reserved: the memory is there before the clock starts.
        let results = (job.memory.iter())
            .map(|memory| match &memory.after {
                Some(after) => vec![1; after.len()],
                None => Vec::new(),
            })
            .collect();
        Self {
            ring,
            pieces: Pieces {
                job,
                cut,
                pipeline,
                sets,
                groups,
                results,
            },
        }
    }

    /// From the data in ordinary memory to the results in ordinary memory.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn run(&mut self) -> Result<(), Failure> {
        self.ring.run(&mut self.pieces)
    }

    /// The sum of the words of all results.
    #[must_use]
    pub fn sum(&self) -> u64 {
        (self.pieces.results.iter()).fold(0, |total, bytes| total.wrapping_add(sum(bytes)))
    }

    /// Goes through the data and writes over the results, as the other side does before each run: so both find the caches as warm, and
    /// no result of an earlier run can pass for a new one.
    pub fn refill(&mut self) {
        for memory in &self.pieces.job.memory {
            black_box(sum(&memory.before));
        }
        self.pieces.results.iter_mut().for_each(|r| r.fill(0));
    }

    /// Runs, and compares the results with what they should be.
    ///
    /// # Errors
    /// When the device is lost; a wrong result is no error.
    pub fn verify(&mut self) -> Result<bool, Failure> {
        self.refill();
        self.run()?;
        let Pieces { job, results, .. } = &self.pieces;
        Ok((results.iter().enumerate())
            .filter(|(binding, _)| job.memory[*binding].after.is_some())
            .all(|(binding, result)| job.right(binding, result)))
    }
}

impl Pieces<'_> {
    /// The bindings that are cut and are results, or are not.
    fn cut_ones(&self, results: bool) -> impl Iterator<Item = (usize, Part)> {
        (self.job.memory.iter().zip(self.cut.parts()).enumerate())
            .filter(move |(_, (memory, part))| {
                memory.after.is_some() == results && **part != Part::Whole
            })
            .map(|(binding, (_, part))| (binding, *part))
    }
}

impl Chunks for Pieces<'_> {
    fn count(&self) -> usize {
        self.cut.count()
    }

    fn fill(&self, chunk: usize, staging: &mut wgpu::BufferViewMut) {
        let mut at = 0;
        for (binding, part) in self.cut_ones(false) {
            let bytes = &self.job.memory[binding].before[self.cut.seen(chunk, part)];
            staging.slice(at..at + bytes.len()).copy_from_slice(bytes);
            at += bytes.len();
        }
    }

    fn record(
        &self,
        chunk: usize,
        encoder: &mut wgpu::CommandEncoder,
        up: &wgpu::Buffer,
        down: &wgpu::Buffer,
    ) {
        let set = &self.sets[chunk % SETS];
        let mut at = 0;
        for (binding, part) in self.cut_ones(false) {
            let bytes = self.cut.seen(chunk, part).len() as u64;
            encoder.copy_buffer_to_buffer(up, at, &set[binding], 0, bytes);
            at += bytes;
        }
        dispatch(
            encoder,
            &self.pipeline,
            &self.groups[chunk],
            self.cut.grid(chunk),
        );
        let mut at = 0;
        for (binding, part) in self.cut_ones(true) {
            let bytes = self.cut.seen(chunk, part).len() as u64;
            encoder.copy_buffer_to_buffer(&set[binding], 0, down, at, bytes);
            at += bytes;
        }
    }

    fn empty(&mut self, chunk: usize, staging: &[u8]) {
        let mut rest = staging;
        for binding in 0..self.results.len() {
            if !self.results[binding].is_empty() {
                let seen = self.cut.seen(chunk, self.cut.parts()[binding]);
                let (part, after) = rest.split_at(seen.len());
                self.results[binding][seen].copy_from_slice(part);
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::baseline::simplest::Chunked;
    use crate::cli::bench::jobs::{conv1d, triad};

    #[test]
    fn chunks_come_to_what_the_whole_does_by_either_program() {
        let Ok(gm) = gmem::Gmem::builder().device_memory(1 << 20).build() else {
            eprintln!("skipped: there is no adapter");
            return;
        };
        let plain = Plain::of(&gm).unwrap();
        // The last chunk is shorter, and no whole number of workgroups.
        for job in [triad::sized(100_001, 3), conv1d::sized(70_003, 3)] {
            for memory in [job.bytes() / 4, job.bytes() / 100, 1] {
                let mut stream = Stream::new(&plain, &job, memory);
                assert!(stream.verify().unwrap(), "{} in {memory}", job.name);
                let expected = stream.sum();
                stream.refill();
                assert_ne!(stream.sum(), expected);
                let mut chunked = Chunked::new(&plain, &job, memory);
                assert_eq!(chunked.run().unwrap(), expected);
            }
        }
    }
}
