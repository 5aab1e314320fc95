struct Cell { low: atomic<i32>, high: atomic<u32>, plain: u32, weight: f32 }
@group(0) @binding(0) var<storage, read> data: array<i32>;
@group(0) @binding(1) var<storage, read_write> cells: array<Cell>;
@group(0) @binding(2) var<storage, read_write> out: array<i32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    let v = data[i] - 8;
    atomicMin(&cells[i % 7u].low, v);
    atomicMax(&cells[i % 5u].high, u32(v));
    atomicAdd(&cells[i % 3u].high, 0u);
    let own = 16u + i;
    out[i] = atomicMax(&cells[own].low, v) + i32(atomicMin(&cells[own].high, u32(v)));
    cells[own].plain += u32(atomicLoad(&cells[own].low));
    cells[own].weight *= 0.5;
    let r = atomicCompareExchangeWeak(&cells[own].high, 3u, 4u);
    if r.exchanged { cells[own].plain = r.old_value; }
}
