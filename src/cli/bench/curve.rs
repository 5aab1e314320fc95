//! P13: the oversubscription curve. The same work in less and less device memory, against the same work where all of it fits twice.
//!
//! The data are on the host when the clock starts, written by the CPU, and the CPU has read all results when it stops. Bytes are
//! those that moved in between, both ways. Both sides run in turn, each in a space of its own.

use gmem::Gmem;

use super::bed::{Bed, seconds};
use super::job::Job;
use super::jobs::triad;
use super::row::Row;
use super::workloads::{Again, Heat, Pagerank, Playing, Workload};
use crate::cli::Failure;
use crate::cli::args::Common;
use crate::cli::demo::budget::{Terms, settle};

/// Where all fits with room to spare: what the others are compared with.
const FITS: f64 = 0.5;
/// Data over device memory.
const FACTORS: [f64; 7] = [0.9, 1.1, 1.25, 1.5, 2.0, 4.0, 8.0];
/// The few of them of a quick run.
const QUICK: [f64; 3] = [1.25, 2.0, 8.0];

/// Bytes of device memory that may hold no data: what lies before each window's first frame.
const GUARDS: u64 = 4 << 10;

/// Bytes on a software adapter: of the triad, of the plate, of the graph. Readings are short, so that a machine whose speed
/// changes several times a second changes it for both sides of a pair.
const BYTES: [usize; 3] = [24 << 20, 8 << 20, 13 << 18];
/// Steps and iterations: each comes back to what the one before it left.
const STEPS: u32 = 2;

/// The workloads: a stream, an iteration over neighbours, an iteration over a random graph.
fn workloads(bed: &Bed<'_>) -> Result<Vec<Box<dyn Workload>>, Failure> {
    let seed = bed.common.seed;
    let [stream, plate, graph] = BYTES.map(|bytes| bytes * bed.scale());
    Ok(vec![
        Box::new(Again::new(triad::sized(stream / 12, seed), 1, three)),
        Box::new(Heat::sized(plate as u64, STEPS, seed)),
        Box::new(Pagerank::sized(graph as u64, STEPS, seed)?),
    ])
}

/// A workgroup of the triad lies within a page of each array.
const fn three(_: &Job, _: u64) -> u64 {
    3
}

/// One row for each workload and factor.
///
/// # Errors
/// When a launch fails.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    for workload in workloads(bed)? {
        let factors: &[f64] = if bed.quick { &QUICK } else { &FACTORS };
        for factor in factors {
            let case = format!("{} at {factor}x", workload.name());
            if !bed.is_known("P13", &case) {
                match row(bed, &*workload, *factor, &case)? {
                    Some(row) => done(row),
                    None => bed.leave_out(
                        "P13",
                        &format!("{case}: one workgroup needs as much memory as all the data, in pages as large as these"),
                    ),
                }
            }
        }
    }
    Ok(())
}

/// Nothing where the least memory that does is as much as what all of it fits in.
fn row(
    bed: &Bed<'_>,
    workload: &dyn Workload,
    factor: f64,
    case: &str,
) -> Result<Option<Row>, Failure> {
    let memory = |factor: f64| (workload.bytes() as f64 / factor) as u64;
    let common = Common {
        device_memory: Some(memory(factor)),
        ..bed.common.clone()
    };
    let terms = Terms {
        common: &common,
        name: workload.name(),
        data: workload.bytes(),
        overhead: GUARDS,
        raise: true,
    };
    let budget = settle(&terms, |page| workload.widest(page));
    if budget.memory >= memory(FITS) {
        return Ok(None);
    }
    let space = |memory| {
        let builder = bed.builder(memory).page_size(budget.page.bytes());
        Ok::<Gmem, Failure>(builder.build()?)
    };
    // The same pages on both sides, so that memory is all that differs.
    let (gm, plenty) = (space(budget.memory)?, space(memory(FITS))?);
    let (mut tight, mut easy) = (Side::new(&gm, workload)?, Side::new(&plenty, workload)?);
    let measured = bed.measure(&mut || tight.reading(), &mut || easy.reading())?;
    let mut row = Row::timed("P13", case, format!("the same at {FITS}x"), measured)
        .bytes(tight.moved)
        .baseline_bytes(easy.moved)
        .verified(tight.right() && easy.right());
    row.note = budget.note.unwrap_or_default();
    Ok(Some(row))
}

/// A workload in a space.
struct Side<'a> {
    gm: &'a Gmem,
    playing: Box<dyn Playing + 'a>,
    sum: Option<u64>,
    same: bool,
    /// Bytes that the last reading moved.
    moved: u64,
}

impl<'a> Side<'a> {
    fn new(gm: &'a Gmem, workload: &'a dyn Workload) -> Result<Self, Failure> {
        Ok(Self {
            gm,
            playing: workload.open(gm)?,
            sum: None,
            same: true,
            moved: 0,
        })
    }

    fn reading(&mut self) -> Result<f64, Failure> {
        self.playing.reset();
        let before = self.gm.stats().counts;
        let mut sum = 0;
        let took = seconds(|| {
            self.playing.play()?;
            sum = self.playing.sum();
            Ok(())
        })?;
        let counts = self.gm.stats().counts.since(&before);
        self.moved = [counts.host_to_device, counts.device_to_host]
            .iter()
            .flatten()
            .sum();
        // All readings come to the same, and the last one is compared word for word.
        self.same &= *self.sum.get_or_insert(sum) == sum;
        Ok(took)
    }

    fn right(&self) -> bool {
        self.same && self.playing.right()
    }
}
