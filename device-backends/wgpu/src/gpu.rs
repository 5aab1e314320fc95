//! What the device thread owns: the wgpu device and queue, the windows, the page table and the report buffers.
//!
//! Key types: [`Gpu`], [`Facts`] (what never changes, shared with the callers).
//! Invariant: only the device thread has a [`Gpu`]; [`Gpu::epoch`] changes whenever a buffer that bind groups name does.

use std::sync::Arc;
use std::time::Duration;

use gmem_hal::DeviceError;
use gmem_hal::trace::{Tracer, WaitFor, What};
use parking_lot::Mutex;

use crate::abilities::Abilities;
use crate::adapter::AdapterSummary;
use crate::buffers::{Buffer, Tally};
use crate::clock::Clock;
use crate::error::{OpenError, device_error, one_line};
use crate::report::Reports;
use crate::staging::Staging;
use crate::table::Table;

/// The longest single wait: GL's context lock panics when others wait for it for six seconds.
const SLICE: Duration = Duration::from_millis(100);

/// What never changes about an open device.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) adapter: AdapterSummary,
    pub(crate) limits: wgpu::Limits,
    pub(crate) features: wgpu::Features,
    /// What kernels may use.
    pub(crate) abilities: Abilities,
}

/// What went wrong outside any call.
#[derive(Default)]
struct Troubles {
    first_error: Mutex<Option<wgpu::Error>>,
    lost: Mutex<Option<String>>,
}

/// The GPU, as its thread sees it.
pub(crate) struct Gpu {
    pub(crate) windows: Vec<Buffer>,
    /// How many of the last windows are remote.
    pub(crate) remote_windows: usize,
    pub(crate) table: Option<Table>,
    pub(crate) reports: Option<Reports>,
    /// The page table of attempts.
    pub(crate) grants: Option<Buffer>,
    /// What frames are copied through.
    pub(crate) scratch: Option<Buffer>,
    pub(crate) staging: Option<Staging>,
    /// Changes with every buffer that bind groups name.
    pub(crate) epoch: u64,
    pub(crate) facts: Facts,
    pub(crate) tally: Arc<Tally>,
    pub(crate) tracer: Tracer,
    pub(crate) clock: Option<Clock>,
    pub(crate) queue: wgpu::Queue,
    pub(crate) device: wgpu::Device,
    troubles: Arc<Troubles>,
}

/// Features that kernels may use where the adapter has them.
fn wanted_features() -> wgpu::Features {
    wgpu::Features::SHADER_F64
        | wgpu::Features::SHADER_F16
        | wgpu::Features::SHADER_I16
        | wgpu::Features::SHADER_INT64
        | wgpu::Features::SHADER_INT64_ATOMIC_MIN_MAX
        | wgpu::Features::SHADER_INT64_ATOMIC_ALL_OPS
        | wgpu::Features::SHADER_FLOAT32_ATOMIC
        | wgpu::Features::SUBGROUP
        | wgpu::Features::SUBGROUP_BARRIER
        | wgpu::Features::IMMEDIATES
        // Remote windows.
        | wgpu::Features::MAPPABLE_PRIMARY_BUFFERS
        // For the flag of attempts, as well.
        | wgpu::Features::MEMORY_DECORATION_COHERENT
        | wgpu::Features::MEMORY_DECORATION_VOLATILE
        // Textures beside the paged memory, whatever they are made of.
        | wgpu::Features::TEXTURE_ADAPTER_SPECIFIC_FORMAT_FEATURES
        | wgpu::Features::TEXTURE_FORMAT_16BIT_NORM
        | wgpu::Features::TEXTURE_ATOMIC
        | wgpu::Features::TEXTURE_INT64_ATOMIC
        | wgpu::Features::FLOAT32_FILTERABLE
        | wgpu::Features::TEXTURE_COMPRESSION_BC
        | wgpu::Features::TEXTURE_COMPRESSION_ETC2
        | wgpu::Features::TEXTURE_COMPRESSION_ASTC
}

