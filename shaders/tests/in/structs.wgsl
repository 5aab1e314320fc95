struct Inner { @size(16) id: u32, dir: vec3<f32>, w: f32 }
struct Outer { kind: i32, @align(32) inner: array<Inner, 3>, tail: vec2<u32> }
@group(0) @binding(0) var<storage, read_write> data: array<Outer>;
@group(0) @binding(1) var<storage, read_write> copy: array<Inner>;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    var all = data[i];
    all.inner[1].w += 1.0;
    all.tail = all.tail.yx;
    data[i] = all;
    let j = i % 3u;
    copy[i] = data[i].inner[j];
    data[i].inner[j].dir.y = 4.0;
    data[i].inner[2] = Inner(i, vec3<f32>(1.0, 2.0, 3.0), 4.0);
    data[i].kind = -i32(i);
}
