struct In {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
}
@group(0) @binding(0) var<storage, read_write> out: array<vec4<u32>>;

@compute @workgroup_size(4, 2, 2)
fn main(in: In, @builtin(local_invocation_id) local: vec3<u32>, @builtin(global_invocation_id) global: vec3<u32>) {
    let group = (in.group.z * in.groups.y + in.group.y) * in.groups.x + in.group.x;
    let at = group * 16u + in.index;
    out[at * 2u] = vec4<u32>(in.group, in.index);
    out[at * 2u + 1u] = vec4<u32>(global, local.x + 4u * local.y + 8u * local.z);
}
