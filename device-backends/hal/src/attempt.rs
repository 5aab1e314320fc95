//! Attempts: passes that may find that they miss pages, and are then as if they had not been.

use crate::{FrameIndex, GridBox, Launch, PageEntry, PageSize, Touched, Translation};

/// A pass of which nobody knows what it touches, over the pages that it may touch.
///
/// It runs with its effects. Whoever asks for it has saved what it may store to, and undoes it when a page was missed.
pub struct Attempt<'a> {
    /// The launch.
    pub launch: &'a Launch,
    /// The workgroups, in the order to run them.
    pub boxes: &'a [GridBox],
    /// The translation of each binding: paged, or slid over all of the binding, whose pages are then all in `pages`, for
    /// writing if the kernel writes it.
    pub translations: &'a [Translation],
    /// The size of `pages`, and of what is touched: the space's, with any translations, or a smaller one, in which all bindings are
    /// paged. Then frames are counted as if all of the device's were so small.
    pub page: PageSize,
    /// The pages of the space that it may touch, ascending, each with its frame and whether it may be stored to. Others are
    /// missing, whether or not the device has them.
    pub pages: &'a [PageEntry],
}

/// What became of an attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttemptReport {
    /// Whether a page was missed: then loads of it gave zero and stores to it were dropped, so that what was stored
    /// anywhere is worth nothing, and what was touched after that is a guess.
    pub missed: bool,
    /// What it touched of each paged binding, missed pages included; nothing of the slid ones.
    pub touched: Vec<Touched>,
    /// Seconds from submission to completion, as the host saw it.
    pub seconds: f64,
}

/// A frame copied to another one of the same device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameCopy {
    /// What is copied.
    pub from: FrameIndex,
    /// Where to: not a frame that any copy of the same call reads.
    pub to: FrameIndex,
}
