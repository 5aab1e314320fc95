//! Names for bindings that have none.
//!
//! A binding is called by its variable's name. GLSL's blocks without an instance name and SPIR-V made from them have
//! none: such a binding is called by its block, if only one is called so. SPIR-V without debug names has not even that:
//! then it is `b0_3` for group (set) 0 and binding 3.

use std::collections::HashSet;

use naga::{Module, TypeInner};

/// Gives every bound variable a name that no other one has, and immediates one, too.
pub(super) fn complete(module: &mut Module) {
    let mut taken: HashSet<String> = HashSet::new();
    let mut unnamed = Vec::new();
    for (handle, var) in module.global_variables.iter() {
        let bound = var.binding.is_some() || var.space == naga::AddressSpace::Immediate;
        if !bound {
            continue;
        }
        let own = var.name.as_deref().filter(|name| !name.is_empty());
        if !own.is_some_and(|name| taken.insert(name.to_owned())) {
            unnamed.push(handle);
        }
    }
    let blocks: Vec<Option<String>> = unnamed
        .iter()
        .map(|&handle| {
            let ty = &module.types[module.global_variables[handle].ty];
            let block = ty.name.clone().filter(|name| !name.is_empty());
            block.filter(|_| matches!(ty.inner, TypeInner::Struct { .. }))
        })
        .collect();
    for (&handle, block) in unnamed.iter().zip(&blocks) {
        let alone = |block: &&String| blocks.iter().flatten().filter(|b| b == block).count() == 1;
        let var = module.global_variables.get_mut(handle);
        let numbers = match &var.binding {
            Some(at) => format!("b{}_{}", at.group, at.binding),
            None => "immediates".to_owned(),
        };
        let wanted = block
            .as_ref()
            .filter(alone)
            .cloned()
            .unwrap_or(numbers.clone());
        let mut name = wanted;
        if taken.contains(&name) {
            name = numbers;
        }
        while taken.contains(&name) {
            name.push('_');
        }
        taken.insert(name.clone());
        var.name = Some(name);
    }
}
