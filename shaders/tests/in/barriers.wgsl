@group(0) @binding(0) var<storage, read_write> data: array<u32>;
var<workgroup> shared_sum: array<u32, 32>;

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = group.x * 32u + local;
    data[i] += 1u;
    storageBarrier();
    workgroupBarrier();
    let next = data[group.x * 32u + (local + 1u) % 32u];
    shared_sum[local] = next;
    textureBarrier();
    workgroupBarrier();
    data[i + 512u] = shared_sum[31u - local] + next;
}
