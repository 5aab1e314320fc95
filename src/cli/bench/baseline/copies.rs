//! Bulk copies between the CPU's memory and a buffer, in every way that plain wgpu has on this device.
//!
//! All buffers are made and touched beforehand, but where the way is to make one (`write_buffer` makes its own inside).
//! Buffers that are storage and mapped at once are a feature that the device of an address space is opened without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Plain;
use crate::cli::Failure;

/// Bytes of a piece, and how many buffers of that size take turns.
type Shape = (usize, usize);

/// The rings that are tried: small pieces stay in a cache, large ones cost fewer submissions.
const RINGS: [Shape; 3] = [(512 << 10, 8), (2 << 20, 4), (8 << 20, 2)];

/// A way to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// All in one call, staging left to wgpu (up), or through one buffer as large as the data (down).
    Whole,
    /// Up only: `write_buffer` in pieces of this many bytes, each submitted at once.
    Pieces(usize),
    /// Up only: through a buffer made for the copy, mapped as it is made.
    Made,
    /// Through mapped buffers that take turns, so that the CPU fills or empties one while the device copies others.
    Ring(usize),
}

impl Way {
    /// What there is to the device.
    pub const UP: [Self; 6] = [
        Self::Whole,
        Self::Pieces(8 << 20),
        Self::Made,
        Self::Ring(0),
        Self::Ring(1),
        Self::Ring(2),
    ];

    /// What there is from the device.
    pub const DOWN: [Self; 4] = [Self::Whole, Self::Ring(0), Self::Ring(1), Self::Ring(2)];

    /// Its name, for people; `up` says which direction.
    #[must_use]
    pub fn name(self, up: bool) -> String {
        match self {
            Self::Whole if up => "write_buffer".to_owned(),
            Self::Whole => "copy + map + memcpy".to_owned(),
            Self::Pieces(bytes) => format!("write_buffer by {} KiB", bytes >> 10),
            Self::Made => "a buffer mapped at creation".to_owned(),
            Self::Ring(ring) => {
                let (bytes, count) = RINGS[ring];
                format!("a ring of {count} x {} KiB", bytes >> 10)
            }
        }
    }
}

/// A mappable buffer and what it is doing.
struct Slot {
    buffer: wgpu::Buffer,
    /// The submission that uses it, after which it will be mapped.
    busy: Option<wgpu::SubmissionIndex>,
    mapped: Arc<AtomicBool>,
}

impl Slot {
    fn new(plain: &Plain, bytes: usize, up: bool) -> Self {
        use wgpu::BufferUsages as U;
        let usage = if up {
            U::MAP_WRITE | U::COPY_SRC
        } else {
            U::MAP_READ | U::COPY_DST
        };
        let buffer = (plain.device).create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes as u64,
            usage,
            mapped_at_creation: up,
        });
        Self {
            buffer,
            busy: None,
            mapped: Arc::new(AtomicBool::new(up)),
        }
    }

    /// Asks for it to be mapped after a submission.
    fn map(&mut self, mode: wgpu::MapMode, after: wgpu::SubmissionIndex) {
        self.mapped.store(false, Ordering::Release);
        let told = Arc::clone(&self.mapped);
        self.buffer.map_async(mode, .., move |_| {
            // Whether it went well, the view will tell.
            told.store(true, Ordering::Release);
        });
        self.busy = Some(after);
    }

    /// Waits until it is mapped.
    fn ready(&mut self, plain: &Plain) -> Result<(), Failure> {
        if let Some(submission) = self.busy.take() {
            plain.wait(&submission)?;
        }
        plain.until(&self.mapped)
    }
}

/// A buffer on the device, memory of the CPU, and what is between them.
pub struct Copies {
    plain: Plain,
    buffer: wgpu::Buffer,
    whole: Slot,
    up: Vec<Vec<Slot>>,
    down: Vec<Vec<Slot>>,
}

impl Copies {
    /// For copies of so many bytes, a multiple of 8 MiB.
    #[must_use]
    pub fn new(plain: &Plain, bytes: usize) -> Self {
        let rings = |up: bool| -> Vec<Vec<Slot>> {
            let ring =
                |&(piece, count): &Shape| (0..count).map(|_| Slot::new(plain, piece, up)).collect();
            RINGS.iter().map(ring).collect()
        };
        Self {
            plain: plain.clone(),
            buffer: plain.storage(bytes as u64),
            whole: Slot::new(plain, bytes, false),
            up: rings(true),
            down: rings(false),
        }
    }

