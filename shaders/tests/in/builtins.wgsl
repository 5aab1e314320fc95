@group(0) @binding(0) var<storage, read> u: array<u32>;
@group(0) @binding(1) var<storage, read> f: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;
@group(0) @binding(3) var<storage, read_write> outf: array<f32>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let a = u[id.x];
    let b = u[id.x + 1u];
    var r = countOneBits(a) + reverseBits(b) + firstLeadingBit(a | 1u);
    r += extractBits(a, 1u, 3u) + insertBits(a, b, 4u, 8u);
    r += pack4x8unorm(unpack4x8unorm(a)) + u32(dot(vec3<u32>(a, b, 1u), vec3<u32>(1u, 2u, 3u)));
    out[id.x] = r + u32(all(vec2<bool>(a < 20u, b < 20u)));
    let x = f[id.x];
    let parts = modf(x);
    outf[id.x] = floor(x) + abs(-x) + parts.fract + clamp(x, 0.0, 1.0) + max(x, 2.0) + trunc(x * 4.0);
}
