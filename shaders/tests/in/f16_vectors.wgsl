enable f16;
struct Queue { count: u32, items: array<f16> }
@group(0) @binding(0) var<storage, read> quads: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read_write> pairs: array<vec2<f16>>;
@group(0) @binding(2) var<storage, read_write> m: array<mat3x3<f16>>;
@group(0) @binding(3) var<storage, read_write> queue: Queue;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    let q = quads[i];
    pairs[i] = pairs[i].yx + q.xw * quads[i].y;
    m[i] = transpose(m[i]);
    m[i][i % 3u].y = q.z;
    if i + 1u < arrayLength(&queue.items) { queue.items[i + 1u] = pairs[i].x; }
    if i == 0u { queue.count += arrayLength(&queue.items); }
}
