//! A hash table with open addressing: built by compare-and-swap, looked up by following slots.
//!
//! Which slot a key gets depends on what other keys have got, so building runs in attempts where the table does not fit. Looking
//! up only reads: each workgroup's slots are found by probes.

use gmem::gpu::AdapterChoice;
use gmem::{Gmem, Kernel, LaunchReport, Vector};

use crate::paging::Chance;
use crate::{Small, adapters};

const SOURCE: &str = "
const NONE = 0xffffffffu;
@group(0) @binding(0) var<storage, read> keys: array<u32>;
// 0 is an empty slot.
@group(0) @binding(1) var<storage, read_write> slots: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read_write> values: array<u32>;
@group(0) @binding(3) var<storage, read> table: array<u32>;
@group(0) @binding(4) var<storage, read_write> answers: array<u32>;

fn first(key: u32, slots: u32) -> u32 {
    return ((key * 0x9e3779b1u) >> 7u) % slots;
}

// Eight lanes: all slots of a workgroup, each anywhere, are resident at once.
@compute @workgroup_size(8)
fn insert(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&keys)) { return; }
    let key = keys[id.x];
    let n = arrayLength(&slots);
    var at = first(key, n);
    loop {
        let was = atomicCompareExchangeWeak(&slots[at], 0u, key);
        if (was.exchanged) {
            values[at] = id.x;
            return;
        }
        // A weak exchange may fail for no reason: then it is tried again.
        if (was.old_value != 0u) { at = (at + 1u) % n; }
    }
}

@compute @workgroup_size(8)
fn look_up(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&keys)) { return; }
    let key = keys[id.x];
    let n = arrayLength(&table);
    var at = first(key, n);
    while (table[at] != key && table[at] != 0u) { at = (at + 1u) % n; }
    answers[id.x] = select(NONE, at, table[at] == key);
}
";

const SLOTS: usize = 1 << 17;
const KEYS: usize = 80_000;

/// Different keys, none of them 0.
fn keys() -> Vec<u32> {
    let mut keys: Vec<u32> = (0..KEYS as u32)
        .map(|i| (i + 1).wrapping_mul(0x85eb_ca77))
        .collect();
    let mut chance = Chance(4);
    for i in (1..KEYS).rev() {
        keys.swap(i, chance.below(i as u32 + 1) as usize);
    }
    keys
}

fn first(key: u32) -> usize {
    (key.wrapping_mul(0x9e37_79b1) >> 7) as usize % SLOTS
}

fn insert(gm: &Gmem, kernel: &Kernel, keys: &[u32]) -> (LaunchReport, Vector<u32>, Vector<u32>) {
    let mut bound: Vector<u32> = gm.alloc(keys.len()).unwrap();
    bound.copy_from_slice(keys);
    let mut slots: Vector<u32> = gm.alloc(SLOTS).unwrap();
    let mut values: Vector<u32> = gm.alloc(SLOTS).unwrap();
    let report = kernel
        .over(keys.len())
        .bind("keys", &bound)
        .bind("slots", &mut slots)
        .bind("values", &mut values)
        .run()
        .unwrap();
    (report, slots, values)
}

/// Builds the table of so many keys in a `part`th of its memory, and looks whether it is one.
fn build(adapter: &AdapterChoice, part: u64, count: usize) -> (Small, LaunchReport) {
    let keys = &keys()[..count];
    let mut taken = vec![false; SLOTS];
    for &key in keys {
        let mut at = first(key);
        while taken[at] {
            at = (at + 1) % SLOTS;
        }
        taken[at] = true;
    }
    let bytes = [count, SLOTS, SLOTS].map(|n| n as u64 * 4);
    let small = Small::new(adapter, &bytes, part);
    let (report, slots, values) = insert(&small.gm, &small.kernel(SOURCE, "insert"), keys);
    // Whatever order keys come in, linear probing takes the same slots.
    let used: Vec<bool> = slots.iter().map(|&key| key != 0).collect();
    assert!(used == taken, "{adapter}: other slots");
    for (at, (&key, &index)) in slots.iter().zip(&*values).enumerate() {
        if key != 0 {
            assert_eq!(keys[index as usize], key, "{adapter}: slot {at}");
            let mut way = first(key);
            while way != at {
                assert_ne!(slots[way], 0, "{adapter}: a gap before slot {at}");
                way = (way + 1) % SLOTS;
            }
        }
    }
    let mut indices: Vec<u32> = (slots.iter().zip(&*values))
        .filter(|(key, _)| **key != 0)
        .map(|(_, &index)| index)
        .collect();
    indices.sort_unstable();
    assert!(indices.into_iter().eq(0..count as u32), "{adapter}");
    println!("{adapter}: 1/{part}: {report:?}");
    (small, report)
}

#[test]
fn a_table_built_with_all_resident_has_every_key_once() {
    for adapter in adapters::adapters() {
        assert_eq!(build(&adapter, 1, KEYS).1.passes, 1, "{adapter}");
    }
}

#[test]
fn a_table_built_in_an_eighth_has_every_key_once() {
    for adapter in adapters::adapters() {
        let (small, report) = build(&adapter, 8, 12_000);
        assert!(report.passes > 8, "{adapter}: {report:?}");
        small.finish(&adapter);
    }
}

#[test]
fn looking_up_in_an_eighth_finds_every_key_and_no_other() {
    const QUERIES: usize = 2048;
    let keys = keys();
    let mut table = vec![0; SLOTS];
    for &key in &keys {
        let mut at = first(key);
        while table[at] != 0 {
            at = (at + 1) % SLOTS;
        }
        table[at] = key;
    }
    // Half of them are keys.
    let mut chance = Chance(5);
    let queries: Vec<u32> = (0..QUERIES)
        .map(|i| match i % 2 {
            0 => chance.pick(&keys),
            _ => (chance.below(1 << 30) + KEYS as u32 + 1).wrapping_mul(0x85eb_ca77),
        })
        .collect();
    let expected: Vec<u32> = queries
        .iter()
        .map(|query| {
            let mut at = first(*query);
            while table[at] != *query && table[at] != 0 {
                at = (at + 1) % SLOTS;
            }
            if table[at] == *query {
                at as u32
            } else {
                u32::MAX
            }
        })
        .collect();
    for adapter in adapters::adapters() {
        let bytes = [QUERIES, SLOTS, QUERIES].map(|n| n as u64 * 4);
        let small = Small::new(&adapter, &bytes, 8);
        let mut bound: Vector<u32> = small.gm.alloc(QUERIES).unwrap();
        let mut stored: Vector<u32> = small.gm.alloc(SLOTS).unwrap();
        let mut answers: Vector<u32> = small.gm.alloc(QUERIES).unwrap();
        bound.copy_from_slice(&queries);
        stored.copy_from_slice(&table);
        let report = small
            .kernel(SOURCE, "look_up")
            .over(QUERIES)
            .bind("keys", &bound)
            .bind("table", &stored)
            .bind("answers", &mut answers)
            .run()
            .unwrap_or_else(|e| panic!("{adapter}: {e}"));
        assert!(report.probes > 0, "{adapter}: {report:?}");
        assert!(*answers == *expected, "{adapter}: other answers");
        small.finish(&adapter);
    }
}
