//! Kernels on simulated devices of which one workgroup touches more pages than a small device holds.

use std::sync::Arc;

use gmem_hal::Launch;
use gmem_runtime::{LaunchHandle, Region};
use gmem_sim::{SimKernel, loads, stores, updates};

use crate::common::rig::Rig;

/// Lanes of a workgroup, each of which looks at a page of its own.
pub const LANES: u64 = 64;

/// What a word of the data holds at first.
pub fn datum(i: u32) -> u32 {
    i.wrapping_mul(2_654_435_761)
}

/// out[i] = data[idx[i]]: a probe finds it.
pub fn gather() -> SimKernel {
    let bindings = vec![loads("idx"), loads("data"), stores("out")];
    SimKernel::new("gather", bindings, |t| {
        let first = u64::from(t.workgroup()[0]) * LANES;
        for i in first..first + LANES {
            let at = t.load::<u32>(0, i * 4)?;
            let value = t.load::<u32>(1, u64::from(at) * 4)?;
            t.store(2, i * 4, value)?;
        }
        Ok(())
    })
}

/// Each lane marks where it is led with a number that it draws: an attempt finds it.
pub fn draw() -> SimKernel {
    let bindings = vec![loads("idx"), updates("data"), updates("drawn")];
    SimKernel::new("draw", bindings, |t| {
        let first = u64::from(t.workgroup()[0]) * LANES;
        for i in first..first + LANES {
            let at = t.load::<u32>(0, i * 4)?;
            let number = t.atomic_add(2, 0, 1)?;
            let was = t.load::<u32>(1, u64::from(at) * 4)?;
            t.store(1, u64::from(at) * 4, was ^ number)?;
        }
        Ok(())
    })
    .resident_only("what it stores was drawn")
}

pub fn start(
    rig: &Rig,
    device: usize,
    kernel: SimKernel,
    bound: &[&Region],
    groups: u32,
) -> LaunchHandle {
    let launch = Launch {
        kernel: Arc::new(kernel),
        bound: bound.iter().map(|r| r.range()).collect(),
        values: Vec::new(),
        grid: [groups, 1, 1],
        reach: Vec::new(),
    };
    rig.space.launch(rig.devices[device].0, launch).unwrap()
}

/// The words of a region.
pub fn load(rig: &Rig, region: &Region) -> Vec<u32> {
    let bytes = rig.load(region.range()).unwrap();
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|w| u32::from_le_bytes(*w)).collect()
}
