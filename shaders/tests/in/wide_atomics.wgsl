struct Cell { best: atomic<u64>, least: atomic<i64>, plain: u64, count: atomic<u32>, word: u32 }
@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read_write> cells: array<Cell>;
@group(0) @binding(2) var<storage, read_write> keys: array<atomic<u64>>;
@group(0) @binding(3) var<storage, read_write> out: array<u64>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    let key = u64(data[i]) << 40u | u64(i);
    atomicMax(&cells[i % 5u].best, key);
    atomicMin(&cells[i % 3u].least, -i64(key));
    atomicAdd(&cells[i % 7u].count, data[i]);
    let own = 16u + i;
    cells[own].plain = cells[own].plain + atomicLoad(&cells[own].best);
    cells[own].word += atomicLoad(&cells[own].count);
    atomicStore(&cells[own].least, i64(key));
    out[i] = atomicAdd(&keys[i], key) + atomicExchange(&keys[200u + i], key);
    let r = atomicCompareExchangeWeak(&keys[400u + i], 5lu, key);
    if r.exchanged { out[i] += r.old_value; }
}
