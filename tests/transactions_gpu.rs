//! Kernels whose footprint depends on what they write themselves, on every adapter, in a half and an eighth of the memory that
//! they bind: what the CPU makes of the same data, each workgroup exactly once.

mod adapters;
mod common;
mod few_pages;
mod skipped;

use common::Rng;
use few_pages::space;
use gmem::gpu::AdapterKind;
use gmem::{Error, Gmem, LaunchReport, Vector};
use gmem_runtime::LaunchError;

const NONE: u32 = u32::MAX;

fn vector(gm: &Gmem, words: &[u32]) -> Vector<u32> {
    let mut vector = gm.alloc::<u32>(words.len()).unwrap();
    vector.copy_from_slice(words);
    vector
}

fn run(
    gm: &Gmem,
    source: &str,
    memory: &mut [&mut Vector<u32>],
    groups: u32,
) -> Result<LaunchReport, Error> {
    let kernel = gm.kernel(source).unwrap();
    let mut launch = kernel.launch([groups, 1, 1]);
    for (info, memory) in kernel.storage().iter().zip(memory) {
        launch = launch.bind(&info.name, &mut **memory);
    }
    launch.run()
}

/// Runs `test` on every adapter with a half and an eighth of `pages`.
fn oversubscribed(pages: u64, test: impl Fn(&Gmem, &str)) {
    for adapter in adapters::adapters() {
        for times in [2, 8] {
            let what = format!("{adapter}, {times} times");
            let gm = space(&adapter, pages / times);
            test(&gm, &what);
            let counts = gm.stats().counts;
            println!(
                "{what}: {} passes, {} undone, {} evictions",
                counts.passes, counts.undone_passes, counts.evictions
            );
            assert!(counts.attempted_passes > 0, "{what}: nothing was attempted");
        }
    }
}

#[test]
fn results_of_atomics_as_indices_lose_nothing() {
    const N: usize = 64 << 10;
    let source = "
        @group(0) @binding(0) var<storage, read> data: array<u32>;
        @group(0) @binding(1) var<storage, read_write> used: atomic<u32>;
        @group(0) @binding(2) var<storage, read_write> found: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let value = data[id.x];
            if value % 3u == 0u {
                let at = atomicAdd(&used, 1u);
                found[at] = value;
            }
        }";
    let mut rng = Rng(1);
    let data: Vec<u32> = (0..N).map(|_| rng.next() as u32).collect();
    let mut wanted: Vec<u32> = data.iter().copied().filter(|v| v % 3 == 0).collect();
    wanted.sort_unstable();
    let pages = (N + wanted.len()).div_ceil(1024) as u64 + 2;
    oversubscribed(pages, |gm, what| {
        let mut data = vector(gm, &data);
        let (mut used, mut found) = (vector(gm, &[0]), vector(gm, &vec![0; wanted.len() + 7]));
        run(
            gm,
            source,
            &mut [&mut data, &mut used, &mut found],
            N as u32 / 64,
        )
        .unwrap();
        assert_eq!(used[0] as usize, wanted.len(), "{what}");
        assert_eq!(found[wanted.len()..], [0; 7], "{what}");
        let mut got = found[..wanted.len()].to_vec();
        got.sort_unstable();
        assert_eq!(got, wanted, "{what}");
    });
}

