@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
var<workgroup> limit: u32;
var<workgroup> ticket: atomic<u32>;

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    if local == 0u { limit = data[group.x]; }
    let n = workgroupUniformLoad(&limit);
    atomicAdd(&ticket, 1u);
    workgroupBarrier();
    storageBarrier();
    if n > local { out[group.x * 32u + local] = n + atomicLoad(&ticket); }
}
