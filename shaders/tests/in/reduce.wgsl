@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;
var<workgroup> shared_sums: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>,
        @builtin(workgroup_id) group: vec3<u32>) {
    var sum = 0u;
    for (var i = 0u; i < 4u; i++) {
        let at = id.x * 4u + i;
        if at < arrayLength(&data) { sum += data[at]; }
    }
    shared_sums[local.x] = sum;
    workgroupBarrier();
    for (var step = 32u; step > 0u; step >>= 1u) {
        if local.x < step { shared_sums[local.x] += shared_sums[local.x + step]; }
        workgroupBarrier();
    }
    if local.x == 0u { sums[group.x] = shared_sums[0]; }
}
