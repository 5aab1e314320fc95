//! What the manager knows of a kernel: which bindings it has and what a box of its grid touches.

use std::any::Any;
use std::sync::Arc;

use crate::{ByteRange, FrameRun};

/// A box of workgroups: `size[i]` of them from `start[i]` on, in each dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GridBox {
    /// The first workgroup's id.
    pub start: [u32; 3],
    /// Workgroups in each dimension, each at least 1.
    pub size: [u32; 3],
}

impl GridBox {
    /// A whole grid.
    #[must_use]
    pub const fn whole(grid: [u32; 3]) -> Self {
        Self {
            start: [0; 3],
            size: grid,
        }
    }

    /// Workgroups in the box.
    #[must_use]
    pub fn workgroups(&self) -> u64 {
        self.size
            .iter()
            .fold(1, |n, &size| n.saturating_mul(u64::from(size)))
    }

    /// Cuts the box in two along its slowest dimension (z, then y, then x), the first part having `at` layers,
    /// or `None` for one workgroup. Row-major order of workgroups is kept: all of the first come before the second.
    #[must_use]
    pub fn cut(&self, at: u32) -> Option<(Self, Self)> {
        let d = (0..3).rev().find(|&d| self.size[d] > 1)?;
        let at = at.clamp(1, self.size[d] - 1);
        let (mut a, mut b) = (*self, *self);
        a.size[d] = at;
        b.start[d] += at;
        b.size[d] -= at;
        Some((a, b))
    }

    /// Cuts the box in halves; `None` for one workgroup.
    #[must_use]
    pub fn halves(&self) -> Option<(Self, Self)> {
        let d = (0..3).rev().find(|&d| self.size[d] > 1)?;
        self.cut(self.size[d] / 2)
    }

    /// Cuts the box in at most `parts` boxes of nearly equal size along its slowest dimensions, in row-major order.
    #[must_use]
    pub fn split(&self, parts: usize) -> Vec<Self> {
        let mut out = vec![*self];
        while out.len() * 2 <= parts.max(1) {
            let next: Vec<Self> = out
                .iter()
                .flat_map(|b| b.halves().map_or_else(|| vec![*b], |(a, c)| vec![a, c]))
                .collect();
            if next.len() == out.len() {
                break;
            }
            out = next;
        }
        out
    }
}

/// How a kernel uses one of its storage bindings, from what it really does, not from what it declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingUse {
    /// The variable's name.
    pub name: String,
    /// Whether any access loads (atomics that return do).
    pub reads: bool,
    /// Whether any access stores (all atomics but loads do).
    pub writes: bool,
}

/// What a box of workgroups touches of one binding, at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Footprint {
    /// Only bytes in these ranges, relative to the binding's start, sorted and disjoint; none at all when empty.
    Ranges(Vec<ByteRange>),
    /// Any byte of the binding: a probe can tell which.
    Unknown,
}

impl Footprint {
    /// Nothing is touched.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Ranges(Vec::new())
    }
}

/// What a box of workgroups loads from and stores to one binding, at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingFootprint {
    /// Bytes it may load.
    pub reads: Footprint,
    /// Bytes it may store.
    pub writes: Footprint,
}

/// A kernel and everything it is launched with.
#[derive(Clone)]
pub struct Launch {
    /// The kernel.
    pub kernel: Arc<dyn Kernel>,
    /// The bytes behind each storage binding, in the order of [`Kernel::bindings`].
    pub bound: Vec<ByteRange>,
    /// The bytes of each uniform, in the kernel's own order.
    pub values: Vec<Vec<u8>>,
    /// Workgroups in each dimension, each at least 1.
    pub grid: [u32; 3],
    /// Of a kernel that [follows pointers](Kernel::follows): what they may reach, which lies inside the binding that they are
    /// followed in.
    pub reach: Vec<Reached>,
}

impl Launch {
    /// Whether a binding is one that pointers are followed in.
    #[must_use]
    pub fn follows(&self, binding: usize) -> bool {
        self.kernel.follows().get(binding) == Some(&true)
    }
}

/// Bytes that a kernel may reach by pointers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The bytes, inside one region.
    pub bytes: ByteRange,
    /// Whether it may store to them.
    pub writable: bool,
}

