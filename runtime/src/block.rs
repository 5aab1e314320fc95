//! Blocks: 2 MiB of the space, the unit of locking, holding the logical page table in masks, one bit per page.
//!
//! ```text
//! BlockTable ── chunk (512 blocks, 1 GiB) ── Block { lock, unclaimed }
//!                                             └ BlockState { host: valid, mapped, writer, reserved
//!                                                            devices: [ node: valid, writer, claimed, claimed for writing; frames ] }
//! ```
//!
//! Nothing exists for a block until a page of it is touched. A *claim* is a device's promise to itself: a page it claims
//! for a pass cannot be taken away by anybody until the pass is over; who wants it waits on `unclaimed`.

use std::sync::OnceLock;

use gmem_hal::{Access, BLOCK_BYTES, FrameIndex, Geometry, NodeId};
use parking_lot::Condvar;

use crate::nodes::NodeSet;
use crate::step::Mapping;
use crate::sync::{Guard, Rank, Ranked};

/// Some bitmasks over the pages of a block, in one allocation.
#[derive(Debug)]
struct Masks {
    words: Box<[u64]>,
    /// Words in one mask.
    stride: usize,
}

impl Masks {
    fn new(masks: usize, pages: usize) -> Self {
        let stride = pages.div_ceil(64);
        Self {
            words: vec![0; stride * masks].into_boxed_slice(),
            stride,
        }
    }

    fn get(&self, mask: usize, page: usize) -> bool {
        self.words[mask * self.stride + page / 64] & (1 << (page % 64)) != 0
    }

    fn set(&mut self, mask: usize, page: usize, value: bool) {
        let word = &mut self.words[mask * self.stride + page / 64];
        if value {
            *word |= 1 << (page % 64);
        } else {
            *word &= !(1 << (page % 64));
        }
    }

    fn is_clear(&self, mask: usize) -> bool {
        self.words[mask * self.stride..][..self.stride]
            .iter()
            .all(|&w| w == 0)
    }
}

const HOST_VALID: usize = 0;
const HOST_MAPPED: usize = 1;
const HOST_WRITER: usize = 2;
const RESERVED: usize = 3;
const HOST_MASKS: usize = 4;

const VALID: usize = 0;
const WRITER: usize = 1;
const CLAIMED: usize = 2;
const CLAIMED_WRITE: usize = 3;
const DEVICE_MASKS: usize = 4;

/// What one device has of a block.
#[derive(Debug)]
struct DevicePart {
    node: NodeId,
    masks: Masks,
    /// The frame of each valid page.
    frames: Box<[u32]>,
}

/// The mappings of one block. Page numbers here count from the block's first page.
#[derive(Debug)]
pub(crate) struct BlockState {
    host: Masks,
    devices: Vec<DevicePart>,
    pages: usize,
}

impl BlockState {
    fn new(pages: usize) -> Self {
        Self {
            host: Masks::new(HOST_MASKS, pages),
            devices: Vec::new(),
            pages,
        }
    }

    fn part(&self, node: NodeId) -> Option<&DevicePart> {
        self.devices.iter().find(|p| p.node == node)
    }

    fn part_mut(&mut self, node: NodeId) -> &mut DevicePart {
        let i = self
            .devices
            .iter()
            .position(|p| p.node == node)
            .unwrap_or_else(|| {
                self.devices.push(DevicePart {
                    node,
                    masks: Masks::new(DEVICE_MASKS, self.pages),
                    frames: vec![0; self.pages].into_boxed_slice(),
                });
                self.devices.len() - 1
            });
        &mut self.devices[i]
    }

    /// The mapping of a page.
    pub(crate) fn mapping(&self, page: usize) -> Mapping {
        let mut m = Mapping {
            host_mapped: self.host.get(HOST_MAPPED, page),
            ..Mapping::NIL
        };
        if self.host.get(HOST_VALID, page) {
            m.valid = NodeSet::of(NodeId::HOST);
        }
        if self.host.get(HOST_WRITER, page) {
            m.writer = Some(NodeId::HOST);
        }
        for part in &self.devices {
            if part.masks.get(VALID, page) {
                m.valid = m.valid.with(part.node);
            }
            if part.masks.get(WRITER, page) {
                m.writer = Some(part.node);
            }
        }
        m
    }

    /// Replaces the mapping of a page.
    pub(crate) fn set_mapping(&mut self, page: usize, m: Mapping) {
        debug_assert!(m.is_consistent(), "{m:?}");
        self.host.set(HOST_VALID, page, m.valid.has(NodeId::HOST));
        self.host.set(HOST_MAPPED, page, m.host_mapped);
        self.host
            .set(HOST_WRITER, page, m.writer == Some(NodeId::HOST));
        for node in m.valid.iter().filter(|&n| n != NodeId::HOST) {
            self.part_mut(node);
        }
        for part in &mut self.devices {
            part.masks.set(VALID, page, m.valid.has(part.node));
            part.masks.set(WRITER, page, m.writer == Some(part.node));
        }
        if m == Mapping::NIL {
            self.host.set(RESERVED, page, false);
        }
    }

