//! What happened, and what is held.

use gmem_hal::DeviceBytes;
use gmem_runtime::Counts;
use gmem_runtime::frames::FrameCounts;

/// A picture of an address space at one moment.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// What happened since the space was made.
    pub counts: Counts,
    /// By device: what its frames do, and the bytes it holds.
    pub devices: Vec<(FrameCounts, DeviceBytes)>,
    /// Live regions.
    pub regions: usize,
    /// Bytes of page metadata: (of blocks that were touched, of the index over them).
    pub metadata_bytes: (usize, usize),
}
