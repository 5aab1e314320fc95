//! One device inside one address space: its frames, and the room made among them.
//!
//! Only the device's own worker allocates frames (it calls `allocate`); anybody who invalidates a copy gives
//! frames back. So what was found free stays free until the worker takes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gmem_hal::trace::{PageRun, What};
use gmem_hal::{
    Access, Cause, Device, DeviceBytes, DeviceError, DeviceInfo, FrameIndex, NodeId, Window,
};

use crate::counters::add;
use crate::error::MoveError;
use crate::frames::{FrameCounts, FramePool};
use crate::migrate::{Locked, Want, migrate};
use crate::placement::Placement;
use crate::policy::EvictionPolicy;
use crate::remote::Remote;
use crate::space::Shared;
use crate::step::Event;
use crate::sync::{Rank, Ranked};

/// Pages moved in one batch: bounds how long their blocks stay locked.
pub(crate) const BATCH_BYTES: u64 = 32 << 20;

/// The frames of a device and who decides about them.
pub(crate) struct DeviceMemory {
    pub(crate) pool: FramePool,
    pub(crate) policy: Box<dyn EvictionPolicy>,
    /// The windows it gave.
    pub(crate) windows: Vec<Window>,
    /// It gave no more.
    full: bool,
    /// What it has in the host's memory.
    pub(crate) remote: Remote,
}

/// One device inside one address space.
#[doc(alias = "gm_context")]
pub(crate) struct Context {
    pub(crate) node: NodeId,
    pub(crate) device: Arc<dyn Device>,
    pub(crate) info: DeviceInfo,
    pub(crate) placement: Placement,
    pub(crate) memory: Ranked<DeviceMemory>,
    lost: AtomicBool,
    /// Times that another node was given the right to write something: what was loaded before may be old.
    foreign_writes: AtomicU64,
}

