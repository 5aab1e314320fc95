//! The device itself: the contract of [`gmem_hal::Device`], over plain memory.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gmem_hal::{
    Attempt, AttemptReport, CopyRun, Device, DeviceBytes, DeviceError, DeviceInfo, FrameCopy,
    FrameIndex, FrameRun, Geometry, GridBox, HostMemory, Kernel, Launch, PageEntry, PageSize, Pass,
    PassReport, ProbeReport, Translation, Window,
};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use crate::findings::Findings;
use crate::inject::Gate;
use crate::memory::Memory;
use crate::thread::{Mode, PATIENCE};
use crate::{Call, Injection, SimKernel, SimStop, SimThread};

/// What a simulated device is like.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// A name for people.
    pub name: String,
    /// Bytes of memory: no more is ever given. Rounded down to pages.
    pub capacity_bytes: u64,
    /// Bytes in the largest window: rounded down to pages, at least one.
    pub window_bytes: u64,
    /// Bytes of remote memory: none by default. Rounded down to pages.
    pub remote_bytes: u64,
    /// What all chance comes from.
    pub seed: u64,
    /// How long each call takes, drawn anew for each.
    pub latency: Option<RangeInclusive<Duration>>,
    /// How many boxes one probe takes.
    pub probe_width: usize,
}

impl Default for SimOptions {
    /// 16 MiB in windows of 4 MiB, without latency.
    fn default() -> Self {
        Self {
            name: "sim".to_owned(),
            capacity_bytes: 16 << 20,
            window_bytes: 4 << 20,
            remote_bytes: 0,
            seed: 0,
            latency: None,
            probe_width: 16,
        }
    }
}

/// What a simulated device has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimCounts {
    /// Workgroups run to their end, probes aside.
    pub workgroups: u64,
    /// Pages copied to the device.
    pub pages_uploaded: u64,
    /// Pages copied home.
    pub pages_downloaded: u64,
    /// Frames filled with zeroes.
    pub frames_zeroed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    workgroups: AtomicU64,
    pages_uploaded: AtomicU64,
    pages_downloaded: AtomicU64,
    frames_zeroed: AtomicU64,
}

/// A simulated device.
#[derive(Debug)]
pub struct SimDevice {
    options: SimOptions,
    memory: Mutex<Option<Memory>>,
    gate: Gate,
    counters: Counters,
}

impl SimDevice {
    /// A device that is not attached yet.
    #[must_use]
    pub fn new(options: SimOptions) -> Self {
        Self {
            gate: Gate::new(options.seed, options.latency.clone()),
            options,
            memory: Mutex::new(None),
            counters: Counters::default(),
        }
    }

    /// Makes a call to come fail. Several injections count on their own; of those due at once the oldest comes first.
    pub fn inject(&self, injection: Injection) {
        self.gate.inject(injection);
    }

    /// Makes every call fail with this probability, with [`DeviceError::Refused`], before its effect or in the midst of it.
    pub fn fail_randomly(&self, probability: f64) {
        self.gate.fail_randomly(probability);
    }

    /// Takes back all injections and random failures to come. A lost device stays lost.
    pub fn clear_injections(&self) {
        self.gate.clear();
    }

    /// Takes the device down: this pass ends at its next workgroup, and every call from now on fails.
    pub fn lose(&self, reason: &str) {
        self.gate.lose(reason);
    }

