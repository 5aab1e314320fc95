@group(0) @binding(0) var<storage, read> source: array<f32>;
@group(0) @binding(1) var<storage, read_write> to: array<f32>;
@group(0) @binding(2) var<uniform> weights: array<vec4<f32>, 5>;

const ROW = 1024u * 256u;

@compute @workgroup_size(256)
fn conv1d(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * ROW + id.x;
    if (i < arrayLength(&to)) {
        var sum = 0.0;
        for (var tap = 0u; tap < 17u; tap++) {
            sum += weights[tap / 4u][tap % 4u] * source[i + tap];
        }
        to[i] = sum;
    }
}
