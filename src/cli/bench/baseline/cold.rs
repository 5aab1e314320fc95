//! The data on the host, the results wanted there: upload, dispatch, copy back, map, by hand.
//!
//! The upload goes through mapped staging buffers that together are as large as the data, so that nothing is ever waited for:
//! each is sent off as soon as it is filled, and the device copies it while the next one is being filled. Of the ways tried on
//! lavapipe this is the fastest: one submission for all of it leaves nothing to overlap, and `write_buffer` takes new
//! staging memory at each call, which shows where the data is large and never helps where it is small. Buffers, staging,
//! pipeline and bind group are made beforehand. The results are summed where they are mapped, without a copy of their own.
//! What the kernel overwrites is not uploaded.

use super::{Plain, dispatch};
use crate::cli::Failure;
use crate::cli::bench::job::{Job, sum};

/// Bytes of a staging buffer for uploads.
const CHUNK: usize = 4 << 20;

/// A job whose data is in plain vectors.
pub struct Cold<'a> {
    plain: Plain,
    job: &'a Job,
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    buffers: Vec<wgpu::Buffer>,
    /// What a launch loads, by binding; empty where it is overwritten.
    data: Vec<Vec<u8>>,
    /// Always mapped between two runs.
    uploads: Vec<Upload>,
    /// The results, by binding, to be mapped.
    results: Vec<(usize, wgpu::Buffer)>,
}

/// A staging buffer and the part of a binding that goes through it.
struct Upload {
    staging: wgpu::Buffer,
    binding: usize,
    offset: usize,
    bytes: usize,
}

impl<'a> Cold<'a> {
    /// Makes all that a run needs.
    #[must_use]
    pub fn new(plain: &Plain, job: &'a Job) -> Self {
        use wgpu::BufferUsages as U;
        let buffers: Vec<wgpu::Buffer> = (job.memory.iter())
            .map(|memory| plain.storage(memory.before.len() as u64))
            .collect();
        let uniform = job.uniform.as_ref().map(|(_, bytes)| plain.uniform(bytes));
        let pipeline = plain.pipeline(job.source);
        let parts: Vec<_> = buffers
            .iter()
            .chain(&uniform)
            .map(|buffer| (buffer, 0, None))
            .collect();
        let group = plain.group(&pipeline, &parts);
        let data: Vec<Vec<u8>> = (job.memory.iter())
            .map(|memory| match memory.overwritten {
                true => Vec::new(),
                false => memory.before.clone(),
            })
            .collect();
        let mut uploads = Vec::new();
        for (binding, data) in data.iter().enumerate() {
            uploads.extend((0..data.len()).step_by(CHUNK).map(|offset| {
                let bytes = CHUNK.min(data.len() - offset);
                Upload {
                    staging: plain.device.create_buffer(&wgpu::BufferDescriptor {
                        label: None,
                        size: bytes as u64,
                        usage: U::MAP_WRITE | U::COPY_SRC,
                        mapped_at_creation: true,
                    }),
                    binding,
                    offset,
                    bytes,
                }
            }));
        }
        let results = (job.memory.iter().enumerate())
            .filter(|(_, memory)| memory.after.is_some())
            .map(|(binding, memory)| {
                let bytes = memory.before.len() as u64;
                (binding, plain.buffer(bytes, U::MAP_READ | U::COPY_DST))
            })
            .collect();
        Self {
            plain: plain.clone(),
            job,
            pipeline,
            group,
            buffers,
            data,
            uploads,
            results,
        }
    }

    /// Writes again what a launch loads, as the other side does before each run: so both find it as warm in the caches.
    pub fn refill(&mut self) {
        for (data, memory) in self.data.iter_mut().zip(&self.job.memory) {
            if !memory.overwritten {
                data.copy_from_slice(&memory.before);
            }
        }
    }

    /// From the data in plain vectors to the results, each given to `read` where it is mapped.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn run(&self, read: &mut dyn FnMut(usize, &[u8])) -> Result<(), Failure> {
        let queue = &self.plain.queue;
        for upload in &self.uploads {
            let mut view = (upload.staging.get_mapped_range_mut(..)).map_err(Failure::run)?;
            view.copy_from_slice(&self.data[upload.binding][upload.offset..][..upload.bytes]);
            drop(view);
            upload.staging.unmap();
            let mut encoder = self.plain.encoder();
            encoder.copy_buffer_to_buffer(
                &upload.staging,
                0,
                &self.buffers[upload.binding],
                upload.offset as u64,
                upload.bytes as u64,
            );
            queue.submit([encoder.finish()]);
            // It comes back mapped in the wait at the end.
            upload.staging.map_async(wgpu::MapMode::Write, .., |_| {});
        }
        let mut encoder = self.plain.encoder();
        dispatch(&mut encoder, &self.pipeline, &self.group, self.job.grid);
        for (binding, result) in &self.results {
            encoder.copy_buffer_to_buffer(&self.buffers[*binding], 0, result, 0, result.size());
        }
        let submission = queue.submit([encoder.finish()]);
        for (_, result) in &self.results {
            result.map_async(wgpu::MapMode::Read, .., |_| {});
        }
        self.plain.wait(&submission)?;
        for (binding, result) in &self.results {
            let view = result.get_mapped_range(..).map_err(Failure::run)?;
            read(*binding, &view);
            drop(view);
            result.unmap();
        }
        Ok(())
    }

    /// Runs, and gives the sum of the words of all results.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn sum(&self) -> Result<u64, Failure> {
        let mut total = 0u64;
        self.run(&mut |_, bytes| total = total.wrapping_add(sum(bytes)))?;
        Ok(total)
    }

    /// Runs, and compares the results with what they should be.
    ///
    /// # Errors
    /// When the device is lost; a wrong result is no error.
    pub fn verify(&mut self) -> Result<bool, Failure> {
        self.refill();
        let mut right = true;
        let job = self.job;
        self.run(&mut |binding, bytes| right &= job.right(binding, bytes))?;
        Ok(right)
    }
}
