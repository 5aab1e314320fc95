//! Small allocations: size classes cut out of slabs of one block each, with all metadata outside the memory.
//!
//! A slab is an ordinary region, so small objects page, migrate and stay coherent like everything else; a kernel may bind
//! any range inside one. Sizes above [`SMALL_MAX`] are regions of their own.

use std::collections::BTreeMap;

use gmem_hal::{BLOCK_BYTES, Va};

use crate::error::{AddressError, AllocError, MoveError};
use crate::space::AddressSpace;
use crate::sync::{Rank, Ranked};

/// The largest allocation that shares a slab: an eighth of a block.
pub const SMALL_MAX: u64 = BLOCK_BYTES / 8;
/// The smallest slot, and the alignment that every allocation has (as `malloc`'s on 64-bit machines).
pub const SMALL_MIN: u64 = 16;

const CLASSES: usize = (SMALL_MAX.trailing_zeros() - SMALL_MIN.trailing_zeros()) as usize + 1;

#[derive(Debug)]
struct Slab {
    slot_bytes: u64,
    /// One bit per slot: in use.
    used: Box<[u64]>,
    /// Slots given back; those from `fresh` on were never used.
    free: Vec<u32>,
    fresh: u32,
    live: u32,
}

impl Slab {
    fn new(slot_bytes: u64) -> Self {
        let slots = (BLOCK_BYTES / slot_bytes) as usize;
        Self {
            slot_bytes,
            used: vec![0; slots.div_ceil(64)].into_boxed_slice(),
            free: Vec::new(),
            fresh: 0,
            live: 0,
        }
    }

    fn slots(&self) -> u32 {
        (BLOCK_BYTES / self.slot_bytes) as u32
    }

    fn take(&mut self) -> Option<u32> {
        let slot = self.free.pop().or_else(|| {
            (self.fresh < self.slots()).then(|| {
                self.fresh += 1;
                self.fresh - 1
            })
        })?;
        self.used[slot as usize / 64] |= 1 << (slot % 64);
        self.live += 1;
        Some(slot)
    }

    fn is_used(&self, slot: u32) -> bool {
        self.used[slot as usize / 64] & (1 << (slot % 64)) != 0
    }

    fn give(&mut self, slot: u32) {
        self.used[slot as usize / 64] &= !(1 << (slot % 64));
        self.free.push(slot);
        self.live -= 1;
    }

    fn is_full(&self) -> bool {
        self.free.is_empty() && self.fresh == self.slots()
    }
}

#[derive(Debug, Default)]
struct Slabs {
    /// By first address.
    all: BTreeMap<u64, Slab>,
    /// By class: slabs with a free slot.
    open: [Vec<u64>; CLASSES],
}

/// The `malloc` of an address space: thread-safe, and safe: it deals in addresses and never looks at memory.
pub struct Heap {
    slabs: Ranked<Slabs>,
}

impl Default for Heap {
    fn default() -> Self {
        Self {
            slabs: Ranked::new(Rank::Heap, 0, Slabs::default()),
        }
    }
}

fn class_of(bytes: u64) -> usize {
    (bytes.max(SMALL_MIN).next_power_of_two().trailing_zeros() - SMALL_MIN.trailing_zeros())
        as usize
}

impl Heap {
    /// Memory for `bytes` bytes at a multiple of `align`. Its content is unspecified, as with `malloc`.
    ///
    /// # Errors
    /// When nothing was asked for, the alignment is no power of two up to 2 MiB, or there is no room.
    pub fn allocate(&self, space: &AddressSpace, bytes: u64, align: u64) -> Result<Va, AllocError> {
        if bytes == 0 {
            return Err(AllocError::Zero);
        }
        if !align.is_power_of_two() || align > BLOCK_BYTES {
            return Err(AllocError::Alignment { align });
        }
        // A slot's size is a power of two and its slab a block: it is aligned to its own size.
        let slot_bytes = bytes.max(align);
        if slot_bytes > SMALL_MAX {
            return Ok(space.allocate(bytes, align)?.va());
        }
        let class = class_of(slot_bytes);
        let mut slabs = self.slabs.lock();
        let slabs = &mut *slabs;
        let start = match slabs.open[class].last() {
            Some(&start) => start,
            None => {
                let start = space.allocate(BLOCK_BYTES, BLOCK_BYTES)?.va().0;
                slabs.all.insert(start, Slab::new(SMALL_MIN << class));
                slabs.open[class].push(start);
                start
            }
        };
        let slab = slabs.all.get_mut(&start).expect("an open slab exists");
        let slot = slab.take().expect("an open slab has a free slot");
        if slab.is_full() {
            slabs.open[class].pop();
        }
        Ok(Va(start + u64::from(slot) * slab.slot_bytes))
    }

