//! Locks with a declared order, checked in debug builds.
//!
//! A thread takes locks in the order of [`Rank`], and blocks among themselves in the order of their addresses:
//!
//! ```text
//! Heap -> Regions -> Block (lowest address first) -> Frames -> Leaf
//! ```
//!
//! This is the one place of the runtime that names a lock type.

use parking_lot::{Condvar, Mutex, MutexGuard};

/// The order in which locks are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// The slabs of small allocations.
    Heap,
    /// The table of regions.
    Regions,
    /// One block; several in the order of their addresses.
    Block,
    /// A device's frames and its policy.
    Frames,
    /// Anything taken last and held for a moment.
    Leaf,
}

#[cfg(debug_assertions)]
mod order {
    use super::Rank;
    use std::cell::RefCell;

    thread_local! {
        static HELD: RefCell<Vec<(Rank, u64)>> = const { RefCell::new(Vec::new()) };
    }

    pub fn acquire(rank: Rank, key: u64) {
        HELD.with_borrow_mut(|held| {
            if let Some(&worst) = held.iter().max() {
                assert!(
                    (rank, key) > worst,
                    "lock order: {rank:?} {key} taken while holding {worst:?}"
                );
            }
            held.push((rank, key));
        });
    }

    pub fn release(rank: Rank, key: u64) {
        // A guard may be dropped while its thread's storage goes away.
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            if let Some(i) = held.iter().rposition(|&h| h == (rank, key)) {
                held.remove(i);
            }
        });
    }
}

/// A mutex that knows its place in the order.
#[derive(Debug)]
pub(crate) struct Ranked<T> {
    inner: Mutex<T>,
    #[cfg(debug_assertions)]
    place: (Rank, u64),
}

impl<T> Ranked<T> {
    pub(crate) const fn new(rank: Rank, key: u64, value: T) -> Self {
        #[cfg(not(debug_assertions))]
        let _ = (rank, key);
        Self {
            inner: Mutex::new(value),
            #[cfg(debug_assertions)]
            place: (rank, key),
        }
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        #[cfg(debug_assertions)]
        order::acquire(self.place.0, self.place.1);
        Guard {
            inner: self.inner.lock(),
            #[cfg(debug_assertions)]
            place: self.place,
        }
    }
}

/// Holds a [`Ranked`] lock.
pub(crate) struct Guard<'a, T> {
    inner: MutexGuard<'a, T>,
    #[cfg(debug_assertions)]
    place: (Rank, u64),
}

impl<T> Guard<'_, T> {
    /// Gives the lock up until the condition is signalled.
    pub(crate) fn wait(&mut self, condition: &Condvar) {
        condition.wait(&mut self.inner);
    }
}

impl<T> std::ops::Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> std::ops::DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

#[cfg(debug_assertions)]
impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        order::release(self.place.0, self.place.1);
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "lock order")]
    fn a_block_after_a_higher_one_is_caught() {
        let (low, high) = (
            Ranked::new(Rank::Block, 1, ()),
            Ranked::new(Rank::Block, 2, ()),
        );
        let _high = high.lock();
        let _low = low.lock();
    }

    #[test]
    #[should_panic(expected = "lock order")]
    fn regions_after_frames_is_caught() {
        let (regions, frames) = (
            Ranked::new(Rank::Regions, 0, ()),
            Ranked::new(Rank::Frames, 0, ()),
        );
        let _frames = frames.lock();
        let _regions = regions.lock();
    }

    #[test]
    fn the_declared_order_passes_again_and_again() {
        let (a, b, f) = (
            Ranked::new(Rank::Block, 1, ()),
            Ranked::new(Rank::Block, 2, ()),
            Ranked::new(Rank::Frames, 0, ()),
        );
        for _ in 0..3 {
            let _a = a.lock();
            let _b = b.lock();
            let _f = f.lock();
        }
    }
}
