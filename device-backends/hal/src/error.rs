//! Errors that cross the boundary between the manager and its backends: only what a caller cannot foresee.

use crate::{Va, counted};

/// A page size that is not a power of two from 4 KiB to 2 MiB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("page size {bytes} is not a power of two from 4096 to 2097152: use for example 65536")]
pub struct PageSizeError {
    /// What was asked for, in bytes.
    pub bytes: u64,
}

/// What a device can fail with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The device could not give that much memory. Met at creation, handled there.
    #[error("the device has no {bytes} bytes left for {what}: use a smaller budget")]
    OutOfMemory {
        /// What the memory was for.
        what: &'static str,
        /// How much was asked for.
        bytes: u64,
    },
    /// The device is gone; nothing on it can be reached any more.
    #[error("the device was lost: {reason}")]
    Lost {
        /// What the driver said.
        reason: String,
    },
    /// The kernel reached memory that its footprint does not name: nothing else was changed, the launch has failed.
    #[error(
        "kernel `{kernel}` touched memory outside its footprint; the access was confined to a guard frame"
    )]
    Confined {
        /// The kernel's entry point.
        kernel: String,
    },
    /// This kernel, with these bindings, is beyond what the device can run.
    #[error("{reason}")]
    Unsupported {
        /// What it is, and what to do.
        reason: String,
    },
    /// A simulated failure (gmem-sim), or a transient one: the call had no effect and may be tried again.
    #[error("the device refused {call}: {reason}")]
    Refused {
        /// The call.
        call: &'static str,
        /// Why.
        reason: String,
    },
    /// A kernel touched an address that is in no region it may reach.
    #[error("segmentation fault on the device at {va}")]
    Segfault {
        /// The address.
        va: Va,
    },
}

/// What the host side can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// An operating-system call failed.
    #[error("{call} failed: {source}")]
    Os {
        /// The call.
        call: &'static str,
        /// The reason.
        source: std::io::Error,
    },
    /// The host has no memory (or address space) for this.
    #[error("the host has no room for {} at offset {offset:#x}", counted(*bytes, "byte"))]
    OutOfMemory {
        /// Where, from the base of the space.
        offset: u64,
        /// How much.
        bytes: u64,
    },
    /// A host mechanism was asked for that this machine does not have.
    #[error("host mechanism {mechanism} is not available here: {reason}")]
    Unavailable {
        /// Its name.
        mechanism: &'static str,
        /// What is missing.
        reason: String,
    },
}
