//! One workgroup whose pointers lead to more pages than the device has room for.

use gmem::{DeviceChoice, Gmem};

use crate::adapters;

#[test]
fn lanes_that_are_led_to_a_page_each_are_given_a_piece_of_it() {
    const LARGE: usize = 64 << 10;
    let source = "
        @group(0) @binding(0) var<storage, read> to: array<gm_ptr>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let at = to[id.x];
            gm_store_u32(at, gm_load_u32(at) + 1u + id.x);
        }";
    for adapter in adapters::adapters() {
        let gm = Gmem::builder()
            .device(DeviceChoice::Gpu(adapter.clone()))
            .device_memory(8 * LARGE as u64 + 256)
            .remote_memory(0)
            .page_size(LARGE as u64)
            .build()
            .unwrap();
        // Two regions may be reached, and one between them may not.
        let words = 32 * LARGE / 4;
        let mut some = gm.alloc::<u32>(words).unwrap();
        let between = gm.alloc::<u32>(words).unwrap();
        let mut others = gm.alloc::<u32>(words).unwrap();
        for (vector, first) in [(&mut some, 0), (&mut others, 7)] {
            vector.iter_mut().zip(first..).for_each(|(x, i)| *x = i);
        }
        let mut to = gm.alloc::<u64>(64).unwrap();
        // Near the end of each page, in the first region for even lanes.
        let at = |lane: usize| (lane / 2 * LARGE + 60_000 + 4 * lane) / 4;
        for (lane, to) in to.iter_mut().enumerate() {
            let region = if lane % 2 == 0 { &some } else { &others };
            *to = region.va().0 + 4 * at(lane) as u64;
        }
        let kernel = gm.kernel(source).unwrap();
        let launch = kernel.over(64).bind("to", &to);
        launch.reach(&mut some).reach(&mut others).run().unwrap();
        assert_eq!(gm.stats().counts.piece_passes, 1, "{adapter}");
        for (vector, first, odd) in [(&some, 0, 0), (&others, 7, 1)] {
            let mut wanted: Vec<u32> = (first..).take(words).collect();
            for lane in (odd..64).step_by(2) {
                wanted[at(lane)] += 1 + lane as u32;
            }
            assert!(vector[..] == wanted, "{adapter}");
        }
        assert!(between.iter().all(|&x| x == 0), "{adapter}");
    }
}
