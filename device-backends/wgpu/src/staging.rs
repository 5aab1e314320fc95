//! Copies between the host and windows, through two mapped buffers in each direction, so that the host fills or empties
//! one while the device copies the other.
//!
//! Key types: [`Staging`] (the device thread's half), [`Upload`] and [`Download`] (the callers' halves).
//! The caller's thread touches the host's bytes, because only it may borrow them; the device thread does the rest.
//! Invariant: a view of a mapped buffer is dropped before the buffer goes back to the device.

use gmem_hal::{ByteRange, CopyRun, DeviceError, HostMemory};

use crate::buffers::{Buffer, Purpose};
use crate::gpu::{Gpu, Mapping};
use crate::thread::DeviceThread;
use crate::windows::{Place, WindowPlan};

/// The most bytes of one staging buffer.
const MOST: u64 = 8 << 20;
/// The least: not less than a page of any size should need to be cut much.
const LEAST: u64 = 64 << 10;

/// Bytes of one staging buffer for a device whose windows may hold `cap` bytes.
pub(crate) fn chunk_bytes(cap: u64) -> u64 {
    (cap / 8).clamp(LEAST, MOST).next_multiple_of(4096)
}

/// A piece of a copy: bytes of the space, and where they are in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    offset: u64,
    place: Place,
}

/// Cuts runs into chunks that each fit one staging buffer.
fn chunks(plan: &WindowPlan, runs: &[CopyRun], bytes: u64) -> Vec<Vec<Piece>> {
    let mut out = Vec::new();
    let (mut chunk, mut room) = (Vec::new(), bytes);
    for run in runs {
        let mut piece = Piece {
            offset: run.offset,
            place: plan.place(run.frames),
        };
        let mut left = piece.place.bytes;
        while left > 0 {
            if room == 0 {
                out.push(std::mem::take(&mut chunk));
                room = bytes;
            }
            piece.place.bytes = left.min(room);
            chunk.push(piece);
            left -= piece.place.bytes;
            room -= piece.place.bytes;
            piece.offset += piece.place.bytes;
            piece.place.offset += piece.place.bytes;
        }
    }
    if !chunk.is_empty() {
        out.push(chunk);
    }
    out
}

fn length(chunk: &[Piece]) -> u64 {
    chunk.iter().map(|p| p.place.bytes).sum()
}

/// What a staging buffer is doing.
enum Slot {
    /// Nothing: it may be used by the device.
    Idle,
    /// It will be mapped once a submission is through.
    Coming(Mapping, wgpu::SubmissionIndex),
    /// The host has it.
    Mapped,
}

/// The staging buffers, as the device thread sees them.
pub(crate) struct Staging {
    up: [(Buffer, Slot); 2],
    down: [(Buffer, Slot); 2],
}

impl Gpu {
    /// Creates the staging buffers; the upload ones are mapped.
    pub(crate) fn create_staging(&mut self, bytes: u64) -> Result<(), DeviceError> {
        let up = |gpu: &Self| {
            let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
            let buffer = gpu.buffer(Purpose::Staging, "staging", bytes, usage, true)?;
            Ok::<_, DeviceError>((buffer, Slot::Mapped))
        };
        let down = |gpu: &Self| {
            let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
            let buffer = gpu.buffer(Purpose::Staging, "staging", bytes, usage, false)?;
            Ok::<_, DeviceError>((buffer, Slot::Idle))
        };
        self.staging = Some(Staging {
            up: [up(self)?, up(self)?],
            down: [down(self)?, down(self)?],
        });
        Ok(())
    }

    fn staging(&mut self) -> Result<&mut Staging, DeviceError> {
        let reason = "no space is attached".to_owned();
        self.staging.as_mut().ok_or(DeviceError::Refused {
            call: "a copy",
            reason,
        })
    }

