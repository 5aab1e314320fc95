//! Everything on the device already: one submission of one dispatch, its pipeline and bind group made beforehand.

use super::{Plain, dispatch, filled};
use crate::cli::Failure;
use crate::cli::bench::job::Job;

/// A job ready on the device.
pub struct Warm<'a> {
    plain: Plain,
    job: &'a Job,
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    buffers: Vec<wgpu::Buffer>,
}

impl<'a> Warm<'a> {
    /// Uploads the data and makes all that a launch needs.
    #[must_use]
    pub fn new(plain: &Plain, job: &'a Job) -> Self {
        let buffers = filled(plain, job);
        let uniform = job.uniform.as_ref().map(|(_, bytes)| plain.uniform(bytes));
        let pipeline = plain.pipeline(job.source);
        let parts: Vec<_> = buffers
            .iter()
            .chain(&uniform)
            .map(|buffer| (buffer, 0, None))
            .collect();
        let group = plain.group(&pipeline, &parts);
        Self {
            plain: plain.clone(),
            job,
            pipeline,
            group,
            buffers,
        }
    }

    /// One launch, waited for.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn launch(&self) -> Result<(), Failure> {
        let mut encoder = self.plain.encoder();
        dispatch(&mut encoder, &self.pipeline, &self.group, self.job.grid);
        let submission = self.plain.queue.submit([encoder.finish()]);
        self.plain.wait(&submission)
    }

    /// Uploads the data again, launches once, and compares what comes back with what it should be.
    ///
    /// # Errors
    /// When the device is lost; a wrong result is no error.
    pub fn verify(&self) -> Result<bool, Failure> {
        for (buffer, memory) in self.buffers.iter().zip(&self.job.memory) {
            self.plain.queue.write_buffer(buffer, 0, &memory.before);
        }
        self.launch()?;
        for (binding, memory) in self.job.memory.iter().enumerate() {
            if memory.after.is_some()
                && !self
                    .job
                    .right(binding, &self.plain.read(&self.buffers[binding])?)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
