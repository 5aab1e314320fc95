//! Spaces whose device holds few pages.

use gmem::gpu::AdapterChoice;
use gmem::{DeviceChoice, Gmem};

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// A space on an adapter with so many pages of device memory, in one window.
pub fn space(adapter: &AdapterChoice, pages: u64) -> Gmem {
    Gmem::builder()
        .device(DeviceChoice::Gpu(adapter.clone()))
        .device_memory(pages * PAGE + 256)
        .page_size(PAGE)
        .build()
        .expect("a space")
}