    /// Whether the host is known to have memory behind a page.
    pub(crate) fn is_reserved(&self, page: usize) -> bool {
        self.host.get(RESERVED, page)
    }

    pub(crate) fn set_reserved(&mut self, page: usize) {
        self.host.set(RESERVED, page, true);
    }

    /// The frame that holds a device's valid copy of a page.
    pub(crate) fn frame(&self, node: NodeId, page: usize) -> Option<FrameIndex> {
        let part = self.part(node)?;
        part.masks
            .get(VALID, page)
            .then(|| FrameIndex(part.frames[page]))
    }

    pub(crate) fn set_frame(&mut self, node: NodeId, page: usize, frame: FrameIndex) {
        self.part_mut(node).frames[page] = frame.0;
    }

    /// Claims a page for a device's pass.
    pub(crate) fn claim(&mut self, node: NodeId, page: usize, access: Access) {
        let part = self.part_mut(node);
        part.masks.set(CLAIMED, page, true);
        if access == Access::Write {
            part.masks.set(CLAIMED_WRITE, page, true);
        }
    }

    pub(crate) fn unclaim(&mut self, node: NodeId, page: usize) {
        let part = self.part_mut(node);
        part.masks.set(CLAIMED, page, false);
        part.masks.set(CLAIMED_WRITE, page, false);
    }

    /// Whether a device claims a page, and for what.
    pub(crate) fn claimed(&self, node: NodeId, page: usize) -> Option<Access> {
        let part = self.part(node)?;
        part.masks.get(CLAIMED, page).then(|| {
            if part.masks.get(CLAIMED_WRITE, page) {
                Access::Write
            } else {
                Access::Read
            }
        })
    }

    /// Whether a node's access to a page has to wait for another device's pass.
    pub(crate) fn conflicts(&self, node: NodeId, page: usize, access: Access) -> bool {
        self.devices
            .iter()
            .filter(|part| part.node != node)
            .any(|part| {
                part.masks.get(CLAIMED, page)
                    && (access == Access::Write || part.masks.get(CLAIMED_WRITE, page))
            })
    }

    /// Drops the part of a device that has nothing here any more.
    pub(crate) fn tidy(&mut self, node: NodeId) {
        self.devices
            .retain(|p| p.node != node || !(p.masks.is_clear(VALID) && p.masks.is_clear(CLAIMED)));
    }

    /// Bytes of metadata behind this block, all allocations counted.
    fn metadata_bytes(&self) -> usize {
        let masks = |m: &Masks| m.words.len() * 8;
        size_of::<Block>()
            + masks(&self.host)
            + self.devices.capacity() * size_of::<DevicePart>()
            + self
                .devices
                .iter()
                .map(|p| masks(&p.masks) + p.frames.len() * 4)
                .sum::<usize>()
    }
}

/// One block and its lock.
#[derive(Debug)]
pub(crate) struct Block {
    state: Ranked<BlockState>,
    /// Signalled when claims end.
    unclaimed: Condvar,
}

impl Block {
    /// LOCKING: takes the block's lock; lower blocks may be held, higher ones and frames may not.
    pub(crate) fn lock(&self) -> Guard<'_, BlockState> {
        self.state.lock()
    }

    /// Waits, without the lock, until some claim on the block ends.
    pub(crate) fn wait(&self, guard: &mut Guard<'_, BlockState>) {
        guard.wait(&self.unclaimed);
    }

    pub(crate) fn notify(&self) {
        self.unclaimed.notify_all();
    }
}

const CHUNK: usize = 512;
type Chunk = Box<[OnceLock<Box<Block>>]>;

/// All blocks of a space: found by arithmetic, made when first touched.
#[derive(Debug)]
pub(crate) struct BlockTable {
    chunks: Box<[OnceLock<Chunk>]>,
    pages_per_block: usize,
}

impl BlockTable {
    pub(crate) fn new(geometry: &Geometry) -> Self {
        let blocks = geometry.len.div_ceil(BLOCK_BYTES) as usize;
        Self {
            chunks: (0..blocks.div_ceil(CHUNK))
                .map(|_| OnceLock::new())
                .collect(),
            pages_per_block: geometry.page.pages_per_block(),
        }
    }

    pub(crate) fn pages_per_block(&self) -> usize {
        self.pages_per_block
    }

    /// The number of the block of a page, and the page's number inside it.
    pub(crate) fn locate(&self, page: u64) -> (u64, usize) {
        (
            page / self.pages_per_block as u64,
            (page % self.pages_per_block as u64) as usize,
        )
    }

