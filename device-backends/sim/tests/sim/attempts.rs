//! Attempts: what they miss, what they touch, what they store all the same.

use super::*;
use gmem_sim::{loads, updates};

/// Word 0 of binding 0 says where in binding 1 (three pages) each workgroup adds its number plus one, atomically.
fn indirect(workgroups: u32) -> Launch {
    let kernel = SimKernel::new("indirect", vec![loads("at"), updates("x")], |t| {
        let at = u64::from(t.load::<u32>(0, 0)?);
        t.atomic_add(1, at, t.workgroup()[0] + 1)?;
        Ok(())
    });
    launch(kernel, &[(0, 4), (PAGE, 3 * PAGE)], workgroups)
}

fn ready() -> Rig {
    let rig = Rig::grown();
    for page in 0..4 {
        rig.map(page, page as u32, true);
    }
    rig
}

const PAGED: [Translation; 2] = [Translation::Paged; 2];

#[test]
fn what_is_not_granted_reads_as_zero_and_is_touched_all_the_same() {
    let rig = ready();
    rig.host
        .write_bytes(0, &(2 * PAGE as u32 + 8).to_le_bytes());
    rig.map(0, 0, false);
    // The page table has page 0, and yet it is missed: the sum goes to where a zero points.
    let missed = rig
        .attempt(&indirect(3), &PAGED, &[entry(1, 1, true)])
        .unwrap();
    assert!(missed.missed);
    assert_eq!(missed.touched[0].reads, [0]);
    assert_eq!(missed.touched[1].writes, [0]);
    rig.fetch(1, 1);
    assert_eq!(rig.host_word(PAGE), 6, "the stores before it is known");
    // With page 0 it finds the right place, which is missing: nothing is stored.
    let missed = rig
        .attempt(
            &indirect(3),
            &PAGED,
            &[entry(0, 0, false), entry(1, 1, true)],
        )
        .unwrap();
    assert!(missed.missed);
    assert_eq!(missed.touched[1].writes, [2]);
    rig.fetch(3, 3);
    assert_eq!(rig.host_word(3 * PAGE + 8), 0);
    // Present, but not for storing.
    let missed = rig
        .attempt(
            &indirect(3),
            &PAGED,
            &[entry(0, 0, false), entry(3, 3, false)],
        )
        .unwrap();
    assert!(missed.missed);
    assert_eq!(rig.device.counts().workgroups, 0);
    let done = rig
        .attempt(
            &indirect(3),
            &PAGED,
            &[entry(0, 0, false), entry(3, 3, true)],
        )
        .unwrap();
    assert!(!done.missed);
    assert_eq!(rig.device.counts().workgroups, 3);
    rig.fetch(3, 3);
    assert_eq!(rig.host_word(3 * PAGE + 8), 6);
}

#[test]
fn the_frames_are_those_of_the_attempt_not_of_the_page_table() {
    let rig = ready();
    // Page 1 as frame 5, which is garbage.
    let launch = indirect(1);
    let done = rig
        .attempt(&launch, &PAGED, &[entry(0, 0, false), entry(1, 5, true)])
        .unwrap();
    assert!(!done.missed);
    assert_eq!(
        rig.device.frame_bytes(FrameRun::new(FrameIndex(1), 1))[0],
        0
    );
    let garbage = gmem_sim::GARBAGE;
    assert_eq!(
        rig.device.frame_bytes(FrameRun::new(FrameIndex(5), 1))[0],
        garbage + 1
    );
}

#[test]
fn a_kernel_that_a_zero_keeps_going_for_ever_ends() {
    let rig = ready();
    let kernel = SimKernel::new("walk", vec![loads("next"), updates("out")], |t| {
        // It is done when it has found something.
        while t.load::<u32>(0, 0)? == 0 {}
        t.store(1, 0, 1u32)
    });
    let launch = launch(kernel, &[(0, 4), (PAGE, 4)], 2);
    let missed = rig.attempt(&launch, &PAGED, &[]).unwrap();
    assert!(missed.missed);
    assert_eq!(missed.touched[0].reads, [0]);
    assert!(missed.touched[1].writes.is_empty());
}

#[test]
fn frames_are_copied_to_frames() {
    let rig = ready();
    rig.fill(3);
    rig.map(2, 2, true);
    let copy = |from, to| FrameCopy {
        from: FrameIndex(from),
        to: FrameIndex(to),
    };
    rig.device.copy_frames(&[copy(2, 9), copy(0, 8)]).unwrap();
    let bytes = |frame| rig.device.frame_bytes(FrameRun::new(FrameIndex(frame), 1));
    assert_eq!(bytes(9), bytes(2));
    assert_eq!(bytes(8), bytes(0));
    assert_ne!(bytes(9), bytes(8));
}
