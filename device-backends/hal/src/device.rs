//! The device's side of an address space: `gm_mmu`, made of batches.

use std::sync::Arc;

use crate::{
    Attempt, AttemptReport, DeviceError, FrameCopy, Geometry, GridBox, HostMemory, Kernel, Launch,
    PageSize, Pass, PassReport, ProbeReport,
};

/// A page-sized piece of a device's memory, numbered over all of its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameIndex(pub u32);

/// Adjacent frames of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameRun {
    /// The first.
    pub first: FrameIndex,
    /// How many.
    pub frames: u32,
}

impl FrameRun {
    /// Adjacent frames, from the first and their number.
    #[must_use]
    pub const fn new(first: FrameIndex, frames: u32) -> Self {
        Self { first, frames }
    }
}

/// One device buffer out of which frames are cut.
///
/// `first` is a multiple of [`DeviceInfo::window_frames`], so that no run of frames crosses a window:
/// window `w` holds the frames `w * window_frames .. w * window_frames + frames`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first frame.
    pub first: FrameIndex,
    /// Frames in it, at most [`DeviceInfo::window_frames`].
    pub frames: u32,
}

/// Adjacent pages of the space and the adjacent frames that hold them: one coalesced copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyRun {
    /// Byte offset of the first page from the base of the space.
    pub offset: u64,
    /// The frames, as many as pages.
    pub frames: FrameRun,
}

/// A change of one entry of the device's page table (`pmap_enter`, `pmap_release`, `pmap_protect`).
#[doc(alias = "pmap_enter")]
#[doc(alias = "pmap_release")]
#[doc(alias = "pmap_protect")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageEntry {
    /// The page, counted from the base of the space.
    pub page: u64,
    /// Its frame and whether kernels may write it; `None` takes the translation away.
    pub frame: Option<(FrameIndex, bool)>,
}

/// What a device is, and how much of it the space may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// A name for people.
    pub name: String,
    /// The backend's name: `vulkan`, `gl`, `metal`, `dx12`, `sim`.
    pub backend: &'static str,
    /// The most frames that [`Device::grow`] will ever give, all windows together.
    pub max_frames: u32,
    /// The distance between the first frames of two windows: a power of two.
    pub window_frames: u32,
    /// Bytes of each window that hold no frame (guards).
    pub window_overhead: u64,
    /// The most frames that [`Device::grow_remote`] will ever give at once; 0 where there are none.
    pub remote_frames: u32,
    /// Why there are not more of these, for people.
    pub remote_limit: &'static str,
}

impl DeviceInfo {
    /// The least device memory, in bytes, whose windows hold `frames` frames of `page_bytes` bytes.
    #[must_use]
    pub const fn bytes_for(&self, frames: u64, page_bytes: u64) -> u64 {
        frames * page_bytes + frames.div_ceil(self.window_frames as u64) * self.window_overhead
    }
}

/// Bytes of device memory that a device holds, by what for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceBytes {
    /// Windows created: what the device-memory cap limits.
    pub windows: u64,
    /// Page tables, fault buffers and parameters.
    pub tables: u64,
    /// Staging buffers.
    pub staging: u64,
    /// The highest value of `windows` so far.
    pub peak_windows: u64,
    /// Remote windows: in the host's memory, and beyond the device-memory cap.
    pub remote: u64,
    /// The highest value of `remote` so far.
    pub peak_remote: u64,
}

/// One device's memory, page table and copy engine (`gm_mmu`). The manager decides; a device only does.
///
/// Calls are synchronous: when one returns `Ok`, its effect is complete and visible to the calls that follow.
/// A call that fails has changed nothing that the manager relies on: a frame being written holds anything,
/// a translation is as before, and the host's bytes of a failed download are unspecified
/// (the manager then still holds the device's copy to be the valid one).
/// Every method may be called from any thread, with block locks held; a device takes none and never touches a user mapping.
#[doc(alias = "gm_mmu")]
#[doc(alias = "gm_dev")]
pub trait Device: Send + Sync {
    /// Prepares the page table for a space (`gm_as_attach`, `pmap_create`). Called once, before any other call.
    ///
    /// # Errors
    /// When there is no memory for it.
    #[doc(alias = "pmap_create")]
    fn attach(&self, geometry: Geometry) -> Result<DeviceInfo, DeviceError>;

    /// Creates one more window because `want` more frames are needed: it may hold more, or fewer (at least one) when that
    /// is what is left of the cap.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`] when no frame can be had: the cap is reached, or the adapter gives no more.
    #[doc(alias = "gm_dev_register_physmem")]
    fn grow(&self, want: u32) -> Result<Window, DeviceError>;

