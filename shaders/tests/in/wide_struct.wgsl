struct Wide { head: u32, block: array<vec4<f32>, 9>, mid: vec2<u32>, table: array<u32, 20>, m: mat4x3<f32>, end: i32 }
@group(0) @binding(0) var<storage, read> src: array<Wide>;
@group(0) @binding(1) var<storage, read_write> dst: array<Wide>;

@compute @workgroup_size(4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let w = src[id.x];
    dst[id.x] = w;
    dst[id.x].table = src[id.x].table;
    dst[id.x].m = src[id.x].m * 2.0;
    dst[id.x].m[id.x % 4u] = w.m[1];
    dst[id.x].end = w.end + i32(w.table[id.x % 20u]);
    dst[id.x].block[id.x % 9u].w = w.block[8].x;
}
