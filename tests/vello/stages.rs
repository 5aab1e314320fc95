//! The stages whose output is the same in whatever order workgroups run: byte for byte what vello's CPU version leaves in
//! every binding.
//!
//! All of them run at 1, 2 and 8 times the device's memory: those whose footprint is known before they run in passes, those whose
//! addresses come out of workgroup memory or floating-point arithmetic, which no probe can reproduce, in attempts. (An eighth of
//! a stage's pages is not always what one workgroup needs: then it runs in as few as that, which is said.)

use crate::paging::{Job, difference, is_too_slow};
use crate::pipeline::stage;
use crate::scene::picture;
use crate::{adapters, factors, pages};

/// Runs a job in all page sizes and budgets; `compare` gets what it left, and what it was run in.
pub fn paged(job: &Job<'_>, compare: impl Fn(&[Vec<u8>], &str)) {
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
                compare(&outcome.storage, &what);
            }
        }
    }
}

fn everywhere(name: &str) {
    let step = stage(&picture(1, 8000), name);
    let job = step.job();
    paged(&job, |got, what| {
        if let Some(difference) = difference(&job, got, &step.after) {
            panic!("{what}: {difference}");
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
    everywhere("draw_leaf");
}

#[test]
fn clip_reduce() {
    everywhere("clip_reduce");
}

#[test]
fn clip_leaf() {
    everywhere("clip_leaf");
}

#[test]
fn backdrop_dyn() {
    everywhere("backdrop_dyn");
}

#[test]
fn path_tiling() {
    everywhere("path_tiling");
}
