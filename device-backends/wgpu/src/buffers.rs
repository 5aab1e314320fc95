//! Every wgpu buffer is made here, and counted as long as it lives.
//!
//! Key types: [`Buffer`], [`Purpose`], [`Tally`].
//! Invariant: [`Tally`] holds the exact number of bytes of all buffers that exist, by purpose.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gmem_hal::{DeviceBytes, DeviceError};

use crate::gpu::Gpu;

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Frames.
    Window,
    /// Page table, fault buffer, parameters and uniforms.
    Table,
    /// Copies to and from the host.
    Staging,
    /// A kernel's buffers under plain wgpu: not the address space's.
    Plain,
}

/// Bytes of the buffers that exist.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    windows: AtomicU64,
    tables: AtomicU64,
    staging: AtomicU64,
    plain: AtomicU64,
    peak_windows: AtomicU64,
}

impl Tally {
    fn of(&self, purpose: Purpose) -> &AtomicU64 {
        match purpose {
            Purpose::Window => &self.windows,
            Purpose::Table => &self.tables,
            Purpose::Staging => &self.staging,
            Purpose::Plain => &self.plain,
        }
    }

    fn add(&self, purpose: Purpose, bytes: u64) {
        let now = self.of(purpose).fetch_add(bytes, Ordering::Relaxed) + bytes;
        if purpose == Purpose::Window {
            self.peak_windows.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// The bytes of the address space.
    pub(crate) fn bytes(&self) -> DeviceBytes {
        DeviceBytes {
            windows: self.windows.load(Ordering::Relaxed),
            tables: self.tables.load(Ordering::Relaxed),
            staging: self.staging.load(Ordering::Relaxed),
            peak_windows: self.peak_windows.load(Ordering::Relaxed),
        }
    }

    /// The bytes of kernels under plain wgpu.
    pub(crate) fn plain(&self) -> u64 {
        self.plain.load(Ordering::Relaxed)
    }
}

/// A wgpu buffer, counted.
pub(crate) struct Buffer {
    raw: wgpu::Buffer,
    purpose: Purpose,
    tally: Arc<Tally>,
}

impl Deref for Buffer {
    type Target = wgpu::Buffer;
    fn deref(&self) -> &wgpu::Buffer {
        &self.raw
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.tally
            .of(self.purpose)
            .fetch_sub(self.raw.size(), Ordering::Relaxed);
    }
}

impl Gpu {
    /// A new buffer of `size` bytes (a multiple of 4), zeroed: the only way to make one.
    pub(crate) fn buffer(
        &self,
        purpose: Purpose,
        what: &'static str,
        size: u64,
        usage: wgpu::BufferUsages,
        mapped: bool,
    ) -> Result<Buffer, DeviceError> {
        let size = size.max(4).next_multiple_of(4);
        if size > self.facts.limits.max_buffer_size {
            return Err(DeviceError::OutOfMemory { what, bytes: size });
        }
        let raw = self
            .scoped(|device| {
                device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some(what),
                    size,
                    usage,
                    mapped_at_creation: mapped,
                })
            })
            .map_err(|error| match error {
                DeviceError::OutOfMemory { .. } => DeviceError::OutOfMemory { what, bytes: size },
                other => other,
            })?;
        self.tally.add(purpose, size);
        Ok(Buffer {
            raw,
            purpose,
            tally: Arc::clone(&self.tally),
        })
    }
}
