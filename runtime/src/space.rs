//! The address space: regions, their pages, the devices attached, and what users ask of them.

use std::sync::{Arc, OnceLock};

use gmem_hal::trace::{AttachFacts, PageRun, Tracer, WaitFor, What};
use gmem_hal::{
    Access, ByteRange, Cause, Device, DeviceBytes, DeviceError, DeviceInfo, Geometry, HostMemory,
    NodeId, PageSize, Rights, Va,
};

use crate::block::BlockTable;
use crate::context::Context;
use crate::counters::{Counters, Counts};
use crate::error::{AddressError, AllocError, MoveError};
use crate::fault::Faults;
use crate::frames::FrameCounts;
use crate::migrate::{Locked, Want, migrate};
use crate::placement::Placement;
use crate::policy::EvictionPolicy;
use crate::region::{Region, Regions};
use crate::step::{Event, Mapping};
use crate::sync::{Rank, Ranked};
use crate::worker::Worker;

/// What the manager's parts share.
pub(crate) struct Shared {
    pub(crate) geometry: Geometry,
    pub(crate) host: Arc<dyn HostMemory>,
    pub(crate) blocks: BlockTable,
    pub(crate) regions: Ranked<Regions>,
    pub(crate) counters: Counters,
    pub(crate) tracer: Tracer,
    /// By node; a device that was detached leaves its slot used.
    contexts: [OnceLock<Arc<Context>>; NodeId::MAX],
}

impl Shared {
    /// The attached devices, by node.
    pub(crate) fn contexts(&self) -> impl Iterator<Item = &Arc<Context>> {
        self.contexts.iter().filter_map(OnceLock::get)
    }

    pub(crate) fn context(&self, node: NodeId) -> Option<&Arc<Context>> {
        self.contexts.get(node.0 as usize)?.get()
    }

    /// Brings sorted pages of one block to the host with the access wanted, leaving alone those of `spare` that a pass holds.
    /// Pages from `eager` on are neighbours: moved as prefetch.
    /// LOCKING: no lock held; takes one block lock and frames; waits for passes.
    pub(crate) fn host_access(
        &self,
        number: u64,
        pages: std::ops::Range<u64>,
        access: Access,
        cause: Cause,
        eager: Option<u64>,
    ) -> Result<(), MoveError> {
        let per_block = self.blocks.pages_per_block() as u64;
        let block = self.blocks.block(number);
        let mut state = block.lock();
        let strict = pages.start..eager.unwrap_or(pages.end);
        let access_is_write = access == Access::Write || !self.host.read_sharing();
        let effective = if access_is_write {
            Access::Write
        } else {
            Access::Read
        };
        let conflicts = |state: &crate::block::BlockState, page: u64| {
            state.conflicts(NodeId::HOST, (page % per_block) as usize, effective)
        };
        let began = self.tracer.begin();
        if strict.clone().any(|page| conflicts(&state, page)) {
            while strict.clone().any(|page| conflicts(&state, page)) {
                block.wait(&mut state);
            }
            self.tracer.end(began, || What::Wait { on: WaitFor::Claim });
        }
        let began = self.tracer.begin();
        let event = match access {
            Access::Read => Event::Read(NodeId::HOST),
            Access::Write => Event::Write(NodeId::HOST),
        };
        let wants: Vec<Want> = pages
            .filter(|&page| strict.contains(&page) || !conflicts(&state, page))
            // What was never touched is at home already, and costs nothing until it is.
            .filter(|&page| {
                cause != Cause::Prefetch
                    || state.mapping((page % per_block) as usize) != Mapping::NIL
            })
            .map(|page| Want {
                page,
                event,
                cause: if strict.contains(&page) {
                    cause
                } else {
                    Cause::Prefetch
                },
                frame: None,
            })
            .collect();
        let mut locked = Locked::one(self, number, state);
        let result = migrate(self, &mut locked, &wants);
        // Under the lock, so that the record has what happens to a page in its order.
        if result.is_ok() && !wants.is_empty() {
            self.tracer.end(began, || {
                let pages: Vec<_> = wants.iter().map(|w| (w.page, effective)).collect();
                What::HostAccess {
                    cause,
                    uses: PageRun::of(&pages),
                }
            });
        }
        drop(locked.into_one());
        result
    }
}

