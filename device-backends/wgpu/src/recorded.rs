//! Boxes of workgroups that leave records of what they touch, for probes and attempts: run in submissions that are bounded in
//! time, of which the last brings home what all have left.

use std::sync::Arc;
use std::time::Duration;

use gmem_hal::{DeviceError, GridBox};
use gmem_shaders::Params;
use parking_lot::Mutex;

use crate::clock::Label;
use crate::device::WgpuDevice;
use crate::gpu::Gpu;
use crate::pace::{Boxes, Pace, take};
use crate::pass::Prepared;
use crate::pipeline::Compiled;
use crate::resource::Resource;

/// What bounds a device's submissions.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// How long one is to take.
    budget: Duration,
    /// Workgroups of a dispatch along a dimension.
    side: u32,
    /// Bytes that parameter blocks are aligned to.
    alignment: u32,
}

impl Bounds {
    pub(crate) fn of(device: &WgpuDevice) -> Self {
        let limits = &device.facts().limits;
        Self {
            budget: device.submission(),
            side: limits.max_compute_workgroups_per_dimension,
            alignment: limits.min_uniform_buffer_offset_alignment,
        }
    }
}

/// A kernel that leaves records, and what it is run on.
pub(crate) struct Recorded {
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) values: Vec<Vec<u8>>,
    pub(crate) resources: Arc<Vec<Resource>>,
    /// Storage bindings of the kernel.
    pub(crate) storage: usize,
    pub(crate) grid: [u32; 3],
    /// The words of the parameters behind their head.
    pub(crate) tail: Vec<u32>,
    /// Each with the first word of its record.
    pub(crate) boxes: Boxes<u32>,
    /// Words of the report with all records.
    pub(crate) words: u64,
    pub(crate) label: Option<Label>,
}

impl Recorded {
    /// Runs the boxes, of which there are some. Returns how long they took, and the report.
    pub(crate) fn run(
        mut self,
        gpu: &mut Gpu,
        pace: &Mutex<Pace>,
        bounds: Bounds,
    ) -> Result<(f64, Vec<u32>), DeviceError> {
        let (mut begun, mut seconds) = (false, 0.0);
        loop {
            let boxes: Vec<(GridBox, u32)> = take(
                &mut self.boxes,
                pace.lock().next(bounds.budget),
                bounds.side,
            );
            let mut prepared = Prepared::new(bounds.alignment, self.storage);
            for (part, record) in &boxes {
                let head = Params::new(part.start, self.grid, *record);
                prepared.push(part, &head, &self.tail);
            }
            let params = std::mem::take(&mut prepared.params);
            let groups = (self.compiled).warm(gpu, params, &self.values, &self.resources)?;
            let mut encoder = gpu
                .device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            if !std::mem::replace(&mut begun, true) {
                encoder.clear_buffer(&gpu.reports()?.report, 0, Some(self.words * 4));
            }
            prepared.encode(&mut encoder, &self.compiled, &groups, gpu.clock.as_ref());
            let last = self.boxes.is_empty();
            let bytes = if last { self.words * 4 } else { 4 };
            let copy = |bytes: &[u8]| bytemuck::pod_collect_to_vec::<u8, u32>(bytes);
            let (took, found) = gpu.submit_and_read(encoder, bytes, self.label.clone(), copy)?;
            seconds += took;
            let workgroups = boxes.iter().map(|(part, _)| part.workgroups()).sum();
            pace.lock().took(workgroups, took);
            if last {
                return Ok((seconds, found));
            }
        }
    }
}
