//! Stages over more than a picture has: the scan of a quarter of a million tag words in all its levels, and pages of 2 MiB.

use std::cell::RefCell;

use gmem::{Gmem, Kernel, Vector};
use vello_encoding::{ConfigUniform, PathBbox, PathMonoid};
use vello_shaders::cpu::{self, CpuBinding};
use vello_shaders::{ComputeShader, SHADERS};

use crate::adapters;
use crate::paging::{Chance, GUARD, Job, difference, is_too_slow, space};
use crate::stages::paged;

fn configured(path_tag_base: u32, n_paths: u32) -> ConfigUniform {
    let mut config = ConfigUniform::default();
    config.layout.path_tag_base = path_tag_base;
    config.layout.n_paths = n_paths;
    config
}

/// Any word is four tags.
fn tags(base: u32, groups: u32) -> Vec<u32> {
    Chance(3).words((base + groups * 256) as usize)
}

fn job<'a>(
    shader: &'a ComputeShader<'static>,
    config: &ConfigUniform,
    storage: &[&[u8]],
    groups: u32,
) -> Job<'a> {
    Job {
        name: &shader.name,
        source: &shader.wgsl.code,
        entry: None,
        storage: storage.iter().map(|s| s.to_vec()).collect(),
        uniforms: vec![bytemuck::bytes_of(config).to_vec()],
        grid: [groups, 1, 1],
    }
}

