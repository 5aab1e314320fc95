//! Addresses, pages and the few words that everything else is written in.

use crate::PageSizeError;

/// Bytes in a block: the unit of locking, of residency masks and of contiguity (2 MiB, as in the RFC and in UVM).
pub const BLOCK_BYTES: u64 = 2 << 20;

/// An absolute 64-bit virtual address: what a CPU pointer into the space holds, and what a device's page table is keyed by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Va(pub u64);

impl core::fmt::Debug for Va {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl core::fmt::Display for Va {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The unit of migration and translation: a power of two from 4 KiB to 2 MiB, 64 KiB by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageSize(u32);

impl PageSize {
    /// The smallest page: 4 KiB.
    pub const MIN: Self = Self(12);
    /// The largest page: one block, 2 MiB.
    pub const MAX: Self = Self(21);

    /// A page size in bytes.
    ///
    /// # Errors
    /// When `bytes` is not a power of two from 4 KiB to 2 MiB.
    pub fn new(bytes: u64) -> Result<Self, PageSizeError> {
        if bytes.is_power_of_two() && (4096..=BLOCK_BYTES).contains(&bytes) {
            Ok(Self(bytes.trailing_zeros()))
        } else {
            Err(PageSizeError { bytes })
        }
    }

    /// Bytes in a page.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        1 << self.0
    }

    /// log2 of the bytes in a page.
    #[must_use]
    pub const fn shift(self) -> u32 {
        self.0
    }

    /// Pages in a block: 1 to 512.
    #[must_use]
    pub const fn pages_per_block(self) -> usize {
        (BLOCK_BYTES >> self.0) as usize
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(16)
    }
}

/// A run of bytes of the address space, as an offset from its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct ByteRange {
    /// Bytes from the base of the address space.
    pub offset: u64,
    /// Bytes in the range.
    pub len: u64,
}

impl ByteRange {
    /// A range from its first byte and its length.
    #[must_use]
    pub const fn new(offset: u64, len: u64) -> Self {
        Self { offset, len }
    }

    /// One past the last byte.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.offset + self.len
    }

    /// Whether the two share a byte.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.offset < other.end() && other.offset < self.end()
    }
}

/// Where an address space lies and how it is cut: the base and length of its reserved range and its page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The lowest address; a multiple of [`BLOCK_BYTES`].
    pub base: Va,
    /// Bytes reserved; a multiple of [`BLOCK_BYTES`].
    pub len: u64,
    /// The page.
    pub page: PageSize,
}

impl Geometry {
    /// Pages in the whole space.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.len >> self.page.shift()
    }

    /// The byte offset of an address, when it lies in the space.
    #[must_use]
    pub fn offset_of(&self, va: Va) -> Option<u64> {
        let offset = va.0.checked_sub(self.base.0)?;
        (offset < self.len).then_some(offset)
    }

    /// The address of a byte offset.
    #[must_use]
    pub const fn va(&self, offset: u64) -> Va {
        Va(self.base.0 + offset)
    }

    /// The pages that a byte range touches, as a half-open range of page numbers from the base.
    #[must_use]
    pub const fn pages_of(&self, range: ByteRange) -> core::ops::Range<u64> {
        if range.len == 0 {
            let page = range.offset >> self.page.shift();
            return page..page;
        }
        (range.offset >> self.page.shift())..(((range.end() - 1) >> self.page.shift()) + 1)
    }
}

/// A memory: the host's, or one device's (GMEM's NUMA node or hNUMA node).
#[doc(alias = "hnode")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u8);

impl NodeId {
    /// The host's memory.
    pub const HOST: Self = Self(0);
    /// How many nodes an address space can have: the host and seven devices.
    pub const MAX: usize = 8;
}

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// It loads.
    Read,
    /// It stores, or may: atomics are writes.
    Write,
}

/// What a node may do with a page without asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rights {
    /// Nothing: a touch is a fault.
    None,
    /// Load only: a store is a fault.
    Read,
    /// Load and store.
    Write,
}

/// Why bytes moved. Recorded on every move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A launch or a CPU touch needed the page there.
    Demand,
    /// Somebody expected it to be needed there.
    Prefetch,
    /// Its frame was needed for another page.
    Eviction,
    /// Another node's access needed the only valid copy.
    Coherence,
    /// Advice moved it (pinning, discarding, detaching a device).
    Advice,
    /// An explicit view or copy by the user.
    UserCopy,
}

impl Cause {
    /// All causes, in the order of their discriminants: an index for tables of counters.
    pub const ALL: [Self; 6] = [
        Self::Demand,
        Self::Prefetch,
        Self::Eviction,
        Self::Coherence,
        Self::Advice,
        Self::UserCopy,
    ];

    /// The lower-case name used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Demand => "demand",
            Self::Prefetch => "prefetch",
            Self::Eviction => "eviction",
            Self::Coherence => "coherence",
            Self::Advice => "advice",
            Self::UserCopy => "user_copy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes_are_powers_of_two_from_4_kib_to_2_mib() {
        for bytes in [0, 1, 2048, 4095, 5000, 65_537, 4 << 20] {
            assert!(PageSize::new(bytes).is_err(), "{bytes}");
        }
        for shift in 12..=21 {
            let page = PageSize::new(1 << shift).unwrap();
            assert_eq!(page.bytes(), 1 << shift);
            assert_eq!(page.pages_per_block() as u64 * page.bytes(), BLOCK_BYTES);
        }
    }

    #[test]
    fn pages_of_a_range_are_those_it_touches() {
        let g = Geometry {
            base: Va(0x1000_0000),
            len: 1 << 30,
            page: PageSize::MIN,
        };
        assert_eq!(g.pages_of(ByteRange::new(0, 1)), 0..1);
        assert_eq!(g.pages_of(ByteRange::new(4095, 2)), 0..2);
        assert_eq!(g.pages_of(ByteRange::new(4096, 4096)), 1..2);
        assert!(g.pages_of(ByteRange::new(4096, 0)).is_empty());
        assert_eq!(g.offset_of(Va(0x0fff_ffff)), None);
        assert_eq!(g.offset_of(Va(0x1000_0000 + (1 << 30))), None);
    }
}
