@group(0) @binding(0) var<storage, read> next: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    var steps = 0u;
    for (var n = id.x; n != 0xffffffffu; n = next[n]) {
        steps += 1u;
        if steps > 100u { break; }
    }
    var k = 0u;
    loop {
        if k == 3u { k += 2u; continue; }
        out[id.x * 8u + (k % 8u)] = steps;
        continuing {
            k += 1u;
            break if k >= min(8u, next[id.x]);
        }
    }
    while next[k % 4u] > steps { steps += 1u; }
    out[id.x * 8u] = steps;
}
