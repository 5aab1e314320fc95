//! The rewriter: a kernel whose storage accesses go through software translation.
//!
//! [`rewrite`] keeps the user's types, constants and other globals, replaces the storage variables by views of
//! windows, rebuilds every function that the entry point needs, and wraps the entry point in one that computes the
//! ids of a bigger grid. The result is validated.

mod access;
mod address;
mod build;
mod checked;
mod expression;
mod function;
mod helpers;
mod layout;
mod physical;
mod place;
mod plan;
mod probe;
mod start;
mod view;
mod whole;
mod words;
mod wrapper;

use std::collections::HashMap;
use std::num::NonZeroU32;

use naga::compact::{KeepUnused, compact};
use naga::proc::IndexableLength;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Arena, ArraySize, Module, ResourceBinding, Span, TypeInner};

use crate::error::chain;
use crate::{Entry, How, Mode, Rewritten, ShaderError, Slot, SlotKind, Variant};
use checked::Checked;
use function::Rewriter;
use physical::Physical;
use plan::Plan;
use probe::Probe;
use view::Sharing;

/// Rewrites an entry point for a variant, so that it binds at most so many storage buffers if that can be.
pub(crate) fn rewrite(
    entry: &Entry,
    variant: &Variant,
    most: u32,
) -> Result<Rewritten, ShaderError> {
    check(entry, variant)?;
    let [best, others @ ..] = Sharing::ALL;
    let mut found = shared(entry, variant, best)?;
    for sharing in others {
        if found.storage_buffers <= most {
            break;
        }
        let other = shared(entry, variant, sharing)?;
        if other.storage_buffers < found.storage_buffers {
            found = other;
        }
    }
    Ok(found)
}

/// Rewrites an entry point for a variant, with views as `sharing` says.
fn shared(entry: &Entry, variant: &Variant, sharing: Sharing) -> Result<Rewritten, ShaderError> {
    if variant.mode == Mode::Probe {
        // Whatever the bindings, a probe must not follow what it cannot know: it might never end.
        let apart: Vec<usize> = (0..entry.storage.len()).collect();
        entry
            .analysis
            .probeable(&apart)
            .map_err(ShaderError::NotProbeable)?;
    }
    let plan = Plan::new(entry, variant.mode, sharing)?;
    let mut module = entry.module.clone();
    module.entry_points.clear();
    module.functions = Arena::new();
    module.global_variables = Arena::new();
    module.doc_comments = None;
    settle_types(&mut module);
    let mut globals = HashMap::new();
    let uses = entry.info.get_entry_point(entry.entry_index);
    for (old, var) in entry.module.global_variables.iter() {
        if uses[old].is_empty() || matches!(var.space, AddressSpace::Storage { .. }) {
            continue;
        }
        let mut var = var.clone();
        let value = entry.values.iter().position(|v| v.global == old);
        let resource = entry.resources.iter().position(|r| r.global == old);
        if let Some(i) = value {
            var.space = entry.values[i].space();
        }
        // Values first, then resources, whatever groups they were in.
        if let Some(i) = value.or(resource.map(|i| entry.values.len() + i)) {
            var.binding = Some(ResourceBinding {
                group: 1,
                binding: i as u32,
            });
        }
        globals.insert(old, module.global_variables.append(var, Span::UNDEFINED));
    }
    let writes: Vec<bool> = entry
        .storage
        .iter()
        .zip(&plan.views)
        .map(|(s, views)| s.writes || views.atomics)
        .collect();
    let mut physical = Physical::new(module, variant, &writes);
    let stops = match variant.mode {
        Mode::Probe => probe::stopping(entry, &plan),
        Mode::Run | Mode::Checked => Default::default(),
    };
    let barriers = checked::with_barriers(&plan);
    let mut functions = HashMap::new();
    for source in &plan.sources {
        let name = match source.which {
            Some(_) => source.function.name.clone().unwrap_or_default(),
            None => format!("{}_kernel", entry.name),
        };
        let probe = (variant.mode == Mode::Probe).then(|| Probe::new(&stops));
        let checked =
            (variant.mode == Mode::Checked).then(|| Checked::new(entry, *source, &barriers));
        let function = Rewriter::rewrite(
            entry,
            variant,
            &plan,
            &mut physical,
            &functions,
            &globals,
            *source,
            probe,
            checked,
            &name,
        )?;
        let handle = physical.module.functions.append(function, Span::UNDEFINED);
        match source.which {
            Some(which) => {
                functions.insert(which, handle);
            }
            None => wrapper::wrap(entry, variant.mode, &mut physical, handle)?,
        }
    }
    finish(entry, physical)
}

