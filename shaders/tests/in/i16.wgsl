enable wgpu_int16;
@group(0) @binding(0) var<storage, read> x: array<u16>;
@group(0) @binding(1) var<storage, read_write> y: array<i16>;
struct Pixel { r: u16, g: i16, deep: u32 }
@group(0) @binding(2) var<storage, read_write> pixels: array<Pixel>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    y[i] = i16(x[x[i]]) - y[i];
    pixels[i].r = x[i] + u16(1u);
    pixels[i].deep = u32(pixels[i].g) + u32(x[i + 1u]);
}
