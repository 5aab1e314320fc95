//! Passes: some workgroups of a launch, in as many submissions as keep each of them short.
//!
//! Key type: [`Prepared`] (the parameter blocks of all dispatches). Invariants: a dispatch is never larger than the
//! adapter's limit in any dimension; the report's flag is read after every submission, so a kernel that left its footprint
//! fails its launch.

use std::sync::Arc;

use gmem_hal::{
    DeviceError, Geometry, GridBox, Kernel, Launch, Pass, PassReport, Translation, counted,
};
use gmem_shaders::{Entry, GUARD_WORDS, How, Mode, PagedParams, Params, SlidParams, Variant};

use crate::clock::{Clock, Label};
use crate::device::{Attached, WgpuDevice};
use crate::gpu::Gpu;
use crate::kernel::WgpuKernel;
use crate::pace::{Boxes, take};
use crate::pipeline::{Compiled, Groups};
use crate::resource::Resource;
use crate::windows::WindowPlan;

fn unsupported(kernel: &str, reason: &str) -> DeviceError {
    DeviceError::Unsupported {
        reason: format!("kernel `{kernel}`: {reason}"),
    }
}

/// Checks what a launch binds against what its kernel declares.
pub(crate) fn check(
    entry: &Entry,
    launch: &Launch,
    geometry: &Geometry,
) -> Result<(), DeviceError> {
    let fail = |reason: String| Err(unsupported(&entry.name, &reason));
    if launch.bound.len() != entry.storage.len() || launch.values.len() != entry.values.len() {
        return fail(format!(
            "it has {} and {}, not {} and {}",
            counted(entry.storage.len() as u64, "storage binding"),
            counted(entry.values.len() as u64, "value"),
            launch.bound.len(),
            launch.values.len()
        ));
    }
    if launch.grid.contains(&0) {
        return fail("a grid needs at least one workgroup in each dimension".to_owned());
    }
    for (binding, bound) in entry.storage.iter().zip(&launch.bound) {
        let (name, least, align) = (
            &binding.name,
            u64::from(binding.min_bytes),
            u64::from(binding.align).max(4),
        );
        if bound.len < least {
            return fail(format!(
                "`{name}` needs at least {}, not {}",
                counted(least, "byte"),
                bound.len
            ));
        }
        if bound.len >= 16 << 30 {
            return fail(format!(
                "`{name}` is bound to {} bytes: the most is 16 GiB less one",
                bound.len
            ));
        }
        let odd = |stride: u32| stride > 2 && !stride.is_multiple_of(4);
        if bound.len > 8 << 30 && binding.runtime.is_some_and(|r| odd(r.stride)) {
            return fail(format!(
                "`{name}` is bound to {} bytes: for elements of an odd number of 16-bit values the most is 8 GiB",
                bound.len
            ));
        }
        if !bound.offset.is_multiple_of(align) || bound.end() > geometry.len {
            return fail(format!(
                "`{name}` is bound at offset {:#x}: it must begin at a multiple of {align} and end inside the space",
                bound.offset
            ));
        }
    }
    for (value, given) in entry.values.iter().zip(&launch.values) {
        if given.len() < value.bytes as usize {
            return fail(format!(
                "the value `{}` has {}, not {}",
                value.name,
                counted(value.bytes, "byte"),
                given.len()
            ));
        }
    }
    Ok(())
}

/// The parameters of a paged binding; its touch bits begin at word `touch_base` of a probe's record.
pub(crate) fn paged(
    entry: &Entry,
    launch: &Launch,
    geometry: &Geometry,
    binding: usize,
    touch_base: u32,
) -> PagedParams {
    let bound = launch.bound[binding];
    PagedParams {
        // Entry 0 of the table is nobody's.
        page_base: (bound.offset >> geometry.page.shift()) as u32 + 1,
        first_word: ((bound.offset & (geometry.page.bytes() - 1)) / 4) as u32,
        len_words: entry.storage[binding].words(bound.len) as u32,
        count: entry.storage[binding].count(bound.len),
        touch_base,
    }
}

/// The window and parameters of a slid binding.
fn slid(
    entry: &Entry,
    launch: &Launch,
    plan: &WindowPlan,
    binding: usize,
    translation: &Translation,
) -> Result<(u32, SlidParams), DeviceError> {
    let bound = launch.bound[binding];
    let declared = &entry.storage[binding];
    let count = declared.count(bound.len);
    let Translation::Slid {
        slice,
        frames,
        skip,
    } = *translation
    else {
        return Ok((
            0,
            SlidParams {
                slice_start_word: 0,
                slice_words: 0,
                base_word: GUARD_WORDS,
                count,
            },
        ));
    };
    // Outwards to whole elements of the binding's view; frames hold whole pages, so the bytes are there.
    let align = u64::from(declared.align).max(4);
    let start = slice.offset - slice.offset % align;
    let end = slice
        .end()
        .next_multiple_of(align)
        .min(declared.words(bound.len) * 4);
    let back = slice.offset - start;
    let place = plan.place(frames);
    let bytes = end.saturating_sub(start);
    if skip < back || skip - back + bytes > place.bytes {
        return Err(unsupported(
            &entry.name,
            &format!(
                "the slice {slice:?} of `{}` does not lie in its run of {}",
                declared.name,
                counted(frames.frames, "frame")
            ),
        ));
    }
    let base = (place.offset + skip - back) / 4;
    let params = SlidParams {
        slice_start_word: (start / 4) as u32,
        slice_words: (bytes / 4) as u32,
        base_word: base as u32,
        count,
    };
    Ok((place.window as u32, params))
}

