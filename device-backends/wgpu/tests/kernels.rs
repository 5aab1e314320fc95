//! Kernels through translation: bit for bit what the original gives under plain wgpu on the same adapter.

mod support;

use std::sync::Arc;

use gmem_hal::{ByteRange, Device, DeviceError, GridBox, HostMemory, PageSize, Translation};
use gmem_wgpu::{CompileError, PlainError, PlainKernel, WgpuKernel};
use support::{
    Bench, Case, PAGE, Way, check, devices, expected, floats, indices, launch, lay_out, plain,
    slid, words,
};

const SAXPY: &str = "
struct P { a: f32, n: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: P;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < p.n { y[id.x] = p.a * x[id.x] + y[id.x]; }
}";

const GATHER: &str = "
@group(0) @binding(0) var<storage, read> index: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    y[id.x] = x[index[id.x]] + 1.0;
}";

const VECTORS: &str = "
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> b: array<vec4<f32>>;
@group(1) @binding(0) var<storage, read_write> c: array<vec2<u32>>;
@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let v = a[id.x];
    b[id.x] = v.wzyx * 2.0;
    c[id.x] = bitcast<vec2<u32>>(v.xy) + vec2(id.x, 1u);
}";

const PARTICLES: &str = "
struct Particle { pos: vec3<f32>, mass: f32, vel: vec2<f32>, kind: i32, tags: array<u32, 3>, m: mat2x2<f32> }
@group(0) @binding(0) var<storage, read_write> ps: array<Particle>;
@compute @workgroup_size(8, 4) fn main(@builtin(local_invocation_index) l: u32, @builtin(workgroup_id) w: vec3<u32>,
                                       @builtin(num_workgroups) n: vec3<u32>) {
    let i = (w.y * n.x + w.x) * 32u + l;
    var p = ps[i];
    p.pos = p.pos + vec3(1.0, 2.0, 3.0);
    p.kind = p.kind * 3;
    p.m[1].x = p.mass;
    ps[i] = p;
    ps[i].vel.y = p.pos.x;
    for (var k = 0u; k < 3u; k++) { ps[i].tags[(k + i) % 3u] += k; }
}";

const HISTOGRAM: &str = "
@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read_write> bins: array<atomic<u32>>;
var<workgroup> local: array<atomic<u32>, 64>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) l: u32) {
    atomicAdd(&local[data[id.x] % 64u], 1u);
    workgroupBarrier();
    atomicAdd(&bins[l], atomicLoad(&local[l]));
    atomicMax(&bins[64u + data[id.x] % 1000u], id.x);
}";

const REDUCE: &str = "
@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;
var<workgroup> part: array<u32, 128>;
@compute @workgroup_size(128) fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) l: u32,
                                      @builtin(workgroup_id) w: vec3<u32>) {
    part[l] = data[id.x];
    for (var step = 64u; step > 0u; step >>= 1u) {
        workgroupBarrier();
        if l < step { part[l] += part[l + step]; }
    }
    if l == 0u { sums[w.x] = part[0]; }
}";

const HEADER: &str = "
struct Head { count: u32, scale: f32, pad: vec2<u32>, items: array<vec3<f32>> }
@group(0) @binding(0) var<storage, read> h: Head;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&h.items) { out[id.x] = h.items[id.x].z * h.scale + f32(h.count); }
    if id.x == 0u { out[arrayLength(&out) - 1u] = f32(arrayLength(&h.items)); }
}";

fn cases() -> Vec<Case> {
    let n = 5000;
    let value = |a: f32, n: u32| [a.to_le_bytes(), n.to_le_bytes()].concat();
    let one = |name: &str, source: &str, data, grid| Case::new(name, source, data, vec![], grid);
    vec![
        Case::new(
            "saxpy",
            SAXPY,
            vec![floats(1, n), floats(2, n)],
            vec![value(2.5, n as u32)],
            [79, 1, 1],
        ),
        one(
            "gather",
            GATHER,
            vec![indices(3, 4096, 9000), floats(4, 9000), floats(5, 4096)],
            [64, 1, 1],
        ),
        one(
            "vectors",
            VECTORS,
            vec![
                floats(6, 4 * 2048),
                floats(7, 4 * 2048),
                indices(8, 2 * 2048, u32::MAX),
            ],
            [64, 1, 1],
        ),
        one(
            "particles",
            PARTICLES,
            vec![floats(9, 16 * 32 * 30)],
            [6, 5, 1],
        ),
        one(
            "histogram",
            HISTOGRAM,
            vec![indices(10, 6400, 1 << 20), words(vec![0; 1064])],
            [100, 1, 1],
        ),
        one(
            "reduce",
            REDUCE,
            vec![indices(11, 128 * 60, 1 << 24), words(vec![9; 60])],
            [60, 1, 1],
        ),
        one(
            "header",
            HEADER,
            vec![floats(12, 4 + 4 * 1000), floats(13, 1300)],
            [20, 1, 1],
        ),
    ]
}

