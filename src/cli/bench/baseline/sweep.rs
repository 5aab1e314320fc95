//! Sparse work by moving everything: all of the data pass through the device in chunks, whatever the kernel touches of them.
//!
//! What somebody would write who has no way to fetch single pages: places are in order, so that the CPU knows which of them
//! lie in a chunk, and hands the kernel those, counted from the chunk's beginning.

use std::ops::Range;

use super::ring::{Chunks, Ring, SETS};
use super::{Plain, dispatch};
use crate::cli::Failure;

/// What is done at places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// WGSL: `data`, `places`, and `out` where there is one, then a uniform of two words: of a place, and how many places.
    pub source: &'static str,
    /// Words of a place.
    pub words: usize,
    /// Places of a workgroup.
    pub places: usize,
    /// Whether the kernel gives a word for each place in `out`; else it changes the data themselves.
    pub gathers: bool,
}

impl Work {
    /// Changes all words of places of so many.
    #[must_use]
    pub const fn update(words: usize) -> Self {
        Self {
            source: include_str!("../sparse_update.wgsl"),
            words,
            places: 1,
            gathers: false,
        }
    }

    /// Reads single words.
    #[must_use]
    pub const fn gather() -> Self {
        Self {
            source: include_str!("../sparse_gather.wgsl"),
            words: 1,
            places: 64,
            gathers: true,
        }
    }
}

/// Bytes of the uniform.
const UNIFORM: usize = 16;

/// The data in ordinary memory, and all that it takes to move them.
pub struct Sweep {
    ring: Ring,
    all: All,
}

struct All {
    work: Work,
    pipeline: wgpu::ComputePipeline,
    sets: Vec<Set>,
    /// Words of a chunk.
    chunk: usize,
    /// The most places of a chunk that there is room for.
    most: usize,
    data: Vec<u32>,
    places: Vec<u32>,
    out: Vec<u32>,
}

struct Set {
    uniform: wgpu::Buffer,
    places: wgpu::Buffer,
    data: wgpu::Buffer,
    out: Option<wgpu::Buffer>,
    group: wgpu::BindGroup,
}

impl Sweep {
    /// Makes everything for at most `most` places at once; all chunk buffers together take at most `memory` bytes of the device.
    #[must_use]
    pub fn new(plain: &Plain, work: Work, data: Vec<u32>, most: usize, memory: u64) -> Self {
        let few = (UNIFORM + 8 * most) as u64;
        let room = (memory / SETS as u64).saturating_sub(few) as usize / 4;
        let chunk = (room / work.words * work.words).max(work.words);
        let pipeline = plain.pipeline(work.source);
        let sets = (0..SETS)
            .map(|_| {
                let uniform = plain.uniform(&[0; UNIFORM]);
                let places = plain.storage(4 * most as u64);
                let held = plain.storage(4 * chunk as u64);
                let out = work.gathers.then(|| plain.storage(4 * most as u64));
                let parts: Vec<_> = [&held, &places]
                    .into_iter()
                    .chain(&out)
                    .chain([&uniform])
                    .map(|buffer| (buffer, 0, None))
                    .collect();
                let group = plain.group(&pipeline, &parts);
                Set {
                    uniform,
                    places,
                    data: held,
                    out,
                    group,
                }
            })
            .collect();
        let down = if work.gathers { most } else { chunk };
        let up = (UNIFORM + 4 * most + 4 * chunk) as u64;
        Self {
            ring: Ring::new(plain, up, 4 * down as u64),
            all: All {
                work,
                pipeline,
                sets,
                chunk,
                most,
                data,
                places: Vec::new(),
                out: vec![0; if work.gathers { most } else { 0 }],
            },
        }
    }

    /// Moves everything through, with the kernel run at `places`, which are in ascending order.
    ///
    /// # Errors
    /// When there are more places than was said, or the device is lost.
    pub fn run(&mut self, places: &[u32]) -> Result<(), Failure> {
        if places.len() > self.all.most {
            return Err(Failure::run("a baseline was made for fewer places"));
        }
        self.all.places.clear();
        self.all.places.extend_from_slice(places);
        self.ring.run(&mut self.all)
    }

    /// The data.
    pub fn data(&mut self) -> &mut [u32] {
        &mut self.all.data
    }

    /// The data, and a word for each place where the kernel gives one.
    #[must_use]
    pub fn results(&self) -> (&[u32], &[u32]) {
        let places = self.all.places.len().min(self.all.out.len());
        (&self.all.data, &self.all.out[..places])
    }
}

