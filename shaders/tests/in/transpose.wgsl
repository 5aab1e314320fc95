struct Size { width: u32, height: u32 }
@group(0) @binding(0) var<uniform> size: Size;
@group(0) @binding(1) var<storage, read> src: array<u32>;
@group(0) @binding(2) var<storage, read_write> dst: array<u32>;
var<workgroup> tile: array<array<u32, 9>, 8>;

@compute @workgroup_size(8, 8, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let x = group.x * 8u + local.x;
    let y = group.y * 8u + local.y;
    if x < size.width && y < size.height { tile[local.y][local.x] = src[y * size.width + x]; }
    workgroupBarrier();
    let tx = group.y * 8u + local.x;
    let ty = group.x * 8u + local.y;
    if tx < size.height && ty < size.width { dst[ty * size.height + tx] = tile[local.x][local.y]; }
}