    /// Creates one more window, of *remote* frames: in the host's memory, where kernels reach them in place, slowly. Asked for
    /// once [`Device::grow`] has given all it has, which then gives no more. It holds `want`, or fewer where a window cannot be as large.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`] when no frame can be had: there are [`DeviceInfo::remote_frames`], or the adapter gives no more.
    fn grow_remote(&self, want: u32) -> Result<Window, DeviceError>;

    /// Gives all remote windows back. None of their frames holds a page, nor has a translation.
    ///
    /// # Errors
    /// When it could not be done: they are all still there.
    fn drop_remote(&self) -> Result<(), DeviceError>;

    /// Changes page-table entries, as one batch (`tlb_invl_coalesced`). Later entries win over earlier ones.
    ///
    /// # Errors
    /// Only when the device is lost (or in simulation): then no entry has changed.
    #[doc(alias = "tlb_invl_coalesced")]
    fn set_entries(&self, entries: &[PageEntry]) -> Result<(), DeviceError>;

    /// Copies pages of the host into frames (`peer_map` with `copy`), through [`HostMemory::with_bytes`].
    ///
    /// # Errors
    /// When a copy could not be made.
    #[doc(alias = "peer_map")]
    fn upload(&self, runs: &[CopyRun], host: &dyn HostMemory) -> Result<(), DeviceError>;

    /// Copies frames home (`peer_unmap` with `copy`), through [`HostMemory::write_bytes`].
    ///
    /// # Errors
    /// When a copy could not be made.
    #[doc(alias = "peer_unmap")]
    fn download(&self, runs: &[CopyRun], host: &dyn HostMemory) -> Result<(), DeviceError>;

    /// As [`Device::upload`], in pieces that are smaller than a page: frames are counted as if all were of that size.
    ///
    /// # Errors
    /// When a copy could not be made.
    fn upload_pieces(
        &self,
        size: PageSize,
        runs: &[CopyRun],
        host: &dyn HostMemory,
    ) -> Result<(), DeviceError>;

    /// As [`Device::download`], in pieces that are smaller than a page: frames are counted as if all were of that size.
    ///
    /// # Errors
    /// When a copy could not be made.
    fn download_pieces(
        &self,
        size: PageSize,
        runs: &[CopyRun],
        host: &dyn HostMemory,
    ) -> Result<(), DeviceError>;

    /// Fills frames with zeroes (`peer_map` without `copy`).
    ///
    /// # Errors
    /// When it could not be done.
    fn zero(&self, runs: &[FrameRun]) -> Result<(), DeviceError>;

    /// Runs a pass: some workgroups of a launch, everything they touch being resident. Waits for it.
    ///
    /// # Errors
    /// [`DeviceError::Confined`] when the kernel reached beyond its footprint.
    fn run(&self, pass: &Pass<'_>) -> Result<PassReport, DeviceError>;

    /// Runs a pass over some of the pages that it may touch, and says whether it missed any. Waits for it.
    ///
    /// A page is only reached as `pages` has it, whatever the page table says. The pass ends even if it missed pages: no
    /// load that was not really made keeps a loop going.
    ///
    /// # Errors
    /// When the kernel cannot be attempted, or the device failed: pages that may be stored to then hold anything, but
    /// for [`DeviceError::Refused`], which promises no effect.
    fn attempt(&self, attempt: &Attempt<'_>) -> Result<AttemptReport, DeviceError>;

    /// Copies frames to frames, as one batch.
    ///
    /// # Errors
    /// When it could not be done: the frames that were written hold anything.
    fn copy_frames(&self, copies: &[FrameCopy]) -> Result<(), DeviceError>;

    /// Runs the address-computing slice of a launch's kernel over each of `boxes`, with no effect on memory,
    /// and says which pages each would touch, and whether one of its lanes had to stop
    /// at an address that depends on a page that is not resident.
    ///
    /// # Errors
    /// When the kernel has no such slice, or the device failed.
    fn probe(&self, launch: &Launch, boxes: &[GridBox]) -> Result<Vec<ProbeReport>, DeviceError>;

    /// How many boxes one [`Device::probe`] should be given for this launch: bounded by the fault buffer.
    fn probe_width(&self, launch: &Launch) -> usize;

    /// What the device holds now.
    fn bytes(&self) -> DeviceBytes;

    /// Whether this kernel was made for this device.
    fn accepts(&self, kernel: &Arc<dyn Kernel>) -> bool;
}
