//! Workgroups whose pages do not fit, and the 4 KiB pieces that they touch of them do: on simulated devices with larger pages.

mod common;
mod skipped;
mod wide;

use std::sync::Arc;

use common::rig::Rig;
use gmem_hal::{Access, ByteRange, Cause, DeviceError, PageSize, PlainHost};
use gmem_runtime::policy::{PolicyKind, build};
use gmem_runtime::{AddressSpace, Counts, LaunchError, Placement, Region};
use gmem_sim::{Call, Injection, SimDevice, SimKernel, SimOptions, updates};
use wide::{LANES, datum, draw, gather, load, start};

const PIECE: u64 = 4096;
/// Devices of so many frames of `page` bytes each.
fn rig(page: u64, frames: &[u64], remote: u64) -> Rig {
    let host = Arc::new(PlainHost::new(160 * page.max(1 << 16)));
    let space = AddressSpace::new(host, PageSize::new(page).unwrap()).unwrap();
    let devices = frames.iter().map(|&frames| {
        let device = Arc::new(SimDevice::new(SimOptions {
            capacity_bytes: frames * page,
            window_bytes: 4 * page,
            remote_bytes: remote * page,
            ..SimOptions::default()
        }));
        let policy = build(PolicyKind::Clock, 0);
        let attached = space.attach(Arc::clone(&device) as _, policy, Placement::Contiguous);
        (attached.unwrap().node, device)
    });
    let devices = devices.collect();
    Rig { space, devices }
}

/// The bindings of [`gather`] and [`draw`]: places, data and results.
struct Data {
    page: u64,
    groups: u32,
    idx: Arc<Region>,
    data: Arc<Region>,
    out: Arc<Region>,
}

impl Data {
    fn new(rig: &Rig, page: u64, groups: u32) -> Self {
        let allocate = |bytes| rig.space.allocate(bytes, 1).unwrap();
        let new = Self {
            page,
            groups,
            idx: allocate(u64::from(groups) * LANES * 4),
            data: allocate(LANES * page),
            out: allocate(u64::from(groups) * LANES * 4),
        };
        let all = u64::from(groups) * LANES;
        new.fill(rig, &new.idx, &|i| {
            if i < all { new.index(i) as u32 } else { 0 }
        });
        new.fill(rig, &new.data, &|i| datum(i as u32));
        new
    }

    /// Where a lane looks: in another page than all others of its workgroup.
    fn index(&self, i: u64) -> u64 {
        let (group, lane) = (i / LANES, i % LANES);
        let words = self.page / 4;
        (lane * 37 + group * 11) % LANES * words + (group * 1031 + lane * 77) % words
    }

    fn fill(&self, rig: &Rig, region: &Region, word: &dyn Fn(u64) -> u32) {
        let range = region.range();
        let home = rig.space.bring_home(range, Access::Write, Cause::UserCopy);
        home.unwrap();
        let bytes: Vec<u8> = (0..range.len / 4)
            .flat_map(|i| word(i).to_le_bytes())
            .collect();
        rig.space.host().write_bytes(range.offset, &bytes);
    }

    fn bound(&self) -> [&Region; 3] {
        [&self.idx, &self.data, &self.out]
    }

    /// What [`draw`] leaves of the data.
    fn drawn(&self, groups: u32) -> Vec<u32> {
        let mut wanted: Vec<u32> = (0..LANES * self.page / 4)
            .map(|i| datum(i as u32))
            .collect();
        for i in 0..u64::from(groups) * LANES {
            wanted[self.index(i) as usize] ^= i as u32;
        }
        wanted
    }

    /// What [`gather`] leaves of the results.
    fn gathered(&self, groups: u32) -> Vec<u32> {
        let done = u64::from(groups) * LANES;
        let place = |i| {
            if i < done {
                datum(self.index(i) as u32)
            } else {
                0
            }
        };
        (0..u64::from(self.groups) * LANES).map(place).collect()
    }

    fn found(&self, rig: &Rig) -> Vec<u32> {
        load(rig, &self.out)[..(u64::from(self.groups) * LANES) as usize].to_vec()
    }
}

