//! What a device, and the host, implement to take part in a gmem address space, and the types that the
//! manager and its backends share. No policy, no state, no operating-system call lives here.
//!
//! Four traits make the house:
//!
//! | trait | implemented by | realises |
//! |---|---|---|
//! | [`Device`] | a backend (wgpu, sim) | `gm_mmu`: map, unmap and copy pages of a device |
//! | [`Kernel`] | a backend's compiled kernel | what a launch touches, before it runs |
//! | [`HostMemory`] | gmem-host (and a plain one for tests) | the CPU's own mappings |
//! | [`CpuFaultSink`] | the manager | calls upwards: a CPU thread touched an absent page |
//!
//! Backends and the manager never see each other: both see this crate.
#![forbid(unsafe_code)]

mod address;
mod attempt;
mod device;
mod error;
mod host;
mod kernel;
pub mod trace;
mod words;

pub use address::{Access, BLOCK_BYTES, ByteRange, Cause, Geometry, NodeId, PageSize, Rights, Va};
pub use attempt::{Attempt, AttemptReport, FrameCopy};
pub use device::{
    CopyRun, Device, DeviceBytes, DeviceInfo, FrameIndex, FrameRun, PageEntry, Window,
};
pub use error::{DeviceError, HostError, PageSizeError};
pub use host::{CpuFault, CpuFaultSink, HostMechanism, HostMemory, PlainHost, Verdict};
pub use kernel::{
    BindingFootprint, BindingUse, Footprint, GridBox, Kernel, Launch, Pass, PassReport,
    ProbeReport, Reached, Touched, Translation,
};
pub use words::counted;
