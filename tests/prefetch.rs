//! Prefetches: what they bring, what they leave alone, and what stays of a range that is larger than the device.

mod common;
mod skipped;

use common::kernels::Kind;
use common::rig::{PAGE, Rig, whole_pages};
use gmem_hal::{Cause, DeviceError, Rights, Va};
use gmem_runtime::Region;
use gmem_sim::{Call, Injection};

fn prefetch(rig: &Rig, region: &Region) {
    rig.space
        .prefetch(rig.devices[0].0, region.range())
        .unwrap()
        .wait()
        .unwrap();
    rig.space.check().unwrap();
}

/// The pages of a region that the device has.
fn there(rig: &Rig, region: &Region) -> Vec<u64> {
    (0..region.range().len / PAGE)
        .filter(|page| {
            let report = rig.space.query(Va(region.va().0 + page * PAGE)).unwrap();
            report.rights(rig.devices[0].0) != Rights::None
        })
        .collect()
}

fn brought(rig: &Rig) -> u64 {
    rig.space.counts().host_to_device[Cause::Prefetch as usize] / PAGE
}

#[test]
fn of_more_than_the_device_holds_the_first_pages_stay_and_no_page_is_brought_in_vain() {
    let rig = Rig::plain(&[8]);
    let x = rig.space.allocate(20 * PAGE, 1).unwrap();
    let content = rig.fill(&x, |i| (i % 251) as u8).unwrap();
    prefetch(&rig, &x);
    assert_eq!(there(&rig, &x), (0..8).collect::<Vec<_>>());
    assert_eq!((brought(&rig), rig.space.counts().evictions), (8, 0));
    // Once more: all that fits is there already.
    prefetch(&rig, &x);
    assert_eq!((brought(&rig), rig.space.counts().evictions), (8, 0));
    assert_eq!(rig.load(x.range()).unwrap(), content);

    // A launch that begins at the start finds what was brought.
    let faults = rig.space.counts().device_faults;
    rig.launch(0, Kind::Bump, &[&x], whole_pages(3), 8).unwrap();
    assert_eq!(rig.space.counts().device_faults, faults);
}

#[test]
fn pages_of_others_make_room_for_it() {
    let rig = Rig::plain(&[8]);
    let x = rig.space.allocate(6 * PAGE, 1).unwrap();
    let y = rig.space.allocate(12 * PAGE, 1).unwrap();
    let content = rig.fill(&x, |i| (i % 13) as u8).unwrap();
    rig.fill(&y, |i| (i % 7) as u8).unwrap();
    prefetch(&rig, &x);
    assert_eq!(there(&rig, &x).len(), 6);
    prefetch(&rig, &y);
    assert_eq!(there(&rig, &y), (0..8).collect::<Vec<_>>());
    assert_eq!(there(&rig, &x), []);
    assert_eq!((brought(&rig), rig.space.counts().evictions), (14, 6));
    assert_eq!(rig.load(x.range()).unwrap(), content);
}

#[test]
fn a_device_that_gives_less_than_it_said_gets_as_much_as_it_gives() {
    // Windows of four pages: the second of them is not to be had.
    let rig = Rig::plain(&[8]);
    let none = DeviceError::OutOfMemory {
        what: "a window",
        bytes: 4 * PAGE,
    };
    rig.devices[0].1.inject(Injection::at(Call::Grow, 2, none));
    let x = rig.space.allocate(20 * PAGE, 1).unwrap();
    let content = rig.fill(&x, |i| (i % 251) as u8).unwrap();
    prefetch(&rig, &x);
    assert_eq!(there(&rig, &x), [0, 1, 2, 3]);
    assert_eq!(brought(&rig), 4);
    assert_eq!(rig.load(x.range()).unwrap(), content);
}
