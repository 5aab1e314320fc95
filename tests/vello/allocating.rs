//! The stages that allocate by atomics: where a workgroup's output lies depends on when it came.
//!
//! Each is compared with vello's CPU version in a form without that order, and what was allocated must be whole: every element
//! given to one taker.
//!
//! All of them use the result of an atomic as an index, so their footprint depends on what they write: where not all that they bind
//! fits, they run in attempts.

use std::collections::BTreeMap;

use vello_encoding::{BinHeader, BumpAllocators, LineSoup, Path, PathBbox, SegmentCount, Tile};

use crate::paging::elements;
use crate::pipeline::{Step, stage};
use crate::scene::picture;
use crate::stages::paged;

/// Runs a stage over a picture of its own; `compare` gets what it left, and must hold of the CPU's own output.
fn everywhere(name: &str, compare: fn(&Step, &[Vec<u8>])) {
    let step = stage(&picture(2, 4000), name);
    compare(&step, &step.after);
    paged(&step.job(), |got, what| {
        println!("{what}");
        compare(&step, got);
    });
}

fn bump(bytes: &[u8]) -> BumpAllocators {
    bytemuck::pod_read_unaligned(bytes)
}

/// Parts that leave no gap and no element to two.
fn whole(mut parts: Vec<(u32, u32)>, total: u32) {
    parts.retain(|&(_, len)| len > 0);
    parts.sort_unstable();
    let mut at = 0;
    for (start, len) in parts {
        assert_eq!(start, at, "a gap, or two takers");
        at += len;
    }
    assert_eq!(at, total);
}

#[test]
fn flatten() {
    // Scene, tag monoids, bounding boxes, counters, lines: these in any order.
    everywhere("flatten", |step, got| {
        assert!(got[2] == step.after[2], "bounding boxes");
        assert!(got[3] == step.after[3], "counters");
        assert_eq!(sorted_lines(&got[4]), sorted_lines(&step.after[4]));
        let boxes: Vec<PathBbox> = elements(&got[2]);
        assert!(boxes.iter().any(|b| b.x0 < b.x1));
    });
}