impl Context {
    pub(crate) fn new(
        node: NodeId,
        device: Arc<dyn Device>,
        info: DeviceInfo,
        policy: Box<dyn EvictionPolicy>,
        placement: Placement,
    ) -> Self {
        let pool = FramePool::new(info.window_frames);
        Self {
            node,
            device,
            info,
            placement,
            memory: Ranked::new(
                Rank::Frames,
                u64::from(node.0),
                DeviceMemory {
                    pool,
                    policy,
                    windows: Vec::new(),
                    full: false,
                    remote: Remote::default(),
                },
            ),
            lost: AtomicBool::new(false),
            foreign_writes: AtomicU64::new(0),
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

    /// Notes that another node may write a page from now on. The page's block is locked.
    pub(crate) fn note_foreign_write(&self) {
        self.foreign_writes.fetch_add(1, Ordering::Release);
    }

    /// A number that changes when a page that is not claimed here may have changed.
    pub(crate) fn foreign_writes(&self) -> u64 {
        self.foreign_writes.load(Ordering::Acquire)
    }

    pub(crate) fn frame_counts(&self) -> FrameCounts {
        self.memory.lock().pool.counts()
    }

    pub(crate) fn bytes(&self) -> DeviceBytes {
        self.device.bytes()
    }

    /// Frames there is room in: the device's own, and remote ones that are lent.
    pub(crate) fn capacity(&self) -> u64 {
        self.own_capacity() + self.lent()
    }

    /// Frames of its own that the device can give, as far as is known: fewer than it said once it gave no more windows.
    pub(crate) fn own_capacity(&self) -> u64 {
        let memory = self.memory.lock();
        if memory.full {
            u64::from(memory.pool.counts().total()) - memory.remote.lent()
        } else {
            u64::from(self.info.max_frames)
        }
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

    /// Gives frames back that were allocated and never filled.
    pub(crate) fn release(&self, frames: impl Iterator<Item = FrameIndex>) {
        let mut memory = self.memory.lock();
        for frame in frames {
            let retiring = memory.pool.retire(frame);
            memory.pool.release(retiring);
        }
    }

    /// Asks the device for windows until `need` frames are free, or it has no more.
    pub(crate) fn grow_for(&self, space: &Shared, need: usize) -> Result<(), MoveError> {
        loop {
            let (free, full, total) = {
                let memory = self.memory.lock();
                (
                    memory.pool.free() as usize,
                    memory.full,
                    memory.pool.counts().total(),
                )
            };
            if free >= need || full || total >= self.info.max_frames {
                return Ok(());
            }
            let want = (need - free).min((self.info.max_frames - total) as usize);
            self.grow(space, want as u32)?;
        }
    }

    /// Frees frames until `need` are free: new windows first, then eviction.
    pub(crate) fn make_room(&self, space: &Shared, need: usize) -> Result<(), MoveError> {
        self.grow_for(space, need)?;
        loop {
            let free = self.memory.lock().pool.free() as usize;
            if free >= need {
                return Ok(());
            }
            if self.evict_some(space, need - free)? == 0 {
                // A copy may have been given back meanwhile by somebody else's write.
                if self.memory.lock().pool.free() as usize >= need {
                    return Ok(());
                }
                return Err(MoveError::TooLarge {
                    needed: need as u64,
                    capacity: self.capacity(),
                });
            }
        }
    }

    fn grow(&self, space: &Shared, want: u32) -> Result<(), MoveError> {
        let began = space.tracer.begin();
        let grown = self.device.grow(want);
        space.tracer.end(began, || What::Grow {
            node: self.node,
            frames: grown.as_ref().map_or(0, |w| u64::from(w.frames)),
        });
        match grown {
            Ok(window) => {
                let mut memory = self.memory.lock();
                if let Err(bad) = memory.pool.add_window(window) {
                    memory.full = true;
                    let reason = bad.to_string();
                    return Err(DeviceError::Unsupported { reason }.into());
                }
                memory.windows.push(window);
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
        let victims = self.victims(want.min(batch));
        self.evict_frames(space, victims)
    }

    /// Evicts the pages of some frames, as far as they are still there and not claimed; answers with their number.
    pub(crate) fn evict_frames(
        &self,
        space: &Shared,
        mut victims: Vec<(u64, FrameIndex)>,
    ) -> Result<usize, MoveError> {
        let began = space.tracer.begin();
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
        if !wants.is_empty() {
            space.tracer.end(began, || What::Evict {
                node: self.node,
                pages: wants.len() as u64,
            });
        }
        // Victims that went meanwhile have freed their frames too.
        Ok(victims.len())
    }

    /// The policy's hints, checked: (page, frame) of frames in use and not pinned, each once.
    pub(crate) fn victims(&self, want: usize) -> Vec<(u64, FrameIndex)> {
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
            hints.extend(
                pool.used_frames()
                    .map(|(f, _)| f)
                    .filter(|&f| evictable(f))
                    .take(want),
            );
        }
        hints
            .into_iter()
            .filter_map(|f| Some((pool.page_of(f)?, f)))
            .collect()
    }

    /// Evicts every page of a sorted list that is here and not claimed.
    pub(crate) fn evict(
        &self,
        space: &Shared,
        pages: &[u64],
        cause: Cause,
    ) -> Result<(), MoveError> {
        let began = space.tracer.begin();
        let mut locked = Locked::of_pages(space, pages.iter().copied());
        let wants: Vec<Want> = pages
            .iter()
            .filter(|&&page| {
                let (block, i) = locked.at(page);
                block.frame(self.node, i).is_some() && block.claimed(self.node, i).is_none()
            })
            .map(|&page| Want {
                page,
                event: Event::Evict(self.node),
                cause,
                frame: None,
            })
            .collect();
        migrate(space, &mut locked, &wants)?;
        space.tracer.end(began, || {
            let pages: Vec<_> = pages.iter().map(|&p| (p, Access::Write)).collect();
            What::GiveUp {
                node: self.node,
                pages: PageRun::of(&pages),
            }
        });
        Ok(())
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
            let block = space.blocks.existing(number).map(|b| b.lock());
            let found = block.as_ref().and_then(|b| b.frame(self.node, i));
            // A touch may have been answered, and its move be committed only now: under the block's lock both sides stand still.
            if found != Some(frame) && self.memory.lock().pool.page_of(frame) == Some(page) {
                return Err(format!(
                    "frame {} leaked: page {page} is in {found:?}",
                    frame.0
                ));
            }
        }
        Ok(())
    }
}
