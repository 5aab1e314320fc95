struct Triple { a: u32, b: i32, c: f32 }
struct Log { used: u32, version: vec2<u32>, entries: array<Triple> }
@group(0) @binding(0) var<storage, read_write> log: Log;
@group(0) @binding(1) var<storage, read> src: array<Triple>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= arrayLength(&log.entries) { return; }
    var t = src[i];
    t.a += log.version.y;
    log.entries[i] = t;
    log.entries[i].b = -t.b;
    if i == 0u { log.used += 1u; }
}
