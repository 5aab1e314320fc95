//! What happened: bytes moved by cause and direction, faults, evictions, passes.

use std::sync::atomic::{AtomicU64, Ordering};

use gmem_hal::Cause;

/// The direction of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    HostToDevice,
    DeviceToHost,
}

/// Counts as of one moment; differences of two are what happened between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes copied to devices, by [`Cause`] in the order of [`Cause::ALL`].
    pub host_to_device: [u64; Cause::ALL.len()],
    /// Bytes copied home, likewise.
    pub device_to_host: [u64; Cause::ALL.len()],
    /// Touches by CPU threads that had to be served.
    pub cpu_faults: u64,
    /// Pages that a launch needed and that were not resident on its device.
    pub device_faults: u64,
    /// Frames taken from a page for another one.
    pub evictions: u64,
    /// Pages filled with zeroes on a device instead of being copied there.
    pub zeroed_pages: u64,
    /// Submissions that ran workgroups.
    pub passes: u64,
    /// Submissions that probed.
    pub probes: u64,
    /// Passes whose footprint was known without running anything.
    pub static_passes: u64,
    /// Passes whose footprint a probe found.
    pub probed_passes: u64,
    /// Passes with all bindings resident because nothing less would do.
    pub resident_passes: u64,
    /// Passes that were attempted until they missed nothing: see [`crate::LaunchReport::undone`].
    pub attempted_passes: u64,
    /// Attempts that missed a page, and were undone.
    pub undone_passes: u64,
    /// Passes of which some pages lay in remote frames: see [`crate::LaunchReport::remote_bytes`].
    pub remote_passes: u64,
    /// Passes of one workgroup over 4 KiB pieces of the pages that it touched, which did not fit as a whole.
    pub piece_passes: u64,
    /// Bindings of passes that were translated by one added constant.
    pub slid_bindings: u64,
    /// Bindings of passes that went through the page table.
    pub paged_bindings: u64,
    /// Nanoseconds in passes, from submission to completion.
    pub kernel_nanos: u64,
}

impl Counts {
    /// What happened since an earlier moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let by_cause = |a: &[u64; Cause::ALL.len()], b: &[u64; Cause::ALL.len()]| {
            std::array::from_fn(|i| a[i].saturating_sub(b[i]))
        };
        Self {
            host_to_device: by_cause(&self.host_to_device, &earlier.host_to_device),
            device_to_host: by_cause(&self.device_to_host, &earlier.device_to_host),
            cpu_faults: self.cpu_faults.saturating_sub(earlier.cpu_faults),
            device_faults: self.device_faults.saturating_sub(earlier.device_faults),
            evictions: self.evictions.saturating_sub(earlier.evictions),
            zeroed_pages: self.zeroed_pages.saturating_sub(earlier.zeroed_pages),
            passes: self.passes.saturating_sub(earlier.passes),
            probes: self.probes.saturating_sub(earlier.probes),
            static_passes: self.static_passes.saturating_sub(earlier.static_passes),
            probed_passes: self.probed_passes.saturating_sub(earlier.probed_passes),
            resident_passes: self.resident_passes.saturating_sub(earlier.resident_passes),
            attempted_passes: self
                .attempted_passes
                .saturating_sub(earlier.attempted_passes),
            undone_passes: self.undone_passes.saturating_sub(earlier.undone_passes),
            remote_passes: self.remote_passes.saturating_sub(earlier.remote_passes),
            piece_passes: self.piece_passes.saturating_sub(earlier.piece_passes),
            slid_bindings: self.slid_bindings.saturating_sub(earlier.slid_bindings),
            paged_bindings: self.paged_bindings.saturating_sub(earlier.paged_bindings),
            kernel_nanos: self.kernel_nanos.saturating_sub(earlier.kernel_nanos),
        }
    }
}

/// The running totals. Statistics only: nothing is decided by them, so relaxed order is enough.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    host_to_device: [AtomicU64; Cause::ALL.len()],
    device_to_host: [AtomicU64; Cause::ALL.len()],
    pub(crate) cpu_faults: AtomicU64,
    pub(crate) device_faults: AtomicU64,
    pub(crate) evictions: AtomicU64,
    pub(crate) zeroed_pages: AtomicU64,
    pub(crate) passes: AtomicU64,
    pub(crate) probes: AtomicU64,
    pub(crate) static_passes: AtomicU64,
    pub(crate) probed_passes: AtomicU64,
    pub(crate) resident_passes: AtomicU64,
    pub(crate) attempted_passes: AtomicU64,
    pub(crate) undone_passes: AtomicU64,
    pub(crate) remote_passes: AtomicU64,
    pub(crate) piece_passes: AtomicU64,
    pub(crate) slid_bindings: AtomicU64,
    pub(crate) paged_bindings: AtomicU64,
    pub(crate) kernel_nanos: AtomicU64,
}

impl Counters {
    pub(crate) fn moved(&self, direction: Direction, cause: Cause, bytes: u64) {
        let table = match direction {
            Direction::HostToDevice => &self.host_to_device,
            Direction::DeviceToHost => &self.device_to_host,
        };
        table[cause as usize].fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Counts {
        let get = |a: &AtomicU64| a.load(Ordering::Relaxed);
        Counts {
            host_to_device: std::array::from_fn(|i| get(&self.host_to_device[i])),
            device_to_host: std::array::from_fn(|i| get(&self.device_to_host[i])),
            cpu_faults: get(&self.cpu_faults),
            device_faults: get(&self.device_faults),
            evictions: get(&self.evictions),
            zeroed_pages: get(&self.zeroed_pages),
            passes: get(&self.passes),
            probes: get(&self.probes),
            static_passes: get(&self.static_passes),
            probed_passes: get(&self.probed_passes),
            resident_passes: get(&self.resident_passes),
            attempted_passes: get(&self.attempted_passes),
            undone_passes: get(&self.undone_passes),
            remote_passes: get(&self.remote_passes),
            piece_passes: get(&self.piece_passes),
            slid_bindings: get(&self.slid_bindings),
            paged_bindings: get(&self.paged_bindings),
            kernel_nanos: get(&self.kernel_nanos),
        }
    }
}

/// Adds to a running total.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