#[test]
fn lists_are_turned_round_in_place() {
    // Without a page its links read as zero: node 0 would be visited for ever.
    const NODES: u32 = 48 << 10;
    const LISTS: u32 = 100;
    let source = "
        @group(0) @binding(0) var<storage, read_write> next: array<u32>;
        @group(0) @binding(1) var<storage, read_write> heads: array<u32>;
        @compute @workgroup_size(2) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x >= arrayLength(&heads) { return; }
            var at = heads[id.x];
            var back = 0xffffffffu;
            while at != 0xffffffffu {
                let after = next[at];
                next[at] = back;
                back = at;
                at = after;
            }
            heads[id.x] = back;
        }";
    let mut rng = Rng(2);
    let (mut next, mut heads) = (vec![NONE; NODES as usize], Vec::new());
    let mut ends = Vec::new();
    for list in 0..LISTS {
        // Two nodes here, one there: at most four pages.
        let mut nodes: Vec<u32> = (0..3).map(|_| rng.below(NODES.into()) as u32).collect();
        nodes.push((nodes[0] + 1) % NODES);
        nodes.retain(|&n| next[n as usize] == NONE && n != 0);
        nodes.sort_unstable_by_key(|n| n ^ list);
        nodes.dedup();
        for pair in nodes.windows(2) {
            next[pair[0] as usize] = pair[1];
        }
        let (Some(&head), Some(&end)) = (nodes.first(), nodes.last()) else {
            continue;
        };
        // An end counts as taken: nobody else's list may go on from it.
        next[end as usize] = NONE - 1;
        ends.push(end);
        heads.push(head);
    }
    for end in ends {
        next[end as usize] = NONE;
    }
    let (mut wanted, mut wanted_heads) = (next.clone(), heads.clone());
    for head in &mut wanted_heads {
        let (mut at, mut from) = (*head, NONE);
        while at != NONE {
            let after = std::mem::replace(&mut wanted[at as usize], from);
            (from, at) = (at, after);
        }
        *head = from;
    }
    assert_ne!(wanted, next);
    oversubscribed(NODES as u64 / 1024 + 24, |gm, what| {
        let (mut next, mut heads) = (vector(gm, &next), vector(gm, &heads));
        let groups = heads.len().div_ceil(2) as u32;
        run(gm, source, &mut [&mut next, &mut heads], groups).unwrap();
        assert_eq!(next[..], wanted, "{what}");
        assert_eq!(heads[..], wanted_heads, "{what}");
    });
}

#[test]
fn levels_of_a_graph_are_found_through_an_atomic_frontier() {
    const N: u32 = 12 << 10;
    let source = "
        struct Frontier { size: atomic<u32>, nodes: array<u32> }
        struct Here { size: u32, nodes: array<u32> }
        @group(0) @binding(0) var<storage, read> offsets: array<u32>;
        @group(0) @binding(1) var<storage, read> links: array<u32>;
        @group(0) @binding(2) var<storage, read_write> level: array<atomic<u32>>;
        @group(0) @binding(3) var<storage, read> here: Here;
        @group(0) @binding(4) var<storage, read_write> found: Frontier;
        @compute @workgroup_size(16) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x >= here.size { return; }
            let node = here.nodes[id.x];
            let depth = atomicLoad(&level[node]) + 1u;
            for (var e = offsets[node]; e < offsets[node + 1u]; e++) {
                let to = links[e];
                if atomicCompareExchangeWeak(&level[to], 0xffffffffu, depth).exchanged {
                    let at = atomicAdd(&found.size, 1u);
                    found.nodes[at] = to;
                }
            }
        }";
    let mut rng = Rng(3);
    let (mut offsets, mut links) = (vec![0], Vec::new());
    for node in 0..N {
        for _ in 0..4 {
            let near = (node + 1 + rng.below(256) as u32).saturating_sub(32);
            links.push(near.min(N - 1));
        }
        offsets.push(links.len() as u32);
    }
    let mut wanted = vec![NONE; N as usize];
    wanted[0] = 0;
    let mut queue = std::collections::VecDeque::from([0_u32]);
    while let Some(node) = queue.pop_front() {
        let span = offsets[node as usize] as usize..offsets[node as usize + 1] as usize;
        for &to in &links[span] {
            if wanted[to as usize] == NONE {
                wanted[to as usize] = wanted[node as usize] + 1;
                queue.push_back(to);
            }
        }
    }
    let depth = wanted
        .iter()
        .filter(|l| **l != NONE)
        .max()
        .copied()
        .unwrap();
    assert!(depth > 10);
    let pages = (5 * N / 1024 + 3 * (N / 1024 + 1)) as u64 + 1;
    oversubscribed(pages, |gm, what| {
        let (mut offsets, mut links) = (vector(gm, &offsets), vector(gm, &links));
        let mut level = vector(gm, &vec![NONE; N as usize]);
        level[0] = 0;
        let mut here = vector(gm, &vec![0; N as usize + 1]);
        here[0] = 1;
        let mut found = vector(gm, &vec![0; N as usize + 1]);
        let mut launches = 0;
        while here[0] > 0 {
            let groups = here[0].div_ceil(16);
            run(
                gm,
                source,
                &mut [&mut offsets, &mut links, &mut level, &mut here, &mut found],
                groups,
            )
            .unwrap();
            std::mem::swap(&mut here, &mut found);
            found[0] = 0;
            launches += 1;
            assert!(launches <= depth + 1, "{what}: deeper than the graph");
        }
        assert_eq!(level[..], wanted, "{what}");
    });
}

