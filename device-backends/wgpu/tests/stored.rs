//! Every kind of stored value: what lies beside it stays as it is, and an index outside reaches nothing, whatever its value.

mod support;

use std::sync::Arc;

use gmem_hal::PageSize;
use gmem_wgpu::{CompileError, WgpuKernel};
use support::{Bench, Case, PAGE, Way, check, devices, words};

/// The kernel compiled on a device, or `None` where the device has not what it uses.
fn compiled(device: &Arc<gmem_wgpu::WgpuDevice>, case: &Case) -> Option<Arc<dyn gmem_hal::Kernel>> {
    match WgpuKernel::compile(device, &case.source, None, &[]) {
        Ok(kernel) => Some(kernel),
        Err(error @ CompileError::Unsupported { .. }) => {
            let text = error.to_string();
            assert!(text.contains("line "), "{text}");
            support::skipped(format_args!(
                "{}: {}: {text}",
                device.adapter().backend,
                case.name
            ));
            None
        }
        Err(other) => panic!("{}: {other}", case.name),
    }
}

/// Runs a case everywhere, in every way; `results` is what the bindings hold then.
fn everywhere(case: &Case, results: &[Vec<u8>]) {
    for window_bytes in [None, Some(180 * PAGE + 256)] {
        for device in devices(2 << 20, window_bytes) {
            let Some(kernel) = compiled(&device, case) else {
                continue;
            };
            let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
            for way in [Way::Slid, Way::Paged, Way::Mixed] {
                check(&mut bench, &kernel, case, way, results);
            }
        }
    }
}

/// Padding in the store of whole values: every byte of it must survive.
#[test]
fn padding_keeps_what_the_host_wrote_there() {
    let source = "
struct Inner { a: vec3<f32>, @size(12) b: u32 }
struct S { x: u32, m: mat3x3<f32>, i: array<Inner, 2>, @align(32) y: u32 }
@group(0) @binding(0) var<storage, read_write> s: array<S>;
@compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    var v: S;
    v.x = 1u;
    v.m = mat3x3<f32>(vec3<f32>(1.0), vec3<f32>(2.0), vec3<f32>(3.0));
    v.i[0] = Inner(vec3<f32>(4.0), 5u);
    v.i[1] = Inner(vec3<f32>(6.0), 7u);
    v.y = 8u;
    s[id.x] = v;
}";
    // x at 0, m at 16, i at 64 (of 32 bytes each), y at 128, 160 in all.
    let f = |x: f32| x.to_bits();
    let mut value = [0xa5a5_a5a5_u32; 40];
    value[0] = 1;
    for (column, x) in [1.0, 2.0, 3.0].into_iter().enumerate() {
        value[4 + 4 * column..][..3].fill(f(x));
    }
    for (i, (a, b)) in [(4.0, 5), (6.0, 7)].into_iter().enumerate() {
        value[16 + 8 * i..][..3].fill(f(a));
        value[19 + 8 * i] = b;
    }
    value[32] = 8;
    let before = words(vec![0xa5a5_a5a5; 40 * 16]);
    let after = words([value.repeat(8), vec![0xa5a5_a5a5; 40 * 8]].concat());
    let case = Case::new("padding", source, vec![before], vec![], [1, 1, 1]);
    everywhere(&case, &[after]);
}

/// Values of hundreds of leaves, copied whole: by loops.
#[test]
fn long_values_are_copied_whole() {
    let source = "
struct Row { key: u32, at: vec3<f32> }
struct Long { head: u32, rows: array<Row, 4>, tail: array<array<u32, 9>, 30>, end: u32 }
@group(0) @binding(0) var<storage, read> src: array<Long>;
@group(0) @binding(1) var<storage, read_write> dst: array<Long>;
@group(0) @binding(2) var<storage, read_write> grid: array<array<u32, 260>, 8>;
@compute @workgroup_size(2) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    dst[i + 4u] = src[i + 1u];
    grid[i] = grid[i + 7u];
}";
    // Long: head at 0, rows of 32 bytes at 16, the tail at 144, the end at 1224, 1232 in all.
    const LONG: usize = 1232;
    let leaf = |at: usize| !(4..16).contains(&at) && !(16..144).contains(&at) && at < 1228;
    let row = |at: usize| {
        (16..144).contains(&at) && !(4..16).contains(&((at - 16) % 32)) && (at - 16) % 32 < 28
    };
    let src = support::seeded(1, 3 * LONG);
    let dst = support::seeded(2, 5 * LONG);
    let grid = support::seeded(3, 8 * 1040);
    let mut results = vec![src.clone(), dst.clone(), grid.clone()];
    // The fifth element is there, the sixth is not; the eighth row is there, and of the ninth zeros are read.
    for at in (0..LONG).filter(|&at| leaf(at) || row(at)) {
        results[1][4 * LONG + at] = src[LONG + at];
    }
    results[2][..1040].copy_from_slice(&grid[7 * 1040..]);
    results[2][1040..2 * 1040].fill(0);
    let case = Case::new("long", source, vec![src, dst, grid], vec![], [1, 1, 1]);
    // Drivers take seconds for each: the windows' number makes no difference to the loops.
    for device in devices(2 << 20, None) {
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        let kernel = compiled(&device, &case).expect("it uses nothing special");
        for way in [Way::Slid, Way::Paged] {
            check(&mut bench, &kernel, &case, way, &results);
        }
    }
}

