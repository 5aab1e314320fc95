//! Placement: which frames new pages get.
//!
//! Pages that follow each other in the space get frames that follow each other in a window wherever that can be had: the
//! binding they belong to is then *slid*, translated by one added constant instead of a page-table load per access. Where no free
//! run is long enough, the span that is cheapest to clear is evicted as a whole: frames that the policy would give up
//! anyway count least.

use std::collections::HashSet;

use gmem_hal::FrameIndex;

use crate::context::Context;
use crate::error::MoveError;
use crate::space::Shared;

/// Where the frames of adjacent pages are put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// In one run wherever there is room, so that bindings are translated by one added constant.
    #[default]
    Contiguous,
    /// Never in one run, so that every access goes through the page table: to measure that, and to test it.
    Scattered,
}

/// What taking a frame would cost. Claimed frames, and those allocated and not yet filled, cannot be had.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cost {
    Free,
    /// The policy names it among the first to go.
    Old,
    Used,
    Never,
}

impl Cost {
    const fn weight(self) -> u64 {
        match self {
            Self::Free => 0,
            Self::Old => 1,
            Self::Used => 8,
            Self::Never => 1 << 40,
        }
    }
}

/// The first of the `len` adjacent places that are cheapest together, if none of them is beyond having.
fn cheapest(costs: &[Cost], len: usize) -> Option<usize> {
    if len == 0 || len > costs.len() {
        return None;
    }
    let mut sum: u64 = costs[..len].iter().map(|c| c.weight()).sum();
    let mut best = (sum, 0);
    for first in 1..=costs.len() - len {
        sum = sum - costs[first - 1].weight() + costs[first + len - 1].weight();
        best = best.min((sum, first));
    }
    (best.0 < Cost::Never.weight()).then_some(best.1)
}

impl Context {
    /// Takes a frame for each page of sorted `pages`, adjacent frames for adjacent pages where that can be had, evicting
    /// what is in the way. `before(page)` is the frame of the page before one, if resident: going on from there keeps a
    /// binding in one run.
    ///
    /// # Errors
    /// When not enough frames can be freed, or an eviction failed; nothing is taken then.
    /// LOCKING: no lock held; takes block locks and frames.
    pub(crate) fn allocate(
        &self,
        space: &Shared,
        pages: &[u64],
        before: impl Fn(u64) -> Option<FrameIndex>,
    ) -> Result<Vec<FrameIndex>, MoveError> {
        self.grow_for(space, pages.len())?;
        let mut frames = Vec::with_capacity(pages.len());
        for run in pages.chunk_by(|a, b| a + 1 == *b) {
            let hint = before(run[0]).filter(|_| self.placement == Placement::Contiguous);
            if let Err(e) = self.allocate_run(space, run.len() as u32, hint, &mut frames) {
                self.release(frames.into_iter());
                return Err(e);
            }
        }
        if self.placement == Placement::Scattered {
            frames.reverse();
        }
        Ok(frames)
    }

    fn allocate_run(
        &self,
        space: &Shared,
        len: u32,
        before: Option<FrameIndex>,
        out: &mut Vec<FrameIndex>,
    ) -> Result<(), MoveError> {
        let mut left = len;
        if let Some(f) = before {
            let mut memory = self.memory.lock();
            let mut next = f.0 + 1;
            while left > 0
                && next % self.info.window_frames != 0
                && memory.pool.alloc_at(FrameIndex(next))
            {
                out.push(FrameIndex(next));
                next += 1;
                left -= 1;
            }
        }
        if left == 0 || self.take_run(left, out) {
            return Ok(());
        }
        if left > 1
            && self.placement == Placement::Contiguous
            && self.clear_span(space, left)?
            && self.take_run(left, out)
        {
            return Ok(());
        }
        let mut piece = left;
        while left > 0 {
            self.make_room(space, left as usize)?;
            piece = piece.min(left);
            if self.take_run(piece, out) {
                left -= piece;
            } else {
                piece = (piece / 2).max(1);
            }
        }
        Ok(())
    }

    fn take_run(&self, frames: u32, out: &mut Vec<FrameIndex>) -> bool {
        let run = self.memory.lock().pool.alloc_run(frames);
        out.extend(
            run.iter()
                .flat_map(|run| run.first.0..run.first.0 + run.frames)
                .map(FrameIndex),
        );
        run.is_some()
    }

    /// Evicts what lies in the cheapest span of `len` frames. `false` when every span has a frame that must stay.
    fn clear_span(&self, space: &Shared, len: u32) -> Result<bool, MoveError> {
        let old: HashSet<FrameIndex> = self
            .victims(2 * len as usize)
            .into_iter()
            .map(|v| v.1)
            .collect();
        let victims = {
            let memory = self.memory.lock();
            let mut costs: Vec<Vec<Cost>> = memory
                .windows
                .iter()
                .map(|w| vec![Cost::Free; w.frames as usize])
                .collect();
            let place = |frame: FrameIndex| {
                let window = memory
                    .windows
                    .iter()
                    .position(|w| (w.first.0..w.first.0 + w.frames).contains(&frame.0));
                window.map(|w| (w, (frame.0 - memory.windows[w].first.0) as usize))
            };
            let mut pages = std::collections::HashMap::new();
            for (frame, page) in memory.pool.used_frames() {
                let Some((w, i)) = place(frame) else { continue };
                costs[w][i] = match page {
                    Some(page) if !memory.pool.is_pinned(frame) => {
                        pages.insert(frame, page);
                        if old.contains(&frame) {
                            Cost::Old
                        } else {
                            Cost::Used
                        }
                    }
                    _ => Cost::Never,
                };
            }
            let weigh = |(w, first): (usize, usize)| -> u64 {
                costs[w][first..first + len as usize]
                    .iter()
                    .map(|c| c.weight())
                    .sum()
            };
            let spans =
                (0..costs.len()).filter_map(|w| Some((w, cheapest(&costs[w], len as usize)?)));
            let Some((w, first)) = spans.min_by_key(|&s| weigh(s)) else {
                return Ok(false);
            };
            let start = memory.windows[w].first.0 + first as u32;
            (start..start + len)
                .filter_map(|f| Some((*pages.get(&FrameIndex(f))?, FrameIndex(f))))
                .collect::<Vec<_>>()
        };
        self.evict_frames(space, victims)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Cost::{Free, Never, Old, Used};

    #[test]
    fn the_cheapest_span_avoids_what_is_claimed_and_prefers_free_then_old() {
        let costs = [Used, Free, Free, Never, Old, Old, Free, Used, Used];
        assert_eq!(cheapest(&costs, 2), Some(1));
        assert_eq!(cheapest(&costs, 3), Some(4));
        assert_eq!(cheapest(&costs, 5), Some(4));
        assert_eq!(cheapest(&costs, 6), None);
        assert_eq!(cheapest(&costs, 0), None);
        assert_eq!(cheapest(&[], 1), None);
        assert_eq!(cheapest(&[Never], 1), None);
    }
}
