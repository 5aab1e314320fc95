//! Windows: the few large buffers out of which frames are cut, and the arithmetic that keeps them under the cap.
//!
//! Key types: [`WindowPlan`] (pure arithmetic), [`Place`] (a run of frames inside a window).
//! Invariants: the bytes of all windows, guards included, never exceed the cap; window `w` holds the frames from
//! `w * window_frames` on; each window begins with [`GUARD_BYTES`] that no page shares. Remote windows, in the host's
//! memory, come last, and have a cap of their own.

use gmem_hal::{DeviceError, FrameIndex, FrameRun, PageSize, Window, counted};

use crate::buffers::Purpose;
use crate::gpu::Gpu;

/// Bytes before the first frame of a window: where confined accesses go.
pub(crate) const GUARD_BYTES: u64 = gmem_shaders::GUARD_WORDS as u64 * 4;

/// Typed views of one window that a kernel may need at once.
const VIEWS: u32 = 3;

/// Storage buffers that are not windows: the page table and the report.
const OTHER_STORAGE: u32 = 2;

/// Windows that a page-table entry can name.
pub(crate) const MAX_WINDOWS: u32 = 256;

/// The most bytes of a window: its words must fit the entries' 32 bits with room for the flags.
const MAX_WINDOW_BYTES: u64 = (4 << 30) - (4 << 10);

/// How the cap is cut into windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowPlan {
    /// Bytes of a page, and of a frame.
    pub(crate) page: u64,
    /// The distance between the first frames of two windows: a power of two.
    pub(crate) window_frames: u32,
    /// Frames of a window that is not cut short by the cap.
    full: u32,
    max_windows: u32,
    cap: u64,
    /// Frames of all windows.
    pub(crate) max_frames: u32,
    remote_cap: u64,
    /// Frames of a remote window that is not cut short by its cap.
    remote_full: u32,
    /// Frames of all remote windows.
    pub(crate) remote_frames: u32,
}

/// Frames that fit a buffer of so many bytes.
fn fit(bytes: u64, page: u64) -> u32 {
    (bytes.saturating_sub(GUARD_BYTES) / page).min(1 << 20) as u32
}

impl WindowPlan {
    /// Cuts `cap` bytes: `binding` is the most bytes of one binding (and buffer), `storage_buffers` how many a shader may have.
    ///
    /// # Errors
    /// When not even one page and its guard fit.
    pub(crate) fn new(
        page: PageSize,
        cap: u64,
        binding: u64,
        storage_buffers: u32,
    ) -> Result<Self, DeviceError> {
        let page = page.bytes();
        let least = page + GUARD_BYTES;
        for (bytes, what) in [(cap, "device memory"), (binding, "window")] {
            if bytes < least {
                let advice = if page > PageSize::MIN.bytes() {
                    ", or use a smaller page"
                } else {
                    ""
                };
                return Err(DeviceError::Unsupported {
                    reason: format!(
                        "a {what} of {} holds no page of {page} bytes: give at least {least} bytes{advice}",
                        counted(bytes, "byte")
                    ),
                });
            }
        }
        let full = fit(cap.min(binding).min(MAX_WINDOW_BYTES), page);
        let max_windows =
            (storage_buffers.saturating_sub(OTHER_STORAGE) / VIEWS).clamp(1, MAX_WINDOWS);
        let mut plan = Self {
            page,
            window_frames: full.next_power_of_two(),
            full,
            max_windows,
            cap,
            max_frames: 0,
            remote_cap: 0,
            remote_full: 0,
            remote_frames: 0,
        };
        let (mut windows, mut held) = (0, 0);
        while let Some(frames) = plan.next(windows, held) {
            windows += 1;
            held += plan.bytes(frames);
            plan.max_frames += frames;
        }
        Ok(plan)
    }

