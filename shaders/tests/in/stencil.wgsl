struct Grid { width: u32, height: u32, steps: vec2<u32> }
@group(0) @binding(0) var<uniform> grid: Grid;
@group(0) @binding(1) var<storage, read> src: array<f32>;
@group(0) @binding(2) var<storage, read_write> dst: array<f32>;

fn at(x: i32, y: i32) -> f32 {
    if x < 0 || y < 0 || x >= i32(grid.width) || y >= i32(grid.height) { return 0.0; }
    return src[y * i32(grid.width) + x];
}

@compute @workgroup_size(8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= grid.width || id.y >= grid.height { return; }
    let x = i32(id.x);
    let y = i32(id.y);
    dst[y * i32(grid.width) + x] = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4.0 * at(x, y);
}
