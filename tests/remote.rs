//! Workgroups that need more than all of a device's memory, on simulated devices: each finds what it lacks in remote frames, is
//! done exactly once, and leaves none of them behind; where there are not enough, nothing of it happens.

mod common;
mod skipped;
mod wide;

use std::sync::Arc;

use common::rig::{PAGE, Rig};
use gmem_hal::trace::{Recorder, Tracer, What};
use gmem_hal::{
    BindingFootprint, ByteRange, Device, DeviceError, Footprint, GridBox, PageSize, PlainHost,
};
use gmem_runtime::policy::{PolicyKind, build};
use gmem_runtime::replay::{Strategy, accesses, replay};
use gmem_runtime::{AddressSpace, LaunchError, LaunchReport, Placement, Region};
use gmem_sim::{Call, Injection, SimDevice, SimKernel, SimOptions, loads, updates};
use wide::{LANES, datum, draw, gather, load, start};

/// Pages of the data.
const PAGES: u64 = 256;

fn rig(frames: &[u64], remote: u64) -> Rig {
    Rig::remote(Arc::new(PlainHost::new(8 << 20)), frames, remote)
}

fn fill(rig: &Rig, region: &Region, word: impl Fn(u32) -> u32) {
    rig.fill(region, |i| word(i as u32 / 4).to_le_bytes()[i % 4])
        .unwrap();
}

/// Where each lane of each workgroup looks: all over the data, in a different page for each lane.
fn target(group: u32, lane: u32) -> u32 {
    let page = (lane * 37 + group * 11) % PAGES as u32;
    page * (PAGE as u32 / 4) + (group * 131 + lane * 7) % (PAGE as u32 / 4)
}

fn index(i: u32) -> u32 {
    target(i / LANES as u32, i % LANES as u32)
}

/// x[lane * page + group] += 1: known without running anything.
fn stride() -> SimKernel {
    SimKernel::new("stride", vec![updates("x")], |t| {
        let at = u64::from(t.workgroup()[0]) * 4;
        for lane in 0..LANES {
            t.atomic_add(0, lane * PAGE + at, lane as u32)?;
        }
        Ok(())
    })
    .with_footprint(|_, workgroups: &GridBox| {
        let first = u64::from(workgroups.start[0]) * 4;
        let len = u64::from(workgroups.size[0]) * 4;
        let ranges = (0..LANES).map(|lane| ByteRange::new(lane * PAGE + first, len));
        let ranges = || Footprint::Ranges(ranges.clone().collect());
        vec![BindingFootprint {
            reads: ranges(),
            writes: ranges(),
        }]
    })
}

/// All three bindings of [`gather`] and [`draw`], filled.
fn data(rig: &Rig, groups: u32) -> [Arc<Region>; 3] {
    let idx = rig.space.allocate(u64::from(groups) * LANES * 4, 1);
    let data = rig.space.allocate(PAGES * PAGE, 1);
    let out = rig.space.allocate(u64::from(groups) * LANES * 4, 1);
    let [idx, data, out] = [idx, data, out].map(Result::unwrap);
    fill(rig, &idx, index);
    fill(rig, &data, datum);
    [idx, data, out]
}

/// Nothing is left in remote memory, and all else agrees.
#[track_caller]
fn is_over(rig: &Rig) {
    for (node, device) in &rig.devices {
        let (frames, bytes) = rig.space.device(*node).unwrap();
        assert_eq!(bytes.remote, 0);
        assert_eq!(u64::from(frames.total()) * PAGE, bytes.windows);
        let own = device.entries().len() as u64;
        assert!(own * PAGE <= bytes.windows, "{own} translations");
    }
    rig.space.check().unwrap();
}

/// What [`draw`] leaves of the data.
fn drawn(groups: u32) -> Vec<u32> {
    let mut wanted: Vec<u32> = (0..(PAGES * PAGE / 4) as u32).map(datum).collect();
    for i in 0..groups * LANES as u32 {
        wanted[index(i) as usize] ^= i;
    }
    wanted
}

