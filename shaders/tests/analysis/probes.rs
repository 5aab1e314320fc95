//! Which loads feed, and what forbids a probe.

use super::common::kernel;
use gmem_shaders::FunctionRef;
use gmem_shaders::naga::Expression;

fn refused(source: &str, words: &[&str]) {
    let kernel = kernel(source);
    let reason = kernel.probeable().unwrap_err();
    for word in words {
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn rows_and_columns_of_a_sparse_matrix_feed() {
    let pagerank = kernel(
        "@group(0) @binding(0) var<storage, read> row_ptr: array<u32>;
        @group(0) @binding(1) var<storage, read> col: array<u32>;
        @group(0) @binding(2) var<storage, read> vals: array<f32>;
        @group(0) @binding(3) var<storage, read> x: array<f32>;
        @group(0) @binding(4) var<storage, read_write> y: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            let row = gid.x;
            if (row >= arrayLength(&y)) { return; }
            var sum = 0.0;
            for (var k = row_ptr[row]; k < row_ptr[row + 1u]; k++) { sum += vals[k] * x[col[k]]; }
            y[row] = 0.15 + 0.85 * sum;
        }",
    );
    assert_eq!(pagerank.feeding(), ["row_ptr", "col"]);
    pagerank.probeable().unwrap();
    let launch = super::common::Launch {
        start: [0; 3],
        count: [2, 1, 1],
        grid: [2, 1, 1],
        lens: vec![4 * 101, 4000, 4000, 400, 400],
        uniforms: Vec::new(),
    };
    let found = pagerank.footprint(&launch);
    use gmem_shaders::Footprint::{Ranges, Unknown};
    assert_eq!(found[0].reads, Ranges(vec![0..404]));
    assert_eq!(found[1].reads, Unknown);
    assert_eq!(found[2].reads, Unknown);
    assert_eq!(found[3].reads, Unknown);
    assert_eq!(found[4].writes, Ranges(vec![0..400]));

    // The same buffer as a row table and as the result: what feeds is written.
    let mut alias = pagerank.apart();
    alias[4] = 0;
    let reason = pagerank.analysis.probeable(&alias).unwrap_err();
    assert!(
        reason.contains("`row_ptr`") && reason.contains("`y`"),
        "{reason}"
    );
    // The vector does not feed: written or not, a probe never looks at it.
    let mut alias = pagerank.apart();
    alias[4] = 3;
    pagerank.analysis.probeable(&alias).unwrap();
}

#[test]
fn single_loads_are_told_apart() {
    let kernel = kernel(
        "@group(0) @binding(0) var<storage, read> a: array<u32>;
        @group(0) @binding(1) var<storage, read_write> b: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            let index = a[gid.x];
            let value = a[gid.x + 64u];
            b[index] = value;
        }",
    );
    let function = &kernel.module.entry_points[0].function;
    let loads: Vec<bool> = function
        .expressions
        .iter()
        .filter(|(_, expression)| matches!(expression, Expression::Load { .. }))
        .map(|(handle, _)| kernel.analysis.is_feeding(FunctionRef::Entry, handle))
        .collect();
    assert_eq!(loads, [true, false]);
    assert_eq!(kernel.feeding(), ["a"]);
    assert_eq!(kernel.analysis.sites().len(), 3);
}

#[test]
fn histogram_bins_do_not_feed() {
    let histogram = kernel(
        "@group(0) @binding(0) var<storage, read> data: array<u32>;
        @group(0) @binding(1) var<storage, read_write> bins: array<atomic<u32>>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            if (gid.x < arrayLength(&data)) { atomicAdd(&bins[data[gid.x] % 1000u], 1u); }
        }",
    );
    assert_eq!(histogram.feeding(), ["data"]);
    histogram.probeable().unwrap();
}

#[test]
fn an_atomic_ticket_is_refused() {
    refused(
        "@group(0) @binding(0) var<storage, read> data: array<u32>;
        @group(0) @binding(1) var<storage, read_write> count: atomic<u32>;
        @group(0) @binding(2) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            if (data[gid.x] > 7u) {
                let slot = atomicAdd(&count, 1u);
                out[slot] = data[gid.x];
            }
        }",
        &["atomic", "`count`", "line 6"],
    );
}

