//! What one device did in a record, in the form that replays go through: pages that it ever used are numbered densely
//! in the order of their addresses, so that a run of pages is a range of numbers.

use std::ops::Range;

use gmem_hal::trace::{AttachFacts, Direction, Event, PageRun, Recording, What};
use gmem_hal::{Access, Cause, NodeId};

use super::{DeviceFacts, Moved, ReplayError};

/// The most pages that one device may have used: beyond it the numbers in a file cannot be true.
const MOST_PAGES: u64 = 1 << 27;

/// Ranges of page numbers with what was done to them: ascending and disjoint, the stronger access where both were meant.
pub(super) type Uses = Vec<(Range<u32>, Access)>;

/// One thing that happened, as the device sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Made resident and held until the next release.
    Claim { cause: Cause, uses: Uses },
    /// Used by a pass, at once.
    Pass { uses: Uses },
    /// What was held is let go; whether a pass used it.
    Release { used: bool },
    /// Loaded or stored by another node.
    Other { uses: Uses },
    /// The content was forgotten.
    Discard { uses: Uses },
    /// The user told the device to give it up.
    GiveUp { uses: Uses },
}

/// The accesses of one device of a recorded run, and of all others to the same pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accesses {
    device: DeviceFacts,
    recorded: Moved,
    /// The pages that the device ever used, ascending: a number is an index.
    pages: Vec<u64>,
    pub(super) steps: Vec<Step>,
}

impl Accesses {
    /// The device.
    #[must_use]
    pub const fn device(&self) -> &DeviceFacts {
        &self.device
    }

    /// What the recorded run itself moved on this device.
    #[must_use]
    pub const fn recorded(&self) -> Moved {
        self.recorded
    }

    /// How many pages the device ever used.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// How many passes it ran.
    #[must_use]
    pub fn passes(&self) -> u64 {
        let passes = self.steps.iter().filter(|s| matches!(s, Step::Pass { .. }));
        passes.count() as u64
    }

    /// The most pages that one pass used.
    #[must_use]
    pub fn widest_pass(&self) -> u64 {
        self.widths().max().unwrap_or(0)
    }

    fn widths(&self) -> impl Iterator<Item = u64> + '_ {
        self.steps.iter().filter_map(|step| match step {
            Step::Pass { uses } => Some(count(uses)),
            _ => None,
        })
    }

    pub(super) fn check_fits(&self, frames: u64) -> Result<(), ReplayError> {
        match self.widths().enumerate().find(|(_, pages)| *pages > frames) {
            None => Ok(()),
            Some((pass, _)) => {
                let pages = self.widest_pass();
                Err(ReplayError::TooLarge {
                    pass: pass as u64 + 1,
                    pages: self.widths().nth(pass).unwrap_or(pages),
                    frames,
                    needed_bytes: self.device.bytes_for(pages),
                })
            }
        }
    }

    /// Whether two adjacent numbers are adjacent pages.
    pub(super) fn adjacent(&self, number: u32) -> bool {
        let at = number as usize;
        self.pages[at] + 1 == self.pages[at + 1]
    }

    /// The numbers of the pages of some runs that the device ever used.
    fn numbers(&self, runs: &[(Range<u64>, Access)]) -> Uses {
        let at = |page: u64| self.pages.partition_point(|&p| p < page) as u32;
        runs.iter()
            .map(|(pages, access)| (at(pages.start)..at(pages.end), *access))
            .filter(|(numbers, _)| !numbers.is_empty())
            .collect()
    }
}

/// How many pages.
pub(super) fn count(uses: &Uses) -> u64 {
    uses.iter().map(|(r, _)| u64::from(r.end - r.start)).sum()
}

/// Runs in any order, sorted and made disjoint: the stronger access where both were meant.
pub(super) fn normalized(runs: &[PageRun]) -> Vec<(Range<u64>, Access)> {
    // Where reading and writing begin (+1) and end (-1).
    let mut edges: Vec<(u64, [i64; 2])> = Vec::with_capacity(2 * runs.len());
    for run in runs {
        let pages = run.pages();
        let mut by = [0, 0];
        by[run.access as usize] = 1;
        edges.push((pages.start, by));
        edges.push((pages.end, by.map(|n| -n)));
    }
    edges.sort_unstable_by_key(|e| e.0);
    let mut out: Vec<(Range<u64>, Access)> = Vec::new();
    let (mut open, mut start) = ([0, 0], 0);
    for (page, by) in edges {
        let access = if open[Access::Write as usize] > 0 {
            Some(Access::Write)
        } else {
            (open[Access::Read as usize] > 0).then_some(Access::Read)
        };
        if let Some(access) = access.filter(|_| start < page) {
            match out.last_mut() {
                Some((last, was)) if last.end == start && *was == access => last.end = page,
                _ => out.push((start..page, access)),
            }
        }
        open = [open[0] + by[0], open[1] + by[1]];
        start = page;
    }
    out
}

