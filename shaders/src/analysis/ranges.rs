//! Sets of byte ranges, kept short.

use std::ops::Range;

use super::Footprint;

/// The most ranges that are told apart per binding and direction.
const MOST: usize = 64;
/// How many may pile up before they are put in order.
const PILE: usize = 1024;

/// What one direction of one binding has been seen to touch.
#[derive(Clone, Debug, Default)]
pub(super) struct Touched {
    ranges: Vec<Range<u64>>,
    unknown: bool,
}

impl Touched {
    pub(super) fn add(&mut self, range: Range<u64>) {
        if self.unknown || range.is_empty() {
            return;
        }
        if let Some(last) = self.ranges.last_mut()
            && range.start >= last.start
            && range.start <= last.end
        {
            last.end = last.end.max(range.end);
            return;
        }
        self.ranges.push(range);
        if self.ranges.len() > PILE {
            self.ranges = tidy(std::mem::take(&mut self.ranges));
        }
    }

    pub(super) fn give_up(&mut self) {
        self.unknown = true;
        self.ranges.clear();
    }

    pub(super) fn into_footprint(self) -> Footprint {
        if self.unknown {
            Footprint::Unknown
        } else {
            Footprint::Ranges(tidy(self.ranges))
        }
    }
}

/// Sorts and merges; when there are too many ranges, the smallest gaps between them are filled.
fn tidy(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    if merged.len() <= MOST {
        return merged;
    }
    let mut gaps: Vec<u64> = merged
        .windows(2)
        .map(|pair| pair[1].start - pair[0].end)
        .collect();
    gaps.sort_unstable();
    let filled = gaps[merged.len() - MOST - 1];
    let mut sparse: Vec<Range<u64>> = Vec::new();
    for range in merged {
        match sparse.last_mut() {
            Some(last) if range.start - last.end <= filled => last.end = range.end,
            _ => sparse.push(range),
        }
    }
    sparse
}
