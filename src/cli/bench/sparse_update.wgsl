// Changes all words of some places, a workgroup for each. Which places is data, so nobody knows before it runs.

struct Sparse {
    words: u32,
    places: u32,
}

@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@group(0) @binding(1) var<storage, read> places: array<u32>;
@group(0) @binding(2) var<uniform> sparse: Sparse;

@compute @workgroup_size(256)
fn sparse_update(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = places[group.x] * sparse.words;
    for (var word = lane; word < sparse.words; word += 256u) {
        data[first + word] = 3u * data[first + word] + 1u;
    }
}