fn compare_everywhere(window_bytes: Option<u64>, windows: usize) {
    for device in devices(2 << 20, window_bytes) {
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        assert_eq!(bench.windows.len(), windows);
        for case in cases() {
            let kernel = WgpuKernel::compile(&device, &case.source, None, &[]).unwrap();
            assert!(device.accepts(&kernel));
            let results = plain(&device, &case).unwrap();
            for way in [Way::Slid, Way::Paged, Way::Mixed] {
                check(&mut bench, &kernel, &case, way, &results);
            }
        }
        assert_eq!(device.plain_bytes(), 0, "plain buffers are dropped");
    }
}

#[test]
fn kernels_in_one_window_give_what_the_originals_give() {
    compare_everywhere(None, 1);
}

#[test]
fn kernels_over_three_windows_give_what_the_originals_give() {
    // Two full windows and the rest of the 2 MiB.
    compare_everywhere(Some(180 * PAGE + 256), 3);
}

#[test]
fn many_pages_sizes_translate_alike() {
    for shift in [13, 16, 18] {
        for device in devices(8 << 20, None) {
            let mut bench = Bench::new(
                Arc::clone(&device),
                PageSize::new(1 << shift).unwrap(),
                4 << 20,
            );
            let case = &cases()[1];
            let kernel = WgpuKernel::compile(&device, &case.source, None, &[]).unwrap();
            let results = plain(&device, case).unwrap();
            let bound: Vec<ByteRange> = (0..3)
                .map(|i| ByteRange::new((i << 20) + 512, case.data[i as usize].len() as u64))
                .collect();
            for (range, bytes) in bound.iter().zip(&case.data) {
                bench.host.write_bytes(range.offset, bytes);
                bench.place_scattered(*range, true, 5);
            }
            bench
                .run(
                    &launch(&kernel, &bound, &[], case.grid),
                    &[Translation::Paged; 3],
                )
                .unwrap();
            bench.evict_all();
            assert!(bench.read(bound[2]) == results[2]);
        }
    }
}

const STRAY: &str = "
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<storage, read_write> z: array<atomic<i32>>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let far = array<u32, 4>(1024u, 1025u, 0x3fffffffu, 0xffffffffu);
    let i = far[id.x % 4u];
    y[id.x] = x[i + id.x * 0u] + 5u;
    y[i] = 77u;
    y[1024u + id.x] = 78u;
    let back = i32(id.x) - 64;
    y[back] = 79u;
    y[id.x + 64u] = u32(atomicAdd(&z[i], 3)) + x[back];
}";

#[test]
fn out_of_bounds_reads_are_zero_and_stores_are_dropped() {
    for device in devices(1 << 20, None) {
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        let kernel = WgpuKernel::compile(&device, STRAY, None, &[]).unwrap();
        let data = vec![words(1..=1024), words(vec![1; 1024]), words(vec![2; 1024])];
        let mut results = data.clone();
        results[1][..256].copy_from_slice(&words(vec![5; 64]));
        results[1][256..512].copy_from_slice(&words(vec![0; 64]));
        let case = Case::new("stray", STRAY, data, vec![], [1, 1, 1]);
        for way in [Way::Slid, Way::Paged] {
            check(&mut bench, &kernel, &case, way, &results);
        }
    }
}

