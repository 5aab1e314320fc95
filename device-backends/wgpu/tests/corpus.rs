//! Every kernel of the rewriter's own tests, on every adapter: bit for bit what the original gives under plain wgpu.
//!
//! Data comes from reflection: arrays of 1024 elements, integers below 16 (so that they are indices into anything),
//! floats that are small multiples of 1/16. What a kernel needs beyond that stands in `prepare`.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gmem_hal::{DeviceError, PageSize};
use gmem_shaders::naga::proc::IndexableLength;
use gmem_shaders::naga::{Handle, Module, Type, TypeInner, VectorSize};
use gmem_shaders::{Program, ScalarLeaf, StorageBinding};
use gmem_wgpu::{PlainError, WgpuKernel};
use support::{Bench, Case, PAGE, Way, check, devices, floats, indices, plain, words};

const ELEMENTS: u32 = 1024;

/// Kernels whose results are not a function of their data under plain wgpu, and why.
const SKIPPED: [(&str, &str, &str); 5] = [
    (
        "long_copies",
        "vulkan",
        "the original takes a minute to compile; `stored.rs` knows what such copies give",
    ),
    (
        "long_copies",
        "gl",
        "the original takes a minute to compile; `stored.rs` knows what such copies give",
    ),
    (
        "robust",
        "vulkan",
        "it leaves its arrays on purpose, which plain wgpu answers differently from driver to driver",
    ),
    (
        "robust",
        "gl",
        "it leaves its arrays on purpose, which plain wgpu answers differently from driver to driver",
    ),
    (
        "structs",
        "gl",
        "the original is wrong there: GLSL knows no `@align`, so its members lie elsewhere",
    ),
];

fn data(binding: &StorageBinding, elements: u32, seed: u64) -> Vec<u8> {
    let bytes = binding
        .runtime
        .map_or(binding.min_bytes, |r| r.offset + r.stride * elements) as usize;
    let words = bytes.div_ceil(4);
    if [
        "f16",
        "vec4<f16>",
        "mat3x3<f16>",
        "array<f16, 3>",
        "vec2<f16>",
    ]
    .contains(&binding.element.as_str())
    {
        // 0.5, 1, 2 and the like: what is computed from a few of them is exact.
        let mut halves: Vec<u8> = indices(seed, bytes.div_ceil(2), 6)
            .chunks_exact(4)
            .flat_map(|c| (0x3800 + 0x400 * u16::from(c[0])).to_le_bytes())
            .collect();
        halves.truncate(bytes);
        return halves;
    }
    let mut data = match binding.scalar {
        Some(ScalarLeaf::F32) => floats(seed, words),
        _ => indices(seed, words, 16),
    };
    data.truncate(bytes);
    data
}

/// What reflection cannot know of a kernel.
fn prepare(case: &mut Case) {
    match case.name.as_str() {
        // Some of these index the components of vectors, and are taken modulo 3 for others.
        "components" => case.data[2] = indices(3, ELEMENTS as usize, 4),
        // A start of 0 never ends.
        "collatz" => case.data[0] = words((0..ELEMENTS).map(|i| i % 97 + 1)),
        // One node, so that what is found is found in one order. All levels are open.
        "bfs" => {
            case.data[2] = words(vec![u32::MAX; ELEMENTS as usize]);
            case.data[3] = words([3]);
            case.data[0] = words((0..ELEMENTS).map(|i| i * 5));
        }
        _ => {}
    }
}

/// Marks the bytes of a type that are not padding.
fn mark(module: &Module, ty: Handle<Type>, at: usize, out: &mut [bool]) {
    match module.types[ty].inner {
        TypeInner::Array { base, size, stride } => {
            let n = match size.resolve(module.to_ctx()) {
                Ok(IndexableLength::Known(n)) => n as usize,
                _ => (out.len() - at) / stride as usize,
            };
            (0..n).for_each(|i| mark(module, base, at + i * stride as usize, out));
        }
        TypeInner::Struct { ref members, .. } => {
            members
                .iter()
                .for_each(|m| mark(module, m.ty, at + m.offset as usize, out));
        }
        TypeInner::Matrix {
            columns,
            rows,
            scalar,
        } => {
            let width = usize::from(scalar.width);
            let stride = if rows == VectorSize::Tri {
                4
            } else {
                rows as usize
            } * width;
            (0..columns as usize)
                .for_each(|c| out[at + c * stride..][..rows as usize * width].fill(true));
        }
        ref inner => out[at..][..inner.size(module.to_ctx()) as usize].fill(true),
    }
}

