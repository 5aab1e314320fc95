//! Second chance: frames stand in a ring, a hand goes round; one that was used since the hand last passed loses its mark
//! and stays, one that was not is taken. A touch sets a mark and moves nothing.
//!
//! A frame filled on demand starts with a mark, since it is about to be used; one filled ahead of need starts without,
//! so that a wrong guess goes first.

use super::EvictionPolicy;
use super::list::FrameList;
use gmem_hal::{Cause, FrameIndex};

/// Not used since the hand last passed.
const COLD: u8 = 0;
/// Used since the hand last passed.
const MARKED: u8 = 1;
/// Named in the answer that is being made.
const NAMED: u8 = 2;

/// CLOCK on real accessed bits.
#[derive(Debug)]
pub struct Clock {
    /// The ring, cut open: the front follows the back.
    ring: FrameList,
    marks: Vec<u8>,
    /// The frame that the hand points at.
    hand: Option<FrameIndex>,
}

impl Clock {
    /// A policy that knows no frame yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            ring: FrameList::new(),
            marks: Vec::new(),
            hand: None,
        }
    }

    fn next(&self, frame: FrameIndex) -> Option<FrameIndex> {
        self.ring.after(frame).or_else(|| self.ring.front())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl EvictionPolicy for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn inserted(&mut self, frame: FrameIndex, cause: Cause) {
        if !self.ring.contains(frame) {
            self.ring.push_back(frame);
        }
        let at = frame.0 as usize;
        if self.marks.len() <= at {
            self.marks.resize(at + 1, COLD);
        }
        self.marks[at] = if cause == Cause::Prefetch {
            COLD
        } else {
            MARKED
        };
    }

    fn touched(&mut self, frame: FrameIndex) {
        if self.ring.contains(frame) {
            self.marks[frame.0 as usize] = MARKED;
        }
    }

    fn removed(&mut self, frame: FrameIndex) {
        if self.hand == Some(frame) {
            self.hand = self.next(frame).filter(|&next| next != frame);
        }
        self.ring.remove(frame);
    }

    fn victims(
        &mut self,
        want: usize,
        evictable: &dyn Fn(FrameIndex) -> bool,
        out: &mut Vec<FrameIndex>,
    ) {
        let start = out.len();
        let mut hand = self.hand.or_else(|| self.ring.front());
        // Twice round is enough: the first round leaves no mark on anything that may go.
        for _ in 0..2 * self.ring.len() {
            let Some(frame) = hand else { break };
            if out.len() - start == want {
                break;
            }
            let mark = &mut self.marks[frame.0 as usize];
            if *mark != NAMED && evictable(frame) {
                if *mark == MARKED {
                    *mark = COLD;
                } else {
                    *mark = NAMED;
                    out.push(frame);
                }
            }
            hand = self.next(frame);
        }
        self.hand = hand;
        for frame in &out[start..] {
            self.marks[frame.0 as usize] = COLD;
        }
    }
}