    /// With remote windows of `cap` bytes in all, each of at most `binding`.
    pub(crate) fn with_remote(self, cap: u64, binding: u64) -> Self {
        let remote_full = fit(cap.min(binding).min(MAX_WINDOW_BYTES), self.page);
        let mut plan = Self {
            remote_cap: cap,
            remote_full,
            remote_frames: 0,
            window_frames: self.window_frames.max(remote_full.next_power_of_two()),
            ..self
        };
        let (mut windows, mut held) = (0, 0);
        while let Some(frames) = plan.next(windows, held) {
            windows += 1;
            held += plan.bytes(frames);
        }
        held = 0;
        while let Some(frames) = plan.next_remote(windows, held, u32::MAX) {
            windows += 1;
            held += plan.bytes(frames);
            plan.remote_frames += frames;
        }
        plan
    }

    /// Frames of the next remote window, of which so many are wanted, when there are `windows` in all and the remote ones
    /// hold `held` bytes; `None` when that was the last.
    pub(crate) fn next_remote(&self, windows: u32, held: u64, want: u32) -> Option<u32> {
        let left = self
            .remote_cap
            .saturating_sub(held)
            .saturating_sub(GUARD_BYTES)
            / self.page;
        let most = u64::from(self.remote_full).min(left) as u32;
        (windows < self.max_windows && most > 0).then_some(most.min(want.max(1)))
    }

    /// The same windows, with frames of a size that divides their own.
    pub(crate) fn in_pieces(&self, size: PageSize) -> Self {
        let each = (self.page / size.bytes()).max(1) as u32;
        Self {
            page: self.page / u64::from(each),
            window_frames: self.window_frames * each,
            ..*self
        }
    }

    /// Bytes of a window of so many frames.
    pub(crate) fn bytes(&self, frames: u32) -> u64 {
        u64::from(frames) * self.page + GUARD_BYTES
    }

    /// Frames of the next window when `windows` exist and hold `held` bytes; `None` when that was the last.
    ///
    /// Windows are few, because each needs bindings of its own in every kernel that pages: each is as large as it can be,
    /// and a last crumb of the cap is left alone.
    pub(crate) fn next(&self, windows: u32, held: u64) -> Option<u32> {
        if windows >= self.max_windows {
            return None;
        }
        let left = self.cap.saturating_sub(held).saturating_sub(GUARD_BYTES) / self.page;
        let frames = u64::from(self.full).min(left) as u32;
        let crumb = windows > 0 && frames < self.full / 16;
        (frames > 0 && !crumb).then_some(frames)
    }
}

/// A run of frames as bytes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) window: usize,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl WindowPlan {
    /// Where a run of frames lies, whether or not its window exists.
    pub(crate) fn place(&self, run: FrameRun) -> Place {
        Place {
            window: (run.first.0 / self.window_frames) as usize,
            offset: GUARD_BYTES + u64::from(run.first.0 % self.window_frames) * self.page,
            bytes: u64::from(run.frames) * self.page,
        }
    }
}

impl Gpu {
    /// Creates the next window of `plan`; smaller when the adapter gives no more.
    pub(crate) fn grow(&mut self, plan: &WindowPlan) -> Result<Window, DeviceError> {
        let held = self.tally.bytes().windows;
        let index = self.windows.len() as u32;
        let next = match self.remote_windows {
            0 => plan.next(index, held),
            _ => None,
        };
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        self.add_window(plan, next, Purpose::Window, "a window", usage)
    }

    /// Creates the next remote window of `plan`, for so many frames; smaller when the adapter gives no more.
    pub(crate) fn grow_remote(
        &mut self,
        plan: &WindowPlan,
        want: u32,
    ) -> Result<Window, DeviceError> {
        let held = self.tally.bytes().remote;
        let next = plan.next_remote(self.windows.len() as u32, held, want);
        // To be read by the host and not written: a buffer that is for both may be put in the device's own memory.
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST
            | wgpu::BufferUsages::MAP_READ;
        let what = "a remote window";
        let window = self
            .add_window(plan, next, Purpose::Remote, what, usage)
            .map_err(|error| match error {
                lost @ DeviceError::Lost { .. } => lost,
                // A driver may have no memory that is both the host's and a kernel's.
                _ => DeviceError::OutOfMemory {
                    what,
                    bytes: plan.page,
                },
            })?;
        self.remote_windows += 1;
        Ok(window)
    }

