const N = 6u;
const WEIGHTS = array<u32, 6>(1u, 2u, 4u, 8u, 16u, 32u);
const BASE = vec4<u32>(1u, 2u, 3u, 4u);
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@group(0) @binding(1) var<storage, read_write> zeroed: array<vec4<u32>>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    var acc = BASE.z;
    var local = array<u32, 4>(9u, 8u, 7u, 6u);
    var weights = WEIGHTS;
    for (var i = 0u; i < N; i++) { acc += weights[i] * ((id.x >> i) & 1u); }
    out[id.x] = acc + local[id.x % 4u];
    zeroed[id.x] = vec4<u32>();
    if id.x == 0u { out[100] = out[0] + 1u; }
}
