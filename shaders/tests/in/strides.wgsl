struct S20 { a: u32, b: array<f32, 4> }
struct S24 { a: vec2<u32>, b: array<u32, 4> }
struct S48 { a: vec3<f32>, b: u32, c: mat2x4<f32> }
struct S96 { a: array<S48, 2> }
struct S384 { a: array<array<S48, 4>, 2> }
@group(0) @binding(0) var<storage, read_write> a: array<S20>;
@group(0) @binding(1) var<storage, read_write> b: array<S24>;
@group(0) @binding(2) var<storage, read_write> c: array<S96>;
@group(0) @binding(3) var<storage, read_write> d: array<S384>;
@group(0) @binding(4) var<storage, read> which: array<u32>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    let j = which[i];
    let k = which[i + 1u];
    a[i].b[j % 4u] += f32(a[i].a);
    b[i].b = array<u32, 4>(b[i].b[3], b[i].a.x, j, k);
    c[i].a[j % 2u].c[k % 2u][i % 4u] = 2.0;
    let whole = d[i].a[j % 2u][k % 4u];
    d[i].a[k % 2u] = d[i + 32u].a[j % 2u];
    d[i].a[1u - k % 2u][i % 4u].a = whole.c[1].zyx;
    c[i].a[1] = whole;
}
