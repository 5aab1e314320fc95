//! What users get wrong, and what only just fits: each told clearly, nothing lost.

mod common;
mod skipped;

use std::sync::Arc;

use common::kernels::{Kind, Shape, kernel};
use common::rig::{PAGE, Rig, whole_pages};
use gmem_hal::{Access, ByteRange, Cause, Launch, NodeId, Rights, Va};
use gmem_runtime::{AddressError, Heap, LaunchError, MoveError, Region};
use gmem_sim::{Call, Injection, SimKernel, loads, stores};

#[test]
fn users_errors_are_told_and_change_nothing() {
    let rig = Rig::plain(&[4]);
    let node = rig.devices[0].0;
    let x = rig.space.allocate(2 * PAGE, 1).unwrap();
    let y = rig.space.allocate(2 * PAGE, 1).unwrap();
    let content = rig.fill(&x, |i| i as u8).unwrap();
    let launch = |bound: Vec<ByteRange>, grid| Launch {
        kernel: kernel(Kind::Copy),
        bound,
        values: vec![whole_pages(0).to_value()],
        grid,
        reach: Vec::new(),
    };
    let start = |launch| rig.space.launch(node, launch).map(|_| ());
    let empty = start(launch(vec![x.range(), y.range()], [2, 0, 1]));
    assert!(
        matches!(empty, Err(LaunchError::EmptyGrid { grid: [2, 0, 1] })),
        "{empty:?}"
    );
    let count = start(launch(vec![x.range()], [1; 3]));
    assert!(
        matches!(
            count,
            Err(LaunchError::BindingCount {
                expected: 2,
                given: 1,
                ..
            })
        ),
        "{count:?}"
    );
    for beyond in [
        ByteRange::new(x.range().offset, 2 * PAGE + 1),
        ByteRange::new(x.range().offset, u64::MAX),
        ByteRange::new(1 << 40, 4),
        ByteRange::new(u64::MAX - 3, 4),
    ] {
        let outside = start(launch(vec![x.range(), beyond], [1; 3]));
        assert!(
            matches!(outside, Err(LaunchError::Binding { .. })),
            "{beyond:?}: {outside:?}"
        );
        assert!(rig.space.prefetch(node, beyond).is_err(), "{beyond:?}");
        assert!(rig.space.evict(node, beyond).is_err(), "{beyond:?}");
    }
    let nowhere = rig
        .space
        .launch(NodeId(5), launch(vec![x.range(), y.range()], [1; 3]))
        .map(|_| ());
    assert!(matches!(nowhere, Err(LaunchError::Detached)), "{nowhere:?}");
    for bad in [
        Va(0),
        Va(u64::MAX),
        Va(x.va().0 - 1),
        Va(x.va().0 + 64 * PAGE),
    ] {
        let freed = rig.space.free(bad);
        assert!(
            matches!(freed, Err(MoveError::Address(AddressError::Unknown { .. }))),
            "{bad}: {freed:?}"
        );
    }
    let interior = rig.space.free(Va(x.va().0 + 1));
    assert!(
        matches!(
            interior,
            Err(MoveError::Address(AddressError::Interior { .. }))
        ),
        "{interior:?}"
    );
    for bytes in [0, 1 << 40, u64::MAX] {
        assert!(rig.space.allocate(bytes, 1).is_err(), "{bytes}");
    }

    rig.space.free(y.va()).unwrap();
    let twice = rig.space.free(y.va());
    assert!(
        matches!(twice, Err(MoveError::Address(AddressError::Unknown { .. }))),
        "{twice:?}"
    );
    let freed = start(launch(vec![x.range(), y.range()], [1; 3]));
    assert!(
        matches!(freed, Err(LaunchError::Binding { ref binding, .. }) if binding == "dst"),
        "{freed:?}"
    );
    assert_eq!(rig.load(x.range()).unwrap(), content);
    rig.space.check().unwrap();
}

