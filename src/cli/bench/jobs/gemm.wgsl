@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
struct Size {
    inner: u32,
    columns: u32,
}

@group(0) @binding(3) var<uniform> size: Size;

const TILE = 16u;

var<workgroup> left: array<array<f32, TILE>, TILE>;
var<workgroup> right: array<array<f32, TILE>, TILE>;

@compute @workgroup_size(TILE, TILE)
fn gemm(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
) {
    var sum = 0.0;
    for (var at = 0u; at < size.inner; at += TILE) {
        left[lane.y][lane.x] = a[id.y * size.inner + at + lane.x];
        right[lane.y][lane.x] = b[(at + lane.y) * size.columns + id.x];
        workgroupBarrier();
        for (var k = 0u; k < TILE; k++) {
            sum += left[lane.y][k] * right[k][lane.x];
        }
        workgroupBarrier();
    }
    c[id.y * size.columns + id.x] = sum;
}
