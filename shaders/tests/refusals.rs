//! What cannot be translated is refused with the construct and its line; what is wrong, with the reason.

use gmem_shaders::{How, Mode, Program, ShaderError, Variant};

fn run(source: &str) -> Result<(), ShaderError> {
    let entry = Program::from_wgsl(source)?.entry(None, &[])?;
    let bindings = vec![How::Paged; entry.storage.len()];
    entry
        .rewrite(&Variant {
            mode: Mode::Run,
            page_shift: 16,
            windows: 1,
            bindings,
        })
        .map(drop)
}

#[track_caller]
fn refused(source: &str, what: &str, at: u32) {
    match run(source) {
        Err(ShaderError::Unsupported { construct, line }) => {
            assert!(
                construct.contains(what),
                "`{construct}` does not say `{what}`"
            );
            assert_eq!(line, at, "{construct}");
        }
        other => panic!("{other:?} is no refusal of {what}"),
    }
}

#[test]
fn half_precision_storage_is_refused() {
    refused(
        "enable f16;
@group(0) @binding(0) var<storage, read_write> a: array<f16>;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    a[id.x] = 1.0h;
}",
        "`f16`",
        4,
    );
}

#[test]
fn half_precision_arithmetic_passes() {
    let source = "enable f16;
@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    a[id.x] = f32(f16(a[id.x]) * 2.0h);
}";
    assert_eq!(run(source), Ok(()));
}

#[test]
fn wide_storage_is_refused() {
    refused(
        "@group(0) @binding(0) var<storage, read_write> a: array<u64>;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let x = a[id.x];
    a[id.x + 1u] = x;
}",
        "`u64`",
        3,
    );
}

#[test]
fn wide_atomics_are_refused() {
    refused(
        "@group(0) @binding(0) var<storage, read_write> a: array<atomic<u64>>;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    atomicMax(&a[id.x], 1lu);
}",
        "atomic<u64>",
        3,
    );
}

#[test]
fn float_atomics_are_refused() {
    refused(
        "@group(0) @binding(0) var<storage, read_write> a: array<atomic<f32>>;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    atomicAdd(&a[id.x], 1.0);
}",
        "atomic<f32>",
        3,
    );
}

#[test]
fn both_orders_on_atomics_of_one_binding_are_refused() {
    refused(
        "struct S { a: atomic<i32>, b: atomic<u32> }
@group(0) @binding(0) var<storage, read_write> s: S;
@compute @workgroup_size(1) fn main() {
    atomicMax(&s.b, 1u);
    atomicMin(&s.a, -1i);
}",
        "atomicMin or atomicMax",
        5,
    );
}

#[test]
fn huge_whole_copies_are_refused() {
    refused(
        "@group(0) @binding(0) var<storage, read_write> a: array<array<u32, 5000>>;
@compute @workgroup_size(1) fn main() {
    a[0] = a[1];
}",
        "more than 4096",
        3,
    );
}

#[test]
fn textures_and_samplers_are_refused() {
    refused(
        "@group(0) @binding(1) var<storage, read_write> a: array<f32>;
@group(0) @binding(0) var t: texture_2d<f32>;
@compute @workgroup_size(1) fn main() {
    a[0] = textureLoad(t, vec2<i32>(0, 0), 0).x;
}",
        "`t`",
        2,
    );
}

#[test]
fn immediates_are_refused() {
    refused(
        "var<immediate> size: u32;
@group(0) @binding(0) var<storage, read_write> a: array<u32>;
@compute @workgroup_size(1) fn main() {
    a[0] = size;
}",
        "`size`",
        1,
    );
}

#[test]
fn storage_pointers_across_calls_are_invalid_with_their_line() {
    let source = "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
fn put(p: ptr<storage, u32, read_write>) { *p = 1u; }
@compute @workgroup_size(1) fn main() { put(&a[0]); }";
    match run(source) {
        Err(ShaderError::Invalid { line, .. }) => assert_eq!(line, 2),
        other => panic!("{other:?}"),
    }
}

#[test]
fn mistakes_are_told_with_their_line() {
    match Program::from_wgsl("fn f() {}\nfn g() { let x = ; }").err() {
        Some(ShaderError::Parse { line, report, .. }) => {
            assert_eq!(line, 2);
            assert!(report.contains("let x"), "{report}");
        }
        other => panic!("{other:?}"),
    }
    match Program::from_wgsl("fn f() -> u32 {\n return 1.5f;\n}").err() {
        Some(ShaderError::Parse { line, .. } | ShaderError::Invalid { line, .. }) => {
            assert_eq!(line, 2)
        }
        other => panic!("{other:?}"),
    }
}

