//! Whatever the bytes: an error, or a kernel whose every rewritten form validates. Never a panic of ours.
//!
//! The tests beside it and the targets of `fuzz/` both call this: there the bytes are a fuzzer's, here they are changed kernels.

use gmem_shaders::naga::valid::{Capabilities, ValidationFlags, Validator};
use gmem_shaders::{
    Entry, How, Mode, Program, ShaderError, Source, Variant, WorkgroupBox, panics_are_errors,
};

/// More entry points than this of one module say nothing new.
const ENTRIES: usize = 4;

/// Panics of the front ends become errors: nobody need be told of them. All others go to the hook there was.
pub fn keep_quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !panics_are_errors() {
                usual(info);
            }
        }));
    });
}

/// Bytes as WGSL; what is no UTF-8 is replaced.
pub fn wgsl(bytes: &[u8]) -> bool {
    accepted(&Source::wgsl(String::from_utf8_lossy(bytes)))
}

/// Bytes as GLSL; what is no UTF-8 is replaced.
pub fn glsl(bytes: &[u8]) -> bool {
    accepted(&Source::glsl(String::from_utf8_lossy(bytes)))
}

/// Bytes as SPIR-V, of any length.
pub fn spirv(bytes: &[u8]) -> bool {
    accepted(&Source::spirv(bytes))
}

/// Reads a shader, and analyses and rewrites its entry points; whether it was read.
///
/// # Panics
/// When something of ours panics, or what is rewritten does not validate.
pub fn accepted(source: &Source<'_>) -> bool {
    let Ok(program) = Program::parse(source) else {
        return false;
    };
    for name in program.entry_points().into_iter().take(ENTRIES) {
        let Ok(entry) = program.entry(Some(name), &[]) else {
            continue;
        };
        analyse(&entry);
        rewrite(&entry);
    }
    true
}

/// What is asked of a kernel before it is launched.
fn analyse(entry: &Entry) {
    let hazard = entry.hazard();
    assert!(
        hazard
            .waits
            .iter()
            .all(|wait| wait.binding < entry.storage.len())
    );
    let apart: Vec<usize> = (0..entry.storage.len()).collect();
    let _ = entry.analysis.probeable(&apart);
    let grid = [3, 2, 1];
    let all: WorkgroupBox = ([0; 3], grid);
    let lens: Vec<u64> = (entry.storage.iter())
        .map(|b| u64::from(b.min_bytes) + 4096)
        .collect();
    let values: Vec<Vec<u8>> = (entry.values.iter())
        .map(|v| vec![1; v.bytes as usize])
        .collect();
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let found = (entry.analysis).footprint(&entry.module, &entry.info, all, grid, &lens, &values);
    assert_eq!(found.len(), entry.storage.len());
}

/// Every way of finding a binding, where there are three windows.
const HOWS: [How; 5] = [
    How::Paged,
    How::PagedIn { window: 1 },
    How::Far,
    How::Whole { window: 0 },
    How::Slid { window: 2 },
];

/// Every way of rewriting: each mode with all bindings alike, then with neighbours unlike. Whether a variant can be had is
/// the rewriter's to say; what it makes has to be valid.
fn rewrite(entry: &Entry) {
    for (mode, hows) in [
        (Mode::Run, &HOWS[..]),
        (Mode::Checked, &HOWS[..4]),
        (Mode::Probe, &HOWS[..3]),
    ] {
        for how in hows {
            attempt(entry, mode, 3, |_| *how);
        }
        attempt(entry, mode, 3, |i| hows[i % hows.len()]);
        // One window: there is nothing to choose.
        attempt(entry, mode, 1, |i| match (mode, i % 2) {
            (Mode::Run, 1) => How::Slid { window: 0 },
            (Mode::Checked, 1) => How::Whole { window: 0 },
            _ => How::Paged,
        });
    }
}

fn attempt(entry: &Entry, mode: Mode, windows: u32, how: impl Fn(usize) -> How) {
    let variant = Variant {
        mode,
        page_shift: if windows == 1 { 12 } else { 16 },
        windows,
        bindings: (0..entry.storage.len()).map(how).collect(),
    };
    match entry.rewrite(&variant) {
        Ok(rewritten) => {
            let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
            if let Err(error) = validator.validate(&rewritten.module) {
                panic!("`{}`, {variant:?}: {error:?}", entry.name);
            }
        }
        Err(error @ (ShaderError::Internal(_) | ShaderError::Variant(_))) => {
            panic!("`{}`, {variant:?}: {error}", entry.name)
        }
        Err(_) => {}
    }
}
