//! GLSL in.

use gmem_shaders::{Program, ScalarLeaf, ShaderError, Source};

use super::{entry, files, refused, rewrites};

fn kernel(name: &str) -> String {
    let all = files("glsl", "comp");
    all.into_iter().find(|(n, _)| n == name).unwrap().1
}

#[test]
fn kernels_are_read_and_rewritten() {
    for (name, text) in files("glsl", "comp") {
        let program = Program::parse(Source::glsl(text)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(program.entry_points(), ["main"], "{name}");
        let entry = program
            .entry(None, &[])
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        rewrites(&entry).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn blocks_without_a_variable_go_by_their_own_name() {
    let entry = entry(Source::glsl(kernel("saxpy")));
    assert_eq!(entry.workgroup_size, [64, 1, 1]);
    let [left, right] = &entry.storage[..] else {
        panic!("{:?}", entry.storage)
    };
    assert_eq!(
        (left.name.as_str(), left.reads, left.writes),
        ("Left", true, false)
    );
    assert_eq!(
        (right.name.as_str(), right.reads, right.writes),
        ("Right", true, true)
    );
    assert_eq!(left.runtime.map(|r| (r.offset, r.stride)), Some((0, 4)));
    assert_eq!(left.scalar, Some(ScalarLeaf::F32));
    assert_eq!(entry.values[0].name, "args");
    let offsets: Vec<_> = entry.values[0].leaves.iter().map(|l| l.offset).collect();
    assert_eq!(offsets, [0, 4]);
}

#[test]
fn sets_are_groups_and_layouts_are_std430() {
    let reduce = entry(Source::glsl(kernel("reduce")));
    let slots: Vec<_> = (reduce.storage.iter())
        .map(|s| (s.name.as_str(), s.group, s.binding))
        .collect();
    assert_eq!(slots, [("source", 1, 4), ("result", 1, 5)]);
    assert_eq!(reduce.workgroup_size, [128, 1, 1]);
    let particles = entry(Source::glsl(kernel("particles")));
    let runtime = particles.storage[0].runtime.map(|r| (r.offset, r.stride));
    assert_eq!(runtime, Some((16, 80)));
    assert_eq!(particles.storage[1].min_bytes, 16);
}

#[test]
fn specialisation_constants_are_overrides() {
    let program = Program::parse(Source::glsl(kernel("particles"))).unwrap();
    for key in ["WIDTH", "7"] {
        assert!(
            program.entry(None, &[(key.to_owned(), 32.0)]).is_ok(),
            "{key}"
        );
    }
    let unknown = program.entry(None, &[("HEIGHT".to_owned(), 1.0)]).err();
    assert!(matches!(unknown, Some(ShaderError::Override { name: Some(n), .. }) if n == "HEIGHT"));
}

#[test]
fn mistakes_are_told_with_their_line() {
    let text = kernel("saxpy").replace("y[i] = args.a", "y[i] = args.b");
    let error = refused(Source::glsl(text));
    assert!(
        matches!(error, ShaderError::Parse { line: 9.., .. }),
        "{error}"
    );
    assert!(error.to_string().contains('b'), "{error}");
    let error = refused(Source::glsl(
        "#version 450\nvoid main() {\n  float x = ;\n}",
    ));
    assert!(
        matches!(error, ShaderError::Parse { line: 3, .. }),
        "{error}"
    );
}
