//! Algorithms of several kernels over shared memory, in an eighth of what they bind: sorts, scans, searches, tables, solvers and
//! transforms, each against a CPU's answer, exact or to a stated tolerance.
//!
//! What one kernel leaves on the device the next one finds, wherever it has gone meanwhile; the CPU reads and writes between
//! launches by plain loads and stores.

#[path = "../adapters/mod.rs"]
mod adapters;
#[path = "../paging/mod.rs"]
mod paging;
#[path = "../skipped/mod.rs"]
mod skipped;

mod bfs;
mod cg;
mod fft;
mod gemm;
mod hash;
mod radix;
mod scan;

use gmem::gpu::AdapterChoice;
use gmem::{Gmem, Kernel};

const PAGE: u64 = 4096;

/// A space whose device holds a `part`th of `bytes`, in whole pages.
struct Small {
    gm: Gmem,
    cap: u64,
}

impl Small {
    fn new(adapter: &AdapterChoice, bytes: &[u64], part: u64) -> Self {
        let pages: u64 = bytes.iter().map(|b| b.div_ceil(PAGE)).sum();
        let cap = pages / part * PAGE + paging::GUARD;
        let gm = paging::space(adapter, PAGE, cap);
        Self { gm, cap }
    }

    fn kernel(&self, source: &str, entry: &str) -> Kernel {
        let device = self.gm.device(0).expect("a device");
        self.gm
            .kernel_on(&device, source, Some(entry), &[])
            .unwrap_or_else(|e| panic!("{entry}: {e}"))
    }

    /// The device never took more than it was given, and did take turns.
    fn finish(&self, what: &AdapterChoice) {
        let stats = self.gm.stats();
        assert!(
            stats.devices[0].1.peak_windows <= self.cap,
            "{what}: over the cap"
        );
        assert!(stats.counts.evictions > 0, "{what}: all of it fitted");
        self.gm.check().unwrap_or_else(|e| panic!("{what}: {e}"));
    }
}
