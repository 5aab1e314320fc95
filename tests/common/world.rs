//! A space, its devices and what its memory should read as: random operations, each checked, with errors injected.

mod launches;

use std::collections::BTreeSet;
use std::sync::Arc;

use gmem_hal::{
    Access, ByteRange, Cause, Device, DeviceError, HostMemory, Kernel, Launch, NodeId, PageSize, Va,
};
use gmem_runtime::policy::{PolicyKind, build};
use gmem_runtime::{AddressSpace, Heap, LaunchError, MoveError, Placement};
use gmem_sim::{Call, Injection, SimDevice, SimKernel, SimOptions};

use super::audit::{audit, same};
use super::flat::Allocation;
use super::kernels::{Kind, Shape, kernel};
use super::{HostKind, Rng};

/// What a world is like.
#[derive(Clone, Debug)]
pub struct Setup {
    pub host: HostKind,
    pub page: u64,
    /// Frames of each device.
    pub budgets: Vec<u64>,
    /// Remote frames of each device.
    pub remote: u64,
    /// Pages in a window.
    pub window: u64,
    pub policy: PolicyKind,
    pub placement: Placement,
    pub seed: u64,
    /// How many operations of a hundred have errors injected.
    pub trouble: u64,
}

/// What was done, for the reader of a test's output.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    pub operations: u64,
    pub launches: u64,
    pub failed: u64,
    pub too_large: u64,
    pub partial: u64,
    /// Passes that used remote frames.
    pub remote: u64,
    /// Passes over pieces of pages.
    pub pieces: u64,
}

/// Bytes that all allocations together may have.
const MOST_BYTES: u64 = 24 << 20;

pub struct World {
    setup: Setup,
    space: AddressSpace,
    host: Arc<dyn HostMemory>,
    heap: Heap,
    devices: Vec<(NodeId, Arc<SimDevice>)>,
    kernels: Vec<Arc<dyn Kernel>>,
    allocations: Vec<Allocation>,
    slabs: BTreeSet<Va>,
    rng: Rng,
    armed: bool,
    pub done: Done,
}

impl World {
    pub fn new(setup: &Setup) -> Self {
        let host = setup.host.open(64 << 20).expect("the host is available");
        let page = PageSize::new(setup.page).expect("a page size");
        let space = AddressSpace::new(Arc::clone(&host), page).expect("a space");
        let devices = (setup.budgets.iter().zip(0..))
            .map(|(&budget, i)| {
                let device = Arc::new(SimDevice::new(SimOptions {
                    capacity_bytes: budget * setup.page,
                    window_bytes: setup.window * setup.page,
                    remote_bytes: setup.remote * setup.page,
                    seed: setup.seed + i,
                    probe_width: 1 + (setup.seed % 9) as usize,
                    ..SimOptions::default()
                }));
                let policy = build(setup.policy, setup.seed);
                let attached = space
                    .attach(Arc::clone(&device) as _, policy, setup.placement)
                    .expect("it attaches");
                (attached.node, device)
            })
            .collect();
        Self {
            setup: setup.clone(),
            space,
            host,
            heap: Heap::default(),
            devices,
            kernels: Kind::ALL.iter().map(|&k| kernel(k)).collect(),
            allocations: Vec::new(),
            slabs: BTreeSet::new(),
            rng: Rng(setup.seed),
            armed: false,
            done: Done::default(),
        }
    }

    /// One random operation.
    pub fn operate(&mut self) {
        self.done.operations += 1;
        if self.rng.chance(self.setup.trouble) {
            self.arm();
        }
        let total: u64 = self.allocations.iter().map(|a| a.bytes.len() as u64).sum();
        match self.rng.below(100) {
            _ if self.allocations.len() < 3 => self.allocate(),
            0..8 if total < MOST_BYTES && self.allocations.len() < 24 => self.allocate(),
            8..14 => self.free(),
            14..32 => self.read(),
            32..48 => self.write(),
            48..78 => self.launch(),
            78..83 => self.moves(AddressSpace::prefetch),
            83..88 => self.moves(AddressSpace::evict),
            88..91 => self.discard(),
            91..95 => self.bring_home(),
            95..97 => self.reallocate(),
            97..98 => self.pin(),
            _ => self.audit(),
        }
        self.disarm();
    }

