//! What is not known, and bounded work.

use std::time::Instant;

use super::common::{Launch, kernel};
use gmem_shaders::Footprint::{Ranges, Unknown};

fn launch(lens: &[u64]) -> Launch {
    Launch {
        start: [0; 3],
        count: [4, 1, 1],
        grid: [4, 1, 1],
        lens: lens.to_vec(),
        uniforms: Vec::new(),
    }
}

#[test]
fn unbounded_indices_are_unknown_and_bounded_ones_are_not() {
    let kernel = kernel(
        "@group(0) @binding(0) var<storage, read> index: array<u32>;
        @group(0) @binding(1) var<storage, read_write> anywhere: array<u32>;
        @group(0) @binding(2) var<storage, read_write> wrapped: array<u32>;
        @group(0) @binding(3) var<storage, read_write> masked: array<u32>;
        @group(0) @binding(4) var<storage, read_write> clamped: array<u32>;
        @group(0) @binding(5) var<storage, read_write> tested: array<u32>;
        @group(0) @binding(6) var<storage, read> values: array<f32>;
        @group(0) @binding(7) var<storage, read_write> rounded: array<u32>;
        @group(0) @binding(8) var<storage, read_write> above: array<u32>;
        @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let i = index[id.x];
            anywhere[i] = 1u;
            wrapped[i % arrayLength(&wrapped)] = 1u;
            masked[i & 7u] = 1u;
            clamped[min(i, arrayLength(&clamped) - 1u)] = 1u;
            if (i < 5u) { tested[i] = 1u; }
            rounded[u32(values[id.x])] = 1u;
            above[max(i, 3u)] = 1u;
        }",
    );
    let found = kernel.footprint(&launch(&[128, 128, 128, 128, 128, 128, 128, 128, 128]));
    assert_eq!(found[0].reads, Ranges(vec![0..128]));
    assert_eq!(found[1].writes, Unknown);
    assert!(found[1].reads.is_empty());
    assert_eq!(found[2].writes, Ranges(vec![0..128]));
    assert_eq!(found[3].writes, Ranges(vec![0..32]));
    assert_eq!(found[4].writes, Ranges(vec![0..128]));
    assert_eq!(found[5].writes, Ranges(vec![0..20]));
    assert_eq!(found[7].writes, Unknown);
    assert_eq!(found[8].writes, Unknown);
    let scattered: Vec<bool> = found.iter().map(|binding| binding.scattered).collect();
    assert_eq!(
        scattered,
        [false, true, true, true, true, true, false, true, true]
    );
}

#[test]
fn a_loop_ended_by_data_is_unknown() {
    let kernel = kernel(
        "@group(0) @binding(0) var<storage, read> text: array<u32>;
        @group(0) @binding(1) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            var i = id.x;
            loop { if (text[i] == 0u) { break; } i++; }
            out[id.x] = i;
        }",
    );
    let found = kernel.footprint(&launch(&[4000, 128]));
    assert_eq!(found[0].reads, Unknown);
    assert_eq!(found[1].writes, Ranges(vec![0..128]));
}

#[test]
fn small_fixed_arrays_are_known_whatever_the_index() {
    let kernel = kernel(
        "@group(0) @binding(0) var<storage, read> index: array<u32>;
        @group(0) @binding(1) var<storage, read_write> bins: array<atomic<u32>, 256>;
        @group(0) @binding(2) var<storage, read_write> v: array<vec4<f32>>;
        @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            atomicAdd(&bins[index[id.x]], 1u);
            v[id.x][index[id.x]] = 1.0;
        }",
    );
    let found = kernel.footprint(&launch(&[128, 1024, 16 * 10]));
    assert_eq!(found[1].writes, Ranges(vec![0..1024]));
    assert_eq!(found[2].writes, Ranges(vec![0..160]));
}

#[test]
fn an_empty_box_touches_nothing() {
    let kernel = kernel(
        "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
        @compute @workgroup_size(8) fn main() { a[3] = a[a[7]]; }",
    );
    let mut launch = launch(&[128]);
    launch.count = [0, 1, 1];
    let found = kernel.footprint(&launch);
    assert!(found[0].reads.is_empty() && found[0].writes.is_empty());
}

