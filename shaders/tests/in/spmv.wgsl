@group(0) @binding(0) var<storage, read> rows: array<u32>;
@group(0) @binding(1) var<storage, read> cols: array<u32>;
@group(0) @binding(2) var<storage, read> vals: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let r = id.x;
    if r + 1u >= arrayLength(&rows) { return; }
    var sum = 0.0;
    for (var e = rows[r]; e < rows[r + 1u]; e++) {
        sum += vals[e] * x[cols[e]];
    }
    y[r] = sum;
}
