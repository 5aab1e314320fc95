//! Attempts: passes over the pages that they are granted, which tell what they touched; and the copies of frames that
//! such a pass is undone by.
//!
//! A checked kernel never sees the page table. It is given one of its own ([`Gpu::grants`]) with the granted pages of each
//! binding in turn, so that a page that is on the device, and not granted, is as missing as any other.

use gmem_hal::{
    Attempt, AttemptReport, DeviceError, FrameCopy, FrameRun, Geometry, Launch, PageEntry,
};
use gmem_shaders::naga::MemoryDecorations;
use gmem_shaders::{How, Mode, PagedParams, Rewritten, SlotKind, Variant};

use crate::buffers::Purpose;
use crate::device::WgpuDevice;
use crate::gpu::{Facts, Gpu};
use crate::pass::{check, paged, through_table, ways, windows_for};
use crate::probe::Layout;
use crate::recorded::{Bounds, Recorded};
use crate::report::FIRST_RECORD;
use crate::table::encode;
use crate::windows::{Place, WindowPlan};

/// Bytes that frames are copied through, within one window.
const SCRATCH_BYTES: u64 = 1 << 20;

/// The table of an attempt: entry 0 is nobody's, then come the pages of each binding.
struct Grants {
    entries: Vec<u32>,
    /// The entry of each binding's first page.
    bases: Vec<u32>,
}

impl Grants {
    fn new(launch: &Launch, geometry: &Geometry, plan: &WindowPlan, pages: &[PageEntry]) -> Self {
        let mut grants = Self {
            entries: vec![0],
            bases: Vec::new(),
        };
        for &bound in &launch.bound {
            let span = geometry.pages_of(bound);
            let base = grants.entries.len();
            grants.bases.push(base as u32);
            let end = base + (span.end - span.start) as usize;
            grants.entries.resize(end, 0);
            let first = pages.partition_point(|p| p.page < span.start);
            for entry in pages[first..].iter().take_while(|p| p.page < span.end) {
                if let Some((frame, writable)) = entry.frame {
                    let at = base + (entry.page - span.start) as usize;
                    grants.entries[at] = encode(plan, frame, writable);
                }
            }
        }
        grants
    }
}

impl WgpuDevice {
    pub(crate) fn run_attempt(&self, attempt: &Attempt<'_>) -> Result<AttemptReport, DeviceError> {
        let attached = self.attached("attempt")?;
        let (plan, geometry) = (
            &attached.plan.in_pieces(attempt.page),
            &Geometry {
                page: attempt.page,
                ..attached.geometry
            },
        );
        let launch = attempt.launch;
        let kernel = self.kernel_of(launch)?;
        let entry = kernel.entry();
        check(entry, launch, geometry)?;
        let layout = Layout::new(launch, geometry);
        let grants = Grants::new(launch, geometry, plan, attempt.pages);
        let paged = |binding: usize| PagedParams {
            page_base: grants.bases[binding],
            ..paged(entry, launch, geometry, binding, layout.touch_base(binding))
        };
        let through = through_table(entry, launch, geometry, attempt.translations);
        let ways = ways(entry, launch, geometry, &through, None);
        let (bindings, tail) = self.translated(
            entry,
            launch,
            attached,
            attempt.translations,
            through.into_iter().zip(ways),
            paged,
        )?;
        if bindings.iter().any(|how| matches!(how, How::Slid { .. })) {
            return Err(DeviceError::Refused {
                call: "attempt",
                reason: "a slid binding must lie there with all its bytes".to_owned(),
            });
        }
        let variant = Variant {
            mode: Mode::Checked,
            page_shift: geometry.page.shift(),
            windows: windows_for(&bindings, self.window_count()),
            bindings,
        };
        let compiled = kernel.compiled(variant)?;
        if attempt.boxes.is_empty() {
            return Ok(AttemptReport::default());
        }
        // What missed its page finds more pages in what is left of the attempt: it goes on to the end.
        let recorded = Recorded {
            compiled: compiled.get(),
            values: launch.values.clone(),
            resources: kernel.resources(),
            storage: entry.storage.len(),
            grid: launch.grid,
            tail,
            boxes: (attempt.boxes.iter())
                .map(|&part| (part, FIRST_RECORD as u32))
                .collect(),
            words: FIRST_RECORD + layout.words,
            label: self.label(&entry.name, false),
        };
        let (pace, bounds) = (kernel.attempt_pace(), Bounds::of(self));
        let entries = grants.entries;
        let (seconds, found) = self.thread().call(move |gpu| {
            gpu.cover_report(recorded.words)?;
            gpu.grant(&entries)?;
            recorded.run(gpu, &pace, bounds)
        })?;
        let report = layout.read(&found[FIRST_RECORD as usize..]);
        Ok(AttemptReport {
            missed: report.stopped,
            touched: report.touched,
            seconds,
        })
    }

    pub(crate) fn run_copies(&self, copies: &[FrameCopy]) -> Result<(), DeviceError> {
        let attached = self.attached("copy_frames")?;
        let runs = joined(&attached.plan, copies);
        if runs.is_empty() {
            return Ok(());
        }
        let scratch = SCRATCH_BYTES.max(attached.plan.page);
        self.thread()
            .call(move |gpu| gpu.copy_places(scratch, &runs))
    }
}

