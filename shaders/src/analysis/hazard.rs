//! What makes it unsafe to run a workgroup of a kernel again: the hazard classes.
//!
//! - **A**: no barrier, no binding both read and written, no read-modify-write: an invocation may run again at any time;
//! - **B**: as A, with barriers: a workgroup may;
//! - **C**: a binding is read and written in place: not once a store has landed;
//! - **D**: an atomic operation reads and modifies storage: not at all;
//! - **E**: workgroups wait for each other (see [`Wait`]): all of them have to run, with everything there.
//!
//! The classes are those of a kernel whose bindings lie apart: two bindings of one memory are one to whoever launches it.

use naga::valid::{GlobalUse, ModuleInfo};
use naga::{AddressSpace, Barrier, Module, Span, Statement};

use super::functions::{Functions, each_statement};
use super::place::storage_root;
use super::sites::AccessKind;
use super::{Analysis, FunctionRef, waits};
use crate::Entry;
use crate::error::line;

/// How dangerous it is to run a workgroup again; each is worse than those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HazardClass {
    /// Neither barriers, nor bindings that are read and written, nor read-modify-writes.
    A,
    /// Barriers, otherwise as A.
    B,
    /// A binding is read and written in place, without read-modify-writes of storage.
    C,
    /// Read-modify-writes of storage.
    D,
    /// Workgroups wait for each other.
    E,
}

impl HazardClass {
    /// Its letter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
            Self::E => "E",
        }
    }
}

/// A loop that goes on until another invocation stores something.
///
/// A loop counts as one when what ends it depends on storage that others change (the result of an atomic operation, or a
/// load from a binding that the kernel writes) and an iteration can go round again without any *progress* of its own:
/// - a variable on which the loop's end depends is changed by counting (`i += 1`), or takes an index that was just read
///   (`node = parent[node]`);
/// - a compare-exchange is tried with a value that was read there just before, so that it fails only when another one
///   succeeded: the retry loops of lock-free algorithms. With a constant to compare with it is a lock, and no progress, but for
///   the way on which the constant was found there: then it exchanged, or is tried again because a weak one may fail for nothing;
/// - an `atomicAdd` or `atomicSub` whose result ends the loop changes what it reads by itself;
/// - a plain store goes to the binding that the loop watches.
///
/// A loop that also counts its attempts ends whatever others do, and is no wait. One that looks at several places in turn until
/// any of them changes looks like a search, and is taken for one.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// The storage binding that is watched, by its index.
    pub binding: usize,
    /// The function that has the loop.
    pub function: FunctionRef,
    /// Where the watched value is read.
    pub span: Span,
    /// The line of that, from 1 (0 when unknown): see [`Entry::hazard`].
    pub line: u32,
}

/// What makes it unsafe to run a workgroup again.
#[derive(Clone, Debug, PartialEq)]
pub struct Hazard {
    /// The class.
    pub class: HazardClass,
    /// Whether invocations of a workgroup meet at barriers.
    pub barriers: bool,
    /// The storage bindings that are read and written without read-modify-writes, by index.
    pub in_place: Vec<usize>,
    /// The storage bindings with read-modify-writes, by index.
    pub updated: Vec<usize>,
    /// Whether the result of a read-modify-write of storage is used.
    pub results_used: bool,
    /// The storage textures that are read and written, or changed by atomic operations, by name.
    pub textures: Vec<String>,
    /// The loops in which workgroups wait for each other.
    pub waits: Vec<Wait>,
}

impl Analysis {
    /// The hazard class and its causes. `module` and `info` are those that the analysis was made of.
    #[must_use]
    pub fn hazard(&self, module: &Module, info: &ModuleInfo) -> Hazard {
        let functions = Functions::new(module, info, self.entry_index);
        let (mut barriers, mut results_used) = (false, false);
        for body in functions.bodies() {
            each_statement(&body.function.body, &mut |statement, _| match *statement {
                Statement::ControlBarrier(kind) => {
                    barriers |=
                        kind.intersects(Barrier::STORAGE | Barrier::WORK_GROUP | Barrier::TEXTURE);
                }
                Statement::WorkGroupUniformLoad { .. } => barriers = true,
                Statement::Atomic {
                    pointer,
                    result: Some(result),
                    ..
                } => {
                    results_used |=
                        storage_root(&body, pointer).is_some() && body.info[result].ref_count > 0;
                }
                _ => {}
            });
        }
        let updated: Vec<usize> = (0..self.uses.len())
            .filter(|&b| {
                let mut sites = self.sites.iter();
                sites.any(|site| site.binding == b && site.kind == AccessKind::Update)
            })
            .collect();
        let in_place: Vec<usize> = (0..self.uses.len())
            .filter(|b| self.uses[*b].reads && self.uses[*b].writes && !updated.contains(b))
            .collect();
        let uses = info.get_entry_point(self.entry_index);
        let (mut textures, mut texture_atomics) = (Vec::new(), false);
        for (handle, variable) in module.global_variables.iter() {
            let used = uses[handle];
            let atomic = used.contains(GlobalUse::ATOMIC);
            if variable.space == AddressSpace::Handle
                && (atomic || used.contains(GlobalUse::READ | GlobalUse::WRITE))
            {
                texture_atomics |= atomic;
                textures.push(variable.name.clone().unwrap_or_default());
            }
        }
        let waits = waits::find(&functions, &self.storage, &self.uses);
        let class = if !waits.is_empty() {
            HazardClass::E
        } else if !updated.is_empty() || texture_atomics {
            HazardClass::D
        } else if !in_place.is_empty() || !textures.is_empty() {
            HazardClass::C
        } else if barriers {
            HazardClass::B
        } else {
            HazardClass::A
        };
        Hazard {
            class,
            barriers,
            in_place,
            updated,
            results_used,
            textures,
            waits,
        }
    }
}

impl Entry {
    /// The hazard class of the entry point and its causes, with lines.
    #[must_use]
    pub fn hazard(&self) -> Hazard {
        let mut hazard = self.analysis.hazard(&self.module, &self.info);
        for wait in &mut hazard.waits {
            wait.line = line(wait.span, &self.source);
        }
        hazard
    }
}
