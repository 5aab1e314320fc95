//! Replay: the accesses of a recorded run, off line, under any eviction policy and any amount of device memory.
//!
//! ```text
//! Recording ── accesses ──> Accesses (one per device) ── replay(frames, strategy) ──> Moved
//!                                                          ├─ Policy: the runtime's own, through EvictionPolicy (online)
//!                                                          └─ Belady: who knows the future (belady)
//! ```
//!
//! A pass is one access: all of its pages must be resident at once. Between passes the CPU and other devices take pages
//! away (a store) or make them clean (a load), and the user gives them up or forgets their content; all of this is in
//! the record and does not depend on who evicts what, so it is the same for every strategy.
//!
//! What is simulated is what the runtime does to pages: zeroes for a page that nobody ever touched, a copy for any other,
//! nothing home for a clean one. What is not: where frames lie. Under [`Placement::Scattered`](crate::Placement) that
//! changes nothing, and a replay of the recorded policy over the recorded frames moves exactly what was recorded, as long as
//! nothing failed and CPU threads did not race with passes (`tests/trace.rs` asserts it, for random runs on simulated
//! devices). Under `Contiguous` the runtime also evicts to make room for runs of frames, which no replay knows of: there it
//! fetches within a tenth of what was recorded.
//!
//! Policies replay what the runtime claimed: what passes needed, and what probes and prefetches fetched ahead of them.
//! Belady's optimum is over the passes alone: the least that anybody could have fetched for them.
//!
//! One limit of the record: while the CPU alone has a page it may store to it unseen, after a load that was seen. A
//! strategy that would have kept a copy on the device through that load is not charged for that store.
//!
//! Absent: I/O, time, threads.

mod accesses;
mod belady;
mod online;
#[cfg(test)]
mod tests;

use gmem_hal::{NodeId, counted};

pub use accesses::{Accesses, accesses};

use crate::policy::PolicyKind;

/// A device of a recorded run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFacts {
    /// The number of its address space in the record.
    pub space: u32,
    /// Its node there.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Its backend.
    pub backend: String,
    /// The policy that decided.
    pub policy: String,
    /// The most frames it had, those in the host's memory included.
    pub frames: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
    pub(crate) window_frames: u64,
    pub(crate) window_overhead: u64,
}

impl DeviceFacts {
    /// The frames that so many bytes of this device's memory would hold.
    #[must_use]
    pub fn frames_in(&self, bytes: u64) -> u64 {
        // As many whole windows as fit, and what the rest holds.
        let window = self
            .window_frames
            .saturating_mul(self.page_bytes)
            .saturating_add(self.window_overhead);
        let rest = (bytes % window).saturating_sub(self.window_overhead);
        (bytes / window).saturating_mul(self.window_frames) + rest / self.page_bytes
    }

    /// The least bytes of this device's memory that hold so many frames.
    #[must_use]
    pub fn bytes_for(&self, frames: u64) -> u64 {
        let windows = frames.div_ceil(self.window_frames);
        frames
            .saturating_mul(self.page_bytes)
            .saturating_add(windows.saturating_mul(self.window_overhead))
    }
}

/// Who decides which pages leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// One of the runtime's policies.
    Policy(PolicyKind),
    /// Belady's optimum: the page whose next use is farthest goes; among equals, a clean one.
    ///
    /// It minimises the pages fetched for the passes, over all strategies that bring pages when a pass needs them or
    /// earlier. (The exchange argument holds with passes that need many pages at once, since every page costs one fetch; a
    /// copy that will be taken away before its next use counts as never used again.) It does not minimise what goes home:
    /// a dirty page may leave where keeping it and fetching another one twice would have moved less in all.
    Belady,
}

impl Strategy {
    /// The runtime's policies, then the optimum.
    pub const ALL: [Self; PolicyKind::ALL.len() + 1] = {
        let mut all = [Self::Belady; PolicyKind::ALL.len() + 1];
        let mut i = 0;
        while i < PolicyKind::ALL.len() {
            all[i] = Self::Policy(PolicyKind::ALL[i]);
            i += 1;
        }
        all
    };

    /// The name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy(kind) => kind.name(),
            Self::Belady => "belady",
        }
    }
}

/// What was moved, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Copied to the device.
    pub fetched: u64,
    /// Copied home, for whatever reason.
    pub homed: u64,
    /// Filled with zeroes on the device, since nobody had touched them: no copy.
    pub zeroed: u64,
    /// Taken from the device to make room.
    pub evicted: u64,
}

impl Moved {
    /// Bytes copied to the device.
    #[must_use]
    pub const fn bytes_to_device(&self, page_bytes: u64) -> u64 {
        self.fetched.saturating_mul(page_bytes)
    }

    /// Bytes copied home.
    #[must_use]
    pub const fn bytes_home(&self, page_bytes: u64) -> u64 {
        self.homed.saturating_mul(page_bytes)
    }

    /// How many times what `best` fetched; `None` when only `best` fetched nothing.
    #[must_use]
    pub fn fetched_ratio(&self, best: &Self) -> Option<f64> {
        ratio(self.fetched, best.fetched)
    }

    /// How many times what `best` moved in both directions; `None` when only `best` moved nothing.
    #[must_use]
    pub fn moved_ratio(&self, best: &Self) -> Option<f64> {
        ratio(self.fetched + self.homed, best.fetched + best.homed)
    }
}

fn ratio(mine: u64, best: u64) -> Option<f64> {
    match (mine, best) {
        (0, 0) => Some(1.0),
        (_, 0) => None,
        _ => Some(mine as f64 / best as f64),
    }
}

/// Why a record cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The recorder was full.
    #[error(
        "the trace is not whole: {} left out when the recorder was full; record a shorter run, or fewer repetitions",
        counted(*dropped, "event")
    )]
    Incomplete {
        /// Events left out.
        dropped: u64,
    },
    /// There is no device in it.
    #[error(
        "the trace has no device in it: record a run that attaches one, with `--trace` before anything is launched"
    )]
    NoDevice,
    /// What it says contradicts itself.
    #[error("the trace is damaged: {reason}; record it again")]
    Damaged {
        /// What does not hold together.
        reason: String,
    },
    /// One pass does not fit.
    #[error(
        "pass {pass} uses {} at once, and there would be {frames} frames: replay it with at least {needed_bytes} bytes of device memory",
        counted(*pages, "page")
    )]
    TooLarge {
        /// The number of the pass, from 1 on.
        pass: u64,
        /// Pages that it uses.
        pages: u64,
        /// Frames that there would be.
        frames: u64,
        /// Bytes of device memory that would do.
        needed_bytes: u64,
    },
}

/// Replays accesses over so many frames. The seed matters to policies that draw lots.
///
/// # Errors
/// [`ReplayError::TooLarge`] when a pass needs more pages than there would be frames.
pub fn replay(
    accesses: &Accesses,
    frames: u64,
    strategy: Strategy,
    seed: u64,
) -> Result<Moved, ReplayError> {
    accesses.check_fits(frames)?;
    // Nothing changes once there is a frame for every page.
    let frames = frames.min(accesses.pages() as u64) as u32;
    Ok(match strategy {
        Strategy::Policy(kind) => online::run(accesses, frames, kind, seed),
        Strategy::Belady => belady::run(accesses, frames),
    })
}