#[test]
fn a_half_leaves_the_other_half_of_its_word() {
    let source = "enable f16;
struct S { a: f16, @size(6) b: f16, c: u32 }
@group(0) @binding(0) var<storage, read_write> s: array<S>;
@group(0) @binding(1) var<storage, read_write> h: array<f16>;
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    s[id.x].b = 1.0h;
    h[id.x * 2u + 1u] = 2.0h;
    // The last element, half a word, and what would follow it.
    h[arrayLength(&h) - 1u] = f16(arrayLength(&h));
    h[arrayLength(&h)] = 3.0h;
}";
    let structs = words(vec![0x1234_5678; 3 * 8]);
    let mut halves = words(vec![0x1234_5678; 8]);
    halves.extend([0x11, 0x22]);
    let mut results = vec![structs.clone(), halves.clone()];
    for i in 0..4 {
        results[0][12 * i + 2..12 * i + 4].copy_from_slice(&0x3c00_u16.to_le_bytes());
        results[1][4 * i + 2..4 * i + 4].copy_from_slice(&0x4000_u16.to_le_bytes());
    }
    // 17.
    results[1][32..34].copy_from_slice(&0x4c40_u16.to_le_bytes());
    let case = Case::new("halves", source, vec![structs, halves], vec![], [1, 1, 1]);
    everywhere(&case, &results);
}

/// Indices of every width and sign, outside of arrays, vectors, matrices and structs of every kind.
fn outside(head: &str, element: &str, one: &str, ordered: bool, bytes: u32) {
    let index = |i: &str| {
        format!(
            "    a[{i}] = {one};
    inner[id.x].list[{i}] = {one};
    if {} {{ out[id.x] = 1u; }}
    if {} {{ out[id.x] = 2u; }}
",
            differs(&format!("a[{i}]"), element),
            differs(&format!("inner[id.x].list[{i}]"), element)
        )
    };
    let mut body = String::new();
    for i in [
        "big",
        "-1 - i32(id.x)",
        "n",
        "0xffffffffu - id.x",
        "(1u << 31u) + id.x",
        "n * 3u",
    ] {
        body.push_str(&index(i));
    }
    if ordered {
        for i in [
            "(1lu << 32u) + u64(id.x)",
            "-1li - i64(id.x)",
            "u64(n) * 0x100000000lu",
        ] {
            body.push_str(&index(i));
        }
    }
    let source = format!(
        "{head}
struct Inner {{ list: array<{element}, 3>, pad: vec4<u32> }}
@group(0) @binding(0) var<storage, read_write> a: array<{element}>;
@group(0) @binding(1) var<storage, read_write> inner: array<Inner>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let n = arrayLength(&a);
    let big = i32(n) + i32(id.x);
{body}}}"
    );
    let list = (bytes * 3).next_multiple_of(16) + 16;
    let data = vec![
        words(vec![7; (bytes * 40 / 4) as usize]),
        words(vec![7; (list * 8 / 4) as usize]),
        words(vec![0; 64]),
    ];
    let case = Case::new(element, &source, data.clone(), vec![], [1, 1, 1]);
    everywhere(&case, &data);
}

/// An expression that says whether a value of a type differs from zero.
fn differs(value: &str, element: &str) -> String {
    if element.starts_with("vec") {
        format!("any({value} != {element}())")
    } else if element.starts_with("mat") {
        format!("any({value}[1] != {element}()[1])")
    } else {
        format!("{value} != {element}()")
    }
}

#[test]
fn an_index_outside_reads_zero_and_stores_nothing() {
    outside("", "u32", "1u", false, 4);
    outside("", "vec3<f32>", "vec3<f32>(1.0)", false, 16);
    outside("", "vec4<i32>", "vec4<i32>(1)", false, 16);
    outside(
        "",
        "mat2x2<f32>",
        "mat2x2<f32>(1.0, 1.0, 1.0, 1.0)",
        false,
        16,
    );
}

#[test]
fn an_index_outside_reaches_no_value_of_16_or_64_bits() {
    outside("enable f16;", "f16", "1.0h", false, 2);
    outside("enable f16;", "vec4<f16>", "vec4<f16>(1.0h)", false, 8);
    outside("", "u64", "1lu", true, 8);
    outside("", "f64", "1.0lf", true, 8);
}

#[test]
fn atomics_outside_do_nothing_and_give_zero() {
    for (element, zero, one, ordered) in [
        ("u32", "0u", "1u", true),
        ("u64", "0lu", "1lu", true),
        ("f32", "0.0", "1.0", false),
    ] {
        let order = if ordered {
            format!("    atomicMin(&a[n + id.x], {zero});\n    atomicMax(&a[back], {one});\n")
        } else {
            String::new()
        };
        let source = format!(
            "@group(0) @binding(0) var<storage, read_write> a: array<atomic<{element}>>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let n = arrayLength(&a);
    let back = -1 - i32(id.x);
{order}    if atomicAdd(&a[n + id.x], {one}) != {zero} {{ out[id.x] = 1u; }}
    if atomicExchange(&a[back], {one}) != {zero} {{ out[id.x] = 2u; }}
    if atomicLoad(&a[n * 4u]) != {zero} {{ out[id.x] = 3u; }}
    atomicStore(&a[n], {one});
}}"
        );
        let data = vec![words(vec![7; 80]), words(vec![0; 64])];
        let case = Case::new(element, &source, data.clone(), vec![], [1, 1, 1]);
        everywhere(&case, &data);
    }
}