#[test]
fn a_hash_table_is_built_with_retries() {
    const SLOTS: u32 = 64 << 10;
    const KEYS: u32 = 1536;
    let source = "
        @group(0) @binding(0) var<storage, read> keys: array<u32>;
        @group(0) @binding(1) var<storage, read_write> slots: array<atomic<u32>>;
        @group(0) @binding(2) var<storage, read_write> count: array<atomic<u32>>;
        @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let key = keys[id.x];
            var slot = (key * 2654435761u) >> 16u;
            loop {
                let there = atomicLoad(&slots[slot]);
                if there == key { break; }
                if there == 0u {
                    if atomicCompareExchangeWeak(&slots[slot], there, key).exchanged {
                        atomicAdd(&count[0], 1u);
                        break;
                    }
                    continue;
                }
                slot = (slot + 1u) % arrayLength(&slots);
            }
            atomicAdd(&count[1], 1u);
        }";
    let mut rng = Rng(4);
    // Some twice.
    let keys: Vec<u32> = (0..KEYS).map(|_| 1 + rng.below(1200) as u32 * 7).collect();
    let mut distinct = keys.clone();
    distinct.sort_unstable();
    distinct.dedup();
    oversubscribed((SLOTS + KEYS) as u64 / 1024 + 2, |gm, what| {
        let mut keys = vector(gm, &keys);
        let (mut slots, mut count) = (vector(gm, &vec![0; SLOTS as usize]), vector(gm, &[0, 0]));
        run(
            gm,
            source,
            &mut [&mut keys, &mut slots, &mut count],
            KEYS / 4,
        )
        .unwrap();
        assert_eq!(count[..], [distinct.len() as u32, KEYS], "{what}");
        let mut there: Vec<u32> = slots.iter().copied().filter(|k| *k != 0).collect();
        there.sort_unstable();
        assert_eq!(there, distinct, "{what}");
        for &key in &distinct {
            let mut slot = key.wrapping_mul(2_654_435_761) >> 16;
            while slots[slot as usize] != key {
                assert_ne!(slots[slot as usize], 0, "{what}: {key} is not found");
                slot = (slot + 1) % SLOTS;
            }
        }
    });
}

#[test]
fn barriers_in_loops_that_hang_on_memory_are_passed_together() {
    // A workgroup goes on as long as what it wrote itself says so.
    const N: u32 = 32 << 10;
    let source = "
        @group(0) @binding(0) var<storage, read_write> x: array<u32>;
        @group(0) @binding(1) var<storage, read_write> log: array<u32>;
        var<workgroup> at: u32;
        var<workgroup> part: array<u32, 32>;
        @compute @workgroup_size(32)
        fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
            if lane == 0u { at = group.x; }
            var sum = 0u;
            // So that it is seen to end.
            var rounds = 0u;
            loop {
                if rounds == 9u { break; }
                rounds += 1u;
                let here = workgroupUniformLoad(&at);
                if x[here * 32u] == 0u { break; }
                part[lane] = x[here * 32u + lane];
                workgroupBarrier();
                sum += part[(lane + 1u) % 32u];
                if lane == 0u {
                    at = x[here * 32u + 1u] % (arrayLength(&x) / 32u);
                    x[here * 32u] = 0u;
                }
                storageBarrier();
                workgroupBarrier();
            }
            log[group.x * 32u + lane] = sum;
        }";
    let groups = 48_u32;
    let chunks = N / 32;
    let mut rng = Rng(5);
    let mut x: Vec<u32> = (0..N).map(|_| 1 + rng.below(1 << 20) as u32).collect();
    // Each workgroup has a chain of four chunks of its own, and then comes to one that is over.
    let stride = chunks / 5;
    for chunk in 0..chunks {
        let step = chunk / stride;
        x[chunk as usize * 32] = u32::from(chunk % stride < groups && step < 4);
        x[chunk as usize * 32 + 1] = chunk + stride;
    }
    let (mut wanted, mut log) = (x.clone(), vec![0_u32; groups as usize * 32]);
    for group in 0..groups {
        let mut here = group as usize;
        while wanted[here * 32] != 0 {
            for lane in 0..32 {
                let value = wanted[here * 32 + (lane + 1) % 32];
                let sum = &mut log[group as usize * 32 + lane];
                *sum = sum.wrapping_add(value);
            }
            let next = wanted[here * 32 + 1] % chunks;
            wanted[here * 32] = 0;
            here = next as usize;
        }
    }
    oversubscribed(N as u64 / 1024 + 24, |gm, what| {
        let mut x = vector(gm, &x);
        let mut found = vector(gm, &vec![0; log.len()]);
        run(gm, source, &mut [&mut x, &mut found], groups).unwrap();
        assert_eq!(x[..], wanted, "{what}");
        assert_eq!(found[..], log, "{what}");
    });
}