#[test]
fn a_gather_all_over_finds_what_it_lacks_in_remote_frames() {
    for (frames, needed) in [(16, 66), (1, 66), (65, 66), (66, 0)] {
        let rig = rig(&[frames], 128);
        let [idx, data, out] = data(&rig, 8);
        let report = start(&rig, 0, gather(), &[&idx, &data, &out], 8)
            .wait()
            .unwrap();
        let wanted: Vec<u32> = (0..8 * LANES as u32).map(|i| datum(index(i))).collect();
        assert_eq!(load(&rig, &out)[..wanted.len()], wanted, "{frames} frames");
        let remote = report.remote_bytes / PAGE;
        assert_eq!(remote, u64::saturating_sub(needed, frames), "{report:?}");
        let counts = rig.space.counts();
        assert_eq!(
            counts.remote_passes,
            if remote > 0 { 8 } else { 0 },
            "one for each workgroup"
        );
        let bytes = rig.devices[0].1.bytes();
        assert!(bytes.peak_remote >= remote * PAGE && bytes.windows <= frames * PAGE);
        is_over(&rig);
    }
}

#[test]
fn what_was_drawn_is_drawn_once_wherever_the_page_lies() {
    for frames in [16, 3] {
        let rig = rig(&[frames], 128);
        let [idx, data, out] = data(&rig, 8);
        let report = start(&rig, 0, draw(), &[&idx, &data, &out], 8)
            .wait()
            .unwrap();
        assert_eq!(load(&rig, &data), drawn(8), "{frames} frames");
        assert_eq!(load(&rig, &out)[0], 8 * LANES as u32);
        assert_eq!(report.remote_bytes, (LANES + 2 - frames) * PAGE);
        let counts = rig.space.counts();
        assert_eq!((counts.attempted_passes, counts.remote_passes), (8, 8));
        is_over(&rig);
    }
}

#[test]
fn a_stride_over_pages_needs_no_probe_where_there_can_be_none() {
    let lasting = || {
        stride()
            .resident_only("it is not to be probed")
            .lasting("it is not to be undone")
    };
    for (name, kernel, frames) in [
        ("probed", stride(), 16),
        ("neither", lasting(), 16),
        ("neither, for one frame", lasting(), 63),
    ] {
        let rig = rig(&[frames], 64);
        let x = rig.space.allocate(LANES * PAGE, 1).unwrap();
        fill(&rig, &x, datum);
        let report = start(&rig, 0, kernel, &[&x], 10).wait().unwrap();
        let mut wanted: Vec<u32> = (0..(LANES * PAGE / 4) as u32).map(datum).collect();
        for lane in 0..LANES as usize {
            for x in &mut wanted[lane * PAGE as usize / 4..][..10] {
                *x = x.wrapping_add(lane as u32);
            }
        }
        assert_eq!(load(&rig, &x), wanted, "{name}");
        assert_eq!(report.remote_bytes, (LANES - frames) * PAGE, "{name}");
        assert_eq!(rig.space.counts().remote_passes, 10, "{name}");
        is_over(&rig);
    }
}

#[test]
fn too_few_remote_frames_leave_memory_as_before_the_workgroup() {
    for (remote, least) in [(0, 0), (49, 49)] {
        for kernel in [gather, draw] {
            let rig = rig(&[16], remote);
            let [idx, data, out] = data(&rig, 4);
            let error = start(&rig, 0, kernel(), &[&idx, &data, &out], 4)
                .wait()
                .unwrap_err();
            let text = error.to_string();
            assert!(
                matches!(
                    error,
                    LaunchError::FootprintTooLarge {
                        capacity: 16,
                        remote,
                        needed,
                        ..
                    } if remote == least && needed > 16 + remote
                ),
                "{text}"
            );
            let told = format!("room for 16, and for {least} more in remote memory");
            assert!(text.contains(&told), "{text}");
            assert_eq!(load(&rig, &data), drawn(0));
            assert!(load(&rig, &out).iter().all(|&x| x == 0));
            is_over(&rig);
        }
    }
}

