struct Cell { sum: atomic<f32>, count: atomic<u32>, plain: f32 }
@group(0) @binding(0) var<storage, read> data: array<f32>;
@group(0) @binding(1) var<storage, read_write> cells: array<Cell>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    atomicAdd(&cells[i % 5u].sum, data[i]);
    atomicAdd(&cells[i % 5u].count, 1u);
    let own = 16u + i;
    out[i] = atomicExchange(&cells[own].sum, 1.5) + cells[own].plain;
    atomicSub(&cells[own].sum, 0.25);
    cells[own].plain = atomicLoad(&cells[own].sum);
    atomicStore(&cells[own].sum, f32(i));
}