/// Cuts a box so that no dimension has more than `most` workgroups.
pub(crate) fn cut(whole: &GridBox, most: u32) -> Vec<GridBox> {
    let parts = |d: usize| {
        let (start, size) = (whole.start[d], whole.size[d]);
        (0..size.div_ceil(most)).map(move |i| (start + i * most, most.min(size - i * most)))
    };
    let mut out = Vec::new();
    for (z, depth) in parts(2) {
        for (y, height) in parts(1) {
            out.extend(parts(0).map(|(x, width)| GridBox {
                start: [x, y, z],
                size: [width, height, depth],
            }));
        }
    }
    out
}

/// The dispatches of a submission.
pub(crate) struct Prepared {
    /// The parameter blocks, each at a multiple of `stride`.
    pub(crate) params: Vec<u8>,
    pub(crate) stride: u32,
    pub(crate) sizes: Vec<[u32; 3]>,
}

impl Prepared {
    pub(crate) fn new(alignment: u32, bindings: usize) -> Self {
        let stride = (Params::vectors(bindings) * 16).next_multiple_of(alignment);
        Self {
            params: Vec::new(),
            stride,
            sizes: Vec::new(),
        }
    }

    /// Adds the dispatches of a box: each block is a head for its first workgroup, then the words of the bindings.
    pub(crate) fn push(
        &mut self,
        whole: &GridBox,
        most: u32,
        head: impl Fn([u32; 3]) -> Params,
        bindings: &[u32],
    ) {
        for part in cut(whole, most) {
            self.params
                .extend_from_slice(bytemuck::cast_slice(head(part.start).words()));
            self.params
                .extend_from_slice(bytemuck::cast_slice(bindings));
            self.params
                .resize(self.params.len().next_multiple_of(self.stride as usize), 0);
            self.sizes.push(part.size);
        }
    }

    /// Records the dispatches.
    pub(crate) fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        compiled: &Compiled,
        groups: &Groups,
        clock: Option<&Clock>,
    ) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: clock.map(Clock::writes),
        });
        pass.set_pipeline(&compiled.pipeline);
        if let Some(users) = &groups.users {
            pass.set_bind_group(1, users, &[]);
        }
        for (index, [x, y, z]) in self.sizes.iter().enumerate() {
            let block = [index as u32 * self.stride];
            // A kernel without ids and storage needs no parameters.
            let offsets = if compiled.has_params() {
                &block[..]
            } else {
                &[]
            };
            pass.set_bind_group(0, &groups.own, offsets);
            pass.dispatch_workgroups(*x, *y, *z);
        }
    }
}