/// A compiled kernel of some backend: its footprint is known before it runs.
pub trait Kernel: Send + Sync {
    /// The entry point's name.
    fn name(&self) -> &str;

    /// The storage bindings, in binding order.
    fn bindings(&self) -> &[BindingUse];

    /// What a box of the launch's workgroups touches of each binding, from ids, uniforms and constants alone.
    /// Over-estimates are right, under-estimates never are.
    fn footprint(&self, launch: &Launch, workgroups: &GridBox) -> Vec<BindingFootprint>;

    /// Whether a probe finds what [`Footprint::Unknown`] leaves open, with these bindings: `Err` says why not
    /// (an address or the control flow depends on what the launch itself writes), and then all bindings must be resident, or
    /// the launch is made of attempts.
    /// Bindings that overlap in memory count as one.
    ///
    /// # Errors
    /// The reason, for people.
    fn probeable(&self, launch: &Launch) -> Result<(), String>;

    /// Whether each binding is loaded from by a probe: these must be resident for it to go on, and no launch may write
    /// them between the probe and its pass.
    fn feeds(&self) -> &[bool];

    /// Whether each binding is one that pointers are followed in: it is bound to all from the lowest to the highest byte that
    /// they may reach, and the kernel itself keeps to what [`Launch::reach`] names of that. Nothing, where none is.
    fn follows(&self) -> &[bool] {
        &[]
    }

    /// Why its workgroups wait for each other, if they do: then all of them run in one piece, with everything resident.
    fn waits(&self) -> Option<&str> {
        None
    }

    /// Whether [`Device::attempt`](crate::Device::attempt) can run it, so that undoing what it stored to its bindings undoes all
    /// that it did.
    ///
    /// # Errors
    /// Why not, for people.
    fn attemptable(&self, launch: &Launch) -> Result<(), String> {
        let _ = launch;
        Err("it cannot be undone".to_owned())
    }

    /// The backend's own kernel.
    fn as_any(&self) -> &dyn Any;
}

/// How a pass finds the bytes of one binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Translation {
    /// The pass touches nothing of it.
    Untouched,
    /// What it touches, `slice` (relative to the binding's start), lies in one run of frames of one window:
    /// byte `slice.offset` of the binding is byte `skip` of frame `frames.first`.
    Slid {
        /// The bytes of the binding the pass may touch.
        slice: ByteRange,
        /// Where they are.
        frames: FrameRun,
        /// Bytes of the first frame before the slice: less than a page.
        skip: u64,
    },
    /// One page-table load per access.
    Paged,
}

/// One submission that runs some of a launch's workgroups.
pub struct Pass<'a> {
    /// The launch.
    pub launch: &'a Launch,
    /// The workgroups, in the order to run them.
    pub boxes: &'a [GridBox],
    /// The translation of each binding.
    pub translations: &'a [Translation],
}

/// What became of a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PassReport {
    /// Seconds from submission to completion, as the host saw it.
    pub seconds: f64,
}

/// Which pages of one binding a box of workgroups would touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Pages loaded from, counted from the page that holds the binding's first byte; sorted.
    pub reads: Vec<u32>,
    /// Pages stored to; sorted.
    pub writes: Vec<u32>,
}

/// What a probe found about one box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeReport {
    /// Whether a lane stopped at an address it could not know yet: the pages it needs are in `touched`,
    /// and once they are resident the box must be probed again.
    pub stopped: bool,
    /// What it touches, by binding.
    pub touched: Vec<Touched>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_keep_every_workgroup_once_and_in_order() {
        for grid in [[1, 1, 1], [7, 1, 1], [3, 5, 1], [2, 3, 4], [1, 1, 9]] {
            let whole = GridBox::whole(grid);
            for parts in [1, 2, 3, 8, 64, 1000] {
                let boxes = whole.split(parts);
                assert!(boxes.len() <= parts.max(1));
                let mut order = Vec::new();
                for b in &boxes {
                    for z in 0..b.size[2] {
                        for y in 0..b.size[1] {
                            for x in 0..b.size[0] {
                                order.push([b.start[2] + z, b.start[1] + y, b.start[0] + x]);
                            }
                        }
                    }
                }
                let mut sorted = order.clone();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(sorted, order);
                assert_eq!(order.len() as u64, whole.workgroups());
            }
        }
    }
}