#[test]
fn of_several_workgroups_those_before_the_one_that_is_too_large_are_done() {
    // The first two look at one page only, the third at 64.
    let rig = rig(&[8], 40);
    let [idx, data, out] = data(&rig, 4);
    fill(&rig, &idx, |i| if i < 128 { i } else { index(i) });
    let error = start(&rig, 0, draw(), &[&idx, &data, &out], 4)
        .wait()
        .unwrap_err();
    assert!(
        matches!(error, LaunchError::FootprintTooLarge { .. }),
        "{error}"
    );
    let mut wanted = drawn(0);
    (0..128).for_each(|i| wanted[i as usize] ^= i);
    assert_eq!(load(&rig, &data), wanted);
    assert_eq!(load(&rig, &out)[0], 128);
    is_over(&rig);
}

#[test]
fn only_the_workgroup_that_needs_them_has_remote_frames() {
    for kernel in [gather, draw] {
        let rig = rig(&[8], 128);
        let [idx, data, out] = data(&rig, 9);
        // All but the fifth look at one page.
        let place = |i| if i / 64 == 4 { index(i) } else { i };
        fill(&rig, &idx, place);
        start(&rig, 0, kernel(), &[&idx, &data, &out], 9)
            .wait()
            .unwrap();
        let counts = rig.space.counts();
        assert_eq!(counts.remote_passes, 1, "{counts:?}");
        assert!(counts.passes > 2, "{counts:?}");
        is_over(&rig);
    }
}

#[test]
fn a_device_that_gives_fewer_remote_frames_than_it_said_is_believed() {
    let rig = rig(&[16], 128);
    let [idx, data, out] = data(&rig, 2);
    let none = || DeviceError::OutOfMemory {
        what: "a test",
        bytes: 1,
    };
    let device = &rig.devices[0].1;
    device.inject(Injection::at(Call::GrowRemote, 3, none()));
    let error = start(&rig, 0, gather(), &[&idx, &data, &out], 2)
        .wait()
        .unwrap_err();
    // Two windows of four frames: with them it went on as long as it could.
    assert!(
        matches!(error, LaunchError::FootprintTooLarge { remote: 8, .. }),
        "{error}"
    );
    is_over(&rig);
    start(&rig, 0, gather(), &[&idx, &data, &out], 2)
        .wait()
        .unwrap();
    is_over(&rig);
}

#[test]
fn whatever_a_device_refuses_some_number_of_whole_workgroups_has_run() {
    let (mut failed, mut remote) = (0, 0);
    for seed in 0..60u64 {
        let rig = rig(&[10], 128);
        let [idx, data, out] = data(&rig, 6);
        let device = &rig.devices[0].1;
        device.fail_randomly(0.001 * (1 + seed) as f64);
        let result = start(&rig, 0, draw(), &[&idx, &data, &out], 6).wait();
        device.clear_injections();
        failed += u64::from(result.is_err());
        remote += rig.space.counts().remote_passes;
        let found = load(&rig, &data);
        let whole = (0..=6).rev().find(|&groups| drawn(groups) == found);
        assert!(
            whole.is_some_and(|groups| result.is_err() || groups == 6),
            "seed {seed}: {result:?}, and memory is as after {whole:?} workgroups"
        );
        // Whatever was left of it, another launch gives it back.
        let nothing = SimKernel::new("nothing", vec![loads("idx")], |_| Ok(()));
        start(&rig, 0, nothing, &[&idx], 1).wait().unwrap();
        is_over(&rig);
    }
    println!("{failed} of 60 failed, {remote} passes used remote frames");
    assert!(failed > 5 && failed < 60 && remote > 60);
}

