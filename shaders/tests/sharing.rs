//! Kernels whose bindings would need more views than a device has storage buffers: they share, and no more than they must.

use gmem_shaders::{How, Mode, Program, Rewritten, Variant};

fn rewritten(source: &str, mode: Mode, windows: u32, most: u32) -> Rewritten {
    let entry = Program::from_wgsl(source)
        .and_then(|p| p.entry(None, &[]))
        .unwrap_or_else(|e| panic!("{e}"));
    let variant = Variant {
        mode,
        page_shift: 16,
        windows,
        bindings: vec![How::Paged; entry.storage.len()],
    };
    entry
        .rewrite_within(&variant, most)
        .unwrap_or_else(|e| panic!("{e}"))
}

/// The names of the views, without their windows.
fn views(rewritten: &Rewritten) -> Vec<String> {
    let globals = rewritten.module.global_variables.iter();
    let mut names: Vec<String> = globals
        .filter(|(_, var)| var.binding.is_some_and(|b| b.group == 0 && b.binding > 2))
        .filter_map(|(_, var)| var.name.as_deref()?.rsplit_once('_'))
        .map(|(name, _)| name.trim_start_matches("gmem_").to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

const MIXED: &str = "
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read_write> b: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<i32>>;
@group(0) @binding(3) var<storage, read_write> d: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> e: array<atomic<i32>>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    b[i] += f32(a[i]);
    c[i] = c[i].wzyx;
    LAST
}";

#[test]
fn bindings_share_views_only_when_they_must() {
    let both = "atomicMin(&d[i / 2u], i); atomicMax(&e[i / 2u], i32(i));";
    let source = MIXED.replace("LAST", both);
    for (windows, most, expected) in [
        (
            1,
            7,
            &["atomics", "pairs", "quads", "signed_atomics", "words"][..],
        ),
        (1, 6, &["atomics", "signed_atomics", "words"]),
        (2, 8, &["atomics", "signed_atomics", "words"]),
        (2, 6, &["atomics", "signed_atomics"]),
        (1, 4, &["atomics", "signed_atomics"]),
        // Less is not to be had: who asked compares.
        (1, 3, &["atomics", "signed_atomics"]),
    ] {
        let found = rewritten(&source, Mode::Run, windows, most);
        assert_eq!(views(&found), expected, "{windows} windows, {most} buffers");
        assert_eq!(
            found.storage_buffers,
            2 + windows * expected.len() as u32,
            "the table, the report and the views"
        );
    }
    // Where no order tells signed from unsigned, one serves for both; else the one that the order is of.
    for (last, expected) in [
        (
            "atomicAdd(&d[i], 1u); atomicAdd(&e[i], 1);",
            "signed_atomics",
        ),
        ("atomicMin(&d[i], 1u); atomicAdd(&e[i], 1);", "atomics"),
        (
            "atomicAdd(&d[i], 1u); atomicMax(&e[i], 1);",
            "signed_atomics",
        ),
    ] {
        let source = MIXED.replace("LAST", last);
        assert_eq!(views(&rewritten(&source, Mode::Run, 1, 3)), [expected]);
    }
    // A probe looks at nothing but words.
    assert_eq!(rewritten(&source, Mode::Probe, 1, 3).storage_buffers, 1);
}

#[test]
fn an_immediate_bound_as_storage_counts() {
    let source = "var<immediate> p: array<u32, 3>;
@group(0) @binding(0) var<storage, read_write> a: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> b: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    a[id.x].x = p[1];
    b[id.x] = a[id.x].y;
}";
    assert_eq!(rewritten(source, Mode::Run, 1, 8).storage_buffers, 4);
}
