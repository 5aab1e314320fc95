//! A small space for directed tests: pages of 4 KiB, simulated devices, content reached through the alias.

use std::sync::Arc;

use gmem_hal::{Access, ByteRange, Cause, HostMemory, Launch, NodeId, PageSize, PlainHost};
use gmem_runtime::policy::{PolicyKind, build};
use gmem_runtime::{AddressSpace, LaunchError, MoveError, Placement, Region};
use gmem_sim::{SimDevice, SimOptions};

use super::kernels::{Kind, Shape, kernel};

/// The page of a [`Rig`].
pub const PAGE: u64 = 4096;

/// A space over a host memory with simulated devices of so many frames each.
pub struct Rig {
    pub space: AddressSpace,
    pub devices: Vec<(NodeId, Arc<SimDevice>)>,
}

impl Rig {
    /// Over this host memory, with devices of so many frames.
    pub fn new(host: Arc<dyn HostMemory>, frames: &[u64]) -> Self {
        Self::remote(host, frames, 0)
    }

    /// The same, where each device may have so many remote frames too.
    pub fn remote(host: Arc<dyn HostMemory>, frames: &[u64], remote: u64) -> Self {
        let space = AddressSpace::new(host, PageSize::MIN).unwrap();
        let devices = frames
            .iter()
            .map(|&frames| {
                let device = Arc::new(SimDevice::new(SimOptions {
                    capacity_bytes: frames * PAGE,
                    window_bytes: 4 * PAGE,
                    remote_bytes: remote * PAGE,
                    ..SimOptions::default()
                }));
                let policy = build(PolicyKind::Lru, 0);
                let attached = space
                    .attach(Arc::clone(&device) as _, policy, Placement::Contiguous)
                    .unwrap();
                (attached.node, device)
            })
            .collect();
        Self { space, devices }
    }

    /// Over plain memory.
    pub fn plain(frames: &[u64]) -> Self {
        Self::new(Arc::new(PlainHost::new(8 << 20)), frames)
    }

    /// Writes all of a region, and answers with what.
    pub fn fill(&self, region: &Region, byte: impl Fn(usize) -> u8) -> Result<Vec<u8>, MoveError> {
        self.space
            .bring_home(region.range(), Access::Write, Cause::UserCopy)?;
        let bytes: Vec<u8> = (0..region.range().len as usize).map(byte).collect();
        self.space.host().write_bytes(region.range().offset, &bytes);
        Ok(bytes)
    }

    /// Reads bytes.
    pub fn load(&self, range: ByteRange) -> Result<Vec<u8>, MoveError> {
        self.space
            .bring_home(range, Access::Read, Cause::UserCopy)?;
        let mut bytes = vec![0; range.len as usize];
        self.space.host().read_bytes(range.offset, &mut bytes);
        Ok(bytes)
    }

    /// Runs a kernel over whole regions.
    pub fn launch(
        &self,
        device: usize,
        kind: Kind,
        bound: &[&Region],
        shape: Shape,
        groups: u32,
    ) -> Result<(), LaunchError> {
        let launch = Launch {
            kernel: kernel(kind),
            bound: bound.iter().map(|r| r.range()).collect(),
            values: vec![shape.to_value()],
            grid: [groups, 1, 1],
            reach: Vec::new(),
        };
        self.space
            .launch(self.devices[device].0, launch)?
            .wait()
            .map(|_| ())
    }
}

/// A page for each workgroup.
pub fn whole_pages(salt: u32) -> Shape {
    Shape {
        chunk: PAGE as u32,
        stride: PAGE as u32,
        salt,
        loose: false,
    }
}
