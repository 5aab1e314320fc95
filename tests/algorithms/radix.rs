//! Radix sorts, four bits a pass: of each pass the kernels count digits, add up where each digit of each block begins, and put
//! every key in its place.

use gmem::{Error, Kernel, Vector};

use crate::paging::Chance;
use crate::{Small, adapters};

/// Its `scatter` ranks keys by bits in workgroup memory.
const PLAN: &str = include_str!("../../examples/plans/radix.wgsl");

/// Ranks keys by reading those before them in their block: what is put where is then a function of what is read alone.
const PLACE: &str = "
@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> counts: array<u32>;
@group(0) @binding(2) var<storage, read_write> sorted: array<u32>;
@group(0) @binding(3) var<uniform> shift: u32;

@compute @workgroup_size(256)
fn place(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) block: vec3<u32>) {
    if (id.x >= arrayLength(&keys)) { return; }
    let key = keys[id.x];
    let digit = (key >> shift) % 16u;
    var rank = 0u;
    for (var i = block.x * 256u; i < id.x; i++) {
        rank += u32((keys[i] >> shift) % 16u == digit);
    }
    sorted[counts[digit * (arrayLength(&counts) / 16u) + block.x] + rank] = key;
}
";

struct Sort {
    small: Small,
    blocks: usize,
    keys: Vector<u32>,
    counts: Vector<u32>,
    sorted: Vector<u32>,
    count: Kernel,
    scan: Kernel,
}

impl Sort {
    fn new(adapter: &gmem::gpu::AdapterChoice, unsorted: &[u32], part: u64) -> Self {
        let (n, blocks) = (unsorted.len(), unsorted.len() / 256);
        let small = Small::new(adapter, &[n, n, 16 * blocks].map(|w| w as u64 * 4), part);
        let mut keys = small.gm.alloc(n).unwrap();
        keys.copy_from_slice(unsorted);
        Self {
            keys,
            blocks,
            counts: small.gm.alloc(16 * blocks).unwrap(),
            sorted: small.gm.alloc(n).unwrap(),
            count: small.kernel(PLAN, "count"),
            scan: small.kernel(PLAN, "scan"),
            small,
        }
    }

    fn pass(&mut self, put: &Kernel, shift: u32) -> Result<gmem::LaunchReport, Error> {
        let blocks = [self.blocks as u32, 1, 1];
        self.count
            .launch(blocks)
            .bind("keys", &self.keys)
            .bind("counts", &mut self.counts)
            .uniform("shift", &shift)
            .run()?;
        self.scan
            .launch([1, 1, 1])
            .bind("counts", &mut self.counts)
            .run()?;
        let report = put
            .launch(blocks)
            .bind("keys", &self.keys)
            .bind("counts", &mut self.counts)
            .bind("sorted", &mut self.sorted)
            .uniform("shift", &shift)
            .run()?;
        std::mem::swap(&mut self.keys, &mut self.sorted);
        Ok(report)
    }
}

fn unsorted(n: usize) -> (Vec<u32>, Vec<u32>) {
    let keys = Chance(1).words(n);
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    (keys, sorted)
}

#[test]
fn a_sort_in_an_eighth() {
    let (keys, expected) = unsorted(1 << 17);
    for adapter in adapters::adapters() {
        let mut sort = Sort::new(&adapter, &keys, 8);
        let place = sort.small.kernel(PLACE, "place");
        for shift in (0..32).step_by(4) {
            let report = sort
                .pass(&place, shift)
                .unwrap_or_else(|e| panic!("{adapter}: {e}"));
            assert!(report.passes >= 8, "{adapter}: {report:?}");
        }
        assert!(*sort.keys == *expected, "{adapter}: not sorted");
        sort.small.finish(&adapter);
    }
}

#[test]
fn a_sort_with_all_resident() {
    let (keys, expected) = unsorted(1 << 18);
    for adapter in adapters::adapters() {
        let mut sort = Sort::new(&adapter, &keys, 1);
        let scatter = sort.small.kernel(PLAN, "scatter");
        for shift in (0..32).step_by(4) {
            let report = sort.pass(&scatter, shift).unwrap();
            assert_eq!(report.passes, 1, "{adapter}");
        }
        assert!(*sort.keys == *expected, "{adapter}: not sorted");
    }
}

/// Ranks in workgroup memory are what no probe can reproduce: it is attempted.
#[test]
fn a_sort_that_ranks_in_workgroup_memory_in_an_eighth() {
    let (keys, expected) = unsorted(1 << 18);
    for adapter in adapters::adapters() {
        let mut sort = Sort::new(&adapter, &keys, 8);
        let scatter = sort.small.kernel(PLAN, "scatter");
        for shift in (0..32).step_by(4) {
            let report = sort
                .pass(&scatter, shift)
                .unwrap_or_else(|e| panic!("{adapter}: {e}"));
            assert!(report.passes > 1, "{adapter}: {report:?}");
        }
        assert!(*sort.keys == *expected, "{adapter}: not sorted");
        sort.small.finish(&adapter);
    }
}
