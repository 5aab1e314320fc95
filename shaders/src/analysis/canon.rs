//! What is known of a function's expressions before any run: which of them always have the same value.
//!
//! WGSL lowered to IR repeats itself: every `gid.x` is an expression of its own. What a branch on one of them
//! teaches must hold for all, so equal pure expressions share one slot, that of the first.

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};

use naga::{BinaryOperator, Expression, Handle, Literal, Statement};

use super::functions::{Body, each_statement};
use super::place::{Root, Space, root, space_of};
use super::value;

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
        let mut first: HashMap<Key, u32> = HashMap::new();
        for (handle, expression) in arena.iter() {
            let own = handle.index() as u32;
            let slot = match key(&body, handle, &canon) {
                Some(key) => *first.entry(key).or_insert(own),
                None => own,
            };
            canon.push(slot);
            let ty = body.ty(handle);
            pointer.push(ty.pointer_space().is_some());
            followed.push(value::holds_integers(body.module, ty));
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

/// What equal pure expressions have in common: their kind, and what it is of.
type Key = (Discriminant<Expression>, Vec<u32>);

/// The key of a pure expression; `None` for those that are only equal to themselves.
fn key(body: &Body<'_>, handle: Handle<Expression>, canon: &[u32]) -> Option<Key> {
    let expression = &body.function.expressions[handle];
    let c = |operand: Handle<Expression>| canon[operand.index()];
    let words = match *expression {
        Expression::Literal(value) => literal(value).to_vec(),
        Expression::Constant(constant) => vec![constant.index() as u32],
        Expression::ZeroValue(ty) => vec![ty.index() as u32],
        Expression::GlobalVariable(global) => vec![global.index() as u32],
        Expression::LocalVariable(local) => vec![local.index() as u32],
        Expression::FunctionArgument(index) => vec![index],
        Expression::Compose { ty, ref components } => {
            let parts = components.iter().map(|&part| c(part));
            std::iter::once(ty.index() as u32).chain(parts).collect()
        }
        Expression::Access { base, index } => vec![c(base), c(index)],
        Expression::AccessIndex { base, index } => vec![c(base), index],
        Expression::Splat { size, value } => vec![size as u32, c(value)],
        Expression::Swizzle {
            size,
            vector,
            pattern: [x, y, z, w],
        } => vec![
            size as u32,
            c(vector),
            x as u32,
            y as u32,
            z as u32,
            w as u32,
        ],
        Expression::Load { pointer } => match root(body, pointer) {
            Some(Root::Global(global)) if space_of(body, global) == Space::Value => {
                vec![c(pointer)]
            }
            _ => return None,
        },
        Expression::Unary { op, expr } => vec![op as u32, c(expr)],
        Expression::Binary { op, left, right } => vec![op as u32, c(left), c(right)],
        Expression::Select {
            condition,
            accept,
            reject,
        } => vec![c(condition), c(accept), c(reject)],
        Expression::Relational { fun, argument } => vec![fun as u32, c(argument)],
        Expression::Math {
            fun,
            arg,
            arg1,
            arg2,
            arg3,
        } => {
            // A function's operands are as many wherever it is used: none needs a mark of its own.
            let operands = [Some(arg), arg1, arg2, arg3].into_iter().flatten().map(c);
            std::iter::once(fun as u32).chain(operands).collect()
        }
        Expression::As {
            expr,
            kind,
            convert,
        } => vec![c(expr), kind as u32, convert.map_or(0, u32::from)],
        Expression::ArrayLength(pointer) => vec![c(pointer)],
        _ => return None,
    };
    Some((discriminant(expression), words))
}

/// A literal's type and bits.
fn literal(value: Literal) -> [u32; 3] {
    let (ty, bits) = match value {
        Literal::F64(value) => (0, value.to_bits()),
        Literal::F32(value) => (1, value.to_bits().into()),
        Literal::F16(value) => (2, value.to_bits().into()),
        Literal::U16(value) => (3, value.into()),
        Literal::I16(value) => (4, value as u64),
        Literal::U32(value) => (5, value.into()),
        Literal::I32(value) => (6, value as u64),
        Literal::U64(value) => (7, value),
        Literal::I64(value) => (8, value as u64),
        Literal::Bool(value) => (9, value.into()),
        Literal::AbstractInt(value) => (10, value as u64),
        Literal::AbstractFloat(value) => (11, value.to_bits()),
    };
    [ty, bits as u32, (bits >> 32) as u32]
}
