//! The simplest programs: what one writes first. No ring, no mapped staging: one `write_buffer` for each array, submit, map, read.
//!
//! They are there to judge the baselines by, which must not be slower. Pipelines and buffers are made beforehand here too.

use std::hint::black_box;

use super::cut::{Cut, Part};
use super::{Plain, dispatch, filled};
use crate::cli::Failure;
use crate::cli::bench::job::{Job, sum};

/// A job whose data are on the device, or go there and back in one piece.
pub struct Simplest<'a> {
    plain: Plain,
    job: &'a Job,
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    buffers: Vec<wgpu::Buffer>,
    /// Mappable, by binding, for what the kernel writes.
    readable: Vec<Option<wgpu::Buffer>>,
}

impl<'a> Simplest<'a> {
    /// Uploads the data.
    #[must_use]
    pub fn new(plain: &Plain, job: &'a Job) -> Self {
        let buffers = filled(plain, job);
        let uniform = job.uniform.as_ref().map(|(_, bytes)| plain.uniform(bytes));
        let pipeline = plain.pipeline(job.source);
        let parts: Vec<_> = (buffers.iter().chain(&uniform))
            .map(|buffer| (buffer, 0, None))
            .collect();
        let group = plain.group(&pipeline, &parts);
        let readable = (job.memory.iter())
            .map(|m| m.after.as_ref().map(|after| readable(plain, after.len())))
            .collect();
        Self {
            plain: plain.clone(),
            job,
            pipeline,
            group,
            buffers,
            readable,
        }
    }

    /// One launch on data that are there.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn launch(&self) -> Result<(), Failure> {
        let mut encoder = self.plain.encoder();
        dispatch(&mut encoder, &self.pipeline, &self.group, self.job.grid);
        self.plain.queue.submit([encoder.finish()]);
        wait(&self.plain)
    }

    /// Uploads the data, launches once, and reads the results: the sum of their words.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn round_trip(&self) -> Result<u64, Failure> {
        for (buffer, memory) in self.buffers.iter().zip(&self.job.memory) {
            if !memory.overwritten {
                self.plain.queue.write_buffer(buffer, 0, &memory.before);
            }
        }
        let mut encoder = self.plain.encoder();
        dispatch(&mut encoder, &self.pipeline, &self.group, self.job.grid);
        for (buffer, readable) in self.buffers.iter().zip(&self.readable) {
            if let Some(readable) = readable {
                encoder.copy_buffer_to_buffer(buffer, 0, readable, 0, buffer.size());
            }
        }
        self.plain.queue.submit([encoder.finish()]);
        let mut total = 0_u64;
        for readable in self.readable.iter().flatten() {
            map(&self.plain, readable, |bytes| {
                total = total.wrapping_add(sum(bytes));
            })?;
        }
        Ok(total)
    }
}

/// A job whose data pass through one set of buffers, one chunk after the other.
pub struct Chunked<'a> {
    plain: Plain,
    job: &'a Job,
    cut: Cut,
    pipeline: wgpu::ComputePipeline,
    /// For a chunk of the usual length, and for the last one.
    groups: [wgpu::BindGroup; 2],
    buffers: Vec<wgpu::Buffer>,
    readable: Vec<Option<wgpu::Buffer>>,
    results: Vec<Vec<u8>>,
}

