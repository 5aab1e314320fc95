//! Any number of bindings, of any size and in any groups, over far less memory than they hold; and grids of any size.

mod adapters;
mod few_pages;
mod skipped;

use std::fmt::Write as _;

use few_pages::{PAGE, space};
use gmem::Vector;

/// Forty arrays of six types in four groups: far more than any of these adapters has storage buffers to spare.
#[test]
fn a_kernel_of_forty_bindings_runs_in_a_quarter_of_their_memory() {
    let n = 8192_usize;
    let mut source = String::new();
    let mut body = String::new();
    for k in 0..40 {
        let (ty, act) = match k % 6 {
            0 => ("array<u32>", format!("b{k}[i] = b{k}[i] * 3u + {k}u;")),
            1 => (
                "array<vec2<u32>>",
                format!("b{k}[i] += vec2<u32>({k}u, i);"),
            ),
            2 => (
                "array<vec4<u32>>",
                format!("b{k}[i] = b{k}[i].wzyx + {k}u;"),
            ),
            3 => (
                "array<atomic<u32>>",
                format!("atomicAdd(&b{k}[i / 2u], {k}u);"),
            ),
            4 => ("Ring", format!("b{k}.items[i].y += b{k}.head + {k}u;")),
            _ => (
                "Control",
                format!("if i == 0u {{ b{k}.rounds += b{k}.scale[2] + {k}u; }}"),
            ),
        };
        let (group, binding) = (k / 10, k % 10 * 3 + k / 10 * 2);
        let _ = writeln!(
            source,
            "@group({group}) @binding({binding}) var<storage, read_write> b{k}: {ty};"
        );
        let _ = writeln!(body, "    {act}");
    }
    let source = format!(
        "struct Item {{ x: u32, y: u32, z: u32 }}
struct Ring {{ head: u32, items: array<Item> }}
struct Control {{ rounds: u32, scale: array<u32, 4> }}
{source}@group(3) @binding(900) var<storage, read_write> unused: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let i = id.x;
{body}}}"
    );
    let lens = [n, 2 * n, 4 * n, n / 2, 1 + 3 * n, 5];
    for adapter in adapters::adapters() {
        let before: Vec<Vec<u32>> = (0..40)
            .map(|k| {
                (0..lens[k % 6] as u32)
                    .map(|i| i * 31 % 1009 + k as u32)
                    .collect()
            })
            .collect();
        let bytes: usize = before.iter().map(|b| b.len() * 4).sum();
        let gm = space(&adapter, bytes as u64 / 4 / PAGE);
        let kernel = gm.kernel(&source).unwrap();
        assert_eq!(kernel.storage().len(), 40);
        let mut memory: Vec<Vector<u32>> =
            before.iter().map(|b| gm.alloc(b.len()).unwrap()).collect();
        for (memory, before) in memory.iter_mut().zip(&before) {
            memory.copy_from_slice(before);
        }
        let mut launch = kernel.over(n);
        for (k, memory) in memory.iter_mut().enumerate() {
            launch = launch.bind(&format!("b{k}"), memory);
        }
        let report = launch.run().unwrap_or_else(|e| panic!("{adapter}: {e}"));
        assert!(report.passes > 4, "{adapter}: {} passes", report.passes);
        for (k, (memory, mut all)) in memory.iter().zip(before).enumerate() {
            let by = k as u32;
            for i in 0..n {
                match k % 6 {
                    0 => all[i] = all[i] * 3 + by,
                    1 => {
                        all[2 * i] += by;
                        all[2 * i + 1] += i as u32;
                    }
                    2 => {
                        all[4 * i..4 * i + 4].reverse();
                        all[4 * i..4 * i + 4].iter_mut().for_each(|x| *x += by);
                    }
                    3 => all[i / 2] += by,
                    4 => all[1 + 3 * i + 1] += all[0] + by,
                    _ if i == 0 => all[0] += all[3] + by,
                    _ => {}
                }
            }
            assert_eq!(memory[..], all[..], "{adapter}: b{k}");
        }
    }
}

