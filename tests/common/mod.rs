//! What the integration tests share: chance from a seed, host memories of every mechanism, simulated kernels with their
//! flat oracle, and a world in which random operations are checked against it.
#![allow(dead_code, reason = "every test uses a part of it")]

pub mod audit;
pub mod flat;
pub mod kernels;
pub mod rig;
pub mod world;

use std::sync::Arc;

use crate::skipped::skipped;

use gmem_hal::{HostMechanism, HostMemory, PlainHost};
use gmem_host::Choice;

/// Chance from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// From `lo` to `hi`, both included.
    pub fn within(&mut self, lo: u64, hi: u64) -> u64 {
        lo + self.below(hi - lo + 1)
    }

    /// True `percent` times of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
    }
}

/// A host memory to test on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// Ordinary memory at made-up addresses: touched through the alias, after bringing it home.
    Plain,
    /// The machine's own mappings, touched through pointers.
    Real(HostMechanism),
}

impl HostKind {
    /// Opens it, or says why that cannot be had here.
    pub fn open(self, bytes: u64) -> Result<Arc<dyn HostMemory>, String> {
        match self {
            Self::Plain => Ok(Arc::new(PlainHost::new(bytes))),
            Self::Real(mechanism) => match gmem_host::open(bytes, Choice::Only(mechanism)) {
                Ok(opened) => Ok(opened.host),
                Err(e) => Err(e.to_string()),
            },
        }
    }

    /// Whether touches are noticed; otherwise they must be bracketed.
    pub fn notices(self) -> bool {
        !matches!(self, Self::Plain | Self::Real(HostMechanism::Explicit))
    }

    /// Those of this machine, naming what is skipped. Explicit views are always there.
    pub fn available() -> Vec<Self> {
        let mut kinds = vec![Self::Plain];
        for (mechanism, there) in gmem_host::available() {
            match there {
                Ok(()) => kinds.push(Self::Real(mechanism)),
                Err(why) => skipped(format_args!("host mechanism {}: {why}", mechanism.name())),
            }
        }
        kinds
    }
}

/// The mechanism, if this machine has it; says so when not.
pub fn mechanism(mechanism: HostMechanism) -> Option<HostKind> {
    let kind = HostKind::Real(mechanism);
    HostKind::available().into_iter().find(|&k| k == kind)
}
