//! Passes: some workgroups of a launch, in as many submissions as keep each of them short.
//!
//! Key type: [`Prepared`] (the parameter blocks of a submission's dispatches). Invariants: a dispatch is never larger than the
//! adapter's limit in any dimension; the report's flag is read after every submission, so a kernel that left its footprint
//! fails its launch.

use std::ops::Range;
use std::sync::Arc;

use gmem_hal::{
    DeviceError, Geometry, GridBox, Kernel, Launch, Pass, PassReport, Translation, counted,
};
use gmem_shaders::{Entry, GUARD_WORDS, How, Mode, PagedParams, Params, SlidParams, Variant};

use crate::clock::{Clock, Label};
use crate::device::{Attached, WgpuDevice};
use crate::gpu::Gpu;
use crate::kernel::WgpuKernel;
use crate::pace::{Boxes, dispatches, take};
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
        if let Some(array) = binding.runtime
            && binding.elements(bound.len) > u64::from(u32::MAX)
        {
            return fail(format!(
                "`{name}` is bound to {} bytes, which are more elements than an index can tell apart: \
                 bind at most {} bytes, {} elements of {} bytes",
                bound.len,
                u64::from(array.offset) + u64::from(u32::MAX) * u64::from(array.stride),
                u32::MAX,
                array.stride
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

/// Whether a binding is so long that its words, or what it counts its elements by, pass 32 bits.
fn is_far(entry: &Entry, launch: &Launch, geometry: &Geometry, binding: usize) -> bool {
    let (bound, declared) = (launch.bound[binding], &entry.storage[binding]);
    declared.runtime.is_some_and(|array| {
        let first = bound.offset & (geometry.page.bytes() - 1);
        let unit = if array.stride.is_multiple_of(4) { 4 } else { 2 };
        (first + bound.len).div_ceil(unit) > 1 << 32
    })
}

/// The bindings that a pass finds through the page table: of what is far the table has each page, whether or not they lie
/// in one run.
pub(crate) fn through_table(
    entry: &Entry,
    launch: &Launch,
    geometry: &Geometry,
    translations: &[Translation],
) -> Vec<usize> {
    let through = |&i: &usize| match translations.get(i) {
        Some(Translation::Paged) => true,
        Some(Translation::Slid { .. }) => is_far(entry, launch, geometry, i),
        Some(Translation::Untouched) | None => false,
    };
    (0..entry.storage.len()).filter(through).collect()
}

/// How each of the bindings that `paged` names is found through the page table: in window `only`, where one holds all that is
/// resident of them and nothing is left to choose.
pub(crate) fn ways(
    entry: &Entry,
    launch: &Launch,
    geometry: &Geometry,
    paged: &[usize],
    only: Option<u32>,
) -> Vec<How> {
    let way = |&binding: &usize| match only {
        _ if is_far(entry, launch, geometry, binding) => How::Far,
        Some(window) => How::PagedIn { window },
        None => How::Paged,
    };
    paged.iter().map(way).collect()
}

impl WgpuDevice {
    /// The one window that all that is resident of these pages lies in, where there is more than one to choose from.
    pub(crate) fn only_window(&self, pages: &[Range<u64>]) -> Result<Option<u32>, DeviceError> {
        if self.window_count() < 2 || pages.is_empty() {
            return Ok(None);
        }
        let pages = pages.to_vec();
        self.thread().call(move |gpu| Ok(gpu.only_window(&pages)))
    }
}

/// The windows that a variant needs of so many: where nothing is to be chosen, their number changes nothing, and is no
/// reason to compile again.
pub(crate) fn windows_for(hows: &[How], windows: u32) -> u32 {
    let needed = hows.iter().map(|h| h.window().map_or(windows, |w| w + 1));
    needed.max().unwrap_or(1)
}

/// The pages of some bindings.
pub(crate) fn pages_of(
    launch: &Launch,
    geometry: &Geometry,
    bindings: &[usize],
) -> Vec<Range<u64>> {
    let pages = bindings.iter().map(|&i| geometry.pages_of(launch.bound[i]));
    pages.collect()
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

    /// Adds the dispatch of a box that is no larger than one can be: its block is a head, then the words of the bindings.
    pub(crate) fn push(&mut self, part: &GridBox, head: &Params, bindings: &[u32]) {
        self.params
            .extend_from_slice(bytemuck::cast_slice(head.words()));
        self.params
            .extend_from_slice(bytemuck::cast_slice(bindings));
        self.params
            .resize(self.params.len().next_multiple_of(self.stride as usize), 0);
        self.sizes.push(part.size);
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

    /// How each binding is found, and the words of its parameters: `through` says which are found through a table, and how.
    pub(crate) fn translated(
        &self,
        entry: &Entry,
        launch: &Launch,
        attached: &Attached,
        translations: &[Translation],
        through: impl IntoIterator<Item = (usize, How)>,
        paged: impl Fn(usize) -> PagedParams,
    ) -> Result<(Vec<How>, Vec<u32>), DeviceError> {
        if translations.len() != entry.storage.len() {
            return Err(unsupported(&entry.name, "each binding needs a translation"));
        }
        let mut ways = vec![None; entry.storage.len()];
        for (binding, how) in through {
            ways[binding] = Some(how);
        }
        let mut hows = Vec::with_capacity(entry.storage.len());
        let mut tail = Params::new([0; 3], [0; 3], 0);
        let head = tail.words().len();
        for (binding, translation) in translations.iter().enumerate() {
            hows.push(if let Some(how) = ways[binding] {
                tail.push_paged(paged(binding));
                how
            } else {
                let plan = &attached.plan;
                let (window, params) = slid(entry, launch, plan, binding, translation)?;
                tail.push_slid(params);
                let words = entry.storage[binding].words(launch.bound[binding].len);
                if params.slice_start_word == 0 && u64::from(params.slice_words) == words {
                    How::Whole { window }
                } else {
                    How::Slid { window }
                }
            });
        }
        Ok((hows, tail.words()[head..].to_vec()))
    }

    pub(crate) fn run_pass(&self, pass: &Pass<'_>) -> Result<PassReport, DeviceError> {
        let attached = self.attached("run")?;
        let geometry = &attached.geometry;
        let kernel = self.kernel_of(pass.launch)?;
        let entry = kernel.entry();
        let launch = pass.launch;
        check(entry, launch, geometry)?;
        let through = through_table(entry, launch, geometry, pass.translations);
        let pages = pages_of(launch, geometry, &through);
        let ways = ways(entry, launch, geometry, &through, self.only_window(&pages)?);
        let (bindings, tail) = self.translated(
            entry,
            launch,
            attached,
            pass.translations,
            through.into_iter().zip(ways),
            |binding| paged(entry, launch, geometry, binding, 0),
        )?;
        let variant = Variant {
            mode: Mode::Run,
            page_shift: geometry.page.shift(),
            windows: windows_for(&bindings, self.window_count()),
            bindings,
        };
        let compiled = kernel.compiled(variant)?;

        let mut rest: Boxes<()> = pass.boxes.iter().map(|&part| (part, ())).collect();
        let limits = &self.facts().limits;
        let (side, alignment) = (
            limits.max_compute_workgroups_per_dimension,
            limits.min_uniform_buffer_offset_alignment,
        );
        if let Some(reason) = kernel.waits() {
            let parts = pass.boxes.iter().map(|part| dispatches(part, side));
            let parts = parts.fold(0, u64::saturating_add);
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
            gpu.cover_pages(&pages)?;
            let (mut seconds, mut flag) = (0.0, false);
            while !rest.is_empty() && !flag {
                // Workgroups that wait for each other must all run.
                let room = pace
                    .as_ref()
                    .map_or(u64::MAX, |pace| pace.lock().next(budget));
                let boxes = take(&mut rest, room, side);
                let mut prepared = Prepared::new(alignment, storage);
                for (part, ()) in &boxes {
                    prepared.push(part, &Params::new(part.start, grid, 0), &tail);
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
