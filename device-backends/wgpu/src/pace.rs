//! How many workgroups go into one submission: drivers give up on what keeps the GPU for seconds.
//!
//! Key type: [`Pace`], of one kernel. Invariant: what [`take`] cuts off and what it leaves are all workgroups, each once.

use std::collections::VecDeque;
use std::time::Duration;

use gmem_hal::GridBox;

/// Workgroups in the first submission of a kernel of which nothing is known.
const FIRST: u64 = 4096;
/// How many times as many workgroups as ever before may go into a submission: later ones may have more to do.
const GROWTH: u64 = 8;

/// How long a kernel's workgroups take.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Seconds for each workgroup, lately.
    each: f64,
    /// The most workgroups of a submission so far.
    largest: u64,
}

impl Pace {
    /// The most workgroups for the next submission, so that it takes about `budget`.
    pub(crate) fn next(&self, budget: Duration) -> u64 {
        if self.largest == 0 {
            return FIRST;
        }
        let fit = budget.as_secs_f64() / self.each.max(1e-12);
        // Saturates.
        (fit as u64).clamp(1, self.largest.saturating_mul(GROWTH).max(FIRST))
    }

    /// Learns from a submission: at once where it was slow, slowly where it was fast.
    pub(crate) fn took(&mut self, workgroups: u64, seconds: f64) {
        let each = seconds / workgroups.max(1) as f64;
        self.each = if self.largest == 0 || each > self.each {
            each
        } else {
            f64::midpoint(self.each, each)
        };
        self.largest = self.largest.max(workgroups);
    }
}

/// The most dispatches of one submission: of a grid of 2^60 workgroups no list is ever made.
const MOST_DISPATCHES: usize = 1024;

/// Boxes of workgroups, each with what it is for.
pub(crate) type Boxes<T> = VecDeque<(GridBox, T)>;

/// Takes the dispatches of one submission from the front of boxes: each of at most `side` workgroups in a dimension,
/// about `most` workgroups in all; everything where little more is left, unless those are very many dispatches.
pub(crate) fn take<T: Copy>(rest: &mut Boxes<T>, most: u64, side: u32) -> Vec<(GridBox, T)> {
    let all = rest.iter().fold(0, |all: u64, (part, _)| {
        all.saturating_add(part.workgroups())
    });
    let mut room = if all <= most.saturating_add(most / 2) {
        all
    } else {
        most.max(1)
    };
    let mut taken = Vec::new();
    while room > 0
        && taken.len() < MOST_DISPATCHES
        && let Some((first, tag)) = rest.pop_front()
    {
        let part = cut_off(first, room, side, |left| rest.push_front((left, tag)));
        room -= part.workgroups().min(room);
        taken.push((part, tag));
    }
    taken
}

/// Dispatches that a box takes.
pub(crate) fn dispatches(whole: &GridBox, side: u32) -> u64 {
    let each = whole.size.map(|n| u64::from(n.div_ceil(side)));
    each.iter().fold(1, |all: u64, &n| all.saturating_mul(n))
}

