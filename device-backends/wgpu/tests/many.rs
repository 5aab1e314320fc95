//! Kernels with more bindings than an adapter has, of every type, in several groups: they share views of the windows.

mod support;

use std::fmt::Write as _;
use std::sync::Arc;

use gmem_hal::PageSize;
use gmem_wgpu::{AdapterChoice, BackendName, WgpuDevice, WgpuKernel, WgpuOptions, open};
use support::{Bench, Case, PAGE, Way, check, devices, indices, words};

/// Invocations.
const N: u32 = 512;

/// Forty bindings in four groups, with gaps between their numbers.
fn forty() -> String {
    let mut source = String::new();
    let mut body = String::new();
    for k in 0..40 {
        let (group, binding) = (k / 10, k % 10 * 2 + k / 10);
        let (ty, act) = match k % 5 {
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
                format!("atomicMax(&b{k}[i / 2u], {k}u * 1000u + i);"),
            ),
            _ => (
                "array<atomic<i32>>",
                format!("atomicMax(&b{k}[i / 2u], 1000i * {k}i - i32(i));"),
            ),
        };
        let _ = writeln!(
            source,
            "@group({group}) @binding({binding}) var<storage, read_write> b{k}: {ty};"
        );
        let _ = writeln!(body, "    {act}");
    }
    format!(
        "{source}@group(2) @binding(1000) var<storage, read_write> unused: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let i = id.x;
{body}}}"
    )
}

/// What is in the forty bindings at first, and at last.
fn contents() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut before = Vec::new();
    let mut after = Vec::new();
    for k in 0..40_u32 {
        let len = [N, 2 * N, 4 * N, N / 2, N / 2][k as usize % 5];
        let first = indices(u64::from(k) + 1, len as usize, 1 << 16);
        let mut all: Vec<u32> = first
            .chunks_exact(4)
            .map(|c| u32::from_le_bytes(c.try_into().unwrap()))
            .collect();
        for i in 0..N as usize {
            match k % 5 {
                0 => all[i] = all[i] * 3 + k,
                1 => {
                    all[2 * i] += k;
                    all[2 * i + 1] += i as u32;
                }
                2 => {
                    all[4 * i..4 * i + 4].reverse();
                    all[4 * i..4 * i + 4].iter_mut().for_each(|x| *x += k);
                }
                3 => all[i / 2] = all[i / 2].max(k * 1000 + i as u32),
                _ => {
                    let other = 1000 * k as i32 - i as i32;
                    all[i / 2] = (all[i / 2] as i32).max(other) as u32;
                }
            }
        }
        before.push(first);
        after.push(words(all));
    }
    (before, after)
}

fn every_way(device: &Arc<WgpuDevice>, case: &Case, results: &[Vec<u8>]) {
    let kernel = WgpuKernel::compile(device, &case.source, None, &[]).unwrap();
    let mut bench = Bench::new(Arc::clone(device), PageSize::new(PAGE).unwrap(), 2 << 20);
    for way in [Way::Slid, Way::Paged, Way::Mixed] {
        check(&mut bench, &kernel, case, way, results);
    }
}

#[test]
fn forty_bindings_of_five_types() {
    let (before, after) = contents();
    let case = Case::new("forty", &forty(), before, vec![], [N / 64, 1, 1]);
    for window_bytes in [None, Some(180 * PAGE + 256)] {
        for device in devices(2 << 20, window_bytes) {
            every_way(&device, &case, &after);
        }
    }
}

/// As on an adapter with the fewest storage buffers that WebGPU allows, and with fewer still.
#[test]
fn forty_bindings_where_few_storage_buffers_are() {
    let (before, after) = contents();
    let case = Case::new("forty", &forty(), before, vec![], [N / 64, 1, 1]);
    let present: Vec<_> = devices(2 << 20, None)
        .iter()
        .map(|d| d.adapter().backend)
        .collect();
    for backend in BackendName::ALL
        .into_iter()
        .filter(|b| present.contains(&b.name()))
    {
        // Table, report, and of each window the two kinds of atomics whose order matters.
        for (buffers, window_bytes) in [(8, Some(180 * PAGE + 256)), (8, None), (4, None)] {
            let device = open(&WgpuOptions {
                adapter: AdapterChoice::Backend(backend),
                device_memory: Some(2 << 20),
                window_bytes,
                storage_buffers: Some(buffers),
                ..WgpuOptions::default()
            })
            .unwrap();
            every_way(&device, &case, &after);
        }
    }
}

#[test]
fn what_cannot_share_enough_is_told() {
    let (before, _) = contents();
    let case = Case::new("forty", &forty(), before, vec![], [N / 64, 1, 1]);
    for device in devices(2 << 20, None) {
        let backend = BackendName::ALL
            .into_iter()
            .find(|b| b.name() == device.adapter().backend);
        let device = open(&WgpuOptions {
            adapter: AdapterChoice::Backend(backend.unwrap()),
            device_memory: Some(2 << 20),
            storage_buffers: Some(3),
            ..WgpuOptions::default()
        })
        .unwrap();
        let kernel = WgpuKernel::compile(&device, &case.source, None, &[]).unwrap();
        let bench = Bench::new(device, PageSize::new(PAGE).unwrap(), 2 << 20);
        let bound = support::lay_out(&bench, &case.data);
        let launch = support::launch(&kernel, &bound, &[], case.grid);
        let error = bench
            .run(&launch, &[gmem_hal::Translation::Paged; 40])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(
                "needs 4 storage buffers for its typed views of 1 window, the adapter has 3"
            ),
            "{error}"
        );
    }
}

/// Groups 1 and 3 alone, with gaps between the numbers: under paging and under plain wgpu.
#[test]
fn sparse_groups_and_small_bindings_give_what_the_original_gives() {
    let source = "
struct Info { n: u32, stride: vec2<u32> }
@group(1) @binding(2) var<storage, read> info: Info;
@group(3) @binding(17) var<storage, read_write> count: atomic<u32>;
@group(3) @binding(0) var<storage, read> table: array<vec2<u32>, 9>;
@group(1) @binding(30) var<storage, read_write> big: array<u32>;
@group(3) @binding(4) var<uniform> bias: u32;
@group(0) @binding(0) var<uniform> nothing: u32;
@group(2) @binding(5) var<storage, read_write> other: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= info.n { return; }
    atomicAdd(&count, 1u);
    big[id.x] += table[id.x % info.stride.y].y + info.stride.x + bias;
}";
    let n = 5000_u32;
    // By group and binding: the control structure, the array, the table and the counter.
    let data = vec![
        words([n, 0, 10, 9]),
        words(0..n + 64),
        words(0..18),
        words([3]),
    ];
    let big = (0..n + 64).map(|i| {
        if i < n {
            i + 2 * (i % 9) + 1 + 10 + 1000
        } else {
            i
        }
    });
    let results = [
        words([n, 0, 10, 9]),
        words(big),
        words(0..18),
        words([3 + n]),
    ];
    let case = Case::new(
        "sparse",
        source,
        data,
        vec![words([1000])],
        [n.div_ceil(64), 1, 1],
    );
    for device in devices(2 << 20, None) {
        assert_eq!(support::plain(&device, &case).unwrap(), results);
        every_way(&device, &case, &results);
    }
}