/// What became of a page: for tests and for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageReport {
    /// The page's first address.
    pub va: Va,
    /// Which nodes hold valid copies, and which may write.
    pub mapping: Mapping,
}

impl PageReport {
    /// What a node may do with the page now.
    #[must_use]
    pub fn rights(&self, node: NodeId) -> Rights {
        self.mapping.rights(node)
    }
}

/// A device attached to an address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its node.
    pub node: NodeId,
    /// What it is.
    pub info: DeviceInfo,
}

/// One address space, used by the CPU through ordinary pointers and by every attached device.
///
/// Dropping it waits for its launches, stops its threads and gives everything back.
#[doc(alias = "gm_as")]
pub struct AddressSpace {
    pub(crate) shared: Arc<Shared>,
    workers: parking_lot::Mutex<Vec<Worker>>,
}

impl AddressSpace {
    /// A space over a host's memory, cut in pages of one size.
    ///
    /// # Errors
    /// When the host cannot start noticing touches.
    #[doc(alias = "gm_as_create")]
    pub fn new(host: Arc<dyn HostMemory>, page: PageSize) -> Result<Self, gmem_hal::HostError> {
        Self::traced(host, page, &Tracer::off())
    }

    /// The same, recording what happens. The space gets a number of its own in the record.
    ///
    /// # Errors
    /// As [`AddressSpace::new`].
    pub fn traced(
        host: Arc<dyn HostMemory>,
        page: PageSize,
        tracer: &Tracer,
    ) -> Result<Self, gmem_hal::HostError> {
        let geometry = Geometry {
            base: host.base(),
            len: host.len(),
            page,
        };
        let shared = Arc::new(Shared {
            geometry,
            host: Arc::clone(&host),
            blocks: BlockTable::new(&geometry),
            regions: Ranked::new(Rank::Regions, 0, Regions::new(geometry)),
            counters: Counters::default(),
            tracer: tracer.for_space(),
            contexts: std::array::from_fn(|_| OnceLock::new()),
        });
        host.start(Arc::new(Faults::new(&shared)))?;
        Ok(Self {
            shared,
            workers: parking_lot::Mutex::default(),
        })
    }

