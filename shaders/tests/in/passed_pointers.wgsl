requires unrestricted_pointer_parameters;

struct Item { pos: vec3<u32>, count: u32 }
struct Table { used: atomic<u32>, slots: array<array<u32, 4>, 64>, rest: array<u32> }
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read> other: array<u32>;
@group(0) @binding(2) var<storage, read_write> items: array<Item>;
@group(0) @binding(3) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> table: Table;
@group(0) @binding(5) var<storage, read_write> out: array<u32>;
var<workgroup> tile: array<u32, 64>;
var<workgroup> total: atomic<u32>;

// The same function for two buffers, and a length that is the buffer's.
fn last(list: ptr<storage, array<u32>>, i: u32) -> u32 {
    return list[min(i, arrayLength(list) - 1u)];
}
fn bump(counter: ptr<storage, atomic<u32>, read_write>, by: u32) -> u32 {
    return atomicAdd(counter, by);
}
// Nested: what is passed is passed on, in part, with an index of its own.
fn sum(list: ptr<storage, array<u32>>, into: ptr<storage, array<atomic<u32>>, read_write>, i: u32) -> u32 {
    let at = last(list, i) % 16u;
    _ = bump(&into[at], 1u);
    return at + last(list, i + 1u);
}
fn twice(v: ptr<storage, vec3<u32>, read_write>) { *v = *v + *v; }
fn grow(item: ptr<storage, Item, read_write>, by: ptr<function, u32>) {
    (*item).count += *by;
    *by += 1u;
    twice(&(*item).pos);
    (*item).pos.y = 1u;
}
fn fill(cell: ptr<storage, array<u32, 4>, read_write>, at: u32, value: u32) { (*cell)[at] = value; }
fn share(into: ptr<workgroup, array<u32, 64>>, sum: ptr<workgroup, atomic<u32>>, at: u32, value: u32) {
    (*into)[at] = value;
    atomicAdd(sum, value);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var i = id.x;
    let item = &items[i];
    let cell = &table.slots[i % 64u];
    var by = 2u;
    i = 0u; // What a pointer leads to was settled when it was made.
    grow(item, &by);
    grow(&items[id.x], &by);
    fill(cell, id.x / 64u, by);
    let sums = sum(&source, &counts, id.x) + sum(&other, &counts, id.x);
    share(&tile, &total, lane, sums);
    workgroupBarrier();
    out[id.x] = tile[63u - lane] + atomicLoad(&total) + i + last(&table.rest, id.x);
    _ = bump(&table.used, 1u);
}
