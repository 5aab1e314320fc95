// A radix sort, least significant digit first, four bits a pass: count the digits of each block of keys, add up where each
// digit of each block begins, and put every key in its place. `arrayLength(&counts)` is 16 times the number of blocks.

const DIGITS = 16u;
const LANES = 256u;
const WORDS = 8u;

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
@group(0) @binding(2) var<storage, read_write> sorted: array<u32>;
@group(0) @binding(3) var<uniform> shift: u32;

fn digit_of(key: u32) -> u32 {
    return (key >> shift) % DIGITS;
}

// Every number below a power of two, once each and in no order: both steps can be undone.
@compute @workgroup_size(256)
fn shuffle(@builtin(global_invocation_id) id: vec3<u32>) {
    let n = arrayLength(&sorted);
    if (id.x < n) {
        let spread = (id.x * 0x9e3779b1u) % n;
        sorted[id.x] = spread ^ (spread >> 9u);
    }
}

var<workgroup> found: array<atomic<u32>, DIGITS>;

@compute @workgroup_size(256)
fn count(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) block: vec3<u32>,
) {
    if (id.x < arrayLength(&keys)) {
        atomicAdd(&found[digit_of(keys[id.x])], 1u);
    }
    workgroupBarrier();
    if (lane < DIGITS) {
        counts[lane * (arrayLength(&counts) / DIGITS) + block.x] = atomicLoad(&found[lane]);
    }
}

var<workgroup> sums: array<u32, LANES>;

// One workgroup: each lane adds up a part, the first one adds up the parts.
@compute @workgroup_size(256)
fn scan(@builtin(local_invocation_index) lane: u32) {
    let n = arrayLength(&counts);
    let part = (n + LANES - 1u) / LANES;
    let first = min(lane * part, n);
    let end = min(first + part, n);
    var sum = 0u;
    for (var i = first; i < end; i++) {
        sum += counts[i];
    }
    sums[lane] = sum;
    workgroupBarrier();
    if (lane == 0u) {
        var before = 0u;
        for (var l = 0u; l < LANES; l++) {
            let own = sums[l];
            sums[l] = before;
            before += own;
        }
    }
    workgroupBarrier();
    var before = sums[lane];
    for (var i = first; i < end; i++) {
        let own = counts[i];
        counts[i] = before;
        before += own;
    }
}

// For each digit, a bit for each lane whose key has it.
var<workgroup> having: array<atomic<u32>, DIGITS * WORDS>;

@compute @workgroup_size(256)
fn scatter(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) block: vec3<u32>,
) {
    let there = id.x < arrayLength(&keys);
    let word = lane / 32u;
    let bit = 1u << (lane % 32u);
    var key = 0u;
    var digit = 0u;
    if (there) {
        key = keys[id.x];
        digit = digit_of(key);
        atomicOr(&having[digit * WORDS + word], bit);
    }
    workgroupBarrier();
    if (there) {
        var rank = countOneBits(atomicLoad(&having[digit * WORDS + word]) & (bit - 1u));
        for (var w = 0u; w < word; w++) {
            rank += countOneBits(atomicLoad(&having[digit * WORDS + w]));
        }
        let begin = counts[digit * (arrayLength(&counts) / DIGITS) + block.x];
        sorted[begin + rank] = key;
    }
}
