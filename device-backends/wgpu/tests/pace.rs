//! Passes that take long are cut into submissions that do not, and every workgroup runs once all the same.

mod support;

use std::sync::Arc;
use std::time::Duration;

use gmem_hal::trace::{Recorder, Tracer, WaitFor, What};
use gmem_hal::{ByteRange, HostMemory as _, PageSize};
use gmem_wgpu::{AdapterChoice, BackendName, WgpuDevice, WgpuKernel, WgpuOptions, open};
use support::{Bench, PAGE, launch, slid, words};

/// Counts its workgroups, and what their ids add up to.
const COUNT: &str = "
@group(0) @binding(0) var<storage, read_write> seen: array<atomic<u32>>;
@compute @workgroup_size(1, 2)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var x = id.x;
    for (var i = 0u; i < 400u; i++) { x = x * 1664525u + 1013904223u; }
    if lane == 0u {
        atomicAdd(&seen[(id.z * n.y + id.y) % 60u], 1u);
        atomicAdd(&seen[60u], x);
    }
}";

/// A loop that waits for what other workgroups store, as far as anybody can tell: they have to run together. (It ends at once.)
const WAIT: &str = "
@group(0) @binding(0) var<storage, read_write> flags: array<atomic<u32>>;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) id: vec3<u32>) {
    atomicAdd(&flags[0], 1u);
    while id.x == 0u && atomicLoad(&flags[0]) < 1u { }
    atomicAdd(&flags[1], id.x);
}";

fn devices(submission: Duration) -> Vec<(Arc<WgpuDevice>, Arc<Recorder>)> {
    let wanted = support::devices(1 << 20, None);
    let opened = wanted.iter().map(|device| {
        let backend = device.adapter().backend;
        let backend = BackendName::ALL.into_iter().find(|b| b.name() == backend);
        let recorder = Recorder::new();
        let options = WgpuOptions {
            adapter: AdapterChoice::Backend(backend.expect("one of them")),
            device_memory: Some(1 << 20),
            submission: Some(submission),
            tracer: Tracer::to(&recorder),
            ..WgpuOptions::default()
        };
        (open(&options).expect("it opens as before"), recorder)
    });
    opened.collect()
}

/// How often the host waited for the device.
fn waits(recorder: &Recorder) -> usize {
    let events = recorder.take().events;
    let waits = events.iter().filter(|e| {
        matches!(
            e.what,
            What::Wait {
                on: WaitFor::Device
            }
        )
    });
    waits.count()
}

/// Runs a kernel over zeroes: what it left there, and how often the host waited for the device.
fn run(device: &Arc<WgpuDevice>, recorder: &Recorder, case: &Run<'_>, times: usize) -> Vec<usize> {
    let kernel = WgpuKernel::compile(device, case.source, None, &[]).unwrap();
    let mut bench = Bench::new(Arc::clone(device), PageSize::new(PAGE).unwrap(), 1 << 20);
    let bound = ByteRange::new(0, case.expected.len() as u64);
    let mut counts = Vec::new();
    for _ in 0..times {
        bench.host.write_bytes(0, &vec![0; case.expected.len()]);
        let frames = bench.place_run(bound, true);
        let translation = slid(&bench.geometry, bound, frames);
        waits(recorder);
        bench
            .run(&launch(&kernel, &[bound], &[], case.grid), &[translation])
            .unwrap();
        counts.push(waits(recorder));
        bench.evict_all();
        assert!(bench.read(bound) == case.expected, "each workgroup once");
    }
    counts
}

struct Run<'a> {
    source: &'a str,
    grid: [u32; 3],
    expected: &'a [u8],
}

#[test]
fn a_long_pass_is_many_submissions_and_each_workgroup_runs_once() {
    let ids = (0..300_u32).map(|x| {
        (0..400).fold(x, |x, _| {
            x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)
        })
    });
    let sum = ids.fold(0, u32::wrapping_add).wrapping_mul(60);
    let case = Run {
        source: COUNT,
        grid: [300, 20, 3],
        expected: &words((0..61).map(|i| if i == 60 { sum } else { 300 })),
    };
    for (device, recorder) in devices(Duration::from_micros(20)) {
        let counts = run(&device, &recorder, &case, 1);
        assert!(counts[0] > 4, "18,000 workgroups in {counts:?}");
    }
    // With time enough it is the first, which shows how long a workgroup takes, and the rest; later ones are known.
    for (device, recorder) in devices(Duration::from_secs(1000)) {
        let counts = run(&device, &recorder, &case, 3);
        assert_eq!(counts[1], counts[2], "{counts:?}");
        assert_eq!(counts[0], 2 * counts[1], "{counts:?}");
    }
}

#[test]
fn workgroups_that_wait_for_each_other_are_one_submission() {
    let case = Run {
        source: WAIT,
        grid: [9000, 1, 1],
        expected: &words([9000, (0..9000).sum()]),
    };
    for (device, recorder) in devices(Duration::from_micros(1)) {
        let counts = run(&device, &recorder, &case, 2);
        assert!(counts[0] == counts[1] && counts[0] < 4, "{counts:?}");
    }
}