    /// Copies a filled upload buffer into windows; it will come back mapped.
    fn send(&mut self, slot: usize, pieces: &[Piece]) -> Result<(), DeviceError> {
        for piece in pieces {
            self.window(&piece.place)?;
        }
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let staging = self.staging.as_ref().map(|s| &s.up[slot].0);
        let Some(buffer) = staging else { return Ok(()) };
        buffer.unmap();
        let mut at = 0;
        for piece in pieces {
            let place = &piece.place;
            encoder.copy_buffer_to_buffer(
                buffer,
                at,
                self.window(place)?,
                place.offset,
                place.bytes,
            );
            at += place.bytes;
        }
        let submission = self.queue.submit([encoder.finish()]);
        let mapping = self.map(buffer, wgpu::MapMode::Write, buffer.size());
        self.staging()?.up[slot].1 = Slot::Coming(mapping, submission);
        Ok(())
    }

    /// An upload buffer for the host to fill, once the device is through with it.
    fn writable(&mut self, slot: usize) -> Result<wgpu::BufferViewMut, DeviceError> {
        let staging = self.staging()?;
        let state = std::mem::replace(&mut staging.up[slot].1, Slot::Mapped);
        if let Slot::Coming(mapping, submission) = state {
            mapping.wait(self, &submission)?;
        }
        let buffer = &self.staging()?.up[slot].0;
        buffer.get_mapped_range_mut(..).map_err(|e| lost(&e))
    }

    /// Begins to copy windows into a download buffer.
    fn fetch(&mut self, slot: usize, pieces: &[Piece]) -> Result<(), DeviceError> {
        for piece in pieces {
            self.window(&piece.place)?;
        }
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let staging = self.staging()?;
        let (buffer, state) = &mut staging.down[slot];
        if !matches!(std::mem::replace(state, Slot::Idle), Slot::Idle) {
            // What an earlier, failed download left.
            buffer.unmap();
        }
        let Some(buffer) = self.staging.as_ref().map(|s| &s.down[slot].0) else {
            return Ok(());
        };
        let mut at = 0;
        for piece in pieces {
            let place = &piece.place;
            encoder.copy_buffer_to_buffer(
                self.window(place)?,
                place.offset,
                buffer,
                at,
                place.bytes,
            );
            at += place.bytes;
        }
        let submission = self.queue.submit([encoder.finish()]);
        let mapping = self.map(buffer, wgpu::MapMode::Read, at);
        self.staging()?.down[slot].1 = Slot::Coming(mapping, submission);
        Ok(())
    }

    /// Takes a download buffer back from the host.
    fn emptied(&mut self, slot: usize) -> Result<(), DeviceError> {
        let (buffer, state) = &mut self.staging()?.down[slot];
        buffer.unmap();
        *state = Slot::Idle;
        Ok(())
    }

    /// A download buffer for the host to empty.
    fn readable(&mut self, slot: usize, bytes: u64) -> Result<wgpu::BufferView, DeviceError> {
        let staging = self.staging()?;
        let state = std::mem::replace(&mut staging.down[slot].1, Slot::Mapped);
        if let Slot::Coming(mapping, submission) = state {
            mapping.wait(self, &submission)?;
        }
        self.staging()?.down[slot]
            .0
            .get_mapped_range(..bytes)
            .map_err(|e| lost(&e))
    }
}

fn lost(error: &wgpu::MapRangeError) -> DeviceError {
    DeviceError::Lost {
        reason: format!("a staging buffer cannot be reached: {error}"),
    }
}

/// The callers' half of uploads: which buffer is next, and the views that are at hand.
#[derive(Default)]
pub(crate) struct Upload {
    next: usize,
    views: [Option<wgpu::BufferViewMut>; 2],
}

