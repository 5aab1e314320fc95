// Where a store goes is what an atomic operation gave: nobody knows it before the kernel runs.
@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read_write> used: atomic<u32>;
@group(0) @binding(2) var<storage, read_write> found: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= arrayLength(&data) || data[id.x] != data[id.x / 2u] { return; }
    let at = atomicAdd(&used, 1u);
    // So that what is found does not hang on the order.
    found[at] = 7u;
}
