//! Shadows: what an attempt may store to, saved before it, and put back after one that missed a page.
//!
//! A page is saved in one of two places:
//! - in the host's bytes of the page, which nobody else looks at while a device is the only one that has it. Of a page that was
//!   just brought here they hold the content anyway;
//! - in a frame that is kept for that. There are few of them, so that the pages of the launch keep theirs.
//!
//! What is saved stays so until an attempt that counts has stored to the page. Only a device's own worker calls this, and only
//! about pages that it claims for writing.

use std::collections::HashMap;

use gmem_hal::trace::{Direction as Way, What};
use gmem_hal::{Cause, DeviceError, FrameCopy, FrameIndex};

use crate::context::{BATCH_BYTES, Context};
use crate::counters::Direction;
use crate::error::MoveError;
use crate::migrate::{Locked, copy_runs};
use crate::space::Shared;

/// One frame in so many may be kept for shadows.
pub(crate) const FRAMES_PER_SHADOW: u64 = 8;

/// Tries to put pages back that a device refuses. It promised that it can be asked again, and memory is wrong until it is done.
const TRIES: usize = 16;

/// Where a page's content is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saved {
    Host,
    Frame(FrameIndex),
}

/// The saved pages of one launch. Dropping it gives its frames back.
pub(crate) struct Shadows<'a> {
    context: &'a Context,
    space: &'a Shared,
    saved: HashMap<u64, Saved>,
    spare: Vec<FrameIndex>,
    /// Frames that it has: those in `saved` and the spare ones.
    frames: u64,
}

impl<'a> Shadows<'a> {
    pub(crate) fn new(context: &'a Context, space: &'a Shared) -> Self {
        Self {
            context,
            space,
            saved: HashMap::new(),
            spare: Vec::new(),
            frames: 0,
        }
    }

    /// Notes pages whose content the host's bytes hold: they were brought here, or given the right to be written, just now.
    pub(crate) fn brought(&mut self, pages: &[u64]) {
        for &page in pages {
            self.put(page, Saved::Host);
        }
    }

    /// Forgets pages that were stored to for good.
    pub(crate) fn stored(&mut self, pages: impl Iterator<Item = u64>) {
        for page in pages {
            if let Some(Saved::Frame(frame)) = self.saved.remove(&page) {
                self.spare.push(frame);
            }
        }
    }

    /// Forgets all that is saved: pages were written by other means.
    pub(crate) fn forget(&mut self) {
        let saved = std::mem::take(&mut self.saved);
        self.spare
            .extend(saved.into_values().filter_map(|saved| match saved {
                Saved::Frame(frame) => Some(frame),
                Saved::Host => None,
            }));
    }

    fn put(&mut self, page: u64, saved: Saved) {
        if let Some(Saved::Frame(frame)) = self.saved.insert(page, saved) {
            self.spare.push(frame);
        }
    }

    /// Gives frames back until at most so many are left. What they held has to be saved again.
    /// LOCKING: takes frames.
    pub(crate) fn shrink(&mut self, most: u64) {
        if self.frames <= most {
            return;
        }
        if (self.spare.len() as u64) < self.frames - most {
            let spare = &mut self.spare;
            self.saved.retain(|_, saved| match *saved {
                Saved::Host => true,
                Saved::Frame(frame) => {
                    spare.push(frame);
                    false
                }
            });
        }
        let kept = self.spare.len() - (self.frames - most) as usize;
        let given = self.spare.split_off(kept);
        self.frames = most;
        self.context.release(given.into_iter());
    }

    /// Saves those of some pages that are not saved. The pages ascend.
    ///
    /// # Errors
    /// When a copy could not be made. No page has changed.
    /// LOCKING: no lock held; takes block locks and frames.
    pub(crate) fn save(&mut self, pages: &[u64]) -> Result<(), MoveError> {
        let open: Vec<u64> = pages
            .iter()
            .copied()
            .filter(|page| !self.saved.contains_key(page))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        self.take_frames(open.len() as u64)?;
        let (framed, home) = open.split_at(self.spare.len().min(open.len()));
        let to = self.spare.split_off(self.spare.len() - framed.len());
        let copies: Vec<FrameCopy> = (self.frames_of(framed).into_iter().zip(&to))
            .map(|((_, from), &to)| FrameCopy { from, to })
            .collect();
        if let Err(e) = self.copy_frames(&copies) {
            self.spare.extend(to);
            return Err(e);
        }
        for (&page, frame) in framed.iter().zip(to) {
            self.put(page, Saved::Frame(frame));
        }
        self.copy_bytes(Way::Home, home)?;
        for &page in home {
            self.put(page, Saved::Host);
        }
        Ok(())
    }

