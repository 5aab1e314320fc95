@group(0) @binding(0) var<storage, read> first: array<u32>;
@group(0) @binding(1) var<storage, read> second: array<u32>;
@group(0) @binding(2) var<storage, read> values: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> marks: array<f32>;

fn follow(i: u32) -> u32 {
    let a = first[i];
    if a == 0xffffffffu { return 0u; }
    return second[a];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let at = follow(id.x);
    out[id.x] = values[at];
    out[id.x].z += 1.0;
    marks[follow(at)] = 1.0;
}
