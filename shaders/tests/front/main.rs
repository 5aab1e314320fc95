//! The front ends: WGSL, SPIR-V and GLSL in, and pointers passed to functions.

mod assembler;
mod broken;
mod glsl;
mod glsl_lacking;
mod hostile;
mod lacking;
mod passed;
mod spirv;
mod wgsl;

use std::path::PathBuf;

use gmem_shaders::{Entry, How, Mode, Program, ShaderError, Variant};
use naga::back::spv;

/// The kernels of the rewriter's own tests: name and source.
fn kernels() -> Vec<(String, String)> {
    files("in", "wgsl")
}

fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|f| f.extension().is_some_and(|e| e == ending))
        .map(|f| {
            let name = f.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&f).unwrap())
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// An entry point as SPIR-V, with or without names.
fn to_spirv(entry: &Entry, names: bool) -> Vec<u32> {
    let mut options = spv::Options {
        lang_version: (1, 3),
        // As compilers write it: without the writer's own counters in loops.
        force_loop_bounding: false,
        ..spv::Options::default()
    };
    options.flags.set(spv::WriterFlags::DEBUG, names);
    let pipeline = spv::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: entry.name.clone(),
    };
    spv::write_vec(&entry.module, &entry.info, &options, Some(&pipeline)).unwrap()
}

/// Rewrites an entry point in every way; what is rewritten has been validated.
fn rewrites(entry: &Entry) -> Result<(), ShaderError> {
    let variants = [
        (Mode::Run, How::Slid { window: 0 }),
        (Mode::Run, How::Paged),
        (Mode::Probe, How::Paged),
    ];
    for (mode, how) in variants {
        let variant = Variant {
            mode,
            page_shift: 16,
            windows: 2,
            bindings: vec![how; entry.storage.len()],
        };
        match entry.rewrite(&variant) {
            Ok(_) => {}
            Err(ShaderError::NotProbeable(_)) if mode == Mode::Probe => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The only entry point of a shader.
#[track_caller]
fn entry<'a>(source: impl Into<gmem_shaders::Source<'a>>) -> Entry {
    match Program::parse(source).and_then(|p| p.entry(None, &[])) {
        Ok(entry) => entry,
        Err(error) => panic!("{error}"),
    }
}

/// The error that a shader is refused with.
#[track_caller]
fn refused<'a>(source: impl Into<gmem_shaders::Source<'a>>) -> ShaderError {
    match Program::parse(source).and_then(|p| p.entry(None, &[])) {
        Ok(_) => panic!("it is accepted"),
        Err(error) => error,
    }
}
