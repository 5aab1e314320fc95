//! Compiled variants of a kernel, and the buffers and bind groups that each keeps warm.
//!
//! Key types: [`Compiled`] (lives in the device thread), [`Variants`] (the cache of one kernel).
//! Invariants: a variant is compiled once; its parameter block, uniforms and bind groups are written again only
//! when they differ from the last launch's, so that a warm launch is one submission.

use std::borrow::Cow;
use std::sync::Arc;

use dashmap::DashMap;
use gmem_hal::trace::What;
use gmem_hal::{DeviceError, counted};
use gmem_shaders::{Entry, Rewritten, Slot, SlotKind, Variant};
use parking_lot::Mutex;

use crate::buffers::{Buffer, Purpose};
use crate::exits::add_exits;
use crate::gpu::Gpu;
use crate::thread::{DeviceThread, Kept};

/// A compiled variant.
pub(crate) struct Compiled {
    pub(crate) pipeline: wgpu::ComputePipeline,
    own: wgpu::BindGroupLayout,
    users: Option<wgpu::BindGroupLayout>,
    slots: Vec<Slot>,
    /// Bytes of one parameter block.
    block: u64,
    values: Vec<Value>,
    warm: Mutex<Warm>,
}

/// A uniform of the user's.
struct Value {
    binding: u32,
    offset: u64,
    bytes: u64,
}

/// What the last launch left ready for the next.
#[derive(Default)]
struct Warm {
    epoch: u64,
    params: Option<Written>,
    values: Option<Written>,
    own: Option<wgpu::BindGroup>,
    users: Option<wgpu::BindGroup>,
}

/// A uniform buffer and what is in it.
struct Written {
    buffer: Buffer,
    bytes: Vec<u8>,
}

/// The bind groups of a launch, and the distance of its parameter blocks.
pub(crate) struct Groups {
    pub(crate) own: wgpu::BindGroup,
    pub(crate) users: Option<wgpu::BindGroup>,
}

fn buffer_entry(
    binding: u32,
    ty: wgpu::BufferBindingType,
    dynamic: bool,
) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: dynamic,
            min_binding_size: None,
        },
        count: None,
    }
}

