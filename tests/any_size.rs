//! Regions of any size over a small device: past 2, 4 and 16 GiB where they are touched, more memory resident than one
//! binding reaches, and whole regions of 3 and 5 GiB.
//!
//! The last take minutes and as much memory as they say, so they run on demand:
//! `cargo test --release --test any_size -- --ignored --nocapture`.

mod adapters;
mod skipped;

use std::time::Instant;

use gmem::gpu::AdapterChoice;
use gmem::{DeviceChoice, Error, Gmem, Placement, Vector};

const GIB: u64 = 1 << 30;

fn space(adapter: &AdapterChoice, device_memory: u64, placement: Placement) -> Gmem {
    Gmem::builder()
        .device(DeviceChoice::Gpu(adapter.clone()))
        .device_memory(device_memory)
        .placement(placement)
        .build()
        .unwrap()
}

/// Indices of elements of so many bytes around 2, 4, 8 and 16 GiB, at both ends, and behind the last.
fn around(stride: u64, elements: u64) -> Vec<u32> {
    let ends = [31, 32, 33, 34].map(|bits| (1_u64 << bits) / stride);
    let mut all: Vec<u64> = (ends.into_iter())
        .flat_map(|at| [at - 1, at, at + 1])
        .chain([0, 1, elements - 1, elements, elements + 1, u32::MAX.into()])
        .collect();
    all.retain(|&at| u32::try_from(at).is_ok());
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(|at| at as u32).collect()
}

/// Elements chosen by data: a probe finds them, and all else is never touched.
#[test]
fn long_regions_are_reached_where_they_are_touched() {
    let source = |element: &str, act: &str| {
        format!(
            "@group(0) @binding(0) var<storage, read> at: array<u32>;
@group(0) @binding(1) var<storage, read_write> long: array<{element}>;
@group(0) @binding(2) var<storage, read_write> got: array<u32>;
@compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let i = id.x;
    if i == 0u {{ got[arrayLength(&at)] = arrayLength(&long); }}
    if i < arrayLength(&at) {{ let j = at[i]; {act} }}
}}"
        )
    };
    let words = source("u32", "got[i] = long[j]; long[j] = got[i] + i;");
    let quads = source(
        "vec4<u32>",
        "got[i] = long[j].z; long[j] = long[j].wxyz + i;",
    );
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 4 << 20, Placement::Contiguous);
        let kernel = gm.kernel(&words).unwrap();
        for elements in [3 * GIB / 4 + 3, 5 * GIB / 4 + 1, u32::MAX.into()] {
            let mut long = gm.alloc::<u32>(elements as usize).unwrap();
            let indices = around(4, elements);
            let mut at = gm.alloc::<u32>(indices.len()).unwrap();
            let mut got = gm.alloc::<u32>(indices.len() + 1).unwrap();
            at.copy_from_slice(&indices);
            let inside: Vec<usize> = indices.iter().map(|&j| j as usize).collect();
            let inside: Vec<usize> = inside.into_iter().filter(|&j| j < long.len()).collect();
            for &j in &inside {
                long[j] = j as u32 / 3 + 1;
            }
            let launch = kernel.launch([indices.len().div_ceil(8) as u32, 1, 1]);
            let launch = launch
                .bind("at", &at)
                .bind("long", &mut long)
                .bind("got", &mut got);
            launch
                .run()
                .unwrap_or_else(|e| panic!("{adapter}, {elements} words: {e}"));
            assert_eq!(u64::from(got[indices.len()]), elements, "{adapter}");
            for (i, &j) in indices.iter().enumerate() {
                let first = if u64::from(j) < elements {
                    j / 3 + 1
                } else {
                    0
                };
                assert_eq!(got[i], first, "{adapter}: element {j} of {elements} words");
                if first > 0 {
                    let now = long[j as usize];
                    assert_eq!(
                        now,
                        first + i as u32,
                        "{adapter}: element {j} of {elements} words"
                    );
                }
            }
            // Beside what was touched all is as it was.
            let beside = inside.iter().flat_map(|&j| [j + 2, j.saturating_sub(2)]);
            for j in beside.filter(|j| *j < long.len() && !inside.contains(j)) {
                assert_eq!(long[j], 0, "{adapter}: element {j} of {elements} words");
            }
        }
        let kernel = gm.kernel(&quads).unwrap();
        for elements in [5 * GIB / 16 + 1, 20 * GIB / 16 + 5] {
            let mut long = gm.alloc::<[u32; 4]>(elements as usize).unwrap();
            let indices = around(16, elements);
            let mut at = gm.alloc::<u32>(indices.len()).unwrap();
            let mut got = gm.alloc::<u32>(indices.len() + 1).unwrap();
            at.copy_from_slice(&indices);
            let value = |j: u32| [j, j / 5, j / 7 + 1, 9];
            for &j in indices.iter().filter(|&&j| u64::from(j) < elements) {
                long[j as usize] = value(j);
            }
            let launch = kernel.launch([indices.len().div_ceil(8) as u32, 1, 1]);
            let launch = launch
                .bind("at", &at)
                .bind("long", &mut long)
                .bind("got", &mut got);
            launch
                .run()
                .unwrap_or_else(|e| panic!("{adapter}, {elements} quads: {e}"));
            assert_eq!(u64::from(got[indices.len()]), elements, "{adapter}");
            for (i, &j) in (0..).zip(&indices) {
                let is = u64::from(j) < elements;
                let first = if is { value(j)[2] } else { 0 };
                assert_eq!(got[i as usize], first, "{adapter}: {j} of {elements} quads");
                if is {
                    let [x, y, z, w] = value(j);
                    let now = long[j as usize];
                    assert_eq!(
                        now,
                        [w, x, y, z].map(|v| v + i),
                        "{adapter}: {j} of {elements}"
                    );
                }
            }
        }
    }
}