fn is_software(gm: &Gmem) -> bool {
    let device = gm.device(0).unwrap();
    device.gpu().unwrap().adapter().kind == AdapterKind::Cpu
}

#[test]
fn a_scan_that_looks_back_is_right_when_it_fits_and_refused_when_not() {
    const GROUPS: u32 = 64;
    // Decoupled look-back: the sum of a part alone (1) or of all up to it (2), and which, in one word.
    let source = "
        @group(0) @binding(0) var<storage, read_write> x: array<u32>;
        @group(0) @binding(1) var<storage, read_write> flag: array<atomic<u32>>;
        @group(0) @binding(2) var<storage, read_write> ticket: atomic<u32>;
        var<workgroup> part: array<u32, 256>;
        var<workgroup> mine: u32;
        var<workgroup> base: u32;
        @compute @workgroup_size(256)
        fn main(@builtin(local_invocation_index) lane: u32) {
            if lane == 0u { mine = atomicAdd(&ticket, 1u); }
            let group = workgroupUniformLoad(&mine);
            part[lane] = x[group * 256u + lane];
            for (var d = 1u; d < 256u; d *= 2u) {
                workgroupBarrier();
                var add = 0u;
                if lane >= d { add = part[lane - d]; }
                workgroupBarrier();
                part[lane] += add;
            }
            workgroupBarrier();
            if lane == 0u {
                let all = part[255];
                var before = 0u;
                if group > 0u {
                    atomicStore(&flag[group], (1u << 30u) | all);
                    var look = group - 1u;
                    loop {
                        let state = atomicLoad(&flag[look]);
                        if state == 0u { continue; }
                        before += state & 0x3fffffffu;
                        if (state >> 30u) == 2u { break; }
                        look -= 1u;
                    }
                }
                atomicStore(&flag[group], (2u << 30u) | (before + all));
                base = before;
            }
            workgroupBarrier();
            x[group * 256u + lane] = part[lane] + base;
        }";
    let data: Vec<u32> = (0..GROUPS * 256).map(|i| i % 7).collect();
    let sums: Vec<u32> = data
        .iter()
        .scan(0_u32, |sum, x| {
            *sum = sum.wrapping_add(*x);
            Some(*sum)
        })
        .collect();
    for adapter in adapters::adapters() {
        for (pages, fits) in [(32, true), (16, false), (9, false)] {
            let gm = space(&adapter, pages);
            let mut x = vector(&gm, &data);
            let mut flag = vector(&gm, &[0; GROUPS as usize]);
            let mut ticket = vector(&gm, &[0]);
            // A software driver of Mesa's leaves any loop after 65,535 rounds: a workgroup that waits for longer, because the
            // machine is busy, goes on too early, the original's too.
            let mut tries = if is_software(&gm) { 20 } else { 1 };
            let result = loop {
                let result = run(&gm, source, &mut [&mut x, &mut flag, &mut ticket], GROUPS);
                let wrong = (0..sums.len()).find(|&i| x[i] != sums[i]);
                tries -= 1;
                if !fits || wrong.is_none() || tries == 0 {
                    break result;
                }
                x.copy_from_slice(&data);
                flag.fill(0);
                ticket[0] = 0;
            };
            if fits {
                assert_eq!(result.unwrap().passes, 1, "{adapter}");
                let wrong = (0..sums.len()).find(|&i| x[i] != sums[i]);
                assert_eq!(wrong, None, "{adapter}");
                continue;
            }
            let error = result.unwrap_err();
            assert!(
                matches!(&error, Error::Launch(LaunchError::MustRunInOnePiece { reason, .. }) if reason.contains("`flag`")),
                "{adapter}: {error}"
            );
            assert_eq!(x[..], data, "{adapter}");
            assert_eq!(ticket[0], 0, "{adapter}");
        }
    }
}