impl All {
    /// The words of a chunk.
    fn words(&self, chunk: usize) -> Range<usize> {
        let start = chunk * self.chunk;
        start..(start + self.chunk).min(self.data.len())
    }

    /// Which of the places lie in a chunk.
    fn places(&self, chunk: usize) -> Range<usize> {
        let words = self.words(chunk);
        let before = |end: usize| {
            (self.places).partition_point(|place| (*place as usize) * self.work.words < end)
        };
        before(words.start)..before(words.end)
    }

    /// Bytes of staging that hold places.
    const fn places_end(&self) -> usize {
        UNIFORM + 4 * self.most
    }
}

impl Chunks for All {
    fn count(&self) -> usize {
        self.data.len().div_ceil(self.chunk)
    }

    fn fill(&self, chunk: usize, staging: &mut wgpu::BufferViewMut) {
        let (words, places) = (self.words(chunk), self.places(chunk));
        let first = (words.start / self.work.words) as u32;
        let mut head = vec![0_u32; UNIFORM / 4];
        head[0] = self.work.words as u32;
        head[1] = places.len() as u32;
        head.extend(self.places[places].iter().map(|place| place - first));
        let head: &[u8] = bytemuck::cast_slice(&head);
        staging.slice(..head.len()).copy_from_slice(head);
        let data: &[u8] = bytemuck::cast_slice(&self.data[words]);
        let at = self.places_end();
        staging.slice(at..at + data.len()).copy_from_slice(data);
    }

    fn record(
        &self,
        chunk: usize,
        encoder: &mut wgpu::CommandEncoder,
        up: &wgpu::Buffer,
        down: &wgpu::Buffer,
    ) {
        let set = &self.sets[chunk % SETS];
        let (words, places) = (4 * self.words(chunk).len() as u64, self.places(chunk).len());
        encoder.copy_buffer_to_buffer(up, self.places_end() as u64, &set.data, 0, words);
        if places > 0 {
            let bytes = 4 * places as u64;
            encoder.copy_buffer_to_buffer(up, 0, &set.uniform, 0, UNIFORM as u64);
            encoder.copy_buffer_to_buffer(up, UNIFORM as u64, &set.places, 0, bytes);
            let groups = places.div_ceil(self.work.places) as u32;
            dispatch(encoder, &self.pipeline, &set.group, [groups, 1, 1]);
        }
        match &set.out {
            Some(out) if places > 0 => {
                encoder.copy_buffer_to_buffer(out, 0, down, 0, 4 * places as u64);
            }
            Some(_) => {}
            None => encoder.copy_buffer_to_buffer(&set.data, 0, down, 0, words),
        }
    }

    fn empty(&mut self, chunk: usize, staging: &[u8]) {
        let (to, range) = if self.work.gathers {
            let places = self.places(chunk);
            (&mut self.out, places)
        } else {
            let words = self.words(chunk);
            (&mut self.data, words)
        };
        let to: &mut [u8] = bytemuck::cast_slice_mut(&mut to[range]);
        to.copy_from_slice(&staging[..to.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_at_places_is_worked_on() {
        let Ok(gm) = gmem::Gmem::builder().device_memory(1 << 20).build() else {
            eprintln!("skipped: there is no adapter");
            return;
        };
        let plain = Plain::of(&gm).unwrap();
        let update = Work::update(64);
        let data: Vec<u32> = (0..64 * 100).collect();
        // A chunk without a place, one with several, and a last one that is shorter.
        let places = [0, 1, 2, 70, 99];
        let mut sweep = Sweep::new(&plain, update, data.clone(), 5, 3 * 4 * 64 * 7);
        sweep.run(&places).unwrap();
        let want: Vec<u32> = (data.iter())
            .map(|i| {
                if places.contains(&(i / 64)) {
                    3 * i + 1
                } else {
                    *i
                }
            })
            .collect();
        assert_eq!(sweep.data(), want);
        assert!(sweep.run(&[0; 6]).is_err());

        let gather = Work::gather();
        let mut sweep = Sweep::new(&plain, gather, data.clone(), 100, 3 * 4 * 1024);
        let places: Vec<u32> = (0..90).map(|i| i * 71).collect();
        sweep.run(&places).unwrap();
        let want: Vec<u32> = places.iter().map(|i| 3 * i + 1).collect();
        assert_eq!(sweep.results(), (&data[..], &want[..]));
    }
}