/// The first part of a box: of at most `side` workgroups in a dimension, of at most `room` in all, and of at least one.
/// `leave` is given what follows, the last first.
fn cut_off(whole: GridBox, room: u64, side: u32, mut leave: impl FnMut(GridBox)) -> GridBox {
    let mut part = whole;
    let mut keep = |part: &mut GridBox, d: usize, fit: u32| {
        if fit < part.size[d] {
            let mut left = *part;
            left.start[d] += fit;
            left.size[d] -= fit;
            leave(left);
            part.size[d] = fit;
        }
    };
    for d in [2, 1, 0] {
        keep(&mut part, d, side);
    }
    for d in [2, 1, 0] {
        let slab: u64 = part.size[..d].iter().map(|&n| u64::from(n)).product();
        let fit = (room / slab.max(1)).clamp(1, u64::from(part.size[d]));
        keep(&mut part, d, fit as u32);
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_millis(250);

    #[test]
    fn a_submission_grows_to_the_budget_and_no_further() {
        let mut pace = Pace::default();
        let mut sizes = Vec::new();
        for _ in 0..8 {
            let size = pace.next(BUDGET);
            sizes.push(size);
            pace.took(size, size as f64 * 1e-6);
        }
        assert_eq!(sizes[..3], [4096, 32_768, 250_000]);
        assert!(
            sizes[3..].iter().all(|&n| n.abs_diff(250_000) < 2),
            "{sizes:?}"
        );
    }

    #[test]
    fn what_was_slow_is_cut_at_once_and_trusted_again_slowly() {
        let mut pace = Pace::default();
        pace.took(4096, 41.0);
        assert_eq!(pace.next(BUDGET), 24, "some ten milliseconds each");
        pace.took(24, 24e-6);
        assert!((40..60).contains(&pace.next(BUDGET)), "{pace:?}");
        pace.took(1, 9.0);
        assert_eq!(pace.next(BUDGET), 1, "never none");
    }

    #[test]
    fn what_takes_no_time_grows_without_overflow() {
        let mut pace = Pace::default();
        pace.took(u64::MAX, 0.0);
        assert!(pace.next(BUDGET) > 1 << 32);
    }

    #[test]
    fn parts_are_all_workgroups_once_and_no_larger_than_asked_for() {
        let whole = [
            GridBox {
                start: [1, 2, 3],
                size: [5, 7, 3],
            },
            GridBox::whole([64, 1, 1]),
            GridBox {
                start: [0, 9, 0],
                size: [3, 40, 1],
            },
        ];
        let all: u64 = whole.iter().map(GridBox::workgroups).sum();
        for most in [1, 2, 3, 4, 5, 7, 12, 34, 35, 36, 71, 104, 106, 200, 500] {
            let mut rest: Boxes<usize> = whole.into_iter().zip(0..).collect();
            let mut seen = vec![std::collections::HashSet::new(); whole.len()];
            while !rest.is_empty() {
                let taken = take(&mut rest, most, u32::MAX);
                let count: u64 = taken.iter().map(|(part, _)| part.workgroups()).sum();
                assert!(count > 0 && count <= most + most / 2, "{count} of {most}");
                for (part, home) in taken {
                    let [x, y, z] = [0, 1, 2].map(|d| part.start[d]..part.start[d] + part.size[d]);
                    for (z, y) in z.flat_map(|z| y.clone().map(move |y| (z, y))) {
                        for x in x.clone() {
                            let inside = (0..3).all(|d| {
                                let (at, whole) = ([x, y, z][d], &whole[home]);
                                at >= whole.start[d] && at - whole.start[d] < whole.size[d]
                            });
                            assert!(inside && seen[home].insert([x, y, z]), "once");
                        }
                    }
                }
            }
            let count: usize = seen.iter().map(std::collections::HashSet::len).sum();
            assert_eq!(count as u64, all, "parts of {most}");
        }
    }

    #[test]
    fn no_dispatch_is_beyond_the_limit_and_no_workgroup_is_lost() {
        let whole = GridBox {
            start: [5, 0, 7],
            size: [200_000, 3, 2],
        };
        assert_eq!(dispatches(&whole, 65_535), 4);
        let mut rest: Boxes<()> = [(whole, ())].into();
        let parts = take(&mut rest, u64::MAX, 65_535);
        assert!(rest.is_empty());
        assert_eq!(parts.len(), 4);
        assert_eq!(
            parts[3].0,
            GridBox {
                start: [5 + 3 * 65_535, 0, 7],
                size: [200_000 - 3 * 65_535, 3, 2]
            }
        );
        // More than 2^32 workgroups in all, and more dispatches than a submission has.
        let whole = GridBox::whole([u32::MAX, 3, 70_000]);
        let mut rest: Boxes<()> = [(whole, ())].into();
        let (mut workgroups, mut parts) = (0, 0);
        while !rest.is_empty() {
            let taken = take(&mut rest, u64::MAX, 65_535);
            assert!(taken.len() <= MOST_DISPATCHES);
            for (part, ()) in taken {
                workgroups += part.workgroups();
                parts += 1;
                let ends = (0..3).map(|d| u64::from(part.start[d]) + u64::from(part.size[d]));
                assert!(ends.zip(whole.size).all(|(end, size)| end <= size.into()));
                assert!(part.size.iter().all(|&n| (1..=65_535).contains(&n)));
            }
        }
        assert_eq!((workgroups, parts), (whole.workgroups(), 65_537 * 2));
        assert_eq!(dispatches(&whole, 65_535), parts);
        // No list of these is made.
        let whole = GridBox::whole([1 << 31, 1 << 31, 1]);
        let mut rest: Boxes<()> = [(whole, ())].into();
        assert_eq!(take(&mut rest, u64::MAX, 65_535).len(), MOST_DISPATCHES);
        assert!(rest.len() <= 3);
    }
}