impl Gpu {
    /// Compiles a rewritten kernel whose uniforms have these many bytes.
    pub(crate) fn compile(
        &self,
        name: &str,
        rewritten: Rewritten,
        value_bytes: &[u64],
    ) -> Result<Compiled, DeviceError> {
        let storage = rewritten
            .slots
            .iter()
            .filter(|s| s.kind != SlotKind::Params)
            .count();
        let most = self.facts.limits.max_storage_buffers_per_shader_stage as usize;
        if storage > most {
            return Err(DeviceError::Unsupported {
                reason: format!(
                    "kernel `{name}` needs {} for its typed views of {}, the adapter has {most}: \
                     use a smaller device memory, or fewer element types",
                    counted(storage as u64, "storage buffer"),
                    counted(self.windows.len() as u64, "window")
                ),
            });
        }
        let alignment = u64::from(self.facts.limits.min_uniform_buffer_offset_alignment);
        let mut end = 0;
        let values: Vec<Value> = (rewritten.values.iter().zip(value_bytes))
            .map(|(&binding, &bytes)| {
                let value = Value {
                    binding,
                    offset: end,
                    bytes: bytes.next_multiple_of(16),
                };
                end = (end + value.bytes).next_multiple_of(alignment);
                value
            })
            .collect();
        let entries: Vec<_> = rewritten
            .slots
            .iter()
            .map(|slot| {
                let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
                match slot.kind {
                    SlotKind::Params => {
                        buffer_entry(slot.binding, wgpu::BufferBindingType::Uniform, true)
                    }
                    SlotKind::Table => buffer_entry(slot.binding, storage(true), false),
                    SlotKind::Report => buffer_entry(slot.binding, storage(false), false),
                    SlotKind::Window { write, .. } => {
                        buffer_entry(slot.binding, storage(!write), false)
                    }
                }
            })
            .collect();
        let user_entries: Vec<_> = values
            .iter()
            .map(|v| buffer_entry(v.binding, wgpu::BufferBindingType::Uniform, false))
            .collect();
        let (slots, entry) = (rewritten.slots, rewritten.entry);
        let (own, users, pipeline) = self
            .scoped(|device| {
                let layout = |entries: &[wgpu::BindGroupLayoutEntry]| {
                    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                        label: Some(name),
                        entries,
                    })
                };
                let own = layout(&entries);
                let users = (!user_entries.is_empty()).then(|| layout(&user_entries));
                let groups: Vec<_> = [Some(&own), users.as_ref()]
                    .into_iter()
                    .filter(Option::is_some)
                    .collect();
                let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
                    label: Some(name),
                    source: wgpu::ShaderSource::Naga(Cow::Owned(rewritten.module)),
                });
                let pipeline_layout =
                    device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                        label: Some(name),
                        bind_group_layouts: &groups,
                        immediate_size: 0,
                    });
                let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(name),
                    layout: Some(&pipeline_layout),
                    module: &module,
                    entry_point: Some(&entry),
                    compilation_options: wgpu::PipelineCompilationOptions::default(),
                    cache: None,
                });
                (own, users, pipeline)
            })
            .map_err(|error| match error {
                DeviceError::Unsupported { reason } => DeviceError::Unsupported {
                    reason: format!("kernel `{name}` does not compile: {reason}"),
                },
                other => other,
            })?;
        Ok(Compiled {
            pipeline,
            own,
            users,
            slots,
            block: 0,
            values,
            warm: Mutex::default(),
        })
    }
}

impl Compiled {
    /// Whether it reads its parameter block.
    pub(crate) fn has_params(&self) -> bool {
        self.slots.iter().any(|s| s.kind == SlotKind::Params)
    }

    /// Brings parameters, uniforms and bind groups up to date; `params` holds the blocks at their distances.
    pub(crate) fn warm(
        &self,
        gpu: &Gpu,
        params: Vec<u8>,
        values: &[Vec<u8>],
    ) -> Result<Groups, DeviceError> {
        let mut warm = self.warm.lock();
        let warm = &mut *warm;
        if warm.epoch != gpu.epoch {
            warm.epoch = gpu.epoch;
            warm.own = None;
        }
        if write(gpu, &mut warm.params, "parameters", params)? {
            warm.own = None;
        }
        if self.users.is_some() {
            let mut bytes = Vec::new();
            for (value, given) in self.values.iter().zip(values) {
                bytes.resize(value.offset as usize, 0);
                bytes.extend_from_slice(given);
                bytes.resize((value.offset + value.bytes) as usize, 0);
            }
            if write(gpu, &mut warm.values, "uniforms", bytes)? {
                warm.users = None;
            }
        }
        let own = match &warm.own {
            Some(group) => group.clone(),
            None => warm
                .own
                .insert(self.own_group(gpu, warm.params.as_ref())?)
                .clone(),
        };
        let users = match (&self.users, &warm.users) {
            (None, _) => None,
            (Some(_), Some(group)) => Some(group.clone()),
            (Some(layout), None) => Some(
                warm.users
                    .insert(self.user_group(gpu, layout, warm.values.as_ref())?)
                    .clone(),
            ),
        };
        Ok(Groups { own, users })
    }

