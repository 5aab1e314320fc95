//! What cannot be translated is refused with the construct and its line; what is wrong, with the reason.

use gmem_shaders::{Entry, How, Mode, Program, ShaderError, Variant};

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
fn half_precision_arithmetic_passes() {
    let source = "enable f16;
@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    a[id.x] = f32(f16(a[id.x]) * 2.0h);
}";
    assert_eq!(run(source), Ok(()));
}

/// What the rewriter once refused to translate: every kind of value, and values of any size.
#[test]
fn every_kind_of_stored_value_passes() {
    for source in [
        "enable f16;
@group(0) @binding(0) var<storage, read_write> a: array<f16>;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    a[id.x] = 1.0h;
}",
        "@group(0) @binding(0) var<storage, read_write> a: array<u64>;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let x = a[id.x];
    a[id.x + 1u] = x;
}",
        "@group(0) @binding(0) var<storage, read_write> a: array<atomic<u64>>;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    atomicMax(&a[id.x], 1lu);
}",
        "@group(0) @binding(0) var<storage, read_write> a: array<atomic<f32>>;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    atomicAdd(&a[id.x], 1.0);
}",
        "struct S { a: atomic<i32>, b: atomic<u32> }
@group(0) @binding(0) var<storage, read_write> s: S;
@compute @workgroup_size(1) fn main() {
    atomicMax(&s.b, 1u);
    atomicMin(&s.a, -1i);
}",
        "@group(0) @binding(0) var<storage, read_write> a: array<array<u32, 3000000>>;
@compute @workgroup_size(1) fn main() {
    a[0] = a[1];
}",
    ] {
        assert_eq!(run(source), Ok(()), "{source}");
    }
}

#[test]
fn what_is_bound_and_is_no_texture_or_sampler_is_refused() {
    refused(
        "@group(0) @binding(1) var<storage, read_write> a: array<f32>;
@group(0) @binding(0) var t: texture_external;
@compute @workgroup_size(1) fn main() {
    a[0] = textureLoad(t, vec2<i32>(0, 0)).x;
}",
        "the external texture `t`",
        2,
    );
    refused(
        "enable wgpu_binding_array;
@group(0) @binding(1) var<storage, read_write> a: array<f32>;
@group(0) @binding(0) var t: binding_array<texture_2d<f32>, 2>;
@compute @workgroup_size(1) fn main() {
    a[0] = textureLoad(t[1], vec2<i32>(0, 0), 0).x;
}",
        "the array of bindings `t`",
        3,
    );
}

#[test]
fn storage_pointers_across_calls_pass() {
    let source = "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
fn put(p: ptr<storage, u32, read_write>) { *p = 1u; }
@compute @workgroup_size(1) fn main() { put(&a[0]); }";
    assert_eq!(run(source), Ok(()));
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
    let refused = |entry: Result<Entry, ShaderError>, constant: &str, words: &str| {
        let error = entry.err().expect("an error");
        assert!(
            matches!(&error, ShaderError::Override { name: Some(name), available, .. }
                if name == constant && available == &["n"]),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(
            text.contains(words) && text.ends_with("the shader has n"),
            "{text}"
        );
    };
    refused(with("m", 8.0), "m", "`m`: there is none of that name");
    refused(with("n", -1.0), "n", "`n`: -1 does not fit in u32");
    refused(with("n", 4_294_967_296.0), "n", "does not fit in u32");
    refused(with("n", f64::NAN), "n", "does not fit in u32");
    refused(program.entry(Some("two"), &[]), "n", "no value");
    // It fits in its type, and is no size of a workgroup.
    let none = with("n", 0.0).err().expect("an error");
    assert!(
        matches!(none, ShaderError::Override { name: None, .. }),
        "{none:?}"
    );
}

#[test]
fn a_mistake_is_told_once_with_its_line_and_its_source() {
    let error =
        Program::from_wgsl("@compute @workgroup_size(1)\nfn main() {\n  let x = ;\n}").err();
    let Some(ShaderError::Parse { message, .. }) = &error else {
        panic!("{error:?}")
    };
    let text = error.as_ref().map(ToString::to_string).unwrap_or_default();
    assert!(text.starts_with(&format!("line 3: {message}")), "{text}");
    assert!(text.contains("let x = ;"), "{text}");
    assert_eq!(text.matches(message.as_str()).count(), 1, "{text}");

    let error = Program::from_wgsl(
        "@compute @workgroup_size(1) fn main() {\n  var x = 1u;\n  let y = x + 2.5f;\n}",
    )
    .err();
    let text = error.map(|e| e.to_string()).unwrap_or_default();
    assert!(
        text.starts_with("line 3: ") && text.contains("let y = x"),
        "{text}"
    );
    for part in ["is invalid: Expression", "Operation Add", "let y"] {
        assert_eq!(text.matches(part).count(), 1, "`{part}` in {text}");
    }
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
