//! What an entry point says of its bindings.

use gmem_shaders::{Entry, How, Mode, Program, RuntimeArray, ScalarLeaf, SlotKind, Variant};

fn entry(source: &str) -> Entry {
    match Program::from_wgsl(source).and_then(|p| p.entry(Some("main"), &[])) {
        Ok(entry) => entry,
        Err(e) => panic!("{e}"),
    }
}

const KERNEL: &str = "
struct Item { pos: vec3<f32>, id: u32 }
struct Queue { count: atomic<u32>, @align(16) items: array<Item> }
struct Args { n: u32, scale: vec2<f32>, m: mat2x3<f32>, list: array<vec4<i32>, 2> }
@group(1) @binding(4) var<storage, read_write> queue: Queue;
@group(0) @binding(7) var<storage, read_write> unused: array<f32>;
@group(0) @binding(3) var<storage, read_write> only_read: array<vec2<f32>>;
@group(0) @binding(9) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> count: u32;
fn helper(i: u32) -> f32 { return only_read[i].x; }
@compute @workgroup_size(8, 4) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= count { return; }
    let at = atomicAdd(&queue.count, 1u);
    queue.items[at].pos.x = helper(id.x) * args.scale.x;
}
@compute @workgroup_size(1) fn other() { unused[0] = 1.0; }
";

#[test]
fn storage_is_reflected_by_group_and_binding_with_true_access() {
    let entry = entry(KERNEL);
    assert_eq!(entry.workgroup_size, [8, 4, 1]);
    let names: Vec<_> = entry.storage.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["only_read", "queue"]);
    let [only_read, queue] = &entry.storage[..] else {
        panic!("two bindings")
    };
    assert_eq!((only_read.group, only_read.binding), (0, 3));
    assert_eq!((only_read.min_bytes, only_read.align), (8, 8));
    assert_eq!(
        only_read.runtime,
        Some(RuntimeArray {
            offset: 0,
            stride: 8
        })
    );
    assert_eq!(
        (only_read.element.as_str(), only_read.scalar),
        ("vec2<f32>", Some(ScalarLeaf::F32))
    );
    assert_eq!(
        (only_read.reads, only_read.writes, only_read.atomics),
        (true, false, false)
    );
    assert_eq!(
        queue.runtime,
        Some(RuntimeArray {
            offset: 16,
            stride: 16
        })
    );
    assert_eq!((queue.min_bytes, queue.align, queue.scalar), (32, 16, None));
    assert!(queue.writes && queue.atomics);
    assert_eq!(queue.count(16 + 16 * 5 + 15), 5);
    assert_eq!(queue.count(8), 0);
}

#[test]
fn uniforms_are_reflected_with_their_leaves() {
    let entry = entry(KERNEL);
    let names: Vec<_> = entry.values.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["count", "args"]);
    assert_eq!(entry.values[0].leaves.len(), 1);
    assert_eq!(entry.values[0].leaves[0].path, "");
    let args = &entry.values[1];
    assert_eq!(args.bytes, 80);
    let leaves: Vec<_> = args
        .leaves
        .iter()
        .map(|l| (l.offset, l.path.as_str()))
        .collect();
    assert_eq!(
        leaves[..4],
        [
            (0, ".n"),
            (8, ".scale.x"),
            (12, ".scale.y"),
            (16, ".m[0].x")
        ]
    );
    assert_eq!(leaves[6], (32, ".m[1].x"));
    assert_eq!(*leaves.last().expect("leaves"), (76, ".list[1].w"));
}

#[test]
fn windows_with_a_writer_are_written_in_all_views() {
    let entry = entry(KERNEL);
    let slid = |windows: [u32; 2]| Variant {
        mode: Mode::Run,
        page_shift: 16,
        windows: 2,
        bindings: windows.map(|window| How::Slid { window }).to_vec(),
    };
    let windows = |variant: &Variant| -> Vec<(u32, bool)> {
        let rewritten = entry.rewrite(variant).expect("rewritten");
        assert_eq!(rewritten.values, [0, 1]);
        rewritten
            .slots
            .iter()
            .filter_map(|s| match s.kind {
                SlotKind::Window { window, write } => Some((window, write)),
                _ => None,
            })
            .collect()
    };
    assert_eq!(windows(&slid([0, 1])), [(0, false), (1, true)]);
    assert_eq!(windows(&slid([1, 1])), [(1, true), (1, true)]);
}

#[test]
fn slots_are_the_globals_of_group_0() {
    let entry = entry(KERNEL);
    for how in [How::Paged, How::Slid { window: 1 }] {
        let rewritten = entry
            .rewrite(&Variant {
                mode: Mode::Run,
                page_shift: 12,
                windows: 3,
                bindings: vec![how; 2],
            })
            .expect("rewritten");
        let mut bound: Vec<u32> = rewritten
            .module
            .global_variables
            .iter()
            .filter_map(|(_, v)| v.binding.filter(|b| b.group == 0).map(|b| b.binding))
            .collect();
        bound.sort_unstable();
        let slots: Vec<u32> = rewritten.slots.iter().map(|s| s.binding).collect();
        assert_eq!(slots, bound);
        let has_table = rewritten.slots.iter().any(|s| s.kind == SlotKind::Table);
        assert_eq!(has_table, how == How::Paged);
    }
}
