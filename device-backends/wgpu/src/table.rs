//! The device's page table: one 32-bit entry per page, in one buffer over the pages used so far.
//!
//! Key type: [`Table`]. Invariants: entry 0 is always zero (the shaders' way out), the entry of page `p` is at `p + 1`;
//! the host's shadow is what the device will see at its next submission; the buffer covers every page ever mapped, and
//! every page that a kernel looks up: behind its end a device may read any entry.

use std::ops::Range;

use gmem_hal::{DeviceError, PageEntry};

use crate::buffers::{Buffer, Purpose};
use crate::gpu::Gpu;
use crate::windows::{GUARD_BYTES, MAX_WINDOWS, WindowPlan};

/// The entry's page has a frame.
const VALID: u32 = 1;
/// Kernels may write it.
const WRITABLE: u32 = 2;
const WINDOW_SHIFT: u32 = 2;

/// Entries of a new table.
const FIRST_ENTRIES: usize = 1024;
/// Unchanged entries that are worth writing again rather than beginning another write.
const GAP: usize = 256;
/// The most entries that are looked through for the windows that they name.
const LOOKED_THROUGH: u64 = 1 << 20;
/// Bytes of writes that may wait for a submission of somebody else's.
const PENDING_BYTES: usize = 256 << 10;

/// The page table.
pub(crate) struct Table {
    pub(crate) buffer: Buffer,
    /// The entries, as long as the buffer has room for.
    shadow: Vec<u32>,
    pending: usize,
}

/// The entry of a frame.
pub(crate) fn encode(plan: &WindowPlan, frame: gmem_hal::FrameIndex, writable: bool) -> u32 {
    let place = plan.place(gmem_hal::FrameRun::new(frame, 1));
    // A page's words are a multiple of 1024, which leaves ten bits for the flags.
    let words = ((place.offset - GUARD_BYTES) / 4) as u32;
    words | (place.window as u32) << WINDOW_SHIFT | if writable { WRITABLE } else { 0 } | VALID
}

/// The one window that the valid ones of some entries name; 0 where there are none.
fn only_window(entries: impl Iterator<Item = u32>) -> Option<u32> {
    let mut windows = entries
        .filter(|entry| entry & VALID != 0)
        .map(|entry| entry >> WINDOW_SHIFT & (MAX_WINDOWS - 1));
    let first = windows.next().unwrap_or(0);
    windows.all(|window| window == first).then_some(first)
}

