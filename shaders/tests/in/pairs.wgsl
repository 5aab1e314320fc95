@group(0) @binding(0) var<storage, read> points: array<vec2<i32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec2<u32>>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let p = points[id.x];
    out[id.x] = vec2<u32>(vec2<i32>(p.y, points[id.x].x));
}
