//! A kernel compiled for one device: what the manager asks of it is answered by its analysis, on the host.
//!
//! Key types: [`WgpuKernel`], [`Cores`]. Invariants: pipelines are made on first use, never here; a kernel with textures bound to
//! it shares all else with the one that it was made of, and so do kernels of the same content that live at the same time.

use std::any::Any;
use std::sync::{Arc, Weak};

use gmem_hal::{
    BindingFootprint, BindingUse, ByteRange, DeviceError, Footprint, GridBox, Kernel, Launch,
};
use gmem_shaders::{Entry, ResourceKind, Source, Variant};
use parking_lot::Mutex;

use crate::device::WgpuDevice;
use crate::error::CompileError;
use crate::pace::Pace;
use crate::pipeline::{Compiled, Variants};
use crate::resource::{self, Resource};
use crate::thread::Kept;

/// A kernel for one device.
pub struct WgpuKernel {
    core: Arc<Core>,
    resources: Kept<Vec<Resource>>,
    /// Which of them must not be filtered, or what is missing.
    unfiltered: Result<Vec<bool>, DeviceError>,
}

/// What all launches of a kernel share.
pub(crate) struct Core {
    entry: Arc<Entry>,
    bindings: Vec<BindingUse>,
    feeds: Vec<bool>,
    /// Which bindings pointers are followed in; empty where there are none.
    follows: Vec<bool>,
    /// Why workgroups wait for each other, if they do.
    waits: Option<String>,
    /// What it does that undoing its stores to storage does not undo.
    lasting: Option<String>,
    variants: Variants,
    /// `None` where workgroups wait for each other: they run in one submission.
    pace: Option<Arc<Mutex<Pace>>>,
    probe_pace: Arc<Mutex<Pace>>,
    attempt_pace: Arc<Mutex<Pace>>,
    device: Arc<WgpuDevice>,
}

/// The kernels of a device that are alive.
#[derive(Default)]
pub(crate) struct Cores {
    alive: Mutex<Vec<Weak<Core>>>,
}

impl Cores {
    /// The one of an entry point.
    pub(crate) fn of(&self, entry: &Arc<Entry>) -> Option<Arc<Core>> {
        let alive = self.alive.lock();
        let mut alive = alive.iter().filter_map(Weak::upgrade);
        alive.find(|core| Arc::ptr_eq(&core.entry, entry))
    }

    /// One more: that which another thread made of the same in the meantime, if there is one, else `core`.
    pub(crate) fn add(&self, core: Arc<Core>) -> Arc<Core> {
        let mut alive = self.alive.lock();
        let mut others = alive.iter().filter_map(Weak::upgrade);
        if let Some(other) = others.find(|other| Arc::ptr_eq(&other.entry, &core.entry)) {
            return other;
        }
        alive.retain(|core| core.strong_count() > 0);
        alive.push(Arc::downgrade(&core));
        core
    }
}