impl Upload {
    /// Copies pages of the host into frames.
    pub(crate) fn copy(
        &mut self,
        thread: &DeviceThread,
        plan: &WindowPlan,
        bytes: u64,
        runs: &[CopyRun],
        host: &dyn HostMemory,
    ) -> Result<(), DeviceError> {
        for chunk in chunks(plan, runs, bytes) {
            let slot = self.next;
            let mut view = match self.views[slot].take() {
                Some(view) => view,
                None => thread.call(move |gpu| gpu.writable(slot))?,
            };
            let mut at = 0;
            for piece in &chunk {
                let end = at + piece.place.bytes as usize;
                host.with_bytes(
                    ByteRange::new(piece.offset, piece.place.bytes),
                    &mut |part| {
                        let part = &part[..part.len().min(end - at)];
                        view.slice(at..at + part.len()).copy_from_slice(part);
                        at += part.len();
                    },
                );
                at = end;
            }
            drop(view);
            self.next = 1 - slot;
            let other = self.next;
            let want = self.views[other].is_none();
            // One call both sends this buffer and brings the other one back, while this one is being copied.
            self.views[other] = thread
                .call(move |gpu| {
                    gpu.send(slot, &chunk)?;
                    if want {
                        gpu.writable(other).map(Some)
                    } else {
                        Ok(None)
                    }
                })?
                .or_else(|| self.views[other].take());
        }
        Ok(())
    }
}

/// The callers' half of downloads: only that there is one at a time.
#[derive(Default)]
pub(crate) struct Download;

impl Download {
    /// Copies frames home.
    pub(crate) fn copy(
        &mut self,
        thread: &DeviceThread,
        plan: &WindowPlan,
        bytes: u64,
        runs: &[CopyRun],
        host: &dyn HostMemory,
    ) -> Result<(), DeviceError> {
        let chunks = chunks(plan, runs, bytes);
        let mut begin: Vec<(usize, Vec<Piece>)> =
            chunks.iter().take(2).cloned().enumerate().collect();
        let mut emptied = None;
        for (index, chunk) in chunks.iter().enumerate() {
            let (slot, length) = (index % 2, length(chunk));
            let start = std::mem::take(&mut begin);
            let view = thread.call(move |gpu| {
                if let Some(slot) = emptied {
                    gpu.emptied(slot)?;
                }
                for (slot, chunk) in &start {
                    gpu.fetch(*slot, chunk)?;
                }
                gpu.readable(slot, length)
            })?;
            let mut at = 0;
            for piece in chunk {
                let end = at + piece.place.bytes as usize;
                host.write_bytes(piece.offset, &view[at..end]);
                at = end;
            }
            drop(view);
            emptied = Some(slot);
            begin.extend(chunks.get(index + 2).map(|chunk| (slot, chunk.clone())));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmem_hal::{FrameIndex, FrameRun, PageSize};

    #[test]
    fn chunks_hold_every_byte_once_in_order() {
        let plan = WindowPlan::new(PageSize::MIN, 1 << 20, 1 << 20, 32).unwrap();
        let run = |offset, first, frames| CopyRun {
            offset,
            frames: FrameRun::new(FrameIndex(first), frames),
        };
        let runs = [run(0, 7, 3), run(1 << 20, 0, 1), run(2 << 20, 20, 5)];
        for bytes in [4096, 8192, 12_288, 1 << 20] {
            let chunks = chunks(&plan, &runs, bytes);
            assert!(chunks.iter().all(|c| length(c) <= bytes));
            assert!(
                chunks[..chunks.len() - 1]
                    .iter()
                    .all(|c| length(c) == bytes)
            );
            let mut expect: Vec<(u64, u64)> = Vec::new();
            for r in &runs {
                let at = plan.place(r.frames).offset;
                expect.extend(
                    (0..u64::from(r.frames.frames)).map(|i| (r.offset + i * 4096, at + i * 4096)),
                );
            }
            let mut got = Vec::new();
            for piece in chunks.iter().flatten() {
                got.extend(
                    (0..piece.place.bytes / 4096)
                        .map(|i| (piece.offset + i * 4096, piece.place.offset + i * 4096)),
                );
            }
            assert_eq!(got, expect);
        }
    }
}
