//! Pointers to storage and workgroup memory that are passed to functions.

use gmem_shaders::{Program, ShaderError};

use super::{entry, refused, rewrites};

const HEAD: &str = "struct S { a: u32, b: array<vec2<u32>, 4> }
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<storage, read> r: array<S>;
@group(0) @binding(3) var<storage, read_write> c: array<atomic<u32>>;
var<workgroup> w: array<u32, 32>;
";

fn shader(rest: &str) -> String {
    format!("{HEAD}{rest}")
}

fn functions(source: &str) -> usize {
    let entry = entry(source);
    rewrites(&entry).unwrap();
    entry.module.functions.len()
}

#[test]
fn each_target_gets_a_function_and_equal_ones_share() {
    let put = "fn put(p: ptr<storage, u32, read_write>, v: u32) { *p = v; }\n";
    let main = |body: &str| {
        shader(&format!(
            "{put}@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{ {body} }}"
        ))
    };
    assert_eq!(functions(&main("put(&x[0], 1u);")), 1);
    assert_eq!(functions(&main("put(&x[0], 1u); put(&x[0], 2u);")), 1);
    assert_eq!(
        functions(&main("put(&x[0], 1u); put(&y[0], 2u); put(&x[1], 2u);")),
        3
    );
    // An index that is known only later is a parameter.
    assert_eq!(
        functions(&main(
            "put(&x[id.x], 1u); put(&x[id.y], 2u); put(&x[x[id.z]], 2u);"
        )),
        1
    );
    assert_eq!(functions(&main("x[0] = 1u;")), 0);
}

#[test]
fn bindings_are_used_as_the_functions_use_them() {
    let entry = entry(shader(
        "fn look(p: ptr<storage, array<S>>, i: u32) -> u32 { return (*p)[i].b[i].y + arrayLength(p); }
fn put(p: ptr<storage, array<u32>, read_write>, i: u32, v: u32) { p[i] = v; }
fn count(p: ptr<storage, atomic<u32>, read_write>) -> u32 { return atomicAdd(p, 1u); }
fn both(q: ptr<storage, array<u32>, read_write>, n: ptr<storage, array<atomic<u32>>, read_write>, i: u32) {
    put(q, count(&(*n)[i]), look(&r, i));
}
@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3<u32>) { both(&x, &c, id.x); }",
    ));
    rewrites(&entry).unwrap();
    let uses: Vec<_> = (entry.storage.iter())
        .map(|s| (s.name.as_str(), s.reads, s.writes, s.atomics))
        .collect();
    assert_eq!(
        uses,
        [
            ("x", false, true, false),
            ("r", true, false, false),
            ("c", true, true, true)
        ]
    );
}

#[test]
fn workgroup_pointers_and_uniform_loads_pass() {
    let source = shader(
        "var<workgroup> flag: u32;
fn fill(p: ptr<workgroup, array<u32, 32>>, at: u32) { (*p)[at] = at; }
fn seen(p: ptr<workgroup, u32>) -> u32 { return workgroupUniformLoad(p); }
fn element(p: ptr<workgroup, u32>) -> u32 { return *p; }
@compute @workgroup_size(32) fn main(@builtin(local_invocation_index) i: u32) {
    fill(&w, i);
    workgroupBarrier();
    x[i] = seen(&flag) + element(&w[31u - i]);
}",
    );
    rewrites(&entry(&source)).unwrap();
}

#[test]
fn footprints_stay_exact() {
    // Twice a binding through the same function: what each may touch is as narrow as when it is written out.
    let entry = entry(shader(
        "fn put(p: ptr<storage, u32, read_write>) { *p = 7u; }
@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    put(&x[id.x + 64u]);
    put(&y[id.x]);
}",
    ));
    let found = entry.analysis.footprint(
        &entry.module,
        &entry.info,
        ([1, 0, 0], [1, 1, 1]),
        [4, 1, 1],
        &[4096, 4096],
        &[],
    );
    let ranges = |bytes: std::ops::Range<u64>| gmem_shaders::Footprint::Ranges([bytes].to_vec());
    assert_eq!(found[0].writes, ranges(4 * 96..4 * 128));
    assert_eq!(found[1].writes, ranges(4 * 32..4 * 64));
}

#[test]
fn a_pointer_to_another_type_is_refused_with_its_line() {
    for (parameter, argument) in [
        ("ptr<storage, f32, read_write>", "&x[0]"),
        ("ptr<storage, array<f32>, read_write>", "&x"),
        ("ptr<workgroup, u32>", "&x[0]"),
        ("ptr<storage, u32, read_write>", "&w[0]"),
    ] {
        let source = shader(&format!(
            "fn put(p: {parameter}) {{ }}\n@compute @workgroup_size(1) fn main() {{\n put({argument}); }}"
        ));
        let error = refused(&source);
        assert!(
            matches!(
                error,
                ShaderError::Invalid { line: 9, .. } | ShaderError::Parse { line: 9, .. }
            ),
            "{parameter} {argument}: {error}"
        );
    }
}

#[test]
fn a_store_to_what_is_read_only_is_refused() {
    let source = shader(
        "fn put(p: ptr<storage, u32, read_write>) { *p = 1u; }
@compute @workgroup_size(1) fn main() { put(&r[0].a); }",
    );
    assert!(matches!(
        refused(&source),
        ShaderError::Invalid { .. } | ShaderError::Parse { .. }
    ));
}

#[test]
fn targets_without_end_are_refused() {
    // Each function passes on two parts of what it is given: 2^16 targets.
    let mut source = String::new();
    let mut ty = "u32".to_owned();
    for i in 0..13 {
        source += &format!("struct T{i} {{ l: {ty}, r: {ty} }}\n");
        ty = format!("T{i}");
    }
    source += "fn f0(p: ptr<storage, u32, read_write>) { *p = 1u; }\n";
    for i in 0..13 {
        source += &format!(
            "fn f{}(p: ptr<storage, T{i}, read_write>) {{ f{i}(&(*p).l); f{i}(&(*p).r); }}\n",
            i + 1
        );
    }
    source += "@group(0) @binding(0) var<storage, read_write> x: array<T12>;
@compute @workgroup_size(1) fn main() { f13(&x[0]); }";
    let error = refused(&source);
    assert!(
        matches!(&error, ShaderError::Unsupported { construct, line } if construct.contains("targets") && *line > 1),
        "{error}"
    );
}

#[test]
fn functions_that_nobody_calls_are_no_obstacle() {
    let source = shader(
        "fn unused(p: ptr<storage, u32, read_write>) { *p = 1u; }
@compute @workgroup_size(1) fn main() { x[0] = 1u; }",
    );
    assert_eq!(functions(&source), 0);
}

#[test]
fn ordinary_pointers_stay_as_they_are() {
    let source = shader(
        "var<private> mine: u32;
fn add(p: ptr<function, u32>, q: ptr<private, u32>, s: ptr<storage, u32, read_write>) { *p += *q + *s; *q += 1u; }
@compute @workgroup_size(1) fn main() { var v = 1u; add(&v, &mine, &x[3]); x[0] = v; }",
    );
    let program = Program::from_wgsl(&source).unwrap();
    let entry = program.entry(None, &[]).unwrap();
    rewrites(&entry).unwrap();
    let (_, add) = entry.module.functions.iter().next().unwrap();
    assert_eq!(add.arguments.len(), 2);
}