const TWO: &str = "@compute @workgroup_size(1) fn one() {}
override n: u32;
@compute @workgroup_size(n) fn two() {}";

#[test]
fn entry_points_are_named_when_there_are_several() {
    let program = Program::from_wgsl(TWO).expect("valid");
    assert_eq!(program.entry_points(), ["one", "two"]);
    let none = program.entry(None, &[]).err();
    assert_eq!(
        none,
        Some(ShaderError::NoEntryPoint {
            name: None,
            available: vec!["one".to_owned(), "two".to_owned()]
        })
    );
    let message = program
        .entry(Some("three"), &[])
        .err()
        .map(|e| e.to_string());
    assert_eq!(
        message.as_deref(),
        Some("no compute entry point is called `three`; the shader has one, two")
    );
    assert!(program.entry(Some("one"), &[]).is_ok());
}

#[test]
fn overrides_need_known_names_and_fitting_values() {
    let program = Program::from_wgsl(TWO).expect("valid");
    let with = |name: &str, value| program.entry(Some("two"), &[(name.to_owned(), value)]);
    assert_eq!(
        with("n", 8.0).map(|e| e.workgroup_size).ok(),
        Some([8, 1, 1])
    );
    assert!(matches!(with("m", 8.0), Err(ShaderError::Override(_))));
    assert!(matches!(with("n", -1.0), Err(ShaderError::Override(_))));
    assert!(matches!(
        program.entry(Some("two"), &[]),
        Err(ShaderError::Override(_))
    ));
}

#[test]
fn overrides_with_an_id_are_set_by_name_too() {
    let program =
        Program::from_wgsl("@id(3) override n: u32;\n@compute @workgroup_size(n) fn main() {}")
            .expect("valid");
    for key in ["n", "3"] {
        let entry = program
            .entry(None, &[(key.to_owned(), 5.0)])
            .map(|e| e.workgroup_size);
        assert_eq!(entry.ok(), Some([5, 1, 1]), "{key}");
    }
}

#[test]
fn variants_that_do_not_fit_are_refused() {
    let source = "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
@compute @workgroup_size(1) fn main() { a[0] = 1u; }";
    let entry = Program::from_wgsl(source)
        .and_then(|p| p.entry(None, &[]))
        .expect("valid");
    let good = Variant {
        mode: Mode::Run,
        page_shift: 16,
        windows: 1,
        bindings: vec![How::Paged],
    };
    assert!(entry.rewrite(&good).is_ok());
    let slid = |window| vec![How::Slid { window }];
    for (wrong, bad) in [
        (
            "no translation",
            Variant {
                bindings: vec![],
                ..good.clone()
            },
        ),
        (
            "a tiny page",
            Variant {
                page_shift: 11,
                ..good.clone()
            },
        ),
        (
            "a huge page",
            Variant {
                page_shift: 22,
                ..good.clone()
            },
        ),
        (
            "no window",
            Variant {
                windows: 0,
                ..good.clone()
            },
        ),
        (
            "too many windows",
            Variant {
                windows: 257,
                ..good.clone()
            },
        ),
        (
            "a window too far",
            Variant {
                bindings: slid(1),
                ..good.clone()
            },
        ),
        (
            "a slid probe",
            Variant {
                mode: Mode::Probe,
                bindings: slid(0),
                ..good.clone()
            },
        ),
    ] {
        assert!(
            matches!(entry.rewrite(&bad), Err(ShaderError::Variant(_))),
            "{wrong}"
        );
    }
}

#[test]
fn kernels_that_follow_what_they_write_cannot_be_probed() {
    let source = "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) { a[a[id.x]] = 1u; }";
    let entry = Program::from_wgsl(source)
        .and_then(|p| p.entry(None, &[]))
        .expect("valid");
    let probe = Variant {
        mode: Mode::Probe,
        page_shift: 16,
        windows: 1,
        bindings: vec![How::Paged],
    };
    assert!(matches!(
        entry.rewrite(&probe),
        Err(ShaderError::NotProbeable(_))
    ));
}
