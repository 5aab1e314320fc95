//! Kernels that others have published, over made-up data: bit for bit what the original gives under plain wgpu on the same
//! adapter, in half of the memory that it binds, with pages of 4 KiB.
//!
//! A hundred runs, drawn by a seed: each of every entry point that the project's dependencies publish and whose result is a
//! function of its data. What is right about the result is told elsewhere: `tests/vello` and `tests/algorithms` have CPU versions.

mod adapters;
mod paging;
mod skipped;

use std::borrow::Cow;

use gmem::gpu::{AdapterChoice, PlainKernel};
use gmem::{Error, Kernel, StorageInfo, Vector};
use gmem_runtime::LaunchError;
use paging::{Chance, GUARD, is_gl, space};

const PAGE: u64 = 4096;
const RUNS: usize = 100;
/// Of a runtime-sized array.
const ELEMENTS: u32 = 4096;

/// What is not run, and why.
const LEFT_OUT: [(&str, &str); 8] = [
    ("binning", ALLOCATES),
    ("coarse", ALLOCATES),
    ("flatten", ALLOCATES),
    ("path_count", ALLOCATES),
    ("tile_alloc", ALLOCATES),
    ("fine_area", PAINTS),
    ("fine_msaa16", PAINTS),
    ("fine_msaa8", PAINTS),
];
const ALLOCATES: &str = "it allocates by atomics, in the order in which workgroups come: `tests/vello` knows that order's forms";
const PAINTS: &str =
    "it paints textures, which the reference does not bind: `tests/resources.rs` has such kernels";

struct Published {
    name: &'static str,
    source: Cow<'static, str>,
    groups: [u32; 3],
    uniform: Vec<u32>,
}

fn vello() -> Vec<Published> {
    let s = vello_shaders::SHADERS;
    // Tiles in width and height, pixels, colour, objects, paths, clips, where the bins' data begin, where each stream of the
    // scene begins, and how much each allocation has.
    let config = vec![
        16, 16, 256, 256, 0, 1500, 2000, 500, 1000, 17, 33, 5, 9, 3, 2, 999, 999, 999, 999, 999,
        999, 999,
    ];
    [
        ("backdrop", s.backdrop),
        ("backdrop_dyn", s.backdrop_dyn),
        ("bbox_clear", s.bbox_clear),
        ("binning", s.binning),
        ("clip_leaf", s.clip_leaf),
        ("clip_reduce", s.clip_reduce),
        ("coarse", s.coarse),
        ("draw_leaf", s.draw_leaf),
        ("draw_reduce", s.draw_reduce),
        ("fine_area", s.fine_area),
        ("fine_msaa16", s.fine_msaa16),
        ("fine_msaa8", s.fine_msaa8),
        ("flatten", s.flatten),
        ("path_count", s.path_count),
        ("path_count_setup", s.path_count_setup),
        ("path_tiling", s.path_tiling),
        ("path_tiling_setup", s.path_tiling_setup),
        ("pathtag_reduce", s.pathtag_reduce),
        ("pathtag_reduce2", s.pathtag_reduce2),
        ("pathtag_scan1", s.pathtag_scan1),
        ("pathtag_scan_large", s.pathtag_scan_large),
        ("pathtag_scan_small", s.pathtag_scan_small),
        ("tile_alloc", s.tile_alloc),
    ]
    .into_iter()
    .map(|(name, shader)| Published {
        name,
        source: shader.wgsl.code,
        groups: match name {
            // Where the next workgroup's output begins is what the stage before it says, not chance.
            "draw_leaf" | "path_count_setup" | "path_tiling_setup" => [1, 1, 1],
            _ => [8, 1, 1],
        },
        uniform: config.clone(),
    })
    .collect()
}

fn fft() -> Vec<Published> {
    use wgsl_fft::shaders as s;
    [
        // Points, and how far apart the last level left them.
        ("r4", s::R4_WGSL, [1024, 16, 0, 0]),
        ("r2", s::R2_WGSL, [1024, 16, 0, 0]),
        // Points, stage, direction.
        ("cooley_tukey_r2", s::COOLEY_TUKEY_R2_WGSL, [1024, 4, 1, 0]),
        ("normalize", s::NORMALIZE_VEC2_WGSL, [1024, 0, 0, 0]),
        // Points, and the bits of their indices.
        ("bit_reversal", s::BIT_REVERSAL_WGSL, [1024, 10, 0, 0]),
        // Points, and those that there are room for.
        ("chirp", s::BLUESTEIN_CHIRP_WGSL, [500, 1024, 0, 0]),
        (
            "inverse_chirp",
            s::BLUESTEIN_INV_CHIRP_WGSL,
            [500, 1024, 0, 0],
        ),
        ("zero_pad", s::BLUESTEIN_ZERO_PAD_WGSL, [500, 1024, 0, 0]),
    ]
    .into_iter()
    .map(|(name, source, uniform)| Published {
        name,
        source: Cow::Borrowed(source),
        groups: [8, 2, 1],
        uniform: uniform.to_vec(),
    })
    .collect()
}