#[test]
fn a_claim_by_exchange_is_refused() {
    refused(
        "@group(0) @binding(0) var<storage, read_write> owner: array<atomic<u32>>;
        @group(0) @binding(1) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            let claim = atomicCompareExchangeWeak(&owner[gid.x / 2u], 0u, gid.x);
            if (claim.exchanged) { out[gid.x] = 1u; }
        }",
        &["atomic", "`owner`"],
    );
}

#[test]
fn an_in_place_chain_is_refused() {
    refused(
        "@group(0) @binding(0) var<storage, read_write> next: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            next[gid.x] = next[next[gid.x]];
        }",
        &["`next`", "writes", "line 3"],
    );
}

#[test]
fn a_chain_that_is_only_read_feeds() {
    let walk = kernel(
        "@group(0) @binding(0) var<storage, read> next: array<u32>;
        @group(0) @binding(1) var<storage, read> weight: array<f32>;
        @group(0) @binding(2) var<storage, read_write> out: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            var at = gid.x;
            var sum = 0.0;
            while (at != 0xffffffffu) { sum += weight[at]; at = next[at]; }
            out[gid.x] = sum;
        }",
    );
    assert_eq!(walk.feeding(), ["next"]);
    walk.probeable().unwrap();
}

#[test]
fn a_spin_on_an_atomic_is_refused() {
    refused(
        "@group(0) @binding(0) var<storage, read_write> flag: array<atomic<u32>>;
        @group(0) @binding(1) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(1) fn main(@builtin(workgroup_id) wid: vec3<u32>) {
            while (atomicLoad(&flag[wid.x]) == 0u) {}
            out[wid.x] = 1u;
            atomicStore(&flag[wid.x + 1u], 1u);
        }",
        &["`flag`", "writes"],
    );
}

#[test]
fn atomic_loads_of_what_nobody_writes_may_feed() {
    let kernel = kernel(
        "@group(0) @binding(0) var<storage, read_write> index: array<atomic<u32>>;
        @group(0) @binding(1) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(1) fn main(@builtin(workgroup_id) wid: vec3<u32>) {
            out[atomicLoad(&index[wid.x])] = 1u;
        }",
    );
    assert_eq!(kernel.feeding(), ["index"]);
    kernel.probeable().unwrap();
    let uses = kernel.analysis.uses();
    assert!(uses[0].reads && uses[0].atomics && !uses[0].writes);
}

#[test]
fn workgroup_memory_in_an_address_is_refused() {
    refused(
        "@group(0) @binding(0) var<storage, read> a: array<u32>;
        @group(0) @binding(1) var<storage, read_write> out: array<u32>;
        var<workgroup> tile: array<u32, 64>;
        @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) k: u32) {
            tile[k] = a[k];
            workgroupBarrier();
            out[tile[63u - k]] = 1u;
        }",
        &["workgroup variable `tile`", "line 7"],
    );
}

#[test]
fn float_arithmetic_in_an_address_is_refused() {
    refused(
        "@group(0) @binding(0) var<storage, read> a: array<f32>;
        @group(0) @binding(1) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            out[u32(a[gid.x] * 100.0)] = 1u;
        }",
        &["floating-point", "line 4"],
    );
    refused(
        "@group(0) @binding(0) var<storage, read> a: array<f32>;
        @group(0) @binding(1) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            let v = sqrt(a[gid.x]);
            out[gid.x + select(0u, 1u, v > 2.0)] = 1u;
        }",
        &["floating-point"],
    );
}

#[test]
fn floats_that_are_only_compared_may_feed() {
    let kernel = kernel(
        "@group(0) @binding(0) var<storage, read> a: array<f32>;
        @group(0) @binding(1) var<storage, read_write> out: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            if (max(a[gid.x], a[gid.x + 1u]) > 0.5) { out[gid.x] = a[gid.x] * 2.0; }
        }",
    );
    assert_eq!(kernel.feeding(), ["a"]);
    kernel.probeable().unwrap();
}

