//! The original kernel under plain wgpu, on the same device and thread: the reference of tests, demos and benches.
//!
//! Key types: [`PlainKernel`] (prepared: one buffer per storage binding), [`PlainRunner`] (all in one call).
//! Invariant: the module that wgpu gets is the user's own, with overrides resolved, immediates made buffers, pointers to storage and workgroup
//! memory led through to the functions that they are passed to, and nothing else done to it.

use std::borrow::Cow;
use std::sync::Arc;

use gmem_hal::{DeviceError, counted};
use gmem_shaders::{Entry, Program, Source};

use crate::buffers::{Buffer, Purpose};
use crate::device::WgpuDevice;
use crate::error::CompileError;
use crate::gpu::Gpu;
use crate::thread::Kept;

/// Bytes written or read at a time.
const CHUNK: u64 = 8 << 20;

/// What a kernel under plain wgpu can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlainError {
    /// Its source.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The device: what it binds is beyond the adapter's limits, or the device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl From<gmem_shaders::ShaderError> for PlainError {
    fn from(error: gmem_shaders::ShaderError) -> Self {
        Self::Compile(error.into())
    }
}

/// How long launches took, from submission to completion.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timing {
    /// Seconds of each.
    pub seconds: Vec<f64>,
}

/// What of wgpu's a prepared kernel holds.
struct Held {
    pipeline: wgpu::ComputePipeline,
    groups: Vec<(u32, wgpu::BindGroup)>,
    storage: Vec<Buffer>,
    _values: Vec<Buffer>,
}

/// A kernel with buffers of its own, ready to be dispatched again and again.
pub struct PlainKernel {
    held: Kept<Held>,
    device: Arc<WgpuDevice>,
    entry: Entry,
    sizes: Vec<u64>,
    grid: [u32; 3],
}

