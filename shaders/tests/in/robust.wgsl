@group(0) @binding(0) var<storage, read> index: array<i32>;
@group(0) @binding(1) var<storage, read> data: array<i32>;
@group(0) @binding(2) var<storage, read_write> out: array<i32>;
@group(0) @binding(3) var<storage, read_write> counts: array<atomic<i32>>;
@group(0) @binding(4) var<storage, read> wide: array<vec4<i32>>;
@group(0) @binding(5) var<storage, read> fixed: array<array<i32, 4>, 4>;
@group(0) @binding(6) var<storage, read_write> marks: array<i32>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = index[id.x];
    let j = index[id.x + 1u];
    let loaded = data[i] + wide[i].y + wide[j][i] + fixed[i][j] + fixed[1][i];
    let old = atomicAdd(&counts[i], 1);
    let outside = i < 0 || i >= i32(arrayLength(&counts));
    out[id.x] = loaded + select(0, old, outside);
    marks[i] = 3;
    if i >= 0 { marks[-1 - i] = 4; }
}
