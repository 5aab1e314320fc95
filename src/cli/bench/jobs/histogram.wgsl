@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read_write> bins: array<atomic<u32>, 256>;

const ROW = 1024u;
const EACH = 16u;

var<workgroup> mine: array<atomic<u32>, 256>;

@compute @workgroup_size(256)
fn histogram(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Workgroup memory begins as zeroes.
    let first = (group.y * ROW + group.x) * 256u * EACH;
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * 256u + lane;
        if (i < arrayLength(&data)) {
            atomicAdd(&mine[data[i] >> 24u], 1u);
        }
    }
    workgroupBarrier();
    let count = atomicLoad(&mine[lane]);
    if (count > 0u) {
        atomicAdd(&bins[lane], count);
    }
}
