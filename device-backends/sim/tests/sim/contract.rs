//! Memory, page table and copies.

use super::*;
use gmem_hal::{BindingFootprint, BindingUse, Window};
use gmem_sim::{Call, GARBAGE, SimCounts};

#[test]
fn attach_reports_whole_pages_and_a_power_of_two_between_windows() {
    let rig = Rig::new();
    let expected = DeviceInfo {
        name: "sim".into(),
        backend: "sim",
        max_frames: 20,
        window_frames: 8,
        window_overhead: 0,
        remote_frames: 8,
        remote_limit: "that is all it is allowed",
    };
    assert_eq!(rig.info, expected);
    assert_eq!(
        rig.device.bytes().windows,
        0,
        "memory is taken by grow alone"
    );
}

#[test]
fn a_device_with_no_room_for_a_page_cannot_be_attached() {
    let device = SimDevice::new(SimOptions {
        capacity_bytes: 4095,
        ..SimOptions::default()
    });
    let host = PlainHost::new(1);
    let geometry = Geometry {
        base: host.base(),
        len: host.len(),
        page: PageSize::MIN,
    };
    assert!(matches!(
        device.attach(geometry),
        Err(DeviceError::OutOfMemory { .. })
    ));
}

#[test]
fn grow_gives_windows_at_their_places_up_to_the_cap_and_never_more() {
    let rig = Rig::new();
    let window = |first, frames| Window {
        first: FrameIndex(first),
        frames,
    };
    assert_eq!(rig.device.grow(2), Ok(window(0, 2)));
    assert_eq!(rig.device.grow(100), Ok(window(8, 6)));
    assert_eq!(rig.device.grow(0), Ok(window(16, 1)));
    assert_eq!(rig.device.grow(6), Ok(window(24, 6)));
    assert_eq!(
        rig.device.grow(6),
        Ok(window(32, 5)),
        "what is left of the cap"
    );
    for _ in 0..3 {
        assert!(matches!(
            rig.device.grow(1),
            Err(DeviceError::OutOfMemory { .. })
        ));
    }
    let bytes = rig.device.bytes();
    assert_eq!((bytes.windows, bytes.peak_windows), (20 * PAGE, 20 * PAGE));
}

#[test]
fn remote_windows_are_counted_apart_and_go_all_at_once() {
    let rig = Rig::with(SimOptions {
        capacity_bytes: 4 * PAGE,
        window_bytes: 4 * PAGE,
        remote_bytes: 6 * PAGE,
        ..SimOptions::default()
    });
    assert_eq!((rig.info.max_frames, rig.info.remote_frames), (4, 6));
    let window = |first, frames| Window {
        first: FrameIndex(first),
        frames,
    };
    assert_eq!(rig.device.grow(3), Ok(window(0, 3)));
    for _ in 0..2 {
        assert_eq!(rig.device.grow_remote(9), Ok(window(4, 4)));
        assert_eq!(rig.device.grow_remote(9), Ok(window(8, 2)));
        let none = DeviceError::OutOfMemory {
            what: "a window",
            bytes: PAGE,
        };
        assert_eq!(rig.device.grow_remote(1), Err(none.clone()));
        assert_eq!(rig.device.grow(1), Err(none), "its own come before");
        let bytes = rig.device.bytes();
        assert_eq!((bytes.windows, bytes.remote), (3 * PAGE, 6 * PAGE));
        rig.map(0, 9, true);
        rig.device
            .set_entries(&[PageEntry {
                page: 0,
                frame: None,
            }])
            .unwrap();
        rig.device.drop_remote().unwrap();
    }
    let bytes = rig.device.bytes();
    assert_eq!((bytes.remote, bytes.peak_remote), (0, 6 * PAGE));
    assert_eq!(rig.device.grow(1), Ok(window(4, 1)));
}

#[test]
fn new_frames_hold_garbage_until_they_are_zeroed() {
    let rig = Rig::grown();
    let all = FrameRun::new(FrameIndex(8), 6);
    assert!(rig.device.frame_bytes(all).iter().all(|&b| b == GARBAGE));
    rig.device
        .zero(&[
            FrameRun::new(FrameIndex(9), 2),
            FrameRun::new(FrameIndex(13), 1),
        ])
        .unwrap();
    let bytes = rig.device.frame_bytes(all);
    for (at, frame) in bytes.chunks(PAGE as usize).enumerate() {
        let expected = if [1, 2, 5].contains(&at) { 0 } else { GARBAGE };
        assert!(frame.iter().all(|&b| b == expected), "frame {at}");
    }
    assert_eq!(
        rig.device.counts(),
        SimCounts {
            frames_zeroed: 3,
            ..SimCounts::default()
        }
    );
}