#[test]
fn an_access_outside_the_footprint_is_confined_and_fails_the_launch() {
    for device in devices(1 << 20, None) {
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        let kernel = WgpuKernel::compile(&device, SAXPY, None, &[]).unwrap();
        let data = [floats(1, 4096), floats(2, 4096)];
        let bound = lay_out(&bench, &data);
        let geometry = bench.geometry;
        let values = [[2.0f32.to_le_bytes(), 4096u32.to_le_bytes()].concat()];
        let runs = [
            bench.place_run(bound[0], false),
            bench.place_run(bound[1], true),
        ];
        let launch = launch(&kernel, &bound, &values, [64, 1, 1]);
        let x = slid(&geometry, bound[0], runs[0]);
        let y = slid(&geometry, bound[1], runs[1]);
        let Translation::Slid { frames, skip, .. } = y else {
            unreachable!()
        };
        let short = Translation::Slid {
            slice: ByteRange::new(0, 8192),
            frames,
            skip,
        };
        let confined =
            |result| matches!(result, Err(DeviceError::Confined { kernel }) if kernel == "main");
        assert!(confined(bench.run(&launch, &[x, short])));
        assert!(confined(bench.run(&launch, &[Translation::Untouched, y])));
        // A page of the table taken away, then one that must not be written.
        let page = bench.pages(bound[1]).start + 1;
        let frame = gmem_hal::FrameIndex(runs[1].first.0 + 1);
        for entry in [None, Some((frame, false))] {
            bench
                .device
                .set_entries(&[gmem_hal::PageEntry { page, frame: entry }])
                .unwrap();
            assert!(confined(bench.run(&launch, &[x, Translation::Paged])));
        }
        bench
            .device
            .set_entries(&[gmem_hal::PageEntry {
                page,
                frame: Some((frame, true)),
            }])
            .unwrap();
        // The flag is gone with the pass that raised it.
        bench.run(&launch, &[x, Translation::Paged]).unwrap();
        bench.run(&launch, &[x, y]).unwrap();
        bench.evict_all();
        let got = bench.read(ByteRange::new(0, geometry.len));
        let want = expected(&bench, &bound, &[data[0].clone(), bench.read(bound[1])]);
        assert!(got == want, "bytes outside the bindings changed");
    }
}

#[test]
fn a_slice_of_a_binding_serves_the_workgroups_that_stay_in_it() {
    for device in devices(1 << 20, None) {
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        let case = &cases()[2];
        let kernel = WgpuKernel::compile(&device, &case.source, None, &[]).unwrap();
        let results = plain(&device, case).unwrap();
        let bound = lay_out(&bench, &case.data);
        let geometry = bench.geometry;
        let mut pieces = Vec::new();
        for half in 0..2_u64 {
            // The bytes that this half of the grid touches, in frames of their own.
            let translations: Vec<Translation> = (bound.iter().zip(kernel.bindings()))
                .map(|(range, used)| {
                    let slice = ByteRange::new(half * range.len / 2, range.len / 2);
                    let absolute = ByteRange::new(range.offset + slice.offset, slice.len);
                    let frames = bench.place_run(absolute, used.writes);
                    Translation::Slid {
                        slice,
                        frames,
                        skip: absolute.offset % geometry.page.bytes(),
                    }
                })
                .collect();
            let launch = launch(&kernel, &bound, &[], case.grid);
            let boxes = [GridBox {
                start: [half as u32 * 32, 0, 0],
                size: [32, 1, 1],
            }];
            bench
                .device
                .run(&gmem_hal::Pass {
                    launch: &launch,
                    boxes: &boxes,
                    translations: &translations,
                })
                .unwrap();
            bench.evict_all();
            pieces.push(half);
        }
        assert!(bench.read(ByteRange::new(0, geometry.len)) == expected(&bench, &bound, &results));
    }
}

#[test]
fn grids_beyond_one_dispatch_run_in_full() {
    const COUNT: &str = "
        @group(0) @binding(0) var<storage, read_write> n: array<atomic<u32>>;
        @compute @workgroup_size(1) fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>) {
            atomicAdd(&n[w.x / 65535u], 1u);
            atomicMax(&n[4], g.x);
            atomicMax(&n[5], w.x);
        }";
    for device in devices(1 << 20, None) {
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        let kernel = WgpuKernel::compile(&device, COUNT, None, &[]).unwrap();
        let bound = ByteRange::new(0, 64);
        let run = bench.place_run(bound, true);
        let grid = 65_535 * 2 + 10;
        let translation = slid(&bench.geometry, bound, run);
        bench
            .run(
                &launch(&kernel, &[bound], &[], [grid, 1, 1]),
                &[translation],
            )
            .unwrap();
        bench.evict_all();
        assert_eq!(
            bench.read(ByteRange::new(0, 24)),
            words([65_535, 65_535, 10, 0, grid, grid - 1])
        );
    }
}

