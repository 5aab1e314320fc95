//! Compiled variants of a kernel, and the buffers and bind groups that each keeps warm.
//!
//! Key types: [`Compiled`] (lives in the device thread), [`Variants`] (the cache of one kernel).
//! Invariants: a variant is compiled once; its parameter block, values and bind groups are written again only
//! when they differ from the last launch's, so that a warm launch is one submission.

use std::borrow::Cow;
use std::sync::Arc;

use dashmap::DashMap;
use gmem_hal::trace::What;
use gmem_hal::{DeviceError, counted};
use gmem_shaders::{Entry, Mode, Rewritten, Slot, SlotKind, Variant};
use parking_lot::Mutex;

use crate::attempt::watch_report;
use crate::buffers::{Buffer, Purpose};
use crate::device::WgpuDevice;
use crate::exits::add_exits;
use crate::gpu::Gpu;
use crate::resource::{self, Resource};
use crate::thread::Kept;

/// A compiled variant.
pub(crate) struct Compiled {
    pub(crate) pipeline: wgpu::ComputePipeline,
    own: wgpu::BindGroupLayout,
    users: Option<wgpu::BindGroupLayout>,
    slots: Vec<Slot>,
    /// Bytes of one parameter block.
    block: u64,
    values: Vec<Value>,
    /// Binding numbers of the textures and samplers.
    resources: Vec<u32>,
    /// It is a checked run, which has a page table of its own.
    checked: bool,
    warm: Mutex<Warm>,
}

/// A uniform or immediate of the user's.
#[derive(Clone, Copy)]
struct Value {
    binding: u32,
    offset: u64,
    bytes: u64,
    storage: bool,
}

/// What the last launch left ready for the next.
#[derive(Default)]
struct Warm {
    epoch: u64,
    params: Option<Written>,
    values: Option<Written>,
    resources: Arc<Vec<Resource>>,
    own: Option<wgpu::BindGroup>,
    users: Option<wgpu::BindGroup>,
}