#[test]
fn later_entries_win_and_none_takes_a_translation_away() {
    let rig = Rig::grown();
    let gone = |page| PageEntry { page, frame: None };
    rig.device
        .set_entries(&[
            entry(3, 1, false),
            entry(3, 2, true),
            entry(7, 1, false),
            gone(9),
        ])
        .unwrap();
    assert_eq!(
        rig.device.entries(),
        [entry(3, 2, true), entry(7, 1, false)]
    );
    rig.device
        .set_entries(&[entry(5, 8, true), gone(5), gone(7)])
        .unwrap();
    assert_eq!(rig.device.entries(), [entry(3, 2, true)]);
}

/// Random copies between two memories, against two flat ones.
#[test]
fn copies_move_the_bytes_they_name_and_no_others() {
    let rig = Rig::grown();
    rig.fill(3);
    let mut host = rig.host_bytes(0, rig.host.len());
    let mut frames = vec![GARBAGE; 32 * PAGE as usize];
    let mut state = 0x1234_5678_9abc_def1;
    for _ in 0..400 {
        let first = [0, 8, 16, 24][(next(&mut state) % 4) as usize] + (next(&mut state) % 2) as u32;
        let count = 1 + (next(&mut state) % if first >= 24 { 1 } else { 5 }) as u32;
        let run = FrameRun::new(FrameIndex(first), count);
        let offset = next(&mut state) % 500 * PAGE;
        let len = u64::from(count) * PAGE;
        let (h, f) = (offset as usize, first as usize * PAGE as usize);
        let (h, f) = (h..h + len as usize, f..f + len as usize);
        match next(&mut state) % 3 {
            0 => {
                rig.device
                    .upload(
                        &[CopyRun {
                            offset,
                            frames: run,
                        }],
                        &rig.host,
                    )
                    .unwrap();
                frames[f.clone()].copy_from_slice(&host[h]);
            }
            1 => {
                rig.device
                    .download(
                        &[CopyRun {
                            offset,
                            frames: run,
                        }],
                        &rig.host,
                    )
                    .unwrap();
                host[h].copy_from_slice(&frames[f.clone()]);
            }
            _ => {
                rig.device.zero(&[run]).unwrap();
                frames[f.clone()].fill(0);
            }
        }
        assert_eq!(rig.device.frame_bytes(run), frames[f]);
    }
    assert_eq!(rig.host_bytes(0, rig.host.len()), host);
    for (first, count) in [(0, 6), (8, 6), (16, 6), (24, 2)] {
        let (start, end) = (
            first as usize * PAGE as usize,
            (first + count) as usize * PAGE as usize,
        );
        assert_eq!(
            rig.device
                .frame_bytes(FrameRun::new(FrameIndex(first), count)),
            frames[start..end]
        );
    }
}

#[test]
fn calls_are_counted_by_function() {
    let rig = Rig::grown();
    rig.map(0, 0, true);
    rig.fetch(0, 0);
    rig.fetch(0, 0);
    let calls = Call::ALL.map(|call| rig.device.calls(call));
    assert_eq!(calls, [1, 5, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(rig.device.total_calls(), 10);
    let counts = rig.device.counts();
    assert_eq!((counts.pages_uploaded, counts.pages_downloaded), (1, 2));
}

#[test]
#[should_panic(expected = "do not lie in one window")]
fn frames_that_no_window_holds_are_a_bug_of_the_caller() {
    let rig = Rig::grown();
    let _ = rig.device.zero(&[FrameRun::new(FrameIndex(5), 2)]);
}

#[test]
#[should_panic(expected = "beyond the space")]
fn pages_beyond_the_space_are_a_bug_of_the_caller() {
    let rig = Rig::grown();
    let _ = rig.device.set_entries(&[entry(512, 0, true)]);
}

#[test]
#[should_panic(expected = "attached once")]
fn a_second_attach_is_a_bug_of_the_caller() {
    let rig = Rig::new();
    let _ = rig.device.attach(rig.geometry);
}

struct Foreign;

impl Kernel for Foreign {
    fn name(&self) -> &str {
        "foreign"
    }
    fn bindings(&self) -> &[BindingUse] {
        &[]
    }
    fn footprint(&self, _launch: &Launch, _workgroups: &GridBox) -> Vec<BindingFootprint> {
        Vec::new()
    }
    fn probeable(&self, _launch: &Launch) -> Result<(), String> {
        Ok(())
    }
    fn feeds(&self) -> &[bool] {
        &[]
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[test]
fn only_kernels_of_its_own_are_accepted() {
    let rig = Rig::new();
    let device: &dyn Device = &rig.device;
    let own: Arc<dyn Kernel> = Arc::new(SimKernel::new("own", vec![], |_| Ok(())));
    let foreign: Arc<dyn Kernel> = Arc::new(Foreign);
    assert!(device.accepts(&own) && !device.accepts(&foreign));
    let launch = Launch {
        kernel: foreign,
        bound: vec![],
        values: vec![],
        grid: [1; 3],
        reach: Vec::new(),
    };
    assert!(matches!(
        rig.run(&launch, &[]),
        Err(DeviceError::Unsupported { .. })
    ));
    assert!(matches!(
        device.probe(&launch, &[]),
        Err(DeviceError::Unsupported { .. })
    ));
    assert_eq!(device.probe_width(&launch), 16);
}
