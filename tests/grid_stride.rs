//! Kernels whose loops stride over the whole grid: each workgroup touches a little of pages all over its bindings, and its
//! neighbours the rest of the same pages. Of a loop's addresses only bounds are known beforehand, so that not even one workgroup
//! seems to fit.

mod adapters;
mod few_pages;
mod skipped;

use few_pages::{PAGE, space};

const GROUPS: u32 = 256;
const PAGES: u64 = 512;

const MAP: &str = "
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64)
fn map(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < arrayLength(&x); i += groups.x * 64u) { y[i] = x[i] * 3u + 1u; }
}";

#[test]
fn workgroups_that_share_their_pages_run_together() {
    for adapter in adapters::adapters() {
        // Both bindings are four times as large; 16 workgroups after each other touch the same 32 pages of each.
        let gm = space(&adapter, 2 * PAGES / 4);
        let n = (PAGES * PAGE / 4) as usize;
        let mut x = gm.alloc::<u32>(n).unwrap();
        let mut y = gm.alloc::<u32>(n).unwrap();
        (x.iter_mut().enumerate()).for_each(|(i, x)| *x = i as u32);
        let report = (gm.kernel(MAP).unwrap().launch([GROUPS, 1, 1]))
            .bind("x", &x)
            .bind("y", &mut y)
            .run()
            .unwrap();
        assert!(
            report.passes <= u64::from(GROUPS / 16),
            "{adapter}: {report:?}"
        );
        assert!(report.passes >= 4, "{adapter}: it does not fit at once");
        let right = |(i, &y): (usize, &u32)| y == i as u32 * 3 + 1;
        assert!(y.iter().enumerate().all(right), "{adapter}");
    }
}
