//! P7: the round trip of a batch of device faults. A probe is submitted, runs the kernel's addresses, and its fault buffer is
//! mapped and read; against a submission by hand of a kernel that marks the same pages, mapped and read too.
//!
//! Nothing that the kernel reads is resident, so every lane stops at its first load: what is timed is the round trip.
//! That of a single workgroup is hand-overs and little else, so its threads, and the driver's, run on one core, as those of P10
//! do; where the waking of cores is in it, the ratio is what the scheduler makes of both sides.

use std::ops::Range;
use std::sync::Arc;

use gmem::gpu::WgpuKernel;
use gmem_hal::{ByteRange, Device as _, GridBox, Kernel, Launch, ProbeReport};

use super::baseline::Plain;
use super::baseline::marks::Marks;
use super::bed::{Bed, seconds};
use super::overhead::PLACED;
use super::row::Row;
use crate::cli::Failure;

/// What the ratio should be at most.
const GOAL: f64 = 1.3;
/// Lanes of a workgroup.
const GROUP: u64 = 64;

const WGSL: &str = "
@group(0) @binding(0) var<storage, read> index: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(64)
fn gather(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&out)) { out[id.x] = out[index[id.x] % arrayLength(&out)]; }
}";

/// A case: lanes, each of which stops at a word of its own, and round trips in a reading.
struct Case {
    name: &'static str,
    lanes: u64,
    trips: usize,
}

impl Case {
    /// Whether there is nothing for a second core to do at the same time.
    const fn on_one_core(&self) -> bool {
        self.lanes <= GROUP
    }
}

const CASES: [Case; 3] = [
    Case {
        name: "64 lanes",
        lanes: GROUP,
        trips: 256,
    },
    Case {
        name: "65,536 lanes",
        lanes: 1 << 16,
        trips: 16,
    },
    Case {
        name: "1,048,576 lanes",
        lanes: 1 << 20,
        trips: 2,
    },
];

/// A row for each case.
///
/// # Errors
/// When the device fails.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    for case in &CASES {
        if bed.is_known("P7", case.name) {
            continue;
        }
        // Threads inherit where their maker may run.
        #[cfg(target_os = "linux")]
        let _bound = (case.on_one_core())
            .then(super::cores::Cores::first)
            .transpose()?;
        let placed = if case.on_one_core() { PLACED } else { "" };
        let gm = bed.space(8 << 20)?;
        let handle = gm.device(0)?;
        let device = handle
            .gpu()
            .ok_or_else(|| Failure::run("a probe needs a GPU"))?;
        // Even a probe of which nothing is resident binds a window: this brings one.
        gm.alloc::<u32>(1)?.prefetch(&handle)?;
        let (index, out) = (
            gm.alloc::<u32>(case.lanes as usize)?,
            gm.alloc::<u32>(case.lanes as usize)?,
        );
        let geometry = gm.geometry();
        let bound = |at: gmem_hal::Va| ByteRange::new(at.0 - geometry.base.0, 4 * case.lanes);
        let kernel: Arc<dyn Kernel> =
            WgpuKernel::compile(device, WGSL, None, &[]).map_err(Failure::run)?;
        let grid = [(case.lanes / GROUP) as u32, 1, 1];
        let launch = Launch {
            kernel,
            bound: vec![bound(index.va()), bound(out.va())],
            values: Vec::new(),
            grid,
            reach: Vec::new(),
        };
        let boxes = [GridBox::whole(grid)];
        let shift = geometry.page.shift();
        let marks = Marks::new(&Plain::of(&gm)?, case.lanes, shift);
        let pages = 0..(4 * case.lanes).div_ceil(geometry.page.bytes()) as u32;
        let (mut right, mut theirs) = (true, true);
        let measured = bed.measure(
            &mut || {
                seconds(|| {
                    for _ in 0..case.trips {
                        let reports = device.probe(&launch, &boxes).map_err(Failure::run)?;
                        right &= probed(&reports, &pages);
                    }
                    Ok(())
                })
            },
            &mut || {
                seconds(|| {
                    for _ in 0..case.trips {
                        theirs &= marks.round_trip()?.into_iter().eq(pages.clone());
                    }
                    Ok(())
                })
            },
        )?;
        done(
            Row::timed("P7", case.name, "submit + copy + map by hand", measured)
                .goal(GOAL)
                .note(format!("{} round trips a reading{placed}", case.trips))
                .verified(right && theirs),
        );
    }
    Ok(())
}

/// Whether a probe stopped, having met all pages of the first binding and none of the other.
fn probed(reports: &[ProbeReport], pages: &Range<u32>) -> bool {
    let [report] = reports else { return false };
    let [index, out] = &report.touched[..] else {
        return false;
    };
    report.stopped
        && index.reads.iter().copied().eq(pages.clone())
        && index.writes.is_empty()
        && out.reads.is_empty()
        && out.writes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmem_hal::Touched;

    #[test]
    fn a_probe_is_right_when_it_met_just_these_pages() {
        let report = |reads: Vec<u32>, stopped| ProbeReport {
            stopped,
            touched: vec![
                Touched {
                    reads,
                    writes: Vec::new(),
                },
                Touched::default(),
            ],
        };
        assert!(probed(&[report(vec![0, 1], true)], &(0..2)));
        assert!(!probed(&[report(vec![0], true)], &(0..2)));
        assert!(!probed(&[report(vec![0, 1], false)], &(0..2)));
        assert!(!probed(&[], &(0..2)));
    }
}
