//! What the manager can fail with. Every failure leaves memory as it was before the part that failed.

use gmem_hal::{DeviceError, HostError, PageSize, Va, counted};

/// An allocation could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllocError {
    /// Nothing was asked for.
    #[error("an allocation needs at least one byte")]
    Zero,
    /// The space has no free range that long.
    #[error(
        "no free range of {} in the address space ({} free): free something, or build the space with a larger reserve",
        counted(*bytes, "byte"), counted(*free, "byte")
    )]
    Exhausted {
        /// Bytes asked for.
        bytes: u64,
        /// Bytes free, all ranges together.
        free: u64,
    },
    /// An alignment that is not a power of two, or larger than a block.
    #[error("alignment {align} is not a power of two up to 2 MiB")]
    Alignment {
        /// What was asked for.
        align: u64,
    },
    /// The host's mapping could not be changed.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// An address that does not name what was expected of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It lies in no region: it was freed, or never came from this space.
    #[error(
        "{va} is in no region of this address space: it was freed already, or it came from elsewhere"
    )]
    Unknown {
        /// The address.
        va: Va,
    },
    /// It lies inside a region but is not its start.
    #[error("{va} is inside the region at {start}, not its start")]
    Interior {
        /// The address.
        va: Va,
        /// Where the region starts.
        start: Va,
    },
}

/// A page could not be moved or made usable; it is where it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The host failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// More pages are needed at once than the device has frames.
    #[error(
        "{} needed at once, and the device has room for {capacity}: give it more memory",
        counted(*needed, "page")
    )]
    TooLarge {
        /// Pages needed at once.
        needed: u64,
        /// Frames that the device can give.
        capacity: u64,
    },
    /// The range is not in the space.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Another device's pass holds a page; try again. Never leaves the crate.
    #[error("a page is in use by another device")]
    Busy,
}

/// A launch could not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// One workgroup touches more than the device's memory and remote memory hold. Memory is as before that workgroup.
    #[error(
        "one workgroup of `{kernel}` may touch {} at once{} and the device has room for {capacity}, and for {remote} more in remote memory ({remote_limit}): use at least {needed_bytes} bytes of device memory{}",
        counted(*needed, "page"), even_in_pieces(*in_pieces), or_smaller_pages(*page_bytes, *in_pieces)
    )]
    FootprintTooLarge {
        /// The kernel.
        kernel: String,
        /// Pages it touches.
        needed: u64,
        /// Frames of the device's own there are.
        capacity: u64,
        /// Remote frames that could be had beside them.
        remote: u64,
        /// Why there are not more of these.
        remote_limit: &'static str,
        /// Bytes of device memory for those pages. More may come to light where what it touches is found step by step.
        needed_bytes: u64,
        /// Bytes of a page.
        page_bytes: u64,
        /// Whether 4 KiB pieces of the pages were tried, and did not fit either.
        in_pieces: bool,
    },
    /// The kernel needs all of its bindings resident, since it can neither be probed nor undone, and they do not fit.
    #[error(
        "`{kernel}` must run with all of its bindings resident ({reason}): {needed_bytes} bytes, and the device has room for {capacity_bytes}"
    )]
    MustBeResident {
        /// The kernel.
        kernel: String,
        /// Why.
        reason: String,
        /// Device memory that would do: its bindings in whole pages, and the device's own guards.
        needed_bytes: u64,
        /// Bytes of frames there are.
        capacity_bytes: u64,
    },
    /// The kernel's workgroups wait for each other, so all of them have to run at once with everything they touch resident,
    /// and that does not fit. Nothing was run.
    #[error(
        "`{kernel}` must run in one piece, with all that it touches resident ({reason}): its bindings take {needed_bytes} bytes, and the device has room for {capacity_bytes}: give it more memory"
    )]
    MustRunInOnePiece {
        /// The kernel.
        kernel: String,
        /// Which workgroups wait for what.
        reason: String,
        /// Device memory that would do: its bindings in whole pages, and the device's own guards.
        needed_bytes: u64,
        /// Bytes of frames there are.
        capacity_bytes: u64,
    },
    /// A binding is not inside one region.
    #[error("binding `{binding}`: {source}")]
    Binding {
        /// The variable.
        binding: String,
        /// What is wrong with the address.
        source: AddressError,
    },
    /// A grid has a dimension of zero.
    #[error("a grid needs at least one workgroup in every dimension, got {grid:?}")]
    EmptyGrid {
        /// The grid.
        grid: [u32; 3],
    },
    /// The number of bindings is not the kernel's.
    #[error("`{kernel}` has {}, got {given}", counted(*expected as u64, "storage binding"))]
    BindingCount {
        /// The kernel.
        kernel: String,
        /// How many it has.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// The kernel was made for another device.
    #[error("`{kernel}` was not compiled for this device")]
    WrongDevice {
        /// The kernel.
        kernel: String,
    },
    /// A binding's region is pinned to the host, or another thread is freeing it.
    #[error(
        "the region at {va} is pinned to the host, or being freed: drop the pin before a launch that uses it"
    )]
    PinnedToHost {
        /// Where the region starts.
        va: Va,
    },
    /// Moving pages failed.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Something in gmem, or in a kernel's own code, panicked. The space goes on.
    #[error("internal error: {what}")]
    Internal {
        /// The panic's message.
        what: String,
    },
    /// The device was detached, or the space dropped, before the launch ran.
    #[error("the device was detached before the launch ran")]
    Detached,
}

fn even_in_pieces(tried: bool) -> &'static str {
    if tried {
        " (in pieces of 4 KiB it does not fit either)"
    } else {
        ""
    }
}

/// Advice, where it can be followed.
fn or_smaller_pages(page_bytes: u64, in_pieces: bool) -> &'static str {
    if page_bytes > PageSize::MIN.bytes() && !in_pieces {
        ", or smaller pages"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn too_large(needed: u64, page_bytes: u64) -> String {
        told(needed, page_bytes, false)
    }

    fn told(needed: u64, page_bytes: u64, in_pieces: bool) -> String {
        LaunchError::FootprintTooLarge {
            kernel: "main".to_owned(),
            needed,
            capacity: 0,
            remote: 0,
            remote_limit: "none is allowed",
            needed_bytes: needed * page_bytes,
            page_bytes,
            in_pieces,
        }
        .to_string()
    }

    #[test]
    fn smaller_pages_are_advised_where_there_are_any() {
        let text = too_large(3, 65_536);
        assert!(
            text.contains("3 pages at once") && text.ends_with("or smaller pages"),
            "{text}"
        );
        let text = told(3, 65_536, true);
        assert!(
            text.contains("4 KiB it does not fit either") && text.ends_with("device memory"),
            "{text}"
        );
        let text = too_large(3, 4096);
        assert!(
            !text.contains("smaller") && text.ends_with("12288 bytes of device memory"),
            "{text}"
        );
    }

    #[test]
    fn one_is_singular() {
        assert!(too_large(1, 4096).contains("touch 1 page at once"));
        let text = MoveError::TooLarge {
            needed: 1,
            capacity: 0,
        }
        .to_string();
        assert!(text.starts_with("1 page needed"), "{text}");
        let text = LaunchError::BindingCount {
            kernel: "main".to_owned(),
            expected: 1,
            given: 2,
        }
        .to_string();
        assert_eq!(text, "`main` has 1 storage binding, got 2");
    }
}