impl Gpu {
    fn table_buffer(&self, entries: usize) -> Result<Buffer, DeviceError> {
        let bytes = entries as u64 * 4;
        let what = "the page table";
        if bytes > self.facts.limits.max_storage_buffer_binding_size {
            return Err(DeviceError::OutOfMemory { what, bytes });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        self.buffer(Purpose::Table, what, bytes, usage, false)
    }

    /// Makes the table.
    pub(crate) fn create_table(&mut self) -> Result<(), DeviceError> {
        let buffer = self.table_buffer(FIRST_ENTRIES)?;
        self.table = Some(Table {
            buffer,
            shadow: vec![0; FIRST_ENTRIES],
            pending: 0,
        });
        Ok(())
    }

    /// Changes entries: later ones win.
    pub(crate) fn set_entries(
        &mut self,
        plan: &WindowPlan,
        entries: &[PageEntry],
    ) -> Result<(), DeviceError> {
        let highest = entries
            .iter()
            .filter(|e| e.frame.is_some())
            .map(|e| e.page + 1)
            .max()
            .unwrap_or(0);
        self.cover(highest as usize)?;
        let Some(table) = self.table.as_mut() else {
            return Err(DeviceError::Refused {
                call: "set_entries",
                reason: "no space is attached".to_owned(),
            });
        };
        let mut dirty: Vec<usize> = Vec::with_capacity(entries.len());
        for entry in entries {
            let index = entry.page as usize + 1;
            // A page above the table never had a translation to take away.
            let Some(word) = table.shadow.get_mut(index) else {
                continue;
            };
            let new = entry
                .frame
                .map_or(0, |(frame, writable)| encode(plan, frame, writable));
            if *word != new {
                *word = new;
                dirty.push(index);
            }
        }
        if !dirty.is_sorted() {
            dirty.sort_unstable();
        }
        let mut rest = dirty.as_slice();
        while let Some(&first) = rest.first() {
            let run = rest.windows(2).take_while(|w| w[1] - w[0] <= GAP).count() + 1;
            let words = &table.shadow[first..=rest[run - 1]];
            self.queue
                .write_buffer(&table.buffer, first as u64 * 4, bytemuck::cast_slice(words));
            table.pending += words.len() * 4;
            rest = &rest[run..];
        }
        if table.pending > PENDING_BYTES {
            table.pending = 0;
            self.queue.submit([]);
        }
        Ok(())
    }

    /// Makes the table cover pages that a kernel looks up.
    pub(crate) fn cover_pages(&mut self, pages: &[Range<u64>]) -> Result<(), DeviceError> {
        let highest = pages.iter().map(|p| p.end).max().unwrap_or(0);
        self.cover(highest as usize)
    }

    /// The window that all of some pages lie in, as far as they are resident, if it is one. Where none is, any will do.
    pub(crate) fn only_window(&self, pages: &[Range<u64>]) -> Option<u32> {
        let table = self.table.as_ref()?;
        if pages.iter().map(|p| p.end - p.start).sum::<u64>() > LOOKED_THROUGH {
            return None;
        }
        let len = table.shadow.len() as u64;
        let entries = pages.iter().flat_map(|p| {
            let (start, end) = ((p.start + 1).min(len), (p.end + 1).min(len));
            &table.shadow[start as usize..end as usize]
        });
        only_window(entries.copied())
    }

    /// Makes the table reach up to the entry `highest`.
    fn cover(&mut self, highest: usize) -> Result<(), DeviceError> {
        let Some(now) = self
            .table
            .as_ref()
            .map(|t| t.shadow.len())
            .filter(|&n| highest >= n)
        else {
            return Ok(());
        };
        let entries = (highest + 1).next_power_of_two().max(now * 2);
        // The last doubling may be cut short by the adapter's limit.
        let most = (self.facts.limits.max_storage_buffer_binding_size / 4) as usize;
        let entries = if entries > most && highest < most {
            most
        } else {
            entries
        };
        let buffer = self.table_buffer(entries)?;
        if let Some(table) = self.table.as_mut() {
            self.queue
                .write_buffer(&buffer, 0, bytemuck::cast_slice(&table.shadow));
            // Submitted at once, lest a second growth finds both copies waiting.
            self.queue.submit([]);
            table.shadow.resize(entries, 0);
            table.buffer = buffer;
            self.epoch += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmem_hal::{FrameIndex, PageSize};

    #[test]
    fn entries_name_window_and_word_above_ten_bits_of_flags() {
        let plan = WindowPlan::new(PageSize::MIN, 1 << 30, 8 * 4096 + 256, 32).unwrap();
        assert_eq!(plan.window_frames, 8);
        assert_eq!(encode(&plan, FrameIndex(0), false), VALID);
        assert_eq!(
            encode(&plan, FrameIndex(3), true),
            (3 * 1024) | VALID | WRITABLE
        );
        assert_eq!(
            encode(&plan, FrameIndex(8 * 5 + 7), true),
            (7 * 1024) | (5 << 2) | VALID | WRITABLE
        );
    }

    #[test]
    fn one_window_is_found_among_entries_that_name_no_other() {
        let plan = WindowPlan::new(PageSize::MIN, 1 << 30, 8 * 4096 + 256, 1000).unwrap();
        let at = |frame| encode(&plan, FrameIndex(frame), false);
        // An entry that was taken away names window 0, and counts for nothing.
        assert_eq!(
            only_window([0, at(8 * 255), 0, at(8 * 255 + 7)].into_iter()),
            Some(255)
        );
        assert_eq!(
            only_window([at(8 * 5), at(8 * 4), at(8 * 5)].into_iter()),
            None
        );
        assert_eq!(only_window([at(3), at(7)].into_iter()), Some(0));
        assert_eq!(only_window([0, 0].into_iter()), Some(0));
    }
}
