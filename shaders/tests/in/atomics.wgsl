struct Stats { total: atomic<u32>, lo: atomic<u32>, hi: atomic<u32>, plain: u32, hist: array<atomic<u32>> }
@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> stats: Stats;
@group(0) @binding(2) var<storage, read_write> counter: atomic<u32>;
@group(0) @binding(3) var<storage, read_write> slots: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= arrayLength(&keys) { return; }
    let k = keys[id.x];
    atomicAdd(&stats.total, k);
    atomicMin(&stats.lo, k);
    atomicMax(&stats.hi, k);
    atomicAdd(&stats.hist[k % arrayLength(&stats.hist)], 1u);
    atomicOr(&stats.hist[0], 0u);
    if stats.plain == 1u {
        let at = atomicAdd(&counter, 1u);
        slots[at] = 1u;
    }
    if k == 0xffffffffu { stats.plain = 2u; }
}
