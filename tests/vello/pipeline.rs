//! Vello's own CPU stages over a picture, in their order: what each stage reads, and what it leaves.

use std::cell::RefCell;
use std::collections::BTreeMap;

use vello_encoding::{
    BufferSizes, BumpAllocators, ConfigUniform, Path, PathSegment, Tile, WorkgroupCounts,
};
use vello_shaders::cpu::{self, CpuBinding};
use vello_shaders::{ComputeShader, SHADERS};

use crate::paging::Job;
use crate::scene::{SIDE, Scene};

/// A stage as it ran.
pub struct Step {
    pub shader: ComputeShader<'static>,
    pub config: ConfigUniform,
    /// Whether it binds the configuration, which then is its only uniform.
    configured: bool,
    pub groups: [u32; 3],
    /// Its storage bindings in order: contents before and after.
    pub before: Vec<Vec<u8>>,
    pub after: Vec<Vec<u8>>,
}

impl Step {
    /// The kernel over the same data.
    pub fn job(&self) -> Job<'_> {
        Job {
            name: &self.shader.name,
            source: &self.shader.wgsl.code,
            entry: None,
            storage: self.before.clone(),
            uniforms: if self.configured {
                vec![bytemuck::bytes_of(&self.config).to_vec()]
            } else {
                Vec::new()
            },
            grid: self.groups,
        }
    }
}

