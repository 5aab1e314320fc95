struct Mixed { best: atomic<i32>, count: atomic<u32>, worst: atomic<i32> }
@group(0) @binding(0) var<storage, read> values: array<i32>;
@group(0) @binding(1) var<storage, read_write> best: array<atomic<i32>>;
@group(0) @binding(2) var<storage, read_write> mixed: Mixed;
@group(0) @binding(3) var<storage, read_write> swapped: array<i32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let v = values[id.x];
    atomicMax(&best[0], v);
    atomicMin(&best[1], v);
    atomicAdd(&best[2], v);
    atomicAdd(&mixed.best, v);
    atomicAdd(&mixed.count, 1u);
    let r = atomicCompareExchangeWeak(&mixed.worst, -1, v);
    swapped[id.x] = select(0, r.old_value, r.exchanged) * 0 + atomicLoad(&best[3]);
}
