//! What is known of a function's expressions before any run: which of them always have the same value.
//!
//! WGSL lowered to IR repeats itself: every `gid.x` is an expression of its own. What a branch on one of them
//! teaches must hold for all, so equal pure expressions share one slot, that of the first.

use std::collections::HashMap;

use naga::{BinaryOperator, Expression, Handle, Statement};

use super::functions::{Body, each_statement};
use super::place::{Root, Space, root, space_of};
use super::value::{self, Value};

/// Facts about one function.
#[derive(Clone, Debug)]
pub(super) struct Statics {
    /// Per expression, the index of the first one that is equal to it.
    pub(super) canon: Vec<u32>,
    /// Per expression, whether it is a pointer.
    pub(super) pointer: Vec<bool>,
    /// Per expression, whether its type holds integers, which are followed.
    pub(super) followed: Vec<bool>,
    /// Slots of component accesses: (slot of the vector, component) to slot.
    pub(super) components: HashMap<(u32, u32), u32>,
    /// Per local variable, whether it is stepped, as in `v = v + ..` (a toggle, `v = 1 - v`, is not).
    pub(super) stepped: Vec<bool>,
}

impl Statics {
    pub(super) fn new(body: Body<'_>) -> Statics {
        let arena = &body.function.expressions;
        let mut canon: Vec<u32> = Vec::with_capacity(arena.len());
        let mut pointer = Vec::with_capacity(arena.len());
        let mut followed = Vec::with_capacity(arena.len());
        let mut components = HashMap::new();
        let mut first: HashMap<String, u32> = HashMap::new();
        for (handle, expression) in arena.iter() {
            let own = handle.index() as u32;
            let slot = match key(&body, handle, &canon) {
                Some(key) => *first.entry(key).or_insert(own),
                None => own,
            };
            canon.push(slot);
            let ty = body.ty(handle);
            pointer.push(ty.pointer_space().is_some());
            followed.push(value::top(body.module, ty) != Value::Any);
            if let Expression::AccessIndex { base, index } = *expression
                && slot == own
            {
                components.insert((canon[base.index()], index), slot);
            }
        }
        let mut stepped = vec![false; body.function.local_variables.len()];
        each_statement(&body.function.body, &mut |statement, _| {
            if let Statement::Store { pointer, value } = *statement
                && let Expression::LocalVariable(local) = arena[pointer]
                && let Expression::Binary { op, left, right } = arena[value]
            {
                let own = |side: Handle<Expression>| match arena[side] {
                    Expression::Load { pointer } => {
                        root(&body, pointer) == Some(Root::Local(local))
                    }
                    _ => false,
                };
                stepped[local.index()] |= match op {
                    BinaryOperator::Add | BinaryOperator::Multiply => own(left) || own(right),
                    BinaryOperator::Subtract
                    | BinaryOperator::Divide
                    | BinaryOperator::ShiftLeft
                    | BinaryOperator::ShiftRight => own(left),
                    _ => false,
                };
            }
        });
        Statics {
            canon,
            pointer,
            followed,
            components,
            stepped,
        }
    }
}

/// A text that equal pure expressions share; `None` for those that are only equal to themselves.
fn key(body: &Body<'_>, handle: Handle<Expression>, canon: &[u32]) -> Option<String> {
    let c = |operand: Handle<Expression>| canon[operand.index()];
    Some(match body.function.expressions[handle] {
        Expression::Literal(literal) => format!("literal {literal:?}"),
        Expression::Constant(constant) => format!("constant {}", constant.index()),
        Expression::ZeroValue(ty) => format!("zero {}", ty.index()),
        Expression::GlobalVariable(global) => format!("global {}", global.index()),
        Expression::LocalVariable(local) => format!("local {}", local.index()),
        Expression::FunctionArgument(index) => format!("argument {index}"),
        Expression::Compose { ty, ref components } => {
            let parts: Vec<u32> = components.iter().map(|&part| c(part)).collect();
            format!("compose {} {parts:?}", ty.index())
        }
        Expression::Access { base, index } => format!("access {} {}", c(base), c(index)),
        Expression::AccessIndex { base, index } => format!("member {} {index}", c(base)),
        Expression::Splat { size, value } => format!("splat {size:?} {}", c(value)),
        Expression::Swizzle {
            size,
            vector,
            pattern,
        } => {
            format!("swizzle {size:?} {} {pattern:?}", c(vector))
        }
        Expression::Load { pointer } => match root(body, pointer) {
            Some(Root::Global(global)) if space_of(body, global) == Space::Value => {
                format!("load {}", c(pointer))
            }
            _ => return None,
        },
        Expression::Unary { op, expr } => format!("unary {op:?} {}", c(expr)),
        Expression::Binary { op, left, right } => {
            format!("binary {op:?} {} {}", c(left), c(right))
        }
        Expression::Select {
            condition,
            accept,
            reject,
        } => {
            format!("select {} {} {}", c(condition), c(accept), c(reject))
        }
        Expression::Relational { fun, argument } => format!("relational {fun:?} {}", c(argument)),
        Expression::Math {
            fun,
            arg,
            arg1,
            arg2,
            arg3,
        } => {
            let rest: Vec<u32> = [arg1, arg2, arg3].into_iter().flatten().map(c).collect();
            format!("math {fun:?} {} {rest:?}", c(arg))
        }
        Expression::As {
            expr,
            kind,
            convert,
        } => format!("as {} {kind:?} {convert:?}", c(expr)),
        Expression::ArrayLength(pointer) => format!("length {}", c(pointer)),
        _ => return None,
    })
}