#[test]
fn a_refusal_to_give_remote_windows_back_is_no_reason_to_keep_them() {
    for (times, ends) in [(3, true), (40, false)] {
        let rig = rig(&[16], 128);
        let [idx, data, out] = data(&rig, 1);
        for nth in 1..=times {
            let refused = Call::DropRemote.refused();
            // Each is one of the calls that are left.
            rig.devices[0]
                .1
                .inject(Injection::at(Call::DropRemote, nth, refused));
        }
        let result = start(&rig, 0, gather(), &[&idx, &data, &out], 1).wait();
        assert_eq!(result.is_ok(), ends, "{result:?}");
        rig.devices[0].1.clear_injections();
        let again: LaunchReport = start(&rig, 0, gather(), &[&idx, &data, &out], 1)
            .wait()
            .unwrap();
        assert_eq!(again.remote_bytes, 50 * PAGE);
        is_over(&rig);
    }
}

#[test]
fn two_devices_and_the_cpu_take_turns_while_both_have_remote_frames() {
    let rig = rig(&[5, 9], 128);
    let [idx, data, out] = data(&rig, 6);
    let bound = [&*idx, &*data, &*out];
    let running = [0, 1].map(|device| start(&rig, device, draw(), &bound, 6));
    for _ in 0..50 {
        assert!(load(&rig, &out)[0] <= 12 * LANES as u32);
        std::thread::yield_now();
    }
    let reports = running.map(|pending| pending.wait().unwrap());
    assert!(reports.iter().all(|r| r.remote_bytes > 0), "{reports:?}");
    assert_eq!(load(&rig, &out)[0], 12 * LANES as u32);
    // Each place was marked twice, with some numbers: together all of them.
    let marks = load(&rig, &data)
        .into_iter()
        .zip(drawn(0))
        .fold(0, |all, (found, was)| all ^ found ^ was);
    assert_eq!(marks, (0..12 * LANES as u32).fold(0, |all, i| all ^ i));
    is_over(&rig);
}

#[test]
fn workgroups_that_wait_for_each_other_get_no_remote_frames() {
    let rig = rig(&[16], 128);
    let x = rig.space.allocate(LANES * PAGE, 1).unwrap();
    let error = start(&rig, 0, stride().waiting("each waits"), &[&x], 2)
        .wait()
        .unwrap_err();
    assert!(
        matches!(error, LaunchError::MustRunInOnePiece { .. }),
        "{error}"
    );
    assert_eq!(rig.devices[0].1.calls(Call::GrowRemote), 0);
}

#[test]
fn a_record_tells_of_remote_frames_and_can_be_replayed() {
    let recorder = Recorder::new();
    let host = Arc::new(PlainHost::new(8 << 20));
    let space = AddressSpace::traced(host, PageSize::MIN, &Tracer::to(&recorder)).unwrap();
    let device = Arc::new(SimDevice::new(SimOptions {
        capacity_bytes: 16 * PAGE,
        remote_bytes: 64 * PAGE,
        ..SimOptions::default()
    }));
    let attached = space.attach(
        Arc::clone(&device) as _,
        build(PolicyKind::Lru, 0),
        Placement::Scattered,
    );
    let rig = Rig {
        devices: vec![(attached.unwrap().node, device)],
        space,
    };
    let x = rig.space.allocate(LANES * PAGE, 1).unwrap();
    start(&rig, 0, stride(), &[&x], 2).wait().unwrap();
    let recording = recorder.take();
    let told: Vec<u64> = (recording.events.iter())
        .filter_map(|e| match e.what {
            What::Remote { frames, .. } => Some(frames),
            _ => None,
        })
        .collect();
    // With larger and larger windows, while a probe finds out what the workgroup needs.
    assert_eq!(told.iter().max(), Some(&(LANES - 16)));
    assert!((2..12).contains(&told.len()), "{told:?}");
    let accesses = accesses(&recording).unwrap();
    assert_eq!(accesses[0].device().frames, LANES);
    let best = replay(&accesses[0], LANES, Strategy::Belady, 0).unwrap();
    assert!(best.fetched <= accesses[0].recorded().fetched);
}
