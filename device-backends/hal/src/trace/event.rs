//! The kinds of events, and the words they are made of.

use std::sync::Arc;

use crate::{Access, Cause, NodeId};

/// Adjacent pages that were used in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageRun {
    /// The first, counted from the base of the space.
    pub first: u64,
    /// How many.
    pub count: u32,
    /// What was done with them.
    pub access: Access,
}

impl PageRun {
    /// Adds a range of pages to some runs, in pieces where it is longer than one run can say.
    pub fn push(runs: &mut Vec<Self>, pages: std::ops::Range<u64>, access: Access) {
        let mut first = pages.start;
        while first < pages.end {
            let count = u32::try_from(pages.end - first).unwrap_or(u32::MAX);
            runs.push(Self {
                first,
                count,
                access,
            });
            first += u64::from(count);
        }
    }

    /// Sorted pages with their accesses as runs.
    #[must_use]
    pub fn of(pages: &[(u64, Access)]) -> Vec<Self> {
        let mut runs = Vec::new();
        for run in pages.chunk_by(|a, b| a.0 + 1 == b.0 && a.1 == b.1) {
            Self::push(&mut runs, run[0].0..run[0].0 + run.len() as u64, run[0].1);
        }
        runs
    }

    /// The pages.
    #[must_use]
    pub fn pages(&self) -> std::ops::Range<u64> {
        self.first..self.first.saturating_add(u64::from(self.count))
    }
}

/// The direction of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the host to a device.
    ToDevice,
    /// From a device to the host.
    Home,
}

impl Direction {
    /// The name used in traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ToDevice => "to_device",
            Self::Home => "home",
        }
    }
}

/// What a thread waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitFor {
    /// Work that the device was given.
    Device,
    /// The end of a pass that holds a page.
    Claim,
}

impl WaitFor {
    /// The name used in traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Claim => "claim",
        }
    }
}

/// A device as it was attached, and who decides there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachFacts {
    /// Its name.
    pub name: String,
    /// Its backend.
    pub backend: String,
    /// Its eviction policy.
    pub policy: String,
    /// The most frames it will ever have.
    pub frames: u32,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// See [`crate::DeviceInfo::window_frames`].
    pub window_frames: u32,
    /// See [`crate::DeviceInfo::window_overhead`].
    pub window_overhead: u64,
}

/// What an event was. Spans unless they say otherwise.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A launch, on its device's worker.
    Launch {
        /// The device.
        node: NodeId,
        /// The kernel.
        kernel: Arc<str>,
        /// Workgroups of the whole grid.
        workgroups: u64,
    },
    /// One submission that ran workgroups, from the call to its return.
    Pass {
        /// The device.
        node: NodeId,
        /// The kernel.
        kernel: Arc<str>,
        /// Workgroups that it ran.
        workgroups: u64,
        /// The pages that it may have used. A page may be in one run that reads and one that writes.
        uses: Vec<PageRun>,
    },
    /// Pages made resident and held until the device's next [`What::Release`]: those that were not held already, or
    /// now are for writing too.
    Claim {
        /// The device.
        node: NodeId,
        /// Why.
        cause: Cause,
        /// The pages, ascending.
        uses: Vec<PageRun>,
    },
    /// All pages that a device held were let go. A moment.
    Release {
        /// The device.
        node: NodeId,
        /// Whether a pass used them.
        used: bool,
    },
    /// One submission that probed.
    Probe {
        /// The device.
        node: NodeId,
        /// The kernel.
        kernel: Arc<str>,
        /// Boxes that it probed.
        boxes: u64,
    },
    /// A batch of touches by CPU threads.
    CpuFaults {
        /// How many.
        count: u64,
    },
    /// Pages brought home for the CPU, which may now read, or write, them: copies that devices have are clean, or gone.
    HostAccess {
        /// Why.
        cause: Cause,
        /// The pages.
        uses: Vec<PageRun>,
    },
    /// Pages whose content was forgotten: they read as zero. A moment.
    Discard {
        /// The pages.
        pages: Vec<PageRun>,
    },
    /// Pages that a device was told to give up.
    GiveUp {
        /// The device.
        node: NodeId,
        /// The pages.
        pages: Vec<PageRun>,
    },
    /// One call that copied.
    Copy {
        /// The device.
        node: NodeId,
        /// Which way.
        direction: Direction,
        /// Bytes by cause.
        moved: Vec<(Cause, u64)>,
        /// Adjacent pieces that it was made of.
        runs: u64,
    },
    /// One call that filled new copies with zeroes.
    Zero {
        /// The device.
        node: NodeId,
        /// How many.
        pages: u64,
    },
    /// Frames taken from pages for others.
    Evict {
        /// The device.
        node: NodeId,
        /// How many.
        pages: u64,
    },
    /// A thread waited.
    Wait {
        /// For what.
        on: WaitFor,
    },
    /// A device was attached.
    Attach {
        /// Its node.
        node: NodeId,
        /// What it is.
        facts: Box<AttachFacts>,
    },
    /// A device was asked for more memory.
    Grow {
        /// The device.
        node: NodeId,
        /// Frames that it gave.
        frames: u64,
    },
    /// Frames in the host's memory that a device had beside its own, from the first to the return of them all.
    Remote {
        /// The device.
        node: NodeId,
        /// The most of them at once.
        frames: u64,
    },
    /// A kernel was translated and compiled for the way a pass or a probe reaches its memory.
    Compile {
        /// The kernel.
        kernel: Arc<str>,
    },
    /// Work as the device's own clock saw it.
    Gpu {
        /// The kernel.
        kernel: Arc<str>,
        /// Whether it was a probe.
        probe: bool,
    },
}

