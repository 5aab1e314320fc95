//! A CPU touch of an absent page, served by the runtime, against a bare userfaultfd handler that only fills pages with zeroes.

mod common;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gmem::hal::HostMechanism;
use gmem::{DeviceChoice, Gmem};
use gmem_host::bare::BareHandler;

const PAGE: usize = 64 << 10;
const PAGES: usize = 512;

/// Touches every page once, in an order that no prefetcher guesses: backwards, or every page of a stride.
fn touch(base: *mut u8, order: &[usize]) -> f64 {
    common::seconds(|| {
        for &page in order {
            // SAFETY: the page lies inside the mapping, which nobody else uses.
            unsafe { base.add(page * PAGE).write_volatile(black_box(1)) };
        }
    })
}

fn cpu_fault(c: &mut Criterion) {
    let gm = match Gmem::builder().device(DeviceChoice::None).build() {
        Ok(gm) if gm.mechanism().0 == HostMechanism::Userfaultfd => gm,
        Ok(gm) => return println!("skipped: {}", gm.mechanism().1),
        Err(e) => return println!("skipped: {e}"),
    };
    let bare = match BareHandler::new(PAGES * PAGE, PAGE) {
        Ok(bare) => bare,
        Err(e) => return println!("skipped: {e}"),
    };
    let mut v = gm.alloc::<u8>(PAGES * PAGE).expect("room");
    let base = std::ptr::with_exposed_provenance_mut(v.va().0 as usize);
    let bare_base = std::ptr::with_exposed_provenance_mut(bare.base().0 as usize);
    let forward: Vec<usize> = (0..PAGES).collect();
    let scattered: Vec<usize> = (0..PAGES).map(|i| i * 197 % PAGES).collect();
    let mut group = c.benchmark_group("cpu_fault");
    group.sample_size(10);
    for (case, order) in [("random", &scattered), ("sequential", &forward)] {
        let mut ours = || {
            v.discard().expect("no device holds it");
            touch(base, order)
        };
        let mut theirs = || {
            bare.forget().expect("the mapping is there");
            touch(bare_base, order)
        };
        common::ratio(
            &format!("cpu_fault/{case}/{PAGES} pages"),
            "bare handler",
            21,
            &mut ours,
            &mut theirs,
        );
        group.bench_function(case, |b| {
            b.iter_custom(|n| {
                (0..n)
                    .map(|_| std::time::Duration::from_secs_f64(ours()))
                    .sum()
            });
        });
        group.bench_function(format!("{case}/bare"), |b| {
            b.iter_custom(|n| {
                (0..n)
                    .map(|_| std::time::Duration::from_secs_f64(theirs()))
                    .sum()
            });
        });
    }
}

criterion_group!(benches, cpu_fault);
criterion_main!(benches);
