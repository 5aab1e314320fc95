//! Kernels that use what a device does not have are refused when they are compiled, with the line; those it can run, run.

mod support;

use std::sync::Arc;

use gmem_hal::{ByteRange, PageSize};
use gmem_wgpu::{CompileError, WgpuKernel};
use support::{Bench, PAGE, devices, launch, slid};

/// What a kernel does to `a[0]`, at line 4, and a word of what it needs.
const USES: [(&str, &str); 5] = [
    ("a[0] = u32(f16(a[0]) * 2.0h);", "f16"),
    ("a[0] = u32(u64(a[0]) * 2lu);", "u64"),
    ("a[0] = u32(f64(a[0]) * 2.0lf);", "f64"),
    ("a[0] = subgroupAdd(a[0]);", "subgroup"),
    ("subgroupBarrier(); a[0] = 1u;", "subgroup"),
];

#[test]
fn kernels_compile_and_run_or_are_refused_at_compile_with_the_line() {
    for device in devices(1 << 20, None) {
        let backend = device.adapter().backend;
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        for (statement, word) in USES {
            let source = format!(
                "enable f16;
@group(0) @binding(0) var<storage, read_write> a: array<u32>;
@compute @workgroup_size(1) fn main() {{
    {statement}
}}"
            );
            match WgpuKernel::compile(&device, &source, None, &[]) {
                Ok(kernel) => {
                    let bound = ByteRange::new(0, 64);
                    let run = bench.place_run(bound, true);
                    let way = slid(&bench.geometry, bound, run);
                    bench
                        .run(&launch(&kernel, &[bound], &[], [1, 1, 1]), &[way])
                        .unwrap_or_else(|e| panic!("{backend} compiles {word}: {e}"));
                    bench.evict_all();
                }
                Err(error @ CompileError::Unsupported { .. }) => {
                    let text = error.to_string();
                    assert!(
                        text.contains("line 4 uses") && text.contains(word),
                        "{backend}: {text}"
                    );
                    println!("{text}");
                }
                Err(other) => panic!("{backend}: {other}"),
            }
        }
    }
}