/// Lines as words, in an order of their own.
pub fn sorted_lines(bytes: &[u8]) -> Vec<[u32; 5]> {
    let words = |l: LineSoup| {
        let [a, b] = l.p0.map(f32::to_bits);
        let [c, d] = l.p1.map(f32::to_bits);
        [l.path_ix, a, b, c, d]
    };
    let mut lines: Vec<[u32; 5]> = elements(bytes).into_iter().map(words).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn binning() {
    // Draw monoids, bounding boxes of paths, clips and objects, counters, bin data, bin headers.
    everywhere("binning", |step, got| {
        assert!(got[3] == step.after[3], "objects' bounding boxes");
        assert!(got[4] == step.after[4], "counters");
        let start = step.config.layout.bin_data_start as usize;
        let read = |storage: &[Vec<u8>]| -> (Vec<u32>, Vec<BinHeader>) {
            (elements(&storage[5]), elements(&storage[6]))
        };
        let (data, headers) = read(got);
        let (cpu_data, cpu_headers) = read(&step.after);
        assert!(data[..start] == cpu_data[..start], "info is not bin data");
        let chunk = |data: &[u32], header: &BinHeader| {
            let from = start + header.chunk_offset as usize;
            data[from..from + header.element_count as usize].to_vec()
        };
        let mut chunks = Vec::new();
        // 256 headers for a workgroup, of which the 16 bins take the first. The CPU leaves the others alone.
        for (header, cpu) in headers.iter().zip(&cpu_headers) {
            assert_eq!(header.element_count, cpu.element_count);
            if header.element_count > 0 {
                assert_eq!(chunk(&data, header), chunk(&cpu_data, cpu));
                chunks.push((header.chunk_offset, header.element_count));
            }
        }
        whole(chunks, bump(&got[4]).binning);
    });
}

#[test]
fn tile_alloc() {
    // Scene, objects' bounding boxes, counters, paths, tiles.
    everywhere("tile_alloc", |step, got| {
        assert!(got[2] == step.after[2], "counters");
        assert!(got[4] == step.after[4], "tiles: all of them are zero");
        let paths: Vec<Path> = elements(&got[3]);
        let cpu: Vec<Path> = elements(&step.after[3]);
        let objects = step.config.layout.n_draw_objects as usize;
        let tiles_of = |p: &Path| (p.bbox[2] - p.bbox[0]) * (p.bbox[3] - p.bbox[1]);
        let mut groups = Vec::new();
        for first in (0..objects).step_by(256) {
            let last = (first + 256).min(objects);
            for at in first..last {
                assert_eq!(paths[at].bbox, cpu[at].bbox);
                // A workgroup's tiles lie together, in the order of its objects.
                assert_eq!(
                    paths[at].tiles - paths[first].tiles,
                    cpu[at].tiles - cpu[first].tiles
                );
            }
            let count = paths[first..last].iter().map(tiles_of).sum();
            groups.push((paths[first].tiles, count));
        }
        whole(groups, bump(&got[2]).tile);
    });
}

#[test]
fn path_count() {
    // Counters, lines, paths, tiles, segment counts.
    everywhere("path_count", |step, got| {
        assert!(got[0] == step.after[0], "counters");
        assert!(got[3] == step.after[3], "tiles: sums of what lines add");
        let parts = |bytes: &[u8]| {
            let counts: Vec<SegmentCount> = elements(bytes);
            // Which segment of which line: once each. Its place in its tile is whose turn it was: each place is taken as often.
            let mut segments: Vec<(u32, u32)> = counts
                .iter()
                .map(|c| (c.line_ix, c.counts & 0xffff))
                .collect();
            let mut places: Vec<u32> = counts.iter().map(|c| c.counts >> 16).collect();
            segments.sort_unstable();
            places.sort_unstable();
            (segments, places)
        };
        assert_eq!(parts(&got[4]), parts(&step.after[4]));
    });
}

#[test]
fn coarse() {
    // Scene, draw monoids, bin headers, bin data, paths, tiles, counters, commands.
    everywhere("coarse", |step, got| {
        assert!(got[6] == step.after[6], "counters");
        let commands = |storage: &[Vec<u8>]| read_commands(step, &storage[7]);
        let (lists, segments) = commands(got);
        let (cpu_lists, _) = commands(&step.after);
        for (tile, (list, cpu)) in lists.iter().zip(&cpu_lists).enumerate() {
            assert_eq!(list, cpu, "commands of tile {tile}");
        }
        let starts: BTreeMap<u32, u32> = segments.iter().copied().collect();
        whole(segments, bump(&got[6]).segments);

        let tiles = |storage: &[Vec<u8>]| -> Vec<Tile> { elements(&storage[5]) };
        let (before, after, cpu) = (tiles(&step.before), tiles(got), tiles(&step.after));
        for ((before, after), cpu) in before.iter().zip(&after).zip(&cpu) {
            assert_eq!(after.backdrop, cpu.backdrop);
            let drawn = cpu.segment_count_or_ix != before.segment_count_or_ix;
            if drawn {
                let start = !after.segment_count_or_ix;
                assert_eq!(starts.get(&start), Some(&before.segment_count_or_ix));
            } else {
                assert_eq!(after.segment_count_or_ix, before.segment_count_or_ix);
            }
        }
    });
}

/// Each tile's commands, without where they lie, and the segments that they take.
fn read_commands(step: &Step, bytes: &[u8]) -> (Vec<Vec<u32>>, Vec<(u32, u32)>) {
    // From vello's `ptcl.wgsl`: a list begins in 64 words of its tile's, the first of which is for blending.
    const END: u32 = 0;
    const FILL: u32 = 1;
    const JUMP: u32 = 12;
    let words: Vec<u32> = elements(bytes);
    let tiles = step.config.width_in_tiles * step.config.height_in_tiles;
    let mut segments = Vec::new();
    let mut lists = Vec::new();
    for tile in 0..tiles as usize {
        let mut at = tile * 64 + 1;
        let mut list = vec![words[tile * 64]];
        loop {
            let taken = match words[at] {
                END => break,
                JUMP => {
                    at = words[at + 1] as usize;
                    continue;
                }
                FILL => {
                    segments.push((words[at + 2], words[at + 1] >> 1));
                    list.extend([FILL, words[at + 1], words[at + 3]]);
                    at += 4;
                    continue;
                }
                // Solid, begin clip.
                3 | 10 => 1,
                // Colour, image.
                5 | 9 => 2,
                // Gradients, end clip, blurred rectangle.
                6..=8 | 11 | 13 => 3,
                other => panic!("tile {tile}: word {at} is no command: {other}"),
            };
            list.extend(&words[at..at + taken]);
            at += taken;
            assert!(list.len() < 100_000, "tile {tile}: a list without end");
        }
        lists.push(list);
    }
    (lists, segments)
}
