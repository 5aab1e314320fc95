@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> limits: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

fn less(i: u32, k: u32) -> bool { return limits[i] < k; }

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let n = arrayLength(&keys);
    let i = id.x;
    var hits = 0u;
    if i < n && keys[i] > 2u { hits += 1u; }
    if i >= n || less(keys[i], 9u) { hits += 2u; }
    var lo = 0u;
    var hi = n;
    while lo < hi && !(limits[lo] == 7u) {
        let mid = (lo + hi) / 2u;
        if limits[mid] < i { lo = mid + 1u; } else { hi = mid; }
    }
    out[i] = select(hits, hits + lo, keys[i] != 0u);
}