/// What vello's CPU version leaves in the last buffer.
fn on_cpu(
    stage: fn(u32, &[CpuBinding<'_>]),
    groups: u32,
    config: &ConfigUniform,
    read: &[&[u8]],
    bytes: usize,
) -> Vec<u8> {
    let last = RefCell::new(vec![0; bytes]);
    let mut bound = vec![CpuBinding::Buffer(bytemuck::bytes_of(config))];
    bound.extend(read.iter().map(|bytes| CpuBinding::Buffer(bytes)));
    bound.push(CpuBinding::BufferRW(&last));
    stage(groups, &bound);
    last.into_inner()
}

const MONOID: usize = size_of::<PathMonoid>();

/// `pathtag_reduce`, `pathtag_reduce2`, `pathtag_scan1` and `pathtag_scan_large`, each over what the one before it left on the
/// device, in an eighth of what they bind: the last monoids are those of the CPU's scan in one level. (The two in the
/// middle, which scan workgroups, have no CPU version.)
#[test]
fn a_scan_of_four_levels() {
    const GROUPS: u32 = 1024;
    let config = configured(37, 0);
    let tags = tags(37, GROUPS);
    let scene: &[u8] = bytemuck::cast_slice(&tags);
    let words = GROUPS as usize * 256;
    let reduced = on_cpu(
        cpu::pathtag_reduce,
        GROUPS,
        &config,
        &[scene],
        GROUPS as usize * MONOID,
    );
    let expected = on_cpu(
        cpu::pathtag_scan,
        GROUPS,
        &config,
        &[scene, &reduced],
        words * MONOID,
    );

    for adapter in adapters::adapters() {
        const PAGE: u64 = 4096;
        if is_too_slow(&adapter, "pathtag_scan_large") {
            continue;
        }
        let sizes = [
            reduced.len(),
            GROUPS as usize / 256 * MONOID,
            reduced.len(),
            words * MONOID,
        ];
        let all: usize = scene.len() + sizes.iter().sum::<usize>();
        let cap = all as u64 / 8 / PAGE * PAGE + GUARD;
        let gm = space(&adapter, PAGE, cap);
        let kernel = |shader: ComputeShader<'static>| gm.kernel(&shader.wgsl.code).unwrap();
        let memory = |gm: &Gmem, bytes| -> Vector<u8> { gm.alloc(bytes).unwrap() };
        let mut scene_at = memory(&gm, scene.len());
        scene_at.copy_from_slice(scene);
        let [mut first, mut second, mut scanned, mut monoids] =
            sizes.map(|bytes| memory(&gm, bytes));

        let launch = |kernel: &Kernel, groups: u32, bound: &mut [(&str, &mut Vector<u8>)]| {
            let mut launch = kernel.launch([groups, 1, 1]);
            for (name, vector) in bound {
                launch = launch.bind(name, &mut **vector);
            }
            if !kernel.uniforms().is_empty() {
                launch = launch.uniform("config", &config);
            }
            launch
                .run()
                .unwrap_or_else(|e| panic!("{adapter}: {}: {e}", kernel.name()))
                .passes
        };
        let s = SHADERS;
        let passes = launch(
            &kernel(s.pathtag_reduce),
            GROUPS,
            &mut [("scene", &mut scene_at), ("reduced", &mut first)],
        );
        assert!(passes >= 2, "{adapter}: {passes} passes");
        assert!(*first == *reduced, "{adapter}: reduced");
        launch(
            &kernel(s.pathtag_reduce2),
            GROUPS / 256,
            &mut [("reduced_in", &mut first), ("reduced", &mut second)],
        );
        launch(
            &kernel(s.pathtag_scan1),
            GROUPS / 256,
            &mut [
                ("reduced", &mut first),
                ("reduced2", &mut second),
                ("tag_monoids", &mut scanned),
            ],
        );
        let passes = launch(
            &kernel(s.pathtag_scan_large),
            GROUPS,
            &mut [
                ("scene", &mut scene_at),
                ("reduced", &mut scanned),
                ("tag_monoids", &mut monoids),
            ],
        );
        assert!(passes >= 8, "{adapter}: {passes} passes");
        assert!(*monoids == *expected, "{adapter}: monoids");
        assert!(gm.stats().devices[0].1.peak_windows <= cap, "{adapter}");
    }
}

/// The last level by itself in all page sizes: of CPU versions there is one for both kernels.
#[test]
fn pathtag_scan_large() {
    const GROUPS: u32 = 300;
    let config = configured(5, 0);
    let tags = tags(5, GROUPS);
    let scene: &[u8] = bytemuck::cast_slice(&tags);
    let words = GROUPS as usize * 256;
    let reduced = on_cpu(
        cpu::pathtag_reduce,
        GROUPS,
        &config,
        &[scene],
        GROUPS as usize * MONOID,
    );
    let monoids = on_cpu(
        cpu::pathtag_scan,
        GROUPS,
        &config,
        &[scene, &reduced],
        words * MONOID,
    );
    // The kernel takes what is before each workgroup, which is the first monoid of each.
    let before: Vec<u8> = monoids
        .chunks(256 * MONOID)
        .flat_map(|group| group[..MONOID].to_vec())
        .collect();
    let shader = SHADERS.pathtag_scan_large;
    let job = job(
        &shader,
        &config,
        &[scene, &before, &vec![0; words * MONOID]],
        GROUPS,
    );
    let expected = [scene.to_vec(), before, monoids];
    paged(&job, |got, what| {
        if let Some(difference) = difference(&job, got, &expected) {
            panic!("{what}: {difference}");
        }
    });
}

/// Bounding boxes of 17 MiB in two frames of 2 MiB (256 of them lie across a page's end), and tags of 16 MiB in three.
#[test]
fn pages_of_2_mib() {
    const PAGE: u64 = 2 << 20;
    const PATHS: u32 = 700_000;
    const GROUPS: u32 = 16_384;
    let clear = {
        let config = configured(0, PATHS);
        let before = vec![0xaa; PATHS as usize * size_of::<PathBbox>()];
        let boxes = RefCell::new(before.clone());
        cpu::bbox_clear(
            1,
            &[
                CpuBinding::Buffer(bytemuck::bytes_of(&config)),
                CpuBinding::BufferRW(&boxes),
            ],
        );
        (config, before, boxes.into_inner())
    };
    let reduce = {
        let config = configured(11, 0);
        let tags = tags(11, GROUPS);
        let scene: Vec<u8> = bytemuck::cast_slice(&tags).to_vec();
        let bytes = GROUPS as usize * MONOID;
        let reduced = on_cpu(cpu::pathtag_reduce, GROUPS, &config, &[&scene], bytes);
        (config, scene, reduced)
    };
    let (clearing, reducing) = (SHADERS.bbox_clear, SHADERS.pathtag_reduce);
    for adapter in adapters::adapters() {
        for (job, expected, frames) in [
            (
                job(&clearing, &clear.0, &[&clear.1], PATHS.div_ceil(256)),
                vec![clear.2.clone()],
                2,
            ),
            (
                job(
                    &reducing,
                    &reduce.0,
                    &[&reduce.1, &vec![0; reduce.2.len()]],
                    GROUPS,
                ),
                vec![reduce.1.clone(), reduce.2.clone()],
                3,
            ),
        ] {
            assert!(job.pages(PAGE) >= 3 * frames, "{}", job.name);
            let outcome = job
                .run(&adapter, PAGE, frames)
                .unwrap_or_else(|e| panic!("{adapter}: {}: {e}", job.name));
            assert!(outcome.passes >= 3, "{adapter}: {}", outcome.passes);
            if let Some(difference) = difference(&job, &outcome.storage, &expected) {
                panic!("{adapter}: {difference}");
            }
        }
    }
}
