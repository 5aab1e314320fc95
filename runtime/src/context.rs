//! One device inside one address space: its frames, and the room made among them.
//!
//! Only the device's own worker allocates frames (it calls [`Context::allocate`]); anybody who invalidates a copy gives
//! frames back. So what was found free stays free until the worker takes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gmem_hal::{Cause, Device, DeviceBytes, DeviceError, DeviceInfo, FrameIndex, NodeId};

use crate::counters::add;
use crate::error::MoveError;
use crate::frames::{FrameCounts, FramePool};
use crate::migrate::{Locked, Want, migrate};
use crate::policy::EvictionPolicy;
use crate::space::Shared;
use crate::step::Event;
use crate::sync::{Rank, Ranked};

/// Pages moved in one batch: bounds how long their blocks stay locked.
pub(crate) const BATCH_BYTES: u64 = 32 << 20;

/// The frames of a device and who decides about them.
struct DeviceMemory {
    pool: FramePool,
    policy: Box<dyn EvictionPolicy>,
    /// The device gave no more windows.
    full: bool,
}

/// One device inside one address space.
#[doc(alias = "gm_context")]
pub(crate) struct Context {
    pub(crate) node: NodeId,
    pub(crate) device: Arc<dyn Device>,
    pub(crate) info: DeviceInfo,
    memory: Ranked<DeviceMemory>,
    lost: AtomicBool,
}

impl Context {
    pub(crate) fn new(
        node: NodeId,
        device: Arc<dyn Device>,
        info: DeviceInfo,
        policy: Box<dyn EvictionPolicy>,
    ) -> Self {
        let pool = FramePool::new(info.window_frames);
        Self {
            node,
            device,
            info,
            memory: Ranked::new(Rank::Frames, u64::from(node.0), DeviceMemory { pool, policy, full: false }),
            lost: AtomicBool::new(false),
        }
    }

    /// Notes a device's error, and passes it on.
    pub(crate) fn failed(&self, error: DeviceError) -> MoveError {
        if matches!(error, DeviceError::Lost { .. }) {
            self.lost.store(true, Ordering::Release);
        }
        error.into()
    }

