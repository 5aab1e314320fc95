struct Particle { pos: vec2<f32>, vel: vec2<f32> }
@group(0) @binding(0) var<storage, read_write> particles: array<Particle>;
@group(0) @binding(1) var<storage, read_write> log: array<vec4<u32>, 16>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    var i = id.x;
    let p = &particles[i];
    let v = &(*p).vel;
    i = 0u;
    (*p).pos = (*p).pos + *v;
    (*v).x = -(*v).x;
    *v = (*v).yx;
    let entry = &log[id.x % 16u];
    (*entry)[2] = i + 1u;
    (*entry).w = 9u;
}
