@group(0) @binding(0) var<storage, read_write> a: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> b: array<vec3<f32>>;
@group(0) @binding(2) var<storage, read> which: array<i32>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = i32(id.x);
    a[i].y = a[i].x + 1u;
    a[i][which[i]] += 7u;
    b[i].z = b[i][which[i] % 3];
    let v = b[i];
    b[i] = v.zyx;
}
