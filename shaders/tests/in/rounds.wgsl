// As many rounds as memory says, with barriers between them: a checked run leaves such loops together, or not at all.
@group(0) @binding(0) var<storage, read> rounds: array<u32>;
@group(0) @binding(1) var<storage, read_write> state: array<u32>;
var<workgroup> left: u32;
var<workgroup> tile: array<u32, 64>;

fn turn(lane: u32) {
    let next = tile[(lane + 1u) % 64u];
    workgroupBarrier();
    tile[lane] = next * 3u + 1u;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if lane == 0u { left = rounds[group.x]; }
    tile[lane] = state[id.x];
    loop {
        let n = workgroupUniformLoad(&left);
        if n == 0u { break; }
        turn(lane);
        var x = tile[lane] & 15u;
        while x > rounds[x] { x = x / 2u; }
        tile[lane] += x;
        if lane == 0u { left = n - 1u; }
    }
    state[id.x] = tile[lane];
}
