//! Launches of a [`World`]: random kernels over random bytes, and what a failed one may have done.

use std::collections::BTreeSet;
use std::sync::Arc;

use gmem_hal::{ByteRange, Launch, PageSize};
use gmem_runtime::LaunchError;

use super::super::flat::{Allocation, Bound, Flat};
use super::super::kernels::{Kind, Shape, step};
use super::World;

impl World {
    pub(super) fn launch(&mut self) {
        self.done.launches += 1;
        let kind = *self.rng.pick(&Kind::ALL);
        let uses = kind.bindings();
        let mut bound: Vec<Bound> = Vec::new();
        for _ in &uses {
            // There are at least three allocations, and no kernel has more bindings.
            let i = loop {
                let i = self.any();
                if kind.may_overlap() || bound.iter().all(|b| b.allocation != i) {
                    break i;
                }
            };
            let whole = self.rng.chance(50);
            let (start, len) = if whole {
                (0, self.allocations[i].bytes.len() as u64)
            } else {
                self.some(i, u64::MAX)
            };
            bound.push(Bound {
                allocation: i,
                start,
                len,
            });
        }
        let grid = match self.rng.below(3) {
            0 => [
                self.rng.within(1, 4) as u32,
                self.rng.within(1, 4) as u32,
                self.rng.within(1, 3) as u32,
            ],
            _ => [self.rng.within(1, 40) as u32, 1, 1],
        };
        let groups: u32 = grid.iter().product();
        // Wide enough to reach all over the longest binding, some of it beyond the end.
        let longest = bound.iter().map(|b| b.len).max().unwrap_or(0);
        let spread = (longest / u64::from(groups) / 4 * 4).clamp(4, 4 << 20) as u32;
        let stride = if kind == Kind::Wide {
            self.wide_stride(bound[0].len)
        } else {
            spread
        };
        let shape = Shape {
            chunk: (self.rng.within(1, 64) as u32 * 4).min(spread),
            stride,
            salt: self.rng.next() as u32,
            loose: self.rng.chance(30),
        };
        let launch = Launch {
            kernel: Arc::clone(&self.kernels[kind as usize]),
            bound: bound
                .iter()
                .map(|b| ByteRange::new(self.allocations[b.allocation].offset + b.start, b.len))
                .collect(),
            values: vec![shape.to_value()],
            grid,
            reach: Vec::new(),
        };
        let device = self.rng.below(self.devices.len() as u64) as usize;
        let node = self.devices[device].0;
        let result = self
            .space
            .launch(node, launch.clone())
            .expect("it is well formed")
            .wait();
        let budget = self.setup.budgets[device] + self.setup.remote;
        match result {
            Ok(_) => {
                let widest = self.apply(kind, shape, &bound, 0..u64::from(groups));
                // In pieces of larger pages more of them fit.
                assert!(
                    widest <= budget || self.setup.page > PageSize::MIN.bytes(),
                    "{kind:?} touched {widest} pages with {budget} frames"
                );
            }
            Err(e) => self.failed_launch(kind, shape, &bound, groups, budget, e),
        }
    }

    /// Sometimes as wide as the device and more, in pages.
    fn wide_stride(&mut self, len: u64) -> u32 {
        let least = (len / 64).max(4) / 4 * 4;
        least.max(self.setup.page / self.rng.within(1, 3) / 4 * 4) as u32
    }

    /// Does to the oracle what some workgroups do, and says how many pages the widest touches.
    fn apply(
        &mut self,
        kind: Kind,
        shape: Shape,
        bound: &[Bound],
        ids: std::ops::Range<u64>,
    ) -> u64 {
        let mut widest = 0;
        for id in ids {
            let mut flat = Flat {
                allocations: &mut self.allocations,
                bound,
                page: self.setup.page,
                touched: BTreeSet::new(),
            };
            step(kind, shape, id, &mut flat).expect("flat memory has no faults");
            widest = widest.max(flat.touched.len() as u64);
        }
        widest
    }

    /// The launch must have done the first so many workgroups, each wholly, and nothing else.
    fn failed_launch(
        &mut self,
        kind: Kind,
        shape: Shape,
        bound: &[Bound],
        groups: u32,
        budget: u64,
        error: LaunchError,
    ) {
        let (armed, large) = (
            self.armed,
            matches!(error, LaunchError::FootprintTooLarge { .. }),
        );
        self.disarm();
        let written: Vec<usize> = kind
            .bindings()
            .iter()
            .zip(bound)
            .filter(|(u, _)| u.writes)
            .map(|(_, b)| b.allocation)
            .collect();
        let found: Vec<(usize, Vec<u8>)> = written
            .into_iter()
            .map(|i| (i, self.load(i, 0, self.allocations[i].bytes.len() as u64)))
            .collect();
        let mut done = 0;
        while !found
            .iter()
            .all(|(i, bytes)| self.allocations[*i].bytes == *bytes)
        {
            assert!(
                done < u64::from(groups),
                "after `{error}` no number of whole workgroups of {kind:?} explains what memory holds"
            );
            self.apply(kind, shape, bound, done..done + 1);
            done += 1;
        }
        self.done.partial += u64::from(done > 0);
        if large {
            self.done.too_large += 1;
            // It was true: the next workgroup, which is in the oracle's memory only, does not fit.
            let kept: Vec<Allocation> = self.allocations.clone();
            let widest = self.apply(kind, shape, bound, done..u64::from(groups));
            self.allocations = kept;
            assert!(
                widest > budget,
                "`{error}` and the widest workgroup touches {widest} pages of {budget}"
            );
        } else {
            assert!(armed, "without an injected error: {error}");
            self.done.failed += 1;
        }
    }
}
