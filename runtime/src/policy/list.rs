//! A list of frames linked through an array indexed by frame: every operation is O(1), nothing is allocated per entry.

use gmem_hal::FrameIndex;

const NONE: u32 = u32::MAX;
/// The `prev` of a frame that is not in the list.
const ABSENT: u32 = u32::MAX - 1;

#[derive(Clone, Copy, Debug)]
struct Link {
    prev: u32,
    next: u32,
}

/// Frames in an order.
#[derive(Debug)]
pub(super) struct FrameList {
    links: Vec<Link>,
    front: u32,
    back: u32,
    len: usize,
}

impl FrameList {
    pub(super) fn new() -> Self {
        Self {
            links: Vec::new(),
            front: NONE,
            back: NONE,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, frame: FrameIndex) -> bool {
        self.links
            .get(frame.0 as usize)
            .is_some_and(|link| link.prev != ABSENT)
    }

    pub(super) fn front(&self) -> Option<FrameIndex> {
        (self.front != NONE).then_some(FrameIndex(self.front))
    }

    /// The frame after one that is in the list.
    pub(super) fn after(&self, frame: FrameIndex) -> Option<FrameIndex> {
        let next = self.links[frame.0 as usize].next;
        (next != NONE).then_some(FrameIndex(next))
    }

    /// Puts a frame that is not in the list at its end.
    pub(super) fn push_back(&mut self, frame: FrameIndex) {
        debug_assert!(!self.contains(frame) && frame.0 < ABSENT);
        let at = frame.0 as usize;
        if self.links.len() <= at {
            let absent = Link {
                prev: ABSENT,
                next: NONE,
            };
            self.links.resize(at + 1, absent);
        }
        self.links[at] = Link {
            prev: self.back,
            next: NONE,
        };
        match self.back {
            NONE => self.front = frame.0,
            back => self.links[back as usize].next = frame.0,
        }
        self.back = frame.0;
        self.len += 1;
    }

    /// Takes a frame out; `false` when it was not in.
    pub(super) fn remove(&mut self, frame: FrameIndex) -> bool {
        if !self.contains(frame) {
            return false;
        }
        let Link { prev, next } = self.links[frame.0 as usize];
        match prev {
            NONE => self.front = next,
            prev => self.links[prev as usize].next = next,
        }
        match next {
            NONE => self.back = prev,
            next => self.links[next as usize].prev = prev,
        }
        self.links[frame.0 as usize].prev = ABSENT;
        self.len -= 1;
        true
    }

    /// Front to back.
    pub(super) fn iter(&self) -> impl Iterator<Item = FrameIndex> + '_ {
        core::iter::successors(self.front(), |&frame| self.after(frame))
    }
}
