//! Pointers that lead nowhere, or where they may not: the error with its exact address, line and workgroup, and every byte as it was.

use gmem::hal::Va;
use gmem::{DeviceChoice, Error, Gmem, PointerAccess, PointerFault, SegmentationFault, Vector};

use crate::{adapters, halves, space};

/// One wild access, by the sixth workgroup of the third row.
const SOURCE: &str = "
@group(0) @binding(0) var<uniform> wild: gm_ptr;
@group(0) @binding(1) var<uniform> what: u32;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

fn store(p: gm_ptr) {
    gm_store_u32(p, 0xdeadbeefu);
}

@compute @workgroup_size(4)
fn stray(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if (group.x != 5u || group.y != 2u || lane != 1u) { return; }
    switch what {
        case 0u: { out[0] = gm_load_u32(wild) + 1u; }
        case 1u: { store(wild); }
        case 2u: { out[0] = gm_atomic_add_u32(wild, 1u) + 1u; }
        default: {
            let p = gm_load_ptr(wild);
            out[0] = p.x + p.y + 1u;
        }
    }
}";

/// The lines of the accesses above.
const LINES: [u32; 4] = [14, 7, 16, 18];

fn vector(gm: &Gmem, words: usize) -> Vector<u32> {
    let mut vector = gm.alloc::<u32>(words).unwrap();
    (0u32..)
        .zip(vector.iter_mut())
        .for_each(|(i, word)| *word = i * 7 + 1);
    vector
}

fn fault(result: Result<gmem::LaunchReport, Error>) -> SegmentationFault {
    match result {
        Err(Error::SegmentationFault(fault)) => *fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn wild_pointers_are_told_and_touch_nothing() {
    for adapter in adapters::adapters() {
        // With everything resident, and where most of it is not.
        for pages in [256, 8] {
            let gm = space(&adapter, pages);
            let kernel = gm.kernel(SOURCE).unwrap();
            let mut own = vector(&gm, 5000);
            let between = vector(&gm, 5000);
            let shared = vector(&gm, 5000);
            let mut out = gm.alloc::<u32>(4).unwrap();
            let before = (own.to_vec(), between.to_vec(), shared.to_vec());
            // It is on the device, where a stray store would reach it.
            between.prefetch(&gm.device(0).unwrap()).unwrap();
            let (o, b, s) = (own.va().0, between.va().0, shared.va().0);
            let end = o + 20_000;
            use PointerFault::{Misaligned, Nothing, ReadOnly};
            let cases = [
                (0, 0, Nothing),
                (0, 3, Nothing),
                (8, 1, Nothing),
                (end, 0, Nothing),
                (end, 1, Nothing),
                (end + 4, 2, Nothing),
                (b, 0, Nothing),
                (b + 4096, 1, Nothing),
                (b + 19_996, 2, Nothing),
                (o - 4, 1, Nothing),
                (s + 20_000, 0, Nothing),
                (s + (1 << 34), 1, Nothing),
                (o + (1 << 32), 1, Nothing),
                (u64::MAX - 3, 0, Nothing),
                (u64::MAX - 7, 3, Nothing),
                (o | 1 << 63, 1, Nothing),
                (s, 1, ReadOnly),
                (s + 19_996, 2, ReadOnly),
                (o + 2, 0, Misaligned),
                (o + 1, 1, Misaligned),
                (o + 4, 3, Misaligned),
                (b + 3, 2, Misaligned),
            ];
            for (address, what, wanted) in cases {
                let result = kernel
                    .launch([7, 3, 1])
                    .bind("out", &mut out)
                    .uniform("wild", &halves(address))
                    .uniform("what", &what)
                    .reach(&mut own)
                    .reach(&shared)
                    .run();
                let text = result
                    .as_ref()
                    .map_or_else(ToString::to_string, |_| String::new());
                let fault = fault(result);
                let context = format!("{adapter}, {pages} pages, {address:#x}, {what}: {text}");
                assert_eq!(fault.address, Va(address), "{context}");
                assert_eq!(fault.fault, wanted, "{context}");
                assert_eq!(fault.workgroup, [5, 2, 0], "{context}");
                assert_eq!(fault.line, Some(LINES[what as usize]), "{context}");
                let access = match what {
                    1 => PointerAccess::Store,
                    2 => PointerAccess::Atomic,
                    _ => PointerAccess::Load,
                };
                assert_eq!(fault.access, access, "{context}");
                assert_eq!(fault.bytes, if what == 3 { 8 } else { 4 }, "{context}");
                assert_eq!(fault.others, 0, "{context}");
                assert!(!fault.near.is_empty(), "{context}");
                assert!(
                    text.contains("`stray`") && text.contains("(5, 2, 0)"),
                    "{context}"
                );
                if (b..b + 20_000).contains(&address) && wanted == Nothing {
                    assert_eq!(fault.region, Some((Va(b), 20_000)), "{context}");
                    assert!(text.contains("name it with `reach`"), "{context}");
                }
                // A load gives zero.
                assert_eq!(out[0], u32::from(what != 1), "{context}");
                out[0] = 0;
                let after = (own.to_vec(), between.to_vec(), shared.to_vec());
                assert!(after == before, "{context}: memory changed");
                between.prefetch(&gm.device(0).unwrap()).unwrap();
            }
            // The last bytes of what may be reached are no fault.
            kernel
                .launch([7, 3, 1])
                .bind("out", &mut out)
                .uniform("wild", &halves(s + 19_996))
                .uniform("what", &0u32)
                .reach(&mut own)
                .reach(&shared)
                .run()
                .unwrap();
            assert_eq!(out[0], 4999 * 7 + 2, "{adapter}");
        }
    }
}

#[test]
fn a_launch_says_what_may_be_reached() {
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 64);
        let kernel = gm.kernel(SOURCE).unwrap();
        let mut out = gm.alloc::<u32>(4).unwrap();
        let launch = || {
            kernel
                .launch([7, 3, 1])
                .uniform("wild", &[0u32; 2])
                .uniform("what", &0u32)
        };
        let none = launch().bind("out", &mut out).run();
        assert!(matches!(none, Err(Error::NoReach { .. })), "{none:?}");
        let mut own = vector(&gm, 64);
        let plain = gm
            .kernel("@group(0) @binding(0) var<storage, read_write> x: array<u32>; @compute @workgroup_size(1) fn main() { x[0] = 1u; }")
            .unwrap();
        let useless = plain
            .launch([1, 1, 1])
            .bind("x", &mut out)
            .reach(&own)
            .run();
        assert!(
            matches!(useless, Err(Error::NoPointers { .. })),
            "{useless:?}"
        );
        let other = space(&adapter, 64);
        let foreign = vector(&other, 64);
        let strange = launch().bind("out", &mut out).reach(&foreign).run();
        assert!(
            matches!(strange, Err(Error::OtherSpace { .. })),
            "{strange:?}"
        );
        // Everything: also what `malloc` gave.
        let p = gm.malloc(64).cast::<u32>();
        assert!(!p.is_null());
        // SAFETY: `malloc` gave it, no reference to it exists, and nobody else uses the space.
        unsafe {
            p.write(41);
            let all = kernel.launch([7, 3, 1]).uniform("wild", &halves(p as u64));
            all.uniform("what", &2u32)
                .bind("out", &mut out)
                .reach_all()
                .run()
                .unwrap();
            assert_eq!((p.read(), out[0]), (42, 42), "{adapter}");
            let one = kernel.launch([7, 3, 1]).uniform("wild", &halves(p as u64));
            let one = one.uniform("what", &1u32).bind("out", &mut out);
            one.reach_raw(p.cast(), 4).run().unwrap();
            assert_eq!(p.read(), 0xdead_beef, "{adapter}");
            gm.free(p.cast()).unwrap();
        }
        own[0] = 3;
    }
}

