//! A B-tree that the CPU built with ordinary pointers: searched and counted in by the GPU.

use gmem::{Gmem, Vector};

use crate::{PAGE, Rng, adapters, halves, space};

const KEYS: usize = 7;

/// 128 bytes: the kernel below has the same offsets.
#[repr(C)]
struct Node {
    count: u32,
    keys: [u32; KEYS],
    hits: [u32; KEYS],
    _pad: u32,
    children: [*mut Node; KEYS + 1],
}

/// Makes the tree of some sorted keys; its nodes are taken from `free`.
fn build(keys: &[u32], free: &mut Vec<*mut Node>) -> *mut Node {
    if keys.is_empty() {
        return std::ptr::null_mut();
    }
    let mut node = Node {
        count: 0,
        keys: [0; KEYS],
        hits: [0; KEYS],
        _pad: 0,
        children: [std::ptr::null_mut(); KEYS + 1],
    };
    if keys.len() <= KEYS {
        node.count = keys.len() as u32;
        node.keys[..keys.len()].copy_from_slice(keys);
    } else {
        node.count = KEYS as u32;
        let mut from = 0;
        for i in 0..KEYS {
            let at = (i + 1) * keys.len() / (KEYS + 1);
            node.keys[i] = keys[at];
            node.children[i] = build(&keys[from..at], free);
            from = at + 1;
        }
        node.children[KEYS] = build(&keys[from..], free);
    }
    let place = free.pop().expect("a place");
    // SAFETY: the place is a node of the vector's that nobody has yet.
    unsafe { place.write(node) };
    place
}

/// All keys and their hits, in order, by plain loads.
fn walk(node: *const Node, out: &mut Vec<(u32, u32)>) {
    if node.is_null() {
        return;
    }
    // SAFETY: no launch is under way, and the tree is as it was built.
    let node = unsafe { &*node };
    for i in 0..node.count as usize {
        walk(node.children[i], out);
        out.push((node.keys[i], node.hits[i]));
    }
    walk(node.children[node.count as usize], out);
}

const SEARCH: &str = "
@group(0) @binding(0) var<storage, read> wanted: array<u32>;
@group(0) @binding(1) var<storage, read_write> found: array<u32>;
@group(0) @binding(2) var<uniform> root: gm_ptr;
@compute @workgroup_size(2) fn search(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&wanted)) { return; }
    let key = wanted[id.x];
    var node = root;
    while (!gm_is_null(node)) {
        let count = gm_load_u32(node);
        var i = 0u;
        var here = 0u;
        while (i < min(count, 7u)) {
            here = gm_load_u32(gm_element(gm_add(node, 4u), i, 4u));
            if (here >= key) { break; }
            i++;
        }
        if (i < count && here == key) {
            gm_atomic_add_u32(gm_element(gm_add(node, 32u), i, 4u), 1u);
            found[id.x] = 1u;
            return;
        }
        node = gm_load_ptr(gm_element(gm_add(node, 64u), i, 8u));
    }
    found[id.x] = 2u;
}";

#[test]
fn a_b_tree_is_searched_and_counted_in() {
    const N: usize = 3000;
    for adapter in adapters::adapters() {
        let mut rng = Rng(3);
        let keys: Vec<u32> = (0..N as u32).map(|i| 3 * i + 5).collect();
        let places = N;
        let gm: Gmem = space(&adapter, (places as u64 * 128 / PAGE / 4).max(24));
        let mut memory: Vector<u64> = gm.alloc(16 * places).unwrap();
        let base = memory.as_mut_ptr().cast::<Node>();
        // SAFETY: each is inside the vector.
        let mut free: Vec<*mut Node> = (0..places).map(|i| unsafe { base.add(i) }).collect();
        rng.shuffle(&mut free);
        let root = build(&keys, &mut free);
        let asked: Vec<u32> = (0..512).map(|_| rng.below(3 * N + 20) as u32).collect();
        let mut wanted = gm.alloc::<u32>(asked.len()).unwrap();
        wanted.copy_from_slice(&asked);
        let mut found = gm.alloc::<u32>(asked.len()).unwrap();
        gm.kernel(SEARCH)
            .unwrap()
            .over(asked.len())
            .bind("wanted", &wanted)
            .bind("found", &mut found)
            .uniform("root", &halves(root as u64))
            .reach(&mut memory)
            .run()
            .unwrap();
        for (key, found) in asked.iter().zip(&found[..]) {
            let there = keys.binary_search(key).is_ok();
            assert_eq!(*found, if there { 1 } else { 2 }, "{adapter}: {key}");
        }
        let mut all = Vec::new();
        walk(root, &mut all);
        assert_eq!(all.len(), N);
        for (i, &(key, hits)) in all.iter().enumerate() {
            assert_eq!(key, keys[i], "{adapter}");
            let times = asked.iter().filter(|a| **a == key).count();
            assert_eq!(hits as usize, times, "{adapter}: {key}");
        }
        let counts = gm.stats().counts;
        assert!(
            counts.evictions > 0 && counts.attempted_passes > 0,
            "{adapter}"
        );
    }
}
