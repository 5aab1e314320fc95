struct Node { left: u32, right: u32, value: f32 }
@group(0) @binding(0) var<storage, read> nodes: array<Node>;
@group(0) @binding(1) var<storage, read> queries: array<f32>;
@group(0) @binding(2) var<storage, read_write> found: array<u32>;
@group(0) @binding(3) var<storage, read_write> path: array<u32>;
var<private> depth: u32;

fn node(i: u32) -> Node { return nodes[i]; }

fn descend(at: u32, q: f32) -> u32 {
    depth++;
    let n = node(at);
    if q < n.value { return n.left; }
    if q > n.value { return n.right; }
    return at;
}

fn search(q: f32, row: u32) -> u32 {
    var at = 0u;
    for (var step = 0u; step < 6u; step++) {
        let next = descend(at, q);
        path[row * 8u + step] = next;
        if next == at || next >= arrayLength(&nodes) { return at; }
        at = next;
    }
    return at;
}

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let result = search(queries[id.x], id.x);
    found[id.x] = result + depth * 100u;
}
