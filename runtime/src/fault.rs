//! The fault service: touches by CPU threads, in batches, sorted, once per page, served with their neighbours.

use std::sync::{Arc, Weak};

use gmem_hal::trace::What;
use gmem_hal::{Access, Cause, CpuFault, CpuFaultSink, Verdict};

use crate::counters::add;
use crate::space::Shared;

/// The manager's end of [`CpuFaultSink`].
pub(crate) struct Faults {
    shared: Weak<Shared>,
}

impl Faults {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::downgrade(shared),
        }
    }
}

impl CpuFaultSink for Faults {
    fn serve(&self, faults: &[CpuFault], verdicts: &mut Vec<Verdict>) {
        verdicts.clear();
        let Some(shared) = self.shared.upgrade() else {
            verdicts.resize(faults.len(), Verdict::Fail);
            return;
        };
        let began = shared.tracer.begin();
        let shift = shared.geometry.page.shift();
        // Sorted by page, writes first: one service per page is enough for all that touched it.
        let mut order: Vec<usize> = (0..faults.len()).collect();
        order.sort_unstable_by_key(|&i| {
            (
                faults[i].offset >> shift,
                core::cmp::Reverse(faults[i].access),
            )
        });
        verdicts.resize(faults.len(), Verdict::Fail);
        let mut last: Option<(u64, Verdict)> = None;
        for i in order {
            let page = faults[i].offset >> shift;
            let verdict = match last {
                Some((served, verdict)) if served == page => verdict,
                _ => serve_one(&shared, faults[i].offset, faults[i].access),
            };
            last = Some((page, verdict));
            verdicts[i] = verdict;
        }
        add(&shared.counters.cpu_faults, faults.len() as u64);
        shared.tracer.end(began, || What::CpuFaults {
            count: faults.len() as u64,
        });
    }
}

/// How often a page is tried again before its thread gets a signal.
const RETRIES: usize = 3;

/// Serves one page and, when touches are sequential, the pages after it in its block.
fn serve_one(shared: &Shared, offset: u64, access: Access) -> Verdict {
    let Some(region) = shared.regions.lock().at_offset(offset) else {
        return Verdict::Fail;
    };
    let page = offset >> shared.geometry.page.shift();
    let (number, i) = shared.blocks.locate(page);
    let per_block = shared.blocks.pages_per_block() as u64;
    let window = region.cpu_window(page, per_block);
    let end = shared
        .geometry
        .pages_of(region.range)
        .end
        .min(page - i as u64 + per_block)
        .min(page + window);
    match shared.host_access(number, page..end, access, Cause::Demand, Some(page + 1)) {
        Ok(()) => Verdict::Resume,
        // What failed may have been a neighbour, or may pass: the thread has nobody to tell, so try some more.
        Err(_) => {
            let again = || shared.host_access(number, page..page + 1, access, Cause::Demand, None);
            if (0..RETRIES).any(|_| again().is_ok()) {
                Verdict::Resume
            } else {
                Verdict::Fail
            }
        }
    }
}
