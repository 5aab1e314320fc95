//! A hostile policy for tests: it names every frame it may, far more than it was asked for, in a random order, among
//! frames that may not go, frames that do not exist, and frames it has named before.

use super::EvictionPolicy;
use super::random::{FrameBag, Lots};
use gmem_hal::{Cause, FrameIndex};

/// Evicts as much as it is allowed, and asks for more.
#[derive(Debug)]
pub struct Zeal {
    bag: FrameBag,
    lots: Lots,
}

impl Zeal {
    /// A policy that knows no frame yet. Equal seeds and equal histories give equal answers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            bag: FrameBag::default(),
            lots: Lots::new(!seed),
        }
    }
}

impl EvictionPolicy for Zeal {
    fn name(&self) -> &'static str {
        "zeal"
    }

    fn inserted(&mut self, frame: FrameIndex, _cause: Cause) {
        self.bag.insert(frame);
    }

    fn touched(&mut self, _frame: FrameIndex) {}

    fn removed(&mut self, frame: FrameIndex) {
        self.bag.remove(frame);
    }

    fn victims(
        &mut self,
        _want: usize,
        _evictable: &dyn Fn(FrameIndex) -> bool,
        out: &mut Vec<FrameIndex>,
    ) {
        // Every frame it knows is in the answer, evictable or not: progress never hangs on a lucky draw.
        let known = self.bag.frames().len();
        for at in 0..known {
            let drawn = at + self.lots.below(known - at);
            self.bag.swap(at, drawn);
            match self.lots.below(4) {
                0 => out.push(FrameIndex(self.lots.draw() as u32)),
                1 => out.push(self.bag.frames()[self.lots.below(at + 1)]),
                _ => {}
            }
            out.push(self.bag.frames()[at]);
        }
    }
}
