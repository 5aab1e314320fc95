//! The GPU side of gmem, on wgpu: frames in windows, a page table in a buffer, and kernels rewritten to go through it.
//!
//! - [`adapters`] says what there is, [`open`] opens one as a [`WgpuDevice`], which implements [`gmem_hal::Device`];
//! - [`WgpuKernel::compile`] makes a kernel out of WGSL, which implements [`gmem_hal::Kernel`];
//! - [`PlainKernel`] and [`PlainRunner`] run the same WGSL under plain wgpu, as the reference.
//!
//! Invariants: one thread owns every wgpu call; the bytes of all windows never exceed the cap; every buffer is counted;
//! nothing panics, whatever the driver does: a failed device answers every call with [`gmem_hal::DeviceError::Lost`].
#![forbid(unsafe_code)]

mod abilities;
mod adapter;
mod buffers;
mod clock;
mod device;
mod error;
mod exits;
mod gpu;
mod kernel;
mod pass;
mod pipeline;
mod plain;
mod probe;
mod report;
mod staging;
mod table;
mod thread;
mod windows;

pub use adapter::{
    AdapterChoice, AdapterKind, AdapterLimits, AdapterSummary, BackendName, adapters,
};
pub use buffers::{BufferEvent, BufferTrace, Purpose as BufferPurpose};
pub use device::{WgpuDevice, WgpuOptions, open};
pub use error::{CompileError, OpenError};
pub use gmem_shaders::{Leaf, ScalarLeaf, ShaderError};
pub use kernel::WgpuKernel;
pub use plain::{PlainError, PlainKernel, PlainRunner, Timing};
