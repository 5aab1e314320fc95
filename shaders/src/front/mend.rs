//! What naga's front ends for GLSL and SPIR-V leave in a form that its validator refuses, put right.

use naga::{
    AddressSpace, Expression, Function, Handle, MathFunction, Module, PredeclaredType, Scalar,
    StorageAccess, Type, TypeInner, VectorSize,
};

use super::operands::{each_statement, of_expression, of_statement};

/// Buffers that are only written: the IR knows none, and being readable besides changes nothing.
pub(super) fn write_only_buffers(module: &mut Module) {
    for (_, var) in module.global_variables.iter_mut() {
        if let AddressSpace::Storage { ref mut access } = var.space {
            *access |= StorageAccess::LOAD;
        }
    }
}

/// The types of what `modf` and `frexp` result in, which SPIR-V declares itself and the IR wants by a name.
pub(super) fn result_types(module: &mut Module) {
    let math = |f: &Function, wanted: MathFunction| {
        let mut all = f.expressions.iter();
        all.any(|(_, e)| matches!(*e, Expression::Math { fun, .. } if fun == wanted))
    };
    let mut functions = (module.functions.iter().map(|(_, f)| f))
        .chain(module.entry_points.iter().map(|e| &e.function))
        .collect::<Vec<_>>()
        .into_iter();
    let modf = functions.clone().any(|f| math(f, MathFunction::Modf));
    let frexp = functions.any(|f| math(f, MathFunction::Frexp));
    let scalar = Scalar::F32;
    let sizes = [VectorSize::Bi, VectorSize::Tri, VectorSize::Quad].map(Some);
    for size in sizes.into_iter().chain([None]) {
        if modf {
            module.generate_predeclared_type(PredeclaredType::ModfResult { size, scalar });
        }
        if frexp {
            module.generate_predeclared_type(PredeclaredType::FrexpResult { size, scalar });
        }
    }
}

/// Members read out of a whole that was loaded become loads of the members, and lengths those of arrays in place: GLSL's
/// front end loads all of a block, or array, even where it is runtime-sized and cannot be loaded.
pub(super) fn loads_of_wholes(module: &mut Module) {
    let mut functions = std::mem::take(&mut module.functions);
    for (_, function) in functions.iter_mut() {
        narrow(module, function);
    }
    module.functions = functions;
    let mut entry_points = std::mem::take(&mut module.entry_points);
    for entry in &mut entry_points {
        narrow(module, &mut entry.function);
    }
    module.entry_points = entry_points;
}

fn narrow(module: &Module, function: &mut Function) {
    let mut uses = vec![0u32; function.expressions.len()];
    let mut count = |handle: &mut Handle<Expression>| {
        uses.get_mut(handle.index())
            .into_iter()
            .for_each(|n| *n += 1);
    };
    // What has operands that are not known is left alone, as is all around it.
    let mut known = true;
    for (_, expression) in function.expressions.iter() {
        known &= of_expression(&mut expression.clone(), &mut count).is_ok();
    }
    let statements = each_statement(&mut function.body, &mut |statement, _| {
        of_statement(statement, &mut count)
    });
    if !known || statements.is_err() {
        return;
    }
    let all: Vec<_> = function
        .expressions
        .iter()
        .map(|(handle, _)| handle)
        .collect();
    for part in all {
        let (whole, index) = match function.expressions[part] {
            Expression::AccessIndex { base, index } => (base, index),
            Expression::ArrayLength(array) if uses[array.index()] == 1 => {
                // The length is asked of the array where it is, not of what it holds.
                if let Expression::Load { pointer } = function.expressions[array]
                    && let chain @ (Expression::AccessIndex { .. } | Expression::Access { .. }) =
                        function.expressions[pointer].clone()
                {
                    *function.expressions.get_mut(array) = chain;
                }
                continue;
            }
            _ => continue,
        };
        let Expression::Load { pointer } = function.expressions[whole] else {
            continue;
        };
        if uses[whole.index()] != 1 || !is_aggregate(module, function, pointer) {
            continue;
        }
        // Both are evaluated where they were.
        *function.expressions.get_mut(whole) = Expression::AccessIndex {
            base: pointer,
            index,
        };
        *function.expressions.get_mut(part) = Expression::Load { pointer: whole };
    }
}

/// Whether a pointer leads to a structure or array in memory that is bound or shared.
fn is_aggregate(module: &Module, function: &Function, pointer: Handle<Expression>) -> bool {
    let ty = pointee(module, function, pointer).map(|ty| &module.types[ty].inner);
    matches!(ty, Some(TypeInner::Struct { .. } | TypeInner::Array { .. }))
}

/// The type that a pointer into a global variable leads to.
fn pointee(
    module: &Module,
    function: &Function,
    pointer: Handle<Expression>,
) -> Option<Handle<Type>> {
    let mut path = Vec::new();
    let mut at = pointer;
    let mut ty = loop {
        match function.expressions[at] {
            Expression::GlobalVariable(var) => {
                let var = &module.global_variables[var];
                if var.space == AddressSpace::Handle {
                    return None;
                }
                break var.ty;
            }
            Expression::AccessIndex { base, index } => {
                path.push(index as usize);
                at = base;
            }
            Expression::Access { base, .. } => {
                path.push(0);
                at = base;
            }
            _ => return None,
        }
    };
    for index in path.into_iter().rev() {
        ty = match module.types[ty].inner {
            TypeInner::Struct { ref members, .. } => members.get(index)?.ty,
            TypeInner::Array { base, .. } => base,
            _ => return None,
        };
    }
    Some(ty)
}
