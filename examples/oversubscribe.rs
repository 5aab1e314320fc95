//! A kernel over eight times the device's memory: nothing in it, or in how it is launched, knows of that.

use gmem::Gmem;

const WGSL: &str = "
@group(0) @binding(0) var<storage, read> price: array<f32>;
@group(0) @binding(1) var<storage, read> amount: array<f32>;
@group(0) @binding(2) var<storage, read_write> total: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.y * groups.x * 64u + id.x;
    if (i < arrayLength(&total)) {
        total[i] = price[i] * amount[i];
    }
}";

fn main() -> Result<(), gmem::Error> {
    let device_memory = 24 << 20;
    let gm = Gmem::builder().device_memory(device_memory).build()?;
    let n = 8 * device_memory as usize / 3 / size_of::<f32>();
    let mut price = gm.alloc::<f32>(n)?;
    let mut amount = gm.alloc::<f32>(n)?;
    let mut total = gm.alloc::<f32>(n)?;
    for (i, (p, a)) in price.iter_mut().zip(amount.iter_mut()).enumerate() {
        (*p, *a) = ((i % 1000) as f32, (i % 7) as f32);
    }

    let groups = n.div_ceil(64) as u32;
    let kernel = gm.kernel(WGSL)?;
    let report = kernel
        .launch([1 << 12, groups.div_ceil(1 << 12), 1])
        .bind("price", &price)
        .bind("amount", &amount)
        .bind("total", &mut total)
        .run()?;

    let right = (0..n).all(|i| total[i] == (i % 1000) as f32 * (i % 7) as f32);
    let stats = gm.stats();
    println!(
        "data {} MiB, device memory {} MiB",
        (3 * n * 4) >> 20,
        device_memory >> 20
    );
    println!(
        "{} passes, {} evictions, right: {right}",
        report.passes, stats.counts.evictions
    );
    println!(
        "peak device memory {} bytes",
        stats.devices[0].1.peak_windows
    );
    Ok(())
}