impl Gpu {
    /// Opens an adapter, with all it has.
    pub(crate) fn open(
        adapter: &wgpu::Adapter,
        summary: AdapterSummary,
        tally: Arc<Tally>,
        tracer: Tracer,
    ) -> Result<Self, OpenError> {
        if summary.limits.storage_buffers < 3 {
            return Err(OpenError::Unfit {
                reason: format!(
                    "a kernel needs 3 storage buffers, it has {}",
                    summary.limits.storage_buffers
                ),
                adapter: summary.name,
            });
        }
        let mut wanted = wanted_features();
        if tracer.is_on() {
            wanted |= wgpu::Features::TIMESTAMP_QUERY;
        }
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("gmem"),
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            // Dedicated allocations: what windows hold is what the device gives.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        }))
        .map_err(|e| OpenError::Request {
            adapter: summary.name.clone(),
            reason: one_line(&e.to_string()),
        })?;
        let troubles = Arc::new(Troubles::default());
        let noted = Arc::clone(&troubles);
        device.on_uncaptured_error(Arc::new(move |error| {
            noted.first_error.lock().get_or_insert(error);
        }));
        let noted = Arc::clone(&troubles);
        device.set_device_lost_callback(move |reason, message| {
            noted
                .lost
                .lock()
                .get_or_insert_with(|| format!("{reason:?}: {}", one_line(&message)));
        });
        let limits = device.limits();
        let downlevel = adapter.get_downlevel_capabilities().flags;
        let features = device.features();
        let abilities = Abilities::of(features, downlevel);
        let mut gpu = Self {
            windows: Vec::new(),
            remote_windows: 0,
            table: None,
            reports: None,
            grants: None,
            scratch: None,
            staging: None,
            epoch: 1,
            facts: Facts {
                adapter: summary,
                limits,
                features,
                abilities,
            },
            tally,
            tracer,
            clock: None,
            queue,
            device,
            troubles,
        };
        gpu.clock = Clock::of(&gpu);
        Ok(gpu)
    }

    /// # Errors
    /// When the device is lost.
    pub(crate) fn alive(&self) -> Result<(), DeviceError> {
        match &*self.troubles.lost.lock() {
            None => Ok(()),
            Some(reason) => Err(DeviceError::Lost {
                reason: reason.clone(),
            }),
        }
    }

    /// Gives the device up: every later call fails.
    pub(crate) fn lose(&self, reason: &str) {
        self.troubles
            .lost
            .lock()
            .get_or_insert_with(|| reason.to_owned());
    }

    /// # Errors
    /// The first error that no scope caught since the last call, or that the device is lost.
    pub(crate) fn uncaptured(&self) -> Result<(), DeviceError> {
        self.alive()?;
        match self.troubles.first_error.lock().take() {
            None => Ok(()),
            Some(error) => Err(device_error(&error)),
        }
    }

    /// Does something that may fail for want of memory, or because what is asked for is invalid.
    pub(crate) fn scoped<R>(&self, f: impl FnOnce(&wgpu::Device) -> R) -> Result<R, DeviceError> {
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let made = f(&self.device);
        let errors = [
            pollster::block_on(memory.pop()),
            pollster::block_on(validation.pop()),
            pollster::block_on(internal.pop()),
        ];
        self.alive()?;
        match errors.into_iter().flatten().next() {
            None => Ok(made),
            Some(error) => Err(device_error(&error)),
        }
    }

    /// Waits for a submission, in slices.
    pub(crate) fn wait(&self, submission: &wgpu::SubmissionIndex) -> Result<(), DeviceError> {
        let began = self.tracer.begin();
        let waited = self.wait_in_slices(submission);
        self.tracer.end(began, || What::Wait {
            on: WaitFor::Device,
        });
        waited
    }

    fn wait_in_slices(&self, submission: &wgpu::SubmissionIndex) -> Result<(), DeviceError> {
        loop {
            let poll = self.device.poll(wgpu::PollType::Wait {
                submission_index: Some(submission.clone()),
                timeout: Some(SLICE),
            });
            self.alive()?;
            match poll {
                Ok(_) => return Ok(()),
                Err(wgpu::PollError::Timeout) => {}
                Err(other) => {
                    // A submission that was refused has no index to wait for; why is known, and the device lives.
                    self.uncaptured()?;
                    let reason = one_line(&other.to_string());
                    self.lose(&reason);
                    return Err(DeviceError::Lost { reason });
                }
            }
        }
    }

    /// Asks for a buffer to be mapped; [`Mapping::wait`] then waits for it.
    pub(crate) fn map(&self, buffer: &wgpu::Buffer, mode: wgpu::MapMode, bytes: u64) -> Mapping {
        let done = Arc::new(Mutex::new(None));
        let told = Arc::clone(&done);
        buffer.map_async(mode, 0..bytes, move |result| {
            *told.lock() = Some(result.is_ok())
        });
        Mapping { done }
    }
}

/// A buffer on its way to the host.
pub(crate) struct Mapping {
    done: Arc<Mutex<Option<bool>>>,
}

impl Mapping {
    /// Waits until the buffer is mapped; `after` is the last submission that uses it.
    pub(crate) fn wait(&self, gpu: &Gpu, after: &wgpu::SubmissionIndex) -> Result<(), DeviceError> {
        gpu.wait(after)?;
        loop {
            match *self.done.lock() {
                Some(true) => return Ok(()),
                Some(false) => {
                    gpu.uncaptured()?;
                    return Err(DeviceError::Lost {
                        reason: "a staging buffer could not be mapped".to_owned(),
                    });
                }
                None => {}
            }
            // A mapping may follow its submission by a poll.
            let polled = gpu.device.poll(wgpu::PollType::Poll);
            gpu.alive()?;
            if polled.is_err() {
                gpu.lose("polling failed");
            }
        }
    }
}