    fn own_group(
        &self,
        gpu: &Gpu,
        params: Option<&Written>,
    ) -> Result<wgpu::BindGroup, DeviceError> {
        let missing = || DeviceError::Refused {
            call: "a launch",
            reason: "no space is attached".to_owned(),
        };
        let mut entries = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let (buffer, size): (&wgpu::Buffer, _) = match slot.kind {
                SlotKind::Params => (
                    &params.ok_or_else(missing)?.buffer,
                    wgpu::BufferSize::new(self.block),
                ),
                SlotKind::Table => (&gpu.table.as_ref().ok_or_else(missing)?.buffer, None),
                SlotKind::Report => (&gpu.reports()?.report, None),
                SlotKind::Window { window, .. } => (
                    gpu.windows
                        .get(window as usize)
                        .ok_or_else(|| DeviceError::Refused {
                            call: "a launch",
                            reason: format!("window {window} does not exist"),
                        })?,
                    None,
                ),
            };
            entries.push(wgpu::BindGroupEntry {
                binding: slot.binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: 0,
                    size,
                }),
            });
        }
        gpu.scoped(|device| {
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &self.own,
                entries: &entries,
            })
        })
    }

    fn user_group(
        &self,
        gpu: &Gpu,
        layout: &wgpu::BindGroupLayout,
        values: Option<&Written>,
    ) -> Result<wgpu::BindGroup, DeviceError> {
        let entries: Vec<_> = (values.into_iter())
            .flat_map(|written| self.values.iter().map(move |value| (written, value)))
            .map(|(written, value)| wgpu::BindGroupEntry {
                binding: value.binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &written.buffer,
                    offset: value.offset,
                    size: wgpu::BufferSize::new(value.bytes),
                }),
            })
            .collect();
        gpu.scoped(|device| {
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout,
                entries: &entries,
            })
        })
    }
}

/// Puts `bytes` in a uniform buffer, unless they are there. Whether the buffer is a new one.
fn write(
    gpu: &Gpu,
    slot: &mut Option<Written>,
    what: &'static str,
    bytes: Vec<u8>,
) -> Result<bool, DeviceError> {
    if let Some(written) = slot
        && written.buffer.size() >= bytes.len() as u64
    {
        if written.bytes != bytes {
            gpu.queue.write_buffer(&written.buffer, 0, &bytes);
            written.bytes = bytes;
        }
        return Ok(false);
    }
    let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.buffer(
        Purpose::Table,
        what,
        (bytes.len() as u64).next_power_of_two(),
        usage,
        false,
    )?;
    gpu.queue.write_buffer(&buffer, 0, &bytes);
    *slot = Some(Written { buffer, bytes });
    Ok(true)
}

/// The compiled variants of one kernel.
#[derive(Default)]
pub(crate) struct Variants {
    compiled: DashMap<Variant, Arc<Kept<Compiled>>>,
}

impl Variants {
    /// A variant, compiled now if it is the first time.
    pub(crate) fn get(
        &self,
        thread: &Arc<DeviceThread>,
        gl: bool,
        entry: &Entry,
        variant: Variant,
    ) -> Result<Arc<Kept<Compiled>>, DeviceError> {
        if let Some(found) = self.compiled.get(&variant) {
            return Ok(Arc::clone(&found));
        }
        let mut rewritten = entry
            .rewrite(&variant)
            .map_err(|error| DeviceError::Unsupported {
                reason: format!("kernel `{}` cannot be translated: {error}", entry.name),
            })?;
        if gl {
            add_exits(&mut rewritten);
        }
        let name = entry.name.clone();
        let value_bytes: Vec<u64> = entry.values.iter().map(|v| u64::from(v.bytes)).collect();
        let block = u64::from(gmem_shaders::Params::vectors(entry.storage.len())) * 16;
        let compiled = thread.call(move |gpu| {
            let began = gpu.tracer.begin();
            let compiled = gpu.compile(&name, rewritten, &value_bytes)?;
            gpu.tracer.end(began, || What::Compile {
                kernel: name.as_str().into(),
            });
            Ok(Compiled { block, ..compiled })
        })?;
        let kept = Arc::new(Kept::new(compiled, thread));
        Ok(Arc::clone(&self.compiled.entry(variant).or_insert(kept)))
    }
}
