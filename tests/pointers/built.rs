//! Structures that the GPU builds and the CPU walks, and every kind of access.

use gmem::{Error, gpu::CompileError};

use crate::{adapters, halves, skipped::skipped, space};

#[repr(C)]
struct Node {
    value: u32,
    lane: u32,
    next: *const Node,
}

#[test]
fn lists_that_the_gpu_builds_are_walked_by_the_cpu() {
    const LANES: usize = 256;
    const EACH: usize = 5;
    let source = "
        @group(0) @binding(0) var<storage, read_write> used: atomic<u32>;
        @group(0) @binding(1) var<storage, read_write> heads: array<gm_ptr>;
        @group(0) @binding(2) var<uniform> arena: gm_ptr;
        @compute @workgroup_size(32) fn build(@builtin(global_invocation_id) id: vec3<u32>) {
            var head = gm_null;
            for (var i = 0u; i < 5u; i++) {
                let node = gm_element(arena, atomicAdd(&used, 1u), 16u);
                gm_store_u32(node, i * i);
                gm_store_u32(gm_add(node, 4u), id.x);
                gm_store_ptr(gm_offset(gm_add(node, 16u), -8), head);
                head = node;
            }
            heads[id.x] = head;
        }";
    for adapter in adapters::adapters() {
        // All of it at once, and in fewer pages than it takes.
        for pages in [64, 7] {
            let gm = space(&adapter, pages);
            let mut arena = gm.alloc::<u64>(2 * LANES * EACH).unwrap();
            let mut used = gm.alloc::<u32>(1).unwrap();
            let mut heads = gm.alloc::<u64>(LANES).unwrap();
            let at = halves(arena.va().0);
            let (range, kernel) = (arena.as_ptr_range(), gm.kernel(source).unwrap());
            kernel
                .over(LANES)
                .bind("used", &mut used)
                .bind("heads", &mut heads)
                .uniform("arena", &at)
                .reach(&mut arena)
                .run()
                .unwrap();
            assert_eq!(used[0] as usize, LANES * EACH, "{adapter}");
            // Nothing is at the arena's end.
            assert_eq!(range, arena.as_ptr_range());
            let mut seen = std::collections::BTreeSet::new();
            for lane in 0..LANES {
                let mut at = heads[lane] as *const Node;
                for i in (0..EACH).rev() {
                    assert!(
                        range.contains(&at.cast()) && seen.insert(at as u64),
                        "{adapter}"
                    );
                    // SAFETY: it is inside the arena, which no launch uses now.
                    let node = unsafe { &*at };
                    assert_eq!((node.value, node.lane), ((i * i) as u32, lane as u32));
                    at = node.next;
                }
                assert!(at.is_null(), "{adapter}");
            }
        }
    }
}

#[test]
fn every_kind_of_access_does_what_it_says() {
    let source = "
        @group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @group(0) @binding(1) var<uniform> p: gm_ptr;
        @compute @workgroup_size(1) fn main() {
            out[0] = gm_load_u32(p);
            out[1] = bitcast<u32>(gm_load_i32(gm_add(p, 4u)));
            out[2] = u32(gm_load_f32(gm_add(p, 8u)) * 2.0);
            let self_ = gm_load_ptr(gm_add(p, 16u));
            out[3] = select(0u, 1u, gm_equal(self_, p) && !gm_less(self_, p) && gm_less(p, gm_add(p, 1u)));
            out[4] = gm_atomic_add_u32(gm_add(p, 24u), 5u);
            out[5] = bitcast<u32>(gm_atomic_min_i32(gm_add(p, 28u), -7));
            out[6] = gm_atomic_exchange_u32(gm_add(p, 32u), 9u);
            let first = gm_atomic_compare_exchange_u32(gm_add(p, 32u), 9u, 11u);
            out[7] = first.old_value;
            out[8] = gm_atomic_or_u32(gm_add(p, 36u), 6u) + gm_atomic_and_u32(gm_add(p, 36u), 3u);
            gm_store_i32(gm_add(p, 40u), -3);
            gm_store_f32(gm_add(p, 44u), 0.5);
            gm_store_ptr(gm_add(p, 48u), gm_sub(p, 1u));
            out[9] = gm_difference(gm_add(p, 100u), p).x;
            gm_atomic_store_u32(gm_add(p, 56u), gm_atomic_load_u32(p) + 1u);
        }";
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 64);
        let mut memory = gm.alloc::<u32>(16).unwrap();
        let at = memory.va().0;
        let [low, high] = halves(at);
        memory.copy_from_slice(&[
            77,
            -5i32 as u32,
            1.5f32.to_bits(),
            0,
            low,
            high,
            100,
            3,
            4,
            9,
            0,
            0,
            0,
            0,
            0,
            0,
        ]);
        let mut out = gm.alloc::<u32>(10).unwrap();
        let kernel = gm.kernel(source).unwrap();
        kernel
            .launch([1, 1, 1])
            .bind("out", &mut out)
            .uniform("p", &[low, high])
            .reach(&mut memory)
            .run()
            .unwrap();
        assert_eq!(
            out[..],
            [77, -5i32 as u32, 3, 1, 100, 3, 4, 9, 9 + 15, 100],
            "{adapter}"
        );
        let below = halves(at - 1);
        assert_eq!(
            memory[6..],
            [
                105,
                -7i32 as u32,
                11,
                3,
                -3i32 as u32,
                0.5f32.to_bits(),
                below[0],
                below[1],
                78,
                0
            ],
            "{adapter}"
        );
    }
}

#[test]
fn sixty_four_bits_are_one_access() {
    let source = "
        @group(0) @binding(0) var<uniform> p: gm_ptr;
        @compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            gm_atomic_add_u64(p, 0xfffffffflu);
            gm_atomic_max_u64(gm_add(p, 8u), u64(id.x) << 32u);
            if (id.x == 0u) {
                gm_store_u64(gm_add(p, 16u), gm_load_u64(gm_add(p, 24u)) * 3lu);
                gm_store_i64(gm_add(p, 32u), gm_load_i64(gm_add(p, 40u)) - 1li);
            }
        }";
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 64);
        let kernel = match gm.kernel(source) {
            Err(Error::Compile(CompileError::Unsupported { reason, .. })) => {
                skipped(format_args!("{adapter}: {reason}"));
                continue;
            }
            kernel => kernel.unwrap(),
        };
        let mut memory = gm.alloc::<u64>(6).unwrap();
        memory[3] = 0x1_8000_0001;
        let at = halves(memory.va().0);
        let launch = kernel
            .launch([2, 1, 1])
            .uniform("p", &at)
            .reach(&mut memory);
        launch.run().unwrap();
        let wanted = [
            64 * 0xffff_ffff,
            63 << 32,
            0x4_8000_0003,
            0x1_8000_0001,
            u64::MAX,
            0,
        ];
        assert_eq!(memory[..], wanted, "{adapter}");
    }
}
