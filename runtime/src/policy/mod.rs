//! Eviction policies: which frames of a device to take when it has no free one.
//!
//! A policy hears of every frame that is filled, touched and taken away, and gives hints when asked. One instance serves one
//! device. It may be wrong but never unsafe: whoever asks checks every hint, so that a policy that names a frame twice,
//! a frame that may not go, or one that does not exist costs time and nothing else ([`zeal`](PolicyKind::Zeal) does all of that).
//!
//! Key types: [`EvictionPolicy`], and [`PolicyKind`] to choose one by name. Absent: any knowledge of pages, of nodes
//! or of how a frame is emptied; locks (a policy is called with the device's own lock held and must not block).

mod clock;
mod list;
mod lru;
mod random;
#[cfg(test)]
mod tests;
mod zeal;

use gmem_hal::{Cause, FrameIndex};

pub use clock::Clock;
pub use lru::Lru;
pub use random::Random;
pub use zeal::Zeal;

/// Chooses the frames to take away. All of its methods are hints in both directions: telling it of a frame twice, or of
/// one it does not know, is harmless.
pub trait EvictionPolicy: Send {
    /// The name it is chosen by.
    fn name(&self) -> &'static str;

    /// A frame was filled, for this reason.
    fn inserted(&mut self, frame: FrameIndex, cause: Cause);

    /// A pass used the frame: the accessed bit.
    fn touched(&mut self, frame: FrameIndex);

    /// The frame holds nothing any more.
    fn removed(&mut self, frame: FrameIndex);

    /// Appends to `out` up to `want` frames for which `evictable` holds, best first; fewer when there are no more.
    /// It keeps them until it hears that they were [`removed`](EvictionPolicy::removed).
    fn victims(
        &mut self,
        want: usize,
        evictable: &dyn Fn(FrameIndex) -> bool,
        out: &mut Vec<FrameIndex>,
    );
}

/// The policies there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// The frame that was used longest ago.
    Lru,
    /// A hand that goes round and takes the first frame not used since it last passed.
    #[default]
    Clock,
    /// Any frame: the baseline that the others must beat.
    Random,
    /// As much as it can, in any order, with hints that are wrong: a test of whoever asks.
    Zeal,
}

impl PolicyKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Lru, Self::Clock, Self::Random, Self::Zeal];

    /// The name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lru => "lru",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Zeal => "zeal",
        }
    }
}

impl core::fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl core::str::FromStr for PolicyKind {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownPolicy {
                name: name.to_owned(),
            })
    }
}

/// No policy has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no eviction policy `{name}`: use lru, clock, random or zeal")]
pub struct UnknownPolicy {
    /// What was asked for.
    pub name: String,
}

/// A new policy for one device. The seed matters to those that draw lots.
#[must_use]
pub fn build(kind: PolicyKind, seed: u64) -> Box<dyn EvictionPolicy> {
    match kind {
        PolicyKind::Lru => Box::new(Lru::new()),
        PolicyKind::Clock => Box::new(Clock::new()),
        PolicyKind::Random => Box::new(Random::new(seed)),
        PolicyKind::Zeal => Box::new(Zeal::new(seed)),
    }
}
