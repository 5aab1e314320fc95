override block: u32 = 32u;
@id(7) override factor: f32 = 2.0;
override offset: u32 = block / 2u;
@group(0) @binding(0) var<storage, read_write> data: array<f32>;
var<workgroup> tile: array<f32, block>;

@compute @workgroup_size(block)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    tile[local] = data[id.x] * factor;
    workgroupBarrier();
    data[id.x] = tile[(local + offset) % block];
}
