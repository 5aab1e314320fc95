//! A set of byte ranges in which neighbours are merged.

use std::collections::BTreeMap;

use gmem_hal::ByteRange;

/// Disjoint ranges that do not touch one another, from start to end.
#[derive(Default)]
pub(super) struct RangeSet(BTreeMap<u64, u64>);

impl RangeSet {
    /// Adds a range, which may overlap what is there.
    pub(super) fn insert(&mut self, range: ByteRange) {
        if range.len == 0 {
            return;
        }
        let (mut start, mut end) = (range.offset, range.end());
        while let Some((&s, &e)) = self.0.range(..=end).next_back() {
            if e < start {
                break;
            }
            self.0.remove(&s);
            (start, end) = (start.min(s), end.max(e));
        }
        self.0.insert(start, end);
    }

    /// Takes a range out, splitting what reaches over its ends.
    pub(super) fn remove(&mut self, range: ByteRange) {
        if range.len == 0 {
            return;
        }
        let (start, end) = (range.offset, range.end());
        while let Some((&s, &e)) = self.0.range(..end).next_back() {
            if e <= start {
                break;
            }
            self.0.remove(&s);
            if e > end {
                self.0.insert(end, e);
            }
            if s < start {
                self.0.insert(s, start);
            }
        }
    }

    /// Whether a byte is in the set.
    pub(super) fn contains(&self, offset: u64) -> bool {
        self.0
            .range(..=offset)
            .next_back()
            .is_some_and(|(_, &end)| offset < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_follows_a_model_and_stays_merged() {
        let mut set = RangeSet::default();
        let mut model = [false; 64];
        let mut seed = 3u64;
        for _ in 0..3000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let from = (seed >> 33) as usize % 64;
            let n = (seed >> 45) as usize % (65 - from);
            let range = ByteRange::new(from as u64, n as u64);
            if seed >> 63 == 1 {
                set.insert(range);
            } else {
                set.remove(range);
            }
            model[from..from + n].fill(seed >> 63 == 1);
            for (at, &inside) in model.iter().enumerate() {
                assert_eq!(set.contains(at as u64), inside, "{at}");
            }
            let runs = (0..64)
                .filter(|&i| model[i] && (i == 0 || !model[i - 1]))
                .count();
            assert_eq!(set.0.len(), runs);
        }
    }
}
