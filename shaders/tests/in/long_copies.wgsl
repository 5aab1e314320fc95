struct Row { key: u32, at: vec3<f32> }
struct Long { head: u32, rows: array<Row, 4>, tail: array<array<u32, 9>, 30>, end: u32 }
@group(0) @binding(0) var<storage, read> src: array<Long, 4>;
@group(0) @binding(1) var<storage, read_write> dst: array<Long, 4>;
@group(0) @binding(2) var<storage, read_write> grid: array<array<u32, 260>, 8>;

@compute @workgroup_size(2)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    if group.x > 0u { return; }
    dst[i + 2u] = src[i];
    dst[i].rows = src[i + 1u].rows;
    dst[i].tail[i * 29u][8] = 5u;
    grid[i] = grid[i + 4u];
    grid[i][259] += src[i].head;
    if i == 1u { grid[7] = grid[6]; }
}