fn case(name: &str, source: &str) -> Result<Case, String> {
    let entry = Program::from_wgsl(source)
        .and_then(|p| p.entry(None, &[]))
        .map_err(|e| e.to_string())?;
    let data = entry
        .storage
        .iter()
        .enumerate()
        .map(|(i, b)| data(b, ELEMENTS, i as u64 + 1))
        .collect();
    let values = (entry.values.iter())
        .map(|value| {
            let mut bytes = vec![0; value.bytes as usize];
            for leaf in &value.leaves {
                let word = match leaf.scalar.kind {
                    gmem_shaders::naga::ScalarKind::Float => 1.5f32.to_le_bytes(),
                    _ => 8u32.to_le_bytes(),
                };
                bytes[leaf.offset as usize..leaf.offset as usize + 4].copy_from_slice(&word);
            }
            bytes
        })
        .collect();
    let mut case = Case::new(name, source, data, values, [2, 1, 1]);
    prepare(&mut case);
    for (binding, data) in entry.storage.iter().zip(&case.data) {
        let mut mask = vec![false; data.len()];
        mark(
            &entry.module,
            entry.module.global_variables[binding.global].ty,
            0,
            &mut mask,
        );
        case.masks.push(mask);
    }
    Ok(case)
}

#[test]
fn every_kernel_of_the_rewriters_tests_gives_what_the_original_gives() {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shaders/tests/in");
    let folder = std::env::var_os("GMEM_TEST_KERNELS").map_or_else(here, PathBuf::from);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no kernels in {}", folder.display());
    let mut failures = Vec::new();
    for window_bytes in [None, Some(180 * PAGE + 256)] {
        for device in devices(2 << 20, window_bytes) {
            let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
            let adapter = format!(
                "{} with {} windows",
                device.adapter().backend,
                bench.windows.len()
            );
            let only = std::env::var("GMEM_TEST_KERNEL").unwrap_or_default();
            for file in files
                .iter()
                .filter(|f| only.is_empty() || f.file_stem().is_some_and(|n| *n == *only))
                .filter(|f| f.extension().is_some_and(|e| e == "wgsl"))
            {
                let name = file.file_stem().unwrap().to_string_lossy().into_owned();
                let source = std::fs::read_to_string(file).unwrap();
                let backend = device.adapter().backend;
                if let Some((.., why)) =
                    SKIPPED.iter().find(|(n, b, _)| *n == name && *b == backend)
                {
                    support::skipped(format_args!("{adapter}: {name}: {why}"));
                    continue;
                }
                // Over a thousand accesses with a switch each: this driver takes half a minute to compile them.
                if name == "wide_struct" && backend == "gl" && bench.windows.len() > 1 {
                    support::skipped(format_args!("{adapter}: {name}: it compiles too long"));
                    continue;
                }
                let case = match case(&name, &source) {
                    Ok(case) => case,
                    Err(error) => {
                        support::skipped(format_args!(
                            "{adapter}: {name}: it is for no backend: {error}"
                        ));
                        continue;
                    }
                };
                let results = match plain(&device, &case) {
                    Ok(results) => results,
                    // What plain wgpu cannot run on this adapter has nothing to be compared with.
                    Err(PlainError::Device(DeviceError::Unsupported { reason })) => {
                        support::skipped(format_args!("{adapter}: {name}: plain wgpu: {reason}"));
                        continue;
                    }
                    Err(error) => panic!("{adapter}: {name} under plain wgpu: {error}"),
                };
                let kernel = WgpuKernel::compile(&device, &source, None, &[]).unwrap();
                let start = std::time::Instant::now();
                let ways: &[Way] = match bench.windows.len() {
                    1 => &[Way::Slid, Way::Paged, Way::Mixed, Way::Checked],
                    _ => &[Way::Slid, Way::Paged, Way::Mixed, Way::Checked, Way::Last],
                };
                for &way in ways {
                    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        check(&mut bench, &kernel, &case, way, &results);
                    }));
                    if checked.is_err() {
                        failures.push(format!("{adapter}: {name} {way:?}"));
                        bench.forget();
                    }
                }
                println!(
                    "{adapter}: {name} in {:.1} s",
                    start.elapsed().as_secs_f64()
                );
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
