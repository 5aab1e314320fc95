@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> offsets: array<u32>;
@group(0) @binding(2) var<storage, read_write> sorted: array<u32>;
@group(0) @binding(3) var<uniform> shift: u32;

const ROW = 1024u;
const DIGITS = 16u;
const MASKS = 8u;

// For each digit, a bit for each lane whose key has it. Begins as zeroes.
var<workgroup> lanes: array<atomic<u32>, DIGITS * MASKS>;

@compute @workgroup_size(256)
fn scatter(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * ROW + group.x;
    let i = block * 256u + lane;
    let inside = i < arrayLength(&keys);
    var key = 0u;
    var digit = 0u;
    if (inside) {
        key = keys[i];
        digit = (key >> shift) % DIGITS;
        atomicOr(&lanes[digit * MASKS + lane / 32u], 1u << (lane % 32u));
    }
    workgroupBarrier();
    if (inside) {
        let mine = lane / 32u;
        let below = (1u << (lane % 32u)) - 1u;
        var rank = countOneBits(atomicLoad(&lanes[digit * MASKS + mine]) & below);
        for (var m = 0u; m < mine; m++) {
            rank += countOneBits(atomicLoad(&lanes[digit * MASKS + m]));
        }
        let blocks = arrayLength(&offsets) / DIGITS;
        sorted[offsets[digit * blocks + block] + rank] = key;
    }
}