fn check(entry: &Entry, variant: &Variant) -> Result<(), ShaderError> {
    let wrong = |message: String| Err(ShaderError::Variant(message));
    if variant.bindings.len() != entry.storage.len() {
        return wrong(format!(
            "translations: {}, storage bindings of `{}`: {}",
            variant.bindings.len(),
            entry.name,
            entry.storage.len(),
        ));
    }
    if !(12..=21).contains(&variant.page_shift) {
        return wrong(format!(
            "page shift {} is not between 12 and 21",
            variant.page_shift
        ));
    }
    if !(1..=256).contains(&variant.windows) {
        return wrong(format!(
            "the number of windows is {}, not between 1 and 256",
            variant.windows
        ));
    }
    for how in &variant.bindings {
        match how.window() {
            Some(window) if window >= variant.windows => {
                return wrong(format!("window {window} of {}", variant.windows));
            }
            Some(_) if variant.mode == Mode::Probe && !how.is_paged() => {
                return wrong("a probe has paged bindings only".to_owned());
            }
            Some(_)
                if variant.mode == Mode::Checked
                    && !(how.is_paged() || matches!(how, How::Whole { .. })) =>
            {
                return wrong("a checked run has paged and whole bindings only".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes what the new module has no more: built-in bindings of struct members (the user's entry point becomes an
/// ordinary function) and array sizes that name overrides.
fn settle_types(module: &mut Module) {
    let mut changed = Vec::new();
    for (handle, ty) in module.types.iter() {
        let mut new = ty.clone();
        match new.inner {
            TypeInner::Struct {
                ref mut members, ..
            } => members.iter_mut().for_each(|m| m.binding = None),
            TypeInner::Array { ref mut size, .. } => {
                if let Ok(IndexableLength::Known(n)) = size.resolve(module.to_ctx()) {
                    *size = NonZeroU32::new(n).map_or(*size, ArraySize::Constant);
                }
            }
            _ => {}
        }
        if new != *ty {
            changed.push((handle, new));
        }
    }
    for (handle, ty) in changed {
        // An equal type may exist already; two equal ones cannot, and the old one serves as well.
        if module.types.get(&ty).is_none() {
            module.types.replace(handle, ty);
        }
    }
}

fn finish(entry: &Entry, physical: Physical) -> Result<Rewritten, ShaderError> {
    let group_0: HashMap<u32, Slot> = physical
        .module
        .global_variables
        .iter()
        .filter_map(|(handle, _)| physical.slot(handle))
        .map(|slot| (slot.binding, slot))
        .collect();
    let mut module = clear_spans(physical.module);
    let validate = |module: &Module| {
        Validator::new(ValidationFlags::all(), Capabilities::all())
            .validate(module)
            .map_err(|e| ShaderError::Internal(chain(e.as_inner())))
    };
    validate(&module)?;
    compact(&mut module, KeepUnused::No);
    validate(&module)?;
    let mut slots: Vec<Slot> = module
        .global_variables
        .iter()
        .filter_map(|(_, var)| var.binding.filter(|b| b.group == 0))
        .filter_map(|b| group_0.get(&b.binding).copied())
        .collect();
    slots.sort_by_key(|s| s.binding);
    let own = slots.iter().filter(|s| s.kind != SlotKind::Params).count();
    let immediates = entry.values.iter().filter(|v| v.is_storage()).count();
    Ok(Rewritten {
        storage_buffers: (own + immediates) as u32,
        module,
        entry: entry.name.clone(),
        slots,
        values: (0..).take(entry.values.len()).collect(),
        resources: (entry.values.len() as u32..)
            .take(entry.resources.len())
            .collect(),
        workgroup_size: entry.workgroup_size,
    })
}

/// The types, constants and global expressions still carry the user's positions, which mean nothing to a back end.
fn clear_spans(mut module: Module) -> Module {
    fn clear<T>(arena: &mut Arena<T>) {
        let mut new = Arena::new();
        for (_, value, _) in arena.drain() {
            new.append(value, Span::UNDEFINED);
        }
        *arena = new;
    }
    clear(&mut module.constants);
    clear(&mut module.overrides);
    clear(&mut module.global_expressions);
    let mut types = naga::UniqueArena::new();
    for (_, ty) in module.types.iter() {
        types.insert(ty.clone(), Span::UNDEFINED);
    }
    module.types = types;
    module
}