#[test]
fn too_much_work_ends_in_unknown() {
    let mut body = String::from("a[i0] = 1u;");
    for level in 0..9 {
        body = format!(
            "for (var i{level} = 0u; i{level} < n; i{level}++) {{ s += i{level}; {body} }}"
        );
    }
    let kernel = kernel(&format!(
        "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
        @group(0) @binding(1) var<storage, read> unused: array<u32>;
        @group(0) @binding(2) var<uniform> n: u32;
        @compute @workgroup_size(8) fn main() {{ _ = unused[0]; var s = 0u; {body} }}"
    ));
    let mut launch = launch(&[128, 128]);
    launch.uniforms = vec![4_u32.to_le_bytes().to_vec()];
    let started = Instant::now();
    let found = kernel.footprint(&launch);
    assert_eq!(found[0].writes, Unknown);
    assert!(found[0].reads.is_empty(), "never read");
    assert!(started.elapsed().as_secs() < 5, "the work is bounded");
}

#[test]
fn short_uniforms_and_lengths_are_survived() {
    let kernel = kernel(
        "struct P { n: u32, m: array<vec4<u32>, 4> }
        @group(0) @binding(0) var<storage, read_write> a: array<u32>;
        @group(0) @binding(1) var<uniform> p: P;
        @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if (id.x < p.n) { a[id.x + p.m[id.x].x] = 1u; }
        }",
    );
    let mut nothing = launch(&[128]);
    nothing.uniforms = vec![vec![1, 0]];
    assert_eq!(kernel.footprint(&nothing)[0].writes, Unknown);
    nothing.uniforms.clear();
    nothing.lens.clear();
    assert!(kernel.footprint(&nothing)[0].writes.is_empty());
}

#[test]
fn nested_loops_stay_cheap() {
    let kernel = kernel(
        "struct P { c: u32, h: u32, w: u32, k: u32, f: u32 }
        @group(0) @binding(0) var<storage, read> image: array<f32>;
        @group(0) @binding(1) var<storage, read> taps: array<f32>;
        @group(0) @binding(2) var<storage, read_write> sums: array<f32>;
        @group(0) @binding(3) var<uniform> p: P;
        @compute @workgroup_size(8, 8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if (id.x >= p.w || id.y >= p.h) { return; }
            for (var n = 0u; n < 4u; n++) {
                for (var f = 0u; f < p.f; f++) {
                    var sum = 0.0;
                    for (var c = 0u; c < p.c; c++) {
                        for (var dy = 0u; dy < p.k; dy++) {
                            for (var dx = 0u; dx < p.k; dx++) {
                                let at = ((n * p.c + c) * (p.h + p.k) + id.y + dy) * (p.w + p.k) + id.x + dx;
                                sum += image[at] * taps[((f * p.c + c) * p.k + dy) * p.k + dx];
                            }
                        }
                    }
                    sums[((n * p.f + f) * p.h + id.y) * p.w + id.x] = sum;
                }
            }
        }",
    );
    let mut launch = launch(&[1 << 20, 4 * 8 * 3 * 9, 4 * 4 * 8 * 64 * 64]);
    launch.count = [8, 8, 1];
    launch.grid = [8, 8, 1];
    launch.uniforms = vec![super::common::words(&[3, 64, 64, 3, 8])];
    let started = Instant::now();
    let found = kernel.footprint(&launch);
    println!("five loops take {:?}", started.elapsed());
    assert_eq!(found[1].reads, Ranges(vec![0..4 * 8 * 3 * 9]));
    assert_eq!(found[2].writes, Ranges(vec![0..4 * 4 * 8 * 64 * 64]));
    let Ranges(image) = &found[0].reads else {
        panic!("every loop is bounded");
    };
    // Four images of three channels, 67 rows of 67.
    assert_eq!(
        image.last().map(|range| range.end),
        Some(4 * (12 * 67 * 67 - 67 - 1))
    );
}
