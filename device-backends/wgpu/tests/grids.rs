//! Grids that no dispatch is large enough for, and passes that no submission holds: every workgroup once, with the ids that
//! it has in the whole. The adapter's limit is lowered, so that little work is cut in many pieces.

mod support;

use std::sync::Arc;

use gmem_hal::{ByteRange, Device, GridBox, PageSize, Translation};
use gmem_wgpu::{AdapterChoice, BackendName, WgpuDevice, WgpuKernel, WgpuOptions, open};
use support::{Bench, PAGE, devices, launch, words};

/// Every backend, with dispatches of at most so many workgroups in a dimension.
fn limited(workgroups_per_dimension: u32) -> Vec<Arc<WgpuDevice>> {
    let present: Vec<_> = devices(2 << 20, None)
        .iter()
        .map(|d| d.adapter().backend)
        .collect();
    let backends = BackendName::ALL.into_iter();
    let of = |backend| {
        let options = WgpuOptions {
            adapter: AdapterChoice::Backend(backend),
            device_memory: Some(2 << 20),
            workgroups_per_dimension: Some(workgroups_per_dimension),
            ..WgpuOptions::default()
        };
        open(&options).unwrap()
    };
    backends
        .filter(|b| present.contains(&b.name()))
        .map(of)
        .collect()
}

const GRID: [u32; 3] = [101, 7, 19];

/// Each invocation packs its ids; a workgroup has two, beside each other.
const IDS: &str = "
@group(0) @binding(0) var<storage, read_write> seen: array<atomic<u32>>;
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;
@compute @workgroup_size(2) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(global_invocation_id) id: vec3<u32>) {
    let at = id.x + 2u * grid.x * (group.y + grid.y * group.z);
    atomicAdd(&seen[at], 1u);
    ids[at] = id.x | id.y << 10u | id.z << 20u;
}";

#[test]
fn thousands_of_dispatches_are_one_pass() {
    let n = GRID.iter().product::<u32>() * 2;
    let bytes = u64::from(n) * 4;
    for most in [2, 3, 65_535] {
        for device in limited(most) {
            let backend = device.adapter().backend;
            let kernel = WgpuKernel::compile(&device, IDS, None, &[]).unwrap();
            let mut bench = Bench::new(device, PageSize::new(PAGE).unwrap(), 2 << 20);
            let bound = [ByteRange::new(0, bytes), ByteRange::new(1 << 20, bytes)];
            for range in bound {
                bench.place_scattered(range, true, range.offset);
            }
            let launch = launch(&kernel, &bound, &[], GRID);
            let report = bench.run(&launch, &[Translation::Paged; 2]).unwrap();
            assert!(report.seconds > 0.0);
            bench.evict_all();
            let all = (0..GRID[2]).flat_map(|z| (0..GRID[1]).map(move |y| (y, z)));
            let ids = all.flat_map(|(y, z)| (0..2 * GRID[0]).map(move |x| x | y << 10 | z << 20));
            assert!(
                bench.read(bound[1]) == words(ids),
                "{backend}: ids, cut at {most}"
            );
            let once = words((0..n).map(|_| 1));
            assert!(
                bench.read(bound[0]) == once,
                "{backend}: not once each, cut at {most}"
            );
        }
    }
}

#[test]
fn a_probe_of_thousands_of_dispatches_finds_what_one_finds() {
    let source = "
@group(0) @binding(0) var<storage, read> at: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {
    out[at[group.x + grid.x * (group.y + grid.y * group.z)]] = 1u;
}";
    let n = GRID.iter().product::<u32>();
    let mut found = Vec::new();
    for most in [2, 65_535] {
        for device in limited(most) {
            let kernel = WgpuKernel::compile(&device, source, None, &[]).unwrap();
            let mut bench = Bench::new(device, PageSize::new(PAGE).unwrap(), 2 << 20);
            let bound = [
                ByteRange::new(0, u64::from(n) * 4),
                ByteRange::new(1 << 20, 1 << 20),
            ];
            let at = words((0..n).map(|i| (i * 7919 % n) * 16 % (1 << 18)));
            gmem_hal::HostMemory::write_bytes(&bench.host, 0, &at);
            bench.place_scattered(bound[0], false, 5);
            let launch = launch(&kernel, &bound, &[], GRID);
            let boxes = GridBox::whole(GRID).split(4);
            assert!(bench.device.probe_width(&launch) >= boxes.len());
            found.push(bench.probe(&launch, &boxes).unwrap());
        }
    }
    for other in &found {
        assert_eq!(*other, found[0]);
        assert!(other.iter().all(|report| !report.stopped));
        assert!(
            other
                .iter()
                .all(|report| report.touched[1].writes.len() > 100)
        );
    }
}
