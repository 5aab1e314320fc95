struct Edge { from_node: u32, to_node: u32, weight: f32 }
struct Row { cells: array<u32, 5> }
@group(0) @binding(0) var<storage, read> edges: array<Edge>;
@group(0) @binding(1) var<storage, read_write> out: array<Edge>;
@group(0) @binding(2) var<storage, read_write> rows: array<Row>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let e = edges[id.x];
    out[id.x] = Edge(e.to_node, e.from_node, e.weight * 2.0);
    let r = rows[id.x].cells;
    rows[id.x].cells = array<u32, 5>(r[4], r[3], r[2], r[1], r[0]);
}
