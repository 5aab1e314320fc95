//! Immediates, whatever their layout and wherever they came from: every byte of memory is as the original leaves it.

mod support;

use std::sync::Arc;

use gmem_hal::{ByteRange, DeviceError, GridBox, HostMemory, PageSize};
use gmem_shaders::Source;
use gmem_shaders::naga::{back::spv, front::wgsl, valid};
use gmem_wgpu::{PlainRunner, WgpuKernel};
use support::{Bench, Case, PAGE, Way, check, devices, floats, launch, words};

/// Runs a case on every device in every way, against plain wgpu and against `expected`.
fn everywhere<'a>(case: &Case, source: impl Into<Source<'a>>, expected: &[Vec<u8>]) {
    let source = source.into();
    for device in devices(2 << 20, None) {
        // GL's shaders cannot say where a member lies, so what lies elsewhere than by its rules is read wrong, by plain wgpu too.
        if case.name.ends_with("by its offsets") && device.adapter().backend == "gl" {
            support::skipped(format_args!("gl: {}", case.name));
            continue;
        }
        let mut results = case.data.clone();
        PlainRunner::new(&device)
            .run(
                source.clone(),
                None,
                &[],
                &mut results,
                &case.values,
                case.grid,
                1,
            )
            .unwrap();
        assert!(results == expected, "{}: the reference", case.name);
        let kernel = WgpuKernel::compile(&device, source.clone(), None, &[]).unwrap();
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        for way in [Way::Slid, Way::Paged] {
            check(&mut bench, &kernel, case, way, &results);
        }
    }
}

const STRUCT: &str = "
struct Inner { a: u32, b: u32 }
struct Push { n: u32, scale: vec3<f32>, list: array<vec4<u32>, 2>, last: Inner }
var<immediate> push: Push;
@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= push.n { return; }
    let by = push.list[id.x & 1u][push.last.a] + push.last.b;
    data[id.x] = data[id.x] * push.scale.z + f32(by);
}";

#[test]
fn an_immediate_with_a_uniforms_layout() {
    let n = 3000_u32;
    let data = floats(1, 4096);
    let mut push = vec![0; 20];
    push[0] = n;
    for (at, scale) in [1.0_f32, 2.0, 4.0].into_iter().enumerate() {
        push[4 + at] = scale.to_bits();
    }
    push[8..16].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
    push[16] = 2;
    push[17] = 10;
    let mut expected = data.clone();
    for i in 0..n as usize {
        let at = 4 * i..4 * i + 4;
        let x = f32::from_le_bytes(expected[at.clone()].try_into().unwrap());
        let by = if i % 2 == 0 { 13.0 } else { 17.0 };
        expected[at].copy_from_slice(&(x * 4.0 + by).to_le_bytes());
    }
    let case = Case::new("struct", STRUCT, vec![data], vec![words(push)], [64, 1, 1]);
    everywhere(&case, STRUCT, &[expected]);
}

#[test]
fn an_immediate_with_a_layout_that_no_uniform_has() {
    let source = "
struct Push { head: vec2<u32>, list: array<u32, 5>, turn: mat2x2<f32> }
var<immediate> push: Push;
@group(0) @binding(0) var<uniform> bias: u32;
@group(0) @binding(1) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let at = min(id.x % push.head.x, 4u);
    let turned = push.turn * vec2<f32>(f32(at), 1.0);
    data[id.x] += push.list[at] + bias + u32(turned.x + turned.y);
}";
    // head at 0, list at 8, turn at 32, 48 in all.
    let mut push = words([5, 0, 100, 200, 300, 400, 500, 0]);
    push.extend(
        [1.0_f32, 2.0, 3.0, 4.0]
            .into_iter()
            .flat_map(f32::to_le_bytes),
    );
    let expected = (0..4096).map(|i: u32| i * 3 + (i % 5 + 1) * 100 + 7 + (i % 5) * 3 + 7);
    let data = words((0..4096).map(|i| i * 3));
    let values = vec![words([7]), push];
    let case = Case::new("storage", source, vec![data], values, [64, 1, 1]);
    everywhere(&case, source, &[words(expected)]);
}

#[test]
fn push_constants_of_glsl_and_spirv() {
    let glsl = "#version 450
layout(local_size_x = 64) in;
layout(push_constant) uniform Push { uvec4 n; uint by; } push;
layout(set = 0, binding = 0) buffer Data { uint x[]; };
void main() {
    if (gl_GlobalInvocationID.x < push.n.x) { x[gl_GlobalInvocationID.x] += push.by; }
}";
    let wgsl = "struct Push { n: u32, @align(16) by: u32 }
var<immediate> push: Push;
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < push.n { x[id.x] += push.by; }
}";
    let module = wgsl::parse_str(wgsl).expect("it parses");
    let info = valid::Validator::new(valid::ValidationFlags::all(), valid::Capabilities::all())
        .validate(&module)
        .expect("it is valid");
    let mut options = spv::Options {
        lang_version: (1, 3),
        ..spv::Options::default()
    };
    options.flags.remove(spv::WriterFlags::DEBUG);
    let spirv = spv::write_vec(&module, &info, &options, None).expect("it is written");
    let data = words((0..4096).map(|i| i * 3));
    let expected = vec![words(
        (0..4096).map(|i| i * 3 + if i < 4000 { 11 } else { 0 }),
    )];
    for (name, source) in [
        ("GLSL", Source::glsl(glsl)),
        ("WGSL, by its offsets", Source::from(wgsl)),
        ("SPIR-V, by its offsets", Source::spirv_words(&spirv)),
    ] {
        let push = words([4000, 0, 0, 0, 11, 0, 0, 0]);
        let case = Case::new(name, "", vec![data.clone()], vec![push], [64, 1, 1]);
        everywhere(&case, source, &expected);
    }
}

/// The footprint on the host, and a probe, both know what an immediate holds.
#[test]
fn an_immediate_decides_addresses() {
    let source = "var<immediate> push: array<u32, 3>;
@group(0) @binding(0) var<storage, read> at: array<u32>;
@group(0) @binding(1) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    data[at[id.x] + push[2]] = 1u;
    data[id.x + push[1]] = 2u;
}";
    for device in devices(2 << 20, None) {
        let kernel = WgpuKernel::compile(&device, source, None, &[]).unwrap();
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        let bound = [ByteRange::new(0, 256), ByteRange::new(8192, 65_536)];
        bench.host.write_bytes(0, &words((0..64).map(|i| i * 4)));
        let push = words([0, 6000, 1024]);
        let launch = launch(&kernel, &bound, &[push], [1, 1, 1]);
        let whole = GridBox::whole([1, 1, 1]);
        let found = kernel.footprint(&launch, &whole);
        assert_eq!(
            found[0].reads,
            gmem_hal::Footprint::Ranges(vec![ByteRange::new(0, 256)])
        );
        assert_eq!(found[1].writes, gmem_hal::Footprint::Unknown);
        bench.place_scattered(bound[0], false, 3);
        let reports = bench.probe(&launch, &[whole]).unwrap();
        assert!(!reports[0].stopped);
        // From word 1024 on, and from word 6000 on: pages 1 and 5 of the binding.
        assert_eq!(reports[0].touched[1].writes, [1, 5]);
        let none = support::launch(&kernel, &bound, &[], [1, 1, 1]);
        let refused = bench.probe(&none, &[whole]);
        assert!(
            matches!(&refused, Err(DeviceError::Unsupported { reason })
                if reason.contains("1 value, not")),
            "{refused:?}"
        );
        bench.evict_all();
    }
}
