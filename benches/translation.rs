//! What translation costs: warm SAXPY, resident, *slid* and *paged*, against the same WGSL under plain wgpu on the same device.

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use gmem::gpu::PlainKernel;
use gmem::{Gmem, Placement};

const N: usize = 4 << 20;
const WGSL: &str = "
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(256)
fn saxpy(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&x)) { y[id.x] = 1.0009765625 * x[id.x] + y[id.x]; }
}";

fn plain(gm: &Gmem) -> PlainKernel {
    let device = gm.device(0).expect("it has one");
    let gpu = device.gpu().expect("it is a GPU");
    let sizes = [4 * N as u64; 2];
    let grid = [N.div_ceil(256) as u32, 1, 1];
    let plain =
        PlainKernel::prepare(gpu, WGSL, None, &[], &sizes, &[], grid).expect("saxpy compiles");
    let x: Vec<f32> = (0..N).map(|i| i as f32).collect();
    plain
        .write(0, bytemuck::cast_slice(&x))
        .expect("the device is there");
    plain
}

fn translation(c: &mut Criterion) {
    for (case, placement) in [
        ("slid", Placement::Contiguous),
        ("paged", Placement::Scattered),
    ] {
        let Some(gm) = common::gpu(|b| b.device_memory(96 << 20).placement(placement)) else {
            return;
        };
        let mut x = gm.alloc::<f32>(N).expect("room");
        let mut y = gm.alloc::<f32>(N).expect("room");
        x.iter_mut().enumerate().for_each(|(i, x)| *x = i as f32);
        y.fill(0.0);
        let kernel = gm.kernel(WGSL).expect("saxpy compiles");
        let plain = plain(&gm);
        let mut ours = || {
            common::seconds(|| {
                kernel
                    .over(N)
                    .bind("x", &x)
                    .bind("y", &mut y)
                    .run()
                    .expect("runs");
            })
        };
        let mut theirs = || {
            common::seconds(|| {
                plain.dispatch_and_wait().expect("runs");
            })
        };
        common::ratio(
            &format!("translation/saxpy/{case}"),
            "plain wgpu",
            21,
            &mut ours,
            &mut theirs,
        );
        let mut group = c.benchmark_group("translation");
        group.sample_size(10);
        group.bench_function(format!("saxpy/{case}"), |b| b.iter(&mut ours));
        group.bench_function(format!("saxpy/{case}/plain"), |b| b.iter(&mut theirs));
    }
}

criterion_group!(benches, translation);
criterion_main!(benches);