#[test]
fn a_range_without_bytes_reaches_nothing() {
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 64);
        let load = gm
            .kernel(
                "@group(0) @binding(0) var<uniform> at: gm_ptr;
                 @group(0) @binding(1) var<storage, read_write> out: array<u32>;
                 @compute @workgroup_size(1) fn main() { out[0] = gm_load_u32(at); }",
            )
            .unwrap();
        let mut out = gm.alloc::<u32>(1).unwrap();
        let mut regions = [vector(&gm, 1024), vector(&gm, 1024), vector(&gm, 1024)];
        regions.sort_by_key(|region| region.va().0);
        let [first, between, mut last] = regions;
        between.prefetch(&gm.device(0).unwrap()).unwrap();
        for reached in 0..3 {
            out[0] = 1;
            let at = halves(between.va().0);
            let launch = load.launch([1, 1, 1]).uniform("at", &at);
            // SAFETY: it names no byte.
            let launch = unsafe { launch.reach_raw(first.as_ptr().cast(), 0) };
            let launch = launch.bind("out", &mut out);
            let result = match reached {
                0 => launch.run(),
                1 => launch.reach(&last).run(),
                _ => launch.reach(&mut last).run(),
            };
            match result {
                Err(Error::NoReach { .. }) if reached == 0 => continue,
                Err(Error::SegmentationFault(fault)) if reached > 0 => {
                    assert_eq!(fault.fault, PointerFault::Nothing, "{adapter}");
                }
                other => panic!("{adapter}, {reached}: {other:?}"),
            }
            assert_eq!(out[0], 0, "{adapter}");
        }
    }
}

#[test]
fn a_simulated_device_has_no_such_kernels() {
    let gm = Gmem::builder()
        .device(DeviceChoice::Simulated)
        .build()
        .unwrap();
    assert!(matches!(gm.kernel(SOURCE), Err(Error::NoWgsl { .. })));
}
