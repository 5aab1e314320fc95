//! BASE: the baselines' own check. Each against the simplest program for the same job, which it must not be slower than: else what
//! gmem is measured against would be made of straw.

use std::cell::Cell;

use super::baseline::Plain;
use super::baseline::cold::Cold;
use super::baseline::simplest::{Chunked, Simplest};
use super::baseline::stream::Stream;
use super::baseline::warm::Warm;
use super::bed::{Bed, seconds};
use super::job::{Job, sum};
use super::jobs::{conv1d, saxpy, stencil, triad};
use super::measured::Measured;
use super::row::Row;
use crate::cli::Failure;

/// What the ratio should be at most: at least 0.95 of the simplest one's speed.
const GOAL: f64 = 1.05;
/// Data over device memory, of what is streamed.
const FACTOR: u64 = 4;
/// Launches in a reading of warm ones.
const LAUNCHES: u32 = 2;

/// One row for each kind of baseline and job.
///
/// # Errors
/// When the device is lost.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    let (scale, seed) = (bed.scale(), bed.common.seed);
    // The baselines run on the device of a space, which itself is not used.
    let gm = bed.space(16 << 20)?;
    let plain = Plain::of(&gm)?;
    for job in [saxpy::job, stencil::job] {
        let job = job(scale, seed);
        done(warm(bed, &plain, &job)?);
        done(cold(bed, &plain, &job)?);
    }
    for job in [triad::job, conv1d::job] {
        // Four times the usual job, so that chunks are not too small.
        done(streamed(bed, &plain, &job(4 * scale, seed))?);
    }
    Ok(())
}

fn row(case: String, job: &Job, measured: Measured, verified: bool) -> Row {
    Row::timed("BASE", case, "the simplest program", measured)
        .goal(GOAL)
        .bytes(job.traffic)
        .verified(verified)
}

/// Everything on the device already.
fn warm(bed: &Bed<'_>, plain: &Plain, job: &Job) -> Result<Row, Failure> {
    let expert = Warm::new(plain, job);
    let simplest = Simplest::new(plain, job);
    let verified = expert.verify()? && simplest.round_trip()? == expected(job);
    let several = |launch: &dyn Fn() -> Result<(), Failure>| {
        let all = seconds(|| (0..LAUNCHES).try_for_each(|_| launch()))?;
        Ok(all / f64::from(LAUNCHES))
    };
    let measured = bed.measure(&mut || several(&|| expert.launch()), &mut || {
        several(&|| simplest.launch())
    })?;
    Ok(row(format!("warm: {}", job.name), job, measured, verified))
}

/// There and back in one piece.
fn cold(bed: &Bed<'_>, plain: &Plain, job: &Job) -> Result<Row, Failure> {
    let mut expert = Cold::new(plain, job);
    let simplest = Simplest::new(plain, job);
    let expected = expected(job);
    let right = Cell::new(expert.verify()?);
    let measured = bed.measure(
        &mut || summed(expected, &right, || expert.sum()),
        &mut || summed(expected, &right, || simplest.round_trip()),
    )?;
    let case = format!("cold: {}", job.name);
    Ok(row(case, job, measured, right.get()))
}

/// In chunks.
fn streamed(bed: &Bed<'_>, plain: &Plain, job: &Job) -> Result<Row, Failure> {
    let memory = job.bytes() / FACTOR;
    let mut expert = Stream::new(plain, job, memory);
    let mut simplest = Chunked::new(plain, job, memory);
    let expected = expected(job);
    let right = Cell::new(expert.verify()?);
    let measured = bed.measure(
        &mut || {
            summed(expected, &right, || {
                expert.run()?;
                Ok(expert.sum())
            })
        },
        &mut || summed(expected, &right, || simplest.run()),
    )?;
    let case = format!(
        "streamed: {}, data of {FACTOR}x the device memory",
        job.name
    );
    Ok(row(case, job, measured, right.get()))
}

/// What the words of all results add up to.
fn expected(job: &Job) -> u64 {
    let results = job
        .memory
        .iter()
        .filter_map(|memory| memory.after.as_deref());
    results.fold(0, |total, bytes| total.wrapping_add(sum(bytes)))
}

/// Seconds until the sum of the results is known; whether it is right goes into `right`.
fn summed(
    expected: u64,
    right: &Cell<bool>,
    run: impl FnOnce() -> Result<u64, Failure>,
) -> Result<f64, Failure> {
    let mut found = 0;
    let took = seconds(|| {
        found = run()?;
        Ok(())
    })?;
    right.set(right.get() && found == expected);
    Ok(took)
}
