@group(0) @binding(0) var<storage, read> before: array<f32>;
@group(0) @binding(1) var<storage, read_write> after: array<f32>;
@group(0) @binding(2) var<uniform> size: vec2<u32>;

@compute @workgroup_size(16, 16)
fn stencil(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= size.x || id.y >= size.y) {
        return;
    }
    let i = id.y * size.x + id.x;
    if (id.x == 0u || id.y == 0u || id.x + 1u == size.x || id.y + 1u == size.y) {
        after[i] = before[i];
        return;
    }
    after[i] = before[i - size.x] + before[i + size.x] + before[i - 1u] + before[i + 1u] - 4.0 * before[i];
}
