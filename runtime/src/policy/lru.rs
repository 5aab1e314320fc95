//! The frame that was used longest ago goes first. A touch is O(1).

use super::EvictionPolicy;
use super::list::FrameList;
use gmem_hal::{Cause, FrameIndex};

/// Least recently used.
#[derive(Debug)]
pub struct Lru {
    /// Oldest use first.
    order: FrameList,
}

impl Lru {
    /// A policy that knows no frame yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            order: FrameList::new(),
        }
    }
}

impl Default for Lru {
    fn default() -> Self {
        Self::new()
    }
}

impl EvictionPolicy for Lru {
    fn name(&self) -> &'static str {
        "lru"
    }

    fn inserted(&mut self, frame: FrameIndex, _cause: Cause) {
        self.order.remove(frame);
        self.order.push_back(frame);
    }

    fn touched(&mut self, frame: FrameIndex) {
        if self.order.remove(frame) {
            self.order.push_back(frame);
        }
    }

    fn removed(&mut self, frame: FrameIndex) {
        self.order.remove(frame);
    }

    fn victims(
        &mut self,
        want: usize,
        evictable: &dyn Fn(FrameIndex) -> bool,
        out: &mut Vec<FrameIndex>,
    ) {
        out.extend(
            self.order
                .iter()
                .filter(|&frame| evictable(frame))
                .take(want),
        );
    }
}
