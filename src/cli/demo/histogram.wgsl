// How often each byte value occurs. Every workgroup counts 64 KiB in bins of its own, then adds them to everybody's.

struct Input {
    bytes: u32,
}

@group(0) @binding(0) var<storage, read> words: array<u32>;
@group(0) @binding(1) var<storage, read_write> bins: array<atomic<u32>, 256>;
@group(0) @binding(2) var<uniform> input: Input;

const WORDS_PER_LANE: u32 = 64u;

var<workgroup> local_bins: array<atomic<u32>, 256>;

@compute @workgroup_size(256)
fn histogram(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
) {
    atomicStore(&local_bins[lane], 0u);
    workgroupBarrier();

    let first = group.x * 256u * WORDS_PER_LANE + lane;
    for (var k = 0u; k < WORDS_PER_LANE; k++) {
        let i = first + k * 256u;
        if (i < arrayLength(&words)) {
            let word = words[i];
            // The last word may hold fewer than four bytes of the input.
            let left = input.bytes - min(input.bytes, i * 4u);
            for (var byte = 0u; byte < min(left, 4u); byte++) {
                atomicAdd(&local_bins[(word >> (byte * 8u)) & 0xffu], 1u);
            }
        }
    }

    workgroupBarrier();
    let count = atomicLoad(&local_bins[lane]);
    if (count > 0u) {
        atomicAdd(&bins[lane], count);
    }
}
