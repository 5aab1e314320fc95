// One iteration of PageRank, pulling over incoming edges in compressed sparse rows.
//
// share[v] is what v passes along each of its outgoing edges: its rank, damped and divided by their number (both in weight[v]).

struct Graph {
    nodes: u32,
    base: f32,
}

@group(0) @binding(0) var<storage, read> row_ptr: array<u32>;
@group(0) @binding(1) var<storage, read> sources: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> share: array<f32>;
@group(0) @binding(4) var<storage, read_write> next_share: array<f32>;
@group(0) @binding(5) var<storage, read_write> rank: array<f32>;
@group(0) @binding(6) var<uniform> graph: Graph;

@compute @workgroup_size(64)
fn pagerank(@builtin(global_invocation_id) id: vec3<u32>) {
    let node = id.x;
    if (node >= graph.nodes) {
        return;
    }
    var sum = graph.base;
    let end = row_ptr[node + 1u];
    for (var edge = row_ptr[node]; edge < end; edge++) {
        sum += share[sources[edge]];
    }
    rank[node] = sum;
    next_share[node] = sum * weight[node];
}
