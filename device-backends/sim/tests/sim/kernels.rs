//! Passes and probes.

use super::*;
use gmem_hal::{BindingFootprint, Footprint, ProbeReport, Touched};
use gmem_sim::{SimThread, loads, stores, updates};
use std::sync::Mutex;

type Body = fn(&mut SimThread<'_>) -> Result<(), gmem_sim::SimStop>;

const NOWHERE: Translation = Translation::Slid {
    slice: ByteRange::new(0, 0),
    frames: FrameRun::new(FrameIndex(0), 1),
    skip: 0,
};

fn confined(kernel: &str) -> DeviceError {
    DeviceError::Confined {
        kernel: kernel.into(),
    }
}

/// Copies word `i` of `x` to word `i` of `y`, plus one: each workgroup 100 words, of 8 bytes.
fn plus_one() -> SimKernel {
    SimKernel::new("plus_one", vec![loads("x"), stores("y")], |t| {
        let first = u64::from(t.workgroup()[0]) * 100;
        for i in first..first + 100 {
            let x = t.load::<u64>(0, i * 8)?;
            t.store(1, i * 8, x.wrapping_add(1))?;
        }
        Ok(())
    })
}

#[test]
fn slid_and_paged_bindings_give_the_same() {
    // Both bindings start in mid-page and off alignment, so that words straddle pages.
    let (x, y) = ((3 * PAGE + 1001, 12_000), (40 * PAGE + 77, 12_000));
    let slid = |start: u64, len, first| Translation::Slid {
        slice: ByteRange::new(0, len),
        frames: FrameRun::new(FrameIndex(first), 4),
        skip: start % PAGE,
    };
    let mut results = Vec::new();
    for (x_slid, y_slid) in [(false, false), (true, false), (false, true), (true, true)] {
        let rig = Rig::grown();
        rig.fill(5);
        for i in 0..4 {
            // Paged bindings lie scattered, slid ones in a run that the page table does not know.
            let x_frame = if x_slid {
                8 + i
            } else {
                [2, 25, 0, 13][i as usize]
            };
            let y_frame = if y_slid {
                16 + i
            } else {
                [24, 1, 12, 3][i as usize]
            };
            rig.map(3 + u64::from(i), x_frame, false);
            rig.map(40 + u64::from(i), y_frame, true);
        }
        let all = rig.device.entries();
        let gone = |slid, from: u64| {
            let taken = all
                .iter()
                .filter(move |e| slid && (from..from + 4).contains(&e.page));
            taken
                .map(|e| PageEntry {
                    page: e.page,
                    frame: None,
                })
                .collect::<Vec<_>>()
        };
        rig.device.set_entries(&gone(x_slid, 3)).unwrap();
        rig.device.set_entries(&gone(y_slid, 40)).unwrap();
        let translations = [
            if x_slid {
                slid(x.0, x.1, 8)
            } else {
                Translation::Paged
            },
            if y_slid {
                slid(y.0, y.1, 16)
            } else {
                Translation::Paged
            },
        ];
        rig.run(&launch(plus_one(), &[x, y], 15), &translations)
            .unwrap();
        for entry in &all {
            rig.fetch(entry.page, entry.frame.unwrap().0.0);
        }
        for i in 0..1500 {
            let (got, from) = (rig.host_word(y.0 + i * 8), rig.host_word(x.0 + i * 8));
            assert_eq!(got, from.wrapping_add(1), "word {i}");
        }
        results.push(rig.host_bytes(0, rig.host.len()));
    }
    assert!(
        results.iter().all(|bytes| *bytes == results[0]),
        "and no other byte changed"
    );
}

#[test]
fn a_slice_in_the_midst_of_a_binding_is_reached_by_its_offset() {
    let rig = Rig::grown();
    rig.fill(6);
    // Bytes 5000..5016 of the binding lie in its second page, at byte 904 of frame 9.
    let (x, y) = ((0, 3 * PAGE), (8 * PAGE, PAGE));
    rig.map(1, 9, false);
    rig.map(8, 0, true);
    let kernel = || {
        SimKernel::new("peek", vec![loads("x"), stores("y")], |t| {
            let at = t.value::<u64>(0, 0);
            let x = t.load::<u64>(0, at)?;
            t.store(1, 0, x)
        })
    };
    let slice = ByteRange::new(5000, 16);
    let frames = FrameRun::new(FrameIndex(9), 1);
    let translations = [
        Translation::Slid {
            slice,
            frames,
            skip: 904,
        },
        Translation::Paged,
    ];
    let peek = |at: u64| {
        let mut launch = launch(kernel(), &[x, y], 1);
        launch.values = vec![at.to_le_bytes().to_vec()];
        rig.run(&launch, &translations)
    };
    for at in [5000, 5003, 5008] {
        peek(at).unwrap();
        rig.fetch(8, 0);
        assert_eq!(rig.host_word(8 * PAGE), rig.host_word(at));
    }
    for at in [0, 4999, 5009, 5016, 8192, 3 * PAGE - 8] {
        assert_eq!(
            peek(at),
            Err(confined("peek")),
            "byte {at} is outside the slice"
        );
    }
    assert!(
        peek(3 * PAGE - 7).is_ok(),
        "beyond the binding a load gives zero"
    );
    rig.fetch(8, 0);
    assert_eq!(rig.host_word(8 * PAGE), 0);
}

#[test]
fn a_pass_is_confined_to_its_translations() {
    let store = || SimKernel::new("store", vec![stores("out")], |t| t.store(0, 8, 1u32));
    let load = || SimKernel::new("load", vec![loads("in")], |t| t.load::<u32>(0, 8).map(drop));
    let rig = Rig::grown();
    rig.map(1, 1, false);
    let before = rig.device.frame_bytes(FrameRun::new(FrameIndex(1), 1));
    let (absent, read_only) = ([(0, PAGE)], [(PAGE, PAGE)]);
    assert_eq!(
        rig.run(&launch(store(), &absent, 1), &[Translation::Paged]),
        Err(confined("store"))
    );
    assert_eq!(
        rig.run(&launch(load(), &absent, 1), &[Translation::Paged]),
        Err(confined("load"))
    );
    assert_eq!(
        rig.run(&launch(store(), &read_only, 1), &[Translation::Paged]),
        Err(confined("store"))
    );
    assert!(
        rig.run(&launch(load(), &read_only, 1), &[Translation::Paged])
            .is_ok()
    );
    for translation in [Translation::Untouched, NOWHERE] {
        assert_eq!(
            rig.run(&launch(load(), &read_only, 1), &[translation]),
            Err(confined("load"))
        );
    }
    assert_eq!(
        rig.device.frame_bytes(FrameRun::new(FrameIndex(1), 1)),
        before
    );
}

#[test]
fn a_kernel_that_ignores_a_stop_gets_no_further() {
    let kernel = SimKernel::new("deaf", vec![updates("x"), stores("y")], |t| {
        let _ = t.load::<u32>(0, 0);
        let _ = t.store(1, 0, 7u32);
        Ok(())
    });
    let rig = Rig::grown();
    rig.map(1, 1, true);
    let launch = launch(kernel, &[(0, 64), (PAGE, 64)], 1);
    assert_eq!(
        rig.run(&launch, &[Translation::Paged; 2]),
        Err(confined("deaf"))
    );
    rig.fetch(1, 1);
    assert_eq!(rig.host_word(PAGE), 0);
    let report = &rig
        .device
        .probe(&launch, &[GridBox::whole([1; 3])])
        .unwrap()[0];
    assert!(report.stopped && report.touched[1].writes.is_empty());
}

#[test]
fn out_of_bounds_loads_are_zero_and_stores_and_atomics_are_dropped() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let kernel = SimKernel::new("stray", vec![updates("x")], move |t| {
        let len = t.len(0);
        let mut log = log.lock().unwrap();
        for at in [len - 4, len - 3, len, len + PAGE, u64::MAX - 1] {
            log.push(t.load::<u32>(0, at)?);
            t.store(0, at, 0x0101_0101u32)?;
            log.push(t.atomic_add(0, at, 1)?);
        }
        Ok(())
    });
    let rig = Rig::grown();
    rig.host.write_bytes(0, &[9; 200]);
    rig.map(0, 0, true);
    rig.run(&launch(kernel, &[(16, 100)], 1), &[Translation::Paged])
        .unwrap();
    rig.fetch(0, 0);
    assert_eq!(
        *seen.lock().unwrap(),
        [0x0909_0909, 0x0101_0101, 0, 0, 0, 0, 0, 0, 0, 0]
    );
    let mut expected = [9; 200];
    expected[112..116].copy_from_slice(&[2, 1, 1, 1]);
    assert_eq!(rig.host_bytes(0, 200), expected);
}