/// Elements that the host knows of beforehand, in one run of frames each time.
#[test]
fn slices_of_long_regions_are_known_without_a_probe() {
    let source = "
@group(0) @binding(0) var<storage, read_write> long: array<vec2<u32>>;
@group(0) @binding(1) var<uniform> first: u32;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = first + id.x;
    long[i] = long[i].yx + vec2<u32>(id.x, 1u);
}";
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 2 << 20, Placement::Contiguous);
        let kernel = gm.kernel(source).unwrap();
        // The second has more words than 32 bits count.
        for elements in [6 * GIB / 8 + 1, 18 * GIB / 8] {
            let mut long = gm.alloc::<[u32; 2]>(elements as usize).unwrap();
            for end in [2 * GIB / 8, 4 * GIB / 8, 16 * GIB / 8, elements] {
                let Some(first) = end.checked_sub(1000).filter(|first| *first < elements) else {
                    continue;
                };
                let launch = kernel.over(2000).bind("long", &mut long);
                let report = launch.uniform("first", &(first as u32)).run().unwrap();
                assert_eq!((report.passes, report.probes), (1, 0), "{adapter}: {first}");
                for i in 0..2000.min(elements - first) {
                    let got = long[(first + i) as usize];
                    assert_eq!(
                        got,
                        [i as u32, 1],
                        "{adapter}: {first} and {i} of {elements}"
                    );
                }
            }
        }
    }
}

/// More memory resident than one binding reaches, in pages that lie anywhere in it.
#[test]
fn more_than_a_binding_is_resident_and_scattered() {
    let source = "
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(256) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let n = arrayLength(&x);
    if id.x < arrayLength(&y) { y[id.x] = x[(id.x * 40503u) % n] + x[n - 1u - id.x]; }
}";
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 300 << 20, Placement::Scattered);
        let device = gm.device(0).unwrap();
        let reach = device.gpu().unwrap().adapter().limits.storage_binding_bytes;
        if reach > 160 << 20 {
            skipped::skipped(format_args!("{adapter}: one binding reaches {reach} bytes"));
            continue;
        }
        let n = (reach + (24 << 20)) as usize / 4;
        let mut x = gm.alloc::<u32>(n).unwrap();
        let mut y = gm.alloc::<u32>(1 << 20).unwrap();
        x.iter_mut()
            .zip(0_u32..)
            .for_each(|(x, i)| *x = i.wrapping_mul(0x9e37_79b9));
        let kernel = gm.kernel(source).unwrap();
        let report = kernel
            .over(y.len())
            .bind("x", &x)
            .bind("y", &mut y)
            .run()
            .unwrap();
        assert_eq!(report.passes, 1, "{adapter}");
        assert!(gm.stats().devices[0].1.windows > reach, "{adapter}");
        for (i, &y) in (0..).zip(&y[..]) {
            let at = (i as u32).wrapping_mul(40503) as usize % n;
            assert_eq!(y, x[at].wrapping_add(x[n - 1 - i]), "{adapter}: {i}");
        }
    }
}

/// Ids are 32 bits wide: a kernel that asks for those of the whole grid has at most 2^32 of them in a dimension. One that
/// asks for its workgroup's has as many workgroups.
#[test]
fn only_ids_that_are_asked_for_bound_a_grid() {
    let source = |builtin: &str| {
        format!(
            "@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(256) fn main(@builtin({builtin}) id: vec3<u32>) {{ out[id.x] = id.y; }}"
        )
    };
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 1 << 20, Placement::Contiguous);
        let global = gm.kernel(source("global_invocation_id").as_str()).unwrap();
        let group = gm.kernel(source("workgroup_id").as_str()).unwrap();
        // Nothing is bound, so what is not refused for its grid is for that.
        let refused = |launch: gmem::Launch<'_>| matches!(launch.run(), Err(Error::Grid { .. }));
        for (grid, beyond, wraps) in [
            ([1 << 24, 1 << 24, 1 << 14], false, false),
            ([(1 << 24) + 1, 1, 1], false, true),
            ([u32::MAX, 2, 1], false, true),
            ([1 << 21; 3], true, true),
        ] {
            assert_eq!(refused(group.launch(grid)), beyond, "{adapter}: {grid:?}");
            assert_eq!(
                refused(global.launch(grid)),
                beyond || wraps,
                "{adapter}: {grid:?}"
            );
        }
        assert!(
            !refused(group.over(1 << 39)) && refused(group.over(1 << 41)),
            "{adapter}"
        );
    }
}

