//! Regions: allocations of whole pages, and the free ranges between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gmem_hal::{Access, BLOCK_BYTES, ByteRange, Geometry, Va};
use parking_lot::Condvar;
use slab::Slab;

use crate::error::{AddressError, AllocError};
use crate::sync::{Rank, Ranked};

/// How many launches use a region now.
#[derive(Debug, Default)]
struct InFlight {
    reading: usize,
    writing: usize,
    host_pins: usize,
    /// It is being freed: nothing may begin.
    closed: bool,
}

/// One allocation: a run of whole pages, with what is in flight over it.
#[doc(alias = "vm_object")]
#[derive(Debug)]
pub struct Region {
    /// The handle in the table of regions.
    pub(crate) id: usize,
    /// Where it starts.
    pub(crate) va: Va,
    /// Its pages.
    pub(crate) range: ByteRange,
    /// Bytes asked for.
    pub(crate) bytes: u64,
    in_flight: Ranked<InFlight>,
    quiet: Condvar,
    /// The page after the last one served to the CPU, and how many were served then: a sequential touch doubles them.
    pub(crate) cpu_next: AtomicU64,
    pub(crate) cpu_window: AtomicU64,
}

impl Region {
    /// Its first address.
    #[must_use]
    pub fn va(&self) -> Va {
        self.va
    }

    /// Bytes that were asked for; the pages reach to the next page boundary.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its pages, as bytes from the base of the space.
    #[must_use]
    pub fn range(&self) -> ByteRange {
        self.range
    }

    /// Notes that a launch uses it. `false` when it is pinned to the host.
    pub(crate) fn begin(&self, access: Access) -> bool {
        let mut f = self.in_flight.lock();
        if f.host_pins > 0 || f.closed {
            return false;
        }
        match access {
            Access::Read => f.reading += 1,
            Access::Write => f.writing += 1,
        }
        true
    }

    pub(crate) fn end(&self, access: Access) {
        let mut f = self.in_flight.lock();
        match access {
            Access::Read => f.reading -= 1,
            Access::Write => f.writing -= 1,
        }
        self.quiet.notify_all();
    }

    /// Waits for the launches that an access by the CPU must not overlap: those that write it for a load,
    /// those that read it too for a store. Also those whose handle was leaked.
    pub fn wait(&self, access: Access) {
        let mut f = self.in_flight.lock();
        while f.writing > 0 || (access == Access::Write && f.reading > 0) {
            f.wait(&self.quiet);
        }
    }

    /// Waits until nothing uses it, then pins it to the host until [`Region::unpin_host`].
    pub(crate) fn pin_host(&self) {
        let mut f = self.in_flight.lock();
        while f.writing > 0 || f.reading > 0 {
            f.wait(&self.quiet);
        }
        f.host_pins += 1;
    }

    /// Waits until nothing uses it, and lets nothing begin any more. `false` when somebody else closed it.
    pub(crate) fn close(&self) -> bool {
        let mut f = self.in_flight.lock();
        while f.writing > 0 || f.reading > 0 {
            f.wait(&self.quiet);
        }
        !std::mem::replace(&mut f.closed, true)
    }

    /// Takes a `close` back: the region could not be freed.
    pub(crate) fn reopen(&self) {
        self.in_flight.lock().closed = false;
    }

    /// Ends one pin.
    pub(crate) fn unpin_host(&self) {
        self.in_flight.lock().host_pins -= 1;
    }

    /// How many pages to serve to a CPU that touched `page`: one, doubling while touches are sequential.
    pub(crate) fn cpu_window(&self, page: u64, most: u64) -> u64 {
        let sequential = self.cpu_next.load(Ordering::Relaxed) == page;
        let pages = if sequential {
            (self.cpu_window.load(Ordering::Relaxed) * 2).clamp(1, most)
        } else {
            1
        };
        self.cpu_window.store(pages, Ordering::Relaxed);
        self.cpu_next.store(page + pages, Ordering::Relaxed);
        pages
    }
}

/// The regions of a space and the free ranges between them: lowest fit first, which keeps device page tables short.
#[derive(Debug)]
pub(crate) struct Regions {
    geometry: Geometry,
    regions: Slab<Arc<Region>>,
    by_start: BTreeMap<u64, usize>,
    /// Free ranges: start -> length, in bytes, never adjacent to each other.
    free: BTreeMap<u64, u64>,
}

