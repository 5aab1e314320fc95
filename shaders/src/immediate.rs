//! Immediates (push constants) as buffers: whatever an adapter has, they are values like uniforms.
//!
//! A uniform's layout has rules of its own, which the type of an immediate may break; then it is bound as read-only
//! storage. Either way every byte stays where the source puts it.

use std::collections::BTreeSet;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{
    AddressSpace, Arena, GlobalVariable, Handle, Module, ResourceBinding, StorageAccess, TypeInner,
    VectorSize,
};

use crate::Entry;
use crate::reflect::{ValueBinding, ValueKind};

/// As what an immediate is bound.
pub(crate) fn kind_of(module: &Module, global: Handle<GlobalVariable>) -> ValueKind {
    let mut alone = module.clone();
    alone.entry_points.clear();
    alone.functions = Arena::new();
    let mut var = module.global_variables[global].clone();
    var.space = AddressSpace::Uniform;
    var.binding = Some(ResourceBinding {
        group: 0,
        binding: 0,
    });
    alone.global_variables = Arena::new();
    alone.global_variables.append(var, naga::Span::UNDEFINED);
    let valid = Validator::new(ValidationFlags::all(), Capabilities::all())
        .validate(&alone)
        .is_ok();
    ValueKind::Immediate {
        uniform: valid && !has_narrow_matrix(module, module.global_variables[global].ty),
    }
}

/// Whether there is a matrix whose columns are closer together than a uniform's are in some shading languages.
fn has_narrow_matrix(module: &Module, ty: Handle<naga::Type>) -> bool {
    match module.types[ty].inner {
        TypeInner::Matrix { rows, .. } => rows == VectorSize::Bi,
        TypeInner::Array { base, .. } => has_narrow_matrix(module, base),
        TypeInner::Struct { ref members, .. } => {
            members.iter().any(|m| has_narrow_matrix(module, m.ty))
        }
        _ => false,
    }
}

impl ValueBinding {
    /// Whether it is bound as read-only storage, not as a uniform buffer.
    #[must_use]
    pub const fn is_storage(&self) -> bool {
        matches!(self.kind, ValueKind::Immediate { uniform: false })
    }

    /// The address space of the buffer that it is bound as.
    pub(crate) const fn space(&self) -> AddressSpace {
        if self.is_storage() {
            AddressSpace::Storage {
                access: StorageAccess::LOAD,
            }
        } else {
            AddressSpace::Uniform
        }
    }
}

impl Entry {
    /// The untranslated module with its immediates made buffers, and the group and binding of each of
    /// [`Entry::values`] in it.
    #[must_use]
    pub fn without_immediates(&self) -> (Module, Vec<(u32, u32)>) {
        let mut module = self.module.clone();
        let taken: BTreeSet<u32> = (module.global_variables.iter())
            .filter_map(|(_, var)| var.binding.filter(|b| b.group == 0))
            .map(|b| b.binding)
            .collect();
        // Behind the last; where no number is left there, those that nobody has.
        let first = taken.last().map_or(0, |last| last.wrapping_add(1));
        let mut free = (0..=u32::MAX)
            .map(|i| first.wrapping_add(i))
            .filter(|binding| !taken.contains(binding));
        let slots = (self.values.iter())
            .map(|value| {
                value.slot().unwrap_or_else(|| {
                    let var = module.global_variables.get_mut(value.global);
                    var.space = value.space();
                    // There are no 2^32 bindings.
                    let (group, binding) = (0, free.next().unwrap_or(u32::MAX));
                    var.binding = Some(ResourceBinding { group, binding });
                    (group, binding)
                })
            })
            .collect();
        (module, slots)
    }
}
