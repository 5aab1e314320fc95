@group(0) @binding(0) var<storage, read_write> a: array<u32>;
@group(0) @binding(1) var<storage, read_write> b: array<u32>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    let before = a[i];
    a[i] = 5u;
    let after = a[i];
    a[i] = before + after;
    b[i] = a[i];
    a[i] += b[i];
    b[i] = a[i] + before;
}