    /// How often a function was called, failures included.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        self.gate.calls()[call as usize]
    }

    /// How often any function was called, failures included.
    #[must_use]
    pub fn total_calls(&self) -> u64 {
        self.gate.calls().iter().sum()
    }

    /// What was done.
    #[must_use]
    pub fn counts(&self) -> SimCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SimCounts {
            workgroups: get(&self.counters.workgroups),
            pages_uploaded: get(&self.counters.pages_uploaded),
            pages_downloaded: get(&self.counters.pages_downloaded),
            frames_zeroed: get(&self.counters.frames_zeroed),
        }
    }

    /// The page table as it is: all translations, by page.
    #[must_use]
    pub fn entries(&self) -> Vec<PageEntry> {
        self.memory
            .lock()
            .as_ref()
            .map_or_else(Vec::new, Memory::entries)
    }

    /// A copy of the bytes of adjacent frames.
    ///
    /// # Panics
    /// When there are no such frames.
    #[must_use]
    pub fn frame_bytes(&self, run: FrameRun) -> Vec<u8> {
        self.attached().run(run).to_vec()
    }

    fn page(&self) -> PageSize {
        self.attached().geometry.page
    }

    fn attached(&self) -> MappedMutexGuard<'_, Memory> {
        MutexGuard::map(self.memory.lock(), |memory| {
            memory.as_mut().expect("attach comes before any other call")
        })
    }

    /// The launch's kernel, when it is one of this device's and the launch fits it.
    fn kernel<'a>(&self, launch: &'a Launch) -> Result<&'a SimKernel, DeviceError> {
        let kernel = launch.kernel.as_any().downcast_ref::<SimKernel>();
        let kernel = kernel.ok_or_else(|| DeviceError::Unsupported {
            reason: format!(
                "kernel `{}` was not made for a simulated device",
                launch.kernel.name()
            ),
        })?;
        assert_eq!(
            launch.bound.len(),
            kernel.bindings().len(),
            "kernel `{}` is launched with another number of bindings than it has",
            kernel.name()
        );
        Ok(kernel)
    }

    /// Fails in the midst of writing to frames: some hold what they should, some nothing sensible, some what they held.
    fn scribble(&self, size: PageSize, runs: impl Iterator<Item = FrameRun>) {
        let mut memory = self.attached();
        self.gate.with_rng(|rng| {
            for run in runs {
                let frames = memory.run_mut_in(size, run);
                for frame in frames.chunks_mut(size.bytes() as usize) {
                    if rng.below(3) != 0 {
                        rng.fill(frame);
                    }
                }
            }
        });
    }

    fn run_workgroups(
        &self,
        kernel: &SimKernel,
        pass: &Pass<'_>,
        most: u64,
    ) -> Result<(), DeviceError> {
        let geometry = self.attached().geometry;
        let ids = pass.boxes.iter().flat_map(workgroups);
        for id in ids.take(usize::try_from(most).unwrap_or(usize::MAX)) {
            self.gate.check_lost()?;
            let mode = Mode::Run {
                translations: pass.translations,
            };
            SimThread::new(kernel, pass.launch, id, geometry, &self.memory, mode)
                .finish()
                .map_err(|stop| stop.into_error(kernel.name()))?;
            self.counters.workgroups.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl SimDevice {
    /// What an attempt may touch. Asserts that it keeps to its contract.
    fn granted(
        &self,
        kernel: &SimKernel,
        attempt: &Attempt<'_>,
    ) -> HashMap<u64, (FrameIndex, bool)> {
        let bound = &attempt.launch.bound;
        assert_eq!(
            attempt.translations.len(),
            bound.len(),
            "an attempt has one translation for each binding"
        );
        let ascending = attempt.pages.windows(2).all(|w| w[0].page < w[1].page);
        assert!(ascending, "the pages of an attempt ascend");
        let mut granted = HashMap::new();
        for entry in attempt.pages {
            let frame = entry.frame.expect("a page of an attempt has a frame");
            // Asserts that the frame exists.
            self.attached()
                .run_in(attempt.page, FrameRun::new(frame.0, 1));
            granted.insert(entry.page, frame);
        }
        let geometry = self.attached().geometry;
        let slid = |t: &Translation| matches!(t, Translation::Slid { .. });
        assert!(
            attempt.page == geometry.page || !attempt.translations.iter().any(slid),
            "an attempt in pieces of pages slides nothing"
        );
        for (b, translation) in attempt.translations.iter().enumerate() {
            let Translation::Slid {
                slice,
                frames,
                skip,
            } = translation
            else {
                continue;
            };
            let whole = (slice.offset, slice.len) == (0, bound[b].len);
            assert!(
                whole,
                "a slid binding of an attempt lies there with all its bytes"
            );
            let pages = geometry.pages_of(bound[b]);
            assert_eq!(u64::from(frames.frames), pages.end - pages.start);
            assert_eq!(*skip, bound[b].offset & (geometry.page.bytes() - 1));
            for (page, frame) in pages.zip(frames.first.0..) {
                let (at, writable) = granted[&page];
                assert_eq!(at.0, frame, "page {page} is in another frame");
                assert!(
                    writable || !kernel.bindings()[b].writes,
                    "page {page} may be stored to"
                );
            }
        }
        for b in attempt.boxes {
            assert_inside(b, attempt.launch.grid);
        }
        granted
    }
}

/// The workgroups of a box in row-major order.
fn workgroups(b: &GridBox) -> impl Iterator<Item = [u32; 3]> + use<> {
    let b = *b;
    let span = move |d: usize| b.start[d]..b.start[d] + b.size[d];
    span(2).flat_map(move |z| span(1).flat_map(move |y| span(0).map(move |x| [x, y, z])))
}

fn assert_inside(b: &GridBox, grid: [u32; 3]) {
    let inside = (0..3).all(|d| u64::from(b.start[d]) + u64::from(b.size[d]) <= u64::from(grid[d]));
    assert!(inside, "{b:?} is not part of the grid {grid:?}");
}

impl Device for SimDevice {
    fn attach(&self, geometry: Geometry) -> Result<DeviceInfo, DeviceError> {
        if let Some(error) = self.gate.enter(Call::Attach)? {
            return Err(error);
        }
        let mut memory = self.memory.lock();
        assert!(memory.is_none(), "a device is attached once");
        let new = Memory::new(
            geometry,
            self.options.capacity_bytes,
            self.options.window_bytes,
            self.options.remote_bytes,
        )?;
        let new = memory.insert(new);
        Ok(DeviceInfo {
            name: self.options.name.clone(),
            backend: "sim",
            max_frames: new.max_frames,
            window_frames: new.window_frames,
            window_overhead: 0,
            remote_frames: new.remote_frames,
            remote_limit: "that is all it is allowed",
        })
    }

    fn grow(&self, want: u32) -> Result<Window, DeviceError> {
        match self.gate.enter(Call::Grow)? {
            Some(error) => Err(error),
            None => self.attached().grow(want),
        }
    }

    fn grow_remote(&self, want: u32) -> Result<Window, DeviceError> {
        match self.gate.enter(Call::GrowRemote)? {
            Some(error) => Err(error),
            None => self.attached().grow_remote(want),
        }
    }

    fn drop_remote(&self) -> Result<(), DeviceError> {
        match self.gate.enter(Call::DropRemote)? {
            Some(error) => Err(error),
            None => {
                self.attached().drop_remote();
                Ok(())
            }
        }
    }

    fn set_entries(&self, entries: &[PageEntry]) -> Result<(), DeviceError> {
        if let Some(error) = self.gate.enter(Call::SetEntries)? {
            return Err(error);
        }
        self.attached().set_entries(entries);
        Ok(())
    }

    fn upload(&self, runs: &[CopyRun], host: &dyn HostMemory) -> Result<(), DeviceError> {
        let size = self.page();
        self.upload_pieces(size, runs, host)
    }

    fn download(&self, runs: &[CopyRun], host: &dyn HostMemory) -> Result<(), DeviceError> {
        let size = self.page();
        self.download_pieces(size, runs, host)
    }

    fn upload_pieces(
        &self,
        size: PageSize,
        runs: &[CopyRun],
        host: &dyn HostMemory,
    ) -> Result<(), DeviceError> {
        let failure = self.gate.enter(Call::Upload)?;
        for run in runs {
            let mut memory = self.attached();
            let frames = memory.run_mut_in(size, run.frames);
            host.read_bytes(run.offset, frames);
        }
        if let Some(error) = failure {
            self.scribble(size, runs.iter().map(|run| run.frames));
            return Err(error);
        }
        let pages = runs.iter().map(|run| u64::from(run.frames.frames)).sum();
        self.counters
            .pages_uploaded
            .fetch_add(pages, Ordering::Relaxed);
        Ok(())
    }

    fn download_pieces(
        &self,
        size: PageSize,
        runs: &[CopyRun],
        host: &dyn HostMemory,
    ) -> Result<(), DeviceError> {
        let failure = self.gate.enter(Call::Download)?;
        for run in runs {
            host.write_bytes(run.offset, self.attached().run_in(size, run.frames));
        }
        if let Some(error) = failure {
            let page = size.bytes();
            let mut rubbish = vec![0; page as usize];
            for run in runs {
                for at in 0..u64::from(run.frames.frames) {
                    let spared = self.gate.with_rng(|rng| {
                        rng.fill(&mut rubbish);
                        rng.below(3) == 0
                    });
                    if !spared {
                        host.write_bytes(run.offset + at * page, &rubbish);
                    }
                }
            }
            return Err(error);
        }
        let pages = runs.iter().map(|run| u64::from(run.frames.frames)).sum();
        self.counters
            .pages_downloaded
            .fetch_add(pages, Ordering::Relaxed);
        Ok(())
    }

    fn zero(&self, runs: &[FrameRun]) -> Result<(), DeviceError> {
        let failure = self.gate.enter(Call::Zero)?;
        for &run in runs {
            self.attached().run_mut(run).fill(0);
        }
        if let Some(error) = failure {
            let size = self.page();
            self.scribble(size, runs.iter().copied());
            return Err(error);
        }
        let frames = runs.iter().map(|run| u64::from(run.frames)).sum();
        self.counters
            .frames_zeroed
            .fetch_add(frames, Ordering::Relaxed);
        Ok(())
    }

    fn run(&self, pass: &Pass<'_>) -> Result<PassReport, DeviceError> {
        let failure = self.gate.enter(Call::Run)?;
        let start = Instant::now();
        let kernel = self.kernel(pass.launch)?;
        assert_eq!(
            pass.translations.len(),
            pass.launch.bound.len(),
            "a pass has one translation for each binding"
        );
        let page = self.attached().geometry.page.bytes();
        for translation in pass.translations {
            if let Translation::Slid { frames, skip, .. } = translation {
                assert!(*skip < page, "a slid slice starts in its first frame");
                // Asserts that the frames exist, whether the kernel touches them or not.
                self.attached().run(*frames);
            }
        }
        for b in pass.boxes {
            assert_inside(b, pass.launch.grid);
        }
        if let Some(error) = failure {
            if !matches!(error, DeviceError::Refused { .. }) {
                let all = pass.boxes.iter().map(GridBox::workgroups).sum::<u64>();
                let some = self.gate.with_rng(|rng| rng.below(all + 1));
                self.run_workgroups(kernel, pass, some)?;
            }
            return Err(error);
        }
        self.run_workgroups(kernel, pass, u64::MAX)?;
        Ok(PassReport {
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    fn attempt(&self, attempt: &Attempt<'_>) -> Result<AttemptReport, DeviceError> {
        let failure = self.gate.enter(Call::Attempt)?;
        let start = Instant::now();
        let kernel = self.kernel(attempt.launch)?;
        kernel
            .attemptable(attempt.launch)
            .map_err(|reason| DeviceError::Unsupported {
                reason: format!("kernel `{}` cannot be attempted: {reason}", kernel.name()),
            })?;
        let granted = self.granted(kernel, attempt);
        let all = attempt.boxes.iter().map(GridBox::workgroups).sum::<u64>();
        let most = match &failure {
            None => all,
            Some(DeviceError::Refused { .. }) => 0,
            Some(_) => self.gate.with_rng(|rng| rng.below(all + 1)),
        };
        let geometry = Geometry {
            page: attempt.page,
            ..self.attached().geometry
        };
        let mut findings = Findings::new(attempt.launch.bound.len());
        let ids = attempt.boxes.iter().flat_map(workgroups);
        for id in ids.take(usize::try_from(most).unwrap_or(usize::MAX)) {
            self.gate.check_lost()?;
            let mode = Mode::Attempt {
                translations: attempt.translations,
                granted: &granted,
                findings: &mut findings,
                patience: PATIENCE,
            };
            let done =
                SimThread::new(kernel, attempt.launch, id, geometry, &self.memory, mode).finish();
            match done {
                // The address may be a zero that was never loaded.
                Err(SimStop::Segfault(_)) if findings.stopped() => {}
                done => done.map_err(|stop| stop.into_error(kernel.name()))?,
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let report = findings.report();
        if !report.stopped {
            self.counters.workgroups.fetch_add(all, Ordering::Relaxed);
        }
        Ok(AttemptReport {
            missed: report.stopped,
            touched: report.touched,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    fn copy_frames(&self, copies: &[FrameCopy]) -> Result<(), DeviceError> {
        let failure = self.gate.enter(Call::CopyFrames)?;
        for copy in copies {
            assert!(
                copies.iter().all(|other| other.from != copy.to),
                "frame {} is read and written by one call",
                copy.to.0
            );
            let bytes = self.frame_bytes(FrameRun::new(copy.from, 1));
            let mut memory = self.attached();
            memory
                .run_mut(FrameRun::new(copy.to, 1))
                .copy_from_slice(&bytes);
        }
        if let Some(error) = failure {
            let size = self.page();
            self.scribble(size, copies.iter().map(|copy| FrameRun::new(copy.to, 1)));
            return Err(error);
        }
        Ok(())
    }

    fn probe(&self, launch: &Launch, boxes: &[GridBox]) -> Result<Vec<ProbeReport>, DeviceError> {
        if let Some(error) = self.gate.enter(Call::Probe)? {
            return Err(error);
        }
        let kernel = self.kernel(launch)?;
        kernel
            .probeable(launch)
            .map_err(|reason| DeviceError::Unsupported {
                reason: format!("kernel `{}` cannot be probed: {reason}", kernel.name()),
            })?;
        let geometry = self.attached().geometry;
        let probe_box = |b: &GridBox| {
            assert_inside(b, launch.grid);
            let mut findings = Findings::new(launch.bound.len());
            for id in workgroups(b) {
                let mode = Mode::Probe {
                    findings: &mut findings,
                    overlay: Default::default(),
                };
                SimThread::new(kernel, launch, id, geometry, &self.memory, mode)
                    .finish()
                    .map_err(|stop| stop.into_error(kernel.name()))?;
            }
            Ok(findings.report())
        };
        boxes.iter().map(probe_box).collect()
    }

    fn probe_width(&self, _launch: &Launch) -> usize {
        self.options.probe_width.max(1)
    }

    fn bytes(&self) -> DeviceBytes {
        self.memory
            .lock()
            .as_ref()
            .map_or_else(DeviceBytes::default, Memory::bytes)
    }

    fn accepts(&self, kernel: &Arc<dyn Kernel>) -> bool {
        kernel.as_any().is::<SimKernel>()
    }
}