    pub fn audit(&mut self) {
        self.disarm();
        self.end_remote();
        audit(&self.space, &self.devices, &self.allocations);
        for ((node, _), budget) in self.devices.iter().zip(&self.setup.budgets) {
            let (_, bytes) = self.space.device(*node).expect("it is attached");
            assert!(
                bytes.peak_windows <= budget * self.setup.page,
                "the cap of {node:?} holds: {bytes:?}"
            );
        }
    }

    /// After a launch whose errors were in the way of that, the next one gives remote memory back.
    fn end_remote(&self) {
        for (node, device) in &self.devices {
            if device.bytes().remote == 0 {
                continue;
            }
            let nothing = SimKernel::new("nothing", Vec::new(), |_| Ok(()));
            let launch = Launch {
                kernel: Arc::new(nothing),
                bound: Vec::new(),
                values: Vec::new(),
                grid: [1; 3],
                reach: Vec::new(),
            };
            let launched = self.space.launch(*node, launch).expect("it is well formed");
            launched.wait().expect("it does nothing");
            assert_eq!(device.bytes().remote, 0, "{node:?} kept remote memory");
        }
    }

    /// Frees everything and checks that nothing is left.
    pub fn end(mut self) -> Done {
        self.audit();
        while !self.allocations.is_empty() {
            let last = self.allocations.len() - 1;
            self.free_at(last);
        }
        for &slab in &self.slabs {
            // The heap keeps an empty slab or so of each class.
            if let Ok(region) = self.space.region_at(slab) {
                for (node, _) in &self.devices {
                    self.space
                        .evict(*node, region.range())
                        .expect("it is a region")
                        .wait()
                        .expect("it leaves");
                }
            }
        }
        audit(&self.space, &self.devices, &[]);
        for (node, _) in &self.devices {
            assert_eq!(
                self.space.device(*node).expect("it is attached").0.used,
                0,
                "frames of {node:?} leaked"
            );
        }
        assert!(self.space.regions() <= self.slabs.len(), "regions leaked");
        let counts = self.space.counts();
        (self.done.remote, self.done.pieces) = (counts.remote_passes, counts.piece_passes);
        self.done
    }

    fn arm(&mut self) {
        self.armed = true;
        let device = &self.devices[self.rng.below(self.devices.len() as u64) as usize].1;
        let nth = self.rng.within(1, 6);
        let refused = DeviceError::Refused {
            call: "any",
            reason: "injected".to_owned(),
        };
        match self.rng.below(5) {
            0 => device.fail_randomly(0.1 * self.rng.within(1, 5) as f64),
            1 => device.inject(Injection::anywhere(nth, refused)),
            2 => device.inject(Injection::anywhere(nth, refused).in_the_midst()),
            3 => {
                let call = *self.rng.pick(&Call::ALL);
                device.inject(Injection::at(call, 1 + nth / 3, call.refused()).in_the_midst());
            }
            // A pass that fails when some of its workgroups are done.
            _ => {
                let error = DeviceError::Confined {
                    kernel: "injected".to_owned(),
                };
                device.inject(Injection::at(Call::Run, 1 + nth / 3, error).in_the_midst());
            }
        }
    }

    fn disarm(&mut self) {
        self.armed = false;
        self.devices.iter().for_each(|(_, d)| d.clear_injections());
    }

    /// Runs something that changes no content; when an error was injected into it, again without.
    fn insist<T>(&mut self, mut f: impl FnMut(&Self) -> Result<T, MoveError>) -> T {
        match f(self) {
            Ok(t) => t,
            Err(e) => {
                assert!(self.armed, "without an injected error: {e}");
                assert!(
                    matches!(e, MoveError::Device(DeviceError::Refused { .. })),
                    "{e}"
                );
                self.done.failed += 1;
                self.disarm();
                f(self).expect("the second attempt succeeds")
            }
        }
    }

    fn any(&mut self) -> usize {
        self.rng.below(self.allocations.len() as u64) as usize
    }

    /// Some bytes of an allocation: where they start in it, and how many.
    fn some(&mut self, allocation: usize, most: u64) -> (u64, u64) {
        let len = self.allocations[allocation].bytes.len() as u64;
        let start = self.rng.below(len);
        (start, self.rng.within(1, (len - start).min(most)))
    }