impl WgpuKernel {
    /// Parses a shader (a text alone is WGSL) and analyses one compute entry point: the only one when `entry` is `None`.
    ///
    /// # Errors
    /// What is wrong with the source, or that the device has not what it uses, or is too small for its workgroups.
    pub fn compile<'a>(
        device: &Arc<WgpuDevice>,
        source: impl Into<Source<'a>>,
        entry: Option<&str>,
        overrides: &[(String, f64)],
    ) -> Result<Arc<dyn Kernel>, CompileError> {
        Ok(Self::new(device, source, entry, overrides)?)
    }

    /// As [`WgpuKernel::compile`], with its own type kept.
    ///
    /// # Errors
    /// As [`WgpuKernel::compile`].
    pub fn new<'a>(
        device: &Arc<WgpuDevice>,
        source: impl Into<Source<'a>>,
        entry: Option<&str>,
        overrides: &[(String, f64)],
    ) -> Result<Arc<Self>, CompileError> {
        let entry = device.cache().entry(&source.into(), entry, overrides)?;
        if let Some(core) = device.cores().of(&entry) {
            return Ok(Arc::new(Self::bound(core, Vec::new())));
        }
        if let Some(reason) = device.facts().abilities.missing(&entry, entry.text()) {
            return Err(CompileError::Unsupported {
                kernel: entry.name.clone(),
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
                kernel: entry.name.clone(),
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
        let (waits, lasting) = (waits(&entry), lasting(&entry));
        let follows = (entry.storage.iter())
            .map(gmem_shaders::StorageBinding::follows_pointers)
            .collect();
        let core = Arc::new(Core {
            entry,
            bindings,
            feeds,
            follows,
            pace: waits.is_none().then(Arc::default),
            probe_pace: Arc::default(),
            attempt_pace: Arc::default(),
            waits,
            lasting,
            variants: Variants::default(),
            device: Arc::clone(device),
        });
        let core = device.cores().add(core);
        Ok(Arc::new(Self::bound(core, Vec::new())))
    }

    fn bound(core: Arc<Core>, resources: Vec<Resource>) -> Self {
        let unfiltered = resource::check(&core.entry, &resources)
            .map(|()| resource::unfiltered(&core.entry, &resources, core.device.facts().features));
        Self {
            resources: Kept::new(resources, core.device.thread()),
            unfiltered,
            core,
        }
    }

    /// The kernel with its textures and samplers bound, in the order of its [`Entry::resources`]; what was compiled of
    /// either serves both. They are held until the kernel's next launch with others, or its end, and let go in the
    /// device's own thread. A launch is refused that lacks one.
    #[must_use]
    pub fn with_resources(&self, resources: Vec<Resource>) -> Arc<Self> {
        Arc::new(Self::bound(Arc::clone(&self.core), resources))
    }

    /// The entry point: its bindings, uniforms and layouts.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.core.entry
    }

    pub(crate) fn device(&self) -> &Arc<WgpuDevice> {
        &self.core.device
    }

    pub(crate) fn pace(&self) -> Option<Arc<Mutex<Pace>>> {
        self.core.pace.clone()
    }

    pub(crate) fn probe_pace(&self) -> Arc<Mutex<Pace>> {
        Arc::clone(&self.core.probe_pace)
    }

    pub(crate) fn attempt_pace(&self) -> Arc<Mutex<Pace>> {
        Arc::clone(&self.core.attempt_pace)
    }

    pub(crate) fn resources(&self) -> Arc<Vec<Resource>> {
        self.resources.get()
    }

    /// The kernel compiled for a variant and for what is bound to it.
    pub(crate) fn compiled(&self, variant: Variant) -> Result<Arc<Kept<Compiled>>, DeviceError> {
        let core = &self.core;
        let unfiltered = self.unfiltered.clone()?;
        core.variants
            .get(&core.device, &core.entry, variant, unfiltered)
    }

    /// For each binding, which may have several ranges, the first one that it shares memory with, itself if none.
    fn aliases(bound: &[Vec<ByteRange>]) -> Vec<usize> {
        let share = |a: &[ByteRange], b: &[ByteRange]| {
            let filled = |r: &&ByteRange| r.len > 0;
            (a.iter().filter(filled)).any(|a| b.iter().filter(filled).any(|b| a.overlaps(*b)))
        };
        let mut group: Vec<usize> = (0..bound.len()).collect();
        for b in 0..bound.len() {
            for a in 0..b {
                if share(&bound[a], &bound[b]) {
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

/// Which workgroups wait for what.
fn waits(entry: &Entry) -> Option<String> {
    let wait = entry.hazard().waits.into_iter().next()?;
    let name = &entry.storage[wait.binding].name;
    let line = match wait.line {
        0 => String::new(),
        line => format!(" (line {line})"),
    };
    Some(format!(
        "its workgroups wait for each other: a loop looks at `{name}` until another one changes it{line}"
    ))
}

/// The textures that it stores to.
fn lasting(entry: &Entry) -> Option<String> {
    let painted = entry
        .resources
        .iter()
        .find(|r| matches!(r.kind, ResourceKind::StorageTexture { writes, .. } if writes))?;
    Some(format!(
        "it stores to the texture `{}`, which cannot be undone",
        painted.name
    ))
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
        &self.core.entry.name
    }

    fn bindings(&self) -> &[BindingUse] {
        &self.core.bindings
    }

    fn footprint(&self, launch: &Launch, workgroups: &GridBox) -> Vec<BindingFootprint> {
        let lens: Vec<u64> = launch.bound.iter().map(|b| b.len).collect();
        let values: Vec<&[u8]> = launch.values.iter().map(Vec::as_slice).collect();
        let boxed = (workgroups.start, workgroups.size);
        let entry = &self.core.entry;
        let (module, info) = (&entry.module, &entry.info);
        let found = entry
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
        let analysis = &self.core.entry.analysis;
        let bound: Vec<Vec<ByteRange>> = (launch.bound.iter().enumerate())
            .map(|(b, &bound)| match launch.follows(b) {
                true => launch.reach.iter().map(|r| r.bytes).collect(),
                false => vec![bound],
            })
            .collect();
        analysis.probeable(&Self::aliases(&bound))
    }

    fn feeds(&self) -> &[bool] {
        &self.core.feeds
    }

    fn follows(&self) -> &[bool] {
        &self.core.follows
    }

    fn waits(&self) -> Option<&str> {
        self.core.waits.as_deref()
    }

    fn attemptable(&self, _launch: &Launch) -> Result<(), String> {
        self.core.lasting.clone().map_or(Ok(()), Err)
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
        let r = |offset, len| vec![ByteRange::new(offset, len)];
        assert_eq!(
            WgpuKernel::aliases(&[r(0, 10), r(10, 10), r(30, 5)]),
            [0, 1, 2]
        );
        assert_eq!(
            WgpuKernel::aliases(&[r(0, 10), r(20, 10), r(5, 20)]),
            [0, 0, 0]
        );
        assert_eq!(WgpuKernel::aliases(&[r(0, 10), r(5, 0)]), [0, 1]);
        let holes = vec![ByteRange::new(0, 10), ByteRange::new(40, 10)];
        assert_eq!(
            WgpuKernel::aliases(&[r(10, 30), holes.clone(), r(45, 1)]),
            [0, 1, 1],
            "what lies between is not shared"
        );
        assert_eq!(
            WgpuKernel::aliases(&[r(50, 10), r(0, 10), r(55, 10), r(5, 4)]),
            [0, 1, 0, 1]
        );
    }
}
