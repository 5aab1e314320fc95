//! The device that the manager sees: each call is checked here and done in the device thread.
//!
//! Key types: [`WgpuDevice`], [`WgpuOptions`]. Invariant: no call panics, and none waits for anything but the GPU.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gmem_hal::trace::Tracer;
use gmem_hal::{
    Attempt, AttemptReport, CopyRun, Device, DeviceBytes, DeviceError, DeviceInfo, FrameCopy,
    FrameRun, Geometry, GridBox, HostMemory, Kernel, Launch, PageEntry, PageSize, Pass, PassReport,
    ProbeReport, Window, counted,
};
use gmem_shaders::Cache;
use parking_lot::Mutex;

use crate::adapter::{self, AdapterChoice, AdapterKind, AdapterSummary};
use crate::buffers::{BufferTrace, Tally};
use crate::clock::Label;
use crate::error::OpenError;
use crate::gpu::{Facts, Gpu};
use crate::kernel::{Cores, WgpuKernel};
use crate::report::FIRST_RECORD;
use crate::staging::{Download, Upload, chunk_bytes};
use crate::thread::DeviceThread;
use crate::windows::{GUARD_BYTES, Place, WindowPlan};

/// The default cap of a software adapter: its memory is the host's.
const CPU_MEMORY: u64 = 256 << 20;
/// The default cap of any other: well below what is free on any of today's.
const GPU_MEMORY: u64 = 1 << 30;

/// The least cap on remote memory when nobody says otherwise, in bytes: what a thousand lanes can touch in pages of 64 KiB.
pub const REMOTE_MEMORY: u64 = 64 << 20;

/// How long a submission should take: drivers give up on one that takes some seconds.
const SUBMISSION: Duration = Duration::from_millis(250);

/// What to open, and how much of it to use.
#[derive(Clone, Debug, Default)]
pub struct WgpuOptions {
    /// The adapter.
    pub adapter: AdapterChoice,
    /// A hard cap on the bytes of all windows together, guards included. By default 256 MiB on a software adapter, else 1 GiB.
    pub device_memory: Option<u64>,
    /// A cap on the bytes of remote windows, guards included: the host's memory, lent to workgroups that need more than the device's
    /// own, on adapters whose kernels reach it (`MAPPABLE_PRIMARY_BUFFERS`). By default as much as `device_memory`, and at least 64 MiB.
    pub remote_memory: Option<u64>,
    /// The most bytes of one window, guard included, where that is less than the adapter's own limit (for tests).
    pub window_bytes: Option<u64>,
    /// The most storage buffers of one shader, where that is less than the adapter's own limit (for tests).
    pub storage_buffers: Option<u32>,
    /// How long a submission should take, where that is not a quarter of a second (for tests): longer passes are cut.
    pub submission: Option<Duration>,
    /// The most workgroups in a dimension of a dispatch, where that is less than the adapter's own limit (for tests).
    pub workgroups_per_dimension: Option<u32>,
    /// Who is told of every buffer made.
    pub trace: BufferTrace,
    /// Where waits go, and when the GPU ran what, by its own clock where it has one.
    pub tracer: Tracer,
}

/// What `attach` settled.
pub(crate) struct Attached {
    pub(crate) geometry: Geometry,
    pub(crate) plan: WindowPlan,
    staging_bytes: u64,
}

/// One GPU, opened through wgpu.
pub struct WgpuDevice {
    // Views of mapped buffers go before the thread that owns the buffers.
    upload: Mutex<Upload>,
    download: Mutex<Download>,
    attached: OnceLock<Attached>,
    attaching: Mutex<()>,
    windows: AtomicU32,
    facts: Facts,
    tally: Arc<Tally>,
    cap: u64,
    /// The cap on remote windows: none where kernels cannot reach them.
    remote: Result<u64, &'static str>,
    window_bytes: Option<u64>,
    submission: Duration,
    tracer: Tracer,
    /// What was made of shaders before.
    cache: Cache,
    cores: Cores,
    thread: Arc<DeviceThread>,
}

