//! How a kernel is run: page size, budget, policy, placement, how often.

use gmem::{Placement, PolicyKind};

use super::chance::Chance;
use super::generate::generate;
use super::program::Program;

/// Bytes of a window's guards, for which the budget has to have room.
const GUARDS: u64 = 256;

/// Everything about a run but the kernel.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Bytes of a page.
    pub page: u64,
    /// Pages that the device's memory holds.
    pub frames: u64,
    pub policy: PolicyKind,
    pub placement: Placement,
    /// Launches, one after the other, over the same memory.
    pub launches: u32,
    /// Of the data.
    pub seed: u64,
}

impl Setting {
    /// Bytes of device memory.
    pub fn budget(&self) -> u64 {
        self.frames * self.page + GUARDS
    }
}

/// A kernel and how it is run.
#[derive(Clone, Debug)]
pub struct Case {
    pub program: Program,
    pub setting: Setting,
}

impl Case {
    /// What a seed stands for.
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance(seed ^ 0x5e77_1a65);
        let (page, few, many) = chance.weighted(&[
            (6, (4 << 10, 12, 96)),
            (4, (16 << 10, 8, 40)),
            (4, (64 << 10, 6, 16)),
            (1, (256 << 10, 4, 6)),
            (1, (2 << 20, 3, 3)),
        ]);
        let frames = u64::from(chance.within(few, many));
        // What may be bound, as a multiple of what the device holds.
        let times = match page {
            0x20_0000 => chance.within(1, 3),
            _ => chance.within(1, 8),
        };
        let setting = Setting {
            page,
            frames,
            policy: chance.pick(&PolicyKind::ALL),
            placement: chance.pick(&[Placement::Contiguous, Placement::Scattered]),
            launches: chance.weighted(&[(5, 1), (1, 2)]),
            seed,
        };
        Self {
            program: generate(seed, page * frames * u64::from(times)),
            setting,
        }
    }

    /// Whether the device's memory holds all that is bound.
    pub fn fits(&self) -> bool {
        let pages = |bytes: usize| (bytes as u64).div_ceil(self.setting.page);
        let needed: u64 = (self.program.buffers.iter())
            .map(|b| pages(b.memory()))
            .sum();
        needed <= self.setting.frames
    }

    /// Bytes that its kernel may bind, and what part of them the device holds.
    pub fn sizes(&self) -> String {
        let bytes: u64 = (self.program.buffers.iter())
            .map(|b| b.bytes() as u64)
            .sum();
        format!(
            "{bytes} bytes in buffers, {} of device memory",
            self.setting.budget()
        )
    }
}