impl What {
    /// Every kind of event.
    pub const KINDS: [&'static str; 18] = [
        "launch",
        "pass",
        "claim",
        "release",
        "probe",
        "cpu_faults",
        "host_access",
        "discard",
        "give_up",
        "copy",
        "zero",
        "evict",
        "wait",
        "attach",
        "grow",
        "gpu",
        "compile",
        "remote",
    ];

    /// The kind, as traces have it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        Self::KINDS[match self {
            Self::Launch { .. } => 0,
            Self::Pass { .. } => 1,
            Self::Claim { .. } => 2,
            Self::Release { .. } => 3,
            Self::Probe { .. } => 4,
            Self::CpuFaults { .. } => 5,
            Self::HostAccess { .. } => 6,
            Self::Discard { .. } => 7,
            Self::GiveUp { .. } => 8,
            Self::Copy { .. } => 9,
            Self::Zero { .. } => 10,
            Self::Evict { .. } => 11,
            Self::Wait { .. } => 12,
            Self::Attach { .. } => 13,
            Self::Grow { .. } => 14,
            Self::Gpu { .. } => 15,
            Self::Compile { .. } => 16,
            Self::Remote { .. } => 17,
        }]
    }

    /// The device that it is about, if one.
    #[must_use]
    pub const fn node(&self) -> Option<NodeId> {
        match self {
            Self::Launch { node, .. }
            | Self::Pass { node, .. }
            | Self::Claim { node, .. }
            | Self::Release { node, .. }
            | Self::Probe { node, .. }
            | Self::GiveUp { node, .. }
            | Self::Copy { node, .. }
            | Self::Zero { node, .. }
            | Self::Evict { node, .. }
            | Self::Attach { node, .. }
            | Self::Grow { node, .. }
            | Self::Remote { node, .. } => Some(*node),
            Self::CpuFaults { .. }
            | Self::HostAccess { .. }
            | Self::Discard { .. }
            | Self::Wait { .. }
            | Self::Gpu { .. }
            | Self::Compile { .. } => None,
        }
    }

    /// What it counts against a recorder's limit: itself and its runs.
    pub(super) fn units(&self) -> usize {
        1 + match self {
            Self::Pass { uses, .. } | Self::Claim { uses, .. } | Self::HostAccess { uses, .. } => {
                uses.len()
            }
            Self::Discard { pages } | Self::GiveUp { pages, .. } => pages.len(),
            Self::Copy { moved, .. } => moved.len(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_runs_of_one_access() {
        use Access::{Read, Write};
        let runs = PageRun::of(&[(1, Read), (2, Read), (3, Write), (5, Write), (6, Write)]);
        let flat: Vec<_> = runs.iter().map(|r| (r.pages(), r.access)).collect();
        assert_eq!(flat, [(1..3, Read), (3..4, Write), (5..7, Write)]);
        let mut long = Vec::new();
        PageRun::push(&mut long, 7..7 + (1 << 32), Read);
        assert_eq!(long.len(), 2);
        assert_eq!(
            long.iter().map(|r| u64::from(r.count)).sum::<u64>(),
            1 << 32
        );
        assert_eq!(long[1].pages().end, 7 + (1 << 32));
    }
}
