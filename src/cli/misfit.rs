//! What can be wrong with the arguments of `gmem run` once the kernel is known.

use std::path::PathBuf;

use gmem_hal::counted;

use super::uniform::UniformError;

/// Arguments that do not fit the kernel.
#[derive(Debug, thiserror::Error)]
pub enum MisfitError {
    /// The kernel has no such binding.
    #[error("kernel `{kernel}` has no {kind} `{name}`: it has {available}")]
    Unknown {
        /// The entry point.
        kernel: String,
        /// `storage binding` or `uniform`.
        kind: &'static str,
        /// What was named.
        name: String,
        /// What there is.
        available: String,
    },
    /// The kernel uses what cannot be given here.
    #[error(
        "kernel `{kernel}` uses the {noun} `{name}` ({ty}), which cannot be given here: launch it from Rust, with `Launch::{noun}`"
    )]
    Resource {
        /// The entry point.
        kernel: String,
        /// `texture` or `sampler`.
        noun: &'static str,
        /// The variable.
        name: String,
        /// Its type.
        ty: String,
    },
    /// There is no memory here that pointers could lead to.
    #[error(
        "kernel `{kernel}` follows pointers, which nothing here has: launch it from Rust, with `Launch::reach`"
    )]
    Pointers {
        /// The entry point.
        kernel: String,
    },
    /// Some are not given.
    #[error("kernel `{kernel}` needs {option} for {missing}")]
    Missing {
        /// The entry point.
        kernel: String,
        /// The option that gives them.
        option: &'static str,
        /// Those that are missing, with their types.
        missing: String,
    },
    /// One is given by its name and by its numbers.
    #[error("`{name}` is given twice, as {first} and as {second}: give it once")]
    Twice {
        /// The variable.
        name: String,
        /// As what it was given first.
        first: String,
        /// And then.
        second: String,
    },
    /// Elements of another type.
    #[error(
        "`{name}` is {wanted} in the kernel, and {source_name} holds {given}: convert it, or bind a .bin file or bytes (u1) to have it taken as it is"
    )]
    Element {
        /// The variable.
        name: String,
        /// Its type.
        wanted: String,
        /// The file, or `zeros`.
        source_name: String,
        /// The type there, in NumPy's words.
        given: String,
    },
    /// The values do not fill the uniform.
    #[error("uniform `{name}` ({ty}): {source}")]
    Values {
        /// The variable.
        name: String,
        /// Its scalars.
        ty: String,
        /// What is wrong.
        source: UniformError,
    },
    /// A scalar that no value can be written for.
    #[error(
        "uniform `{name}` has a scalar at byte {offset} that is neither u32, i32 nor f32: give its bytes in a .bin file"
    )]
    Scalar {
        /// The variable.
        name: String,
        /// Where.
        offset: u32,
    },
    /// A file that is not the uniform's size.
    #[error("uniform `{name}` takes {}, and {path:?} has {given}", counted(*wanted, "byte"))]
    FileSize {
        /// The variable.
        name: String,
        /// Its bytes.
        wanted: u32,
        /// The file.
        path: PathBuf,
        /// The file's.
        given: u64,
    },
    /// Ids are 32 bits wide.
    #[error(
        "{groups} workgroups of {} are past the limit of 2^32 invocations in dimension {dimension}",
        counted(*lanes, "invocation")
    )]
    Grid {
        /// Workgroups.
        groups: u32,
        /// Invocations in each.
        lanes: u32,
        /// x, y or z.
        dimension: char,
    },
    /// More workgroups than can be counted.
    #[error("a grid of {0:?} workgroups is past the limit of 2^63 in all")]
    Workgroups([u32; 3]),
}
