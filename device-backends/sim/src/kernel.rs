//! Kernels as Rust closures, called once for each workgroup.

use std::any::Any;

use gmem_hal::{BindingFootprint, BindingUse, Footprint, GridBox, Kernel, Launch};

use crate::{SimStop, SimThread};

type Body = dyn Fn(&mut SimThread<'_>) -> Result<(), SimStop> + Send + Sync;
type FootprintOf = dyn Fn(&Launch, &GridBox) -> Vec<BindingFootprint> + Send + Sync;

/// A binding that the kernel loads from.
#[must_use]
pub fn loads(name: &str) -> BindingUse {
    binding(name, true, false)
}

/// A binding that the kernel stores to and never loads from.
#[must_use]
pub fn stores(name: &str) -> BindingUse {
    binding(name, false, true)
}

/// A binding that the kernel loads from and stores to.
#[must_use]
pub fn updates(name: &str) -> BindingUse {
    binding(name, true, true)
}

fn binding(name: &str, reads: bool, writes: bool) -> BindingUse {
    BindingUse {
        name: name.to_owned(),
        reads,
        writes,
    }
}

/// A kernel of a [`crate::SimDevice`].
///
/// The closure sees the device through a [`SimThread`] only, and must do the same whenever it sees the same bytes.
/// It is called for probes too, where loads may stop it (hand the error on with `?`) and stores have no effect, and in
/// attempts, where loads may give zero and stores get lost: it must not panic whatever it reads. It is stopped in the end.
/// A kernel that follows addresses declares the regions that they may lead into as bindings like any other.
///
/// ```
/// use gmem_sim::{SimKernel, loads, updates};
///
/// let add = SimKernel::new("add", vec![loads("x"), updates("y")], |t| {
///     let at = u64::from(t.workgroup()[0]) * 4;
///     let sum = t.load::<u32>(0, at)?.wrapping_add(t.load::<u32>(1, at)?);
///     t.store(1, at, sum)
/// });
/// assert_eq!(gmem_hal::Kernel::name(&add), "add");
/// ```
pub struct SimKernel {
    name: String,
    bindings: Vec<BindingUse>,
    feeds: Vec<bool>,
    body: Box<Body>,
    footprint: Option<Box<FootprintOf>>,
    resident_only: Option<String>,
    waits: Option<String>,
    lasting: Option<String>,
}

impl SimKernel {
    /// A kernel whose footprint only a probe can tell, in which every binding that is loaded from may feed an address.
    pub fn new(
        name: &str,
        bindings: Vec<BindingUse>,
        body: impl Fn(&mut SimThread<'_>) -> Result<(), SimStop> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.to_owned(),
            feeds: bindings.iter().map(|binding| binding.reads).collect(),
            bindings,
            body: Box::new(body),
            footprint: None,
            resident_only: None,
            waits: None,
            lasting: None,
        }
    }

    /// Knows what a box touches without a probe. The closure gives one footprint for each binding.
    #[must_use]
    pub fn with_footprint(
        mut self,
        footprint: impl Fn(&Launch, &GridBox) -> Vec<BindingFootprint> + Send + Sync + 'static,
    ) -> Self {
        self.footprint = Some(Box::new(footprint));
        self
    }

    /// Says which bindings a probe loads from, when not all that the kernel loads from: one answer for each binding.
    ///
    /// # Panics
    /// When there is not one answer for each binding.
    #[must_use]
    pub fn with_feeds(mut self, feeds: &[bool]) -> Self {
        assert_eq!(
            feeds.len(),
            self.bindings.len(),
            "one answer for each binding"
        );
        self.feeds = feeds.to_vec();
        self
    }

    /// Refuses to be probed, for this reason: all of its bindings must be resident, or it is run in attempts.
    #[must_use]
    pub fn resident_only(mut self, reason: &str) -> Self {
        self.resident_only = Some(reason.to_owned());
        self
    }

    /// Has workgroups that wait for each other, for this reason. (Here they run one after another: it only says so.)
    #[must_use]
    pub fn waiting(mut self, reason: &str) -> Self {
        self.waits = Some(reason.to_owned());
        self
    }

    /// Refuses to be attempted, for this reason: it does what cannot be undone.
    #[must_use]
    pub fn lasting(mut self, reason: &str) -> Self {
        self.lasting = Some(reason.to_owned());
        self
    }

    pub(crate) fn call(&self, thread: &mut SimThread<'_>) -> Result<(), SimStop> {
        (self.body)(thread)
    }
}

impl std::fmt::Debug for SimKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimKernel")
            .field("name", &self.name)
            .field("bindings", &self.bindings)
            .finish_non_exhaustive()
    }
}

impl Kernel for SimKernel {
    fn name(&self) -> &str {
        &self.name
    }

    fn bindings(&self) -> &[BindingUse] {
        &self.bindings
    }

    fn footprint(&self, launch: &Launch, workgroups: &GridBox) -> Vec<BindingFootprint> {
        if let Some(footprint) = &self.footprint {
            return footprint(launch, workgroups);
        }
        let unknown_if = |used| {
            if used {
                Footprint::Unknown
            } else {
                Footprint::empty()
            }
        };
        self.bindings
            .iter()
            .map(|binding| BindingFootprint {
                reads: unknown_if(binding.reads),
                writes: unknown_if(binding.writes),
            })
            .collect()
    }

    fn probeable(&self, _launch: &Launch) -> Result<(), String> {
        self.resident_only.clone().map_or(Ok(()), Err)
    }

    fn feeds(&self) -> &[bool] {
        &self.feeds
    }

    fn waits(&self) -> Option<&str> {
        self.waits.as_deref()
    }

    fn attemptable(&self, _launch: &Launch) -> Result<(), String> {
        self.lasting.clone().map_or(Ok(()), Err)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