    /// The buffer on the device.
    #[must_use]
    pub const fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Copies all of `data`, as large as the buffer, to the device, and waits until it is there.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn up(&mut self, way: Way, data: &[u8]) -> Result<(), Failure> {
        let (queue, device) = (&self.plain.queue, &self.plain.device);
        let last = match way {
            Way::Whole => {
                queue.write_buffer(&self.buffer, 0, data);
                queue.submit([])
            }
            Way::Pieces(bytes) => {
                for (index, piece) in data.chunks(bytes).enumerate() {
                    queue.write_buffer(&self.buffer, (index * bytes) as u64, piece);
                    queue.submit([]);
                }
                queue.submit([])
            }
            Way::Made => {
                let staging = device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size: data.len() as u64,
                    usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
                    mapped_at_creation: true,
                });
                fill(&staging, data)?;
                self.submit(&staging, 0, &self.buffer, 0, data.len())
            }
            Way::Ring(ring) => return self.ring_up(ring, data),
        };
        self.plain.wait(&last)
    }

    fn ring_up(&mut self, ring: usize, data: &[u8]) -> Result<(), Failure> {
        let (bytes, count) = RINGS[ring];
        let mut last = None;
        for (index, piece) in data.chunks(bytes).enumerate() {
            let plain = self.plain.clone();
            let slot = &mut self.up[ring][index % count];
            slot.ready(&plain)?;
            fill(&slot.buffer, piece)?;
            let slot = &self.up[ring][index % count];
            let at = index * bytes;
            let after = self.submit(&slot.buffer, 0, &self.buffer, at, piece.len());
            self.up[ring][index % count].map(wgpu::MapMode::Write, after.clone());
            last = Some(after);
        }
        last.map_or(Ok(()), |last| self.plain.wait(&last))
    }

    /// Copies all of the buffer to `data`, as large.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn down(&mut self, way: Way, data: &mut [u8]) -> Result<(), Failure> {
        let Way::Ring(ring) = way else {
            let after = self.submit(&self.buffer, 0, &self.whole.buffer, 0, data.len());
            self.whole.map(wgpu::MapMode::Read, after);
            self.whole.ready(&self.plain)?;
            return empty(&self.whole.buffer, data);
        };
        let (bytes, count) = RINGS[ring];
        let pieces = data.len().div_ceil(bytes);
        for index in 0..pieces.min(count) {
            self.fetch(ring, index);
        }
        for (index, piece) in data.chunks_mut(bytes).enumerate() {
            let plain = self.plain.clone();
            let slot = &mut self.down[ring][index % count];
            slot.ready(&plain)?;
            empty(&slot.buffer, piece)?;
            if index + count < pieces {
                self.fetch(ring, index + count);
            }
        }
        Ok(())
    }

    /// Begins to bring a piece.
    fn fetch(&mut self, ring: usize, index: usize) {
        let (bytes, count) = RINGS[ring];
        let staging = &self.down[ring][index % count].buffer;
        let after = self.submit(&self.buffer, index * bytes, staging, 0, bytes);
        self.down[ring][index % count].map(wgpu::MapMode::Read, after);
    }

    fn submit(
        &self,
        from: &wgpu::Buffer,
        from_offset: usize,
        to: &wgpu::Buffer,
        to_offset: usize,
        bytes: usize,
    ) -> wgpu::SubmissionIndex {
        let mut encoder = self.plain.encoder();
        encoder.copy_buffer_to_buffer(from, from_offset as u64, to, to_offset as u64, bytes as u64);
        self.plain.queue.submit([encoder.finish()])
    }
}

/// Fills a mapped buffer, and unmaps it.
fn fill(buffer: &wgpu::Buffer, data: &[u8]) -> Result<(), Failure> {
    (buffer
        .get_mapped_range_mut(..data.len() as u64)
        .map_err(Failure::run)?)
    .copy_from_slice(data);
    buffer.unmap();
    Ok(())
}

/// Empties a mapped buffer, and unmaps it.
fn empty(buffer: &wgpu::Buffer, data: &mut [u8]) -> Result<(), Failure> {
    data.copy_from_slice(
        &buffer
            .get_mapped_range(..data.len() as u64)
            .map_err(Failure::run)?,
    );
    buffer.unmap();
    Ok(())
}
