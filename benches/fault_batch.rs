//! The round trip of a batch of faults: a probe submitted, run, its fault buffer mapped and read, against a bare submission
//! of a kernel that writes as many words, mapped and read by hand.

mod common;

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use gmem::gpu::{PlainKernel, WgpuKernel, WgpuOptions, open};
use gmem::hal::{ByteRange, Device, Geometry, GridBox, Kernel, Launch, PageSize, Va};

const WORDS: u64 = 1 << 16;
const WGSL: &str = "
@group(0) @binding(0) var<storage, read> index: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(64)
fn gather(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&out)) { out[id.x] = out[index[id.x] % arrayLength(&out)]; }
}";
const BARE: &str = "
@group(0) @binding(0) var<storage, read_write> bits: array<atomic<u32>>;
@compute @workgroup_size(64)
fn mark(@builtin(global_invocation_id) id: vec3<u32>) { atomicOr(&bits[id.x / 1024u], 1u); }";

fn fault_batch(c: &mut Criterion) {
    let device = match open(&WgpuOptions {
        device_memory: Some(8 << 20),
        ..WgpuOptions::default()
    }) {
        Ok(device) => device,
        Err(e) => return println!("skipped: {e}"),
    };
    let geometry = Geometry {
        base: Va(1 << 40),
        len: 1 << 30,
        page: PageSize::default(),
    };
    device.attach(geometry).expect("room for a page table");
    // Even a probe of which nothing is resident binds a window.
    device.grow(1).expect("room for a frame");
    let kernel: Arc<dyn Kernel> =
        WgpuKernel::compile(&device, WGSL, None, &[]).expect("gather compiles");
    let bound = vec![
        ByteRange::new(0, 4 * WORDS),
        ByteRange::new(4 * WORDS, 4 * WORDS),
    ];
    let grid = [(WORDS / 64) as u32, 1, 1];
    let launch = Launch {
        kernel,
        bound,
        values: Vec::new(),
        grid,
    };
    let boxes = [GridBox::whole(grid)];
    let bare =
        PlainKernel::prepare(&device, BARE, None, &[], &[4096], &[], grid).expect("mark compiles");
    // Nothing is resident, so that every lane stops at its first load: what is timed is the round trip.
    let mut ours = || {
        common::seconds(|| {
            let reports = device.probe(&launch, &boxes).expect("the device is there");
            assert!(
                reports[0].stopped && reports[0].touched[0].reads.len() as u64 == (4 * WORDS) >> 16
            );
        })
    };
    let mut theirs = || {
        common::seconds(|| {
            bare.dispatch_and_wait().expect("the device is there");
            bare.read(0).expect("the device is there");
        })
    };
    common::ratio(
        "fault_batch/round trip",
        "submit + map",
        41,
        &mut ours,
        &mut theirs,
    );
    c.bench_function("fault_batch/round trip", |b| b.iter(&mut ours));
    c.bench_function("fault_batch/bare", |b| b.iter(&mut theirs));
}

criterion_group!(benches, fault_batch);
criterion_main!(benches);
