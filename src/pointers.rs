//! Pointers: what a kernel that follows them may reach, and what is told when it went elsewhere.
//!
//! A launch of such a kernel has memory of its own for what the kernel's prelude asks: the table of reachable ranges, and records of
//! accesses that were none. It is given back when the launch is over.

use std::ops::Range;
use std::sync::Arc;

use gmem_hal::{ByteRange, Geometry, Reached, Va, counted};
use gmem_wgpu::shaders::prelude::{
    self, FAULT_WORDS, FAULTS, FAULTS_KEPT, PointerAccess, PointerFault, REACH, REACH_WORDS,
    REACH_WRITABLE,
};

use crate::launch::Binding;
use crate::space::Inner;
use crate::{Error, Gmem, Kernel, Launch, Vector};

/// The word that the table begins at; the records come before it.
const TABLE: usize = 1024;

/// An access by a pointer that reached no memory that the launch may reach so: a load gave zero, a store or an atomic was
/// dropped, and nothing else was touched by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct SegmentationFault {
    /// The entry point.
    pub kernel: String,
    /// The source line of the access, from 1, where it is known.
    pub line: Option<u32>,
    /// The workgroup.
    pub workgroup: [u32; 3],
    /// The pointer.
    pub address: Va,
    /// What was to be done.
    pub access: PointerAccess,
    /// Bytes of it.
    pub bytes: u32,
    /// Why it could not.
    pub fault: PointerFault,
    /// The region that the address lies in, if any: its first address and its bytes.
    pub region: Option<(Va, u64)>,
    /// Of the memory that the launch may reach, the nearest below the address, or around it, and the nearest above.
    pub near: Vec<Near>,
    /// Other wild accesses that were noted: not all of a flood are.
    pub others: usize,
}

/// Reachable memory near an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Near {
    /// Its first address.
    pub start: Va,
    /// Its bytes.
    pub bytes: u64,
    /// Whether the launch may store to it.
    pub writable: bool,
    /// Bytes from the address to it: negative where it ends below the address, 0 where the address is inside.
    pub distance: i128,
}

impl SegmentationFault {
    fn text(&self) -> String {
        let line = self
            .line
            .map_or_else(String::new, |n| format!(", line {n}"));
        let access = match self.access {
            PointerAccess::Load => "a load",
            PointerAccess::Store => "a store",
            PointerAccess::Atomic => "an atomic operation",
        };
        let [x, y, z] = self.workgroup;
        let mut text = format!(
            "segmentation fault in kernel `{}`{line}, workgroup ({x}, {y}, {z}): {access} of {} at {}: ",
            self.kernel,
            counted(self.bytes, "byte"),
            self.address,
        );
        text.push_str(&match (self.fault, self.region) {
            (PointerFault::Misaligned, _) => {
                format!("the address is not a multiple of {}", self.bytes)
            }
            (PointerFault::ReadOnly, _) => {
                "the launch may only read there: reach it as `&mut`".to_owned()
            }
            (PointerFault::Nothing, None) if self.address.0 == 0 => "it is null".to_owned(),
            (PointerFault::Nothing, None) => "nothing is there".to_owned(),
            (PointerFault::Nothing, Some((start, bytes))) => format!(
                "the launch may not reach that (it is byte {} of a region of {} at {start}): name it with `reach`",
                self.address.0 - start.0,
                counted(bytes, "byte"),
            ),
        });
        for near in &self.near {
            let bytes = counted(near.bytes, "byte");
            let how_far = match near.distance {
                0 => "around it".to_owned(),
                far if far < 0 => format!("ending {} below", counted(far.unsigned_abs(), "byte")),
                far => format!("{} above", counted(far.unsigned_abs(), "byte")),
            };
            text.push_str(&format!(
                "; reachable: {bytes} at {}, {how_far}",
                near.start
            ));
        }
        match self.others {
            0 => {}
            others => text.push_str(&format!("; and at least {others} more")),
        }
        text
    }
}

impl<'a> Launch<'a> {
    /// Says that the kernel's pointers may lead to this memory: from `&Vector` to be read, from `&mut Vector` to be written
    /// too. Whatever else they lead to is an [`Error::SegmentationFault`].
    pub fn reach(mut self, memory: impl Into<Binding<'a>>) -> Self {
        let memory = memory.into();
        let result = self.try_reach(memory);
        self.kept(result)
    }

