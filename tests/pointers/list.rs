//! Lists of the CPU's, shuffled over several regions, walked by many lanes.

use gmem::gpu::AdapterChoice;
use gmem::{Gmem, Vector};

use crate::{PAGE, Rng, adapters, halves, space};

#[repr(C)]
struct Node {
    value: u32,
    visits: u32,
    next: *mut Node,
}

const REGIONS: usize = 3;

/// A list with a region of somebody else's between its own.
struct List {
    regions: Vec<Vector<u64>>,
    other: Vector<u64>,
    head: *mut Node,
}

impl List {
    /// Nodes that are shuffled in windows of so many.
    fn new(gm: &Gmem, nodes: usize, window: usize) -> Self {
        let mut rng = Rng(7);
        let each = nodes.div_ceil(REGIONS).next_multiple_of(window);
        let mut regions = vec![gm.alloc::<u64>(2 * each).unwrap()];
        let mut other = gm.alloc::<u64>(1000).unwrap();
        other.fill(0x0123_4567_89ab_cdef);
        regions.extend((1..REGIONS).map(|_| gm.alloc::<u64>(2 * each).unwrap()));
        let bases: Vec<*mut Node> = regions
            .iter_mut()
            .map(|r| r.as_mut_ptr().cast::<Node>())
            .collect();
        let windows = each / window;
        let mut order: Vec<usize> = (0..windows * REGIONS).collect();
        rng.shuffle(&mut order);
        let (mut head, mut made) = (std::ptr::null_mut(), 0);
        for place in order {
            let mut slots: Vec<usize> = (0..window).collect();
            rng.shuffle(&mut slots);
            for slot in slots.into_iter().take(nodes - made) {
                made += 1;
                let value = made as u32;
                // SAFETY: the slot is inside its region, which nobody else looks at now.
                head = unsafe {
                    let node = bases[place / windows].add(place % windows * window + slot);
                    node.write(Node {
                        value,
                        visits: 0,
                        next: head,
                    });
                    node
                };
            }
        }
        assert_eq!(made, nodes);
        Self {
            regions,
            other,
            head,
        }
    }

    /// The address of every node, in the list's order, and its value and visits: by plain loads.
    fn walk(&self) -> Vec<(u64, u32, u32)> {
        let (mut at, mut out) = (self.head, Vec::new());
        while !at.is_null() {
            // SAFETY: no launch is under way, and the list is as it was built.
            let node = unsafe { &*at };
            out.push((at as u64, node.value, node.visits));
            at = node.next;
        }
        out
    }
}

/// Walks a list of the CPU's in `times` less memory, each lane `steps` nodes of it.
fn walked(
    adapter: &AdapterChoice,
    nodes: usize,
    window: usize,
    lanes: u32,
    steps: u32,
    update: bool,
) {
    let bytes = nodes as u64 * size_of::<Node>() as u64;
    let gm = space(adapter, (bytes / 4 / PAGE).max(12));
    let mut list = List::new(&gm, nodes, window);
    let before = list.walk();
    assert_eq!(before.len(), nodes);
    let starts: Vec<[u32; 2]> = (before.iter().step_by(steps as usize))
        .map(|n| halves(n.0))
        .collect();
    let mut heads = gm.alloc::<[u32; 2]>(starts.len()).unwrap();
    heads.copy_from_slice(&starts);
    let mut sums = gm.alloc::<u32>(starts.len()).unwrap();
    let change = if update {
        "gm_store_u32(at, value * 3u + 1u); gm_store_u32(gm_add(at, 4u), gm_load_u32(gm_add(at, 4u)) + 1u);"
    } else {
        ""
    };
    let source = format!(
        "@group(0) @binding(0) var<storage, read> heads: array<gm_ptr>;
         @group(0) @binding(1) var<storage, read_write> sums: array<u32>;
         @compute @workgroup_size({lanes}) fn walk(@builtin(global_invocation_id) id: vec3<u32>) {{
             if (id.x >= arrayLength(&heads)) {{ return; }}
             var at = heads[id.x];
             var sum = 0u;
             for (var step = 0u; step < {steps}u && !gm_is_null(at); step++) {{
                 let value = gm_load_u32(at);
                 sum += value;
                 {change}
                 at = gm_load_ptr(gm_add(at, 8u));
             }}
             sums[id.x] = sum;
         }}"
    );
    let kernel = gm.kernel(&source).unwrap();
    assert!(kernel.follows_pointers());
    assert_eq!(kernel.storage().len(), 2, "what is hidden is not asked for");
    let mut launch = kernel
        .over(starts.len())
        .bind("heads", &heads)
        .bind("sums", &mut sums);
    for region in &mut list.regions {
        launch = if update {
            launch.reach(region)
        } else {
            launch.reach(&*region)
        };
    }
    let report = launch.run().unwrap();
    let counts = gm.stats().counts;
    println!("{adapter}: {report:?}, {} evictions", counts.evictions);
    assert!(counts.evictions > 0, "{adapter}: all of it fitted");
    if update {
        assert!(counts.attempted_passes > 0, "{adapter}");
    } else {
        assert!(
            report.probes > 0 && counts.attempted_passes == 0,
            "{adapter}"
        );
    }
    let wanted: Vec<u32> = before
        .chunks(steps as usize)
        .map(|part| part.iter().fold(0, |sum: u32, n| sum.wrapping_add(n.1)))
        .collect();
    assert!(sums[..] == wanted, "{adapter}: the sums");
    let visits = u32::from(update);
    for (after, before) in list.walk().iter().zip(&before) {
        let value = if update {
            before.1.wrapping_mul(3).wrapping_add(1)
        } else {
            before.1
        };
        assert_eq!(*after, (before.0, value, visits), "{adapter}");
    }
    assert!(
        list.other.iter().all(|&word| word == 0x0123_4567_89ab_cdef),
        "{adapter}"
    );
    gm.check().unwrap();
}

#[test]
fn a_list_is_walked_in_a_quarter_of_its_memory() {
    for adapter in adapters::adapters() {
        // A node is mostly on another page than the one before it.
        walked(&adapter, 24_000, 1000, 8, 16, false);
    }
}

#[test]
fn a_list_is_changed_in_a_quarter_of_its_memory() {
    for adapter in adapters::adapters() {
        walked(&adapter, 60_000, 1000, 64, 32, true);
    }
}

#[test]
fn a_list_of_a_million_nodes_is_changed_in_a_quarter_of_its_memory() {
    for adapter in adapters::adapters() {
        walked(&adapter, 1_000_000, 1000, 64, 64, true);
    }
}