    /// Bytes usable at an address that `allocate` gave: at least what was asked for.
    ///
    /// # Errors
    /// When the address is no live allocation's first.
    #[doc(alias = "malloc_usable_size")]
    pub fn usable(&self, space: &AddressSpace, va: Va) -> Result<u64, AddressError> {
        let slabs = self.slabs.lock();
        if let Some((start, slab)) = slab_of(&slabs.all, va) {
            slot_of(start, slab, va)?;
            return Ok(slab.slot_bytes);
        }
        drop(slabs);
        Ok(space.region_at(va)?.range().len)
    }

    /// Ends an allocation. An empty slab goes back to the space, unless a device holds on to it.
    ///
    /// # Errors
    /// When the address is no live allocation's first: freed already, inside one, or foreign. Nothing happens then.
    pub fn free(&self, space: &AddressSpace, va: Va) -> Result<(), MoveError> {
        let mut guard = self.slabs.lock();
        let slabs = &mut *guard;
        let Some((start, _)) = slab_of(&slabs.all, va) else {
            drop(guard);
            return space.free(va);
        };
        let slab = slabs.all.get_mut(&start).expect("it was found");
        let slot = slot_of(start, slab, va)?;
        let was_full = slab.is_full();
        slab.give(slot);
        let class = class_of(slab.slot_bytes);
        if was_full {
            slabs.open[class].push(start);
        }
        if slabs.all[&start].live == 0 && slabs.open[class].len() > 1 {
            slabs.open[class].retain(|&s| s != start);
            let slab = slabs.all.remove(&start).expect("it was found");
            drop(guard);
            // The slot is free either way: a slab that a device holds on to stays for the next allocations.
            if space.free(Va(start)).is_err() && space.region_at(Va(start)).is_ok() {
                let mut slabs = self.slabs.lock();
                slabs.all.insert(start, slab);
                slabs.open[class].push(start);
            }
        }
        Ok(())
    }
}

fn slab_of(all: &BTreeMap<u64, Slab>, va: Va) -> Option<(u64, &Slab)> {
    let (&start, slab) = all.range(..=va.0).next_back()?;
    (va.0 < start + BLOCK_BYTES).then_some((start, slab))
}

fn slot_of(start: u64, slab: &Slab, va: Va) -> Result<u32, AddressError> {
    let slot = ((va.0 - start) / slab.slot_bytes) as u32;
    let first = Va(start + u64::from(slot) * slab.slot_bytes);
    if !slab.is_used(slot) {
        Err(AddressError::Unknown { va })
    } else if first != va {
        Err(AddressError::Interior { va, start: first })
    } else {
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmem_hal::{PageSize, PlainHost};
    use std::sync::Arc;

    fn space() -> AddressSpace {
        AddressSpace::new(Arc::new(PlainHost::new(64 << 20)), PageSize::default()).unwrap()
    }

    #[test]
    fn allocations_never_overlap_and_come_back() {
        let (space, heap) = (space(), Heap::default());
        let mut live: Vec<(u64, u64)> = Vec::new();
        let mut x = 1u64;
        for round in 0..20_000u64 {
            x = x
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if live.len() > 500 || (!live.is_empty() && x >> 63 == 0) {
                let (at, _) = live.swap_remove((x >> 20) as usize % live.len());
                heap.free(&space, Va(at)).unwrap();
            } else {
                let bytes = 1 + (x >> 33) % 5000;
                let align = 1u64 << ((x >> 50) % 9);
                let at = heap.allocate(&space, bytes, align).unwrap().0;
                assert_eq!(at % align.max(SMALL_MIN), 0, "round {round}");
                assert!(
                    live.iter().all(|&(a, n)| at + bytes <= a || a + n <= at),
                    "overlap in round {round}"
                );
                live.push((at, bytes));
            }
        }
        for (at, _) in live {
            heap.free(&space, Va(at)).unwrap();
        }
        assert!(
            space.regions() <= CLASSES,
            "empty slabs go back: {} left",
            space.regions()
        );
    }

    #[test]
    fn double_foreign_and_interior_frees_are_told_apart() {
        let (space, heap) = (space(), Heap::default());
        let a = heap.allocate(&space, 40, 1).unwrap();
        let big = heap.allocate(&space, 1 << 20, 4096).unwrap();
        for inside in [Va(a.0 + 8), Va(big.0 + 8)] {
            assert!(matches!(
                heap.free(&space, inside),
                Err(MoveError::Address(AddressError::Interior { .. }))
            ));
        }
        for va in [a, big] {
            heap.free(&space, va).unwrap();
            assert!(matches!(
                heap.free(&space, va),
                Err(MoveError::Address(AddressError::Unknown { .. }))
            ));
        }
        assert!(heap.free(&space, Va(64)).is_err());
        assert!(matches!(heap.allocate(&space, 0, 1), Err(AllocError::Zero)));
        assert!(heap.allocate(&space, 8, 3).is_err());
        assert!(heap.allocate(&space, u64::MAX, 1).is_err());
    }
}