/// Opens an adapter.
///
/// # Errors
/// When there is none of that kind, it is not fit for gmem, the driver refuses it, or the cap is too small.
pub fn open(options: &WgpuOptions) -> Result<Arc<WgpuDevice>, OpenError> {
    let least = PageSize::MIN.bytes() + GUARD_BYTES;
    if let Some(bytes) = options.device_memory.filter(|&b| b < least) {
        return Err(OpenError::Budget { bytes, least });
    }
    let tally = Arc::new(Tally::new(options.trace.clone()));
    let (choice, counts) = (options.adapter.clone(), Arc::clone(&tally));
    let storage_buffers = options.storage_buffers.unwrap_or(u32::MAX);
    let workgroups = options.workgroups_per_dimension.unwrap_or(u32::MAX).max(1);
    let tracer = options.tracer.clone();
    let (thread, facts) = DeviceThread::start(move || {
        let (summary, adapter) = adapter::choose(&choice)?;
        let mut gpu = Gpu::open(&adapter, summary, counts, tracer)?;
        let limits = &mut gpu.facts.limits;
        let most = &mut limits.max_storage_buffers_per_shader_stage;
        *most = storage_buffers.min(*most);
        let most = &mut limits.max_compute_workgroups_per_dimension;
        *most = workgroups.min(*most);
        let facts = gpu.facts.clone();
        Ok((gpu, facts))
    })?;
    let default = if facts.adapter.kind == AdapterKind::Cpu {
        CPU_MEMORY
    } else {
        GPU_MEMORY
    };
    let cap = options.device_memory.unwrap_or(default);
    let remote = options.remote_memory.unwrap_or(cap.max(REMOTE_MEMORY));
    let remote = if remote == 0 {
        Err("none is allowed")
    } else if facts
        .features
        .contains(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS)
    {
        Ok(remote)
    } else {
        Err("this adapter's kernels cannot reach the host's memory")
    };
    Ok(Arc::new(WgpuDevice {
        upload: Mutex::default(),
        download: Mutex::default(),
        attached: OnceLock::new(),
        attaching: Mutex::new(()),
        windows: AtomicU32::new(0),
        facts,
        tally,
        cap,
        remote,
        window_bytes: options.window_bytes,
        submission: options.submission.unwrap_or(SUBMISSION),
        tracer: options.tracer.clone(),
        cache: Cache::default(),
        cores: Cores::default(),
        thread,
    }))
}

impl WgpuDevice {
    /// The adapter.
    #[must_use]
    pub const fn adapter(&self) -> &AdapterSummary {
        &self.facts.adapter
    }

    /// The cap on the bytes of all windows.
    #[must_use]
    pub const fn device_memory(&self) -> u64 {
        self.cap
    }

    /// The cap on the bytes of all remote windows: 0 where there are none.
    #[must_use]
    pub fn remote_memory(&self) -> u64 {
        self.remote.unwrap_or(0)
    }

    /// Bytes of the buffers of kernels under plain wgpu ([`crate::PlainKernel`]) on this device.
    #[must_use]
    pub fn plain_bytes(&self) -> u64 {
        self.tally.plain()
    }

    /// The wgpu device and queue behind it, for work of the caller's own beside gmem's. Buffers made with them count for nothing here.
    ///
    /// On GL a wait must be cut into slices of some 100 ms: its lock gives up after a few seconds.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn wgpu(&self) -> Result<(wgpu::Device, wgpu::Queue), DeviceError> {
        self.thread
            .call(|gpu| Ok((gpu.device.clone(), gpu.queue.clone())))
    }

    pub(crate) const fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(crate) const fn cores(&self) -> &Cores {
        &self.cores
    }

    pub(crate) const fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) const fn thread(&self) -> &Arc<DeviceThread> {
        &self.thread
    }

    /// The name of a submission for the GPU's track, if anybody traces.
    pub(crate) fn label(&self, kernel: &str, probe: bool) -> Option<Label> {
        let kernel = self.tracer.is_on().then(|| kernel.into())?;
        Some(Label { kernel, probe })
    }

    pub(crate) const fn submission(&self) -> Duration {
        self.submission
    }

    pub(crate) fn is_gl(&self) -> bool {
        self.facts.adapter.backend == "gl"
    }

    /// Windows that exist, at least 1: kernels are compiled for it.
    pub(crate) fn window_count(&self) -> u32 {
        self.windows.load(Ordering::Acquire).max(1)
    }

    pub(crate) fn attached(&self, call: &'static str) -> Result<&Attached, DeviceError> {
        let reason = "no address space is attached: attach one first".to_owned();
        self.attached
            .get()
            .ok_or(DeviceError::Refused { call, reason })
    }

    /// Where frames of that size lie, and the bytes of a staging buffer, when the attached space has all that is to be copied.
    fn copying(
        &self,
        call: &'static str,
        size: PageSize,
        runs: &[CopyRun],
    ) -> Result<(WindowPlan, u64), DeviceError> {
        let attached = self.attached(call)?;
        let plan = attached.plan.in_pieces(size);
        let outside = runs.iter().find(|run| {
            let bytes = u64::from(run.frames.frames) * plan.page;
            run.offset
                .checked_add(bytes)
                .is_none_or(|end| end > attached.geometry.len)
        });
        match outside {
            None => Ok((plan, attached.staging_bytes)),
            Some(run) => Err(DeviceError::Refused {
                call,
                reason: format!(
                    "there is no room for {} at offset {:#x} of the space",
                    counted(run.frames.frames, "page"),
                    run.offset
                ),
            }),
        }
    }

    fn places(plan: &WindowPlan, runs: &[FrameRun]) -> Vec<Place> {
        runs.iter()
            .filter(|r| r.frames > 0)
            .map(|&run| plan.place(run))
            .collect()
    }
}

