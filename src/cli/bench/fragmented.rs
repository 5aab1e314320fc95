//! P4: fragmented on purpose. The kernels of P1, warm, in two memories that are not as kind as P1's:
//!
//! - *all paged*: the device hands out frames so that no two pages that follow each other have frames that do. Every binding of
//!   more than a page goes through the page table. This is what translation by table costs, at its worst; it has no goal.
//! - *as chosen*: a device memory whose free frames are a comb, in which the runtime does what it likes. The comb is made
//!   thus: regions of a page (on a large device, some pages) fill the device to the last frame, one after the other; then every
//!   other one is freed. Half of the frames are free now, no two together, and the teeth between them hold live data.
//!   The memory is so large that the job fits into the free half. So the runtime may take scattered frames and page, or
//!   evict teeth to make room for a run and slide. The note says how many bindings it slid.
//!
//! The data is on the device before and after, and what the runtime did to bring it there is not timed.

use gmem::{DeviceHandle, Gmem, Vector};

use super::baseline::Plain;
use super::baseline::warm::Warm;
use super::bed::{Bed, seconds};
use super::job::{Job, OnGmem};
use super::jobs;
use super::row::Row;
use crate::cli::Failure;

/// What the ratio should be at most where the runtime chooses.
const GOAL: f64 = 1.30;
/// Regions that a comb is made of, at most.
const TEETH: u64 = 2048;

/// Two rows for each job.
///
/// # Errors
/// When a launch fails.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    for job in jobs::standard(bed.scale(), bed.common.seed) {
        let case = format!("{}, all paged", job.name);
        if !bed.is_known("P4", &case) {
            let gm = bed.fragmented(2 * job.bytes() + (16 << 20))?;
            done(row(bed, &gm, &job, case)?);
        }
        let case = format!("{}, as chosen", job.name);
        if !bed.is_known("P4", &case) {
            let (gm, teeth) = combed(bed, &job)?;
            done(row(bed, &gm, &job, case)?.goal(GOAL));
            drop(teeth);
        }
    }
    Ok(())
}

fn row(bed: &Bed<'_>, gm: &Gmem, job: &Job, case: String) -> Result<Row, Failure> {
    let mut ours = OnGmem::new(gm, job)?;
    let plain = Warm::new(&Plain::of(gm)?, job);
    let verified = ours.verify()? && plain.verify()?;
    ours.launch()?;
    let before = gm.stats().counts;
    ours.launch()?;
    let one = gm.stats().counts.since(&before);
    let measured = bed.measure(&mut || seconds(|| ours.launch()), &mut || {
        seconds(|| plain.launch())
    })?;
    Ok(
        Row::timed("P4", case, "plain wgpu, all on the device", measured)
            .bytes(job.traffic)
            .verified(verified)
            .note(format!(
                "bindings slid {}, paged {}",
                one.slid_bindings, one.paged_bindings
            )),
    )
}

/// A space whose device has a comb of free frames, in which the job fits, and the regions between them.
fn combed(bed: &Bed<'_>, job: &Job) -> Result<(Gmem, Vec<Vector<u8>>), Failure> {
    // Each binding may take a part of a page more than it has bytes.
    let pages = |gm: &Gmem| -> u64 {
        let page = gm.geometry().page.bytes();
        let all = job.memory.iter().map(|m| m.before.len() as u64);
        all.map(|bytes| bytes.div_ceil(page)).sum()
    };
    let gm = bed.host_only()?;
    let (needed, page) = (pages(&gm), gm.geometry().page.bytes());
    drop(gm);
    let tooth = (2 * needed).div_ceil(TEETH);
    // Half of the teeth go, and what remains of the last one is no room.
    let gm = bed.space((2 * needed + 4 * tooth) * page + (1 << 10))?;
    let device = gm.device(0)?;
    let teeth = comb(&gm, &device, tooth * page)?;
    Ok((gm, teeth))
}

/// Fills the device with regions of so many bytes, then frees every other one. Gives those that stay.
fn comb(gm: &Gmem, device: &DeviceHandle, tooth: u64) -> Result<Vec<Vector<u8>>, Failure> {
    let page = gm.geometry().page.bytes();
    let teeth = u64::from(device.info().max_frames) * page / tooth;
    let mut all = Vec::new();
    for _ in 0..teeth {
        let mut vector = gm.alloc::<u8>(tooth as usize)?;
        vector.fill(1);
        vector.prefetch(device)?;
        all.push(vector);
    }
    let mut index = 0;
    all.retain(|_| {
        index += 1;
        index % 2 == 0
    });
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comb_leaves_half_of_the_frames_free_and_a_job_still_runs() {
        let Ok(gm) = Gmem::builder().device_memory(4 << 20).build() else {
            eprintln!("skipped: there is no adapter");
            return;
        };
        let page = gm.geometry().page.bytes();
        let device = gm.device(0).expect("it has one");
        let teeth = comb(&gm, &device, page).expect("it fits");
        let frames = gm.stats().devices[0].0;
        assert_eq!(frames.used as usize, teeth.len());
        assert!(frames.free >= frames.used && frames.free <= frames.used + 1);
        // Two pages do not lie together without an eviction.
        let job = jobs::triad::sized(30_000, 0);
        let mut ours = OnGmem::new(&gm, &job).expect("it fits");
        let before = gm.stats().counts;
        assert!(ours.verify().expect("it runs"));
        let counts = gm.stats().counts.since(&before);
        assert!(
            counts.evictions > 0 || counts.paged_bindings > 0,
            "{counts:?}"
        );
    }
}