impl PlainKernel {
    /// Compiles a kernel and makes a zeroed buffer of `sizes[i]` bytes for its storage binding `i`.
    ///
    /// # Errors
    /// When the source is wrong, or the buffers, bindings or grid are beyond what plain wgpu can do on this adapter.
    pub fn prepare<'a>(
        device: &Arc<WgpuDevice>,
        source: impl Into<Source<'a>>,
        entry: Option<&str>,
        overrides: &[(String, f64)],
        sizes: &[u64],
        values: &[Vec<u8>],
        grid: [u32; 3],
    ) -> Result<Self, PlainError> {
        let entry = Program::parse(source)?.entry(entry, overrides)?;
        if sizes.len() != entry.storage.len() || values.len() != entry.values.len() {
            return Err(PlainError::Device(DeviceError::Unsupported {
                reason: format!(
                    "kernel `{}` has {} and {}, not {} and {}",
                    entry.name,
                    counted(entry.storage.len() as u64, "storage binding"),
                    counted(entry.values.len() as u64, "value"),
                    sizes.len(),
                    values.len()
                ),
            }));
        }
        let most = device.facts().limits.max_compute_workgroups_per_dimension;
        if grid.iter().any(|&side| side > most) {
            return Err(PlainError::Device(DeviceError::Unsupported {
                reason: format!(
                    "plain wgpu runs at most {most} workgroups in a dimension on this adapter, not a grid of {grid:?}"
                ),
            }));
        }
        if let Some(resource) = entry.resources.first() {
            return Err(PlainError::Device(DeviceError::Unsupported {
                reason: format!(
                    "kernel `{}` uses the {} `{}`: the reference runs over buffers alone",
                    entry.name,
                    resource.kind.noun(),
                    resource.name
                ),
            }));
        }
        if entry
            .storage
            .iter()
            .any(gmem_shaders::StorageBinding::is_hidden)
        {
            return Err(PlainError::Device(DeviceError::Unsupported {
                reason: format!(
                    "kernel `{}` follows pointers, which plain wgpu has not: the reference runs over buffers alone",
                    entry.name
                ),
            }));
        }
        let (module, slots) = entry.without_immediates();
        let parts = Parts {
            module,
            entry: entry.name.clone(),
            storage: entry
                .storage
                .iter()
                .zip(sizes)
                .map(|(b, &size)| (b.group, b.binding, size))
                .collect(),
            values: entry
                .values
                .iter()
                .zip(values)
                .zip(slots)
                .map(|((v, bytes), slot)| (slot, v.is_storage(), bytes.clone()))
                .collect(),
        };
        let held = device.thread().call(move |gpu| parts.make(gpu))?;
        Ok(Self {
            held: Kept::new(held, device.thread()),
            device: Arc::clone(device),
            entry,
            sizes: sizes.to_vec(),
            grid,
        })
    }

    /// The entry point: its bindings, uniforms and layouts.
    #[must_use]
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Overwrites the first bytes of a binding's buffer.
    ///
    /// # Errors
    /// When there is no such binding, it is smaller, or the device failed.
    pub fn write(&self, binding: usize, bytes: &[u8]) -> Result<(), DeviceError> {
        self.check(binding, bytes.len() as u64)?;
        for (index, part) in bytes.chunks(CHUNK as usize).enumerate() {
            let (held, mut part) = (self.held.get(), part.to_vec());
            part.resize(part.len().next_multiple_of(4), 0);
            self.device.thread().call(move |gpu| {
                gpu.queue
                    .write_buffer(&held.storage[binding], index as u64 * CHUNK, &part);
                let submission = gpu.queue.submit([]);
                gpu.wait(&submission)
            })?;
        }
        Ok(())
    }

    /// The bytes of a binding's buffer.
    ///
    /// # Errors
    /// When there is no such binding, or the device failed.
    pub fn read(&self, binding: usize) -> Result<Vec<u8>, DeviceError> {
        self.check(binding, 0)?;
        let size = self.sizes[binding];
        let held = self.held.get();
        self.device.thread().call(move |gpu| {
            let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
            let padded = size.next_multiple_of(4);
            let staging = gpu.buffer(Purpose::Plain, "staging", padded.min(CHUNK), usage, false)?;
            let mut out = Vec::with_capacity(padded as usize);
            while (out.len() as u64) < padded {
                let at = out.len() as u64;
                let bytes = (padded - at).min(CHUNK);
                let mut encoder = gpu
                    .device
                    .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                encoder.copy_buffer_to_buffer(&held.storage[binding], at, &staging, 0, bytes);
                let submission = gpu.queue.submit([encoder.finish()]);
                gpu.map(&staging, wgpu::MapMode::Read, bytes)
                    .wait(gpu, &submission)?;
                {
                    let view =
                        staging
                            .get_mapped_range(..bytes)
                            .map_err(|e| DeviceError::Lost {
                                reason: format!("a buffer cannot be read: {e}"),
                            })?;
                    out.extend_from_slice(&view);
                }
                staging.unmap();
            }
            out.truncate(size as usize);
            Ok(out)
        })
    }

    /// Runs the whole grid and waits; the seconds from submission to completion.
    ///
    /// # Errors
    /// When the grid is beyond the adapter's limits, or the device failed.
    pub fn dispatch_and_wait(&self) -> Result<f64, DeviceError> {
        let (held, [x, y, z]) = (self.held.get(), self.grid);
        self.device.thread().call(move |gpu| {
            let mut encoder = gpu
                .device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                pass.set_pipeline(&held.pipeline);
                for (index, group) in &held.groups {
                    pass.set_bind_group(*index, group, &[]);
                }
                pass.dispatch_workgroups(x, y, z);
            }
            let commands = encoder.finish();
            let start = std::time::Instant::now();
            let submission = gpu.queue.submit([commands]);
            gpu.wait(&submission)?;
            Ok(start.elapsed().as_secs_f64())
        })
    }

    fn check(&self, binding: usize, bytes: u64) -> Result<(), DeviceError> {
        match self.sizes.get(binding) {
            Some(&size) if bytes <= size => Ok(()),
            Some(size) => Err(DeviceError::Unsupported {
                reason: format!(
                    "binding {binding} has {}, not {bytes}",
                    counted(*size, "byte")
                ),
            }),
            None => Err(DeviceError::Unsupported {
                reason: format!("there is no binding {binding}"),
            }),
        }
    }
}

/// What a [`PlainKernel`] is made of, on its way to the device thread.
struct Parts {
    module: gmem_shaders::naga::Module,
    entry: String,
    /// Group, binding, bytes.
    storage: Vec<(u32, u32, u64)>,
    /// Group and binding, whether it is storage, contents.
    values: Vec<((u32, u32), bool, Vec<u8>)>,
}