    /// A block, made if it was never touched.
    pub(crate) fn block(&self, number: u64) -> &Block {
        let chunk = self.chunks[number as usize / CHUNK]
            .get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect());
        chunk[number as usize % CHUNK].get_or_init(|| {
            Box::new(Block {
                state: Ranked::new(Rank::Block, number, BlockState::new(self.pages_per_block)),
                unclaimed: Condvar::new(),
            })
        })
    }

    /// A block, if it was ever touched.
    pub(crate) fn existing(&self, number: u64) -> Option<&Block> {
        self.chunks.get(number as usize / CHUNK)?.get()?[number as usize % CHUNK]
            .get()
            .map(|b| &**b)
    }

    /// The numbers of the blocks that were ever touched.
    pub(crate) fn touched(&self) -> impl Iterator<Item = u64> + '_ {
        self.chunks
            .iter()
            .enumerate()
            .filter_map(|(c, chunk)| Some((c, chunk.get()?)))
            .flat_map(|(c, chunk)| {
                chunk
                    .iter()
                    .enumerate()
                    .filter(|(_, b)| b.get().is_some())
                    .map(move |(i, _)| (c * CHUNK + i) as u64)
            })
    }

    /// Bytes of metadata: (of touched blocks, of the index over them).
    pub(crate) fn metadata_bytes(&self) -> (usize, usize) {
        let blocks = self
            .touched()
            .map(|n| self.block(n).lock().metadata_bytes())
            .sum();
        let chunks = self.chunks.iter().filter(|c| c.get().is_some()).count();
        let index = self.chunks.len() * size_of::<OnceLock<Chunk>>()
            + chunks * CHUNK * size_of::<OnceLock<Box<Block>>>();
        (blocks, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmem_hal::{PageSize, Va};

    fn geometry(page: u64, len: u64) -> Geometry {
        Geometry {
            base: Va(1 << 40),
            len,
            page: PageSize::new(page).unwrap(),
        }
    }

    #[test]
    fn metadata_stays_under_16_bytes_per_64_kib_page() {
        let table = BlockTable::new(&geometry(65536, 1 << 30));
        for number in 0..64 {
            let block = table.block(number);
            let mut state = block.lock();
            for page in 0..32 {
                state.set_mapping(
                    page,
                    Mapping {
                        valid: NodeSet::of(NodeId(1)),
                        writer: Some(NodeId(1)),
                        host_mapped: false,
                    },
                );
                state.set_frame(NodeId(1), page, FrameIndex(page as u32));
                state.claim(NodeId(1), page, Access::Write);
            }
        }
        let (blocks, _) = table.metadata_bytes();
        let per_page = blocks as f64 / (64.0 * 32.0);
        assert!(per_page <= 16.0, "{per_page} bytes a page");
    }

    #[test]
    fn an_untouched_tebibyte_costs_only_its_top_index() {
        let table = BlockTable::new(&geometry(65536, 1 << 40));
        let (blocks, index) = table.metadata_bytes();
        assert_eq!(blocks, 0);
        assert!(index <= 32 << 10, "{index}");
        assert!(table.existing(7).is_none());
        assert_eq!(table.touched().count(), 0);
    }

    #[test]
    fn a_mapping_reads_back_as_it_was_set() {
        for page_bytes in [4096, 65536, 2 << 20] {
            let table = BlockTable::new(&geometry(page_bytes, 1 << 30));
            let pages = table.pages_per_block();
            let mut state = table.block(3).lock();
            let (a, b) = (NodeId(1), NodeId(2));
            let all = [
                Mapping::NIL,
                Mapping {
                    valid: NodeSet::of(NodeId::HOST),
                    writer: Some(NodeId::HOST),
                    host_mapped: true,
                },
                Mapping {
                    valid: NodeSet::of(a).with(b).with(NodeId::HOST),
                    writer: None,
                    host_mapped: true,
                },
                Mapping {
                    valid: NodeSet::of(b),
                    writer: Some(b),
                    host_mapped: false,
                },
            ];
            for (i, m) in all.into_iter().cycle().take(pages * 4 + 1).enumerate() {
                state.set_mapping(i % pages, m);
                assert_eq!(state.mapping(i % pages), m);
            }
        }
    }

    #[test]
    fn a_claim_for_writing_stops_everybody_and_one_for_reading_only_writers() {
        let table = BlockTable::new(&geometry(65536, 1 << 30));
        let mut state = table.block(0).lock();
        let (a, host) = (NodeId(1), NodeId::HOST);
        state.claim(a, 5, Access::Read);
        assert!(!state.conflicts(host, 5, Access::Read));
        assert!(state.conflicts(host, 5, Access::Write));
        assert!(!state.conflicts(a, 5, Access::Write));
        state.claim(a, 5, Access::Write);
        assert!(state.conflicts(host, 5, Access::Read));
        assert_eq!(state.claimed(a, 5), Some(Access::Write));
        state.unclaim(a, 5);
        assert!(!state.conflicts(host, 5, Access::Write));
    }
}
