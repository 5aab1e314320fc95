//! The stages whose output is the same in whatever order workgroups run: byte for byte what vello's CPU version leaves in
//! every binding.
//!
//! Those whose footprint is known before they run do so at 1, 2 and 8 times the device's memory. (An eighth of a stage's pages is
//! not always what one workgroup needs: then it runs in as few as that, which is said.) Those whose addresses come out of
//! workgroup memory or floating-point arithmetic, which no probe can reproduce, run where all that they bind is resident,
//! and are refused where it is not, with the reason.

use gmem::Error;
use gmem_runtime::LaunchError;

use crate::paging::{Job, difference, is_too_slow};
use crate::pipeline::stage;
use crate::scene::picture;
use crate::{adapters, factors, pages};

/// Runs a job in all page sizes and budgets.
pub fn paged(job: &Job<'_>, expected: &[Vec<u8>]) {
    for adapter in adapters::adapters() {
        if is_too_slow(&adapter, job.name) {
            continue;
        }
        for &page in pages(&adapter) {
            for &factor in factors(&adapter) {
                let all = job.pages(page);
                let what = format!("{adapter}, 1/{factor} of {all} pages of {page}");
                let outcome = job
                    .over(&adapter, page, factor)
                    .unwrap_or_else(|e| panic!("{what}: {}: {e}", job.name));
                if outcome.frames > (all / factor).max(1) {
                    println!(
                        "{what}: one workgroup of {} needs {}",
                        job.name, outcome.frames
                    );
                }
                if factor == 1 {
                    assert_eq!(outcome.passes, 1, "{what}: {}", job.name);
                }
                if let Some(difference) = difference(job, &outcome.storage, expected) {
                    panic!("{what}: {difference}");
                }
            }
        }
    }
}

/// Runs a job where all fits, and sees it refused for a reason that has these words where not; `compare` gets what it left.
pub fn resident(job: &Job<'_>, why: &str, compare: impl Fn(&[Vec<u8>])) {
    for adapter in adapters::adapters() {
        if is_too_slow(&adapter, job.name) {
            continue;
        }
        for &page in pages(&adapter) {
            for &factor in factors(&adapter) {
                let frames = (job.pages(page) / factor).max(1);
                let what = format!("{adapter}: {} in {frames} pages of {page}", job.name);
                match job.run(&adapter, page, frames) {
                    Ok(outcome) if factor == 1 => {
                        assert_eq!(outcome.passes, 1, "{what}");
                        compare(&outcome.storage);
                    }
                    Err(Error::Launch(LaunchError::MustBeResident {
                        reason,
                        needed_bytes,
                        capacity_bytes,
                        ..
                    })) if factor > 1 => {
                        assert!(reason.contains(why), "{what}: {reason}");
                        assert_eq!(capacity_bytes, frames * page, "{what}");
                        assert!(needed_bytes > capacity_bytes, "{what}");
                    }
                    Ok(_) => panic!("{what}: it runs now: compare what it gives"),
                    Err(e) => panic!("{what}: {e}"),
                }
            }
        }
    }
}

fn everywhere(name: &str) {
    let step = stage(&picture(1, 8000), name);
    paged(&step.job(), &step.after);
}

fn where_it_fits(name: &str, why: &str) {
    let step = stage(&picture(1, 8000), name);
    let job = step.job();
    resident(&job, why, |got| {
        if let Some(difference) = difference(&job, got, &step.after) {
            panic!("{difference}");
        }
    });
}

#[test]
fn pathtag_reduce() {
    everywhere("pathtag_reduce");
}

#[test]
fn pathtag_scan_small() {
    everywhere("pathtag_scan_small");
}

#[test]
fn bbox_clear() {
    everywhere("bbox_clear");
}

#[test]
fn draw_reduce() {
    everywhere("draw_reduce");
}

#[test]
fn path_count_setup() {
    everywhere("path_count_setup");
}

#[test]
fn path_tiling_setup() {
    everywhere("path_tiling_setup");
}

#[test]
fn draw_leaf() {
    where_it_fits("draw_leaf", "`sh_scratch`");
}

#[test]
fn clip_reduce() {
    where_it_fits("clip_reduce", "`sh_bic`");
}

#[test]
fn clip_leaf() {
    where_it_fits("clip_leaf", "`sh_bic`");
}

#[test]
fn backdrop_dyn() {
    where_it_fits("backdrop_dyn", "workgroupUniformLoad");
}

#[test]
fn path_tiling() {
    where_it_fits("path_tiling", "floating-point");
}
