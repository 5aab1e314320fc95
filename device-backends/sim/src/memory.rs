//! The simulated memory: windows of plain bytes, and the page table.
//!
//! Invariants: a window's bytes never move or shrink, remote windows come last; the page table names existing frames and pages of the space only.

use std::collections::HashMap;
use std::ops::Range;

use gmem_hal::{
    DeviceBytes, DeviceError, FrameIndex, FrameRun, Geometry, PageEntry, PageSize, Window,
};

/// What fills memory that nobody has written yet: a page that should have been zeroed and was not shows it.
pub const GARBAGE: u8 = 0xa5;

/// Where bytes of one access lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    window: usize,
    byte: usize,
}

#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) geometry: Geometry,
    pub(crate) max_frames: u32,
    pub(crate) window_frames: u32,
    /// The most frames of one window: `window_frames` is the next power of two.
    per_window: u32,
    windows: Vec<Box<[u8]>>,
    frames: u32,
    /// The most remote frames, how many of them there are, and in how many windows.
    pub(crate) remote_frames: u32,
    remote: u32,
    remote_windows: usize,
    peak_remote: u64,
    entries: HashMap<u64, (FrameIndex, bool)>,
}

impl Memory {
    pub(crate) fn new(
        geometry: Geometry,
        capacity: u64,
        window: u64,
        remote: u64,
    ) -> Result<Self, DeviceError> {
        let page = geometry.page.bytes();
        let max_frames = u32::try_from(capacity / page).unwrap_or(u32::MAX);
        if max_frames == 0 {
            return Err(DeviceError::OutOfMemory {
                what: "one page",
                bytes: page,
            });
        }
        let per_window = u32::try_from(window / page).unwrap_or(u32::MAX);
        let per_window = per_window.clamp(1, max_frames.min(1 << 31));
        Ok(Self {
            geometry,
            max_frames,
            window_frames: per_window.next_power_of_two(),
            per_window,
            windows: Vec::new(),
            frames: 0,
            remote_frames: u32::try_from(remote / page).unwrap_or(u32::MAX),
            remote: 0,
            remote_windows: 0,
            peak_remote: 0,
            entries: HashMap::new(),
        })
    }

    fn page(&self) -> usize {
        self.geometry.page.bytes() as usize
    }

    pub(crate) fn grow(&mut self, want: u32) -> Result<Window, DeviceError> {
        let left = match self.remote_windows {
            0 => self.max_frames - self.frames,
            _ => 0,
        };
        let window = self.window(want, left)?;
        self.frames += window.frames;
        Ok(window)
    }

    pub(crate) fn grow_remote(&mut self, want: u32) -> Result<Window, DeviceError> {
        let window = self.window(want, self.remote_frames - self.remote)?;
        self.remote += window.frames;
        self.remote_windows += 1;
        self.peak_remote = self.peak_remote.max(self.bytes().remote);
        Ok(window)
    }

    pub(crate) fn drop_remote(&mut self) {
        let kept = self.windows.len() - self.remote_windows;
        let first = kept as u64 * u64::from(self.window_frames);
        let named = self
            .entries
            .iter()
            .find(|(_, (frame, _))| u64::from(frame.0) >= first);
        assert!(
            named.is_none(),
            "remote windows are dropped while there is a translation to one: {named:?}"
        );
        self.windows.truncate(kept);
        (self.remote, self.remote_windows) = (0, 0);
    }

    /// One more window, of at most `left` frames.
    fn window(&mut self, want: u32, left: u32) -> Result<Window, DeviceError> {
        let out_of_memory = DeviceError::OutOfMemory {
            what: "a window",
            bytes: u64::from(want.max(1)) * self.geometry.page.bytes(),
        };
        let frames = want.max(1).min(self.per_window).min(left);
        let first = self.windows.len() as u64 * u64::from(self.window_frames);
        if frames == 0 || first + u64::from(frames) > u64::from(u32::MAX) {
            return Err(out_of_memory);
        }
        let bytes = frames as usize * self.page();
        self.windows.push(vec![GARBAGE; bytes].into_boxed_slice());
        Ok(Window {
            first: FrameIndex(first as u32),
            frames,
        })
    }

