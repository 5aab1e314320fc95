//! Products of matrices, tiled in workgroup memory. Factors are small integers, so that every sum is exact in an f32.

use gmem::Vector;

use crate::paging::Chance;
use crate::{Small, adapters};

const SOURCE: &str = "
const TILE = 16u;
struct Size { inner: u32, columns: u32 }
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> size: Size;

var<workgroup> left: array<array<f32, TILE>, TILE>;
var<workgroup> right: array<array<f32, TILE>, TILE>;

@compute @workgroup_size(TILE, TILE)
fn gemm(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    var sum = 0.0;
    for (var at = 0u; at < size.inner; at += TILE) {
        left[lane.y][lane.x] = a[id.y * size.inner + at + lane.x];
        right[lane.y][lane.x] = b[(at + lane.y) * size.columns + id.x];
        workgroupBarrier();
        for (var k = 0u; k < TILE; k++) { sum += left[lane.y][k] * right[k][lane.x]; }
        workgroupBarrier();
    }
    c[id.y * size.columns + id.x] = sum;
}
";

fn integers(seed: u64, n: usize) -> Vec<f32> {
    let mut chance = Chance(seed);
    (0..n).map(|_| chance.below(17) as f32 - 8.0).collect()
}

fn multiply(rows: usize, inner: usize, columns: usize, part: u64, least_passes: u64) {
    let (a, b) = (integers(1, rows * inner), integers(2, inner * columns));
    let mut expected = vec![0.0_f32; rows * columns];
    for (row, out) in a.chunks(inner).zip(expected.chunks_mut(columns)) {
        for (&x, line) in row.iter().zip(b.chunks(columns)) {
            out.iter_mut().zip(line).for_each(|(out, y)| *out += x * y);
        }
    }
    for adapter in adapters::adapters() {
        let bytes = [a.len(), b.len(), expected.len()].map(|n| n as u64 * 4);
        let small = Small::new(&adapter, &bytes, part);
        let mut left: Vector<f32> = small.gm.alloc(a.len()).unwrap();
        let mut right: Vector<f32> = small.gm.alloc(b.len()).unwrap();
        let mut product: Vector<f32> = small.gm.alloc(expected.len()).unwrap();
        left.copy_from_slice(&a);
        right.copy_from_slice(&b);
        let report = small
            .kernel(SOURCE, "gemm")
            .launch([columns as u32 / 16, rows as u32 / 16, 1])
            .bind("a", &left)
            .bind("b", &right)
            .bind("c", &mut product)
            .uniform("size", &[inner as u32, columns as u32])
            .run()
            .unwrap_or_else(|e| panic!("{adapter}: {e}"));
        assert!(report.passes >= least_passes, "{adapter}: {report:?}");
        assert!(*product == *expected, "{adapter}: not the product");
        small.finish(&adapter);
    }
}

/// A workgroup reads a panel of `b` down all of its rows, which are shorter than a page: all of `b`. So `b` is the small one.
#[test]
fn a_tall_product_in_an_eighth() {
    multiply(2048, 192, 64, 8, 8);
}

#[test]
fn a_square_product_in_a_half() {
    multiply(256, 256, 256, 2, 2);
}
