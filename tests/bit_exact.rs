//! Kernels of the rewriter's own tests through the whole runtime, in a quarter of the memory that they bind: every byte of
//! every binding is what the original gives under plain wgpu on the same adapter.
//!
//! All of them, with translations placed by hand, are compared in gmem-wgpu's tests; here the manager decides.

mod adapters;
mod common;
mod skipped;

use common::Rng;
use gmem::gpu::PlainKernel;
use gmem::{DeviceChoice, Gmem, Placement, Vector};

const PAGE: u64 = 4096;

/// A kernel with its data: storage and uniforms in binding order.
struct Case {
    name: &'static str,
    source: &'static str,
    storage: Vec<Vec<u8>>,
    uniforms: Vec<Vec<u8>>,
    grid: [u32; 3],
}

macro_rules! case {
    ($name:literal, $grid:expr, [$($storage:expr),*], [$($uniform:expr),*]) => {
        Case {
            name: $name,
            source: include_str!(concat!("../shaders/tests/in/", $name, ".wgsl")),
            storage: vec![$($storage),*],
            uniforms: vec![$($uniform),*],
            grid: $grid,
        }
    };
}

fn words(words: impl IntoIterator<Item = u32>) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn zeros(words: usize) -> Vec<u8> {
    vec![0; words * 4]
}

fn any(seed: u64, words: usize) -> Vec<u8> {
    let mut out = zeros(words);
    Rng(seed).fill(&mut out);
    out
}

/// Small odd multiples of 1/16: sums and products of a few are exact, whatever a driver contracts.
fn floats(seed: u64, words: usize) -> Vec<u8> {
    let mut rng = Rng(seed);
    let one = |_| ((rng.below(256) as f32) * 2.0 - 255.0) / 16.0;
    (0..words).map(one).flat_map(f32::to_le_bytes).collect()
}

/// For each of `n`, an index below `bound` not far from it.
fn near(seed: u64, n: u64, bound: u64) -> Vec<u8> {
    let mut rng = Rng(seed);
    words((0..n).map(|i| ((i * bound / n + rng.below(600)) % bound) as u32))
}

fn cases() -> Vec<Case> {
    let n = 16 << 10;
    vec![
        case!(
            "saxpy",
            [256, 1, 1],
            [floats(1, n), floats(2, n)],
            [[words([n as u32 - 5]), 1.5_f32.to_le_bytes().to_vec()].concat()]
        ),
        case!(
            "saxpy4",
            [40, 1, 1],
            [floats(3, 2 * n), floats(4, 2 * n)],
            []
        ),
        case!(
            "stencil",
            [32, 16, 1],
            [floats(5, n), zeros(n)],
            [words([256, 64, 1, 1])]
        ),
        case!(
            "transpose",
            [16, 17, 1],
            [any(6, 125 * 131), zeros(125 * 131)],
            [words([125, 131])]
        ),
        case!("reduce", [256, 1, 1], [any(7, 4 * n), zeros(256)], []),
        case!("pairs", [256, 1, 1], [any(8, n), zeros(n)], []),
        case!(
            "workgroup_loop",
            [128, 1, 1],
            [any(9, 4 * n), zeros(n)],
            [words([4])]
        ),
        case!(
            "gather",
            [256, 1, 1],
            [
                near(10, n as u64, 8192),
                near(11, 8192, n as u64),
                floats(12, 4 * n),
                zeros(4 * n),
                zeros(n)
            ],
            []
        ),
        case!(
            "spmv",
            [64, 1, 1],
            [
                words((0..=4096).map(|r| r * 4)),
                near(13, n as u64, 4096),
                floats(14, n),
                floats(15, 4096),
                zeros(4096)
            ],
            []
        ),
        case!(
            "atomics_signed",
            [1024, 1, 1],
            [any(16, 4 * n), zeros(1000), zeros(3), any(19, 4 * n)],
            []
        ),
        case!(
            "helpers",
            [256, 1, 1],
            [floats(20, n), zeros(n), any(21, n)],
            []
        ),
        case!(
            "builtins",
            [512, 1, 1],
            [any(22, n + 1), floats(23, n), zeros(n), zeros(n)],
            []
        ),
        case!(
            "switches",
            [512, 1, 1],
            [
                words((0..n as u32).map(|i| (i % 8).wrapping_sub(3) * u32::from(i > 0))),
                any(24, n)
            ],
            []
        ),
        case!(
            "nested_calls",
            [512, 1, 1],
            [
                (0..4096_u32)
                    .zip(floats(17, 4096).chunks(4))
                    .flat_map(|(i, value)| [&words([2 * i + 1, 2 * i + 2]), value].concat())
                    .collect(),
                floats(18, n),
                zeros(n),
                zeros(8 * n)
            ],
            []
        ),
        case!("ids", [16, 8, 8], [zeros(8 * n)], []),
    ]
}

