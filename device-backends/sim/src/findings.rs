//! What a probe finds about one box.

use std::collections::BTreeSet;

use gmem_hal::{ProbeReport, Touched};

/// What the workgroups of one box touched of one binding.
#[derive(Debug, Default)]
struct Pages {
    reads: BTreeSet<u32>,
    writes: BTreeSet<u32>,
}

/// What the workgroups of one box touched.
#[derive(Debug)]
pub(crate) struct Findings {
    bindings: Vec<Pages>,
    stopped: bool,
}

impl Findings {
    pub(crate) fn new(bindings: usize) -> Self {
        Self {
            bindings: (0..bindings).map(|_| Pages::default()).collect(),
            stopped: false,
        }
    }

    /// Notes pages of a binding.
    pub(crate) fn touch(&mut self, binding: usize, stored: bool, pages: impl Iterator<Item = u32>) {
        let touched = &mut self.bindings[binding];
        let set = if stored {
            &mut touched.writes
        } else {
            &mut touched.reads
        };
        set.extend(pages);
    }

    /// Notes that a workgroup could not go on, or missed a page.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }

    pub(crate) fn report(self) -> ProbeReport {
        let sorted = |pages: BTreeSet<u32>| pages.into_iter().collect();
        ProbeReport {
            stopped: self.stopped,
            touched: self
                .bindings
                .into_iter()
                .map(|pages| Touched {
                    reads: sorted(pages.reads),
                    writes: sorted(pages.writes),
                })
                .collect(),
        }
    }
}
