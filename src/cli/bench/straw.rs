//! BASE: the baselines' own check. Each against the simplest program for the same job, which it must not be slower than: else what
//! gmem is measured against would be made of straw.
//!
//! Not here are those that are the simplest program themselves (P6's handler, P9's hash map, P10's and P11's loops, which
//! launch as the warm one does) and P8's best copy, which is chosen from ways of which the simplest is one.

use std::cell::Cell;

use super::baseline::Plain;
use super::baseline::cold::Cold;
use super::baseline::marks::Marks;
use super::baseline::simplest::{Chunked, Simplest};
use super::baseline::simplest_sweep::SimplestSweep;
use super::baseline::stream::Stream;
use super::baseline::sweep::Sweep;
use super::baseline::warm::Warm;
use super::bed::{Bed, seconds};
use super::job::{Job, sum};
use super::jobs::{conv1d, saxpy, stencil, triad};
use super::measured::Measured;
use super::row::Row;
use super::sparse::{self, Sparse};
use crate::cli::Failure;

/// What the ratio should be at most: at least 0.95 of the simplest one's speed.
const GOAL: f64 = 1.05;
/// Data over device memory, of what is streamed.
const FACTOR: u64 = 4;
/// Launches in a reading of warm ones.
const LAUNCHES: u32 = 2;
/// Lanes whose pages are asked for, and how often in a reading.
const LANES: u64 = 1 << 16;
const MARKED: &str = "pages asked for: 65,536 lanes";
const TRIPS: usize = 32;
/// What they are compared with.
const SIMPLEST: &str = "the simplest program";

/// One row for each kind of baseline and job.
///
/// # Errors
/// When the device is lost.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    let wanted = |case: &str| !bed.is_known("BASE", case);
    let (scale, seed) = (bed.scale(), bed.common.seed);
    // The baselines run on the device of a space, which itself is not used.
    let gm = bed.space(16 << 20)?;
    let plain = Plain::of(&gm)?;
    for job in [saxpy::job, stencil::job] {
        let job = job(scale, seed);
        let case = format!("warm: {}", job.name);
        if wanted(&case) {
            done(warm(bed, &plain, &job, case)?);
        }
        let case = format!("cold: {}", job.name);
        if wanted(&case) {
            done(cold(bed, &plain, &job, case)?);
        }
    }
    for job in [triad::job, conv1d::job] {
        // Four times the usual job, so that chunks are not too small.
        let job = job(4 * scale, seed);
        let case = format!(
            "streamed: {}, data of {FACTOR}x the device memory",
            job.name
        );
        if wanted(&case) {
            done(streamed(bed, &plain, &job, case)?);
        }
    }
    let page = gm.geometry().page;
    for (name, gathers) in [("pages changed", false), ("words read", true)] {
        let case = format!("swept: {name}");
        if wanted(&case) {
            let words = page.bytes() as usize / 4;
            let sparse = Sparse::new(sparse::BYTES * scale / 4, words, gathers, seed);
            done(swept(bed, &plain, &sparse, case)?);
        }
    }
    if wanted(MARKED) {
        done(marked(bed, &plain, page.shift())?);
    }
    Ok(())
}

fn row(case: String, job: &Job, measured: Measured, verified: bool) -> Row {
    Row::timed("BASE", case, SIMPLEST, measured)
        .goal(GOAL)
        .bytes(job.traffic)
        .verified(verified)
}

/// Everything on the device already.
fn warm(bed: &Bed<'_>, plain: &Plain, job: &Job, case: String) -> Result<Row, Failure> {
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
    Ok(row(case, job, measured, verified))
}

/// There and back in one piece.
fn cold(bed: &Bed<'_>, plain: &Plain, job: &Job, case: String) -> Result<Row, Failure> {
    let mut expert = Cold::new(plain, job);
    let simplest = Simplest::new(plain, job);
    let expected = expected(job);
    let right = Cell::new(expert.verify()?);
    let measured = bed.measure(
        &mut || summed(expected, &right, || expert.sum()),
        &mut || summed(expected, &right, || simplest.round_trip()),
    )?;
    Ok(row(case, job, measured, right.get()))
}

/// In chunks.
fn streamed(bed: &Bed<'_>, plain: &Plain, job: &Job, case: String) -> Result<Row, Failure> {
    let memory = job.bytes() / FACTOR;
    let mut expert = Stream::new(plain, job, memory);
    let mut simplest = Chunked::new(plain, job, memory);
    let expected = expected(job);
    let right = Cell::new(expert.verify()?);
    let measured = bed.measure(
        &mut || {
            expert.refill();
            summed(expected, &right, || {
                expert.run()?;
                Ok(expert.sum())
            })
        },
        &mut || {
            simplest.refill();
            summed(expected, &right, || simplest.run())
        },
    )?;
    Ok(row(case, job, measured, right.get()))
}

/// All of a region through the device, for the sake of a part of it.
fn swept(bed: &Bed<'_>, plain: &Plain, sparse: &Sparse, case: String) -> Result<Row, Failure> {
    let (bytes, most) = (4 * sparse.len as u64, sparse.most());
    let memory = bytes / sparse::FACTOR;
    let mut expert = Sweep::new(plain, sparse.work, sparse.data(), most, memory);
    let mut simplest = SimplestSweep::new(plain, sparse.work, sparse.data(), most, memory);
    let (mut right, mut theirs) = (true, true);
    let (mut next, mut their_next) = (0, 0);
    let rounds = &sparse.rounds;
    let measured = bed.measure(
        &mut || {
            let round = next;
            next = (next + 1) % rounds.len();
            sparse.reset(expert.data(), round);
            let took = seconds(|| expert.run(&rounds[round]))?;
            right &= sparse.right(round, expert.results());
            Ok(took)
        },
        &mut || {
            let round = their_next;
            their_next = (their_next + 1) % rounds.len();
            sparse.reset(simplest.data(), round);
            let took = seconds(|| simplest.run(&rounds[round]))?;
            theirs &= sparse.right(round, simplest.results());
            Ok(took)
        },
    )?;
    let ways = if sparse.work.gathers { 1 } else { 2 };
    Ok(Row::timed("BASE", case, SIMPLEST, measured)
        .goal(GOAL)
        .bytes(ways * bytes)
        .verified(right && theirs))
}

/// Asking which pages lanes touch.
fn marked(bed: &Bed<'_>, plain: &Plain, shift: u32) -> Result<Row, Failure> {
    let marks = Marks::new(plain, LANES, shift);
    let pages = (4 * LANES).div_ceil(1 << shift) as u32;
    let (mut right, mut theirs) = (true, true);
    let several = |right: &mut bool, ask: &dyn Fn() -> Result<Vec<u32>, Failure>| {
        seconds(|| {
            (0..TRIPS).try_for_each(|_| {
                *right &= ask()?.into_iter().eq(0..pages);
                Ok(())
            })
        })
    };
    let measured = bed.measure(
        &mut || several(&mut right, &|| marks.round_trip()),
        &mut || several(&mut theirs, &|| marks.simplest_round_trip()),
    )?;
    Ok(Row::timed("BASE", MARKED, SIMPLEST, measured)
        .goal(GOAL)
        .verified(right && theirs)
        .note(format!("{TRIPS} round trips a reading")))
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