#[test]
fn a_pinned_region_stays_home_until_the_last_pin_ends() {
    let rig = Rig::plain(&[4]);
    let x = rig.space.allocate(2 * PAGE, 1).unwrap();
    rig.launch(0, Kind::Bump, &[&x], whole_pages(3), 2).unwrap();
    rig.space.pin_host(&x).unwrap();
    rig.space.pin_host(&x).unwrap();
    rig.space.unpin_host(&x);
    let refused = rig.launch(0, Kind::Bump, &[&x], whole_pages(3), 2);
    assert!(
        matches!(refused, Err(LaunchError::PinnedToHost { va }) if va == x.va()),
        "{refused:?}"
    );
    rig.space
        .prefetch(rig.devices[0].0, x.range())
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!(
        rig.space.query(x.va()).unwrap().rights(NodeId::HOST),
        Rights::Write
    );
    rig.space.unpin_host(&x);
    rig.launch(0, Kind::Bump, &[&x], whole_pages(3), 2).unwrap();
    assert_eq!(
        rig.load(x.range()).unwrap(),
        vec![3 * 5 + 3; 2 * PAGE as usize]
    );
}

#[test]
fn a_region_that_two_threads_free_is_freed_once() {
    let rig = Rig::plain(&[8]);
    for _ in 0..200 {
        let x = rig.space.allocate(4 * PAGE, 1).unwrap();
        rig.launch(0, Kind::Bump, &[&x], whole_pages(1), 4).unwrap();
        let gate = std::sync::Barrier::new(3);
        let freed = std::thread::scope(|s| {
            let free = || {
                gate.wait();
                rig.space.free(x.va()).is_ok()
            };
            let (a, b) = (s.spawn(free), s.spawn(free));
            gate.wait();
            // Takes the addresses as soon as they can be had, and fills them: a late second free must not reach this.
            let y = rig.space.allocate(4 * PAGE, 1).unwrap();
            let written = rig.fill(&y, |i| i as u8 | 1).unwrap();
            let freed = [a.join().unwrap(), b.join().unwrap()];
            if y.va() != x.va() {
                assert_eq!(rig.load(y.range()).unwrap(), written);
                rig.space.free(y.va()).unwrap();
            } else {
                // Both frees may be right: the second of the new region, by the same address.
                let _ = rig.space.free(y.va());
                return 1;
            }
            freed.into_iter().filter(|&f| f).count()
        });
        assert_eq!(freed, 1);
    }
    assert_eq!(rig.space.regions(), 0);
}

#[test]
fn a_slab_that_a_device_holds_on_to_is_neither_lost_nor_in_the_way() {
    let (rig, heap) = (Rig::plain(&[8]), Heap::default());
    // Slots of 256 KiB: eight to a slab. Filling two slabs and emptying the second gives it back.
    let slots: Vec<Va> = (0..9)
        .map(|_| heap.allocate(&rig.space, 256 << 10, 1).unwrap())
        .collect();
    let ninth = rig.space.region_of(slots[8]).unwrap();
    heap.free(&rig.space, slots[0]).unwrap();
    let shape = Shape {
        chunk: 64,
        stride: 64,
        salt: 1,
        loose: false,
    };
    rig.launch(0, Kind::Bump, &[&ninth], shape, 4).unwrap();
    rig.devices[0].1.inject(Injection::at(
        Call::SetEntries,
        1,
        Call::SetEntries.refused(),
    ));
    // The slot is free whatever becomes of its slab.
    heap.free(&rig.space, slots[8]).unwrap();
    assert!(
        heap.free(&rig.space, slots[8]).is_err(),
        "a double free is told"
    );
    for &slot in &slots[1..8] {
        heap.free(&rig.space, slot).unwrap();
    }
    assert!(rig.space.regions() <= 2);
    let again: Vec<Va> = (0..16)
        .map(|_| heap.allocate(&rig.space, 256 << 10, 1).unwrap())
        .collect();
    assert!(
        rig.space.regions() <= 2,
        "both slabs are used again: {again:?}"
    );
    rig.space.check().unwrap();
}

