//! Kernels in each language, and with pointers passed to functions: what they give on every adapter against what the
//! CPU computes.

mod support;

use std::sync::Arc;

use gmem_hal::PageSize;
use gmem_shaders::naga::back::spv;
use gmem_shaders::{Program, Source};
use gmem_wgpu::WgpuKernel;
use support::{Bench, Case, PAGE, Way, check, devices, floats, indices, words};

const N: u32 = 2048;

/// Every pointer that WGSL lets pass: whole arrays, elements, members, atomics, workgroup memory.
const PASSED: &str = "
struct Pair { low: u32, high: vec2<u32> }
@group(0) @binding(0) var<storage, read> one: array<u32>;
@group(0) @binding(1) var<storage, read> two: array<u32>;
@group(0) @binding(2) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(3) var<storage, read_write> pairs: array<Pair>;
@group(0) @binding(4) var<storage, read_write> out: array<array<u32, 4>>;
var<workgroup> tile: array<u32, 64>;

fn clamped(list: ptr<storage, array<u32>>, i: u32) -> u32 {
    return (*list)[min(i, arrayLength(list) - 1u)];
}
fn bump(counter: ptr<storage, atomic<u32>, read_write>, by: u32) { atomicAdd(counter, by); }
fn record(list: ptr<storage, array<u32>>, into: ptr<storage, array<atomic<u32>>, read_write>, i: u32) -> u32 {
    let seen = clamped(list, i);
    bump(&(*into)[seen], i);
    return seen;
}
fn put(cell: ptr<storage, u32, read_write>, value: u32) { *cell = value; }
fn turn(v: ptr<storage, vec2<u32>, read_write>, by: u32) { *v = (*v).yx + by; }
fn change(pair: ptr<storage, Pair, read_write>, by: u32) {
    turn(&(*pair).high, by);
    (*pair).low += (*pair).high.x;
}
fn share(into: ptr<workgroup, array<u32, 64>>, at: u32, value: u32) { (*into)[at] = value; }
fn taken(list: ptr<workgroup, u32>) -> u32 { return *list; }

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var i = id.x;
    let pair = &pairs[i];
    i += 1u;
    let seen = record(&one, &counts, i) + 100u * record(&two, &counts, id.x);
    change(pair, seen);
    change(&pairs[id.x], 1u);
    share(&tile, lane, seen);
    workgroupBarrier();
    put(&out[id.x / 4u][id.x & 3u], taken(&tile[63u - lane]));
}";

/// What [`PASSED`] leaves behind.
fn passed(data: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let read = |bytes: &[u8]| -> Vec<u32> {
        bytes
            .chunks_exact(4)
            .map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]))
            .collect()
    };
    let all: Vec<Vec<u32>> = data.iter().map(|bytes| read(bytes)).collect();
    let [one, two, counts, pairs, out] = &all[..] else {
        panic!("five bindings")
    };
    let (mut counts, mut pairs, mut out) = (counts.clone(), pairs.clone(), out.clone());
    let mut seen = vec![0; N as usize];
    for i in 0..N as usize {
        let a = one[(i + 1).min(one.len() - 1)];
        let b = two[i.min(two.len() - 1)];
        counts[a as usize] = counts[a as usize].wrapping_add(i as u32 + 1);
        counts[b as usize] = counts[b as usize].wrapping_add(i as u32);
        seen[i] = a + 100 * b;
        // low, padding, high.x, high.y
        for by in [seen[i], 1] {
            let (x, y) = (pairs[4 * i + 2], pairs[4 * i + 3]);
            pairs[4 * i + 2] = y.wrapping_add(by);
            pairs[4 * i + 3] = x.wrapping_add(by);
            pairs[4 * i] = pairs[4 * i].wrapping_add(pairs[4 * i + 2]);
        }
    }
    for i in 0..N as usize {
        out[i] = seen[i / 64 * 64 + 63 - i % 64];
    }
    vec![
        data[0].clone(),
        data[1].clone(),
        words(counts),
        words(pairs),
        words(out),
    ]
}

const SAXPY: &str = "#version 450
layout(local_size_x = 64) in;
layout(std430, binding = 0) readonly buffer Left { float x[]; };
layout(std430, binding = 1) buffer Right { float y[]; };
layout(binding = 2) uniform Args { float a; uint n; };
void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i < n) { y[i] = a * x[i] + y[i]; }
}";

fn saxpy(data: &[Vec<u8>], a: f32, n: usize) -> Vec<Vec<u8>> {
    let read = |bytes: &[u8]| -> Vec<f32> {
        bytes
            .chunks_exact(4)
            .map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]]))
            .collect()
    };
    let (x, mut y) = (read(&data[0]), read(&data[1]));
    for i in 0..n {
        y[i] += a * x[i];
    }
    let y = y.into_iter().flat_map(f32::to_le_bytes).collect();
    vec![data[0].clone(), y]
}

/// The kernel as SPIR-V without names.
fn spirv(wgsl: &str) -> Source<'static> {
    let entry = Program::from_wgsl(wgsl).unwrap().entry(None, &[]).unwrap();
    let mut options = spv::Options {
        lang_version: (1, 3),
        ..spv::Options::default()
    };
    options.flags.remove(spv::WriterFlags::DEBUG);
    let words = spv::write_vec(&entry.module, &entry.info, &options, None).unwrap();
    Source::spirv_words(&words)
}

fn check_all(sources: &[(&str, Source<'_>)], case: &Case, results: &[Vec<u8>]) {
    for window_bytes in [None, Some(180 * PAGE + 256)] {
        for device in devices(2 << 20, window_bytes) {
            let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
            for (name, source) in sources {
                let kernel = match WgpuKernel::compile(&device, source, None, &[]) {
                    Ok(kernel) => kernel,
                    Err(error) => panic!("{name} on {}: {error}", device.adapter().backend),
                };
                for way in [Way::Slid, Way::Paged, Way::Mixed] {
                    check(&mut bench, &kernel, case, way, results);
                }
            }
        }
    }
}

#[test]
fn passed_pointers_lead_where_they_should() {
    let data = vec![
        indices(1, N as usize, 64),
        indices(2, N as usize - 100, 64),
        words([0; 64]),
        indices(3, 4 * N as usize, 1 << 20),
        words(vec![0; N as usize]),
    ];
    let results = passed(&data);
    let case = Case::new("passed", PASSED, data, Vec::new(), [N / 64, 1, 1]);
    let sources = [("WGSL", Source::wgsl(PASSED)), ("SPIR-V", spirv(PASSED))];
    check_all(&sources, &case, &results);
}

#[test]
fn glsl_computes_what_it_says() {
    let data = vec![floats(1, N as usize), floats(2, N as usize)];
    let n = N as usize - 77;
    let results = saxpy(&data, 1.5, n);
    let mut values = 1.5f32.to_le_bytes().to_vec();
    values.extend((n as u32).to_le_bytes());
    values.resize(16, 0);
    let case = Case::new("saxpy", SAXPY, data, vec![values], [N / 64, 1, 1]);
    check_all(&[("GLSL", Source::glsl(SAXPY))], &case, &results);
}