fn pages_of(bytes: impl Iterator<Item = u64>, bound: ByteRange) -> Vec<u32> {
    let first = bound.offset / PAGE;
    let mut pages: Vec<u32> = bytes
        .map(|b| ((bound.offset + b) / PAGE - first) as u32)
        .collect();
    pages.sort_unstable();
    pages.dedup();
    pages
}

#[test]
fn a_probe_of_a_static_kernel_reports_its_pages() {
    for device in devices(1 << 20, None) {
        let bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        let kernel = WgpuKernel::compile(&device, SAXPY, None, &[]).unwrap();
        let bound = [ByteRange::new(256, 40_000), ByteRange::new(100_352, 40_000)];
        let values = [[2.0f32.to_le_bytes(), 9999u32.to_le_bytes()].concat()];
        let launch = launch(&kernel, &bound, &values, [157, 1, 1]);
        assert!(bench.device.probe_width(&launch) >= 1);
        // More boxes than one probe takes.
        let boxes: Vec<GridBox> = (0..157)
            .map(|w| GridBox {
                start: [w, 0, 0],
                size: [1, 1, 1],
            })
            .collect();
        let reports = bench.probe(&launch, &boxes).unwrap();
        assert_eq!(reports.len(), boxes.len());
        for (w, report) in reports.iter().enumerate() {
            let elements = w as u64 * 64..(w as u64 * 64 + 64).min(9999);
            let bytes = || elements.clone().map(|i| i * 4);
            assert!(!report.stopped);
            assert_eq!(
                report.touched[0].reads,
                pages_of(bytes(), bound[0]),
                "workgroup {w}"
            );
            assert_eq!(report.touched[0].writes, []);
            assert_eq!(report.touched[1].reads, pages_of(bytes(), bound[1]));
            assert_eq!(report.touched[1].writes, pages_of(bytes(), bound[1]));
        }
    }
}

#[test]
fn a_probe_of_a_gather_stops_at_absent_indices_and_then_names_every_page() {
    for device in devices(1 << 20, None) {
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 4 << 20);
        let kernel = WgpuKernel::compile(&device, GATHER, None, &[]).unwrap();
        let index = indices(7, 4096, 300_000);
        let bound = [
            ByteRange::new(512, 16_384),
            ByteRange::new(1 << 20, 1_200_000),
            ByteRange::new(3 << 20, 16_384),
        ];
        bench.host.write_bytes(512, &index);
        let launch = launch(&kernel, &bound, &[], [64, 1, 1]);
        let boxes = GridBox::whole([64, 1, 1]).split(8);
        for report in bench.probe(&launch, &boxes).unwrap() {
            assert!(report.stopped);
            assert!(!report.touched[0].reads.is_empty() && report.touched[1].reads.is_empty());
        }
        bench.place_scattered(bound[0], false, 3);
        let before = bench.read(ByteRange::new(0, 4 << 20));
        let reports = bench.probe(&launch, &boxes).unwrap();
        for (report, boxed) in reports.iter().zip(&boxes) {
            let lanes =
                u64::from(boxed.start[0]) * 64..u64::from(boxed.start[0] + boxed.size[0]) * 64;
            let at = |i: u64| {
                let i = i as usize * 4;
                u64::from(u32::from_le_bytes([
                    index[i],
                    index[i + 1],
                    index[i + 2],
                    index[i + 3],
                ])) * 4
            };
            assert!(!report.stopped);
            assert_eq!(
                report.touched[0].reads,
                pages_of(lanes.clone().map(|i| i * 4), bound[0])
            );
            assert_eq!(
                report.touched[1].reads,
                pages_of(lanes.clone().map(at), bound[1])
            );
            assert_eq!(
                report.touched[2].writes,
                pages_of(lanes.map(|i| i * 4), bound[2])
            );
            assert_eq!(report.touched[2].reads, []);
        }
        bench.evict_all();
        assert!(
            bench.read(ByteRange::new(0, 4 << 20)) == before,
            "a probe has no effect"
        );
    }
}

