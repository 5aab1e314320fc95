//! What WGSL has and naga's front end lacks, or leaves in a form that its validator refuses.

use gmem_shaders::{Program, ShaderError, Source};
use naga::{Expression, GatherMode, Literal, Statement};

use super::{entry, refused, rewrites};

const HEAD: &str = "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
@group(0) @binding(1) var<storage, read_write> f: array<f32>;";

/// A kernel with something before it and something in it.
fn kernel(directives: &str, before: &str, body: &str) -> String {
    format!(
        "{directives}\n{HEAD}\n{before}\n@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{\nlet i = id.x;\n{body}\n}}"
    )
}

#[track_caller]
fn accepted(directives: &str, before: &str, body: &str) {
    if let Err(error) = rewrites(&entry(kernel(directives, before, body))) {
        panic!("{error}");
    }
}

#[test]
fn diagnostics_may_stand_on_statements() {
    for body in [
        "@diagnostic(off, derivative_uniformity) if i > 3u { a[i] = 1u; }",
        "@diagnostic(warning, subgroup_uniformity) for (var k = 0u; k < 3u; k++) { a[i] += k; }",
        "@diagnostic(off, chromium.unreachable_code)\n{ a[i] = 1u; }",
        "switch i @diagnostic(off, derivative_uniformity) { case 1u: { a[i] = 1u; } default: {} }",
    ] {
        accepted("", "", body);
    }
    let error = refused(kernel(
        "",
        "",
        "@diagnostic(off,\nderivative_uniformity) { a[i] = b; }",
    ));
    assert!(
        matches!(error, ShaderError::Parse { line: 8, .. }),
        "{error}"
    );
}

#[test]
fn one_lane_can_be_elected() {
    let elects = "if subgroupElect() { a[i] = 1u; }";
    accepted("enable subgroups;", "", elects);
    let own = "fn subgroupElect() -> bool { return true; }";
    accepted("", own, elects);
}

#[test]
fn lanes_are_named_by_numbers_alone() {
    let body = "a[i] = subgroupBroadcast(a[i], 1) + subgroupShuffleXor(a[i], 2) + subgroupShuffle(a[i], LANE) + quadBroadcast(a[i], 3);";
    let entry = entry(kernel("enable subgroups;", "const LANE = 7i;", body));
    rewrites(&entry).unwrap();
    let function = &entry.module.entry_points[entry.entry_index].function;
    let lanes: Vec<_> = function
        .body
        .iter()
        .filter_map(|statement| match *statement {
            Statement::SubgroupGather {
                mode:
                    GatherMode::Broadcast(lane)
                    | GatherMode::ShuffleXor(lane)
                    | GatherMode::Shuffle(lane)
                    | GatherMode::QuadBroadcast(lane),
                ..
            } => Some(function.expressions[lane].clone()),
            _ => None,
        })
        .collect();
    let is = |n: u32| move |e: &&Expression| matches!(**e, Expression::Literal(Literal::U32(l)) if l == n);
    for n in [1, 2, 7, 3] {
        assert_eq!(lanes.iter().filter(is(n)).count(), 1, "{n} of {lanes:?}");
    }
}

#[test]
fn a_function_may_end_in_a_loop_that_nothing_leaves() {
    for body in [
        "var k = x; loop { if k > 5u { return k; } k++; }",
        "if x > 3u { var k = x; loop { switch k { case 9u: { break; } default: {} } if k > 5u { return k; } k++; } } else { return 1u; }",
        "switch x { case 1u: { return 2u; } default: { loop { if a[x] > 2u { return x; } } } }",
        "var k = x; loop { loop { if k > 4u { break; } k++; } if k > 2u { return k; } }",
    ] {
        let before = format!("fn g(x: u32) -> u32 {{ {body} }}");
        accepted("", &before, "a[i] = g(i);");
    }
    // What leaves it goes on to the end, and returns nothing.
    for body in [
        "var k = x; loop { if k > 5u { break; } k++; }",
        "var k = x; loop { k++; continuing { break if k > 3u; } }",
        "if x > 3u { return 1u; }",
    ] {
        let before = format!("fn g(x: u32) -> u32 {{ {body} }}");
        let error = refused(kernel("", &before, "a[i] = g(i);"));
        assert!(matches!(error, ShaderError::Invalid { .. }), "{error}");
    }
}

