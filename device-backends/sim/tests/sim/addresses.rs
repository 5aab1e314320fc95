//! Kernels that follow absolute addresses.

use super::*;
use gmem_hal::Va;
use gmem_sim::{loads, stores, updates};

/// Follows a list of `{ next, value }` from the address in the uniform, sums the values and stores the sum.
fn walk() -> SimKernel {
    SimKernel::new(
        "walk",
        vec![stores("sum"), loads("heap"), loads("other heap")],
        |t| {
            let (mut at, mut sum) = (t.value::<u64>(0, 0), 0u64);
            while at != 0 {
                sum += t.load_va::<u64>(Va(at + 8))?;
                at = t.load_va(Va(at))?;
            }
            t.store(0, 0, sum)
        },
    )
}

/// A list through two heaps (pages 10..20 and 30..40), one node a page, some of them straddling two.
fn list(rig: &Rig) -> (Launch, u64) {
    let at = |i: u64| {
        let page = if i.is_multiple_of(2) {
            10 + i * 3 % 8
        } else {
            30 + i * 5 % 9
        };
        rig.geometry
            .va(page * PAGE + [16, 4091, 2000][(i % 3) as usize])
            .0
    };
    let mut sum = 0;
    for i in 0..8 {
        let following = if i == 7 { 0 } else { at(i + 1) };
        let node = rig.geometry.offset_of(Va(at(i))).unwrap();
        rig.host.write_bytes(node, &u64::to_le_bytes(following));
        rig.host.write_bytes(node + 8, &u64::to_le_bytes(i * i + 1));
        sum += i * i + 1;
    }
    let mut launch = launch(
        walk(),
        &[(0, 8), (10 * PAGE, 10 * PAGE), (30 * PAGE, 10 * PAGE)],
        1,
    );
    launch.values = vec![at(0).to_le_bytes().to_vec()];
    (launch, sum)
}

#[test]
fn a_list_is_walked_by_absolute_addresses_after_probes_found_its_pages() {
    let rig = Rig::grown();
    let (launch, sum) = list(&rig);
    let mut frames: Vec<u32> = rig_frames();
    let mut mapped = std::collections::BTreeSet::new();
    let mut rounds = 0;
    loop {
        rounds += 1;
        let report = rig
            .device
            .probe(&launch, &[GridBox::whole([1; 3])])
            .unwrap()
            .remove(0);
        for (binding, touched) in report.touched.iter().enumerate() {
            let first = launch.bound[binding].offset / PAGE;
            for &page in touched.reads.iter().chain(&touched.writes) {
                if mapped.insert(first + u64::from(page)) {
                    rig.map(first + u64::from(page), frames.pop().unwrap(), binding == 0);
                }
            }
        }
        if !report.stopped {
            break;
        }
        assert!(rounds < 40, "every round brings a page");
    }
    assert!(rounds > 8, "a list resolves level by level");
    assert!(
        mapped.len() < 15,
        "only what is touched came over: {mapped:?}"
    );
    rig.run(&launch, &[Translation::Paged; 3]).unwrap();
    let PageEntry { frame, .. } = rig.device.entries()[0];
    rig.fetch(0, frame.unwrap().0.0);
    assert_eq!(rig.host_word(0), sum);
}

fn rig_frames() -> Vec<u32> {
    [0..6, 8..14, 16..22, 24..26]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn wild_pointers_are_segmentation_faults_in_runs_and_probes() {
    let rig = Rig::grown();
    let (mut launch, _) = list(&rig);
    for wild in [
        8,
        rig.geometry.va(25 * PAGE).0,
        rig.geometry.va(rig.geometry.len).0,
        u64::MAX - 20,
    ] {
        launch.values = vec![wild.to_le_bytes().to_vec()];
        let fault = DeviceError::Segfault { va: Va(wild + 8) };
        assert_eq!(
            rig.run(&launch, &[Translation::Paged; 3]),
            Err(fault.clone())
        );
        assert_eq!(
            rig.device.probe(&launch, &[GridBox::whole([1; 3])]),
            Err(fault)
        );
    }
}

#[test]
fn stores_by_address_go_where_the_kernel_may_write_and_nowhere_else() {
    let kernel = || {
        SimKernel::new("poke", vec![loads("constants"), updates("heap")], |t| {
            let at = Va(t.value::<u64>(0, 0));
            t.store_va(at, 5u32)?;
            t.atomic_va::<u32>(at, |old| old * 3).map(drop)
        })
    };
    let rig = Rig::grown();
    rig.map(1, 1, true);
    rig.map(2, 2, true);
    let run = |offset| {
        let mut launch = launch(kernel(), &[(PAGE, PAGE), (2 * PAGE, PAGE)], 1);
        launch.values = vec![rig.geometry.va(offset).0.to_le_bytes().to_vec()];
        rig.run(&launch, &[Translation::Paged; 2])
    };
    run(2 * PAGE + 40).unwrap();
    rig.fetch(2, 2);
    assert_eq!(rig.host_word(2 * PAGE + 40), 15);
    let fault = |offset| {
        Err(DeviceError::Segfault {
            va: rig.geometry.va(offset),
        })
    };
    assert_eq!(run(PAGE + 40), fault(PAGE + 40));
    assert_eq!(
        run(3 * PAGE - 2),
        fault(3 * PAGE),
        "its first two bytes are in the region"
    );
    rig.fetch(1, 1);
    assert_eq!(rig.host_word(PAGE + 40), 0);
}
