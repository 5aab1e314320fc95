//! Every wgpu buffer is made here, and counted as long as it lives.
//!
//! Key types: [`Buffer`], [`Purpose`], [`Tally`], [`BufferTrace`] (who else wants to know).
//! Invariants: [`Tally`] holds the exact number of bytes of all buffers that exist, by purpose; a trace is told of each
//! buffer twice, when it is made and when it is given back, with what wgpu itself says of it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gmem_hal::{DeviceBytes, DeviceError};

use crate::gpu::Gpu;

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Frames.
    Window,
    /// Frames in the host's memory.
    Remote,
    /// Page table, fault buffer, parameters and uniforms.
    Table,
    /// Copies to and from the host.
    Staging,
    /// A kernel's buffers under plain wgpu: not the address space's.
    Plain,
}

/// One buffer, at the beginning or the end of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferEvent {
    /// Whether it was made just now; else it is about to be dropped.
    pub made: bool,
    /// A number that no other buffer of the device has.
    pub id: u64,
    /// Its label.
    pub label: &'static str,
    /// What it is for.
    pub purpose: Purpose,
    /// Its size in bytes, as wgpu has it.
    pub size: u64,
    /// Its usages, as wgpu has them.
    pub usage: wgpu::BufferUsages,
}

type Listener = dyn Fn(&BufferEvent) + Send + Sync;

/// A tracing hook: told of every buffer that a device makes, in the device's thread, while nothing else happens there.
/// It must not call the device, except for its counts of bytes.
#[derive(Clone, Default)]
pub struct BufferTrace(Option<Arc<Listener>>);

impl BufferTrace {
    /// Tells `listener`.
    pub fn new(listener: impl Fn(&BufferEvent) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }
}

impl fmt::Debug for BufferTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "BufferTrace(on)"
        } else {
            "BufferTrace(off)"
        })
    }
}

/// Bytes of the buffers that exist.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    trace: BufferTrace,
    made: AtomicU64,
    windows: AtomicU64,
    tables: AtomicU64,
    staging: AtomicU64,
    plain: AtomicU64,
    peak_windows: AtomicU64,
    remote: AtomicU64,
    peak_remote: AtomicU64,
}

impl Tally {
    pub(crate) fn new(trace: BufferTrace) -> Self {
        Self {
            trace,
            ..Self::default()
        }
    }

    fn of(&self, purpose: Purpose) -> &AtomicU64 {
        match purpose {
            Purpose::Window => &self.windows,
            Purpose::Remote => &self.remote,
            Purpose::Table => &self.tables,
            Purpose::Staging => &self.staging,
            Purpose::Plain => &self.plain,
        }
    }

    fn add(&self, purpose: Purpose, bytes: u64) {
        let now = self.of(purpose).fetch_add(bytes, Ordering::Relaxed) + bytes;
        match purpose {
            Purpose::Window => self.peak_windows.fetch_max(now, Ordering::Relaxed),
            Purpose::Remote => self.peak_remote.fetch_max(now, Ordering::Relaxed),
            Purpose::Table | Purpose::Staging | Purpose::Plain => now,
        };
    }

    /// The bytes of the address space.
    pub(crate) fn bytes(&self) -> DeviceBytes {
        DeviceBytes {
            windows: self.windows.load(Ordering::Relaxed),
            tables: self.tables.load(Ordering::Relaxed),
            staging: self.staging.load(Ordering::Relaxed),
            peak_windows: self.peak_windows.load(Ordering::Relaxed),
            remote: self.remote.load(Ordering::Relaxed),
            peak_remote: self.peak_remote.load(Ordering::Relaxed),
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
    label: &'static str,
    id: u64,
    tally: Arc<Tally>,
}

impl Buffer {
    fn tell(&self, made: bool) {
        if let Some(listener) = &self.tally.trace.0 {
            listener(&BufferEvent {
                made,
                id: self.id,
                label: self.label,
                purpose: self.purpose,
                size: self.raw.size(),
                usage: self.raw.usage(),
            });
        }
    }
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
        self.tell(false);
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
        let buffer = Buffer {
            raw,
            purpose,
            label: what,
            id: self.tally.made.fetch_add(1, Ordering::Relaxed),
            tally: Arc::clone(&self.tally),
        };
        buffer.tell(true);
        Ok(buffer)
    }
}