/// No frame and no claim is left, and nothing was remote.
#[track_caller]
fn is_over(rig: &Rig) -> Counts {
    rig.space.check().unwrap();
    for (node, device) in &rig.devices {
        let (frames, bytes) = rig.space.device(*node).unwrap();
        assert_eq!(frames.used as usize, device.entries().len());
        assert_eq!((bytes.remote, frames.retiring), (0, 0));
    }
    rig.space.counts()
}

#[test]
fn what_is_found_by_a_probe_or_by_attempts_is_run_in_pieces() {
    // Frames for 66 pieces, and for some that lanes touched by mistake.
    for (page, frames) in [(8 << 10, 35), (16 << 10, 18), (64 << 10, 5), (2 << 20, 1)] {
        let rig = rig(page, &[frames], 100);
        let data = Data::new(&rig, page, 6);
        let report = start(&rig, 0, gather(), &data.bound(), 6).wait().unwrap();
        assert_eq!(data.found(&rig), data.gathered(6), "pages of {page}");
        let counts = is_over(&rig);
        assert_eq!(
            (counts.piece_passes, counts.remote_passes, report.passes),
            (6, 0, 6),
            "pages of {page}: {report:?}"
        );
        data.fill(&rig, &data.out, &|_| 0);
        let before = rig.space.counts();
        let report = start(&rig, 0, draw(), &data.bound(), 6).wait().unwrap();
        assert!(load(&rig, &data.data) == data.drawn(6), "pages of {page}");
        assert_eq!(load(&rig, &data.out)[0], 6 * LANES as u32);
        let counts = is_over(&rig).since(&before);
        assert_eq!(counts.piece_passes, 6, "pages of {page}: {report:?}");
        assert_eq!(counts.attempted_passes, report.passes);
        // No more than pieces went there and back.
        let there: u64 = counts.host_to_device.iter().sum();
        assert!(
            there < 6 * 3 * (LANES + 2) * PIECE + 100 * page,
            "{there} bytes"
        );
    }
}

#[test]
fn pages_that_nobody_touched_read_as_zero_and_keep_what_is_stored() {
    let page = 64 << 10;
    let rig = rig(page, &[5], 0);
    let x = rig.space.allocate(LANES * page, 1).unwrap();
    let count = move |t: &mut gmem_sim::SimThread<'_>| {
        (0..LANES).try_for_each(|lane| {
            let at = lane * page + lane * 260;
            t.atomic_add(0, at, 1 + lane as u32).map(drop)
        })
    };
    let kernel = || SimKernel::new("count", vec![updates("x")], count);
    start(&rig, 0, kernel(), &[&x], 3).wait().unwrap();
    start(&rig, 0, kernel(), &[&x], 2).wait().unwrap();
    let words = load(&rig, &x);
    for (i, &word) in (0_u64..).zip(&words) {
        let (lane, at) = (i * 4 / page, i * 4 % page);
        let wanted = if at == lane * 260 {
            5 * (1 + lane as u32)
        } else {
            0
        };
        assert_eq!(word, wanted, "word {i}");
    }
    assert_eq!(is_over(&rig).piece_passes, 5);
}

#[test]
fn where_pieces_do_not_fit_either_remote_frames_are_next_and_then_nothing() {
    let page = 16 << 10;
    for (frames, remote, pieces) in [(18, 0, true), (16, 64, false), (16, 0, false)] {
        let rig = rig(page, &[frames], remote);
        let data = Data::new(&rig, page, 3);
        let result = start(&rig, 0, draw(), &data.bound(), 3).wait();
        let counts = is_over(&rig);
        if pieces || remote > 0 {
            let report = result.unwrap();
            assert!(load(&rig, &data.data) == data.drawn(3));
            assert_eq!(counts.piece_passes, if pieces { 3 } else { 0 });
            assert_eq!(counts.remote_passes, if pieces { 0 } else { 3 });
            assert_eq!(report.remote_bytes > 0, !pieces);
        } else {
            let error = result.unwrap_err();
            assert!(
                matches!(
                    error,
                    LaunchError::FootprintTooLarge {
                        capacity: 16,
                        remote: 0,
                        ..
                    }
                ),
                "{error}"
            );
            assert!(load(&rig, &data.data) == data.drawn(0));
            assert_eq!(load(&rig, &data.out)[0], 0);
        }
    }
}