impl Regions {
    pub(crate) fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            regions: Slab::new(),
            by_start: BTreeMap::new(),
            free: BTreeMap::from([(0, geometry.len)]),
        }
    }

    /// Makes a region of at least `bytes`, page-aligned, and block-aligned where it is a block or more long.
    pub(crate) fn allocate(&mut self, bytes: u64, align: u64) -> Result<Arc<Region>, AllocError> {
        if bytes == 0 {
            return Err(AllocError::Zero);
        }
        if !align.is_power_of_two() || align > BLOCK_BYTES {
            return Err(AllocError::Alignment { align });
        }
        let exhausted = |free: &BTreeMap<u64, u64>| AllocError::Exhausted {
            bytes,
            free: free.values().sum(),
        };
        let page = self.geometry.page.bytes();
        let len = bytes
            .checked_next_multiple_of(page)
            .ok_or_else(|| exhausted(&self.free))?;
        let align = align.max(if len >= BLOCK_BYTES {
            BLOCK_BYTES
        } else {
            page
        });
        let (start, offset, room) = self
            .free
            .iter()
            .find_map(|(&start, &room)| {
                let offset = start.next_multiple_of(align);
                let end = offset.checked_add(len)?;
                (end <= start + room).then_some((start, offset, room))
            })
            .ok_or_else(|| exhausted(&self.free))?;
        self.free.remove(&start);
        if offset > start {
            self.free.insert(start, offset - start);
        }
        if offset + len < start + room {
            self.free.insert(offset + len, start + room - offset - len);
        }
        let entry = self.regions.vacant_entry();
        let region = Arc::new(Region {
            id: entry.key(),
            va: self.geometry.va(offset),
            range: ByteRange::new(offset, len),
            bytes,
            in_flight: Ranked::new(Rank::Leaf, 0, InFlight::default()),
            quiet: Condvar::new(),
            cpu_next: AtomicU64::new(u64::MAX),
            cpu_window: AtomicU64::new(1),
        });
        self.by_start.insert(offset, entry.key());
        entry.insert(Arc::clone(&region));
        Ok(region)
    }

    /// The region that starts at an address.
    pub(crate) fn starting_at(&self, va: Va) -> Result<Arc<Region>, AddressError> {
        let region = self.containing(va).ok_or(AddressError::Unknown { va })?;
        if region.va == va {
            Ok(region)
        } else {
            Err(AddressError::Interior {
                va,
                start: region.va,
            })
        }
    }

    /// The region whose pages hold an address.
    pub(crate) fn containing(&self, va: Va) -> Option<Arc<Region>> {
        self.at_offset(self.geometry.offset_of(va)?)
    }

    /// The region whose pages hold a byte of the space.
    pub(crate) fn at_offset(&self, offset: u64) -> Option<Arc<Region>> {
        let (_, &id) = self.by_start.range(..=offset).next_back()?;
        let region = &self.regions[id];
        (offset < region.range.end()).then(|| Arc::clone(region))
    }

    /// Takes a region out of the table; its range stays taken until [`Regions::give_back`].
    pub(crate) fn remove(&mut self, va: Va) -> Result<Arc<Region>, AddressError> {
        let region = self.starting_at(va)?;
        self.by_start.remove(&region.range.offset);
        Ok(self.regions.remove(region.id))
    }

    /// Makes a removed region's range free again, merged with its neighbours.
    pub(crate) fn give_back(&mut self, range: ByteRange) {
        let (mut start, mut end) = (range.offset, range.end());
        if let Some((&before, &len)) = self.free.range(..start).next_back()
            && before + len == start
        {
            self.free.remove(&before);
            start = before;
        }
        if let Some(len) = self.free.remove(&end) {
            end += len;
        }
        self.free.insert(start, end - start);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Region>> {
        let by_start = self.by_start.values();
        by_start.map(|&id| Arc::clone(&self.regions[id])).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.regions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmem_hal::PageSize;

    fn regions(len: u64) -> Regions {
        Regions::new(Geometry {
            base: Va(1 << 40),
            len,
            page: PageSize::default(),
        })
    }

    #[test]
    fn freed_ranges_merge_and_are_used_again_lowest_first() {
        let mut r = regions(64 << 20);
        let all: Vec<_> = (0..8).map(|_| r.allocate(3 << 20, 1).unwrap()).collect();
        assert!(all.iter().all(|x| x.range.offset % BLOCK_BYTES == 0));
        for i in [3, 5, 4] {
            let gone = r.remove(all[i].va).unwrap();
            r.give_back(gone.range);
        }
        let again = r.allocate(12 << 20, 1).unwrap();
        assert_eq!(
            again.range.offset, all[3].range.offset,
            "three neighbours and the gaps between became one range"
        );
        assert!(matches!(
            r.allocate(1 << 30, 1),
            Err(AllocError::Exhausted { .. })
        ));
        assert!(matches!(
            r.allocate(u64::MAX, 1),
            Err(AllocError::Exhausted { .. })
        ));
        assert!(matches!(r.allocate(0, 1), Err(AllocError::Zero)));
        assert!(matches!(
            r.allocate(8, 3),
            Err(AllocError::Alignment { .. })
        ));
    }

    #[test]
    fn addresses_are_told_apart() {
        let mut r = regions(64 << 20);
        let a = r.allocate(100, 1).unwrap();
        assert_eq!(r.starting_at(a.va).unwrap().id, a.id);
        let inside = Va(a.va.0 + 8);
        assert_eq!(
            r.starting_at(inside).unwrap_err(),
            AddressError::Interior {
                va: inside,
                start: a.va
            }
        );
        assert!(r.starting_at(Va(a.va.0 + 65536)).is_err());
        assert!(r.starting_at(Va(16)).is_err());
        let gone = r.remove(a.va).unwrap();
        assert!(r.remove(a.va).is_err(), "a second free finds nothing");
        r.give_back(gone.range);
        assert_eq!(r.free, BTreeMap::from([(0, 64 << 20)]));
    }
}
