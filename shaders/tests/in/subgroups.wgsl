enable subgroups;
@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32,
        @builtin(subgroup_size) size: u32) {
    let v = data[id.x];
    let sum = subgroupAdd(v);
    let first = subgroupBroadcastFirst(v);
    let ballot = subgroupBallot(v > 3u);
    let other = subgroupShuffleXor(v, 1u);
    out[id.x] = sum + first + countOneBits(ballot.x) + other + lane * 0u + size * 0u;
}