    fn try_reach(&mut self, memory: Binding<'a>) -> Result<(), Error> {
        let ours = |inner: &Arc<Inner>| Arc::ptr_eq(inner, &self.kernel.inner);
        if memory.inner.as_ref().is_some_and(|inner| !ours(inner)) {
            return Err(Error::OtherSpace {
                name: "what it reaches".to_owned(),
            });
        }
        self.reach.push(Reached {
            bytes: memory.range?,
            writable: memory.writable,
        });
        Ok(())
    }
}

/// The memory of a launch that follows pointers.
pub(crate) struct Pointed {
    memory: Vector<u32>,
    kernel: String,
    reach: Vec<Reached>,
}

impl Pointed {
    /// For a launch; nothing where its kernel follows no pointers.
    pub(crate) fn of(kernel: &Kernel, mut reach: Vec<Reached>) -> Result<Option<Self>, Error> {
        // What has no bytes reaches nothing, wherever it is.
        reach.retain(|reached| reached.bytes.len > 0);
        let name = || kernel.name().to_owned();
        match (kernel.hidden.is_empty(), reach.is_empty()) {
            (true, true) => return Ok(None),
            (true, false) => return Err(Error::NoPointers { kernel: name() }),
            (false, true) => return Err(Error::NoReach { kernel: name() }),
            (false, false) => {}
        }
        let gm = Gmem {
            inner: Arc::clone(&kernel.inner),
        };
        let table = table(&reach, &gm.geometry());
        let mut memory = gm.alloc::<u32>(TABLE + table.len())?;
        let words = TABLE..TABLE + table.len();
        memory.write(words)?.copy_from_slice(&table);
        Ok(Some(Self {
            memory,
            kernel: name(),
            reach,
        }))
    }

    /// What the launch may reach.
    pub(crate) fn reach(&self) -> &[Reached] {
        &self.reach
    }

    /// What is bound to one of the prelude's bindings.
    pub(crate) fn bound(&self, binding: u32) -> Result<ByteRange, Error> {
        match binding {
            REACH => self.memory.byte_range(TABLE..self.memory.len()),
            FAULTS => self.memory.byte_range(0..FAULTS_KEPT * FAULT_WORDS),
            _ => Ok(around(&self.reach, &self.memory.inner().space.geometry())),
        }
    }

    /// Whether all accesses reached what they may; asked when the launch is over.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let records = self.memory.read(0..FAULTS_KEPT * FAULT_WORDS)?;
        let mut found: Vec<(bool, [u32; 3], &[u32])> = records
            .chunks_exact(FAULT_WORDS)
            .filter(|record| record[FAULT_WORDS - 1] != 0 && prelude::fault_of(record[2]).is_some())
            .map(|record| {
                let torn = prelude::fault_sum(record) != record[FAULT_WORDS - 1];
                (torn, [record[6], record[5], record[4]], record)
            })
            .collect();
        found.sort_unstable();
        let Some(&(_, _, record)) = found.first() else {
            return Ok(());
        };
        let Some((access, fault, bytes)) = prelude::fault_of(record[2]) else {
            return Ok(());
        };
        let address = Va(u64::from(record[0]) | u64::from(record[1]) << 32);
        let space = &self.memory.inner().space;
        let region = space.region_of(address).ok();
        let region = region.filter(|r| address.0 - r.va().0 < r.bytes());
        Err(Error::SegmentationFault(Box::new(SegmentationFault {
            kernel: self.kernel.clone(),
            line: (record[3] != 0).then_some(record[3]),
            workgroup: [record[4], record[5], record[6]],
            address,
            access,
            bytes,
            fault,
            region: region.map(|region| (region.va(), region.bytes())),
            near: near(&self.reach, &space.geometry(), address),
            others: found.len() - 1,
        })))
    }
}

/// Whole pages from the lowest to the highest.
fn around(reach: &[Reached], geometry: &Geometry) -> ByteRange {
    let page = geometry.page.bytes();
    let start = reach.iter().map(|r| r.bytes.offset).min().unwrap_or(0);
    let end = reach.iter().map(|r| r.bytes.end()).max().unwrap_or(0);
    let start = start - start % page;
    ByteRange::new(start, end.next_multiple_of(page) - start)
}