    fn allocate(&mut self) {
        let page = self.setup.page;
        let small = self.rng.chance(40);
        let bytes = match self.rng.below(4) {
            0 => self.rng.within(1, 600),
            1 => self.rng.within(1, page),
            2 => page * self.rng.within(1, 4),
            _ => self.rng.within(page, page * 12),
        }
        .min(6 << 20);
        let align = 1 << self.rng.below(13);
        let va = if small {
            self.heap
                .allocate(&self.space, bytes, align)
                .expect("there is room")
        } else {
            self.space
                .allocate(bytes, align)
                .expect("there is room")
                .va()
        };
        assert_eq!(va.0 % align, 0);
        let region = self.space.region_of(va).expect("it is in a region");
        let small = small && bytes.max(align) <= gmem_runtime::SMALL_MAX;
        if small {
            self.slabs.insert(region.va());
        }
        let offset = self.space.geometry().offset_of(va).expect("in the space");
        for a in &self.allocations {
            let (one, other) = (
                ByteRange::new(a.offset, a.bytes.len() as u64),
                ByteRange::new(offset, bytes),
            );
            assert!(!one.overlaps(other), "{one:?} and {other:?} overlap");
        }
        self.allocations.push(Allocation {
            va,
            offset,
            bytes: vec![0; bytes as usize],
            small,
        });
        let i = self.allocations.len() - 1;
        if small {
            // What malloc gives holds anything: whatever it is becomes what is expected.
            let found = self.load(i, 0, bytes);
            self.allocations[i].bytes = found;
        }
    }

    fn free(&mut self) {
        let i = self.any();
        self.free_at(i);
    }

    fn free_at(&mut self, i: usize) {
        let a = self.allocations.swap_remove(i);
        self.insist(|w| {
            if w.heap.usable(&w.space, a.va).is_err() {
                panic!("{} is not freed and the heap knows nothing of it", a.va);
            }
            w.heap.free(&w.space, a.va)
        });
        assert!(
            self.heap.free(&self.space, a.va).is_err(),
            "a double free is told"
        );
    }

