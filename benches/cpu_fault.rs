//! A CPU touch of an absent page, served by the runtime, against a bare userfaultfd handler that only fills pages with zeroes.

mod common;

use std::hint::black_box;
use std::time::Duration;

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

/// A space and a bare handler whose threads run on one core, touched from another or from the same.
///
/// Where the scheduler puts the two threads decides more than what they do: waking a core that sleeps costs several
/// times the fault itself on a virtual machine. So both sides run where they are told to; the scheduler's own choice,
/// which may differ between them, comes last.
struct Placed {
    case: &'static str,
    handlers: Option<usize>,
    toucher: Option<usize>,
}

const PLACES: [Placed; 3] = [
    Placed {
        case: "one core",
        handlers: Some(0),
        toucher: Some(0),
    },
    Placed {
        case: "two cores",
        handlers: Some(1),
        toucher: Some(0),
    },
    Placed {
        case: "unbound",
        handlers: None,
        toucher: None,
    },
];

fn cpu_fault(c: &mut Criterion) {
    for place in PLACES {
        // Threads inherit where their maker may run.
        if let Err(reason) = common::run_on(place.handlers) {
            println!("skipped {}: {reason}", place.case);
            continue;
        }
        let gm = match Gmem::builder().device(DeviceChoice::None).build() {
            Ok(gm) if gm.mechanism().0 == HostMechanism::Userfaultfd => gm,
            Ok(gm) => return println!("skipped: {}", gm.mechanism().1),
            Err(e) => return println!("skipped: {e}"),
        };
        let bare = match BareHandler::new(PAGES * PAGE, PAGE) {
            Ok(bare) => bare,
            Err(e) => return println!("skipped: {e}"),
        };
        if let Err(reason) = common::run_on(place.toucher) {
            println!("skipped {}: {reason}", place.case);
            continue;
        }
        let mut v = gm.alloc::<u8>(PAGES * PAGE).expect("room");
        let base = std::ptr::with_exposed_provenance_mut(v.va().0 as usize);
        let bare_base = std::ptr::with_exposed_provenance_mut(bare.base().0 as usize);
        let forward: Vec<usize> = (0..PAGES).collect();
        let scattered: Vec<usize> = (0..PAGES).map(|i| i * 197 % PAGES).collect();
        let mut group = c.benchmark_group(format!("cpu_fault/{}", place.case));
        group.sample_size(10);
        for (order_name, order) in [("random", &scattered), ("sequential", &forward)] {
            let mut ours = || {
                v.discard().expect("no device holds it");
                touch(base, order)
            };
            let mut theirs = || {
                bare.forget().expect("the mapping is there");
                touch(bare_base, order)
            };
            common::ratio(
                &format!("cpu_fault/{}/{order_name}/{PAGES} pages", place.case),
                "bare handler",
                41,
                &mut ours,
                &mut theirs,
            );
            group.bench_function(order_name, |b| b.iter_custom(|n| repeated(n, &mut ours)));
            group.bench_function(format!("{order_name}/bare"), |b| {
                b.iter_custom(|n| repeated(n, &mut theirs));
            });
        }
    }
}

/// The time of so many runs.
fn repeated(times: u64, mut run: impl FnMut() -> f64) -> Duration {
    (0..times).map(|_| Duration::from_secs_f64(run())).sum()
}

criterion_group!(benches, cpu_fault);
criterion_main!(benches);
