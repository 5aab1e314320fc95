//! Curves and strokes through `flatten`, which takes sines, cube roots and arc tangents of them.
//!
//! Bit for bit it is what the same kernel gives under plain wgpu on the same adapter. Of vello's CPU version it has nearly as many
//! lines (where a curve is cut depends on a rounded square root), and bounding boxes that are at most a pixel off.

use vello_encoding::{
    BumpAllocators, DrawTag, Encoding, LineSoup, PathBbox, PathTag, Style, Transform,
};

use crate::adapters;
use crate::allocating::sorted_lines;
use crate::paging::{Chance, elements};
use crate::pipeline::stage;
use crate::scene::{SIDE, Scene, pack};

/// Filled and stroked curves, with every join and cap.
fn drawing(curves: usize) -> Scene {
    let mut encoding = Encoding::new();
    let mut chance = Chance(9);
    for _ in 0..curves {
        let turn = chance.below(628) as f32 / 100.0;
        let [x, y] = [0; 2].map(|_| chance.below(SIDE) as f32 + 0.25);
        encoding.encode_transform(Transform {
            matrix: [turn.cos(), turn.sin(), -turn.sin(), turn.cos()],
            translation: [x, y],
        });
        let stroked = chance.below(2) == 0;
        let style = if stroked {
            let join = chance.pick(&[
                Style::FLAGS_JOIN_BITS_BEVEL,
                Style::FLAGS_JOIN_BITS_MITER,
                Style::FLAGS_JOIN_BITS_ROUND,
            ]);
            let cap = chance.pick(&[
                Style::FLAGS_CAP_BITS_BUTT,
                Style::FLAGS_CAP_BITS_SQUARE,
                Style::FLAGS_CAP_BITS_ROUND,
            ]);
            // A miter limit of 4, as a half.
            Style {
                flags_and_miter_limit: Style::FLAGS_STYLE_BIT | join | cap | cap << 2 | 0x4400,
                line_width: 1.0 + chance.below(12) as f32,
            }
        } else {
            Style::default()
        };
        encoding.path_tags.push(PathTag::STYLE);
        encoding.styles.push(style);
        let mut p = || chance.below(800) as f32 / 10.0 - 40.0;
        let mut path = encoding.encode_path(!stroked);
        path.move_to(p(), p());
        path.cubic_to(p(), p(), p(), p(), p(), p());
        path.quad_to(p(), p(), p(), p());
        path.line_to(p(), p());
        if p() > 0.0 {
            path.close();
        }
        path.finish(true);
        encoding.draw_tags.push(DrawTag::COLOR);
        encoding.draw_data.push(0xff00_00ff);
    }
    pack(&encoding)
}

#[test]
fn flatten_of_curves() {
    let mut step = stage(&drawing(600), "flatten");
    let counters = |storage: &[Vec<u8>]| -> BumpAllocators { elements(&storage[3])[0] };
    let boxes = |storage: &[Vec<u8>]| -> Vec<PathBbox> { elements(&storage[2]) };
    let on_cpu = counters(&step.after).lines;
    assert!(on_cpu > 10_000, "{on_cpu}");
    // Room for a few more than on the CPU.
    step.config.lines_size += on_cpu / 20;
    step.before[4].resize(step.config.lines_size as usize * size_of::<LineSoup>(), 0);
    let job = step.job();
    for adapter in adapters::adapters() {
        let plain = job.plain(&adapter);
        let outcome = job
            .run(&adapter, 4096, job.pages(4096))
            .unwrap_or_else(|e| panic!("{adapter}: {e}"));
        let got = outcome.storage;
        assert!(got[2] == plain[2], "{adapter}: bounding boxes");
        assert!(got[3] == plain[3], "{adapter}: counters");
        assert!(
            sorted_lines(&got[4]) == sorted_lines(&plain[4]),
            "{adapter}: lines"
        );
        let lines = counters(&got).lines;
        assert!(
            lines.abs_diff(on_cpu) * 100 <= on_cpu,
            "{adapter}: {lines} lines, and {on_cpu} on the CPU"
        );
        for (path, (got, cpu)) in boxes(&got).iter().zip(boxes(&step.after)).enumerate() {
            let near = |a: i32, b: i32| a.abs_diff(b) <= 1;
            assert!(
                near(got.x0, cpu.x0)
                    && near(got.y0, cpu.y0)
                    && near(got.x1, cpu.x1)
                    && near(got.y1, cpu.y1),
                "{adapter}: path {path} is in {got:?}, and in {cpu:?} on the CPU"
            );
            assert_eq!(
                (got.draw_flags, got.trans_ix),
                (cpu.draw_flags, cpu.trans_ix)
            );
        }
    }
}