#[test]
fn subgroup_results_in_an_address_are_refused() {
    refused(
        "@group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            out[subgroupExclusiveAdd(gid.x)] = 1u;
        }",
        &["subgroup"],
    );
    refused(
        "@group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(subgroup_invocation_id) lane: u32) {
            out[lane] = 1u;
        }",
        &["`subgroup_invocation_id`"],
    );
}

#[test]
fn values_flow_through_variables_calls_and_pointers() {
    let kernel = kernel(
        "struct Item { key: u32, value: f32 }
        @group(0) @binding(0) var<storage, read> a: array<u32>;
        @group(0) @binding(1) var<storage, read> b: array<u32>;
        @group(0) @binding(2) var<storage, read> c: array<u32>;
        @group(0) @binding(3) var<storage, read> d: array<u32>;
        @group(0) @binding(4) var<storage, read_write> out: array<u32>;
        var<private> base: u32;
        fn fetch(i: u32) -> u32 { return b[i]; }
        fn step(at: ptr<function, u32>, by: u32) { *at += by; }
        fn choose(i: u32) -> u32 { if (c[i] > 4u) { return 1u; } return 0u; }
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            base = a[gid.x];
            var at = 0u;
            step(&at, fetch(gid.x));
            at += choose(gid.x);
            out[base + at] = d[gid.x];
        }",
    );
    assert_eq!(kernel.feeding(), ["a", "b", "c"]);
    kernel.probeable().unwrap();
}

#[test]
fn implicit_flow_through_branches_feeds() {
    let kernel = kernel(
        "@group(0) @binding(0) var<storage, read> a: array<u32>;
        @group(0) @binding(1) var<storage, read> b: array<u32>;
        @group(0) @binding(2) var<storage, read> c: array<u32>;
        @group(0) @binding(3) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            var at = gid.x;
            if (a[gid.x] > 3u) { at = 0u; }
            out[at] = 1u;
            var value = 0u;
            if (b[gid.x] > 3u) { value = 1u; }
            out[gid.x] = value;
            for (var i = 0u; i < 4u; i++) {
                if (c[gid.x + i] == 9u) { continue; }
                out[gid.x + i] = 2u;
            }
        }",
    );
    assert_eq!(kernel.feeding(), ["a", "c"]);
}

#[test]
fn an_early_return_feeds_only_what_follows() {
    let source = |after: &str| {
        format!(
            "@group(0) @binding(0) var<storage, read> a: array<u32>;
            @group(0) @binding(1) var<storage, read_write> out: array<u32>;
            @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {{
                out[gid.x] = 1u;
                if (a[gid.x] > 3u) {{ return; }}
                {after}
            }}"
        )
    };
    assert!(kernel(&source("var x = 1u; x += 1u;")).feeding().is_empty());
    assert_eq!(kernel(&source("out[gid.x + 1u] = 2u;")).feeding(), ["a"]);
}

#[test]
fn what_ends_a_loop_feeds_even_when_the_loop_touches_nothing() {
    let collatz = kernel(
        "@group(0) @binding(0) var<storage, read> a: array<u32>;
        @group(0) @binding(1) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            var n = a[gid.x];
            var steps = 0u;
            while (n != 1u) {
                if (n % 2u == 0u) { n = n / 2u; } else { n = 3u * n + 1u; }
                steps++;
            }
            out[gid.x] = steps;
        }",
    );
    // With a zero for a[gid.x] a probe would never leave the loop.
    assert_eq!(collatz.feeding(), ["a"]);
    collatz.probeable().unwrap();

    // How a float loop ends is no matter as long as it accesses nothing: it ends.
    let newton = kernel(
        "@group(0) @binding(0) var<storage, read> a: array<f32>;
        @group(0) @binding(1) var<storage, read_write> out: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
            var x = 1.0;
            loop {
                let y = 0.5 * (x + a[0] / x);
                if (abs(y - x) < 0.001) { break; }
                x = y;
            }
            out[gid.x] = x;
        }",
    );
    assert_eq!(newton.feeding(), ["a"]);
    assert!(
        newton.probeable().is_err(),
        "this one loads inside the loop"
    );
}