/// What is compiled: a rewritten kernel and how its own bindings are laid out.
struct Wanted {
    name: String,
    rewritten: Rewritten,
    /// Bytes of each value, and whether it is bound as storage.
    values: Vec<(u64, bool)>,
    resources: Vec<wgpu::BindingType>,
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
    fn compile(&self, wanted: Wanted) -> Result<Compiled, DeviceError> {
        let Wanted {
            name,
            rewritten,
            values,
            resources,
        } = wanted;
        let name = name.as_str();
        let storage = rewritten.storage_buffers;
        let most = self.facts.limits.max_storage_buffers_per_shader_stage;
        if storage > most {
            return Err(DeviceError::Unsupported {
                reason: format!(
                    "kernel `{name}` needs {} for its typed views of {}, the adapter has {most}: \
                     use a smaller device memory, or fewer element types",
                    counted(storage, "storage buffer"),
                    counted(self.windows.len() as u64, "window")
                ),
            });
        }
        let limits = &self.facts.limits;
        let alignment = limits
            .min_uniform_buffer_offset_alignment
            .max(limits.min_storage_buffer_offset_alignment);
        let mut end = 0;
        let values: Vec<Value> = (rewritten.values.iter().zip(&values))
            .map(|(&binding, &(bytes, storage))| {
                let value = Value {
                    binding,
                    offset: end,
                    bytes: bytes.next_multiple_of(16),
                    storage,
                };
                end = (end + value.bytes).next_multiple_of(alignment.into());
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
        let value_entries = values.iter().map(|v| {
            let ty = if v.storage {
                wgpu::BufferBindingType::Storage { read_only: true }
            } else {
                wgpu::BufferBindingType::Uniform
            };
            buffer_entry(v.binding, ty, false)
        });
        let resource_entries = rewritten
            .resources
            .iter()
            .zip(&resources)
            .map(|(&binding, &ty)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty,
                count: None,
            });
        let user_entries: Vec<_> = value_entries.chain(resource_entries).collect();
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
            resources: rewritten.resources,
            checked: false,
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
        resources: &Arc<Vec<Resource>>,
    ) -> Result<Groups, DeviceError> {
        let mut warm = self.warm.lock();
        let warm = &mut *warm;
        if warm.epoch != gpu.epoch {
            warm.epoch = gpu.epoch;
            warm.own = None;
        }
        let uniform = wgpu::BufferUsages::UNIFORM;
        if write(gpu, &mut warm.params, "parameters", uniform, params)? {
            warm.own = None;
        }
        if warm.resources != *resources {
            warm.resources = Arc::clone(resources);
            warm.users = None;
        }
        if !self.values.is_empty() {
            let mut bytes = Vec::new();
            for (value, given) in self.values.iter().zip(values) {
                bytes.resize(value.offset as usize, 0);
                bytes.extend_from_slice(given);
                bytes.resize((value.offset + value.bytes) as usize, 0);
            }
            let mut usage = uniform;
            usage.set(
                wgpu::BufferUsages::STORAGE,
                self.values.iter().any(|v| v.storage),
            );
            if write(gpu, &mut warm.values, "uniforms", usage, bytes)? {
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
                    .insert(self.user_group(gpu, layout, warm.values.as_ref(), resources)?)
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
                SlotKind::Table if self.checked => {
                    (&**gpu.grants.as_ref().ok_or_else(missing)?, None)
                }
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
        resources: &[Resource],
    ) -> Result<wgpu::BindGroup, DeviceError> {
        let numbers = self.resources.iter().zip(resources);
        let resources = numbers.map(|(&binding, resource)| wgpu::BindGroupEntry {
            binding,
            resource: resource.binding(),
        });
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
            .chain(resources)
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

/// Puts `bytes` in a buffer, unless they are there. Whether the buffer is a new one.
fn write(
    gpu: &Gpu,
    slot: &mut Option<Written>,
    what: &'static str,
    usage: wgpu::BufferUsages,
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
    let usage = usage | wgpu::BufferUsages::COPY_DST;
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
    /// By what they are compiled for, and which of the resources must not be filtered.
    compiled: DashMap<(Variant, Vec<bool>), Arc<Kept<Compiled>>>,
}

impl Variants {
    /// A variant, compiled now if it is the first time.
    pub(crate) fn get(
        &self,
        device: &WgpuDevice,
        entry: &Entry,
        variant: Variant,
        unfiltered: Vec<bool>,
    ) -> Result<Arc<Kept<Compiled>>, DeviceError> {
        let key = (variant, unfiltered);
        if let Some(found) = self.compiled.get(&key) {
            return Ok(Arc::clone(&found));
        }
        let (variant, unfiltered) = &key;
        let most = device.facts().limits.max_storage_buffers_per_shader_stage;
        let mut rewritten =
            entry
                .rewrite_within(variant, most)
                .map_err(|error| DeviceError::Unsupported {
                    reason: format!("kernel `{}` cannot be translated: {error}", entry.name),
                })?;
        if device.is_gl() {
            add_exits(&mut rewritten);
        }
        let checked = variant.mode == Mode::Checked;
        if checked {
            watch_report(&mut rewritten, device.facts());
        }
        let rigid = |i: usize| unfiltered.get(i).copied().unwrap_or(false);
        let wanted = Wanted {
            name: entry.name.clone(),
            rewritten,
            values: (entry.values.iter())
                .map(|v| (v.bytes.into(), v.is_storage()))
                .collect(),
            resources: (entry.resources.iter().enumerate())
                .map(|(i, r)| resource::layout(r.kind, rigid(i)))
                .collect(),
        };
        let thread = device.thread();
        let block = u64::from(gmem_shaders::Params::vectors(entry.storage.len())) * 16;
        let compiled = thread.call(move |gpu| {
            let began = gpu.tracer.begin();
            let name = wanted.name.clone();
            let compiled = gpu.compile(wanted)?;
            gpu.tracer.end(began, || What::Compile {
                kernel: name.as_str().into(),
            });
            Ok(Compiled {
                block,
                checked,
                ..compiled
            })
        })?;
        let kept = Arc::new(Kept::new(compiled, thread));
        Ok(Arc::clone(&self.compiled.entry(key).or_insert(kept)))
    }
}
