@group(0) @binding(0) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<vec4<u32>>;
@group(0) @binding(2) var<uniform> tiles: u32;
var<workgroup> tile: array<vec4<u32>, 32>;

@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3<u32>) {
    var sum = vec4<u32>();
    for (var t = 0u; t < tiles; t++) {
        tile[local] = data[(group.x * tiles + t) * 32u + local];
        workgroupBarrier();
        for (var k = 0u; k < 32u; k += 8u) { sum += tile[(local + k) % 32u].wzyx; }
        workgroupBarrier();
    }
    if local >= 32u { return; }
    sums[group.x * 32u + local] = sum;
}