    /// Where the space lies and how it is cut.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.shared.geometry
    }

    /// The host's side.
    #[must_use]
    pub fn host(&self) -> &Arc<dyn HostMemory> {
        &self.shared.host
    }

    /// Attaches a device: from now on launches may run on it.
    ///
    /// # Errors
    /// When the device cannot prepare its page table, or the space has its most devices already.
    #[doc(alias = "gm_as_attach")]
    #[doc(alias = "gm_dev_create")]
    pub fn attach(
        &self,
        device: Arc<dyn Device>,
        policy: Box<dyn EvictionPolicy>,
        placement: Placement,
    ) -> Result<Attached, DeviceError> {
        let mut workers = self.workers.lock();
        let node = NodeId(workers.len() as u8 + 1);
        if usize::from(node.0) >= NodeId::MAX {
            let reason = format!("an address space has at most {} devices", NodeId::MAX - 1);
            return Err(DeviceError::Unsupported { reason });
        }
        let began = self.shared.tracer.begin();
        let info = device.attach(self.shared.geometry)?;
        self.shared.tracer.end(began, || What::Attach {
            node,
            facts: Box::new(AttachFacts {
                name: info.name.clone(),
                backend: info.backend.to_owned(),
                policy: policy.name().to_owned(),
                frames: info.max_frames,
                page_bytes: self.shared.geometry.page.bytes(),
                window_frames: info.window_frames,
                window_overhead: info.window_overhead,
            }),
        });
        let context = Arc::new(Context::new(node, device, info.clone(), policy, placement));
        let _ = self.shared.contexts[usize::from(node.0)].set(Arc::clone(&context));
        workers.push(Worker::start(Arc::clone(&self.shared), context));
        Ok(Attached { node, info })
    }

    pub(crate) fn with_worker<R>(&self, node: NodeId, f: impl FnOnce(&Worker) -> R) -> Option<R> {
        let workers = self.workers.lock();
        Some(f(workers.get(usize::from(node.0).checked_sub(1)?)?))
    }

    /// Makes a region of at least `bytes`, aligned to a page (to a block when it is that long), reading as zero.
    /// Costs neither memory nor metadata until it is touched.
    ///
    /// # Errors
    /// When nothing was asked for, or there is no room.
    pub fn allocate(&self, bytes: u64, align: u64) -> Result<Arc<Region>, AllocError> {
        let region = self.shared.regions.lock().allocate(bytes, align)?;
        if let Err(e) = self.shared.host.commit(region.range) {
            let mut regions = self.shared.regions.lock();
            let _ = regions.remove(region.va);
            regions.give_back(region.range);
            return Err(e.into());
        }
        Ok(region)
    }

    /// Ends a region: its content is gone everywhere, its memory and its addresses can be used again.
    /// Waits for launches that use it.
    ///
    /// # Errors
    /// [`MoveError::Address`] when no region starts there; the region stays when a device refused to let go.
    #[doc(alias = "gm_munmap")]
    pub fn free(&self, va: Va) -> Result<(), MoveError> {
        let region = self.shared.regions.lock().starting_at(va)?;
        if !region.close() {
            // Another thread is freeing it.
            return Err(AddressError::Unknown { va }.into());
        }
        if let Err(e) = self.discard(region.range) {
            region.reopen();
            return Err(e);
        }
        let region = self.shared.regions.lock().remove(va)?;
        // The addresses stay taken while the mapping changes: nobody can be given them half done.
        // If it cannot be changed, nobody ever is.
        self.shared.host.decommit(region.range)?;
        self.shared.regions.lock().give_back(region.range);
        Ok(())
    }

    /// The region that holds an address.
    ///
    /// # Errors
    /// When there is none.
    pub fn region_of(&self, va: Va) -> Result<Arc<Region>, AddressError> {
        self.shared
            .regions
            .lock()
            .containing(va)
            .ok_or(AddressError::Unknown { va })
    }

    /// The region that starts at an address.
    ///
    /// # Errors
    /// When there is none.
    pub fn region_at(&self, va: Va) -> Result<Arc<Region>, AddressError> {
        self.shared.regions.lock().starting_at(va)
    }

    /// All regions, by address.
    #[must_use]
    pub fn all_regions(&self) -> Vec<Arc<Region>> {
        self.shared.regions.lock().all()
    }

    /// How many regions there are.
    #[must_use]
    pub fn regions(&self) -> usize {
        self.shared.regions.lock().len()
    }

    /// Forgets the content of the pages of a range (whole pages only): they read as zero, and cost nothing. Waits for passes.
    ///
    /// # Errors
    /// When a device refused to let go: some of the pages keep their content.
    #[doc(alias = "gmemFreeEager")]
    #[doc(alias = "MADV_DONTNEED")]
    pub fn discard(&self, range: ByteRange) -> Result<(), MoveError> {
        let shared = &self.shared;
        for (number, pages) in shared.blocks_of(shared.geometry.pages_of(range)) {
            if shared.blocks.existing(number).is_none() {
                continue;
            }
            let per_block = shared.blocks.pages_per_block() as u64;
            let block = shared.blocks.block(number);
            let mut state = block.lock();
            let held = |state: &crate::block::BlockState| {
                pages
                    .clone()
                    .any(|p| state.conflicts(NodeId::HOST, (p % per_block) as usize, Access::Write))
            };
            if held(&state) {
                let began = shared.tracer.begin();
                while held(&state) {
                    block.wait(&mut state);
                }
                shared
                    .tracer
                    .end(began, || What::Wait { on: WaitFor::Claim });
            }
            let touched: Vec<u64> = pages
                .filter(|p| state.mapping((p % per_block) as usize) != Mapping::NIL)
                .collect();
            let wants: Vec<Want> = touched
                .iter()
                .map(|&page| Want {
                    page,
                    event: Event::Discard,
                    cause: Cause::Advice,
                    frame: None,
                })
                .collect();
            let mut locked = Locked::one(shared, number, state);
            let shift = shared.geometry.page.shift();
            let runs = || {
                let runs = touched.chunk_by(|a, b| a + 1 == *b);
                runs.map(|run| ByteRange::new(run[0] << shift, (run.len() as u64) << shift))
            };
            // A page that was mapped without our knowing (explicit views) loses its rights too. First, since it can fail.
            for bytes in runs() {
                shared.host.set_rights(bytes, Rights::None)?;
            }
            migrate(shared, &mut locked, &wants)?;
            if !touched.is_empty() {
                shared.tracer.note(|| {
                    let pages: Vec<_> = touched.iter().map(|&p| (p, Access::Write)).collect();
                    What::Discard {
                        pages: PageRun::of(&pages),
                    }
                });
            }
            // The pages are `Nil` now: what the host cannot give back must read as zero all the same.
            for bytes in runs() {
                if shared.host.punch(bytes).is_err() {
                    let zeroes = vec![0; shared.geometry.page.bytes() as usize];
                    (bytes.offset..bytes.end())
                        .step_by(zeroes.len())
                        .for_each(|at| shared.host.write_bytes(at, &zeroes));
                }
            }
        }
        Ok(())
    }

    /// Brings the pages of a range home, with the access wanted, before a CPU thread touches them: what an explicit view does
    /// where touches are not noticed, and a prefetch to the host elsewhere. Waits for launches' passes.
    ///
    /// # Errors
    /// When a page's only copy cannot be read.
    pub fn bring_home(
        &self,
        range: ByteRange,
        access: Access,
        cause: Cause,
    ) -> Result<(), MoveError> {
        for (number, pages) in self.shared.blocks_of(self.shared.geometry.pages_of(range)) {
            if cause == Cause::Prefetch && self.shared.blocks.existing(number).is_none() {
                continue;
            }
            self.shared
                .host_access(number, pages, access, cause, None)?;
        }
        Ok(())
    }

    /// Waits until no launch uses the region, brings it home for writing and keeps it there until [`AddressSpace::unpin_host`]:
    /// system calls may then be given its addresses.
    ///
    /// # Errors
    /// When a page's only copy cannot be read; the region is not pinned then.
    pub fn pin_host(&self, region: &Region) -> Result<(), MoveError> {
        region.pin_host();
        let result = self.bring_home(region.range, Access::Write, Cause::Advice);
        if result.is_err() {
            region.unpin_host();
        }
        result
    }

    /// Ends a pin.
    pub fn unpin_host(&self, region: &Region) {
        region.unpin_host();
    }

    /// Where the page of an address is now. `None` when the address is not in the space.
    #[must_use]
    pub fn query(&self, va: Va) -> Option<PageReport> {
        let offset = self.shared.geometry.offset_of(va)?;
        let page = offset >> self.shared.geometry.page.shift();
        let (number, i) = self.shared.blocks.locate(page);
        let mapping = self
            .shared
            .blocks
            .existing(number)
            .map_or(Mapping::NIL, |b| b.lock().mapping(i));
        Some(PageReport {
            va: self
                .shared
                .geometry
                .va(page << self.shared.geometry.page.shift()),
            mapping,
        })
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counters.snapshot()
    }

    /// What a device's frames do, and the bytes it holds. `None` for a node that is no device.
    #[must_use]
    pub fn device(&self, node: NodeId) -> Option<(FrameCounts, DeviceBytes)> {
        let context = self.shared.context(node)?;
        Some((context.frame_counts(), context.bytes()))
    }

    /// Bytes of metadata: (of blocks that were touched, of the index over them).
    #[must_use]
    pub fn metadata_bytes(&self) -> (usize, usize) {
        self.shared.blocks.metadata_bytes()
    }

    /// Checks that frames and mappings agree; for tests, and on drop in debug builds.
    ///
    /// # Errors
    /// What does not, for people.
    pub fn check(&self) -> Result<(), String> {
        self.shared
            .contexts()
            .try_for_each(|c| c.check(&self.shared))
    }
}

impl Shared {
    /// Cuts a range of pages at block boundaries.
    pub(crate) fn blocks_of(
        &self,
        pages: std::ops::Range<u64>,
    ) -> impl Iterator<Item = (u64, std::ops::Range<u64>)> + use<> {
        let per_block = self.blocks.pages_per_block() as u64;
        let mut at = pages.start;
        std::iter::from_fn(move || {
            (at < pages.end).then(|| {
                let number = at / per_block;
                let part = at..((number + 1) * per_block).min(pages.end);
                at = part.end;
                (number, part)
            })
        })
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        // Workers finish what they were given; then no pass runs and no claim is held.
        self.workers.get_mut().clear();
        self.shared.host.stop();
        #[cfg(debug_assertions)]
        if !std::thread::panicking()
            && let Err(leak) = self.check()
        {
            panic!("the space is inconsistent on drop: {leak}");
        }
    }
}
