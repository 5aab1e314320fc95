//! A device's physical memory: which frames are free, and what the others hold.
//!
//! [`FramePool`] is a buddy allocator over the windows that a device has grown so far, with one 16-byte record for each
//! frame, kept outside the memory itself. A frame's life:
//!
//! ```text
//!            alloc_*                 retire                    release
//!   free ───────────────▶ used ───────────────▶ retiring ───────────────▶ free
//!                     assign, pin,          (a token: Retiring)
//!                     accessed bit
//! ```
//!
//! There is no other way back: only [`FramePool::release`] frees a frame, it consumes the [`Retiring`] token that
//! [`FramePool::retire`] made, and the token cannot be copied. Whoever holds it keeps it until the translation is gone
//! and the device's work on the frame is done; losing it loses the frame, never its contents.
//!
//! Invariants: runs and merges never cross a window; no two adjacent free blocks are left unjoined; allocation prefers
//! small blocks, so that large ones stay whole. Absent: locks, policy, any call into a device.

mod buddy;
mod meta;
#[cfg(test)]
mod tests;

use buddy::FreeLists;
use gmem_hal::{FrameIndex, FrameRun, Window};
use meta::{FrameMeta, FrameTable, State};

/// A device gave a window that does not fit its own numbering.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the device gave {} from {first} on, but {reason}: correct its `grow`", gmem_hal::counted(*frames, "frame"))]
pub struct BadWindow {
    /// The window's first frame.
    pub first: u32,
    /// How many frames it claims.
    pub frames: u32,
    /// What is wrong with that.
    pub reason: &'static str,
}

/// A frame that is no longer in use but may still be reached by the device: not reusable until it is released.
///
/// Keep it until the page's translation is gone and all device work that used the frame is complete.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a retiring frame that is dropped is never used again: hand it to `FramePool::release`"]
pub struct Retiring {
    frame: FrameIndex,
}

impl Retiring {
    /// Which frame it is.
    #[must_use]
    pub fn frame(&self) -> FrameIndex {
        self.frame
    }
}

/// How many frames of a pool do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// Can be handed out.
    pub free: u32,
    /// Are handed out.
    pub used: u32,
    /// Wait for the device to be done with them.
    pub retiring: u32,
}

impl FrameCounts {
    /// All frames.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.free + self.used + self.retiring
    }
}

/// The frames of one device.
#[derive(Debug)]
pub struct FramePool {
    table: FrameTable,
    lists: FreeLists,
    counts: FrameCounts,
}

impl FramePool {
    /// A pool without frames, whose windows will lie `window_frames` apart.
    ///
    /// # Panics
    /// When `window_frames` is not a power of two.
    #[must_use]
    pub fn new(window_frames: u32) -> Self {
        Self {
            table: FrameTable::new(window_frames),
            lists: FreeLists::new(),
            counts: FrameCounts::default(),
        }
    }

    /// Adds the frames of a window that the device has just grown.
    ///
    /// # Errors
    /// When the window is misplaced, too large or already there: the pool is then as before.
    pub fn add_window(&mut self, window: Window) -> Result<(), BadWindow> {
        self.table.add(window)?;
        let first = window.first.0;
        self.lists
            .give_range(&mut self.table, first, first + window.frames);
        self.counts.free += window.frames;
        Ok(())
    }

    /// Adds the frames behind the end of a window that was added with fewer than it has.
    ///
    /// # Errors
    /// When it was not added, or has no more: the pool is then as before.
    pub fn lengthen(&mut self, window: Window) -> Result<(), BadWindow> {
        let had = self.table.lengthen(window)?;
        let first = window.first.0;
        let (from, end) = (first + had, first + window.frames);
        self.lists.give_range(&mut self.table, from, end);
        self.counts.free += window.frames - had;
        Ok(())
    }

    /// Takes a window away, all of whose frames are free. `false` when some are not, or it is not there: the pool is then as
    /// before.
    pub fn remove_window(&mut self, first: FrameIndex) -> bool {
        let index = self.table.index_of(first.0);
        let Some(window) = self.table.windows.get(index) else {
            return false;
        };
        let frames = window.frames.len() as u32;
        if frames == 0 || window.free < frames || self.table.first_of(index) != first.0 {
            return false;
        }
        self.lists
            .take_range(&mut self.table, first.0, first.0 + frames);
        self.table.windows[index] = meta::WindowMeta::default();
        self.counts.free -= frames;
        true
    }

