//! Any frame, with equal chances, from a seed: what every other policy must beat, and an oracle in tests.

use super::EvictionPolicy;
use gmem_hal::{Cause, FrameIndex};

/// splitmix64: small, seeded, good enough to draw lots with.
#[derive(Debug)]
pub(super) struct Lots {
    state: u64,
}

impl Lots {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..end`, which is not empty.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.draw() % end as u64) as usize
    }
}

const ABSENT: u32 = u32::MAX;

/// Frames in no order, any of which is found in O(1).
#[derive(Debug, Default)]
pub(super) struct FrameBag {
    frames: Vec<FrameIndex>,
    /// Where each frame is in `frames`.
    places: Vec<u32>,
}

impl FrameBag {
    pub(super) fn frames(&self) -> &[FrameIndex] {
        &self.frames
    }

    fn place(&self, frame: FrameIndex) -> Option<usize> {
        let place = *self.places.get(frame.0 as usize)?;
        (place != ABSENT).then_some(place as usize)
    }

    pub(super) fn insert(&mut self, frame: FrameIndex) {
        if self.place(frame).is_some() {
            return;
        }
        let at = frame.0 as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, ABSENT);
        }
        self.places[at] = self.frames.len() as u32;
        self.frames.push(frame);
    }

    pub(super) fn remove(&mut self, frame: FrameIndex) {
        if let Some(place) = self.place(frame) {
            self.swap(place, self.frames.len() - 1);
            self.frames.pop();
            self.places[frame.0 as usize] = ABSENT;
        }
    }

    pub(super) fn swap(&mut self, a: usize, b: usize) {
        self.frames.swap(a, b);
        for place in [a, b] {
            self.places[self.frames[place].0 as usize] = place as u32;
        }
    }
}

/// Chooses at random.
#[derive(Debug)]
pub struct Random {
    bag: FrameBag,
    lots: Lots,
}

impl Random {
    /// A policy that knows no frame yet. Equal seeds and equal histories give equal answers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            bag: FrameBag::default(),
            lots: Lots::new(seed),
        }
    }
}

impl EvictionPolicy for Random {
    fn name(&self) -> &'static str {
        "random"
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
        want: usize,
        evictable: &dyn Fn(FrameIndex) -> bool,
        out: &mut Vec<FrameIndex>,
    ) {
        let end = out.len().saturating_add(want);
        // A shuffle that stops as soon as enough is found: each frame is looked at once at most.
        for at in 0..self.bag.frames().len() {
            if out.len() == end {
                break;
            }
            let drawn = at + self.lots.below(self.bag.frames().len() - at);
            self.bag.swap(at, drawn);
            let frame = self.bag.frames()[at];
            if evictable(frame) {
                out.push(frame);
            }
        }
    }
}