/// The table that the prelude looks ranges up in.
fn table(reach: &[Reached], geometry: &Geometry) -> Vec<u32> {
    let halves = |offset: u64| {
        let address = geometry.va(offset).0;
        [address as u32, (address >> 32) as u32]
    };
    let [low, high] = halves(around(reach, geometry).offset);
    let mut words = vec![low, high, 0, 0];
    for (range, writable) in disjoint(reach) {
        let (start, mut end) = (halves(range.start), halves(range.end));
        if writable {
            end[1] |= REACH_WRITABLE;
        }
        words.extend(start);
        words.extend(end);
    }
    debug_assert!(words.len().is_multiple_of(REACH_WORDS));
    words
}

/// Ranges sorted and joined.
fn union(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|r| r.start);
    let mut out: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for r in ranges {
        match out.last_mut() {
            Some(last) if r.start <= last.end => last.end = last.end.max(r.end),
            _ => out.push(r),
        }
    }
    out
}

/// Ranges in ascending order, none of which share a byte: what is writable once is writable.
fn disjoint(reach: &[Reached]) -> Vec<(Range<u64>, bool)> {
    let ranges = |all: bool| {
        let chosen = reach.iter().filter(|r| all || r.writable);
        union(chosen.map(|r| r.bytes.offset..r.bytes.end()).collect())
    };
    let mut writable = ranges(false).into_iter().peekable();
    let mut out = Vec::new();
    for range in ranges(true) {
        let mut at = range.start;
        while let Some(part) = writable.next_if(|part| part.start < range.end) {
            if at < part.start {
                out.push((at..part.start, false));
            }
            at = part.end;
            out.push((part, true));
        }
        if at < range.end {
            out.push((at..range.end, false));
        }
    }
    out
}

/// What is around an address, or nearest to it on both sides.
fn near(reach: &[Reached], geometry: &Geometry, address: Va) -> Vec<Near> {
    let all = reach.iter().map(|r| {
        let (start, bytes) = (geometry.va(r.bytes.offset), r.bytes.len);
        let at = i128::from(address.0);
        let (first, end) = (i128::from(start.0), i128::from(start.0) + i128::from(bytes));
        Near {
            start,
            bytes,
            writable: r.writable,
            distance: if at < first {
                first - at
            } else if at >= end {
                end - 1 - at
            } else {
                0
            },
        }
    });
    let all: Vec<Near> = all.collect();
    let below = all
        .iter()
        .filter(|n| n.distance <= 0)
        .max_by_key(|n| n.distance);
    let above = all
        .iter()
        .filter(|n| n.distance > 0)
        .min_by_key(|n| n.distance);
    match below {
        Some(around) if around.distance == 0 => vec![*around],
        below => below.into_iter().chain(above).copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmem_hal::PageSize;

    fn reached(offset: u64, len: u64, writable: bool) -> Reached {
        Reached {
            bytes: ByteRange::new(offset, len),
            writable,
        }
    }

    #[test]
    fn overlapping_ranges_become_disjoint_ones_and_what_is_writable_once_is() {
        let reach = [
            reached(100, 50, true),
            reached(0, 300, false),
            reached(140, 20, true),
            reached(400, 8, false),
            reached(408, 8, true),
        ];
        assert_eq!(
            disjoint(&reach),
            [
                (0..100, false),
                (100..160, true),
                (160..300, false),
                (400..408, false),
                (408..416, true)
            ]
        );
    }

    #[test]
    fn the_table_has_addresses_and_what_is_near_is_told() {
        let geometry = Geometry {
            base: Va(0x7000_0000_0000),
            len: 1 << 40,
            page: PageSize::MIN,
        };
        let reach = [reached(0x3_0000_1000, 100, true), reached(8192, 16, false)];
        assert_eq!(
            table(&reach, &geometry),
            [
                8192,
                0x7000,
                0,
                0,
                8192,
                0x7000,
                8208,
                0x7000,
                0x1000,
                0x7003,
                0x1064,
                0x7003 | REACH_WRITABLE
            ]
        );
        assert_eq!(
            around(&reach, &geometry),
            ByteRange::new(8192, 0x3_0000_2000 - 8192)
        );
        let distances = |address| {
            let near = near(&reach, &geometry, Va(address));
            near.iter().map(|n| n.distance).collect::<Vec<_>>()
        };
        assert_eq!(distances(0x7000_0000_2010), [-1, 0x2_ffff_eff0]);
        assert_eq!(distances(0x7000_0000_200f), [0]);
        assert_eq!(distances(0), [0x7000_0000_2000]);
        assert_eq!(distances(u64::MAX).len(), 1);
    }
}
