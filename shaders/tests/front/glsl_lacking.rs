//! What GLSL has and naga's front end lacks.

use gmem_shaders::{Entry, Program, ShaderError, Source};
use naga::{AtomicFunction, Barrier, Statement, TypeInner};

use super::{entry, refused, rewrites};

const HEAD: &str = "#version 450
layout(local_size_x = 64) in;
layout(std430, binding = 0) buffer A { uint a[]; };
layout(std430, binding = 1) buffer B { int total; int b[]; };
shared uint s[16];
shared int alone;";

fn kernel(before: &str, body: &str) -> String {
    format!("{HEAD}\n{before}\nvoid main() {{ uint i = gl_GlobalInvocationID.x;\n{body}\n}}")
}

#[track_caller]
fn accepted(text: String) -> Entry {
    let entry = entry(Source::glsl(text));
    rewrites(&entry).unwrap_or_else(|error| panic!("{error}"));
    entry
}

/// The atomic operations of an entry point's own function, in order.
fn operations(entry: &Entry) -> Vec<AtomicFunction> {
    // The entry point calls `main`.
    let functions = entry.module.functions.iter().map(|(_, f)| f);
    functions
        .filter(|f| f.name.as_deref() == Some("main"))
        .flat_map(|f| f.body.iter())
        .filter_map(|statement| match *statement {
            Statement::Atomic { fun, .. } => Some(fun),
            _ => None,
        })
        .collect()
}

#[test]
fn atomic_operations_are_done_in_place() {
    let entry = accepted(kernel(
        "",
        "atomicAdd(a[i], 1u); a[i + 1u] = atomicMax(a[3], i); atomicMin(total, -1); atomicExchange(b[2], 5);
atomicAnd(s[i % 16u], 3u); atomicOr(alone, 1); atomicXor(alone, 2); a[0] = atomicCompSwap(a[9], 0u, i);
if (a[i] > 3u) { s[1] = atomicAdd(s[0], a[i]); } alone = alone + 1;",
    ));
    let found = operations(&entry);
    assert!(
        matches!(
            found[..],
            [
                AtomicFunction::Add,
                AtomicFunction::Max,
                AtomicFunction::Min,
                AtomicFunction::Exchange { compare: None },
                AtomicFunction::And,
                AtomicFunction::InclusiveOr,
                AtomicFunction::ExclusiveOr,
                AtomicFunction::Exchange { compare: Some(_) },
            ]
        ),
        "{found:?}"
    );
    for storage in &entry.storage {
        assert!(storage.atomics, "{storage:?}");
    }
}

#[test]
fn what_is_updated_atomically_is_an_atomic() {
    let entry = accepted(kernel(
        "struct Cell { vec3 p; uint n[2]; };
layout(std430, binding = 2) buffer C { uint count; Cell cells[]; } c;",
        "uint k = atomicAdd(c.count, 1u); atomicAdd(c.cells[k].n[1], 2u); c.cells[k].n[0] = c.cells[k].n[1];",
    ));
    let atomics = entry.module.types.iter();
    let atomics = atomics.filter(|(_, ty)| matches!(ty.inner, TypeInner::Atomic(_)));
    assert_eq!(atomics.count(), 1);
    assert_eq!(entry.storage.len(), 1);
    assert_eq!(entry.storage[0].name, "c");
}

#[test]
fn atomic_operations_elsewhere_are_refused_with_their_line() {
    for body in [
        "uint k = 3u;\natomicAdd(k, 1u);",
        "uvec2 k;\natomicAdd(k.x, 1u);",
    ] {
        let error = refused(Source::glsl(kernel("", body)));
        assert!(
            matches!(&error, ShaderError::Unsupported { construct, line: 10 } if construct.contains("atomicAdd")),
            "{error}"
        );
    }
}

#[test]
fn barriers_of_memory_are_barriers() {
    let entry = accepted(kernel(
        "",
        "s[i % 16u] = i; memoryBarrierShared(); barrier(); memoryBarrier(); groupMemoryBarrier(); memoryBarrierBuffer(); a[i] = s[0];",
    ));
    let shared = entry.module.functions.iter().any(|(_, f)| {
        let barrier = |s: &Statement| matches!(*s, Statement::MemoryBarrier(Barrier::WORK_GROUP));
        f.name.as_deref() == Some("memoryBarrierShared") && f.body.iter().any(barrier)
    });
    assert!(shared);
}

