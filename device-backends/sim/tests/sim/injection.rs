//! Errors, latency and loss.

use super::*;
use gmem_sim::{Call, Injection, stores};
use std::time::{Duration, Instant};

/// A kernel whose workgroup `i` stores `i + 1` to word `i`, in page 0.
fn count() -> Launch {
    let kernel = SimKernel::new("count", vec![stores("out")], |t| {
        let id = t.workgroup()[0];
        t.store(0, u64::from(id) * 4, id + 1)
    });
    launch(kernel, &[(0, 64)], 16)
}

fn call(rig: &Rig, call: Call) -> Result<(), DeviceError> {
    let runs = [CopyRun {
        offset: 0,
        frames: FrameRun::new(FrameIndex(0), 1),
    }];
    match call {
        Call::Attach => unreachable!("a device is attached once"),
        Call::Grow => rig.device.grow(1).map(drop),
        Call::SetEntries => rig.device.set_entries(&[entry(0, 0, true)]),
        Call::Upload => rig.device.upload(&runs, &rig.host),
        Call::Download => rig.device.download(&runs, &rig.host),
        Call::Zero => rig.device.zero(&[runs[0].frames]),
        Call::Run => rig.run(&count(), &[Translation::Paged]).map(drop),
        Call::Probe => rig
            .device
            .probe(&count(), &[GridBox::whole([16, 1, 1])])
            .map(drop),
        Call::Attempt => rig
            .attempt(&count(), &[Translation::Paged], &[entry(0, 0, true)])
            .map(drop),
        Call::CopyFrames => rig.device.copy_frames(&[FrameCopy {
            from: FrameIndex(0),
            to: FrameIndex(1),
        }]),
        Call::GrowRemote => rig.device.grow_remote(1).map(drop),
        Call::DropRemote => rig.device.drop_remote(),
    }
}

/// Everything that one can see of a rig.
fn sight(rig: &Rig) -> (Vec<u8>, Vec<u8>, Vec<PageEntry>, u64) {
    let device = rig.device.frame_bytes(FrameRun::new(FrameIndex(0), 2));
    (
        device,
        rig.host_bytes(0, 2 * PAGE),
        rig.device.entries(),
        rig.device.bytes().windows,
    )
}

fn ready() -> Rig {
    let rig = Rig::new();
    rig.device.grow(2).unwrap();
    rig.fill(1);
    rig.map(0, 0, true);
    rig.fill(2);
    rig
}

const AFTER_ATTACH: [Call; 11] = [
    Call::Grow,
    Call::SetEntries,
    Call::Upload,
    Call::Download,
    Call::Zero,
    Call::Run,
    Call::Probe,
    Call::Attempt,
    Call::CopyFrames,
    Call::GrowRemote,
    Call::DropRemote,
];

#[test]
fn the_nth_call_fails_once_and_without_effect() {
    for which in AFTER_ATTACH {
        for nth in 1..=3 {
            let rig = ready();
            rig.device
                .inject(Injection::at(which, nth, which.refused()));
            for at in 1..=4 {
                let before = sight(&rig);
                let result = call(&rig, which);
                if at == nth {
                    assert_eq!(result, Err(which.refused()));
                    assert_eq!(sight(&rig), before, "{which:?}");
                } else {
                    assert_eq!(result, Ok(()), "{which:?} {at}");
                }
            }
        }
    }
}

#[test]
fn attach_can_fail_and_be_tried_again() {
    let host = PlainHost::new(1);
    let geometry = Geometry {
        base: host.base(),
        len: host.len(),
        page: PageSize::MIN,
    };
    let device = SimDevice::new(SimOptions::default());
    device.inject(Injection::at(Call::Attach, 1, Call::Attach.refused()).in_the_midst());
    assert_eq!(device.attach(geometry), Err(Call::Attach.refused()));
    assert!(device.attach(geometry).is_ok());
}

#[test]
fn injections_anywhere_count_all_calls_and_can_be_taken_back() {
    let rig = ready();
    rig.device
        .inject(Injection::anywhere(3, Call::Zero.refused()));
    assert!(call(&rig, Call::Upload).is_ok() && call(&rig, Call::Run).is_ok());
    assert!(call(&rig, Call::Download).is_err() && call(&rig, Call::Download).is_ok());
    rig.device
        .inject(Injection::anywhere(1, Call::Zero.refused()));
    rig.device.clear_injections();
    assert!(call(&rig, Call::Upload).is_ok());
}