/// What is at first in a word of a region.
fn first(i: u64) -> u32 {
    (i as u32).wrapping_mul(0x9e37_79b9) ^ (i >> 20) as u32
}

/// Sums a region with one kernel and adds one to each of its words with another, under 256 MiB of device memory.
fn whole(gib: u64, element: &str) {
    let words_each = if element == "u32" { 1_u64 } else { 4 };
    let sum = if words_each == 1 {
        "x"
    } else {
        "x.x + x.y + x.z + x.w"
    };
    let source = format!(
        "@group(0) @binding(0) var<storage, read_write> data: array<{element}>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;
var<workgroup> parts: array<u32, 256>;
@compute @workgroup_size(256) fn increment(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x < arrayLength(&data) {{ data[id.x] += 1u; }}
}}
@compute @workgroup_size(256) fn sum(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{
    var mine = 0u;
    for (var k = 0u; k < 16u; k++) {{
        let i = (group.x * 16u + k) * 256u + lane;
        if i < arrayLength(&data) {{ let x = data[i]; mine += {sum}; }}
    }}
    parts[lane] = mine;
    for (var step = 128u; step > 0u; step /= 2u) {{
        workgroupBarrier();
        if lane < step {{ parts[lane] += parts[lane + step]; }}
    }}
    if lane == 0u {{ sums[group.x] = parts[0]; }}
}}"
    );
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 256 << 20, Placement::Contiguous);
        let device = gm.device(0).unwrap();
        let increment = gm
            .kernel_on(&device, &source[..], Some("increment"), &[])
            .unwrap();
        let sum = gm
            .kernel_on(&device, &source[..], Some("sum"), &[])
            .unwrap();
        let words = gib * GIB / 4;
        let elements = words / words_each;
        let groups = elements.div_ceil(4096) as usize;
        let began = Instant::now();
        let mut data = gm.alloc::<u32>(words as usize).unwrap();
        data.iter_mut().zip(0..).for_each(|(x, i)| *x = first(i));
        println!(
            "{adapter}: {gib} GiB of {element}: filled in {:.1?}",
            began.elapsed()
        );
        let mut sums = gm.alloc::<u32>(groups).unwrap();
        let summed = |data: &Vector<u32>, sums: &mut Vector<u32>, more: u32| {
            let began = Instant::now();
            let report = sum
                .over(groups * 256)
                .bind("data", data)
                .bind("sums", &mut *sums)
                .run()
                .unwrap();
            let seconds = began.elapsed();
            println!(
                "{adapter}: summed in {seconds:.1?}, {} passes",
                report.passes
            );
            let each = 4096 * words_each;
            for (group, &sum) in (0..).zip(&sums[..]) {
                let mine = group * each..((group + 1) * each).min(words);
                let expected = mine.fold(0_u32, |sum, i| {
                    sum.wrapping_add(first(i)).wrapping_add(more)
                });
                assert_eq!(sum, expected, "{adapter}: workgroup {group}");
            }
        };
        summed(&data, &mut sums, 0);
        let began = Instant::now();
        let report = increment
            .over(elements as usize)
            .bind("data", &mut data)
            .run()
            .unwrap();
        println!(
            "{adapter}: incremented in {:.1?}, {} passes",
            began.elapsed(),
            report.passes
        );
        assert!(
            report.passes > gib * 4,
            "{adapter}: {} passes",
            report.passes
        );
        summed(&data, &mut sums, 1);
        for (i, &x) in (0..).zip(&data[..]) {
            assert_eq!(x, first(i).wrapping_add(1), "{adapter}: word {i}");
        }
        let held = gm.stats().devices[0].1.peak_windows;
        assert!(
            held <= 256 << 20,
            "{adapter}: {held} bytes of device memory"
        );
    }
}

#[test]
#[ignore = "3 GiB of memory and some minutes"]
fn three_gib_of_words() {
    whole(3, "u32");
}

#[test]
#[ignore = "3 GiB of memory and some minutes"]
fn three_gib_of_vectors() {
    whole(3, "vec4<u32>");
}

#[test]
#[ignore = "5 GiB of memory and some minutes"]
fn five_gib_of_words() {
    whole(5, "u32");
}

#[test]
#[ignore = "5 GiB of memory and some minutes"]
fn five_gib_of_vectors() {
    whole(5, "vec4<u32>");
}
