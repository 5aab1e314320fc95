//! The baselines: the same jobs as an expert would write them with plain wgpu, one way of running them in each file.
//!
//! They run on the very device that gmem runs on, from this thread. Pipelines, bind groups and staging are made beforehand.

pub mod cold;
pub mod copies;
pub mod cut;
pub mod index;
pub mod marks;
pub mod ring;
pub mod simplest;
pub mod simplest_sweep;
pub mod stream;
pub mod sweep;
pub mod warm;

use gmem::Gmem;
use wgpu::util::DeviceExt as _;

use super::job::Job;
use crate::cli::Failure;

/// How long one wait may be on a GL device, whose lock gives up after some seconds.
const SLICE: std::time::Duration = std::time::Duration::from_millis(100);

/// A plain wgpu device.
#[derive(Clone)]
pub struct Plain {
    /// The device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
}

impl Plain {
    /// The device that a space runs on.
    ///
    /// # Errors
    /// When it has none.
    pub fn of(gm: &Gmem) -> Result<Self, Failure> {
        let handle = gm.device(0)?;
        let gpu = handle
            .gpu()
            .ok_or_else(|| Failure::run("a baseline needs a GPU"))?;
        let (device, queue) = gpu.wgpu().map_err(Failure::run)?;
        Ok(Self { device, queue })
    }

    /// A buffer.
    #[must_use]
    pub fn buffer(&self, bytes: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage,
            mapped_at_creation: false,
        })
    }

    /// A storage buffer that can be copied to and from.
    #[must_use]
    pub fn storage(&self, bytes: u64) -> wgpu::Buffer {
        use wgpu::BufferUsages as U;
        self.buffer(bytes, U::STORAGE | U::COPY_SRC | U::COPY_DST)
    }

    /// A uniform buffer with contents.
    #[must_use]
    pub fn uniform(&self, bytes: &[u8]) -> wgpu::Buffer {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(16), 0);
        self.device
            .create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: None,
                contents: &padded,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            })
    }

    /// The pipeline of WGSL with one entry point, its layout inferred.
    #[must_use]
    pub fn pipeline(&self, source: &str) -> wgpu::ComputePipeline {
        let module = (self.device).create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        self.device
            .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module: &module,
                entry_point: None,
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
    }

    /// A bind group 0 of parts of buffers: buffer, offset, bytes (all where `None`), in binding order.
    #[must_use]
    pub fn group(
        &self,
        pipeline: &wgpu::ComputePipeline,
        parts: &[(&wgpu::Buffer, u64, Option<u64>)],
    ) -> wgpu::BindGroup {
        let entries: Vec<wgpu::BindGroupEntry<'_>> = (0..)
            .zip(parts)
            .map(|(binding, &(buffer, offset, bytes))| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset,
                    size: bytes.and_then(wgpu::BufferSize::new),
                }),
            })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    }

    /// A new encoder.
    #[must_use]
    pub fn encoder(&self) -> wgpu::CommandEncoder {
        (self.device).create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// Waits until a submission is over.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn wait(&self, submission: &wgpu::SubmissionIndex) -> Result<(), Failure> {
        loop {
            match self.device.poll(wgpu::PollType::Wait {
                submission_index: Some(submission.clone()),
                timeout: Some(SLICE),
            }) {
                Ok(_) => return Ok(()),
                Err(wgpu::PollError::Timeout) => {}
                Err(error) => return Err(Failure::run(error)),
            }
        }
    }

    /// Polls until a callback has set a flag, after the submission it follows is over: mostly it has by then.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn until(&self, flag: &std::sync::atomic::AtomicBool) -> Result<(), Failure> {
        while !flag.load(std::sync::atomic::Ordering::Acquire) {
            (self.device.poll(wgpu::PollType::Poll)).map_err(Failure::run)?;
        }
        Ok(())
    }

    /// The bytes of a buffer, brought back through a buffer made for it: for verifying, not for timing.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn read(&self, buffer: &wgpu::Buffer) -> Result<Vec<u8>, Failure> {
        use wgpu::BufferUsages as U;
        let staging = self.buffer(buffer.size(), U::MAP_READ | U::COPY_DST);
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        let submission = self.queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |_| {});
        self.wait(&submission)?;
        let view = staging.get_mapped_range(..).map_err(Failure::run)?;
        Ok(view.to_vec())
    }
}

/// Records one launch of a job's kernel.
pub fn dispatch(
    encoder: &mut wgpu::CommandEncoder,
    pipeline: &wgpu::ComputePipeline,
    group: &wgpu::BindGroup,
    [x, y, z]: [u32; 3],
) {
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, group, &[]);
    pass.dispatch_workgroups(x, y, z);
}

/// The buffers of a job, one for each of its storage bindings, with the contents of before a launch.
#[must_use]
pub fn filled(plain: &Plain, job: &Job) -> Vec<wgpu::Buffer> {
    job.memory
        .iter()
        .map(|memory| {
            let buffer = plain.storage(memory.before.len() as u64);
            plain.queue.write_buffer(&buffer, 0, &memory.before);
            buffer
        })
        .collect()
}
