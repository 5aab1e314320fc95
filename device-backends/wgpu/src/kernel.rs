//! A kernel compiled for one device: what the manager asks of it is answered by its analysis, on the host.
//!
//! Key type: [`WgpuKernel`]. Invariant: pipelines are made on first use, never here.

use std::any::Any;
use std::sync::Arc;

use gmem_hal::{BindingFootprint, BindingUse, ByteRange, Footprint, GridBox, Kernel, Launch};
use gmem_shaders::{Entry, Program};

use crate::device::WgpuDevice;
use crate::error::CompileError;
use crate::pipeline::Variants;

/// A kernel for one device.
pub struct WgpuKernel {
    entry: Entry,
    bindings: Vec<BindingUse>,
    feeds: Vec<bool>,
    pub(crate) variants: Variants,
    pub(crate) device: Arc<WgpuDevice>,
}

impl WgpuKernel {
    /// Parses WGSL and analyses one compute entry point: the only one when `entry` is `None`.
    ///
    /// # Errors
    /// What is wrong with the source, or that the device has not what it uses, or is too small for its workgroups.
    pub fn compile(
        device: &Arc<WgpuDevice>,
        source: &str,
        entry: Option<&str>,
        overrides: &[(String, f64)],
    ) -> Result<Arc<dyn Kernel>, CompileError> {
        Ok(Self::new(device, source, entry, overrides)?)
    }

    /// As [`WgpuKernel::compile`], with its own type kept.
    ///
    /// # Errors
    /// As [`WgpuKernel::compile`].
    pub fn new(
        device: &Arc<WgpuDevice>,
        source: &str,
        entry: Option<&str>,
        overrides: &[(String, f64)],
    ) -> Result<Arc<Self>, CompileError> {
        let entry = Program::from_wgsl(source)?.entry(entry, overrides)?;
        if let Some(reason) = device.facts().abilities.missing(&entry, source) {
            return Err(CompileError::Unsupported {
                kernel: entry.name,
                reason,
            });
        }
        let limits = &device.facts().limits;
        let [x, y, z] = entry.workgroup_size;
        let most = [
            limits.max_compute_workgroup_size_x,
            limits.max_compute_workgroup_size_y,
            limits.max_compute_workgroup_size_z,
        ];
        let invocations = u64::from(x) * u64::from(y) * u64::from(z);
        if x > most[0]
            || y > most[1]
            || z > most[2]
            || invocations > limits.max_compute_invocations_per_workgroup.into()
        {
            return Err(CompileError::Unsupported {
                kernel: entry.name,
                reason: format!(
                    "its workgroups of {x} x {y} x {z} are beyond {} x {} x {} and {} invocations",
                    most[0], most[1], most[2], limits.max_compute_invocations_per_workgroup
                ),
            });
        }
        let bindings = (entry.storage.iter())
            .map(|b| BindingUse {
                name: b.name.clone(),
                reads: b.reads,
                writes: b.writes,
            })
            .collect();
        let feeds = entry.analysis.feeds().to_vec();
        Ok(Arc::new(Self {
            entry,
            bindings,
            feeds,
            variants: Variants::default(),
            device: Arc::clone(device),
        }))
    }

    /// The entry point: its bindings, uniforms and layouts.
    #[must_use]
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// For each binding the first one that it shares memory with, itself if none.
    fn aliases(bound: &[ByteRange]) -> Vec<usize> {
        let mut group: Vec<usize> = (0..bound.len()).collect();
        for b in 0..bound.len() {
            for a in 0..b {
                if bound[a].overlaps(bound[b]) && bound[a].len > 0 && bound[b].len > 0 {
                    // Joining two groups keeps the lower representative for all of both.
                    let (low, high) = (group[a].min(group[b]), group[a].max(group[b]));
                    group
                        .iter_mut()
                        .filter(|g| **g == high)
                        .for_each(|g| *g = low);
                }
            }
        }
        group
    }
}

fn footprint(found: gmem_shaders::Footprint) -> Footprint {
    match found {
        gmem_shaders::Footprint::Ranges(ranges) => Footprint::Ranges(
            ranges
                .into_iter()
                .map(|r| ByteRange::new(r.start, r.end - r.start))
                .collect(),
        ),
        gmem_shaders::Footprint::Unknown => Footprint::Unknown,
    }
}

impl Kernel for WgpuKernel {
    fn name(&self) -> &str {
        &self.entry.name
    }

    fn bindings(&self) -> &[BindingUse] {
        &self.bindings
    }

    fn footprint(&self, launch: &Launch, workgroups: &GridBox) -> Vec<BindingFootprint> {
        let lens: Vec<u64> = launch.bound.iter().map(|b| b.len).collect();
        let values: Vec<&[u8]> = launch.values.iter().map(Vec::as_slice).collect();
        let boxed = (workgroups.start, workgroups.size);
        let (module, info) = (&self.entry.module, &self.entry.info);
        let found = self
            .entry
            .analysis
            .footprint(module, info, boxed, launch.grid, &lens, &values);
        found
            .into_iter()
            .map(|b| BindingFootprint {
                reads: footprint(b.reads),
                writes: footprint(b.writes),
            })
            .collect()
    }

    fn probeable(&self, launch: &Launch) -> Result<(), String> {
        self.entry.analysis.probeable(&Self::aliases(&launch.bound))
    }

    fn feeds(&self) -> &[bool] {
        &self.feeds
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_that_share_bytes_are_one_even_through_a_third() {
        let r = |offset, len| ByteRange::new(offset, len);
        assert_eq!(
            WgpuKernel::aliases(&[r(0, 10), r(10, 10), r(30, 5)]),
            [0, 1, 2]
        );
        assert_eq!(
            WgpuKernel::aliases(&[r(0, 10), r(20, 10), r(5, 20)]),
            [0, 0, 0]
        );
        assert_eq!(WgpuKernel::aliases(&[r(0, 10), r(5, 0)]), [0, 1]);
        assert_eq!(
            WgpuKernel::aliases(&[r(50, 10), r(0, 10), r(55, 10), r(5, 4)]),
            [0, 1, 0, 1]
        );
    }
}
