//! What a kernel does to memory, read out of its IR.
//!
//! Three questions are answered here, none of which needs a GPU:
//!
//! - *uses*: how each storage binding is really accessed (declarations say `read_write` far too often);
//! - *feeds*: which loads decide addresses or control flow, and so must be performed by a probe, and
//!   whether a probe can be trusted at all ([`Analysis::probeable`]);
//! - *footprint*: which bytes of each binding a box of workgroups can touch ([`Analysis::footprint`]),
//!   by interpreting the kernel over intervals.
//!
//! Everything errs on one side: a footprint contains every byte that any invocation touches, a load that might
//! decide an address is called feeding, and doubt about a probe makes the kernel not probeable.

mod address;
mod arithmetic;
mod canon;
mod eval;
mod flow;
mod frame;
mod functions;
mod hazard;
mod interp;
mod interval;
#[cfg(test)]
mod interval_laws;
mod math;
mod origins;
mod place;
mod ranges;
mod reasons;
mod refine;
mod sites;
mod slice;
mod steady;
mod value;
mod waits;

use std::ops::Range;

use naga::valid::ModuleInfo;
use naga::{Expression, GlobalVariable, Handle, Module};

use canon::Statics;
use functions::Functions;
use reasons::Reasons;
use slice::Slice;

pub use functions::FunctionRef;
pub use hazard::{Hazard, HazardClass, Wait};
pub use origins::Origin;
pub use sites::{AccessKind, Site};
pub(crate) use steady::Steady;

/// How an entry point really accesses one storage binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindingUse {
    /// Some load, atomic load or read-modify-write reads it.
    pub reads: bool,
    /// Some store, atomic store or read-modify-write writes it.
    pub writes: bool,
    /// Some access is atomic (atomic loads and stores included).
    pub atomics: bool,
}

/// Which bytes of a binding are touched in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Footprint {
    /// Sorted, disjoint byte ranges, clipped to the binding's length, that contain every byte touched.
    Ranges(Vec<Range<u64>>),
    /// Addresses depend on what is not known before the kernel runs.
    Unknown,
}

impl Footprint {
    /// Nothing is touched.
    pub fn is_empty(&self) -> bool {
        matches!(self, Footprint::Ranges(ranges) if ranges.is_empty())
    }
}

/// The bytes of one storage binding that a box of workgroups touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingFootprint {
    /// Bytes that may be read (loads and read-modify-writes).
    pub reads: Footprint,
    /// Bytes that may be written (stores and read-modify-writes).
    pub writes: Footprint,
    /// Some index came from memory and was merely bounded by the program (`data[i] % n`): the ranges hold, but a
    /// probe may find much less.
    pub scattered: bool,
}

/// The box of workgroups that [`Analysis::footprint`] is asked about: its first workgroup and its size.
pub type WorkgroupBox = ([u32; 3], [u32; 3]);

/// The analysis of one compute entry point.
#[derive(Clone, Debug)]
pub struct Analysis {
    entry_index: usize,
    storage: Vec<Handle<GlobalVariable>>,
    values: Vec<Handle<GlobalVariable>>,
    uses: Vec<BindingUse>,
    sites: Vec<Site>,
    slice: Slice,
    reasons: Reasons,
    statics: Vec<Option<Statics>>,
}

impl Analysis {
    /// Analyses the entry point `module.entry_points[entry_index]`.
    ///
    /// `storage` and `values` name the storage and uniform variables that binding indices elsewhere in this
    /// type refer to. The module must be valid and its overrides resolved.
    pub fn new(
        module: &Module,
        info: &ModuleInfo,
        entry_index: usize,
        storage: &[Handle<GlobalVariable>],
        values: &[Handle<GlobalVariable>],
    ) -> Analysis {
        let functions = Functions::new(module, info, entry_index);
        let (sites, uses) = sites::collect(&functions, storage);
        let slice = Slice::compute(&functions);
        let reasons = Reasons::collect(&functions, &slice, storage);
        let statics = functions.map(Statics::new);
        Analysis {
            entry_index,
            storage: storage.to_vec(),
            values: values.to_vec(),
            uses,
            sites,
            slice,
            reasons,
            statics,
        }
    }

    /// Lets the reasons given by [`Analysis::probeable`] name source lines.
    #[must_use]
    pub fn with_source(mut self, source: &str) -> Self {
        self.reasons.resolve_lines(source);
        self
    }

    /// The true access modes, per storage binding.
    pub fn uses(&self) -> &[BindingUse] {
        &self.uses
    }

    /// Every access to storage that the entry point can reach.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// Per storage binding: some load from it decides a storage address, or control flow that leads to a storage
    /// access or ends a loop.
    pub fn feeds(&self) -> &[bool] {
        self.reasons.feeds()
    }

    /// Whether the value of this load from storage decides an address or control flow, so that a probe must
    /// really perform it.
    pub fn is_feeding(&self, function: FunctionRef, load: Handle<Expression>) -> bool {
        self.slice.contains(function, load)
    }

    /// Whether a probe, run before the kernel, sees the addresses that the kernel will use.
    ///
    /// `alias[b]` is the representative of the bindings that overlap `b` in memory (`b` itself when there are none).
    /// The error says what forbids it, in words for the kernel's author.
    pub fn probeable(&self, alias: &[usize]) -> Result<(), String> {
        self.reasons.probeable(&self.uses, alias)
    }

    /// The bytes that the workgroups `start .. start + size` of a launch of `grid` workgroups may touch.
    ///
    /// `lens` are the bound lengths in bytes of the storage bindings, `values` the bytes of the uniforms. The
    /// work is bounded: a kernel too involved for it gets `Unknown` throughout.
    pub fn footprint(
        &self,
        module: &Module,
        info: &ModuleInfo,
        workgroups: WorkgroupBox,
        grid: [u32; 3],
        lens: &[u64],
        values: &[&[u8]],
    ) -> Vec<BindingFootprint> {
        let functions = Functions::new(module, info, self.entry_index);
        let launch = frame::Launch {
            workgroups,
            grid,
            lens,
            values,
            storage: &self.storage,
            uniforms: &self.values,
        };
        interp::run(&functions, &self.statics, &self.uses, &launch)
    }
}
