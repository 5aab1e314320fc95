@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(1) @binding(0) var<storage, read> table: array<u32>;
var<private> calls: u32;

fn fetch(i: u32) -> f32 {
    calls += 1u;
    if i >= arrayLength(&input) { return 0.0; }
    return input[i];
}
fn lookup(i: u32) -> u32 { return table[i] & 0xffu; }
fn emit(at: u32, value: f32) { output[at] = value; }
fn twice(p: ptr<function, f32>) { *p = *p * 2.0; }

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    var v = fetch(lookup(id.x)) + fetch(id.x);
    twice(&v);
    emit(id.x, v + f32(calls));
}
