//! One address space for the CPU and any GPU.
//!
//! Allocate once, fill by plain CPU stores, launch unmodified WGSL, SPIR-V or GLSL on a real GPU, even over many times its memory,
//! and read the results by plain loads:
//!
//! ```no_run
//! # fn main() -> Result<(), gmem::Error> {
//! let gm = gmem::Gmem::new()?;
//! let mut x = gm.alloc::<f32>(1 << 20)?;
//! x.iter_mut().enumerate().for_each(|(i, x)| *x = i as f32);
//! let double = gm.kernel(
//!     "@group(0) @binding(0) var<storage, read_write> x: array<f32>;
//!      @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
//!          if (id.x < arrayLength(&x)) { x[id.x] = 2.0 * x[id.x]; }
//!      }",
//! )?;
//! double.over(x.len()).bind("x", &mut x).run()?;
//! assert_eq!(x[1000], 2000.0);
//! # Ok(()) }
//! ```
//!
//! - [`Gmem`] is the address space; [`Builder`] says which device, how much of its memory, which page size and policy;
//! - [`Vector`] is typed memory in it that derefs to a slice; [`Gmem::malloc`] and friends are the raw form;
//! - [`Kernel`] is a compiled shader ([`Source`]), [`Launch`] binds memory to its variables; a launch is a future, or blocks;
//! - [`Gmem::attach`] takes any device that implements [`hal::Device`]: a page-table and copy engine, no memory management.
//!
//! Safe code cannot see a data race: a launch borrows what it uses, and where its handle was leaked a view waits for it.
#![deny(unsafe_code)]

mod builder;
mod error;
mod kernel;
mod launch;
mod pointers;
mod raw;
mod space;
mod stats;
mod vector;
mod view;

pub use builder::{Builder, DeviceChoice};
/// What element types of a [`Vector`] and values of a uniform implement: any plain old data.
pub use bytemuck;
pub use error::Error;
pub use gmem_hal as hal;
pub use gmem_runtime::policy::PolicyKind;
/// Replays of recorded runs, under any policy and the optimum.
pub use gmem_runtime::replay;
pub use gmem_runtime::{Counts, LaunchReport, NodeSet, PageReport, Placement};
pub use gmem_sim as sim;
pub use gmem_wgpu as gpu;
pub use gmem_wgpu::Source;
/// What an access by a pointer was to do, and why it could not.
pub use gmem_wgpu::shaders::prelude::{PointerAccess, PointerFault};
pub use kernel::{Kernel, ResourceInfo, StorageInfo, UniformInfo};
pub use launch::{Binding, Launch, Running};
pub use pointers::{Near, SegmentationFault};
pub use space::{DeviceHandle, Gmem};
pub use stats::Stats;
pub use vector::{HostPin, Vector};

/// How touches by the CPU are noticed: see [`gmem_host`].
pub mod host {
    pub use gmem_hal::HostMechanism;
    pub use gmem_host::{Choice, Options, available};
}