#[test]
fn copies_that_fail_in_the_midst_spoil_their_destination_and_nothing_else() {
    for which in [Call::Upload, Call::Zero, Call::Download] {
        let mut spoilt = 0;
        for _ in 0..3 {
            let rig = ready();
            let all = rig.host_bytes(0, rig.host.len());
            for _ in 0..8 {
                let before = sight(&rig);
                rig.device
                    .inject(Injection::at(which, 1, which.refused()).in_the_midst());
                assert_eq!(call(&rig, which), Err(which.refused()));
                let after = sight(&rig);
                assert_eq!(
                    (&after.2, after.3),
                    (&before.2, before.3),
                    "translations and windows stay"
                );
                let (page, frame) = (PAGE as usize, &after.0[..PAGE as usize]);
                assert_eq!(after.0[page..], before.0[page..], "another frame");
                if which == Call::Download {
                    assert_eq!(after.0, before.0, "the device's copy stays valid");
                    assert_eq!(rig.host_bytes(PAGE, rig.host.len() - PAGE), all[page..]);
                    spoilt += usize::from(after.1[..page] != *frame);
                } else {
                    assert_eq!(after.1, before.1, "the host's copy stays valid");
                    let wanted = if which == Call::Zero {
                        vec![0; page]
                    } else {
                        after.1[..page].to_vec()
                    };
                    spoilt += usize::from(wanted != frame);
                }
            }
            assert_eq!(call(&rig, which), Ok(()), "trying again mends it");
            let (frame, host, ..) = sight(&rig);
            match which {
                Call::Zero => assert!(frame[..PAGE as usize].iter().all(|&b| b == 0)),
                _ => assert_eq!(frame[..PAGE as usize], host[..PAGE as usize]),
            }
        }
        assert!(spoilt > 0, "{which:?} left no rubbish in 24 failures");
    }
}

#[test]
fn a_refused_run_has_no_effect_and_another_failure_may_have_run_some_workgroups() {
    let rig = ready();
    let before = sight(&rig);
    rig.device
        .inject(Injection::at(Call::Run, 1, Call::Run.refused()).in_the_midst());
    assert!(call(&rig, Call::Run).is_err());
    assert_eq!(sight(&rig), before);
    let mut partial = 0;
    for _ in 0..20 {
        rig.device.zero(&[FrameRun::new(FrameIndex(0), 1)]).unwrap();
        let error = DeviceError::Confined {
            kernel: "count".into(),
        };
        rig.device
            .inject(Injection::at(Call::Run, 1, error.clone()).in_the_midst());
        assert_eq!(call(&rig, Call::Run), Err(error));
        let bytes = rig.device.frame_bytes(FrameRun::new(FrameIndex(0), 1));
        let words: Vec<u32> = bytes[..64]
            .chunks(4)
            .map(|w| u32::from_le_bytes(w.try_into().unwrap()))
            .collect();
        let done = words.iter().take_while(|&&w| w != 0).count();
        assert!(
            (0..16).all(|i| words[i] == if i < done { i as u32 + 1 } else { 0 }),
            "{words:?}"
        );
        partial += usize::from(done > 0 && done < 16);
    }
    assert!(partial > 0);
}

#[test]
fn a_lost_device_fails_every_call_from_then_on() {
    let rig = ready();
    let lost = DeviceError::Lost {
        reason: "unplugged".into(),
    };
    rig.device
        .inject(Injection::at(Call::Upload, 1, lost.clone()));
    for which in AFTER_ATTACH.into_iter().filter(|&c| c != Call::Upload) {
        assert!(call(&rig, which).is_ok(), "not yet");
    }
    assert_eq!(call(&rig, Call::Upload), Err(lost.clone()));
    rig.device.clear_injections();
    for which in AFTER_ATTACH {
        assert_eq!(call(&rig, which), Err(lost.clone()));
    }
}

#[test]
fn a_device_lost_during_a_pass_ends_the_pass() {
    let mut rig = ready();
    let device = Arc::new(std::mem::replace(
        &mut rig.device,
        SimDevice::new(SimOptions::default()),
    ));
    let (weak, out) = (Arc::downgrade(&device), vec![stores("out")]);
    let kernel = SimKernel::new("pull the plug", out, move |t| {
        if t.workgroup()[0] == 5 {
            weak.upgrade()
                .expect("the device runs this")
                .lose("plug pulled");
        }
        t.store(0, 0, 1u32)
    });
    let launch = launch(kernel, &[(0, 64)], 16);
    let boxes = [GridBox::whole(launch.grid)];
    let pass = Pass {
        launch: &launch,
        boxes: &boxes,
        translations: &[Translation::Paged],
    };
    assert_eq!(
        device.run(&pass),
        Err(DeviceError::Lost {
            reason: "plug pulled".into()
        })
    );
    assert_eq!(device.counts().workgroups, 6);
}

#[test]
fn random_failures_come_at_their_rate_and_repeat_themselves_from_a_seed() {
    let history = |seed| {
        let rig = Rig::with(SimOptions {
            seed,
            ..SimOptions::default()
        });
        rig.device.grow(1).unwrap();
        rig.device.fail_randomly(0.25);
        (0..1000)
            .map(|_| call(&rig, Call::Zero).is_err())
            .collect::<Vec<_>>()
    };
    let failures = history(7);
    assert_eq!(failures, history(7));
    assert_ne!(failures, history(8));
    let count = failures.iter().filter(|&&failed| failed).count();
    assert!((150..350).contains(&count), "{count} of 1000");
}

#[test]
fn latency_delays_every_call() {
    let latency = Some(Duration::from_millis(2)..=Duration::from_millis(3));
    let rig = Rig::with(SimOptions {
        latency,
        remote_bytes: PAGE,
        ..SimOptions::default()
    });
    rig.device.grow(2).unwrap();
    let start = Instant::now();
    for which in AFTER_ATTACH {
        call(&rig, which).unwrap();
    }
    assert!(
        start.elapsed() >= Duration::from_millis(14),
        "{:?}",
        start.elapsed()
    );
}
