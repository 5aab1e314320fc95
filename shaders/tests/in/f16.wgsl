enable f16;
struct Mixed { a: f16, b: u32, c: vec3<f16>, d: f16, e: array<f16, 3>, f: f32 }
@group(0) @binding(0) var<storage, read> x: array<f16>;
@group(0) @binding(1) var<storage, read_write> y: array<f16>;
@group(0) @binding(2) var<storage, read_write> mixed: array<Mixed>;
@group(0) @binding(3) var<storage, read_write> triples: array<array<f16, 3>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    y[i] = x[i] * 2.0h + x[i + 1u];
    if x[i] > 1.0h { y[i + 200u] = f16(i); }
    var m = mixed[i];
    m.b += 3u;
    m.c = m.c.zyx;
    m.e[i % 3u] = m.d;
    mixed[i] = m;
    mixed[i].d = mixed[i].c.y;
    mixed[i].c[i % 3u] = 0.5h;
    mixed[i].f = f32(mixed[i].a);
    let t = triples[i];
    triples[i] = array<f16, 3>(t[2], t[0] + 1.0h, t[1]);
    triples[i][i % 3u] *= 2.0h;
}
