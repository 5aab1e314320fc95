struct Node { id: u32, next: u64, w: vec2<f64>, t: array<i64, 3>, m: mat2x3<f64> }
@group(0) @binding(0) var<storage, read> x: array<u64>;
@group(0) @binding(1) var<storage, read_write> y: array<i64>;
@group(0) @binding(2) var<storage, read_write> nodes: array<Node>;
@group(0) @binding(3) var<storage, read_write> v: array<vec2<u64>>;
@group(0) @binding(4) var<storage, read_write> d: array<f64>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    let far = x[u64(i)] * 0x100000001lu + u64(i);
    y[i64(i)] = -i64(far >> 3u) + y[i];
    var n = nodes[i];
    n.next = far;
    n.t[i % 3u] = n.t[2] - 1li;
    n.w = n.w.yx;
    nodes[i] = n;
    nodes[i].w.x = nodes[i].w.y * 0.5lf;
    nodes[i].m[i % 2u].z = f64(i);
    v[i] = v[i].yx + vec2<u64>(far, 1lu);
    v[i].y = x[u32(v[i].x % 16lu)];
    d[i] = d[i] * 2.0lf + f64(i);
}
