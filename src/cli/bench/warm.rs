//! P1: warm and fitting. The data is on the device, all of it, before and after: what is measured is translation, and what
//! a launch costs besides the kernel.

use super::baseline::Plain;
use super::baseline::warm::Warm;
use super::bed::{Bed, seconds};
use super::job::OnGmem;
use super::jobs;
use super::row::Row;
use crate::cli::Failure;

/// What the ratio should be at most.
const GOAL: f64 = 1.03;

/// One row for each job.
///
/// # Errors
/// When a launch fails.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    for job in jobs::standard(bed.scale(), bed.common.seed) {
        if bed.is_known("P1", job.name) {
            continue;
        }
        // Room for all of it however windows and runs of frames fall.
        let gm = bed.space(2 * job.bytes() + (16 << 20))?;
        let mut ours = OnGmem::new(&gm, &job)?;
        let plain = Warm::new(&Plain::of(&gm)?, &job);
        let verified = ours.verify()? && plain.verify()?;
        // The check brought results home: they go back before the clock starts.
        ours.launch()?;
        let measured = bed.measure(&mut || seconds(|| ours.launch()), &mut || {
            seconds(|| plain.launch())
        })?;
        done(
            Row::timed("P1", job.name, "plain wgpu, all on the device", measured)
                .goal(GOAL)
                .bytes(job.traffic)
                .verified(verified),
        );
    }
    Ok(())
}