/// Copies as runs of bytes, joined where both sides are adjacent in their windows.
fn joined(plan: &WindowPlan, copies: &[FrameCopy]) -> Vec<(Place, Place)> {
    let mut runs: Vec<(Place, Place)> = Vec::new();
    for copy in copies {
        let place = |frame| plan.place(FrameRun::new(frame, 1));
        let (from, to) = (place(copy.from), place(copy.to));
        let follows = |a: &Place, b: &Place| a.window == b.window && a.offset + a.bytes == b.offset;
        match runs.last_mut() {
            Some((f, t)) if follows(f, &from) && follows(t, &to) => {
                f.bytes += from.bytes;
                t.bytes += to.bytes;
            }
            _ => runs.push((from, to)),
        }
    }
    runs
}

impl Gpu {
    /// Writes the table of an attempt.
    fn grant(&mut self, entries: &[u32]) -> Result<(), DeviceError> {
        let bytes = entries.len() as u64 * 4;
        if self.grants.as_ref().is_none_or(|b| b.size() < bytes) {
            let what = "the table of an attempt";
            let most = self.facts.limits.max_storage_buffer_binding_size;
            if bytes > most {
                return Err(DeviceError::OutOfMemory { what, bytes });
            }
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
            let size = bytes.next_power_of_two().max(4096).min(most);
            self.grants = Some(self.buffer(Purpose::Table, what, size, usage, false)?);
            self.epoch += 1;
        }
        if let Some(grants) = &self.grants {
            self.queue
                .write_buffer(grants, 0, bytemuck::cast_slice(entries));
        }
        Ok(())
    }

    /// Copies between windows, and through a scratch buffer inside one, which wgpu does not copy within.
    fn copy_places(&mut self, scratch: u64, runs: &[(Place, Place)]) -> Result<(), DeviceError> {
        for (from, to) in runs {
            self.window(from)?;
            self.window(to)?;
        }
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let inside = runs.iter().any(|(from, to)| from.window == to.window);
        if inside && self.scratch.is_none() {
            let what = "the scratch for copies of frames";
            self.scratch = Some(self.buffer(Purpose::Table, what, scratch, usage, false)?);
        }
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        // What waits in the scratch: where it goes.
        let mut waiting: Vec<Place> = Vec::new();
        let mut held = 0;
        for (from, to) in runs {
            let Some(buffer) = self.scratch.as_ref().filter(|_| from.window == to.window) else {
                let (source, target) = (self.window(from)?, self.window(to)?);
                encoder.copy_buffer_to_buffer(source, from.offset, target, to.offset, from.bytes);
                continue;
            };
            let mut done = 0;
            while done < from.bytes {
                if held == buffer.size() {
                    self.empty_scratch(&mut encoder, buffer, &mut waiting)?;
                    held = 0;
                }
                let part = (from.bytes - done).min(buffer.size() - held);
                let source = self.window(from)?;
                encoder.copy_buffer_to_buffer(source, from.offset + done, buffer, held, part);
                waiting.push(Place {
                    offset: to.offset + done,
                    bytes: part,
                    ..*to
                });
                held += part;
                done += part;
            }
        }
        if let Some(buffer) = &self.scratch {
            self.empty_scratch(&mut encoder, buffer, &mut waiting)?;
        }
        self.queue.submit([encoder.finish()]);
        self.uncaptured()
    }

    fn empty_scratch(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        scratch: &wgpu::Buffer,
        waiting: &mut Vec<Place>,
    ) -> Result<(), DeviceError> {
        let mut at = 0;
        for to in waiting.drain(..) {
            encoder.copy_buffer_to_buffer(scratch, at, self.window(&to)?, to.offset, to.bytes);
            at += to.bytes;
        }
        Ok(())
    }
}

/// Has every look at the flag really made, where the language has no atomic load: a loop looks at it until another
/// invocation raises it. (SPIR-V and Metal's language load it atomically.)
pub(crate) fn watch_report(rewritten: &mut Rewritten, facts: &Facts) {
    if !["gl", "dx12"].contains(&facts.adapter.backend) {
        return;
    }
    let mut decorations = MemoryDecorations::empty();
    let has = |feature| facts.features.contains(feature);
    decorations.set(
        MemoryDecorations::COHERENT,
        has(wgpu::Features::MEMORY_DECORATION_COHERENT),
    );
    decorations.set(
        MemoryDecorations::VOLATILE,
        has(wgpu::Features::MEMORY_DECORATION_VOLATILE),
    );
    let report = rewritten.slots.iter().find(|s| s.kind == SlotKind::Report);
    let Some(binding) = report.map(|slot| slot.binding) else {
        return;
    };
    for (_, variable) in rewritten.module.global_variables.iter_mut() {
        let place = variable.binding.map(|b| (b.group, b.binding));
        if place == Some((0, binding)) {
            variable.memory_decorations |= decorations;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmem_hal::{FrameIndex, PageSize};

    #[test]
    fn copies_join_only_where_both_sides_are_adjacent_in_a_window() {
        let plan = WindowPlan::new(PageSize::MIN, 1 << 30, 8 * 4096 + 256, 32).unwrap();
        let copy = |from, to| FrameCopy {
            from: FrameIndex(from),
            to: FrameIndex(to),
        };
        let runs = joined(
            &plan,
            &[copy(0, 4), copy(1, 5), copy(2, 7), copy(7, 9), copy(8, 10)],
        );
        let bytes: Vec<u64> = runs.iter().map(|(from, _)| from.bytes / 4096).collect();
        assert_eq!(bytes, [2, 1, 1, 1]);
        assert!(runs.iter().all(|(from, to)| from.bytes == to.bytes));
    }
}