type CpuStage = fn(u32, &[CpuBinding<'_>]);

struct Pipeline {
    config: ConfigUniform,
    buffers: BTreeMap<&'static str, RefCell<Vec<u8>>>,
    steps: Vec<Step>,
}

impl Pipeline {
    fn buffer(&mut self, name: &'static str, bytes: u32) {
        let fresh = RefCell::new(vec![0; bytes as usize]);
        self.buffers.insert(name, fresh);
    }

    fn now(&self, names: &[&str]) -> Vec<Vec<u8>> {
        let storage = names.iter().filter(|&&name| name != "config");
        storage
            .map(|&name| self.buffers[name].borrow().clone())
            .collect()
    }

    /// Runs a stage over buffers in the order of its bindings.
    fn run(
        &mut self,
        shader: ComputeShader<'static>,
        cpu: CpuStage,
        (x, y, z): (u32, u32, u32),
        names: &[&'static str],
    ) {
        assert_eq!(shader.bindings.len(), names.len(), "{}", shader.name);
        let before = self.now(names);
        let bound: Vec<CpuBinding<'_>> = names
            .iter()
            .map(|&name| match name {
                "config" => CpuBinding::Buffer(bytemuck::bytes_of(&self.config)),
                _ => CpuBinding::BufferRW(&self.buffers[name]),
            })
            .collect();
        cpu(x * y * z, &bound);
        let after = self.now(names);
        self.steps.push(Step {
            shader,
            config: self.config,
            configured: names.contains(&"config"),
            groups: [x, y, z],
            before,
            after,
        });
    }

    fn bump(&self) -> BumpAllocators {
        bytemuck::pod_read_unaligned(&self.buffers["bump"].borrow())
    }
}

/// All stages over a picture, in buffers just large enough.
pub fn stages(scene: &Scene) -> Vec<Step> {
    // Once to see what it takes.
    let ample = BumpAllocators {
        binning: 1 << 20,
        ptcl: 1 << 22,
        tile: 1 << 20,
        seg_counts: 1 << 20,
        segments: 1 << 20,
        blend: 0,
        lines: 1 << 20,
        failed: 0,
    };
    let taken = run(scene, &ample).bump();
    assert_eq!((taken.failed, taken.blend), (0, 0));
    run(scene, &taken).steps
}

/// One stage, by name.
pub fn stage(scene: &Scene, name: &str) -> Step {
    let mut all = stages(scene).into_iter();
    all.find(|step| step.shader.name == name)
        .unwrap_or_else(|| panic!("there is no stage `{name}`"))
}

fn run(scene: &Scene, room: &BumpAllocators) -> Pipeline {
    let layout = scene.layout;
    let side = SIDE / 16;
    let counts = WorkgroupCounts::new(&layout, side, side, layout.path_tags_size());
    assert!(!counts.use_large_path_scan, "`wide` has that");
    let sizes = BufferSizes::new(&layout, &counts);
    let commands = side * side * 64 + room.ptcl;
    let mut p = Pipeline {
        config: ConfigUniform {
            width_in_tiles: side,
            height_in_tiles: side,
            target_width: SIDE,
            target_height: SIDE,
            base_color: 0,
            layout,
            lines_size: room.lines,
            binning_size: room.binning,
            tiles_size: room.tile,
            seg_counts_size: room.seg_counts,
            segments_size: room.segments,
            blend_size: room.blend,
            ptcl_size: commands,
        },
        buffers: BTreeMap::new(),
        steps: Vec::new(),
    };
    p.buffers.insert("scene", RefCell::new(scene.data.clone()));
    for (name, bytes) in [
        ("path_reduced", sizes.path_reduced.size_in_bytes()),
        ("tag_monoids", sizes.path_monoids.size_in_bytes()),
        ("path_bboxes", sizes.path_bboxes.size_in_bytes()),
        ("draw_reduced", sizes.draw_reduced.size_in_bytes()),
        ("draw_monoids", sizes.draw_monoids.size_in_bytes()),
        ("info_bin_data", (layout.bin_data_start + room.binning) * 4),
        ("clip_inp", sizes.clip_inps.size_in_bytes()),
        ("clip_bics", sizes.clip_bics.size_in_bytes()),
        ("clip_els", sizes.clip_els.size_in_bytes()),
        ("clip_bboxes", sizes.clip_bboxes.size_in_bytes()),
        ("draw_bboxes", sizes.draw_bboxes.size_in_bytes()),
        ("bump", size_of::<BumpAllocators>() as u32),
        ("indirect", 16),
        ("bin_headers", sizes.bin_headers.size_in_bytes()),
        ("paths", sizes.paths.len() * size_of::<Path>() as u32),
        ("tiles", room.tile * size_of::<Tile>() as u32),
        ("lines", room.lines * 24),
        ("seg_counts", room.seg_counts * 8),
        ("segments", room.segments * size_of::<PathSegment>() as u32),
        ("ptcl", commands * 4),
    ] {
        p.buffer(name, bytes);
    }
    // What a stage is to zero, or to leave, is something to begin with.
    for name in ["path_bboxes", "tiles"] {
        p.buffers[name].borrow_mut().fill(0xaa);
    }

    let s = SHADERS;
    p.run(
        s.pathtag_reduce,
        cpu::pathtag_reduce,
        counts.path_reduce,
        &["config", "scene", "path_reduced"],
    );
    p.run(
        s.pathtag_scan_small,
        cpu::pathtag_scan,
        counts.path_scan,
        &["config", "scene", "path_reduced", "tag_monoids"],
    );
    p.run(
        s.bbox_clear,
        cpu::bbox_clear,
        counts.bbox_clear,
        &["config", "path_bboxes"],
    );
    p.run(
        s.flatten,
        cpu::flatten,
        counts.flatten,
        &[
            "config",
            "scene",
            "tag_monoids",
            "path_bboxes",
            "bump",
            "lines",
        ],
    );
    p.run(
        s.draw_reduce,
        cpu::draw_reduce,
        counts.draw_reduce,
        &["config", "scene", "draw_reduced"],
    );
    p.run(
        s.draw_leaf,
        cpu::draw_leaf,
        counts.draw_leaf,
        &[
            "config",
            "scene",
            "draw_reduced",
            "path_bboxes",
            "draw_monoids",
            "info_bin_data",
            "clip_inp",
        ],
    );
    p.run(
        s.clip_reduce,
        cpu::clip_reduce,
        counts.clip_reduce,
        &["clip_inp", "path_bboxes", "clip_bics", "clip_els"],
    );
    p.run(
        s.clip_leaf,
        cpu::clip_leaf,
        counts.clip_leaf,
        &[
            "config",
            "clip_inp",
            "path_bboxes",
            "clip_bics",
            "clip_els",
            "draw_monoids",
            "clip_bboxes",
        ],
    );
    p.run(
        s.binning,
        cpu::binning,
        counts.binning,
        &[
            "config",
            "draw_monoids",
            "path_bboxes",
            "clip_bboxes",
            "draw_bboxes",
            "bump",
            "info_bin_data",
            "bin_headers",
        ],
    );
    p.run(
        s.tile_alloc,
        cpu::tile_alloc,
        counts.tile_alloc,
        &["config", "scene", "draw_bboxes", "bump", "paths", "tiles"],
    );
    p.run(
        s.path_count_setup,
        cpu::path_count_setup,
        counts.path_count_setup,
        &["bump", "indirect"],
    );
    let lines = p.bump().lines;
    p.run(
        s.path_count,
        cpu::path_count,
        (lines.div_ceil(256), 1, 1),
        &["config", "bump", "lines", "paths", "tiles", "seg_counts"],
    );
    p.run(
        s.backdrop_dyn,
        cpu::backdrop,
        counts.backdrop,
        &["config", "bump", "paths", "tiles"],
    );
    p.run(
        s.coarse,
        cpu::coarse,
        counts.coarse,
        &[
            "config",
            "scene",
            "draw_monoids",
            "bin_headers",
            "info_bin_data",
            "paths",
            "tiles",
            "bump",
            "ptcl",
        ],
    );
    p.run(
        s.path_tiling_setup,
        cpu::path_tiling_setup,
        counts.path_tiling_setup,
        &["bump", "indirect", "ptcl"],
    );
    let segments = p.bump().seg_counts;
    p.run(
        s.path_tiling,
        cpu::path_tiling,
        (segments.div_ceil(256), 1, 1),
        &["bump", "seg_counts", "lines", "paths", "tiles", "segments"],
    );
    p
}
