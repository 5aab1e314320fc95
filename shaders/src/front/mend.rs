//! What naga's front ends leave in a form that its validator refuses, put right.

use naga::front::Typifier;
use naga::proc::ResolveContext;
use naga::{
    AddressSpace, Arena, BinaryOperator, Block, Constant, Expression, Function, GatherMode, Handle,
    Literal, MathFunction, Module, PredeclaredType, Scalar, Span, Statement, StorageAccess, Type,
    TypeInner, VectorSize,
};

use super::guard::caught;
use super::operands::{each_statement, of_expression, of_statement};

/// Buffers that are only written: the IR knows none, and being readable besides changes nothing.
pub(super) fn write_only_buffers(module: &mut Module) {
    for (_, var) in module.global_variables.iter_mut() {
        if let AddressSpace::Storage { ref mut access } = var.space {
            *access |= StorageAccess::LOAD;
        }
    }
}

/// "And" and "or" of whole vectors, which the IR has as operations on bits alone.
pub(super) fn logic_of_vectors(module: &mut Module) {
    let functions: Vec<_> = module.functions.iter().map(|(h, _)| h).collect();
    for at in functions {
        // The others stay, since what they return has a type.
        let mut function = std::mem::take(module.functions.get_mut(at));
        let context =
            ResolveContext::with_locals(module, &function.local_variables, &function.arguments);
        let mut types = Typifier::new();
        let mut expressions = Arena::new();
        // Once there is an expression without a type, the validator says why.
        let mut typed = true;
        for (old, expression) in function.expressions.iter() {
            let mut expression = expression.clone();
            if let Expression::Binary { op, left, .. } = &mut expression
                && let BinaryOperator::LogicalAnd | BinaryOperator::LogicalOr = *op
                && typed
                && let TypeInner::Vector { .. } = *types[*left].inner_with(&module.types)
            {
                *op = match *op {
                    BinaryOperator::LogicalAnd => BinaryOperator::And,
                    _ => BinaryOperator::InclusiveOr,
                };
            }
            let new = expressions.append(expression, function.expressions.get_span(old));
            let grown = || types.grow(new, &expressions, &context);
            typed = typed && matches!(caught(grown), Ok(Ok(())));
        }
        function.expressions = expressions;
        *module.functions.get_mut(at) = function;
    }
}

/// Lanes of a subgroup that are named by `i32` constants, as a number alone is, become `u32`.
pub(super) fn lanes(module: &mut Module) {
    let constants = &module.constants;
    let globals = &module.global_expressions;
    let value = |expression: &Expression| match *expression {
        Expression::Literal(literal) => Some(literal),
        Expression::Constant(handle) => {
            let Constant { init, .. } = constants[handle];
            match globals[init] {
                Expression::Literal(literal) => Some(literal),
                _ => None,
            }
        }
        _ => None,
    };
    let functions = module.functions.iter_mut().map(|(_, f)| f);
    for function in functions.chain(module.entry_points.iter_mut().map(|e| &mut e.function)) {
        let mut body = std::mem::take(&mut function.body);
        let expressions = &mut function.expressions;
        let done: Result<(), ()> = each_statement(&mut body, &mut |statement, _| {
            let Statement::SubgroupGather { ref mut mode, .. } = *statement else {
                return Ok(());
            };
            if let GatherMode::Broadcast(lane)
            | GatherMode::Shuffle(lane)
            | GatherMode::ShuffleDown(lane)
            | GatherMode::ShuffleUp(lane)
            | GatherMode::ShuffleXor(lane)
            | GatherMode::QuadBroadcast(lane) = mode
                && let Some(Literal::I32(number)) = value(&expressions[*lane])
            {
                let at = expressions.get_span(*lane);
                let number = Expression::Literal(Literal::U32(number.cast_unsigned()));
                *lane = expressions.append(number, at);
            }
            Ok(())
        });
        debug_assert!(done.is_ok());
        function.body = body;
    }
}

/// What stands behind a loop that nothing leaves is never reached: it returns something, where a function has to.
pub(super) fn endless_loops(module: &mut Module) {
    let functions = module.functions.iter_mut().map(|(_, f)| f);
    for function in functions {
        if let Some(ref result) = function.result {
            let zero = Expression::ZeroValue(result.ty);
            let mut body = std::mem::take(&mut function.body);
            let mut returned = || function.expressions.append(zero.clone(), Span::UNDEFINED);
            behind_endless_loops(&mut body, &mut returned);
            function.body = body;
        }
    }
}

/// Gives a value to what the front end lets a block return at its end, behind a loop that nothing leaves.
fn behind_endless_loops(block: &mut Block, value: &mut impl FnMut() -> Handle<Expression>) {
    let endless = match **block {
        [.., ref last, Statement::Return { value: None }] => is_endless(last),
        _ => false,
    };
    match block.last_mut() {
        Some(Statement::Return { value: returned }) if endless => *returned = Some(value()),
        Some(Statement::Block(inner)) => behind_endless_loops(inner, value),
        Some(Statement::If { accept, reject, .. }) => {
            behind_endless_loops(accept, value);
            behind_endless_loops(reject, value);
        }
        Some(Statement::Switch { cases, .. }) => {
            for case in cases {
                behind_endless_loops(&mut case.body, value);
            }
        }
        _ => {}
    }
}

/// Whether a statement is a loop that ends by returning from the function, if at all.
fn is_endless(statement: &Statement) -> bool {
    match *statement {
        Statement::Loop {
            ref body,
            break_if: None,
            ..
        } => !leaves(body),
        _ => false,
    }
}

/// Whether something in a block leaves the loop or branch around it.
fn leaves(block: &Block) -> bool {
    block.iter().any(|statement| match *statement {
        Statement::Break => true,
        Statement::Block(ref inner) => leaves(inner),
        Statement::If {
            ref accept,
            ref reject,
            ..
        } => leaves(accept) || leaves(reject),
        _ => false,
    })
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
