//! The frame pool under churn, against a `BTreeSet` of free frames (which knows neither runs nor pins).

mod common;

use std::collections::BTreeSet;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gmem::hal::{FrameIndex, Window};
use gmem_runtime::frames::FramePool;

const FRAMES: u32 = 1 << 14;

fn pool() -> FramePool {
    let mut pool = FramePool::new(FRAMES);
    pool.add_window(Window {
        first: FrameIndex(0),
        frames: FRAMES,
    })
    .expect("a good window");
    pool
}

/// Takes all frames one by one, gives every other back, takes them again, gives all back.
fn churn(take: &mut dyn FnMut() -> u32, give: &mut dyn FnMut(u32)) {
    let mut held: Vec<u32> = (0..FRAMES).map(|_| take()).collect();
    for i in (0..held.len()).step_by(2) {
        give(held[i]);
    }
    for i in (0..held.len()).step_by(2) {
        held[i] = take();
    }
    held.drain(..).for_each(give);
}

fn bench(c: &mut Criterion) {
    let pool = std::cell::RefCell::new(pool());
    let mut ours = || {
        common::seconds(|| {
            churn(
                &mut || pool.borrow_mut().alloc_one().expect("a free frame").0,
                &mut |f| {
                    let mut pool = pool.borrow_mut();
                    let retiring = pool.retire(FrameIndex(f));
                    pool.release(retiring);
                },
            );
        })
    };
    let set: std::cell::RefCell<BTreeSet<u32>> = std::cell::RefCell::new((0..FRAMES).collect());
    let mut tree = || {
        common::seconds(|| {
            churn(
                &mut || set.borrow_mut().pop_first().expect("a free frame"),
                &mut |f| {
                    set.borrow_mut().insert(f);
                },
            );
        })
    };
    common::ratio("buddy/churn", "BTreeSet", 21, &mut ours, &mut tree);
    c.bench_function("buddy/churn", |b| b.iter(|| black_box(ours())));
    c.bench_function("buddy/run of 1024", |b| {
        b.iter(|| {
            let mut pool = pool.borrow_mut();
            let run = pool.alloc_run(1024).expect("room");
            for f in run.first.0..run.first.0 + run.frames {
                let retiring = pool.retire(FrameIndex(f));
                pool.release(retiring);
            }
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
