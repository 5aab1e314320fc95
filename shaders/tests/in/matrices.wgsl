struct M { a: mat2x3<f32>, b: mat3x3<f32>, c: mat4x4<f32>, d: mat3x2<f32>, s: f32 }
@group(0) @binding(0) var<storage, read_write> m: array<M>;
@group(0) @binding(1) var<storage, read> v: array<mat4x4<f32>>;
@group(0) @binding(2) var<storage, read_write> o: array<vec4<f32>>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    o[i] = v[i] * vec4<f32>(1.0, 2.0, 3.0, 4.0);
    let whole = m[i];
    m[i].b = transpose(whole.b);
    m[i].a[1] = whole.a[0];
    m[i].c[i % 4u][2] = f32(i);
    m[i].d[id.y % 3u].x = whole.d[1].y;
    m[i].s = m[i].s + m[i].b[2].y;
}