    /// Gives all remote windows back.
    pub(crate) fn drop_remote(&mut self) {
        for _ in 0..std::mem::take(&mut self.remote_windows) {
            if let Some(window) = self.windows.pop() {
                // Bind groups of earlier passes would keep it.
                window.destroy();
            }
            self.epoch += 1;
        }
    }

    /// One more window, of at most `frames`.
    fn add_window(
        &mut self,
        plan: &WindowPlan,
        frames: Option<u32>,
        purpose: Purpose,
        what: &'static str,
        usage: wgpu::BufferUsages,
    ) -> Result<Window, DeviceError> {
        let bytes = plan.page;
        let mut frames = frames.ok_or(DeviceError::OutOfMemory { what, bytes })?;
        let index = self.windows.len() as u32;
        loop {
            match self.buffer(purpose, what, plan.bytes(frames), usage, false) {
                Ok(buffer) => {
                    self.windows.push(buffer);
                    self.epoch += 1;
                    return Ok(Window {
                        first: FrameIndex(index * plan.window_frames),
                        frames,
                    });
                }
                Err(DeviceError::OutOfMemory { .. }) if frames > 1 => frames /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// The window of a place, when it has these bytes.
    pub(crate) fn window(&self, place: &Place) -> Result<&wgpu::Buffer, DeviceError> {
        let window = self
            .windows
            .get(place.window)
            .filter(|w| place.offset + place.bytes <= w.size());
        window.map(|w| &**w).ok_or_else(|| DeviceError::Refused {
            call: "a copy",
            reason: format!(
                "window {} has no frames at bytes {:#x}..{:#x}",
                place.window,
                place.offset,
                place.offset + place.bytes
            ),
        })
    }

    /// Fills runs of frames with zeroes.
    pub(crate) fn zero(&self, places: &[Place]) -> Result<(), DeviceError> {
        for place in places {
            self.window(place)?;
        }
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for place in places {
            encoder.clear_buffer(self.window(place)?, place.offset, Some(place.bytes));
        }
        self.queue.submit([encoder.finish()]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn windows(plan: &WindowPlan) -> Vec<u32> {
        let (mut out, mut held) = (Vec::new(), 0);
        while let Some(frames) = plan.next(out.len() as u32, held) {
            held += plan.bytes(frames);
            out.push(frames);
        }
        out
    }

    #[test]
    fn an_ordinary_budget_is_one_window() {
        let plan = WindowPlan::new(PageSize::default(), 100 * MIB, 128 * MIB, 32).unwrap();
        assert_eq!(windows(&plan), [1599]);
        assert_eq!(plan.max_frames, 1599);
        assert_eq!(plan.window_frames, 2048);
        assert!(plan.bytes(1599) <= 100 * MIB);
    }

    #[test]
    fn a_large_budget_is_cut_at_the_binding_limit() {
        let plan = WindowPlan::new(PageSize::default(), 300 * MIB, 128 * MIB, 32).unwrap();
        assert_eq!(windows(&plan), [2047, 2047, 705]);
        assert_eq!(plan.max_frames, 2047 * 2 + 705);
        assert_eq!(plan.window_frames, 2048);
    }

    #[test]
    fn crumbs_of_the_cap_make_no_window() {
        let plan = WindowPlan::new(PageSize::default(), 256 * MIB, 128 * MIB, 32).unwrap();
        assert_eq!(windows(&plan), [2047, 2047]);
    }

    #[test]
    fn few_storage_buffers_mean_few_windows() {
        let plan = WindowPlan::new(PageSize::default(), 1 << 40, 128 * MIB, 8).unwrap();
        assert_eq!(windows(&plan), [2047, 2047]);
        let plan = WindowPlan::new(PageSize::default(), 1 << 40, 128 * MIB, 4).unwrap();
        assert_eq!(windows(&plan), [2047]);
    }

    #[test]
    fn the_cap_is_never_exceeded_and_every_frame_is_reachable() {
        for shift in 12..=21 {
            let page = PageSize::new(1 << shift).unwrap();
            for cap in [
                page.bytes() + 256,
                3 * page.bytes(),
                17 * MIB + 12_345,
                129 * MIB,
                1000 * MIB,
                5000 * MIB,
            ] {
                for binding in [
                    page.bytes() + 256,
                    4 * page.bytes() + 256,
                    128 * MIB,
                    (2 << 30) - 1,
                    u64::MAX,
                ] {
                    for storage in [3, 8, 16, 32, 1_000_000] {
                        if cap < page.bytes() + 256 {
                            continue;
                        }
                        let plan = WindowPlan::new(page, cap, binding, storage).unwrap();
                        let windows = windows(&plan);
                        assert!(!windows.is_empty());
                        assert!(windows.iter().map(|&f| plan.bytes(f)).sum::<u64>() <= cap);
                        assert!(
                            windows
                                .iter()
                                .all(|&f| f <= plan.window_frames && plan.bytes(f) <= binding)
                        );
                        assert_eq!(windows.iter().sum::<u32>(), plan.max_frames);
                        assert!(plan.window_frames.is_power_of_two());
                        assert!(
                            windows.len() == 1 || 3 * windows.len() as u32 + 2 <= storage.max(5)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn remote_windows_come_behind_all_others_and_are_as_large_as_is_wanted() {
        let plan = |storage| {
            WindowPlan::new(PageSize::default(), 300 * MIB, 128 * MIB, storage)
                .unwrap()
                .with_remote(200 * MIB, 128 * MIB)
        };
        assert_eq!(windows(&plan(32)), [2047, 2047, 705]);
        assert_eq!(plan(32).remote_frames, 2047 + 1152);
        assert_eq!(plan(32).next_remote(3, 0, 0), Some(1));
        assert_eq!(plan(32).next_remote(3, 0, 65), Some(65));
        assert_eq!(plan(32).next_remote(3, 0, 4096), Some(2047));
        let first = plan(32).bytes(2047);
        assert_eq!(plan(32).next_remote(4, first, 2047), Some(1152));
        let both = first + plan(32).bytes(1152);
        assert_eq!(plan(32).next_remote(5, both, 1), None);
        assert!(both <= 200 * MIB);
        // As many as a kernel can bind beside the others.
        assert_eq!(plan(14).remote_frames, 2047);
        assert_eq!(plan(11).remote_frames, 0);
        assert_eq!(plan(11).next_remote(3, 0, 1), None);
        // A small budget beside much remote memory, and the other way round.
        let small = WindowPlan::new(PageSize::MIN, 16 * 4096 + 256, 128 * MIB, 32).unwrap();
        let small = small.with_remote(MIB + 256, 128 * MIB);
        assert_eq!((small.max_frames, small.remote_frames), (16, 256));
        assert_eq!(small.window_frames, 256);
        assert_eq!(windows(&small), [16]);
        assert_eq!(small.with_remote(100, 128 * MIB).remote_frames, 0);
    }

    #[test]
    fn a_cap_below_one_page_says_the_least_that_works() {
        let error = WindowPlan::new(PageSize::default(), 65_536, 128 * MIB, 32).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("at least 65792 bytes, or use a smaller page"),
            "{error}"
        );
        let error = WindowPlan::new(PageSize::MIN, 4096, 128 * MIB, 32).unwrap_err();
        assert!(
            error.to_string().ends_with("at least 4352 bytes"),
            "there is no smaller page: {error}"
        );
    }
}
