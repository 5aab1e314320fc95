//! A binary search tree built by the CPU with ordinary pointers; the GPU counts in it what it finds, in less memory than it takes;
//! then the CPU walks it again.

use gmem::{Gmem, bytemuck};

#[repr(C)]
struct Node {
    key: u32,
    count: u32,
    children: [*mut Node; 2],
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[bytemuck(crate = "gmem::bytemuck")]
struct Place([u64; 3]);

const COUNT: &str = "
@group(0) @binding(0) var<storage, read> samples: array<u32>;
@group(0) @binding(1) var<uniform> root: gm_ptr;

@compute @workgroup_size(8)
fn count(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&samples)) { return; }
    let wanted = samples[id.x];
    var node = root;
    while (!gm_is_null(node)) {
        let key = gm_load_u32(node);
        if (key == wanted) {
            gm_atomic_add_u32(gm_add(node, 4u), 1u);
            return;
        }
        node = gm_load_ptr(gm_add(node, select(8u, 16u, wanted > key)));
    }
}";

/// The root of a balanced tree of the keys `low..high`, the node of a key in the place of that number.
fn build(places: *mut Node, low: u32, high: u32) -> *mut Node {
    if low == high {
        return std::ptr::null_mut();
    }
    let key = low.midpoint(high);
    let children = [build(places, low, key), build(places, key + 1, high)];
    // SAFETY: there is a place for every key, and nobody else looks at it now.
    unsafe {
        let node = places.add(key as usize);
        node.write(Node {
            key,
            count: 0,
            children,
        });
        node
    }
}

/// The counts of all nodes together, and how many nodes there are.
fn sum(node: *const Node) -> (u64, u64) {
    if node.is_null() {
        return (0, 0);
    }
    // SAFETY: a node of the tree, which no launch uses now.
    let node = unsafe { &*node };
    let (left, right) = (sum(node.children[0]), sum(node.children[1]));
    (
        left.0 + right.0 + u64::from(node.count),
        left.1 + right.1 + 1,
    )
}

fn main() -> Result<(), gmem::Error> {
    let gm = Gmem::builder()
        .device_memory(512 << 10)
        .page_size(4096)
        .build()?;
    let keys = 50_000;
    let mut tree = gm.alloc::<Place>(keys as usize)?;
    let root = build(tree.as_mut_ptr().cast(), 0, keys);
    let mut samples = gm.alloc::<u32>(20_000)?;
    (0u32..)
        .zip(samples.iter_mut())
        .for_each(|(i, sample)| *sample = i * 7 % (2 * keys));

    let address = root as u64;
    gm.kernel(COUNT)?
        .over(samples.len())
        .bind("samples", &samples)
        .uniform("root", &[address as u32, (address >> 32) as u32])
        .reach(&mut tree)
        .run()?;

    let expected = samples.iter().filter(|&&sample| sample < keys).count();
    let (found, nodes) = sum(root);
    println!(
        "{found} found (expected {expected}) in {nodes} nodes of {} KiB",
        tree.bytes() >> 10
    );
    assert_eq!(found, expected as u64);
    Ok(())
}
