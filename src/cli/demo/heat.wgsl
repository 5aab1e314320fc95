// One step of heat conduction on a plate: each inner cell becomes the mean of its four neighbours, and the rim keeps its temperature.

struct Plate {
    width: u32,
    height: u32,
}

@group(0) @binding(0) var<storage, read> before: array<f32>;
@group(0) @binding(1) var<storage, read_write> after: array<f32>;
@group(0) @binding(2) var<uniform> plate: Plate;

@compute @workgroup_size(16, 16)
fn heat(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= plate.width || id.y >= plate.height) {
        return;
    }
    let i = id.y * plate.width + id.x;
    if (id.x == 0u || id.y == 0u || id.x == plate.width - 1u || id.y == plate.height - 1u) {
        after[i] = before[i];
        return;
    }
    let sum = before[i - 1u] + before[i + 1u] + before[i - plate.width] + before[i + plate.width];
    after[i] = 0.25 * sum;
}
