//! Every kernel of `tests/in` is rewritten for every kind of variant; the plain ones are kept as snapshots.

use gmem_shaders::{Entry, How, Mode, Program, Rewritten, ShaderError, Variant};

fn variants(bindings: usize) -> Vec<(&'static str, Variant)> {
    let make = |mode, windows, how: fn(usize) -> How| Variant {
        mode,
        page_shift: 16,
        windows,
        bindings: (0..bindings).map(how).collect(),
    };
    vec![
        ("slid", make(Mode::Run, 1, |_| How::Slid { window: 0 })),
        ("paged", make(Mode::Run, 1, |_| How::Paged)),
        (
            "mixed",
            make(Mode::Run, 3, |i| match i % 3 {
                0 => How::Slid {
                    window: i as u32 % 2,
                },
                _ => How::Paged,
            }),
        ),
        ("whole", make(Mode::Run, 2, |_| How::Whole { window: 1 })),
        ("paged in 3 windows", make(Mode::Run, 3, |_| How::Paged)),
        (
            "paged in the last of 3 windows",
            make(Mode::Run, 3, |_| How::PagedIn { window: 2 }),
        ),
        ("far", make(Mode::Run, 3, |_| How::Far)),
        ("probe", make(Mode::Probe, 1, |_| How::Paged)),
        (
            "probe in the second of 2 windows",
            make(Mode::Probe, 2, |_| How::PagedIn { window: 1 }),
        ),
        ("far probe", make(Mode::Probe, 3, |_| How::Far)),
        ("probe in 3 windows", make(Mode::Probe, 3, |_| How::Paged)),
        ("checked", make(Mode::Checked, 1, |_| How::Paged)),
        (
            "checked in 3 windows, some whole",
            make(Mode::Checked, 3, |i| match i % 2 {
                0 => How::Whole { window: 2 },
                _ => How::Paged,
            }),
        ),
    ]
}

fn entry(source: &str) -> Entry {
    match Program::from_wgsl(source).and_then(|p| p.entry(None, &[])) {
        Ok(entry) => entry,
        Err(e) => panic!("{e}"),
    }
}

fn text(rewritten: &Rewritten) -> String {
    use gmem_shaders::naga::{back::wgsl, valid};
    let info = valid::Validator::new(valid::ValidationFlags::all(), valid::Capabilities::all())
        .validate(&rewritten.module)
        .expect("valid");
    wgsl::write_string(&rewritten.module, &info, wgsl::WriterFlags::empty()).expect("written")
}

#[test]
fn kernels_rewrite_for_every_variant() {
    insta::glob!("in/*.wgsl", |path| {
        let entry = entry(&std::fs::read_to_string(path).expect("readable"));
        for (name, variant) in variants(entry.storage.len()) {
            let rewritten = match entry.rewrite(&variant) {
                Ok(rewritten) => text(&rewritten),
                Err(e @ ShaderError::NotProbeable(_)) if variant.mode == Mode::Probe => {
                    e.to_string()
                }
                Err(e) => panic!("{}: {name}: {e}", path.display()),
            };
            if ["slid", "paged", "probe", "checked"].contains(&name) {
                insta::with_settings!({ omit_expression => true }, {
                    insta::assert_snapshot!(name, rewritten);
                });
            }
        }
    });
}

/// With nothing to choose, a kernel in the last of three windows is that in the only one: it binds no other, and no
/// function of it switches.
#[test]
fn one_window_of_many_costs_nothing() {
    for path in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/in")).expect("a folder")
    {
        let path = path.expect("readable").path();
        let entry = entry(&std::fs::read_to_string(&path).expect("readable"));
        let variant = |windows, how| Variant {
            mode: Mode::Run,
            page_shift: 16,
            windows,
            bindings: vec![how; entry.storage.len()],
        };
        let only = entry.rewrite(&variant(1, How::Paged)).expect("rewritten");
        let last = entry
            .rewrite(&variant(3, How::PagedIn { window: 2 }))
            .expect("rewritten");
        let mut expected = text(&only);
        for (_, global) in only.module.global_variables.iter() {
            let name = global.name.clone().unwrap_or_default();
            if let Some(view) = name
                .strip_suffix("_0")
                .filter(|_| name.starts_with("gmem_"))
            {
                expected = expected.replace(&name, &format!("{view}_2"));
            }
        }
        assert_eq!(text(&last), expected, "{}", path.display());
        assert_eq!(only.slots.len(), last.slots.len(), "{}", path.display());
    }
}

#[test]
fn back_ends_take_every_rewritten_module() {
    use gmem_shaders::naga::{ShaderStage, back, proc::BoundsCheckPolicies, valid};
    for path in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/in")).expect("a folder")
    {
        let path = path.expect("readable").path();
        let entry = entry(&std::fs::read_to_string(&path).expect("readable"));
        for (name, variant) in variants(entry.storage.len()) {
            let Ok(rewritten) = entry.rewrite(&variant) else {
                continue;
            };
            let module = &rewritten.module;
            let info =
                valid::Validator::new(valid::ValidationFlags::all(), valid::Capabilities::all())
                    .validate(module)
                    .expect("valid");
            let stage = ShaderStage::Compute;
            let options = back::spv::PipelineOptions {
                shader_stage: stage,
                entry_point: rewritten.entry.clone(),
            };
            back::spv::write_vec(
                module,
                &info,
                &back::spv::Options::default(),
                Some(&options),
            )
            .unwrap_or_else(|e| panic!("{}: {name}: {e}", path.display()));
            // GLSL ES 3.1 has no subgroups, no atomic floats, and only 32-bit scalars.
            let beyond = [
                "subgroups",
                "f16",
                "f16_vectors",
                "i16",
                "wide",
                "wide_atomics",
                "float_atomics",
            ];
            if path
                .file_stem()
                .is_some_and(|name| beyond.iter().any(|b| name == *b))
            {
                continue;
            }
            let options = back::glsl::Options {
                version: back::glsl::Version::new_gles(310),
                ..back::glsl::Options::default()
            };
            let pipeline = back::glsl::PipelineOptions {
                shader_stage: stage,
                entry_point: rewritten.entry.clone(),
                multiview: None,
            };
            let mut out = String::new();
            back::glsl::Writer::new(
                &mut out,
                module,
                &info,
                &options,
                &pipeline,
                BoundsCheckPolicies::default(),
            )
            .and_then(|mut w| w.write())
            .unwrap_or_else(|e| panic!("{}: {name}: {e}", path.display()));
        }
    }
}
