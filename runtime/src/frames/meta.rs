//! What is remembered of each frame: 16 bytes, outside the memory that the frame is a piece of.
//!
//! A record is found by arithmetic: the window is the frame's number divided by the (power-of-two) distance between
//! windows, the record is the remainder. Frames that a window lacks have no record and no cost.
//!
//! Invariants: a frame is in exactly one [`State`]. Of a free block only the first frame is [`State::Free`] and knows
//! the order; all others are [`State::Inside`]. The two link words hold list neighbours while free, and the page while used.

use super::BadWindow;
use gmem_hal::{FrameIndex, Window};

/// No frame: the end of a list.
pub(super) const NONE: u32 = u32::MAX;

/// No page: the value of the link words of a used frame that is bound to nothing.
const NO_PAGE: u64 = u64::MAX;

/// What a frame is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The first frame of a free block.
    Free,
    /// Another frame of a free block, or one that is on its way between states.
    Inside,
    /// Handed out.
    Used,
    /// Given back, but the device may still reach it.
    Retiring,
}

/// One frame's record.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameMeta {
    /// Free: the previous and the next block of the list. Used: the page, low word first.
    link: [u32; 2],
    /// Used: how many reasons there are not to take it away.
    pub(super) pins: u32,
    /// What it is doing.
    pub(super) state: State,
    /// Free: log2 of the frames in the block.
    pub(super) order: u8,
    /// Used: a pass touched it since the bit was last taken.
    pub(super) accessed: bool,
}

const _: () = assert!(
    size_of::<FrameMeta>() <= 16,
    "the budget is 16 bytes per frame"
);

impl FrameMeta {
    const INSIDE: Self = Self {
        link: [NONE; 2],
        pins: 0,
        state: State::Inside,
        order: 0,
        accessed: false,
    };

    /// A frame just handed out, bound to no page.
    pub(super) const USED: Self = Self {
        link: [NO_PAGE as u32, (NO_PAGE >> 32) as u32],
        pins: 0,
        state: State::Used,
        order: 0,
        accessed: false,
    };

    pub(super) fn free(order: u8, prev: u32, next: u32) -> Self {
        Self {
            link: [prev, next],
            state: State::Free,
            order,
            ..Self::INSIDE
        }
    }

    pub(super) fn prev(&self) -> u32 {
        debug_assert_eq!(self.state, State::Free);
        self.link[0]
    }

    pub(super) fn next(&self) -> u32 {
        debug_assert_eq!(self.state, State::Free);
        self.link[1]
    }

    pub(super) fn set_prev(&mut self, frame: u32) {
        debug_assert_eq!(self.state, State::Free);
        self.link[0] = frame;
    }

    pub(super) fn set_next(&mut self, frame: u32) {
        debug_assert_eq!(self.state, State::Free);
        self.link[1] = frame;
    }

    pub(super) fn make_inside(&mut self) {
        *self = Self::INSIDE;
    }

    pub(super) fn page(&self) -> Option<u64> {
        let page = u64::from(self.link[0]) | u64::from(self.link[1]) << 32;
        (self.state == State::Used && page != NO_PAGE).then_some(page)
    }

    pub(super) fn set_page(&mut self, page: u64) {
        debug_assert_eq!(self.state, State::Used);
        debug_assert_ne!(page, NO_PAGE, "no space has that many pages");
        self.link = [page as u32, (page >> 32) as u32];
    }
}

/// The records of one window.
#[derive(Debug, Default)]
pub(super) struct WindowMeta {
    /// One record a frame; empty for a window that was not added.
    pub(super) frames: Box<[FrameMeta]>,
    /// How many of them are free.
    pub(super) free: u32,
}

/// The records of all frames of a device.
#[derive(Debug)]
pub(super) struct FrameTable {
    shift: u32,
    pub(super) windows: Vec<WindowMeta>,
}

impl FrameTable {
    pub(super) fn new(window_frames: u32) -> Self {
        assert!(
            window_frames.is_power_of_two(),
            "windows lie {window_frames} frames apart: that must be a power of two"
        );
        Self {
            shift: window_frames.trailing_zeros(),
            windows: Vec::new(),
        }
    }