#[test]
fn words_are_cast_to_halves_and_back() {
    for body in [
        "let h = bitcast<vec2<f16>>(a[i]); f[i] = f32(h.x + h.y);",
        "f[i] = f32(bitcast<vec2h>(f[i])[1]);",
        "let h = bitcast<vec4<f16>>(vec2<u32>(a[i], a[i + 1u])); f[i] = f32(dot(h, h));",
        "a[i] = bitcast<u32>(vec2<f16>(f16(f[i]), 1.0h));",
        "let w = bitcast<vec2<u32>>(vec4<f16>(f16(f[i]))); a[i] = w.x ^ w.y;",
        "a[i] = u32(bitcast<i32>(vec2h(f16(f[i]), 1.0h))) + bitcast<u32>(f[i]);",
    ] {
        accepted("enable f16;", "", body);
    }
}

#[test]
fn storage_may_be_declared_for_writing_alone() {
    let text = "@group(0) @binding(0) var<storage, write> a: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) { a[id.x] = 1u; }";
    rewrites(&entry(text)).unwrap();
}

#[test]
fn immediates_may_have_their_old_name() {
    let before = "struct P { n: u32 }\nvar<push_constant> p: P;";
    accepted("", before, "a[i] = p.n;");
}

#[test]
fn extensions_that_became_the_language_may_be_named() {
    for directive in [
        "enable f16;\nenable subgroups;\nenable subgroups_f16;",
        "enable chromium_experimental_dp4a;",
        "enable chromium_disable_uniformity_analysis;",
    ] {
        accepted(directive, "", "a[i] = dot4U8Packed(a[i], 3u);");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_text() {
    let bytes = format!("\u{feff}{}", kernel("", "", "a[i] = 1u;")).into_bytes();
    let source = Source::from_file("kernel.wgsl".as_ref(), bytes).unwrap();
    assert!(Program::parse(source).is_ok());
}

#[test]
fn constants_may_be_made_with_any_function() {
    let constants = "const M = transpose(mat2x2<f32>(1.0, 2.0, 3.0, 4.0));
const BITS: u32 = bitcast<u32>(1.5f);
const HALF = mix(0.0, 1.0, 0.5); const TWICE: f32 = HALF * 4.0;
const WORD = pack4x8unorm(vec4<f32>(1.0));
const PART = insertBits(0u, 3u, 1u, 2u);
struct S { bits: u32 }";
    let body = "let s = S(BITS); a[i] = s.bits + WORD + PART; f[i] = M[1].x * TWICE;";
    accepted("", constants, body);
    let error = refused(kernel(
        "",
        &format!("{constants}\nconst N = HALF + nothing;"),
        body,
    ));
    assert!(
        matches!(error, ShaderError::Parse { line: 10, .. }),
        "{error}"
    );
    // Where a constant is needed, there is none.
    let sized = format!("{constants}\nvar<private> p: array<u32, PART>;");
    let error = refused(kernel("", &sized, "a[i] = p[0];"));
    assert!(matches!(error, ShaderError::Parse { .. }), "{error}");
}

#[test]
fn constants_made_of_each_other_end_somewhere() {
    let doubling: String = (1..60)
        .map(|i| format!("const c{i} = mix(c{0}, c{0}, 0.5);\n", i - 1))
        .collect();
    let error = refused(kernel(
        "",
        &format!("const c0 = 1.0;\n{doubling}"),
        "f[i] = c59;",
    ));
    assert!(matches!(error, ShaderError::Parse { .. }), "{error}");
    let deep: String = (1..60)
        .map(|i| {
            let (open, close) = ("(".repeat(400), ")".repeat(400));
            format!("const c{i} = {open}mix(c{}, 1.0, 0.5){close};\n", i - 1)
        })
        .collect();
    let error = refused(kernel(
        "",
        &format!("const c0 = 1.0;\n{deep}"),
        "f[i] = c59;",
    ));
    assert!(matches!(error, ShaderError::Parse { .. }), "{error}");
}