/// Every device of every space in a record.
///
/// # Errors
/// When events were left out, there is no device, or the numbers cannot be true.
pub fn accesses(recording: &Recording) -> Result<Vec<Accesses>, ReplayError> {
    if recording.dropped > 0 {
        return Err(ReplayError::Incomplete {
            dropped: recording.dropped,
        });
    }
    let attached = recording.events.iter().filter_map(|e| match &e.what {
        What::Attach { node, facts } => Some((e.space, *node, facts)),
        _ => None,
    });
    let found: Vec<Accesses> = attached
        .map(|(space, node, facts)| of_device(recording, device(space, node, facts)?))
        .collect::<Result<_, _>>()?;
    if found.is_empty() {
        return Err(ReplayError::NoDevice);
    }
    Ok(found)
}

fn device(space: u32, node: NodeId, facts: &AttachFacts) -> Result<DeviceFacts, ReplayError> {
    if facts.page_bytes == 0 || facts.window_frames == 0 {
        let reason = format!("device {} of space {space} has pages of nothing", node.0);
        return Err(ReplayError::Damaged { reason });
    }
    Ok(DeviceFacts {
        space,
        node,
        name: facts.name.clone(),
        backend: facts.backend.clone(),
        policy: facts.policy.clone(),
        frames: u64::from(facts.frames),
        page_bytes: facts.page_bytes,
        window_frames: u64::from(facts.window_frames),
        window_overhead: facts.window_overhead,
    })
}

fn of_device(recording: &Recording, device: DeviceFacts) -> Result<Accesses, ReplayError> {
    let (space, node) = (device.space, device.node);
    let events = || recording.events.iter().filter(move |e| e.space == space);
    let used: Vec<PageRun> = events()
        .filter_map(|e| match &e.what {
            What::Pass { node: of, uses, .. } | What::Claim { node: of, uses, .. } => {
                (*of == node).then_some(uses)
            }
            _ => None,
        })
        .flatten()
        // How they were used does not matter here.
        .map(|run| PageRun {
            access: Access::Read,
            ..*run
        })
        .collect();
    let used = normalized(&used);
    let pages: u64 = used.iter().map(|(r, _)| r.end - r.start).sum();
    if pages > MOST_PAGES {
        let reason = format!("a device used {pages} pages, which is beyond any memory");
        return Err(ReplayError::Damaged { reason });
    }
    let remote = events().filter_map(|e| match e.what {
        What::Remote { node: of, frames } if of == node => Some(frames),
        _ => None,
    });
    // For the workgroups that needed them: a replay knows of one kind of frames.
    let frames = device.frames.saturating_add(remote.max().unwrap_or(0));
    let device = DeviceFacts { frames, ..device };
    let mut accesses = Accesses {
        recorded: moved(events(), node, device.page_bytes),
        device,
        pages: used.into_iter().flat_map(|(r, _)| r).collect(),
        steps: Vec::new(),
    };
    for event in events() {
        accesses.add(node, &event.what);
    }
    Ok(accesses)
}

impl Accesses {
    fn add(&mut self, node: NodeId, what: &What) {
        let numbers = |runs: &[PageRun]| self.numbers(&normalized(runs));
        let step = match what {
            What::Claim {
                node: of,
                cause,
                uses,
            } if *of == node => Step::Claim {
                cause: *cause,
                uses: numbers(uses),
            },
            What::Pass { node: of, uses, .. } if *of == node => Step::Pass {
                uses: numbers(uses),
            },
            What::Release { node: of, used } if *of == node => Step::Release { used: *used },
            What::GiveUp { node: of, pages } if *of == node => Step::GiveUp {
                uses: numbers(pages),
            },
            // Another device's claim is to this one what the CPU's access is.
            What::HostAccess { uses, .. } | What::Claim { uses, .. } => Step::Other {
                uses: numbers(uses),
            },
            What::Discard { pages } => Step::Discard {
                uses: numbers(pages),
            },
            _ => return,
        };
        if let Step::Other { uses } | Step::Discard { uses } | Step::GiveUp { uses } = &step
            && uses.is_empty()
        {
            return;
        }
        self.steps.push(step);
    }
}

/// What the run moved itself.
fn moved<'e>(events: impl Iterator<Item = &'e Event>, of: NodeId, page_bytes: u64) -> Moved {
    let mut moved = Moved::default();
    for event in events {
        match &event.what {
            What::Copy {
                node,
                direction,
                moved: bytes,
                ..
            } if *node == of => {
                let bytes = bytes.iter().fold(0, |sum: u64, b| sum.saturating_add(b.1));
                let pages = match direction {
                    Direction::ToDevice => &mut moved.fetched,
                    Direction::Home => &mut moved.homed,
                };
                *pages = pages.saturating_add(bytes / page_bytes);
            }
            What::Zero { node, pages } if *node == of => {
                moved.zeroed = moved.zeroed.saturating_add(*pages);
            }
            What::Evict { node, pages } if *node == of => {
                moved.evicted = moved.evicted.saturating_add(*pages);
            }
            _ => {}
        }
    }
    moved
}
