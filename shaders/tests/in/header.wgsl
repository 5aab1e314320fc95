struct Queue { count: u32, capacity: u32, items: array<u32> }
struct Vectors { scale: f32, items: array<vec3<f32>> }
@group(0) @binding(0) var<storage, read> q: Queue;
@group(0) @binding(1) var<storage, read_write> v: Vectors;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= min(q.count, arrayLength(&q.items)) { return; }
    if id.x >= arrayLength(&v.items) { return; }
    v.items[id.x] = v.items[id.x] * v.scale + vec3<f32>(f32(q.items[id.x]));
}
