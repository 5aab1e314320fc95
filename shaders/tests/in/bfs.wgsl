struct Frontier { size: atomic<u32>, nodes: array<u32> }
@group(0) @binding(0) var<storage, read> offsets: array<u32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read_write> level: array<atomic<u32>>;
@group(0) @binding(3) var<storage, read> frontier: array<u32>;
@group(0) @binding(4) var<storage, read_write> found: Frontier;
@group(0) @binding(5) var<uniform> depth: u32;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= arrayLength(&frontier) { return; }
    let node = frontier[id.x];
    for (var e = offsets[node]; e < offsets[node + 1u]; e++) {
        let t = targets[e];
        if atomicCompareExchangeWeak(&level[t], 0xffffffffu, depth).exchanged {
            let at = atomicAdd(&found.size, 1u);
            found.nodes[at] = t;
        }
    }
}