#[test]
fn what_a_kernel_does_not_declare_it_cannot_do() {
    let cases: [(&str, Body); 4] = [
        ("stores to binding 0", |t| t.store(0, 0, 1u8)),
        ("loads from binding 1", |t| t.load::<u8>(1, 0).map(drop)),
        ("stores to binding 0", |t| t.atomic_add(0, 0, 1).map(drop)),
        ("loads from binding 2", |t| t.load::<u8>(2, 0).map(drop)),
    ];
    let rig = Rig::grown();
    rig.map(0, 0, true);
    for (what, body) in cases {
        let kernel = SimKernel::new("liar", vec![loads("x"), stores("y")], body);
        let launch = launch(kernel, &[(0, 64), (64, 64)], 1);
        let run = rig
            .run(&launch, &[Translation::Paged; 2])
            .unwrap_err()
            .to_string();
        let probe = rig
            .device
            .probe(&launch, &[GridBox::whole([1; 3])])
            .unwrap_err()
            .to_string();
        assert!(run.contains(what) && probe == run, "{run}");
    }
}

#[test]
fn every_workgroup_runs_once_in_the_order_of_the_boxes() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let kernel = SimKernel::new("log", vec![], move |t| {
        assert_eq!(t.grid(), [3, 4, 5]);
        log.lock().unwrap().push(t.workgroup());
        Ok(())
    });
    let mut launch = launch(kernel, &[], 1);
    launch.grid = [3, 4, 5];
    let boxes = GridBox::whole(launch.grid).split(7);
    let rig = Rig::new();
    rig.device
        .run(&Pass {
            launch: &launch,
            boxes: &boxes,
            translations: &[],
        })
        .unwrap();
    let expected: Vec<_> = (0..60).map(|i| [i % 3, i / 3 % 4, i / 12]).collect();
    assert_eq!(*seen.lock().unwrap(), expected);
    assert_eq!(rig.device.counts().workgroups, 60);
}