impl<'a> Chunked<'a> {
    /// Makes everything; the buffers together take at most `memory` bytes of the device.
    #[must_use]
    pub fn new(plain: &Plain, job: &'a Job, memory: u64) -> Self {
        let cut = Cut::new(job, memory);
        let pipeline = plain.pipeline(job.source);
        let parts = || job.memory.iter().zip(cut.parts());
        let buffers: Vec<wgpu::Buffer> = parts()
            .map(|(memory, part)| match part {
                Part::Cut { .. } => plain.storage(cut.most(*part)),
                Part::Whole => {
                    let buffer = plain.storage(memory.before.len() as u64);
                    plain.queue.write_buffer(&buffer, 0, &memory.before);
                    buffer
                }
            })
            .collect();
        let uniform = job.uniform.as_ref().map(|(_, bytes)| plain.uniform(bytes));
        let groups = [0, cut.count() - 1].map(|chunk| {
            let bound: Vec<_> = (buffers.iter().zip(cut.parts()))
                .map(|(buffer, part)| match part {
                    Part::Cut { .. } => (buffer, 0, Some(cut.seen(chunk, *part).len() as u64)),
                    Part::Whole => (buffer, 0, None),
                })
                .chain(uniform.iter().map(|uniform| (uniform, 0, None)))
                .collect();
            plain.group(&pipeline, &bound)
        });
        let readable = parts()
            .map(|(m, part)| (m.after.is_some()).then(|| readable(plain, cut.most(*part) as usize)))
            .collect();
        // Filled and not only reserved: the memory is there before the clock starts.
        let results = (job.memory.iter())
            .map(|m| vec![1; m.after.as_ref().map_or(0, Vec::len)])
            .collect();
        Self {
            plain: plain.clone(),
            job,
            cut,
            pipeline,
            groups,
            buffers,
            readable,
            results,
        }
    }

    /// As [`Stream::refill`](super::stream::Stream::refill).
    pub fn refill(&mut self) {
        for memory in &self.job.memory {
            black_box(sum(&memory.before));
        }
        self.results.iter_mut().for_each(|r| r.fill(0));
    }

    /// From the data in ordinary memory to the results in ordinary memory: the sum of their words.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn run(&mut self) -> Result<u64, Failure> {
        let last = self.cut.count() - 1;
        for chunk in 0..=last {
            let parts = || {
                self.cut
                    .parts()
                    .iter()
                    .map(|part| (part, self.cut.seen(chunk, *part)))
            };
            for ((memory, buffer), (part, seen)) in
                self.job.memory.iter().zip(&self.buffers).zip(parts())
            {
                if memory.after.is_none() && *part != Part::Whole {
                    self.plain
                        .queue
                        .write_buffer(buffer, 0, &memory.before[seen]);
                }
            }
            let mut encoder = self.plain.encoder();
            let group = &self.groups[usize::from(chunk == last)];
            dispatch(&mut encoder, &self.pipeline, group, self.cut.grid(chunk));
            for ((buffer, readable), (_, seen)) in
                self.buffers.iter().zip(&self.readable).zip(parts())
            {
                if let Some(readable) = readable {
                    encoder.copy_buffer_to_buffer(buffer, 0, readable, 0, seen.len() as u64);
                }
            }
            self.plain.queue.submit([encoder.finish()]);
            for ((result, readable), part) in
                (self.results.iter_mut().zip(&self.readable)).zip(self.cut.parts())
            {
                if let Some(readable) = readable {
                    let seen = self.cut.seen(chunk, *part);
                    map(&self.plain, readable, |bytes| {
                        let result = &mut result[seen];
                        result.copy_from_slice(&bytes[..result.len()]);
                    })?;
                }
            }
        }
        Ok((self.results.iter()).fold(0, |total, bytes| total.wrapping_add(sum(bytes))))
    }
}

/// A buffer to read from.
pub fn readable(plain: &Plain, bytes: usize) -> wgpu::Buffer {
    use wgpu::BufferUsages as U;
    plain.buffer(bytes as u64, U::MAP_READ | U::COPY_DST)
}

/// Maps a buffer, waits, reads it.
///
/// # Errors
/// When the device is lost.
pub fn map(plain: &Plain, buffer: &wgpu::Buffer, read: impl FnOnce(&[u8])) -> Result<(), Failure> {
    buffer.map_async(wgpu::MapMode::Read, .., |_| {});
    wait(plain)?;
    let view = buffer.get_mapped_range(..).map_err(Failure::run)?;
    read(&view);
    drop(view);
    buffer.unmap();
    Ok(())
}

/// Waits for all that was submitted.
///
/// # Errors
/// When the device is lost.
pub fn wait(plain: &Plain) -> Result<(), Failure> {
    let all = wgpu::PollType::wait_indefinitely();
    plain.device.poll(all).map(drop).map_err(Failure::run)
}