#[test]
fn kernels_that_do_not_fit_are_typed_errors() {
    for device in devices(1 << 20, None) {
        let broken = WgpuKernel::compile(&device, "@compute fn main() { let x = ; }", None, &[]);
        assert!(matches!(broken.map(|_| ()), Err(CompileError::Shader(_))));
        let huge = "@compute @workgroup_size(1024, 64) fn main() {}";
        let huge = WgpuKernel::compile(&device, huge, None, &[]);
        assert!(matches!(
            huge.map(|_| ()),
            Err(CompileError::Unsupported { .. })
        ));
        let bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        let kernel = WgpuKernel::compile(&device, GATHER, None, &[]).unwrap();
        let bound = [
            ByteRange::new(0, 64),
            ByteRange::new(4096, 64),
            ByteRange::new(8192, 64),
        ];
        let fails = |bound: &[ByteRange], grid| {
            let launch = launch(&kernel, bound, &[], grid);
            let run = bench.run(&launch, &[Translation::Paged; 3]);
            let probe = bench.probe(&launch, &[GridBox::whole(grid)]);
            assert!(
                matches!(run, Err(DeviceError::Unsupported { .. })),
                "{run:?}"
            );
            assert!(
                matches!(probe, Err(DeviceError::Unsupported { .. })),
                "{probe:?}"
            );
        };
        fails(&bound[..2], [1, 1, 1]);
        fails(&bound, [1, 0, 1]);
        fails(&[bound[0], bound[1], ByteRange::new(8193, 64)], [1, 1, 1]);
        fails(&[bound[0], bound[1], ByteRange::new(8192, 2)], [1, 1, 1]);
        fails(
            &[bound[0], bound[1], ByteRange::new(2 << 20, 64)],
            [1, 1, 1],
        );
        let limit = device.adapter().limits.storage_binding_bytes;
        let plain = PlainKernel::prepare(
            &device,
            GATHER,
            None,
            &[],
            &[64, 64, limit + 4],
            &[],
            [1, 1, 1],
        );
        assert!(plain.is_err());
        let prepare = |grid| {
            PlainKernel::prepare(&device, GATHER, None, &[], &[64, 64, 64], &[], grid).map(|_| ())
        };
        let beyond = prepare([1, 70_000, 1]);
        assert!(
            matches!(
                beyond,
                Err(PlainError::Device(DeviceError::Unsupported { .. }))
            ),
            "{beyond:?}"
        );
        prepare([1, 1, 1]).unwrap();
    }
}

#[test]
fn a_kernel_without_storage_or_ids_runs() {
    // With the number of uniforms.
    const ALONE: [(&str, usize); 3] = [
        ("@compute @workgroup_size(1) fn main() {}", 0),
        (
            "@group(0) @binding(0) var<uniform> u: vec4<u32>;
             @compute @workgroup_size(1) fn main() { var sum = u.x + u.y; }",
            1,
        ),
        (
            "var<workgroup> w: array<u32, 4>;
             @compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) { w[i] = i; }",
            0,
        ),
    ];
    for device in devices(1 << 20, None) {
        let bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        for (source, uniforms) in ALONE {
            let kernel = WgpuKernel::compile(&device, source, None, &[]).unwrap();
            let values = vec![vec![0; 16]; uniforms];
            let launch = launch(&kernel, &[], &values, [70_000, 2, 1]);
            bench.run(&launch, &[]).unwrap();
        }
    }
}

#[test]
fn a_kernel_of_another_device_is_refused() {
    let (all, others) = (devices(1 << 20, None), devices(1 << 20, None));
    for (device, other) in all.into_iter().zip(others) {
        let bench = Bench::new(device, PageSize::new(PAGE).unwrap(), 2 << 20);
        let kernel = WgpuKernel::compile(&other, REDUCE, None, &[]).unwrap();
        assert!(!bench.device.accepts(&kernel) && other.accepts(&kernel));
        let bound = [ByteRange::new(0, 512), ByteRange::new(4096, 4)];
        let run = bench.run(
            &launch(&kernel, &bound, &[], [1, 1, 1]),
            &[Translation::Paged; 2],
        );
        assert!(matches!(run, Err(DeviceError::Unsupported { .. })));
    }
}
