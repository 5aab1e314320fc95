// Reads single words, a lane for each. Which words is data, so nobody knows before it runs.

struct Sparse {
    words: u32,
    places: u32,
}

@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read> places: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;
@group(0) @binding(3) var<uniform> sparse: Sparse;

@compute @workgroup_size(64)
fn sparse_gather(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < sparse.places) {
        out[id.x] = 3u * data[places[id.x] * sparse.words] + 1u;
    }
}