#[test]
fn one_frame_is_enough_for_workgroups_of_one_page_and_too_little_for_two() {
    let rig = Rig::plain(&[1]);
    let x = rig.space.allocate(6 * PAGE, 1).unwrap();
    let content = rig.fill(&x, |i| (i / 5) as u8).unwrap();
    rig.launch(0, Kind::Bump, &[&x], whole_pages(7), 6).unwrap();
    let bumped: Vec<u8> = content
        .iter()
        .map(|b| b.wrapping_mul(5).wrapping_add(7))
        .collect();
    assert_eq!(rig.load(x.range()).unwrap(), bumped);
    let y = rig.space.allocate(6 * PAGE, 1).unwrap();
    for kind in [Kind::Copy, Kind::Scatter, Kind::Chase, Kind::Wide] {
        let bound: &[&Region] = if kind == Kind::Scatter {
            &[&x, &x, &y]
        } else {
            &[&x, &y]
        };
        let large = rig.launch(0, kind, bound, whole_pages(7), 6);
        assert!(
            matches!(
                large,
                Err(LaunchError::FootprintTooLarge {
                    capacity: 1,
                    needed: 2..,
                    ..
                })
            ),
            "{kind:?}: {large:?}"
        );
        assert_eq!(rig.load(x.range()).unwrap(), bumped, "{kind:?}");
        assert_eq!(
            rig.load(y.range()).unwrap(),
            vec![0; 6 * PAGE as usize],
            "{kind:?}"
        );
    }
    let chain = rig.launch(0, Kind::Chain, &[&x], whole_pages(7), 6);
    assert!(
        matches!(
            chain,
            Err(LaunchError::FootprintTooLarge {
                capacity: 1,
                needed: 2,
                ..
            })
        ),
        "{chain:?}"
    );
    assert_eq!(rig.load(x.range()).unwrap(), bumped);
}

#[test]
fn a_walk_that_fits_exactly_runs_however_its_pages_are_found() {
    // One workgroup that visits `visits` pages in an order that begins like a sequential one, so that pages are fetched ahead
    // of it; then it turns elsewhere. Whatever was fetched for nothing must not count.
    for (frames, sequential) in [(10, 3), (10, 5), (16, 4), (24, 6), (12, 2)] {
        let rig = Rig::plain(&[frames]);
        let next = rig.space.allocate(64 * PAGE, 1).unwrap();
        let out = rig.space.allocate(PAGE, 1).unwrap();
        // next[p] at the start of each page: where to go from there. `frames - 1` pages and the output.
        let visits: Vec<u64> = (0..sequential)
            .chain((0..frames - 1 - sequential).map(|i| 63 - 2 * i))
            .collect();
        let mut bytes = vec![0; 64 * PAGE as usize];
        for pair in visits.windows(2) {
            bytes[(pair[0] * PAGE) as usize..][..8].copy_from_slice(&pair[1].to_le_bytes());
        }
        rig.space
            .bring_home(next.range(), Access::Write, Cause::UserCopy)
            .unwrap();
        rig.space.host().write_bytes(next.range().offset, &bytes);
        let steps = visits.len();
        let walk = SimKernel::new("walk", vec![loads("next"), stores("out")], move |t| {
            let mut page = 0u64;
            for _ in 1..steps {
                page = t.load::<u64>(0, page * PAGE)?;
            }
            let last = t.load::<u64>(0, page * PAGE)?;
            t.store(1, 0, page + last)
        });
        let launch = Launch {
            kernel: Arc::new(walk),
            bound: vec![next.range(), out.range()],
            values: vec![],
            grid: [1; 3],
            reach: Vec::new(),
        };
        rig.space
            .launch(rig.devices[0].0, launch)
            .unwrap()
            .wait()
            .unwrap();
        let found = rig.load(ByteRange::new(out.range().offset, 8)).unwrap();
        assert_eq!(
            u64::from_le_bytes(found.try_into().unwrap()),
            visits[steps - 1],
            "{frames} frames"
        );
    }
}