    /// Puts saved pages back. They ascend, and stay saved.
    ///
    /// # Errors
    /// When the device failed for good: the pages hold anything.
    /// LOCKING: no lock held; takes block locks and frames.
    pub(crate) fn restore(&self, pages: &[u64]) -> Result<(), MoveError> {
        let (mut framed, mut home) = (Vec::new(), Vec::new());
        for (page, to) in self.frames_of(pages) {
            match self.saved.get(&page) {
                Some(&Saved::Frame(from)) => framed.push(FrameCopy { from, to }),
                Some(Saved::Host) => home.push(page),
                None => {}
            }
        }
        patiently(|| self.copy_frames(&framed))?;
        patiently(|| self.copy_bytes(Way::ToDevice, &home))
    }

    /// Has frames for so many more pages, as far as they are to be had.
    fn take_frames(&mut self, pages: u64) -> Result<(), MoveError> {
        let most = self.context.capacity() / FRAMES_PER_SHADOW;
        let missing = pages.saturating_sub(self.spare.len() as u64);
        let wanted = missing.min(most.saturating_sub(self.frames));
        match self.context.make_room(self.space, wanted as usize) {
            // The others are claimed.
            Ok(()) | Err(MoveError::TooLarge { .. }) => {}
            Err(e) => return Err(e),
        }
        let mut memory = self.context.memory.lock();
        for _ in 0..wanted {
            let Some(frame) = memory.pool.alloc_one() else {
                break;
            };
            self.spare.push(frame);
            self.frames += 1;
        }
        Ok(())
    }

    /// The frames of resident pages.
    fn frames_of(&self, pages: &[u64]) -> Vec<(u64, FrameIndex)> {
        let mut found = Vec::with_capacity(pages.len());
        for run in pages.chunk_by(|a, b| a + 1 == *b) {
            let span = run[0]..run[0] + run.len() as u64;
            let frames = self.context.frames_of(self.space, span.clone());
            found.extend(span.zip(frames).filter_map(|(p, f)| Some((p, f?))));
        }
        found
    }

    fn copy_frames(&self, copies: &[FrameCopy]) -> Result<(), MoveError> {
        if copies.is_empty() {
            return Ok(());
        }
        let device = &self.context.device;
        device
            .copy_frames(copies)
            .map_err(|e| self.context.failed(e))
    }

    /// Copies pages between their frames and the host's bytes.
    fn copy_bytes(&self, way: Way, pages: &[u64]) -> Result<(), MoveError> {
        let geometry = self.space.geometry;
        let batch = (BATCH_BYTES / geometry.page.bytes()).max(1) as usize;
        for part in pages.chunks(batch) {
            let pairs = self.frames_of(part);
            let moved = pairs.len() as u64;
            let window = self.context.info.window_frames;
            let runs = copy_runs(pairs.into_iter(), geometry.page.shift(), window);
            let began = self.space.tracer.begin();
            // The claim keeps everybody else from the bytes; the locks keep the rule.
            let locked = Locked::of_pages(self.space, part.iter().copied());
            let host = &*self.space.host;
            let (done, direction) = match way {
                Way::Home => (
                    self.context.device.download(&runs, host),
                    Direction::DeviceToHost,
                ),
                Way::ToDevice => (
                    self.context.device.upload(&runs, host),
                    Direction::HostToDevice,
                ),
            };
            drop(locked);
            done.map_err(|e| self.context.failed(e))?;
            let bytes = moved << geometry.page.shift();
            self.space.counters.moved(direction, Cause::Demand, bytes);
            self.space.tracer.end(began, || What::Copy {
                node: self.context.node,
                direction: way,
                moved: vec![(Cause::Demand, bytes)],
                runs: runs.len() as u64,
            });
        }
        Ok(())
    }
}

impl Drop for Shadows<'_> {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

/// Does what must be done again while the device refuses it.
pub(crate) fn patiently(call: impl Fn() -> Result<(), MoveError>) -> Result<(), MoveError> {
    for _ in 1..TRIES {
        match call() {
            Err(MoveError::Device(DeviceError::Refused { .. })) => {}
            other => return other,
        }
    }
    call()
}
