//! What a user of the facade can get wrong, and what can go wrong under it.

use gmem_hal::{DeviceError, HostError, PageSizeError, Va, counted};
use gmem_runtime::{AddressError, AllocError, LaunchError, MoveError};

use crate::pointers::SegmentationFault;

/// Any error of gmem. Nothing is lost when one is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An allocation could not be made.
    #[error(transparent)]
    Alloc(#[from] AllocError),
    /// An address names nothing.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Pages could not be moved.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// A launch failed.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The host's memory failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A page size that is none.
    #[error(transparent)]
    PageSize(#[from] PageSizeError),
    /// No GPU could be opened.
    #[error(transparent)]
    Open(#[from] gmem_wgpu::OpenError),
    /// A kernel could not be compiled.
    #[error(transparent)]
    Compile(#[from] gmem_wgpu::CompileError),
    /// A kernel has no variable of that name.
    #[error("kernel `{kernel}` has no {kind} `{name}`; it has {available}")]
    NoSuchVariable {
        /// The entry point.
        kernel: String,
        /// `storage binding`, `uniform`, `texture` or `sampler`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        available: String,
    },
    /// A storage binding was not given memory.
    #[error("storage binding `{name}` of kernel `{kernel}` is not bound")]
    Unbound {
        /// The entry point.
        kernel: String,
        /// The variable.
        name: String,
    },
    /// A texture or sampler was not given.
    #[error("{kind} `{name}` of kernel `{kernel}` is not bound: it takes a {ty}")]
    NoResource {
        /// The entry point.
        kernel: String,
        /// `texture` or `sampler`.
        kind: &'static str,
        /// The variable.
        name: String,
        /// Its WGSL type.
        ty: String,
    },
    /// A uniform was not given a value.
    #[error("uniform `{name}` of kernel `{kernel}` has no value: it takes {}", counted(*bytes, "byte"))]
    NoValue {
        /// The entry point.
        kernel: String,
        /// The variable.
        name: String,
        /// Its size.
        bytes: u32,
    },
    /// A variable was bound twice.
    #[error("`{name}` of kernel `{kernel}` is bound twice")]
    BoundTwice {
        /// The entry point.
        kernel: String,
        /// The variable.
        name: String,
    },
    /// The kernel writes what was lent for reading only.
    #[error("kernel `{kernel}` writes `{name}`: bind it as `&mut`")]
    NotMutable {
        /// The entry point.
        kernel: String,
        /// The variable.
        name: String,
    },
    /// The element types do not match.
    #[error("`{name}` of kernel `{kernel}` holds {expected}, and {given} was bound")]
    ElementType {
        /// The entry point.
        kernel: String,
        /// The variable.
        name: String,
        /// The WGSL type.
        expected: String,
        /// The Rust type.
        given: &'static str,
    },
    /// Too few bytes for a variable.
    #[error("`{name}` of kernel `{kernel}` takes {}, not the {given} given", counted(*expected, "byte"))]
    Size {
        /// The entry point.
        kernel: String,
        /// The variable.
        name: String,
        /// Bytes it takes, at least (a uniform: exactly).
        expected: u64,
        /// Bytes given.
        given: u64,
    },
    /// A binding begins where its type may not.
    #[error("`{name}` of kernel `{kernel}` begins at {va}, which is not a multiple of {align}")]
    Misaligned {
        /// The entry point.
        kernel: String,
        /// The variable.
        name: String,
        /// Where it begins.
        va: Va,
        /// What WGSL asks for.
        align: u32,
    },
    /// Memory of another address space was bound.
    #[error("`{name}` is memory of another address space")]
    OtherSpace {
        /// The variable.
        name: String,
    },
    /// A device of another address space was named.
    #[error("device `{device}` is attached to another address space: attach it to this one")]
    OtherSpaceDevice {
        /// The device.
        device: String,
    },
    /// More elements than memory has bytes.
    #[error("{elements} elements of {} are more than any memory holds", counted(*bytes as u64, "byte"))]
    TooMany {
        /// Elements asked for.
        elements: usize,
        /// Bytes of one.
        bytes: usize,
    },
    /// Shaders cannot be compiled for this device.
    #[error("device `{device}` runs no shaders: give it kernels of its own")]
    NoWgsl {
        /// The device.
        device: String,
    },
    /// There is no such device.
    #[error("the space has no device {index}")]
    NoDevice {
        /// The device's number.
        index: usize,
    },
    /// More invocations than a built-in id can tell apart.
    #[error(
        "kernel `{kernel}` over a grid of {grid:?} workgroups of {workgroup:?}: the most is 2^32 - 1 workgroups in a dimension, 2^32 invocations where the kernel asks for global_invocation_id, and 2^63 workgroups in all"
    )]
    Grid {
        /// The entry point.
        kernel: String,
        /// Workgroups in each dimension.
        grid: [u64; 3],
        /// Invocations of one.
        workgroup: [u32; 3],
    },
    /// A kernel that follows pointers was launched without a word on where they may lead.
    #[error(
        "kernel `{kernel}` follows pointers, and its launch may reach nothing: name the memory that they lead to with `reach(&vector)`, or `reach(&mut vector)` where the kernel writes it"
    )]
    NoReach {
        /// The entry point.
        kernel: String,
    },
    /// A launch of a kernel without pointers was told what they may reach.
    #[error(
        "kernel `{kernel}` follows no pointers: it reaches what is bound to it, so leave `reach` out"
    )]
    NoPointers {
        /// The entry point.
        kernel: String,
    },
    /// A pointer led to no memory that the launch may reach. The launch is over; the wild accesses had no effect.
    #[error(transparent)]
    SegmentationFault(Box<SegmentationFault>),
    /// A range that is not inside an allocation.
    #[error("bytes {start}..{end} from {va} on are outside its region of {}", counted(*len, "byte"))]
    BeyondRegion {
        /// The region's first address.
        va: Va,
        /// First byte.
        start: u64,
        /// One past the last.
        end: u64,
        /// The region's bytes.
        len: u64,
    },
    /// A range that is not inside a vector.
    #[error("elements {start}..{end} are outside a vector of {len}")]
    OutOfRange {
        /// First element.
        start: usize,
        /// One past the last.
        end: usize,
        /// The vector's length.
        len: usize,
    },
}
