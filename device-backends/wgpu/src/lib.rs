//! The GPU side of gmem, on wgpu: frames in windows, a page table in a buffer, and kernels rewritten to go through it.
//!
//! - [`adapters`] says what there is, [`open`] opens one as a [`WgpuDevice`], which implements [`gmem_hal::Device`];
//! - [`WgpuKernel::compile`] makes a kernel out of WGSL, SPIR-V or GLSL, which implements [`gmem_hal::Kernel`];
//! - [`Resource`] is a texture or sampler that a launch binds, made with [`WgpuDevice::wgpu`];
//! - [`PlainKernel`] and [`PlainRunner`] run the same shader under plain wgpu, as the reference.
//!
//! Invariants: one thread owns every wgpu call; the bytes of all windows never exceed the cap; every buffer is counted;
//! nothing panics, whatever the driver does: a failed device answers every call with [`gmem_hal::DeviceError::Lost`].
#![forbid(unsafe_code)]

mod abilities;
mod adapter;
mod attempt;
mod buffers;
mod clock;
mod device;
mod error;
mod exits;
mod gpu;
mod kernel;
mod pace;
mod pass;
mod pipeline;
mod plain;
mod probe;
mod recorded;
mod report;
mod resource;
mod staging;
mod table;
mod thread;
mod windows;

pub use adapter::{
    AdapterChoice, AdapterKind, AdapterLimits, AdapterSummary, BackendName, adapters,
};
pub use buffers::{BufferEvent, BufferTrace, Purpose as BufferPurpose};
pub use device::{REMOTE_MEMORY, WgpuDevice, WgpuOptions, open};
pub use error::{CompileError, OpenError};
/// Analysis and rewriting of kernels, which need no device.
pub use gmem_shaders as shaders;
pub use gmem_shaders::{
    Language, Leaf, ResourceKind, ScalarLeaf, ShaderError, Source, panics_are_errors,
};
pub use kernel::WgpuKernel;
pub use plain::{PlainError, PlainKernel, PlainRunner, Timing};
pub use resource::Resource;
/// What [`WgpuDevice::wgpu`] and [`Resource`] are made of.
pub use wgpu;
