// Breadth-first search, a frontier at a time, in a maze: a square of cells, each linked to its neighbours (the edges of the
// square are joined), but for walls, which are linked to nothing. A cell's level is 0 while it is unseen, 1 where the search begins.

const SIDE = 128u;

@group(0) @binding(0) var<storage, read_write> links: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> level: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read_write> frontier: array<u32>;
@group(0) @binding(3) var<storage, read_write> next: array<u32>;
@group(0) @binding(4) var<storage, read_write> size: u32;
@group(0) @binding(5) var<storage, read_write> found: atomic<u32>;
@group(0) @binding(6) var<storage, read_write> wrong: atomic<u32>;
@group(0) @binding(7) var<uniform> round: u32;

fn wall(cell: u32) -> bool {
    var h = cell * 0x9e3779b1u;
    h ^= h >> 15u;
    h *= 0x85ebca77u;
    h ^= h >> 13u;
    return cell != 0u && h % 4u == 0u;
}

fn link(cell: u32, x: u32, y: u32) -> u32 {
    let other = (y % SIDE) * SIDE + x % SIDE;
    return select(other, cell, wall(cell) || wall(other));
}

@compute @workgroup_size(64)
fn build(@builtin(global_invocation_id) id: vec3<u32>) {
    let cell = id.x;
    let x = cell % SIDE;
    let y = cell / SIDE;
    links[cell] = vec4(
        link(cell, x + 1u, y),
        link(cell, x + SIDE - 1u, y),
        link(cell, x, y + 1u),
        link(cell, x, y + SIDE - 1u),
    );
    if (cell == 0u) {
        atomicStore(&level[0], 1u);
        frontier[0] = 0u;
        size = 1u;
    }
}

@compute @workgroup_size(64)
fn expand(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= size) {
        return;
    }
    let around = links[frontier[id.x]];
    for (var k = 0u; k < 4u; k++) {
        let other = around[k];
        if (atomicCompareExchangeWeak(&level[other], 0u, round + 2u).exchanged) {
            next[atomicAdd(&found, 1u)] = other;
        }
    }
}

@compute @workgroup_size(1)
fn advance() {
    size = atomicExchange(&found, 0u);
}

// Levels are right when neighbours differ by one at most, each level but the first has one before it among its neighbours, and
// nothing unseen is beside what was seen.
@compute @workgroup_size(64)
fn check(@builtin(global_invocation_id) id: vec3<u32>) {
    let own = atomicLoad(&level[id.x]);
    let around = links[id.x];
    var right = own != 1u || id.x == 0u;
    var led = own < 2u;
    for (var k = 0u; k < 4u; k++) {
        if (around[k] != id.x) {
            let other = atomicLoad(&level[around[k]]);
            right = right && (own == 0u) == (other == 0u) && own <= other + 1u && other <= own + 1u;
            led = led || other + 1u == own;
        }
    }
    if (!right || !led || (id.x == 0u && own != 1u)) {
        atomicAdd(&wrong, 1u);
    }
}