impl WgpuDevice {
    /// The launch's kernel, when it was made for this device.
    pub(crate) fn kernel_of<'a>(&self, launch: &'a Launch) -> Result<&'a WgpuKernel, DeviceError> {
        let kernel = launch.kernel.as_any().downcast_ref::<WgpuKernel>();
        kernel.filter(|k| self.is(k.device())).ok_or_else(|| {
            unsupported(
                launch.kernel.name(),
                "it was compiled for another device: compile it for this one",
            )
        })
    }

    /// How each binding is found, and the words of its parameters.
    pub(crate) fn translated(
        &self,
        entry: &Entry,
        launch: &Launch,
        attached: &Attached,
        translations: &[Translation],
        paged: impl Fn(usize) -> PagedParams,
    ) -> Result<(Vec<How>, Vec<u32>), DeviceError> {
        if translations.len() != entry.storage.len() {
            return Err(unsupported(&entry.name, "each binding needs a translation"));
        }
        let mut hows = Vec::with_capacity(entry.storage.len());
        let mut tail = Params::new([0; 3], [0; 3], 0);
        let head = tail.words().len();
        for (binding, translation) in translations.iter().enumerate() {
            hows.push(match translation {
                Translation::Paged => {
                    tail.push_paged(paged(binding));
                    How::Paged
                }
                Translation::Untouched | Translation::Slid { .. } => {
                    let plan = &attached.plan;
                    let (window, params) = slid(entry, launch, plan, binding, translation)?;
                    tail.push_slid(params);
                    let words = entry.storage[binding].words(launch.bound[binding].len);
                    if params.slice_start_word == 0 && u64::from(params.slice_words) == words {
                        How::Whole { window }
                    } else {
                        How::Slid { window }
                    }
                }
            });
        }
        Ok((hows, tail.words()[head..].to_vec()))
    }

    /// Windows to compile for. Without a paged binding their number changes nothing: do not compile again for it.
    pub(crate) fn windows_of(&self, bindings: &[How]) -> u32 {
        let windows = self.window_count();
        let needed = bindings
            .iter()
            .map(|how| how.window().map_or(windows, |w| w + 1));
        needed.max().unwrap_or(1)
    }

    pub(crate) fn run_pass(&self, pass: &Pass<'_>) -> Result<PassReport, DeviceError> {
        let attached = self.attached("run")?;
        let geometry = &attached.geometry;
        let kernel = self.kernel_of(pass.launch)?;
        let entry = kernel.entry();
        let launch = pass.launch;
        check(entry, launch, geometry)?;
        let paged = |binding| paged(entry, launch, geometry, binding, 0);
        let (bindings, tail) =
            self.translated(entry, launch, attached, pass.translations, paged)?;
        let variant = Variant {
            mode: Mode::Run,
            page_shift: geometry.page.shift(),
            windows: self.windows_of(&bindings),
            bindings,
        };
        let compiled = kernel.compiled(variant)?;

        let mut rest: Boxes<()> = pass.boxes.iter().map(|&part| (part, ())).collect();
        let limits = &self.facts().limits;
        let (most, alignment) = (
            limits.max_compute_workgroups_per_dimension,
            limits.min_uniform_buffer_offset_alignment,
        );
        if let Some(reason) = kernel.waits() {
            let parts: usize = pass.boxes.iter().map(|part| cut(part, most).len()).sum();
            if parts > 1 {
                return Err(unsupported(
                    &entry.name,
                    &format!(
                        "it must run in one piece ({reason}), and a grid of {:?} takes {parts} dispatches: use a smaller one",
                        launch.grid
                    ),
                ));
            }
        }
        let grid = launch.grid;
        let (values, resources) = (launch.values.clone(), kernel.resources());
        let (compiled, pace) = (compiled.get(), kernel.pace());
        let label = self.label(&entry.name, false);
        let (budget, storage) = (self.submission(), entry.storage.len());
        let (seconds, flag) = self.thread().call(move |gpu| {
            let (mut seconds, mut flag) = (0.0, false);
            while !rest.is_empty() && !flag {
                // Workgroups that wait for each other must all run.
                let room = pace
                    .as_ref()
                    .map_or(u64::MAX, |pace| pace.lock().next(budget));
                let boxes = take(&mut rest, room);
                let mut prepared = Prepared::new(alignment, storage);
                for (part, ()) in &boxes {
                    let head = |start| Params::new(start, grid, 0);
                    prepared.push(part, most, head, &tail);
                }
                let submitted =
                    gpu.submit_pass(&compiled, prepared, &values, &resources, label.clone())?;
                seconds += submitted.0;
                flag = submitted.1;
                if let Some(pace) = &pace {
                    let workgroups = boxes.iter().map(|(part, ())| part.workgroups()).sum();
                    pace.lock().took(workgroups, submitted.0);
                }
            }
            Ok((seconds, flag))
        })?;
        if flag {
            return Err(DeviceError::Confined {
                kernel: entry.name.clone(),
            });
        }
        Ok(PassReport { seconds })
    }
}

impl Gpu {
    /// Submits some of a pass: how long it took, and whether anything strayed.
    fn submit_pass(
        &mut self,
        compiled: &Compiled,
        mut prepared: Prepared,
        values: &[Vec<u8>],
        resources: &Arc<Vec<Resource>>,
        label: Option<Label>,
    ) -> Result<(f64, bool), DeviceError> {
        let params = std::mem::take(&mut prepared.params);
        let groups = compiled.warm(self, params, values, resources)?;
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if !self.reports()?.clean {
            encoder.clear_buffer(&self.reports()?.report, 0, Some(4));
        }
        prepared.encode(&mut encoder, compiled, &groups, self.clock.as_ref());
        let read = self.submit_and_read(encoder, 4, label, |bytes| bytes != [0; 4]);
        if let Some(reports) = self.reports.as_mut() {
            reports.clean = matches!(read, Ok((_, false)));
        }
        read
    }
}

/// The same device.
impl WgpuDevice {
    fn is(&self, other: &Arc<Self>) -> bool {
        std::ptr::eq(self, Arc::as_ptr(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_beyond_the_limit_are_cut_and_lose_no_workgroup() {
        let whole = GridBox {
            start: [5, 0, 7],
            size: [200_000, 3, 2],
        };
        let parts = cut(&whole, 65_535);
        assert_eq!(parts.len(), 4);
        assert_eq!(
            parts.iter().map(GridBox::workgroups).sum::<u64>(),
            whole.workgroups()
        );
        assert_eq!(
            parts[3],
            GridBox {
                start: [5 + 3 * 65_535, 0, 7],
                size: [200_000 - 3 * 65_535, 3, 2]
            }
        );
        let parts = cut(&GridBox::whole([3, 70_000, 70_000]), 65_535);
        assert_eq!(parts.len(), 4);
        assert!(parts.iter().all(|p| p.size.iter().all(|&n| n <= 65_535)));
    }
}