impl Parts {
    fn make(self, gpu: &Gpu) -> Result<Held, DeviceError> {
        let limit = gpu.facts.limits.max_storage_buffer_binding_size;
        if let Some((_, _, size)) = self.storage.iter().find(|(_, _, size)| *size > limit) {
            return Err(DeviceError::Unsupported {
                reason: format!(
                    "plain wgpu binds at most {limit} bytes on this adapter, not {size}"
                ),
            });
        }
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        let mut storage = Vec::with_capacity(self.storage.len());
        for &(_, _, size) in &self.storage {
            storage.push(gpu.buffer(Purpose::Plain, "a plain buffer", size, usage, false)?);
        }
        let mut values = Vec::with_capacity(self.values.len());
        for (_, is_storage, bytes) in &self.values {
            let usage = wgpu::BufferUsages::COPY_DST
                | if *is_storage {
                    wgpu::BufferUsages::STORAGE
                } else {
                    wgpu::BufferUsages::UNIFORM
                };
            let mut bytes = bytes.clone();
            bytes.resize(bytes.len().next_multiple_of(16), 0);
            let buffer = gpu.buffer(
                Purpose::Plain,
                "a plain uniform",
                bytes.len() as u64,
                usage,
                false,
            )?;
            gpu.queue.write_buffer(&buffer, 0, &bytes);
            values.push(buffer);
        }
        let (module, entry) = (self.module, self.entry);
        let pipeline = gpu.scoped(|device| {
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(&entry),
                source: wgpu::ShaderSource::Naga(Cow::Owned(module)),
            });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&entry),
                layout: None,
                module: &module,
                entry_point: Some(&entry),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        })?;
        let bound = (self
            .storage
            .iter()
            .zip(&storage)
            .map(|(&(g, b, size), buffer)| (g, b, size.next_multiple_of(4), buffer)))
        .chain(
            self.values
                .iter()
                .zip(&values)
                .map(|(((g, b), ..), buffer)| (*g, *b, buffer.size(), buffer)),
        );
        let bound: Vec<_> = bound.collect();
        let mut numbers: Vec<u32> = bound.iter().map(|b| b.0).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut groups = Vec::with_capacity(numbers.len());
        for number in numbers {
            let entries: Vec<_> = (bound.iter().filter(|b| b.0 == number))
                .map(|&(_, binding, size, buffer)| wgpu::BindGroupEntry {
                    binding,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer,
                        offset: 0,
                        size: wgpu::BufferSize::new(size),
                    }),
                })
                .collect();
            let group = gpu.scoped(|device| {
                let layout = pipeline.get_bind_group_layout(number);
                device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: None,
                    layout: &layout,
                    entries: &entries,
                })
            })?;
            groups.push((number, group));
        }
        Ok(Held {
            pipeline,
            groups,
            storage,
            _values: values,
        })
    }
}

/// Runs kernels under plain wgpu, each in one call.
#[derive(Clone)]
pub struct PlainRunner {
    device: Arc<WgpuDevice>,
}

impl PlainRunner {
    /// A runner on a device.
    #[must_use]
    pub fn new(device: &Arc<WgpuDevice>) -> Self {
        Self {
            device: Arc::clone(device),
        }
    }

    /// Runs a kernel `repeat` times over `buffers` (one for each storage binding, in binding order), which then hold the results.
    ///
    /// # Errors
    /// As [`PlainKernel::prepare`].
    #[allow(clippy::too_many_arguments)]
    pub fn run<'a>(
        &self,
        source: impl Into<Source<'a>>,
        entry: Option<&str>,
        overrides: &[(String, f64)],
        buffers: &mut [Vec<u8>],
        values: &[Vec<u8>],
        grid: [u32; 3],
        repeat: usize,
    ) -> Result<Timing, PlainError> {
        let sizes: Vec<u64> = buffers.iter().map(|b| b.len() as u64).collect();
        let kernel =
            PlainKernel::prepare(&self.device, source, entry, overrides, &sizes, values, grid)?;
        for (binding, bytes) in buffers.iter().enumerate() {
            kernel.write(binding, bytes)?;
        }
        let mut timing = Timing::default();
        for _ in 0..repeat {
            timing.seconds.push(kernel.dispatch_and_wait()?);
        }
        for (binding, bytes) in buffers.iter_mut().enumerate() {
            *bytes = kernel.read(binding)?;
        }
        Ok(timing)
    }
}