    /// Takes exactly `frames` adjacent frames of one window.
    ///
    /// O(log n) when a block of the next power of two is free. When none is, the free blocks are walked for adjacent ones that
    /// together suffice, so this fails only when no such run exists.
    pub fn alloc_run(&mut self, frames: u32) -> Option<FrameRun> {
        if frames == 0 || frames > self.counts.free {
            return None;
        }
        let order = frames.checked_next_power_of_two()?.trailing_zeros();
        let first = if let Some(first) = self.lists.take(&mut self.table, order) {
            self.lists
                .give_range(&mut self.table, first + frames, first + (1 << order));
            first
        } else {
            let first = self.find_run(frames)?;
            self.lists
                .take_range(&mut self.table, first, first + frames);
            first
        };
        Some(self.hand_out(first, frames))
    }

    /// Takes one frame, out of the smallest block.
    pub fn alloc_one(&mut self) -> Option<FrameIndex> {
        let frame = self.lists.take(&mut self.table, 0)?;
        Some(self.hand_out(frame, 1).first)
    }

    /// Takes this very frame. `false` when it is not free, or does not exist.
    pub fn alloc_at(&mut self, frame: FrameIndex) -> bool {
        if FreeLists::block_of(&self.table, frame.0).is_none() {
            return false;
        }
        self.lists.take_range(&mut self.table, frame.0, frame.0 + 1);
        self.hand_out(frame.0, 1);
        true
    }

    fn hand_out(&mut self, first: u32, frames: u32) -> FrameRun {
        for frame in first..first + frames {
            self.table[frame] = FrameMeta::USED;
        }
        self.table.window_of(first).free -= frames;
        self.counts.free -= frames;
        self.counts.used += frames;
        FrameRun::new(FrameIndex(first), frames)
    }

    /// The first run of at least `frames` free frames, block by block.
    fn find_run(&self, frames: u32) -> Option<u32> {
        (0..self.table.windows.len())
            .filter(|&w| self.table.windows[w].free >= frames)
            .find_map(|w| self.free_runs(w).find(|run| run.frames >= frames))
            .map(|run| run.first.0)
    }