/// Integers below 8, which are indices into anything, and multiples of 1/16: nothing that leads a kernel astray.
fn data(kernel: &str, info: &StorageInfo, chance: &mut Chance) -> Vec<u8> {
    let bytes = info.stride.map_or(info.min_bytes, |stride| {
        info.min_bytes + stride * (ELEMENTS - 1)
    });
    let floats = matches!(info.scalar, Some(gmem::gpu::ScalarLeaf::F32));
    let word = |at: u32, chance: &mut Chance| match (kernel, info.name.as_str()) {
        // Words that are draw tags as often as not.
        ("draw_leaf" | "draw_reduce", "scene") => {
            chance.pick(&[0x44, 0x114, 0x28c, 0x49, 0x21, 0, 1, 0x4000_0000])
        }
        // Any word is four path tags.
        (_, "scene") => chance.next() as u32,
        // Two tiles in a row, each path its own: a box, where its tiles begin, padding.
        ("backdrop_dyn", "paths") => [0, 0, 2, 1, at / 8 * 2, 0, 0, 0][at as usize % 8],
        // No stage before it failed.
        (_, "bump") if at == 0 => 0,
        _ if floats => (chance.below(255) as f32 / 16.0 - 7.0).to_bits(),
        _ => chance.below(8),
    };
    (0..bytes / 4)
        .flat_map(|at| word(at, chance).to_le_bytes())
        .collect()
}

fn launch(
    kernel: &Kernel,
    published: &Published,
    memory: &mut [Vector<u8>],
) -> Result<gmem::LaunchReport, Error> {
    let mut launch = kernel.launch(published.groups);
    for (info, memory) in kernel.storage().iter().zip(memory) {
        launch = launch.bind(&info.name, memory);
    }
    for info in kernel.uniforms() {
        launch = launch.uniform_bytes(&info.name, bytemuck::cast_slice(&published.uniform));
    }
    launch.run()
}

/// A software GL takes up to a minute to compile the zeroing of workgroup memory, for each variant. (`tests/vello` does wait for it.)
fn compiles_soon(adapter: &AdapterChoice, published: &Published) -> bool {
    !is_gl(adapter) || !published.source.contains("var<workgroup>")
}

/// Runs a kernel over data of so many seeds, in half of its memory, or in as much more as one workgroup needs.
fn compare(adapter: &AdapterChoice, published: &Published, seeds: &[u64]) {
    let what = format!("{adapter}: {}", published.name);
    // Of how many pages it takes half is known when its bindings are.
    let mut frames = 0;
    loop {
        let gm = space(adapter, PAGE, frames.max(1) * PAGE + GUARD);
        let kernel = gm
            .kernel(&*published.source)
            .unwrap_or_else(|e| panic!("{what}: {e}"));
        let first: Vec<Vec<u8>> = (kernel.storage().iter())
            .map(|info| data(published.name, info, &mut Chance(0)))
            .collect();
        let pages: u64 = first.iter().map(|b| (b.len() as u64).div_ceil(PAGE)).sum();
        if frames == 0 {
            frames = (pages / 2).max(1);
            continue;
        }
        let mut memory: Vec<Vector<u8>> = (first.iter())
            .map(|bytes| gm.alloc(bytes.len()).expect("memory"))
            .collect();
        let device = gm.device(0).expect("a device");
        let sizes: Vec<u64> = first.iter().map(|b| b.len() as u64).collect();
        let values: Vec<Vec<u8>> = (kernel.uniforms().iter())
            .map(|_| bytemuck::cast_slice(&published.uniform).to_vec())
            .collect();
        let plain = PlainKernel::prepare(
            device.gpu().expect("a GPU"),
            &*published.source,
            None,
            &[],
            &sizes,
            &values,
            published.groups,
        )
        .unwrap_or_else(|e| panic!("{what}: {e}"));
        let mut grow = None;
        for &seed in seeds {
            let mut chance = Chance(seed);
            let mut changed = false;
            let given: Vec<Vec<u8>> = (kernel.storage().iter())
                .map(|info| data(published.name, info, &mut chance))
                .collect();
            for (i, bytes) in given.iter().enumerate() {
                memory[i].copy_from_slice(bytes);
                plain.write(i, bytes).expect("a buffer");
            }
            match launch(&kernel, published, &mut memory) {
                Ok(_) => {}
                Err(Error::Launch(LaunchError::FootprintTooLarge { needed, .. }))
                    if frames < needed && needed <= pages =>
                {
                    println!("{what}: one workgroup needs {needed} of {pages} pages");
                    grow = Some(needed);
                    break;
                }
                Err(e) => panic!("{what}, seed {seed}: {e}"),
            }
            plain.dispatch_and_wait().expect("it ran");
            for (i, info) in kernel.storage().iter().enumerate() {
                let expected = plain.read(i).expect("a buffer");
                changed |= expected != given[i];
                if let Some(at) = (0..expected.len()).find(|&at| memory[i][at] != expected[at]) {
                    panic!(
                        "{what}, seed {seed}: byte {at} of `{}` is {}, not {}",
                        info.name, memory[i][at], expected[at]
                    );
                }
            }
            // Only where the stages before it have allocated does this one write.
            assert!(
                changed || published.name == "path_tiling",
                "{what}, seed {seed}: it did nothing"
            );
        }
        let Some(needed) = grow else { return };
        frames = needed;
    }
}

#[test]
fn published_kernels_in_half_of_their_memory_give_what_the_original_gives() {
    let mut all: Vec<Published> = vello().into_iter().chain(fft()).collect();
    for (name, why) in LEFT_OUT {
        let before = all.len();
        all.retain(|p| p.name != name);
        assert_eq!(all.len() + 1, before, "{name} is left out: {why}");
    }
    // Each in turn, and from there on whichever comes up.
    let mut chance = Chance(11);
    let mut seeds = vec![Vec::new(); all.len()];
    for run in 0..RUNS {
        let which = if run < all.len() {
            run
        } else {
            chance.below(all.len() as u32) as usize
        };
        seeds[which].push(chance.next());
    }
    for adapter in adapters::adapters() {
        for (published, seeds) in all.iter().zip(&seeds) {
            if !compiles_soon(&adapter, published) {
                skipped::skipped(format_args!(
                    "{adapter}: {} compiles slowly there",
                    published.name
                ));
                continue;
            }
            compare(&adapter, published, seeds);
        }
    }
}