    /// The bytes of an allocation, as a CPU thread sees them.
    fn load(&mut self, i: usize, start: u64, len: u64) -> Vec<u8> {
        let range = ByteRange::new(self.allocations[i].offset + start, len);
        let mut bytes = vec![0; len as usize];
        self.home(range, Access::Read);
        match self.setup.host {
            HostKind::Plain => self.host.read_bytes(range.offset, &mut bytes),
            HostKind::Real(_) => {
                let from = std::ptr::with_exposed_provenance::<u8>(
                    (self.allocations[i].va.0 + start) as usize,
                );
                // SAFETY: the range is inside a live allocation of the space, whose pages come home when touched (or were
                // brought home above); no launch runs meanwhile.
                unsafe { from.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
            }
        }
        bytes
    }

    fn store(&mut self, i: usize, start: u64, bytes: &[u8]) {
        let range = ByteRange::new(self.allocations[i].offset + start, bytes.len() as u64);
        self.home(range, Access::Write);
        match self.setup.host {
            HostKind::Plain => self.host.write_bytes(range.offset, bytes),
            HostKind::Real(_) => {
                let to = std::ptr::with_exposed_provenance_mut::<u8>(
                    (self.allocations[i].va.0 + start) as usize,
                );
                // SAFETY: as in `load`; nobody else touches these bytes.
                unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
            }
        }
        let start = start as usize;
        self.allocations[i].bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }

    /// Brings bytes home where touches are not noticed, and sometimes where they are. A touch itself cannot be tried again:
    /// no errors are left for it.
    fn home(&mut self, range: ByteRange, access: Access) {
        if !self.setup.host.notices() || self.rng.chance(40) {
            self.insist(|w| w.space.bring_home(range, access, Cause::UserCopy));
        }
        self.disarm();
    }

    fn read(&mut self) {
        let i = self.any();
        let (start, len) = self.some(i, 3 * self.setup.page);
        let found = self.load(i, start, len);
        let expected = &self.allocations[i].bytes[start as usize..(start + len) as usize];
        same(&found, expected, || {
            format!("a CPU read of {start}+{len} in allocation {i}")
        });
    }

    fn write(&mut self) {
        let i = self.any();
        let (start, len) = self.some(i, 3 * self.setup.page);
        let mut bytes = vec![0; len as usize];
        self.rng.fill(&mut bytes);
        self.store(i, start, &bytes);
    }

    fn moves(
        &mut self,
        f: fn(&AddressSpace, NodeId, ByteRange) -> Result<gmem_runtime::MoveHandle, MoveError>,
    ) {
        let i = self.any();
        let (start, len) = self.some(i, u64::MAX);
        let range = ByteRange::new(self.allocations[i].offset + start, len);
        let node = self.rng.pick(&self.devices).0;
        self.insist(|w| f(&w.space, node, range)?.wait());
    }

    fn bring_home(&mut self) {
        let i = self.any();
        let (start, len) = self.some(i, u64::MAX);
        let range = ByteRange::new(self.allocations[i].offset + start, len);
        let access = *self.rng.pick(&[Access::Read, Access::Write]);
        self.insist(|w| w.space.bring_home(range, access, Cause::Prefetch));
    }

    fn discard(&mut self) {
        let i = self.any();
        if self.allocations[i].small {
            return;
        }
        // Whole pages only.
        let region = self
            .space
            .region_at(self.allocations[i].va)
            .expect("a region of its own");
        let pages = region.range().len / self.setup.page;
        let first = self.rng.below(pages);
        let count = self.rng.within(1, pages - first);
        let (from, to) = (first * self.setup.page, (first + count) * self.setup.page);
        let range = ByteRange::new(region.range().offset + from, to - from);
        self.insist(|w| w.space.discard(range));
        let bytes = &mut self.allocations[i].bytes;
        let to = (to as usize).min(bytes.len());
        bytes[(from as usize).min(to)..to].fill(0);
    }

    fn reallocate(&mut self) {
        let i = self.any();
        let len = self.allocations[i].bytes.len() as u64;
        let new = self.rng.within(1, (len * 2).clamp(64, 1 << 20));
        let va = self
            .heap
            .allocate(&self.space, new, 16)
            .expect("there is room");
        let region = self.space.region_of(va).expect("it is in a region");
        let small = new <= gmem_runtime::SMALL_MAX;
        if small {
            self.slabs.insert(region.va());
        }
        let offset = self.space.geometry().offset_of(va).expect("in the space");
        self.allocations.push(Allocation {
            va,
            offset,
            bytes: vec![0; new as usize],
            small,
        });
        let last = self.allocations.len() - 1;
        let kept = self.load(i, 0, len.min(new));
        same(&kept, &self.allocations[i].bytes[..kept.len()], || {
            format!("a reallocation of {i}")
        });
        let mut bytes = vec![0; new as usize];
        bytes[..kept.len()].copy_from_slice(&kept);
        self.store(last, 0, &bytes);
        self.free_at(i);
    }

    fn pin(&mut self) {
        let i = self.any();
        let region = self
            .space
            .region_of(self.allocations[i].va)
            .expect("a region");
        self.insist(|w| w.space.pin_host(&region));
        let launch = Launch {
            kernel: Arc::clone(&self.kernels[Kind::Bump as usize]),
            bound: vec![ByteRange::new(self.allocations[i].offset, 1)],
            values: vec![
                Shape {
                    chunk: 4,
                    stride: 4,
                    salt: 0,
                    loose: false,
                }
                .to_value(),
            ],
            grid: [1; 3],
            reach: Vec::new(),
        };
        let node = self.rng.pick(&self.devices).0;
        let result = self.space.launch(node, launch).map(|_| ());
        assert!(
            matches!(result, Err(LaunchError::PinnedToHost { .. })),
            "{result:?}"
        );
        self.space.unpin_host(&region);
    }
}

/// Runs a world for so many operations; a failure names its seed and step.
pub fn run(setup: &Setup, operations: u64) -> Done {
    struct Tell<'a>(&'a Setup, u64);
    impl Drop for Tell<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed at step {} of {:?}", self.1, self.0);
            }
        }
    }
    let mut tell = Tell(setup, 0);
    let mut world = World::new(setup);
    while tell.1 < operations {
        tell.1 += 1;
        world.operate();
    }
    world.end()
}