    /// log2 of the distance between windows: the highest order there is.
    pub(super) fn shift(&self) -> u32 {
        self.shift
    }

    pub(super) fn add(&mut self, window: Window) -> Result<(), BadWindow> {
        let bad = |reason| BadWindow {
            first: window.first.0,
            frames: window.frames,
            reason,
        };
        let distance = 1u64 << self.shift;
        if u64::from(window.first.0) & (distance - 1) != 0 {
            return Err(bad(
                "its first frame is not a multiple of the distance between windows",
            ));
        }
        if u64::from(window.frames) > distance {
            return Err(bad("it reaches into the next window"));
        }
        if u64::from(window.first.0) + u64::from(window.frames) > u64::from(NONE) {
            return Err(bad("its frames cannot be numbered in 32 bits"));
        }
        let index = (window.first.0 >> self.shift) as usize;
        if self
            .windows
            .get(index)
            .is_some_and(|w| !w.frames.is_empty())
        {
            return Err(bad("there is a window at that place already"));
        }
        if self.windows.len() <= index {
            self.windows.resize_with(index + 1, WindowMeta::default);
        }
        self.windows[index] = WindowMeta {
            frames: vec![FrameMeta::INSIDE; window.frames as usize].into_boxed_slice(),
            free: window.frames,
        };
        Ok(())
    }

    /// Makes a window longer. Answers with the frames that it had.
    pub(super) fn lengthen(&mut self, window: Window) -> Result<u32, BadWindow> {
        let index = self.index_of(window.first.0);
        let had = self.windows.get(index).map_or(0, |w| w.frames.len() as u32);
        let there = had > 0 && self.first_of(index) == window.first.0;
        let longer = had <= window.frames && u64::from(window.frames) <= 1u64 << self.shift;
        if !(there && longer) {
            return Err(BadWindow {
                first: window.first.0,
                frames: window.frames,
                reason: "it lengthens no window",
            });
        }
        let of = &mut self.windows[index];
        let mut frames = std::mem::take(&mut of.frames).into_vec();
        frames.resize(window.frames as usize, FrameMeta::INSIDE);
        of.frames = frames.into_boxed_slice();
        of.free += window.frames - had;
        Ok(had)
    }

    fn split(&self, frame: u32) -> (usize, usize) {
        let window = u64::from(frame) >> self.shift;
        let mask = (1u64 << self.shift) - 1;
        (window as usize, (u64::from(frame) & mask) as usize)
    }

    /// The window that a frame would be in.
    pub(super) fn index_of(&self, frame: u32) -> usize {
        self.split(frame).0
    }

    /// The number of the first frame of a window.
    pub(super) fn first_of(&self, window: usize) -> u32 {
        (window << self.shift) as u32
    }

    /// A frame's record, or `None` where there is no such frame.
    pub(super) fn get(&self, frame: u32) -> Option<&FrameMeta> {
        let (window, at) = self.split(frame);
        self.windows.get(window)?.frames.get(at)
    }

    /// The window that a frame is in.
    pub(super) fn window_of(&mut self, frame: u32) -> &mut WindowMeta {
        let (window, _) = self.split(frame);
        &mut self.windows[window]
    }

    /// The record of a frame that somebody claims to hold.
    #[track_caller]
    pub(super) fn used(&mut self, frame: FrameIndex) -> &mut FrameMeta {
        let state = self.get(frame.0).map(|meta| meta.state);
        assert!(
            state == Some(State::Used),
            "frame {} is not handed out: it is {state:?}",
            frame.0
        );
        &mut self[frame.0]
    }
}

impl core::ops::Index<u32> for FrameTable {
    type Output = FrameMeta;

    fn index(&self, frame: u32) -> &FrameMeta {
        let (window, at) = self.split(frame);
        &self.windows[window].frames[at]
    }
}

impl core::ops::IndexMut<u32> for FrameTable {
    fn index_mut(&mut self, frame: u32) -> &mut FrameMeta {
        let (window, at) = self.split(frame);
        &mut self.windows[window].frames[at]
    }
}
