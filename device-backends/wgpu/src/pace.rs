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

/// Boxes of workgroups, each with what it is for.
pub(crate) type Boxes<T> = VecDeque<(GridBox, T)>;

/// Takes boxes of about `most` workgroups in all from the front of others; everything where little more is left.
pub(crate) fn take<T: Copy>(rest: &mut Boxes<T>, most: u64) -> Vec<(GridBox, T)> {
    let all: u64 = rest.iter().map(|(part, _)| part.workgroups()).sum();
    if all <= most.saturating_add(most / 2) {
        return rest.drain(..).collect();
    }
    let (mut taken, mut room) = (Vec::new(), most.max(1));
    while room > 0
        && let Some((first, tag)) = rest.pop_front()
    {
        let part = cut_off(first, room, |left| rest.push_front((left, tag)));
        room -= part.workgroups().min(room);
        taken.push((part, tag));
    }
    taken
}

/// The first part of a box, of at most `room` workgroups and at least one; `leave` is given what follows, the last first.
fn cut_off(mut part: GridBox, room: u64, mut leave: impl FnMut(GridBox)) -> GridBox {
    for d in [2, 1, 0] {
        let slab = part.size[..d]
            .iter()
            .map(|&n| u64::from(n))
            .product::<u64>();
        let fit = (room / slab.max(1)).clamp(1, u64::from(part.size[d])) as u32;
        if fit < part.size[d] {
            let mut left = part;
            left.start[d] += fit;
            left.size[d] -= fit;
            leave(left);
            part.size[d] = fit;
        }
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
                let taken = take(&mut rest, most);
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
}