/// A fixed array, a bare counter, a control structure that is only read, in groups 1 and 3 alone; others go unused.
#[test]
fn small_bindings_of_sparse_groups() {
    let source = "
struct Info { n: u32, stride: vec2<u32> }
@group(1) @binding(2) var<storage, read> info: Info;
@group(3) @binding(17) var<storage, read_write> count: atomic<u32>;
@group(3) @binding(0) var<storage, read_write> table: array<vec2<u32>, 9>;
@group(1) @binding(30) var<storage, read_write> big: array<u32>;
@group(0) @binding(0) var<uniform> nothing: u32;
@group(2) @binding(5) var<storage, read_write> other: array<u32>;
fn slot(i: u32) -> u32 { return i % info.stride.y; }
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= info.n { return; }
    atomicAdd(&count, 1u);
    big[id.x] += table[slot(id.x)].y + info.stride.x;
}
@compute @workgroup_size(1) fn unused_here() { other[0] = nothing; }";
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 16);
        let kernel = gm
            .kernel_on(&gm.device(0).unwrap(), source, Some("main"), &[])
            .unwrap();
        let slots: Vec<_> = kernel.storage().iter().map(|s| s.slot).collect();
        assert_eq!(slots, [(1, 2), (1, 30), (3, 0), (3, 17)]);
        assert!(kernel.uniforms().is_empty());
        let n = 100_000_u32;
        let mut info = gm.alloc::<u32>(4).unwrap();
        info.copy_from_slice(&[n, 0, 10, 9]);
        let mut count = gm.alloc::<u32>(1).unwrap();
        let mut table = gm.alloc::<u32>(18).unwrap();
        table.iter_mut().zip(0..).for_each(|(x, i)| *x = i);
        let mut big = gm.alloc::<u32>(n as usize + 64).unwrap();
        let report = kernel
            .over(n as usize)
            .bind("3.17", &mut count)
            .bind("table", &mut table)
            .bind("info", &info)
            .bind("1.30", &mut big)
            .run()
            .unwrap();
        assert!(report.passes > 4, "{adapter}: {} passes", report.passes);
        assert_eq!(count[0], n, "{adapter}");
        for i in 0..n + 64 {
            let expected = if i < n { 2 * (i % 9) + 1 + 10 } else { 0 };
            assert_eq!(big[i as usize], expected, "{adapter}: {i}");
        }
    }
}

/// Every workgroup once, with the ids of the whole grid, which no dispatch has.
#[test]
fn a_grid_of_100000_x_3_x_2_workgroups() {
    let source = "
@group(0) @binding(0) var<storage, read_write> seen: array<u32>;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(global_invocation_id) id: vec3<u32>) {
    let at = group.x + grid.x * (group.y + grid.y * group.z);
    seen[at] += 1u + at + u32(any(id != group));
}";
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 300);
        let kernel = gm.kernel(source).unwrap();
        let n = 600_000_u32;
        let mut seen = gm.alloc::<u32>(n as usize).unwrap();
        let report = kernel
            .launch([100_000, 3, 2])
            .bind("seen", &mut seen)
            .run()
            .unwrap();
        assert!(report.passes > 1, "{adapter}");
        for (i, &seen) in (0..n).zip(&seen[..]) {
            assert_eq!(seen, i + 1, "{adapter}");
        }
    }
}

/// Past 65,535 workgroups in each dimension by turns, and the last id that there is.
#[test]
fn dimensions_past_65535_and_ids_up_to_the_last() {
    let source = "
@group(0) @binding(0) var<storage, read_write> count: atomic<u32>;
@group(0) @binding(1) var<storage, read_write> last: array<u32, 6>;
override WIDE: u32 = 1u;
override HIGH: u32 = 1u;
override DEEP: u32 = 1u;
@compute @workgroup_size(WIDE, HIGH, DEEP) fn main(@builtin(global_invocation_id) id: vec3<u32>,
        @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>,
        @builtin(num_workgroups) grid: vec3<u32>) {
    if lane == 0u { atomicAdd(&count, 1u); }
    let end = vec3<u32>(WIDE, HIGH, DEEP);
    if all(group + 1u == grid) && lane + 1u == end.x * end.y * end.z {
        last[0] = id.x; last[1] = id.y; last[2] = id.z;
        last[3] = grid.x; last[4] = grid.y; last[5] = grid.z;
    }
}";
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 16);
        for (grid, size) in [
            ([70_000, 1, 1], [64, 1, 1]),
            ([1, 70_000, 3], [1, 8, 1]),
            ([2, 1, 70_000], [2, 1, 4]),
            // 2^32 ids, of which the last is 2^32 - 1.
            ([1 << 22, 1, 1], [1024, 1, 1]),
        ] {
            let overrides = ["WIDE", "HIGH", "DEEP"].map(str::to_owned).into_iter();
            let overrides: Vec<_> = overrides.zip(size.map(f64::from)).collect();
            let device = gm.device(0).unwrap();
            let kernel = match gm.kernel_on(&device, source, None, &overrides) {
                Ok(kernel) => kernel,
                // Workgroups of 1024 are more than some have.
                Err(error) => {
                    assert!(error.to_string().contains("workgroups of 1024"), "{error}");
                    skipped::skipped(format_args!("{adapter}: {error}"));
                    continue;
                }
            };
            let mut count = gm.alloc::<u32>(1).unwrap();
            let mut last = gm.alloc::<u32>(6).unwrap();
            let launch = kernel.launch(grid).bind("count", &mut count);
            launch.bind("last", &mut last).run().unwrap();
            assert_eq!(
                count[0],
                grid.iter().product::<u32>(),
                "{adapter}: {grid:?}"
            );
            let ends = [0, 1, 2].map(|d| grid[d].wrapping_mul(size[d]).wrapping_sub(1));
            assert_eq!(last[..3], ends, "{adapter}: {grid:?}");
            assert_eq!(last[3..], grid, "{adapter}: {grid:?}");
        }
    }
}
