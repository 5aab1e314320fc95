//! Free blocks of power-of-two sizes, in one list for each order, linked through the frames' records.
//!
//! ```text
//!  order 2   |       0..4        |        taking one frame of it leaves
//!  order 1             | 2..4    |        the halves that it was not in,
//!  order 0        | 1  |                  giving it back joins them again
//! ```
//!
//! Invariants: a block of order `k` starts at a multiple of `2^k` within its window, so that its buddy is found by
//! flipping one bit and a merge never leaves the window; no two free blocks are buddies of each other.
//! Everything but the range functions is O(log n).

use super::meta::{FrameMeta, FrameTable, NONE, State};

/// The heads of the free lists.
#[derive(Debug)]
pub(super) struct FreeLists {
    heads: [u32; 32],
    /// Bit `k` is set when the list of order `k` is not empty.
    occupied: u32,
}

impl FreeLists {
    pub(super) fn new() -> Self {
        Self {
            heads: [NONE; 32],
            occupied: 0,
        }
    }

    fn push(&mut self, table: &mut FrameTable, frame: u32, order: u32) {
        let head = self.heads[order as usize];
        table[frame] = FrameMeta::free(order as u8, NONE, head);
        if head != NONE {
            table[head].set_prev(frame);
        }
        self.heads[order as usize] = frame;
        self.occupied |= 1 << order;
    }

    /// Takes a block out of its list. All of its frames are [`State::Inside`] afterwards.
    fn unlink(&mut self, table: &mut FrameTable, frame: u32) -> u32 {
        let meta = table[frame];
        let (order, prev, next) = (u32::from(meta.order), meta.prev(), meta.next());
        if prev == NONE {
            self.heads[order as usize] = next;
            if next == NONE {
                self.occupied &= !(1 << order);
            }
        } else {
            table[prev].set_next(next);
        }
        if next != NONE {
            table[next].set_prev(prev);
        }
        table[frame].make_inside();
        order
    }

    /// Takes a block of exactly `order` out of the smallest one that holds it.
    pub(super) fn take(&mut self, table: &mut FrameTable, order: u32) -> Option<u32> {
        if order > table.shift() {
            return None;
        }
        let fitting = self.occupied & (u32::MAX << order);
        if fitting == 0 {
            return None;
        }
        let frame = self.heads[fitting.trailing_zeros() as usize];
        let mut have = self.unlink(table, frame);
        while have > order {
            have -= 1;
            self.push(table, frame + (1 << have), have);
        }
        Some(frame)
    }

    /// Gives a block back and joins it with its buddy, again and again.
    pub(super) fn give(&mut self, table: &mut FrameTable, mut frame: u32, mut order: u32) {
        table[frame].make_inside();
        while order < table.shift() {
            let buddy = frame ^ (1 << order);
            let joins = table
                .get(buddy)
                .is_some_and(|meta| meta.state == State::Free && u32::from(meta.order) == order);
            if !joins {
                break;
            }
            self.unlink(table, buddy);
            frame &= buddy;
            order += 1;
        }
        self.push(table, frame, order);
    }

    /// The free block that a frame lies in.
    pub(super) fn block_of(table: &FrameTable, frame: u32) -> Option<(u32, u32)> {
        match table.get(frame)?.state {
            State::Used | State::Retiring => None,
            State::Free | State::Inside => (0..=table.shift()).find_map(|order| {
                let head = frame & (u32::MAX << order);
                let meta = table.get(head)?;
                (meta.state == State::Free && u32::from(meta.order) == order)
                    .then_some((head, order))
            }),
        }
    }

    /// Gives adjacent frames back, as the largest blocks that their place allows.
    pub(super) fn give_range(&mut self, table: &mut FrameTable, first: u32, end: u32) {
        let mut at = first;
        while at < end {
            let fits = (end - at).ilog2();
            let order = at.trailing_zeros().min(fits).min(table.shift());
            self.give(table, at, order);
            at += 1 << order;
        }
    }

    /// Takes adjacent frames, all of which must be free.
    pub(super) fn take_range(&mut self, table: &mut FrameTable, first: u32, end: u32) {
        let mut at = first;
        while at < end {
            let (head, order) =
                Self::block_of(table, at).expect("every frame of the range is free");
            self.unlink(table, head);
            let block_end = head + (1 << order);
            // What is given back cannot join with what is taken: the taken frames head no block.
            self.give_range(table, head, at);
            self.give_range(table, block_end.min(end), block_end);
            at = block_end.min(end);
        }
    }

    /// Walks the lists and says what is wrong with them.
    pub(super) fn check(&self, table: &FrameTable) -> Result<u64, String> {
        let mut frames = 0;
        for order in 0..=31u32 {
            let mut prev = NONE;
            let mut at = self.heads[order as usize];
            if (at != NONE) != (self.occupied & (1 << order) != 0) {
                return Err(format!("order {order}: the occupancy bit is wrong"));
            }
            while at != NONE {
                let meta = table.get(at).ok_or(format!("frame {at} does not exist"))?;
                if meta.state != State::Free
                    || u32::from(meta.order) != order
                    || meta.prev() != prev
                {
                    return Err(format!("frame {at} in the list of order {order}: {meta:?}"));
                }
                if !at.is_multiple_of(1 << order) || table.get(at + ((1 << order) - 1)).is_none() {
                    return Err(format!("frame {at} cannot head a block of order {order}"));
                }
                let buddy = at ^ (1 << order);
                if order < table.shift()
                    && table
                        .get(buddy)
                        .is_some_and(|b| b.state == State::Free && u32::from(b.order) == order)
                {
                    return Err(format!(
                        "frames {at} and {buddy} of order {order} are not joined"
                    ));
                }
                frames += 1u64 << order;
                (prev, at) = (at, meta.next());
            }
        }
        Ok(frames)
    }
}
