//! An exclusive scan of a million numbers: reduce, level by level, then scan each level from what is before its blocks.

use gmem::Vector;

use crate::paging::Chance;
use crate::{Small, adapters};

const SOURCE: &str = "
const LANES = 256u;
@group(0) @binding(0) var<storage, read> values: array<u32>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;
@group(0) @binding(2) var<storage, read> before: array<u32>;
@group(0) @binding(3) var<storage, read_write> scanned: array<u32>;

var<workgroup> part: array<u32, LANES>;

fn load(at: u32) -> u32 {
    if (at >= arrayLength(&values)) { return 0u; }
    return values[at];
}

@compute @workgroup_size(LANES)
fn reduce(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) block: vec3<u32>,
) {
    part[lane] = load(id.x);
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if (lane < width) { part[lane] += part[lane + width]; }
    }
    if (lane == 0u) { sums[block.x] = part[0]; }
}

@compute @workgroup_size(LANES)
fn scan(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) block: vec3<u32>,
) {
    let own = load(id.x);
    var sum = own;
    for (var reach = 1u; reach < LANES; reach *= 2u) {
        part[lane] = sum;
        workgroupBarrier();
        if (lane >= reach) { sum += part[lane - reach]; }
        workgroupBarrier();
    }
    if (id.x < arrayLength(&scanned)) { scanned[id.x] = before[block.x] + sum - own; }
}
";

#[test]
fn scan_of_three_levels_in_an_eighth() {
    const N: usize = 1_000_003;
    let numbers = Chance(2).words(N);
    let expected: Vec<u32> = numbers
        .iter()
        .scan(0_u32, |sum, &x| {
            let before = *sum;
            *sum = sum.wrapping_add(x);
            Some(before)
        })
        .collect();
    // The numbers, the sums of blocks of them, of blocks of those, and of all.
    let mut lengths = vec![N];
    while let Some(&last) = lengths.last().filter(|&&n| n > 1) {
        lengths.push(last.div_ceil(256));
    }
    assert_eq!(lengths, [N, 3907, 16, 1]);
    for adapter in adapters::adapters() {
        let bytes: Vec<u64> = lengths.iter().map(|&n| 8 * n as u64).collect();
        let small = Small::new(&adapter, &bytes, 8);
        let level = |&n: &usize| -> Vector<u32> { small.gm.alloc(n).unwrap() };
        let mut values: Vec<Vector<u32>> = lengths.iter().map(level).collect();
        let mut scanned: Vec<Vector<u32>> = lengths.iter().map(level).collect();
        values[0].copy_from_slice(&numbers);
        let (reduce, scan) = (small.kernel(SOURCE, "reduce"), small.kernel(SOURCE, "scan"));
        for upper in 1..lengths.len() {
            let (below, above) = values.split_at_mut(upper);
            reduce
                .launch([lengths[upper] as u32, 1, 1])
                .bind("values", &below[upper - 1])
                .bind("sums", &mut above[0])
                .run()
                .unwrap_or_else(|e| panic!("{adapter}: reduce: {e}"));
        }
        // Nothing is before the block of all.
        let mut passes = 0;
        for lower in (0..lengths.len() - 1).rev() {
            let (below, above) = scanned.split_at_mut(lower + 1);
            let report = scan
                .launch([lengths[lower + 1] as u32, 1, 1])
                .bind("values", &values[lower])
                .bind("before", &above[0])
                .bind("scanned", &mut below[lower])
                .run()
                .unwrap_or_else(|e| panic!("{adapter}: scan: {e}"));
            passes = report.passes;
        }
        assert!(passes >= 8, "{adapter}: {passes} passes");
        assert!(*scanned[0] == *expected, "{adapter}: not the scan");
        small.finish(&adapter);
    }
}