#[test]
fn a_probe_has_no_effect_and_its_stores_live_as_long_as_the_workgroup() {
    let kernel = SimKernel::new("rewrite", vec![updates("x"), stores("y")], |t| {
        let id = u64::from(t.workgroup()[0]);
        // Page 2 is absent: stored first, then loaded, without a stop.
        t.store(0, 2 * PAGE + 4090, 40u64)?;
        assert_eq!(t.load::<u64>(0, 2 * PAGE + 4090)?, 40);
        // What another workgroup stored in this probe is not seen.
        let old = t.atomic_add(0, 0, 1)?;
        assert_eq!(old, 0x0707_0707);
        assert_eq!(t.load::<u32>(0, 0)?, old + 1);
        t.store(1, id * PAGE, old)
    });
    let rig = Rig::grown();
    rig.host.write_bytes(0, &[7; 4096]);
    rig.map(0, 0, true);
    rig.map(3, 3, true);
    let before = rig.device.frame_bytes(FrameRun::new(FrameIndex(0), 6));
    let launch = launch(kernel, &[(0, 4 * PAGE), (8 * PAGE + 100, 8 * PAGE)], 4);
    let (a, b) = GridBox::whole(launch.grid).halves().unwrap();
    let reports = rig.device.probe(&launch, &[a, b]).unwrap();
    let report = |pages: [u32; 2]| ProbeReport {
        stopped: false,
        touched: vec![
            Touched {
                reads: vec![0, 2, 3],
                writes: vec![0, 2, 3],
            },
            Touched {
                reads: vec![],
                writes: pages.to_vec(),
            },
        ],
    };
    assert_eq!(reports, [report([0, 1]), report([2, 3])]);
    assert_eq!(
        rig.device.frame_bytes(FrameRun::new(FrameIndex(0), 6)),
        before
    );
    assert_eq!(rig.device.counts().workgroups, 0);
}

#[test]
fn a_word_that_is_half_stored_still_needs_its_absent_page() {
    let kernel = SimKernel::new("half", vec![updates("x")], |t| {
        t.store(0, 0, 1u32)?;
        t.load::<u64>(0, 0).map(drop)
    });
    let rig = Rig::grown();
    let launch = launch(kernel, &[(0, 64)], 1);
    assert!(
        rig.device
            .probe(&launch, &[GridBox::whole([1; 3])])
            .unwrap()[0]
            .stopped
    );
}

#[test]
fn kernels_say_what_they_were_told_of_themselves() {
    let plain = plus_one();
    let (known, unknown) = (Footprint::empty(), Footprint::Unknown);
    let launch = launch(plus_one(), &[(0, 64), (64, 64)], 1);
    let whole = GridBox::whole([1; 3]);
    let expected = [
        BindingFootprint {
            reads: unknown.clone(),
            writes: known.clone(),
        },
        BindingFootprint {
            reads: known.clone(),
            writes: unknown,
        },
    ];
    assert_eq!(plain.footprint(&launch, &whole), expected);
    assert_eq!(plain.feeds(), [true, false]);
    assert!(plain.probeable(&launch).is_ok());
    let footprint = vec![
        BindingFootprint {
            reads: known.clone(),
            writes: known
        };
        2
    ];
    let given = footprint.clone();
    let told = plus_one()
        .with_footprint(move |_, _| given.clone())
        .with_feeds(&[false, false])
        .resident_only("it says so");
    assert_eq!(told.footprint(&launch, &whole), footprint);
    assert_eq!(told.feeds(), [false, false]);
    assert_eq!(told.probeable(&launch), Err("it says so".to_owned()));
    let launch = Launch {
        kernel: Arc::new(told),
        ..launch
    };
    let refused = Rig::new().device.probe(&launch, &[whole]).unwrap_err();
    assert!(refused.to_string().contains("it says so"), "{refused}");
}

#[test]
fn passes_that_run_at_once_interleave_and_atomics_stay_whole() {
    let kernel = || {
        SimKernel::new("tally", vec![updates("sum")], |t| {
            t.atomic_add(0, 4, 3).map(drop)
        })
    };
    let rig = Rig::grown();
    rig.map(0, 0, true);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                rig.run(&launch(kernel(), &[(0, 64)], 500), &[Translation::Paged])
                    .unwrap()
            });
        }
    });
    rig.fetch(0, 0);
    assert_eq!(rig.host_word(0) >> 32, 6000);
}
