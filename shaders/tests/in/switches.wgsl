@group(0) @binding(0) var<storage, read> op: array<i32>;
@group(0) @binding(1) var<storage, read_write> out: array<i32>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = i32(id.x);
    switch op[i] {
        case 0: { out[i] = 1; }
        case 1, 2: { out[i] = op[i] + op[i - 1]; return; }
        case -3: { if out[i] > 0 { break; } out[i] = -1; }
        default: { out[i] = out[i] * 2; }
    }
    out[i] += 100;
}
