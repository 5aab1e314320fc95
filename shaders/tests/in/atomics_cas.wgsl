@group(0) @binding(0) var<storage, read_write> cells: array<atomic<u32>>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    let own = 16u + i * 4u;
    let r = atomicCompareExchangeWeak(&cells[own], i % 16u, i + 1u);
    if r.exchanged { out[i] = r.old_value + 10u; } else { out[i] = r.old_value; }
    loop {
        let old = atomicLoad(&cells[0]);
        if old >= 1000u { break; }
        if atomicCompareExchangeWeak(&cells[0], old, old + 1u).exchanged { break; }
    }
    let before = atomicExchange(&cells[own + 1u], 5u);
    atomicStore(&cells[own + 2u], before);
    atomicXor(&cells[own + 3u], 3u);
    atomicAnd(&cells[own + 3u], 0xffu);
    out[i] += atomicSub(&cells[own + 3u], 1u);
}
