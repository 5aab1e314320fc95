struct Config { dims: vec3<u32>, flags: u32, weights: array<f32, 12>, grid: array<array<i32, 4>, 3> }
@group(0) @binding(0) var<storage, read> config: Config;
@group(0) @binding(1) var<storage, read_write> scalar: u32;
@group(0) @binding(2) var<storage, read_write> cells: array<array<u32, 8>, 8>;
@group(0) @binding(3) var<storage, read_write> rows: array<array<vec2<f32>, 4>>;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let y = id.x;
    if y >= 8u { return; }
    for (var x = 0u; x < 8u; x++) {
        cells[y][x] = config.dims.y * y + x + u32(config.grid[y % 3u][x % 4u]);
        rows[y][x % 4u].y = config.weights[x] + 1.0;
    }
    let row = cells[y];
    cells[y] = array<u32, 8>(row[7], row[6], row[5], row[4], row[3], row[2], row[1], row[0]);
    if y == 0u { scalar = config.flags + scalar; }
}
