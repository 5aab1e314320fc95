//! The simplest program that moves all of the data through the device, to judge `sweep` by: one set of buffers as large as the memory
//! allows, and for each chunk fill what is mapped, submit, map, read.
//!
//! `write_buffer` would be simpler still, but it makes a buffer for each chunk. On a software adapter that is `malloc`'s, whose pages are
//! kept for the next one or not, as it happens: it took 14 ms in some sittings and 38 ms in others of one process.

use super::simplest::{map, readable, wait};
use super::sweep::Work;
use super::{Plain, dispatch};
use crate::cli::Failure;

/// The data in ordinary memory, and one set of buffers.
pub struct SimplestSweep {
    plain: Plain,
    work: Work,
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    uniform: wgpu::Buffer,
    places: wgpu::Buffer,
    staging: wgpu::Buffer,
    held: wgpu::Buffer,
    out: Option<wgpu::Buffer>,
    readable: wgpu::Buffer,
    /// Words of a chunk.
    chunk: usize,
    data: Vec<u32>,
    results: Vec<u32>,
}

impl SimplestSweep {
    /// Makes everything for at most `most` places at once; the buffers take at most `memory` bytes of the device.
    #[must_use]
    pub fn new(plain: &Plain, work: Work, data: Vec<u32>, most: usize, memory: u64) -> Self {
        let room = memory.saturating_sub(8 * most as u64 + 16) as usize / 4;
        let bound = plain.device.limits().max_storage_buffer_binding_size as usize / 4;
        let chunk = (room.min(bound) / work.words * work.words).clamp(work.words, data.len());
        let pipeline = plain.pipeline(work.source);
        let uniform = plain.uniform(&[0; 16]);
        let places = plain.storage(4 * most as u64);
        let held = plain.storage(4 * chunk as u64);
        let out = work.gathers.then(|| plain.storage(4 * most as u64));
        let bound: Vec<_> = ([&held, &places].into_iter())
            .chain(&out)
            .chain([&uniform])
            .map(|buffer| (buffer, 0, None))
            .collect();
        let group = plain.group(&pipeline, &bound);
        let back = if work.gathers { most } else { chunk };
        Self {
            plain: plain.clone(),
            work,
            pipeline,
            group,
            uniform,
            places,
            staging: plain.buffer(
                4 * chunk as u64,
                wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
            ),
            held,
            out,
            readable: readable(plain, 4 * back),
            chunk,
            data,
            results: Vec::with_capacity(most),
        }
    }

    /// Moves everything through, with the kernel run at `places`, which are in ascending order.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn run(&mut self, places: &[u32]) -> Result<(), Failure> {
        let (work, queue) = (self.work, &self.plain.queue);
        self.results.clear();
        let mut rest = places;
        for (words, first) in (self.data.chunks_mut(self.chunk)).zip((0..).step_by(self.chunk)) {
            let end = first + words.len();
            let (here, later) =
                rest.split_at(rest.partition_point(|place| (*place as usize) * work.words < end));
            rest = later;
            write(&self.plain, &self.staging, bytemuck::cast_slice(words))?;
            let mut encoder = self.plain.encoder();
            let bytes = 4 * words.len() as u64;
            encoder.copy_buffer_to_buffer(&self.staging, 0, &self.held, 0, bytes);
            if !here.is_empty() {
                let before = (first / work.words) as u32;
                let here: Vec<u32> = here.iter().map(|place| place - before).collect();
                let uniform = [work.words as u32, here.len() as u32];
                queue.write_buffer(&self.places, 0, bytemuck::cast_slice(&here));
                queue.write_buffer(&self.uniform, 0, bytemuck::bytes_of(&uniform));
                let groups = here.len().div_ceil(work.places) as u32;
                dispatch(&mut encoder, &self.pipeline, &self.group, [groups, 1, 1]);
            }
            let (from, count) = match &self.out {
                Some(out) => (out, here.len()),
                None => (&self.held, words.len()),
            };
            if count > 0 {
                encoder.copy_buffer_to_buffer(from, 0, &self.readable, 0, 4 * count as u64);
            }
            queue.submit([encoder.finish()]);
            if count > 0 {
                map(&self.plain, &self.readable, |bytes| {
                    let back: &[u32] = bytemuck::cast_slice(&bytes[..4 * count]);
                    if work.gathers {
                        self.results.extend_from_slice(back);
                    } else {
                        words.copy_from_slice(back);
                    }
                })?;
            }
        }
        Ok(())
    }

    /// The data.
    pub fn data(&mut self) -> &mut [u32] {
        &mut self.data
    }

    /// The data, and a word for each place where the kernel gives one.
    #[must_use]
    pub fn results(&self) -> (&[u32], &[u32]) {
        (&self.data, &self.results)
    }
}

/// Maps a buffer, waits, writes to its beginning.
fn write(plain: &Plain, buffer: &wgpu::Buffer, bytes: &[u8]) -> Result<(), Failure> {
    buffer.map_async(wgpu::MapMode::Write, .., |_| {});
    wait(plain)?;
    let mut view = buffer.get_mapped_range_mut(..).map_err(Failure::run)?;
    view.slice(..bytes.len()).copy_from_slice(bytes);
    drop(view);
    buffer.unmap();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::baseline::sweep::Sweep;

    #[test]
    fn it_comes_to_what_the_sweep_comes_to() {
        let Ok(gm) = gmem::Gmem::builder().device_memory(1 << 20).build() else {
            eprintln!("skipped: there is no adapter");
            return;
        };
        let plain = Plain::of(&gm).unwrap();
        let update = Work::update(64);
        let gather = Work::gather();
        let data: Vec<u32> = (0..64 * 100).collect();
        // Chunks with several places, with one and with none, and a last one that is shorter.
        for (work, places) in [
            (update, [0, 1, 2, 70, 99]),
            (gather, [0, 64, 65, 5000, 6399]),
        ] {
            let memory = 4 * 64 * 7 + 56;
            let mut simplest = SimplestSweep::new(&plain, work, data.clone(), 5, memory);
            assert_eq!(simplest.chunk, 64 * 7);
            let mut sweep = Sweep::new(&plain, work, data.clone(), 5, 3 * memory);
            simplest.run(&places).unwrap();
            sweep.run(&places).unwrap();
            assert_eq!(simplest.results(), sweep.results());
            let (after, out) = simplest.results();
            let gave = if work.gathers { (false, 5) } else { (true, 0) };
            assert_eq!((after != data, out.len()), gave);
        }
    }
}
