//! P5: bytes moved where pages are used again, for every eviction policy, against Belady's optimum over the trace of the
//! very run that is judged.
//!
//! The optimum is of pages fetched: where fetching one more page saves taking two dirty ones home, a policy may move fewer
//! bytes than it (ratios a little below 1). Nothing is timed. What is counted is what moved between the first launch and the end of the last, both ways.

use gmem::PolicyKind;
use gmem::hal::PageSize;
use gmem::hal::trace::{Recorder, Tracer};
use gmem_runtime::replay::{self, Strategy};

use super::bed::Bed;
use super::jobs;
use super::row::Row;
use super::workloads::{Again, Heat, Pagerank, Workload};
use crate::cli::demo::{heat, pagerank};
use crate::cli::{Failure, note, size};

/// Data over device memory; a quick run has every other.
const FACTORS: [f64; 4] = [1.25, 1.5, 2.0, 4.0];
/// Up to this factor there is a goal.
const GOAL_UP_TO: f64 = 2.0;
const GOAL: f64 = 1.10;
/// Those that are meant for use: `zeal` is there to test the manager.
const POLICIES: [PolicyKind; 3] = [PolicyKind::Lru, PolicyKind::Clock, PolicyKind::Random];

/// Launches of those that are one launch.
const LAUNCHES: u32 = 2;

/// Elements gathered, at random, out of so many.
const GATHERED: usize = 1 << 14;
const OUT_OF: usize = 4 << 20;

fn workloads(bed: &Bed<'_>) -> Result<Vec<Box<dyn Workload>>, Failure> {
    let (scale, seed) = (bed.scale(), bed.common.seed);
    // Tall, so that the factor that every workgroup goes through is a small part of the data.
    let gemm = jobs::gemm::sized(4096 * scale, 256, 256, seed);
    let gather = jobs::gather::sized(GATHERED * scale, OUT_OF * scale, seed);
    Ok(vec![
        Box::new(Heat::sized((16 << 20) * scale as u64, heat::STEPS, seed)),
        Box::new(Again::new(gemm, LAUNCHES, jobs::gemm::widest)),
        Box::new(Pagerank::sized(
            (8 << 20) * scale as u64,
            pagerank::ITERATIONS,
            seed,
        )?),
        Box::new(Again::new(gather, LAUNCHES, jobs::gather::widest)),
    ])
}

/// The largest page, the default at most, of which twice what one workgroup touches fits.
fn page_for(workload: &dyn Workload, memory: u64) -> u64 {
    let mut page = PageSize::default().bytes();
    while page > PageSize::MIN.bytes() && 2 * workload.widest(page) * page > memory {
        page /= 2;
    }
    page
}

/// One row for each workload, factor and policy.
///
/// # Errors
/// When a launch fails, or a replay.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    if bed.common.tracer.is_on() {
        note("note: P5 records each of its runs by itself: the trace has nothing of them");
    }
    for workload in workloads(bed)? {
        for factor in FACTORS
            .into_iter()
            .skip(usize::from(bed.quick))
            .step_by(if bed.quick { 2 } else { 1 })
        {
            for policy in POLICIES {
                done(row(bed, &*workload, factor, policy)?);
            }
        }
    }
    Ok(())
}

fn row(
    bed: &Bed<'_>,
    workload: &dyn Workload,
    factor: f64,
    policy: PolicyKind,
) -> Result<Row, Failure> {
    let memory = (workload.bytes() as f64 / factor) as u64;
    let page = page_for(workload, memory);
    let recorder = Recorder::new();
    let gm = bed
        .builder(memory)
        .page_size(page)
        .policy(policy)
        .trace(Tracer::to(&recorder))
        .build()?;
    let mut playing = workload.open(&gm)?;
    playing.play()?;
    let recording = recorder.take();
    let verified = playing.right();
    drop(playing);

    let case = format!("{} at {factor}x, {policy}", workload.name());
    let complete = recording.dropped == 0;
    let accesses = replay::accesses(&recording).map_err(Failure::run)?;
    let accesses = accesses
        .first()
        .ok_or_else(|| Failure::run(format!("{case}: nothing was recorded")))?;
    let device = accesses.device();
    let moved =
        |m: replay::Moved| m.bytes_to_device(device.page_bytes) + m.bytes_home(device.page_bytes);
    let best = replay::replay(accesses, device.frames, Strategy::Belady, bed.common.seed)
        .map_err(Failure::run)?;
    let (ours, best) = (moved(accesses.recorded()), moved(best));
    let row = Row::counted(
        "P5",
        case,
        "Belady over the same trace",
        ours as f64,
        best as f64,
    )
    .bytes(ours)
    .baseline_bytes(best)
    .verified(verified && complete)
    .note(format!("pages of {}", size::show(page)));
    Ok(if factor <= GOAL_UP_TO {
        row.goal(GOAL)
    } else {
        row
    })
}
