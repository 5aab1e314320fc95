//! WGSL's directives, and what nests deep.

use gmem_shaders::{Program, ShaderError, Source};

use super::{entry, refused};

const BODY: &str = "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
@compute @workgroup_size(32) fn main(@builtin(local_invocation_index) i: u32) { a[i] = 1u; }";

#[test]
fn directives_that_change_nothing_pass() {
    for directives in [
        "enable subgroups;",
        "enable f16, subgroups;",
        "enable f16;",
        "requires readonly_and_readwrite_storage_textures;",
        "requires unrestricted_pointer_parameters, pointer_composite_access;",
        "requires packed_4x8_integer_dot_product;\nrequires subgroup_uniformity;",
        "diagnostic(off, derivative_uniformity);",
        "diagnostic(off, subgroup_uniformity);",
        "diagnostic(off, chromium.unreachable_code);",
        "/* /* nested */ */ // line\nenable subgroups; diagnostic(warning, derivative_uniformity);",
    ] {
        let shader = format!("{directives}\n{BODY}");
        if let Err(error) = Program::from_wgsl(&shader) {
            panic!("{directives}: {error}");
        }
    }
    let marked = BODY.replace("@compute", "@diagnostic(off, subgroup_uniformity) @compute");
    assert!(Program::from_wgsl(&marked).is_ok());
}

#[test]
fn unknown_extensions_are_refused_with_their_line() {
    let error = refused(format!("enable subgroups;\nenable nonsense;\n{BODY}"));
    assert!(
        matches!(error, ShaderError::Parse { line: 2, .. }),
        "{error}"
    );
}

/// Runs where the stack is as small as a thread's may well be.
fn on_a_small_stack(f: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    thread.spawn(f).unwrap().join().unwrap();
}

fn wgsl(statement: &str) -> String {
    format!(
        "@group(0) @binding(0) var<storage, read_write> a: array<u32>;\n@compute @workgroup_size(1) fn main() {{\n{statement}\n}}"
    )
}

fn glsl(statement: &str) -> String {
    format!(
        "#version 450\nlayout(local_size_x = 1) in; layout(binding = 0) buffer A {{ uint a[]; }}; void main() {{\n{statement}\n}}"
    )
}

#[test]
fn what_nests_too_deep_is_an_error_whatever_the_stack() {
    let deep = 100_000;
    let statements = [
        format!("a[0] = {}1u{};", "(".repeat(deep), ")".repeat(deep)),
        format!("{}{}", "{".repeat(deep), "}".repeat(deep)),
        format!("a[0] = {}a[1];", "a[1]+".repeat(deep)),
        format!("a[0] = {}a[1];", "~".repeat(deep)),
        format!("a[0] = {}0u{};", "a[".repeat(deep), "]".repeat(deep)),
        format!(
            "if (a[0] == 1u) {{}}{}",
            " else if (a[0] == 2u) {}".repeat(deep)
        ),
        format!("{}a[0] = 1u;", "if (a[0] == 1u) ".repeat(deep)),
        format!(
            "{}a[0] = 1u;{}",
            "for (;;) {".repeat(deep),
            "}".repeat(deep)
        ),
        format!("a[0] = a[1]{};", "[0]".repeat(deep)),
    ];
    on_a_small_stack(move || {
        for statement in &statements {
            for source in [Source::wgsl(wgsl(statement)), Source::glsl(glsl(statement))] {
                let language = source.language();
                let error = refused(source);
                assert!(
                    matches!(error, ShaderError::Parse { line: 3, .. }),
                    "{language:?} {statement:.30}: {error:.200}"
                );
            }
        }
    });
}

#[test]
fn what_nests_as_deep_as_is_allowed_is_read_or_refused() {
    let deep = 3_900;
    let sum = format!("a[0] = {}7u;", "1u+".repeat(deep));
    let loaded = format!("let b = a[1]; a[0] = {}b;", "b+".repeat(deep));
    let read = format!("uint b = a[1]; a[0] = {}b;", "b+".repeat(deep));
    let minus = format!("int b = int(a[1]); a[0] = uint({}b);", "- ".repeat(deep));
    let macros = format!(
        "\n#define P(x) {}x{}\na[0] = P(P(P(P(P(P(P(P(P(1u)))))))));\n",
        "(".repeat(400),
        ")".repeat(400)
    );
    let branches = format!(
        "if (a[0] == 1u) {{}}{}",
        " else if (a[0] == 2u) { a[1] = 1u; }".repeat(390)
    );
    on_a_small_stack(move || {
        // These must be done: only the stack could forbid them.
        for source in [
            Source::wgsl(wgsl(&sum)),
            Source::wgsl(wgsl(&loaded)),
            Source::wgsl(wgsl(&branches)),
            Source::glsl(glsl(&sum)),
            Source::glsl(glsl(&read)),
            Source::glsl(glsl(&branches)),
        ] {
            let language = source.language();
            match Program::parse(&source).and_then(|p| p.entry(None, &[])) {
                Ok(entry) => super::rewrites(&entry).unwrap(),
                Err(error) => panic!("{language:?}: {error:.300}"),
            }
        }
        for source in [Source::glsl(glsl(&minus)), Source::glsl(glsl(&macros))] {
            // What matters is that there is an answer.
            let _ = Program::parse(source);
        }
    });
}

#[test]
fn footprints_of_deep_blocks_need_no_deep_stack() {
    let branches = format!(
        "if (a[0] == 1u) {{}}{}",
        " else if (a[0] == 2u) { a[1] = 1u; }".repeat(390)
    );
    let entry = entry(wgsl(&branches));
    // The stack that threads have by default.
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let found = thread.spawn(move || {
        let (module, info) = (&entry.module, &entry.info);
        let boxed = ([0; 3], [1; 3]);
        entry
            .analysis
            .footprint(module, info, boxed, [1; 3], &[64], &[])
    });
    assert!(!found.unwrap().join().unwrap()[0].writes.is_empty());
}

#[test]
fn long_chains_of_constants_are_read() {
    let chain: String = (1..3_000)
        .map(|i| format!("let x{i} = x{} * 3u + 1u;\n", i - 1))
        .collect();
    let entry = entry(wgsl(&format!("let x0 = a[1];\n{chain}a[0] = x2999;")));
    on_a_small_stack(move || super::rewrites(&entry).unwrap());
}

#[test]
fn declarations_in_a_long_chain_are_read() {
    let chain: String = (1..30_000)
        .rev()
        .map(|i| format!("const x{i} = x{};\n", i - 1))
        .collect();
    let shader = format!("{chain}const x0 = 5u;\n{}", wgsl("a[0] = x29999;"));
    on_a_small_stack(move || {
        entry(&shader);
    });
}