#[test]
fn what_cannot_be_undone_is_not_run_in_pieces() {
    let page = 64 << 10;
    let rig = rig(page, &[5], 100);
    let data = Data::new(&rig, page, 2);
    let report = start(&rig, 0, gather().lasting("it paints"), &data.bound(), 2)
        .wait()
        .unwrap();
    assert_eq!(data.found(&rig), data.gathered(2));
    let counts = is_over(&rig);
    assert_eq!((counts.piece_passes, counts.remote_passes), (0, 2));
    assert_eq!(report.remote_bytes, (LANES + 2 - 5) * page);
}

#[test]
fn two_devices_and_the_cpu_take_turns_at_the_pages() {
    let page = 64 << 10;
    let rig = rig(page, &[5, 7], 0);
    let data = Data::new(&rig, page, 8);
    let running = [0, 1].map(|device| start(&rig, device, draw(), &data.bound(), 8));
    for i in 0..200_u64 {
        // Some of it is read, and some written as it is, while both are at it.
        let at = ByteRange::new(data.data.range().offset + i * 7 % LANES * page, 4);
        rig.load(at).unwrap();
        assert!(load(&rig, &data.out)[0] <= 16 * LANES as u32);
    }
    for pending in running {
        pending.wait().unwrap();
    }
    assert_eq!(load(&rig, &data.out)[0], 16 * LANES as u32);
    let marks = (load(&rig, &data.data).into_iter())
        .zip(data.drawn(0))
        .fold(0, |all, (found, was)| all ^ found ^ was);
    assert_eq!(marks, (0..16 * LANES as u32).fold(0, |all, i| all ^ i));
    assert_eq!(is_over(&rig).piece_passes, 16);
}

#[test]
fn a_copy_home_that_fails_leaves_memory_as_before_the_workgroup() {
    let page = 64 << 10;
    let mut met = 0;
    for nth in 1..12 {
        let rig = rig(page, &[5], 0);
        let data = Data::new(&rig, page, 3);
        let error = DeviceError::OutOfMemory {
            what: "a test",
            bytes: 1,
        };
        let injection = Injection::at(Call::Download, nth, error).in_the_midst();
        rig.devices[0].1.inject(injection);
        let result = start(&rig, 0, draw(), &data.bound(), 3).wait();
        rig.devices[0].1.clear_injections();
        met += u64::from(result.is_err());
        let found = load(&rig, &data.data);
        let whole = (0..=3).find(|&groups| data.drawn(groups) == found);
        assert!(
            whole.is_some_and(|groups| result.is_err() != (groups == 3)),
            "download {nth}: {result:?}, and memory is as after {whole:?} workgroups"
        );
        assert_eq!(load(&rig, &data.out)[0], whole.unwrap_or(0) * LANES as u32);
        is_over(&rig);
    }
    assert!(
        met >= 3,
        "each workgroup has one, and its pages are brought home before"
    );
}

#[test]
fn whatever_a_device_refuses_some_number_of_whole_workgroups_has_run() {
    let page = 32 << 10;
    let mut failed = 0;
    for seed in 0..40_u64 {
        let rig = rig(page, &[9], 0);
        let data = Data::new(&rig, page, 6);
        rig.devices[0].1.fail_randomly(0.002 * (1 + seed) as f64);
        let result = start(&rig, 0, draw(), &data.bound(), 6).wait();
        rig.devices[0].1.clear_injections();
        failed += u64::from(result.is_err());
        let found = load(&rig, &data.data);
        let whole = (0..=6).find(|&groups| data.drawn(groups) == found);
        assert!(
            whole.is_some_and(|groups| result.is_err() != (groups == 6)),
            "seed {seed}: {result:?}, and memory is as after {whole:?} workgroups"
        );
        is_over(&rig);
    }
    println!("{failed} of 40 failed");
    assert!(failed > 5 && failed < 40);
}