    pub(crate) fn set_entries(&mut self, entries: &[PageEntry]) {
        for entry in entries {
            assert!(
                entry.page < self.geometry.pages(),
                "page {} is beyond the space, which has {}",
                entry.page,
                self.geometry.pages()
            );
            match entry.frame {
                Some((frame, writable)) => {
                    // Asserts that the frame exists.
                    self.place(FrameRun::new(frame, 1));
                    self.entries.insert(entry.page, (frame, writable));
                }
                None => {
                    self.entries.remove(&entry.page);
                }
            }
        }
    }

    pub(crate) fn entry(&self, page: u64) -> Option<(FrameIndex, bool)> {
        self.entries.get(&page).copied()
    }

    pub(crate) fn entries(&self) -> Vec<PageEntry> {
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .map(|(&page, &frame)| PageEntry {
                page,
                frame: Some(frame),
            })
            .collect();
        entries.sort_unstable_by_key(|entry| entry.page);
        entries
    }

    fn place(&self, run: FrameRun) -> (usize, Range<usize>) {
        self.place_in(self.geometry.page, run)
    }

    /// Where a run lies whose frames are counted as if all were of such a size.
    fn place_in(&self, size: PageSize, run: FrameRun) -> (usize, Range<usize>) {
        let each = (self.geometry.page.bytes() / size.bytes()) as u32;
        let window_frames = self.window_frames * each;
        let window = (run.first.0 / window_frames) as usize;
        let start = (run.first.0 % window_frames) as usize * size.bytes() as usize;
        let end = start + run.frames as usize * size.bytes() as usize;
        let len = self.windows.get(window).map_or(0, |w| w.len());
        assert!(
            end <= len && run.frames > 0,
            "frames {}..{} do not lie in one window of this device",
            run.first.0,
            u64::from(run.first.0) + u64::from(run.frames)
        );
        (window, start..end)
    }

    /// The bytes of adjacent frames.
    pub(crate) fn run(&self, run: FrameRun) -> &[u8] {
        self.run_in(self.geometry.page, run)
    }

    /// The bytes of adjacent frames of such a size.
    pub(crate) fn run_in(&self, size: PageSize, run: FrameRun) -> &[u8] {
        let (window, bytes) = self.place_in(size, run);
        &self.windows[window][bytes]
    }

    /// The bytes of adjacent frames, to be written.
    pub(crate) fn run_mut(&mut self, run: FrameRun) -> &mut [u8] {
        self.run_mut_in(self.geometry.page, run)
    }

    /// The bytes of adjacent frames of such a size, to be written.
    pub(crate) fn run_mut_in(&mut self, size: PageSize, run: FrameRun) -> &mut [u8] {
        let (window, bytes) = self.place_in(size, run);
        &mut self.windows[window][bytes]
    }

    /// Where the byte `skip` of a run of frames of such a size lies.
    pub(crate) fn byte_of(&self, size: PageSize, run: FrameRun, skip: u64) -> Place {
        let (window, bytes) = self.place_in(size, run);
        debug_assert!(skip < bytes.len() as u64);
        Place {
            window,
            byte: bytes.start + skip as usize,
        }
    }

    pub(crate) fn at(&self, place: Place, len: usize) -> &[u8] {
        &self.windows[place.window][place.byte..place.byte + len]
    }

    pub(crate) fn at_mut(&mut self, place: Place, len: usize) -> &mut [u8] {
        &mut self.windows[place.window][place.byte..place.byte + len]
    }

    pub(crate) fn bytes(&self) -> DeviceBytes {
        let page = self.geometry.page.bytes();
        let windows = u64::from(self.frames) * page;
        DeviceBytes {
            windows,
            tables: (self.entries.len() * size_of::<(u64, (FrameIndex, bool))>()) as u64,
            staging: 0,
            peak_windows: windows,
            remote: u64::from(self.remote) * page,
            peak_remote: self.peak_remote,
        }
    }
}
