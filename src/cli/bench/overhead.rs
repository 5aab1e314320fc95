//! P10: what a launch costs besides the kernel when everything is on the device: a kernel of one workgroup, launched and
//! waited for again and again, with one region alive and with ten thousand.
//!
//! A launch goes through several threads, plain wgpu's too. Where the scheduler puts them decides more than what they do, so all
//! of them run on one core (where the system lets one say so): what is measured is work and hand-overs, not the waking of cores.

use super::baseline::Plain;
use super::baseline::warm::Warm;
use super::bed::{Bed, seconds};
use super::job::{Job, Memory, OnGmem};
use super::measured::Sample;
use super::row::Row;
use crate::cli::Failure;

/// Microseconds more than a plain submission, at most.
const GOAL: f64 = 20.0;
/// Launches in a reading.
const LAUNCHES: usize = 512;
/// Where threads run that are bound to one core, for the note.
pub const PLACED: &str = if cfg!(target_os = "linux") {
    ", all threads on one core"
} else {
    ""
};
/// Regions besides, half of them below the kernel's and half above.
const REGIONS: usize = 10_000;
/// Elements: a workgroup.
const LEN: u32 = 64;

/// One workgroup that does next to nothing.
fn job() -> Job {
    let before: Vec<u32> = (0..LEN).map(|i| i * 3).collect();
    let after: Vec<u32> = before.iter().map(|x| x + 1).collect();
    Job {
        name: "one workgroup",
        source: "
@group(0) @binding(0) var<storage, read_write> v: array<u32>;
@compute @workgroup_size(64)
fn add(@builtin(global_invocation_id) id: vec3<u32>) { v[id.x] += 1u; }",
        memory: vec![Memory::output("v", &before, &after)],
        uniform: None,
        grid: [1, 1, 1],
        traffic: 8 * u64::from(LEN),
    }
}

/// A row for each number of regions.
///
/// # Errors
/// When a launch fails.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    let job = job();
    // Threads inherit where their maker may run.
    #[cfg(target_os = "linux")]
    let _bound = super::cores::Cores::first()?;
    let gm = bed.space(16 << 20)?;
    let plain = Warm::new(&Plain::of(&gm)?, &job);
    for (name, regions) in [("1 region", 0), ("10,000 regions", REGIONS)] {
        let others = |count: usize| {
            (0..count)
                .map(|_| gm.alloc::<u32>(LEN as usize))
                .collect::<Result<Vec<_>, _>>()
        };
        let _below = others(regions / 2)?;
        let mut ours = OnGmem::new(&gm, &job)?;
        let _above = others(regions / 2)?;
        let mut right = gm.stats().regions == regions + 1;
        right &= ours.verify()? && plain.verify()?;
        // The check brought results home.
        ours.reset();
        ours.launch()?;
        let (before, mut readings) = (gm.stats().counts, 0);
        let measured = bed.measure(
            &mut || {
                readings += 1;
                seconds(|| (0..LAUNCHES).try_for_each(|_| ours.launch().map(drop)))
            },
            &mut || seconds(|| (0..LAUNCHES).try_for_each(|_| plain.launch())),
        )?;
        // All of them ran, nothing moved meanwhile, and every one added its own.
        let since = gm.stats().counts.since(&before);
        let launches = readings * LAUNCHES as u64;
        let still = since
            .host_to_device
            .iter()
            .chain(&since.device_to_host)
            .sum::<u64>()
            == 0;
        right &= since.passes == launches && still && sums(&mut ours, launches + 1);
        // Turn by turn.
        let turns = measured.sittings.iter().flatten();
        let more: Vec<f64> = turns
            .map(|([a, d], [b, c])| (a + d - b - c) / 2.0)
            .collect();
        let more = Sample::of(&more).median / LAUNCHES as f64 * 1e6;
        let plain_us = measured.baseline.median / LAUNCHES as f64 * 1e6;
        done(
            Row::timed("P10", name, "plain wgpu: submit + wait", measured)
                .figure(more, "us")
                .goal(GOAL)
                .verified(right && plain.verify()?)
                .note(format!(
                    "a plain launch takes {plain_us:.1} us; {LAUNCHES} launches a reading{PLACED}"
                )),
        );
    }
    Ok(())
}

/// Whether every element was added to so many times.
fn sums(ours: &mut OnGmem<'_>, launches: u64) -> bool {
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(&ours.vectors()[0]);
    (0..LEN)
        .zip(words)
        .all(|(i, word)| word == i * 3 + launches as u32)
}
