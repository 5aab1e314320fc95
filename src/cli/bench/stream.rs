//! P3: streams over more data than the device may hold, each byte used once, against chunks by hand in as much device memory.
//!
//! The data are on the host when the clock starts, written by the CPU, and the results are read by it, all of them, before it stops.

use super::baseline::Plain;
use super::baseline::stream::Stream;
use super::bed::{Bed, seconds};
use super::job::{Job, OnGmem};
use super::jobs::{conv1d, triad};
use super::row::Row;
use crate::cli::Failure;

/// What the ratio should be at most.
const GOAL: f64 = 1.15;
/// Pages that the device holds at least: with fewer, what moves is not a stream.
const LEAST: u64 = 8;
/// Data over device memory.
const FACTORS: [u64; 2] = [4, 16];
/// Bytes of all arrays on a software adapter.
const TRIAD: usize = 64 << 20;
/// Fewer: it computes more for each.
const CONV1D: usize = 24 << 20;

/// The jobs, `scale` times as large as on a software adapter.
fn jobs(scale: usize, seed: u64) -> impl Iterator<Item = Job> {
    // One at a time: they are large.
    [
        triad::sized as fn(usize, u64) -> Job,
        conv1d::sized as fn(usize, u64) -> Job,
    ]
    .into_iter()
    .zip([TRIAD / 12, CONV1D / 8])
    .map(move |(job, len)| job(len * scale, seed))
}

/// One row for each job and factor.
///
/// # Errors
/// When a launch fails.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    let page = bed.host_only()?.geometry().page.bytes();
    for job in jobs(bed.scale(), bed.common.seed) {
        for factor in FACTORS {
            let case = format!("{}, data of {factor}x the device memory", job.name);
            if job.bytes() / factor < LEAST * page {
                bed.leave_out("P3", &format!("{case}: that is less than {LEAST} pages"));
            } else if !bed.is_known("P3", &case) {
                done(row(bed, &job, factor, case)?);
            }
        }
    }
    Ok(())
}

fn row(bed: &Bed<'_>, job: &Job, factor: u64, case: String) -> Result<Row, Failure> {
    let memory = job.bytes() / factor;
    let gm = bed.space(memory)?;
    let mut ours = OnGmem::new(&gm, job)?;
    let mut plain = Stream::new(&Plain::of(&gm)?, job, memory);
    let verified = ours.verify()? && plain.verify()?;
    let expected = ours.sum();
    let (mut right, mut theirs) = (true, true);
    let mut last = (0.0, gm.stats().counts);
    let measured = bed.measure(
        &mut || {
            ours.reset_all();
            let mut sum = 0;
            let before = gm.stats().counts;
            let took = seconds(|| {
                ours.launch()?;
                sum = ours.sum();
                Ok(())
            })?;
            right &= sum == expected;
            last = (took, gm.stats().counts.since(&before));
            Ok(took)
        },
        &mut || {
            plain.refill();
            let mut sum = 0;
            let took = seconds(|| {
                plain.run()?;
                sum = plain.sum();
                Ok(())
            })?;
            theirs &= sum == expected;
            Ok(took)
        },
    )?;
    let (seconds, counts) = last;
    let mib = |bytes: [u64; _]| bytes.iter().sum::<u64>() >> 20;
    let note = format!(
        "gmem moved {} MiB there and {} MiB home; its kernels ran {:.0} % of the time, in {} passes",
        mib(counts.host_to_device),
        mib(counts.device_to_host),
        counts.kernel_nanos as f64 / 1e7 / seconds,
        counts.passes,
    );
    Ok(
        Row::timed("P3", case, "double-buffered chunks by hand", measured)
            .goal(GOAL)
            .bytes(job.traffic)
            .verified(verified && right && theirs)
            .note(note),
    )
}