impl Device for WgpuDevice {
    fn attach(&self, geometry: Geometry) -> Result<DeviceInfo, DeviceError> {
        let _one = self.attaching.lock();
        if self.attached.get().is_some() {
            let reason = "an address space is attached already: open the adapter again for another"
                .to_owned();
            return Err(DeviceError::Refused {
                call: "attach",
                reason,
            });
        }
        let limits = &self.facts.limits;
        let binding = limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size);
        let binding = binding.min(self.window_bytes.unwrap_or(u64::MAX));
        let plan = WindowPlan::new(
            geometry.page,
            self.cap,
            binding,
            limits.max_storage_buffers_per_shader_stage,
        )?
        .with_remote(self.remote_memory(), binding);
        let staging_bytes = chunk_bytes(self.cap);
        self.thread.call(move |gpu| {
            gpu.create_table()?;
            gpu.cover_report(FIRST_RECORD)?;
            gpu.create_staging(staging_bytes)
        })?;
        let attached = self.attached.get_or_init(|| Attached {
            geometry,
            plan,
            staging_bytes,
        });
        Ok(DeviceInfo {
            name: self.facts.adapter.name.clone(),
            backend: self.facts.adapter.backend,
            max_frames: attached.plan.max_frames,
            window_frames: attached.plan.window_frames,
            window_overhead: GUARD_BYTES,
            remote_frames: attached.plan.remote_frames,
            remote_limit: match self.remote {
                Ok(_) if attached.plan.remote_frames == 0 => {
                    "no page of it fits what is allowed, or what a kernel can bind"
                }
                Ok(_) => "that is all that is allowed, and that a kernel can bind",
                Err(why) => why,
            },
        })
    }

    /// Windows are few and each is as large as the cap and the adapter let it be, so `want` only says that more is wanted.
    fn grow(&self, _want: u32) -> Result<Window, DeviceError> {
        let plan = self.attached("grow")?.plan;
        let (window, count) = self
            .thread
            .call(move |gpu| Ok((gpu.grow(&plan)?, gpu.windows.len() as u32)))?;
        self.windows.fetch_max(count, Ordering::Release);
        Ok(window)
    }

    fn grow_remote(&self, want: u32) -> Result<Window, DeviceError> {
        let plan = self.attached("grow_remote")?.plan;
        let (window, count) = self
            .thread
            .call(move |gpu| Ok((gpu.grow_remote(&plan, want)?, gpu.windows.len() as u32)))?;
        self.windows.fetch_max(count, Ordering::Release);
        Ok(window)
    }

    fn drop_remote(&self) -> Result<(), DeviceError> {
        let count = self.thread.call(|gpu| {
            gpu.drop_remote();
            Ok(gpu.windows.len() as u32)
        })?;
        self.windows.store(count, Ordering::Release);
        Ok(())
    }

    fn set_entries(&self, entries: &[PageEntry]) -> Result<(), DeviceError> {
        let plan = self.attached("set_entries")?.plan;
        if entries.is_empty() {
            return Ok(());
        }
        let entries = entries.to_vec();
        self.thread
            .call(move |gpu| gpu.set_entries(&plan, &entries))
    }

    fn upload(&self, runs: &[CopyRun], host: &dyn HostMemory) -> Result<(), DeviceError> {
        self.upload_pieces(self.attached("upload")?.geometry.page, runs, host)
    }

    fn download(&self, runs: &[CopyRun], host: &dyn HostMemory) -> Result<(), DeviceError> {
        self.download_pieces(self.attached("download")?.geometry.page, runs, host)
    }

    fn upload_pieces(
        &self,
        size: PageSize,
        runs: &[CopyRun],
        host: &dyn HostMemory,
    ) -> Result<(), DeviceError> {
        let (plan, staging) = self.copying("upload", size, runs)?;
        let mut upload = self.upload.lock();
        upload.copy(&self.thread, &plan, staging, runs, host)
    }

    fn download_pieces(
        &self,
        size: PageSize,
        runs: &[CopyRun],
        host: &dyn HostMemory,
    ) -> Result<(), DeviceError> {
        let (plan, staging) = self.copying("download", size, runs)?;
        let mut download = self.download.lock();
        download.copy(&self.thread, &plan, staging, runs, host)
    }

    fn zero(&self, runs: &[FrameRun]) -> Result<(), DeviceError> {
        let places = Self::places(&self.attached("zero")?.plan, runs);
        if places.is_empty() {
            return Ok(());
        }
        self.thread.call(move |gpu| gpu.zero(&places))
    }

    fn run(&self, pass: &Pass<'_>) -> Result<PassReport, DeviceError> {
        self.run_pass(pass)
    }

    fn attempt(&self, attempt: &Attempt<'_>) -> Result<AttemptReport, DeviceError> {
        self.run_attempt(attempt)
    }

    fn copy_frames(&self, copies: &[FrameCopy]) -> Result<(), DeviceError> {
        self.run_copies(copies)
    }

    fn probe(&self, launch: &Launch, boxes: &[GridBox]) -> Result<Vec<ProbeReport>, DeviceError> {
        self.run_probe(launch, boxes)
    }

    fn probe_width(&self, launch: &Launch) -> usize {
        self.width(launch)
    }

    fn bytes(&self) -> DeviceBytes {
        self.tally.bytes()
    }

    fn accepts(&self, kernel: &Arc<dyn Kernel>) -> bool {
        kernel
            .as_any()
            .downcast_ref::<WgpuKernel>()
            .is_some_and(|k| std::ptr::eq(self, Arc::as_ptr(k.device())))
    }
}