#[test]
fn other_versions_are_read() {
    for version in [
        "430", "430 core", "420", "310 es", "320 es", "460 core", "450",
    ] {
        let text = kernel("", "a[i] = 1u;").replace("450", version);
        accepted(text);
    }
    let precise = kernel("precision highp float;\nprecision highp int;", "a[i] = 1u;");
    accepted(precise.replace("450", "310 es"));
    for version in ["120", "330", "999", "100 es"] {
        let text = kernel("", "a[i] = 1u;").replace("450", version);
        let error = refused(Source::glsl(text));
        assert!(
            matches!(error, ShaderError::Parse { line: 1, .. }),
            "{version}: {error}"
        );
    }
}

#[test]
fn lines_stay_where_they_are() {
    let text = kernel("", "atomicAdd(a[i], 1u);\na[i] = nothing;");
    let error = refused(Source::glsl(text));
    assert!(
        matches!(error, ShaderError::Parse { line: 10, .. }),
        "{error}"
    );
}

#[test]
fn workgroups_are_sized_by_specialisation_constants() {
    let sized = |layout: &str, more: &str| {
        let text = kernel(more, "a[i] = 1u;").replace("local_size_x = 64", layout);
        Program::parse(Source::glsl(text)).unwrap_or_else(|e| panic!("{layout}: {e}"))
    };
    let program = sized("local_size_x_id = 3, local_size_y = 2", "");
    assert_eq!(program.entry(None, &[]).unwrap().workgroup_size, [1, 2, 1]);
    let set = program.entry(None, &[("3".to_owned(), 32.0)]).unwrap();
    assert_eq!(set.workgroup_size, [32, 2, 1]);
    let program = sized(
        "local_size_x_id = 7",
        "layout(constant_id = 7) const uint W = 16;",
    );
    assert_eq!(program.entry(None, &[]).unwrap().workgroup_size, [16, 1, 1]);
    let set = program.entry(None, &[("W".to_owned(), 8.0)]).unwrap();
    assert_eq!(set.workgroup_size, [8, 1, 1]);
    let text = kernel(
        "",
        "a[i] = gl_WorkGroupSize.x * gl_WorkGroupSize.y + gl_WorkGroupSize.z;",
    );
    accepted(text.replace(
        "local_size_x = 64",
        "local_size_y = 4, local_size_x_id = 3, local_size_z_id = 3",
    ));
}

#[test]
fn a_workgroup_s_size_is_a_constant() {
    let entry = accepted(kernel(
        "const uint TWICE = gl_WorkGroupSize.x * 2u;\nshared float t[gl_WorkGroupSize.x];",
        "t[gl_LocalInvocationIndex] = 1.0; barrier(); a[i] = TWICE + uint(t[0]) + gl_WorkGroupSize.y;",
    ));
    assert_eq!(entry.workgroup_size, [64, 1, 1]);
}

#[test]
fn qualifiers_that_change_nothing_pass() {
    accepted(kernel(
        "layout(std430, binding = 2) coherent volatile restrict buffer C { uint c[]; };
uint twice(const in uint x) { return x * 2u; }",
        "c[i] = twice(a[i]);",
    ));
}

#[test]
fn specialisation_constants_that_size_arrays_keep_their_value() {
    let before = "layout(constant_id = 0) const uint N = 32;
layout(constant_id = 1) const uint M = 5;
shared float t[N][2];";
    let text = kernel(
        before,
        "t[i % N][1] = 1.0; barrier(); a[M] = uint(t[0][0]);",
    );
    let program = Program::parse(Source::glsl(text)).unwrap();
    rewrites(&program.entry(None, &[]).unwrap()).unwrap();
    assert!(program.entry(None, &[("M".to_owned(), 2.0)]).is_ok());
    let fixed = program.entry(None, &[("N".to_owned(), 2.0)]).err();
    assert!(matches!(fixed, Some(ShaderError::Override { .. })));
    let text = kernel(before, "a[i] = N;").replace("local_size_x = 64", "local_size_x_id = 0");
    assert_eq!(entry(Source::glsl(text)).workgroup_size, [32, 1, 1]);
}

#[test]
fn arithmetic_that_results_in_two_numbers_is_written_out() {
    accepted(kernel(
        "shared float w;",
        "uint h, l, c; umulExtended(a[i], 3u, h, l); a[i] = uaddCarry(h, l, c) + c; a[0] = usubBorrow(h, l, c);
float x = modf(float(i) * 0.5, w); vec3 y; a[1] = uint(x + modf(vec3(x), y).z);",
    ));
    // What a text declares itself is its own.
    accepted(kernel(
        "float modf(float x, out float y) { y = 1.0; return x; }",
        "float y; a[i] = uint(modf(2.0, y));",
    ));
}