    /// The maximal runs of free frames of a window, in order.
    fn free_runs(&self, window: usize) -> impl Iterator<Item = FrameRun> + '_ {
        let metas = &self.table.windows[window].frames;
        let first = self.table.first_of(window);
        let mut at = 0;
        core::iter::from_fn(move || {
            while at < metas.len() && metas[at].state != State::Free {
                at += 1;
            }
            let start = at;
            while at < metas.len() && metas[at].state == State::Free {
                at += 1 << metas[at].order;
            }
            (at > start)
                .then(|| FrameRun::new(FrameIndex(first + start as u32), (at - start) as u32))
        })
    }

    /// Binds a frame to the page that it holds: the reverse map. A frame is bound once between `alloc` and `retire`.
    ///
    /// # Panics
    /// When the frame is not handed out.
    #[track_caller]
    pub fn assign(&mut self, frame: FrameIndex, page: u64) {
        let meta = self.table.used(frame);
        debug_assert!(
            meta.page().is_none(),
            "frame {} already holds page {:?}",
            frame.0,
            meta.page()
        );
        meta.set_page(page);
    }

    /// The page that a used frame holds.
    #[must_use]
    pub fn page_of(&self, frame: FrameIndex) -> Option<u64> {
        self.table.get(frame.0)?.page()
    }

    /// Gives one more reason not to take the frame away.
    ///
    /// # Panics
    /// When the frame is not handed out.
    #[track_caller]
    pub fn pin(&mut self, frame: FrameIndex) {
        let meta = self.table.used(frame);
        meta.pins = meta.pins.checked_add(1).expect("fewer than 2^32 pins");
    }

    /// Takes one such reason back.
    ///
    /// # Panics
    /// When the frame is not handed out, or not pinned.
    #[track_caller]
    pub fn unpin(&mut self, frame: FrameIndex) {
        let meta = self.table.used(frame);
        assert!(meta.pins > 0, "frame {} is not pinned", frame.0);
        meta.pins -= 1;
    }

    /// Whether a used frame must stay where it is.
    #[must_use]
    pub fn is_pinned(&self, frame: FrameIndex) -> bool {
        self.table.get(frame.0).is_some_and(|meta| meta.pins > 0)
    }

    /// Notes that a pass touched the frame.
    ///
    /// # Panics
    /// When the frame is not handed out.
    #[track_caller]
    pub fn set_accessed(&mut self, frame: FrameIndex) {
        self.table.used(frame).accessed = true;
    }

    /// Whether a pass touched the frame since this was last asked.
    ///
    /// # Panics
    /// When the frame is not handed out.
    #[track_caller]
    pub fn take_accessed(&mut self, frame: FrameIndex) -> bool {
        core::mem::take(&mut self.table.used(frame).accessed)
    }

    /// Whether the frame is handed out.
    #[must_use]
    pub fn is_used(&self, frame: FrameIndex) -> bool {
        self.table
            .get(frame.0)
            .is_some_and(|meta| meta.state == State::Used)
    }

    /// Ends the use of a frame: it holds no page any more, and waits for the device to be done with it.
    ///
    /// # Panics
    /// When the frame is not handed out (given back twice), or pinned.
    #[track_caller]
    pub fn retire(&mut self, frame: FrameIndex) -> Retiring {
        let meta = self.table.used(frame);
        assert_eq!(
            meta.pins, 0,
            "frame {} is pinned: it cannot be retired",
            frame.0
        );
        meta.make_inside();
        meta.state = State::Retiring;
        self.counts.used -= 1;
        self.counts.retiring += 1;
        Retiring { frame }
    }

    /// Frees a retired frame: its translation is gone and the device's work on it is done.
    ///
    /// # Panics
    /// When the token is another pool's.
    #[track_caller]
    pub fn release(&mut self, retiring: Retiring) {
        let frame = retiring.frame.0;
        assert!(
            self.table
                .get(frame)
                .is_some_and(|meta| meta.state == State::Retiring),
            "frame {frame} does not retire in this pool: the token is another device's"
        );
        self.lists.give(&mut self.table, frame, 0);
        self.table.window_of(frame).free += 1;
        self.counts.retiring -= 1;
        self.counts.free += 1;
    }

    /// How many frames do what.
    #[must_use]
    pub fn counts(&self) -> FrameCounts {
        self.counts
    }

    /// Frames that can be handed out.
    #[must_use]
    pub fn free(&self) -> u32 {
        self.counts.free
    }

    /// The longest run that [`FramePool::alloc_run`] could hand out now. Walks the free blocks.
    #[must_use]
    pub fn largest_free_run(&self) -> u32 {
        let mut largest = 0;
        for (index, window) in self.table.windows.iter().enumerate() {
            if window.free > largest {
                largest = self
                    .free_runs(index)
                    .map(|run| run.frames)
                    .fold(largest, u32::max);
            }
        }
        largest
    }

    /// The frames handed out, in order, with the pages they hold. Walks all records: for reports and leak checks.
    pub fn used_frames(&self) -> impl Iterator<Item = (FrameIndex, Option<u64>)> + '_ {
        self.table
            .windows
            .iter()
            .enumerate()
            .flat_map(|(index, window)| {
                let first = self.table.first_of(index);
                (first..)
                    .zip(&window.frames)
                    .filter(|(_, meta)| meta.state == State::Used)
                    .map(|(frame, meta)| (FrameIndex(frame), meta.page()))
            })
    }

    /// Verifies every invariant, walking everything: for tests and debug builds.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn check(&self) -> Result<(), String> {
        let in_lists = self.lists.check(&self.table)?;
        let mut counts = FrameCounts::default();
        for (index, window) in self.table.windows.iter().enumerate() {
            let free: u32 = self.free_runs(index).map(|run| run.frames).sum();
            if free != window.free {
                return Err(format!(
                    "window {index} has {free} free frames and counts {}",
                    window.free
                ));
            }
            counts.free += free;
            for meta in &window.frames {
                counts.used += u32::from(meta.state == State::Used);
                counts.retiring += u32::from(meta.state == State::Retiring);
            }
        }
        let frames: usize = self.table.windows.iter().map(|w| w.frames.len()).sum();
        if counts != self.counts
            || counts.total() as usize != frames
            || in_lists != u64::from(counts.free)
        {
            return Err(format!(
                "{frames} frames, {in_lists} in lists, found {counts:?}, counted {:?}",
                self.counts
            ));
        }
        Ok(())
    }
}
