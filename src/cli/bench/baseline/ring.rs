//! The ring under everything that streams: chunks go up, are worked on and come down, several in flight at once.
//!
//! While the device works on chunk k, the CPU copies chunk k + 1 into mapped staging, and empties the staging that an earlier
//! chunk came down in. One submission for each chunk, and the only wait is for the chunk whose staging is needed next.

use super::Plain;
use crate::cli::Failure;

/// How many chunks are under way at once: one that is computed, and one that comes down and then goes up. With a third, chunks are
/// smaller, which costs more on a software adapter than it hides.
pub const SETS: usize = 2;

/// Chunks that pass through a ring.
pub trait Chunks {
    /// How many there are.
    fn count(&self) -> usize;
    /// Copies what a chunk needs into staging.
    fn fill(&self, chunk: usize, staging: &mut wgpu::BufferViewMut);
    /// Records a chunk's work with the buffers of its set: copies out of `up`, the kernel, copies into `down`.
    fn record(
        &self,
        chunk: usize,
        encoder: &mut wgpu::CommandEncoder,
        up: &wgpu::Buffer,
        down: &wgpu::Buffer,
    );
    /// Copies what came back out of staging.
    fn empty(&mut self, chunk: usize, staging: &[u8]);
}

/// The staging of one set.
struct Slot {
    /// Mapped, except while a chunk is on its way.
    up: wgpu::Buffer,
    down: wgpu::Buffer,
    /// The chunk on its way, and its submission.
    under_way: Option<(usize, wgpu::SubmissionIndex)>,
}

/// The staging of all sets.
pub struct Ring {
    plain: Plain,
    slots: Vec<Slot>,
}

impl Ring {
    /// Staging for chunks that take at most so many bytes up and down.
    #[must_use]
    pub fn new(plain: &Plain, up: u64, down: u64) -> Self {
        use wgpu::BufferUsages as U;
        let staging = |size, usage, mapped_at_creation| {
            plain.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage,
                mapped_at_creation,
            })
        };
        let slots = (0..SETS)
            .map(|_| Slot {
                up: staging(up, U::MAP_WRITE | U::COPY_SRC, true),
                down: staging(down, U::MAP_READ | U::COPY_DST, false),
                under_way: None,
            })
            .collect();
        Self {
            plain: plain.clone(),
            slots,
        }
    }

    /// Passes all chunks through, and ends when the last one is back.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn run(&mut self, chunks: &mut impl Chunks) -> Result<(), Failure> {
        let count = chunks.count();
        for chunk in 0..count {
            self.finish(chunk % SETS, chunks)?;
            let slot = &mut self.slots[chunk % SETS];
            let mut view = slot.up.get_mapped_range_mut(..).map_err(Failure::run)?;
            chunks.fill(chunk, &mut view);
            drop(view);
            slot.up.unmap();
            let mut encoder = self.plain.encoder();
            chunks.record(chunk, &mut encoder, &slot.up, &slot.down);
            let submission = self.plain.queue.submit([encoder.finish()]);
            slot.up.map_async(wgpu::MapMode::Write, .., |_| {});
            slot.down.map_async(wgpu::MapMode::Read, .., |_| {});
            slot.under_way = Some((chunk, submission));
        }
        (count..count + SETS).try_for_each(|next| self.finish(next % SETS, chunks))
    }

    /// Waits for the chunk of a set, if there is one, and empties its staging.
    fn finish(&mut self, set: usize, chunks: &mut impl Chunks) -> Result<(), Failure> {
        let slot = &mut self.slots[set];
        if let Some((chunk, submission)) = slot.under_way.take() {
            // Both mappings were asked for before this submission was over, and come with it.
            self.plain.wait(&submission)?;
            let view = slot.down.get_mapped_range(..).map_err(Failure::run)?;
            chunks.empty(chunk, &view);
            drop(view);
            slot.down.unmap();
        }
        Ok(())
    }
}