    /// Whether the device is gone.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub(crate) fn frame_counts(&self) -> FrameCounts {
        self.memory.lock().pool.counts()
    }

    pub(crate) fn bytes(&self) -> DeviceBytes {
        self.device.bytes()
    }

    /// Frames that the device can give, as far as is known: fewer than it said once it gave no more windows.
    pub(crate) fn capacity(&self) -> u64 {
        let memory = self.memory.lock();
        u64::from(if memory.full { memory.pool.counts().total() } else { self.info.max_frames })
    }

    /// Binds new frames to the pages they were filled with.
    pub(crate) fn adopt(&self, fresh: impl Iterator<Item = (FrameIndex, u64, Cause)>) {
        let mut memory = self.memory.lock();
        for (frame, page, cause) in fresh {
            memory.pool.assign(frame, page);
            memory.policy.inserted(frame, cause);
        }
    }

    /// Takes back the frame of a copy that is no longer valid: its translation is gone and, every call of a device being
    /// complete when it returns, so is all work on it.
    pub(crate) fn abandon(&self, frame: FrameIndex) {
        let mut memory = self.memory.lock();
        memory.policy.removed(frame);
        let retiring = memory.pool.retire(frame);
        memory.pool.release(retiring);
    }

    /// Keeps frames from being chosen as victims.
    pub(crate) fn pin(&self, frames: impl Iterator<Item = FrameIndex>) {
        let mut memory = self.memory.lock();
        frames.for_each(|f| memory.pool.pin(f));
    }

    /// Ends pins; a pass that `used` the frames gives them their accessed bit.
    pub(crate) fn unpin(&self, frames: impl Iterator<Item = FrameIndex>, used: bool) {
        let mut memory = self.memory.lock();
        for f in frames {
            memory.pool.unpin(f);
            if used {
                memory.policy.touched(f);
            }
        }
    }

    /// Takes a frame for each page of sorted `pages`, adjacent frames for adjacent pages where there is room for it,
    /// evicting what the policy names. `before(page)` is the frame of the page before one, if resident: going on from there
    /// keeps a binding in one run.
    ///
    /// # Errors
    /// When not enough frames can be freed, or an eviction failed; nothing is taken then.
    /// LOCKING: no lock held; takes block locks and frames.
    pub(crate) fn allocate(
        &self,
        space: &Shared,
        pages: &[u64],
        before: impl Fn(u64) -> Option<FrameIndex>,
    ) -> Result<Vec<FrameIndex>, MoveError> {
        self.make_room(space, pages.len())?;
        let mut frames = Vec::with_capacity(pages.len());
        for run in pages.chunk_by(|a, b| a + 1 == *b) {
            self.allocate_run(space, run.len() as u32, before(run[0]), &mut frames)?;
        }
        Ok(frames)
    }

    /// Gives frames back that were allocated and never filled.
    pub(crate) fn release(&self, frames: impl Iterator<Item = FrameIndex>) {
        let mut memory = self.memory.lock();
        for frame in frames {
            let retiring = memory.pool.retire(frame);
            memory.pool.release(retiring);
        }
    }

    fn allocate_run(
        &self,
        space: &Shared,
        len: u32,
        before: Option<FrameIndex>,
        out: &mut Vec<FrameIndex>,
    ) -> Result<(), MoveError> {
        let mut left = len;
        if let Some(f) = before {
            let mut memory = self.memory.lock();
            let mut next = f.0 + 1;
            while left > 0 && next % self.info.window_frames != 0 && memory.pool.alloc_at(FrameIndex(next)) {
                out.push(FrameIndex(next));
                next += 1;
                left -= 1;
            }
        }
        // Evicting as much again as is needed is worth one run: it spares every access its table lookup.
        for attempt in 0..3 {
            if left == 0 {
                return Ok(());
            }
            let mut memory = self.memory.lock();
            if let Some(run) = memory.pool.alloc_run(left) {
                out.extend((run.first.0..run.first.0 + run.frames).map(FrameIndex));
                return Ok(());
            }
            drop(memory);
            if left == 1 || attempt == 2 || self.evict_some(space, left.div_ceil(2) as usize)? == 0 {
                break;
            }
        }
        let mut memory = self.memory.lock();
        let mut piece = left;
        while left > 0 {
            piece = piece.min(left);
            match memory.pool.alloc_run(piece) {
                Some(run) => {
                    out.extend((run.first.0..run.first.0 + run.frames).map(FrameIndex));
                    left -= piece;
                }
                None if piece > 1 => piece /= 2,
                None => {
                    drop(memory);
                    self.make_room(space, left as usize)?;
                    memory = self.memory.lock();
                }
            }
        }
        Ok(())
    }

    /// Frees frames until `need` are free: new windows first, then eviction.
    fn make_room(&self, space: &Shared, need: usize) -> Result<(), MoveError> {
        loop {
            let (free, full, total) = {
                let memory = self.memory.lock();
                (memory.pool.free() as usize, memory.full, memory.pool.counts().total())
            };
            if free >= need {
                return Ok(());
            }
            if !full && total < self.info.max_frames {
                self.grow((need - free).min((self.info.max_frames - total) as usize) as u32)?;
            } else if self.evict_some(space, need - free)? == 0 {
                // A copy may have been given back meanwhile by somebody else's write.
                if self.memory.lock().pool.free() as usize >= need {
                    return Ok(());
                }
                return Err(MoveError::TooLarge { needed: need as u64, capacity: self.capacity() });
            }
        }
    }

    fn grow(&self, want: u32) -> Result<(), MoveError> {
        match self.device.grow(want) {
            Ok(window) => {
                let mut memory = self.memory.lock();
                if let Err(bad) = memory.pool.add_window(window) {
                    memory.full = true;
                    let reason = bad.to_string();
                    return Err(DeviceError::Unsupported { reason }.into());
                }
                Ok(())
            }
            Err(DeviceError::OutOfMemory { .. }) => {
                self.memory.lock().full = true;
                Ok(())
            }
            Err(e) => Err(self.failed(e)),
        }
    }

    /// Evicts about `want` frames and says how many: zero when nothing can go.
    fn evict_some(&self, space: &Shared, want: usize) -> Result<usize, MoveError> {
        let batch = (BATCH_BYTES / space.geometry.page.bytes()).max(1) as usize;
        let mut victims = self.victims(want.min(batch));
        victims.sort_unstable();
        let mut locked = Locked::of_pages(space, victims.iter().map(|v| v.0));
        let wants: Vec<Want> = victims
            .iter()
            .filter(|&&(page, frame)| {
                let (block, i) = locked.at(page);
                block.frame(self.node, i) == Some(frame) && block.claimed(self.node, i).is_none()
            })
            .map(|&(page, _)| Want {
                page,
                event: Event::Evict(self.node),
                cause: Cause::Eviction,
                frame: None,
            })
            .collect();
        migrate(space, &mut locked, &wants)?;
        add(&space.counters.evictions, wants.len() as u64);
        // Victims that went meanwhile have freed their frames too.
        Ok(victims.len())
    }

    /// The policy's hints, checked: (page, frame) of frames in use and not pinned, each once.
    fn victims(&self, want: usize) -> Vec<(u64, FrameIndex)> {
        let mut memory = self.memory.lock();
        let DeviceMemory { pool, policy, .. } = &mut *memory;
        let evictable = |f: FrameIndex| !pool.is_pinned(f) && pool.page_of(f).is_some();
        let mut hints = Vec::new();
        policy.victims(want, &evictable, &mut hints);
        let mut seen = std::collections::HashSet::new();
        hints.retain(|&f| evictable(f) && seen.insert(f));
        hints.truncate(want);
        if hints.is_empty() {
            // A policy that knows nothing must not stop the system.
            hints.extend(pool.used_frames().map(|(f, _)| f).filter(|&f| evictable(f)).take(want));
        }
        hints.into_iter().filter_map(|f| Some((pool.page_of(f)?, f))).collect()
    }

    /// Evicts every page of a sorted list that is here and not claimed.
    pub(crate) fn evict(&self, space: &Shared, pages: &[u64], cause: Cause) -> Result<(), MoveError> {
        let mut locked = Locked::of_pages(space, pages.iter().copied());
        let wants: Vec<Want> = pages
            .iter()
            .filter(|&&page| {
                let (block, i) = locked.at(page);
                block.frame(self.node, i).is_some() && block.claimed(self.node, i).is_none()
            })
            .map(|&page| Want { page, event: Event::Evict(self.node), cause, frame: None })
            .collect();
        migrate(space, &mut locked, &wants)
    }

    /// Whether frames in use and mappings agree: every used frame holds a page whose mapping names it. For leak checks.
    pub(crate) fn check(&self, space: &Shared) -> Result<(), String> {
        let used: Vec<_> = {
            let memory = self.memory.lock();
            memory.pool.check()?;
            memory.pool.used_frames().collect()
        };
        for (frame, page) in used {
            let page = page.ok_or_else(|| format!("frame {} holds no page", frame.0))?;
            let (number, i) = space.blocks.locate(page);
            let found = space.blocks.existing(number).and_then(|b| b.lock().frame(self.node, i));
            if found != Some(frame) {
                return Err(format!("frame {} leaked: page {page} is in {found:?}", frame.0));
            }
        }
        Ok(())
    }
}
