//! P2: cold and fitting. The data is on the host, and every byte of the results is read there at the end.
//!
//! Before each reading both sides write what the kernel loads again, in their own host memory, by plain stores: this is not
//! timed. For gmem it means that only the host has it, as after any change by the CPU; for the baseline, that its vectors are as
//! warm in the caches. What the kernel overwrites is left as the reading before left it: memory that both sides made
//! beforehand and reuse. What is timed is the way from there to the sum of the words of all results.

use super::baseline::Plain;
use super::baseline::cold::Cold;
use super::bed::{Bed, seconds};
use super::job::{Job, OnGmem, sum};
use super::jobs;
use super::row::Row;
use crate::cli::Failure;

/// What the ratio should be at most.
const GOAL: f64 = 1.10;

/// One row for each job.
///
/// # Errors
/// When a launch fails.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    for job in jobs::standard(bed.scale(), bed.common.seed) {
        if bed.is_known("P2", job.name) {
            continue;
        }
        let gm = bed.space(2 * job.bytes() + (16 << 20))?;
        let mut ours = OnGmem::new(&gm, &job)?;
        let mut plain = Cold::new(&Plain::of(&gm)?, &job);
        let mut verified = ours.verify()? && plain.verify()?;
        // Each reading's sum is compared too: a result that came home only in part would make a fast reading.
        let expected = expected(&job);
        let (mut sums, mut plain_sums) = (true, true);
        let measured = bed.measure(
            &mut || {
                ours.refill();
                seconds(|| {
                    ours.launch()?;
                    sums &= ours.sum() == expected;
                    Ok(())
                })
            },
            &mut || {
                plain.refill();
                seconds(|| {
                    plain_sums &= plain.sum()? == expected;
                    Ok(())
                })
            },
        )?;
        verified &= sums && plain_sums;
        done(
            Row::timed(
                "P2",
                job.name,
                "upload by mapped staging, dispatch, copy, map, by hand",
                measured,
            )
            .goal(GOAL)
            .bytes(moved(&job))
            .verified(verified),
        );
    }
    Ok(())
}

/// The sum of the words of all results.
fn expected(job: &Job) -> u64 {
    let results = job.memory.iter().filter_map(|m| m.after.as_deref());
    results.fold(0, |total, bytes| total.wrapping_add(sum(bytes)))
}

/// Bytes that have to move: what a launch loads goes there, what it stores comes home.
fn moved(job: &Job) -> u64 {
    (job.memory.iter())
        .map(|m| {
            let ways = u64::from(!m.overwritten) + u64::from(m.after.is_some());
            ways * m.before.len() as u64
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_there_and_home() {
        let job = jobs::saxpy::sized(100, 0);
        assert_eq!(moved(&job), 400 + 800);
        let job = jobs::stencil::sized(10, 10, 0);
        assert_eq!(moved(&job), 400 + 400);
    }

    #[test]
    fn the_sum_is_that_of_what_should_come_out() {
        let job = jobs::histogram::sized(1000, 0);
        assert_eq!(expected(&job), 1000);
    }

    #[test]
    fn both_sides_come_to_the_same_sum_again_and_again() {
        let Ok(gm) = gmem::Gmem::builder().device_memory(32 << 20).build() else {
            eprintln!("skipped: there is no adapter");
            return;
        };
        let plain = Plain::of(&gm).expect("it has a GPU");
        for job in [jobs::saxpy::sized(5000, 0), jobs::spmv::sized(1000, 0)] {
            let mut ours = OnGmem::new(&gm, &job).expect("it fits");
            let mut plain = Cold::new(&plain, &job);
            assert!(plain.verify().expect("it runs"));
            for _ in 0..3 {
                ours.refill();
                plain.refill();
                ours.launch().expect("it runs");
                assert_eq!(ours.sum(), expected(&job));
                assert_eq!(plain.sum().expect("it runs"), expected(&job));
            }
        }
    }
}