#[test]
fn kernels_in_a_quarter_of_their_memory_give_what_the_original_gives() {
    for adapter in adapters::adapters() {
        for case in cases() {
            let bytes: u64 = case.storage.iter().map(|b| b.len() as u64).sum();
            for placement in [Placement::Contiguous, Placement::Scattered] {
                let what = format!("{adapter}: {} {placement:?}", case.name);
                // Whole frames and one guard, in no more than a quarter.
                let cap = (bytes / 4 - 256) / PAGE * PAGE + 256;
                let gm = Gmem::builder()
                    .device(DeviceChoice::Gpu(adapter.clone()))
                    .device_memory(cap)
                    .page_size(PAGE)
                    .placement(placement)
                    .build()
                    .unwrap();
                let kernel = gm.kernel(case.source).unwrap();
                let mut memory: Vec<Vector<u8>> = case
                    .storage
                    .iter()
                    .map(|bytes| gm.alloc(bytes.len()).unwrap())
                    .collect();
                memory
                    .iter_mut()
                    .zip(&case.storage)
                    .for_each(|(m, bytes)| m.copy_from_slice(bytes));
                let mut launch = kernel.launch(case.grid);
                for (info, memory) in kernel.storage().iter().zip(&mut memory) {
                    launch = launch.bind(&info.name, memory);
                }
                for (info, bytes) in kernel.uniforms().iter().zip(&case.uniforms) {
                    launch = launch.uniform_bytes(&info.name, bytes);
                }
                let report = launch.run().unwrap_or_else(|e| panic!("{what}: {e}"));

                let device = gm.device(0).unwrap();
                let sizes: Vec<u64> = case.storage.iter().map(|b| b.len() as u64).collect();
                let gpu = device.gpu().unwrap();
                let plain = PlainKernel::prepare(
                    gpu,
                    case.source,
                    None,
                    &[],
                    &sizes,
                    &case.uniforms,
                    case.grid,
                )
                .unwrap();
                for (i, bytes) in case.storage.iter().enumerate() {
                    plain.write(i, bytes).unwrap();
                }
                plain.dispatch_and_wait().unwrap();
                for (i, (info, memory)) in kernel.storage().iter().zip(&memory).enumerate() {
                    let expected = plain.read(i).unwrap();
                    assert_eq!(
                        expected != case.storage[i],
                        info.writes,
                        "{what}: `{}`",
                        info.name
                    );
                    if let Some(at) = (0..expected.len()).find(|&at| memory[at] != expected[at]) {
                        panic!(
                            "{what}: byte {at} of `{}` is {}, not {}",
                            info.name, memory[at], expected[at]
                        );
                    }
                }
                let stats = gm.stats();
                assert!(
                    stats.devices[0].1.peak_windows <= bytes / 4,
                    "{what}: over the cap"
                );
                assert!(
                    report.passes >= 4,
                    "{what}: {} passes cannot have seen all of it",
                    report.passes
                );
                println!(
                    "{what}: {} passes, {} evictions",
                    report.passes, stats.counts.evictions
                );
            }
        }
    }
}
