//! Expressions: the value of one from the values of its operands.

use std::rc::Rc;

use naga::{
    BinaryOperator, Expression, Handle, Literal, RelationalFunction, ScalarKind, SwizzleComponent,
    TypeInner, UnaryOperator,
};

use super::frame::Place;
use super::interp::Interp;
use super::interval::{Int, Interval};
use super::place::{Root, Space, root, space_of};
use super::value::{self, Value};

/// How far from a variable's value a comparison may be that tells where a loop over it stops.
const COUNTED_DEPTH: u32 = 4;

impl Interp<'_> {
    /// Whether an expression is the value of a variable that may count, or one that is computed from it in few steps: a local
    /// that is never stepped holds a state, and so does an element of something larger.
    fn is_counted(&self, expression: Handle<Expression>, depth: u32) -> bool {
        let deeper = |operand| depth < COUNTED_DEPTH && self.is_counted(operand, depth + 1);
        match self.frame.body.function.expressions[expression] {
            Expression::Load { .. } => {
                let loaded = self.frame.loads[self.frame.slot(expression) as usize].as_ref();
                loaded.is_some_and(|loaded| {
                    let local = loaded.variable.checked_sub(self.frame.base);
                    let stepped = local.and_then(|local| self.frame.statics.stepped.get(local));
                    loaded.path.is_empty() && stepped.is_none_or(|&stepped| stepped)
                })
            }
            Expression::Binary { left, right, .. } => deeper(left) || deeper(right),
            Expression::Unary { expr, .. } | Expression::As { expr, .. } => deeper(expr),
            _ => false,
        }
    }

    /// Computes an expression. Reads no memory but what cannot have changed.
    pub(super) fn compute(&mut self, expression: Handle<Expression>) -> Value {
        let index = expression.index();
        if self.frame.statics.pointer[index] || !self.frame.statics.followed[index] || !self.step()
        {
            return Value::Any;
        }
        let module = self.functions.module;
        let body = self.frame.body;
        let ty = body.ty(expression);
        let top = || value::top(module, ty);
        match body.function.expressions[expression] {
            Expression::Literal(literal) => literal_value(literal),
            Expression::Constant(constant) => self.constant(module.constants[constant].init),
            Expression::ZeroValue(ty) => value::zero(module, &module.types[ty].inner),
            Expression::Compose { ref components, .. } => {
                let parts: Vec<Value> = components.iter().map(|&part| self.operand(part)).collect();
                composed(ty, parts)
            }
            Expression::Access { base, index } => {
                let whole = self.operand(base);
                let index = self.index(index).normal();
                whole.parts_between(index.lo, index.hi)
            }
            Expression::AccessIndex { base, index } => self.operand(base).part(index as usize),
            Expression::Splat { size, value } => {
                let value = self.operand(value);
                Value::parts(vec![value; size as usize])
            }
            Expression::Swizzle {
                size,
                vector,
                pattern,
            } => {
                let vector = self.operand(vector);
                let pattern = pattern[..size as usize].iter();
                Value::parts(pattern.map(|&from: &SwizzleComponent| vector.part(from as usize)))
            }
            Expression::FunctionArgument(index) => self
                .frame
                .arguments
                .get(index as usize)
                .cloned()
                .unwrap_or(Value::Any),
            Expression::Load { pointer } => match root(&body, pointer) {
                Some(Root::Global(global)) if space_of(&body, global) == Space::Value => {
                    self.uniform(pointer).unwrap_or_else(top)
                }
                _ => self.current(expression).unwrap_or_else(top),
            },
            Expression::Unary { op, expr } => {
                let operand = self.operand(expr);
                operand.map(&|a: Interval| match op {
                    UnaryOperator::Negate => a.neg(),
                    UnaryOperator::LogicalNot => a.truth_not(),
                    UnaryOperator::BitwiseNot => a.not(),
                })
            }
            Expression::Binary { op, left, right } => self.binary(op, left, right, ty),
            Expression::Select {
                condition,
                accept,
                reject,
            } => self.select(condition, accept, reject),
            Expression::Relational { fun, argument } => match (fun, self.operand(argument)) {
                (RelationalFunction::All, Value::Parts(parts)) => fold(&parts, Interval::min),
                (RelationalFunction::Any, Value::Parts(parts)) => fold(&parts, Interval::max),
                (RelationalFunction::All | RelationalFunction::Any, scalar @ Value::Int(_)) => {
                    scalar
                }
                _ => top(),
            },
            Expression::Math {
                fun,
                arg,
                arg1,
                arg2,
                ..
            } => {
                let a = self.operand(arg);
                let b = arg1.map(|arg| self.operand(arg));
                let c = arg2.map(|arg| self.operand(arg));
                super::math::math(fun, &a, b.as_ref(), c.as_ref()).unwrap_or_else(top)
            }
            Expression::As {
                expr,
                kind,
                convert,
            } => self.conversion(expr, kind, convert, ty),
            Expression::ArrayLength(pointer) => self.array_length(pointer).unwrap_or_else(top),
            // Results of statements have their slots set there.
            _ => top(),
        }
    }

    fn select(
        &mut self,
        condition: Handle<Expression>,
        accept: Handle<Expression>,
        reject: Handle<Expression>,
    ) -> Value {
        let truth = self.operand(condition);
        if !matches!(truth, Value::Int(truth) if truth.single().is_none()) {
            let (accept, reject) = (self.operand(accept), self.operand(reject));
            return selected(&truth, &accept, &reject);
        }
        // Each side counts only where it is chosen.
        let accepted = self.side(condition, true, accept);
        let rejected = self.side(condition, false, reject);
        match (accepted, rejected) {
            (Some(accepted), Some(rejected)) => accepted.join(&rejected),
            (Some(value), None) | (None, Some(value)) => value,
            (None, None) => self.operand(accept),
        }
    }

    /// The value that an expression has where a condition holds; `None` where it cannot hold.
    fn side(
        &mut self,
        condition: Handle<Expression>,
        truth: bool,
        expression: Handle<Expression>,
    ) -> Option<Value> {
        let mark = self.frame.trail.len();
        let state = self.state.clone();
        let value = self.assume(condition, truth).then(|| {
            let known = self.operand(expression);
            // What it is made of may have become tighter than it was when it was evaluated.
            let again = match self.frame.body.function.expressions[expression] {
                Expression::Binary { .. } | Expression::Math { .. } | Expression::As { .. } => {
                    self.compute(expression)
                }
                _ => known.clone(),
            };
            again.meet(&known)
        });
        self.frame.undo(mark);
        self.state = state;
        value
    }

    /// A value that was loaded from a variable, if that still holds it.
    fn current(&self, load: Handle<Expression>) -> Option<Value> {
        let slot = self.frame.slot(load) as usize;
        let loaded = self.frame.loads[slot].as_ref()?;
        if self.state.version(loaded.variable) != Some(loaded.version) {
            return None;
        }
        Some(self.read(&Place {
            variable: loaded.variable,
            path: loaded.path.to_vec(),
        }))
    }

    /// The value of an index, whatever its integer type.
    pub(super) fn index(&mut self, index: Handle<Expression>) -> Interval {
        match Int::of_type(self.frame.body.ty(index)) {
            Some(ty) => self.value(index).int(ty),
            None => Interval::top(Int::U32),
        }
    }

    fn binary(
        &mut self,
        op: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
        ty: &TypeInner,
    ) -> Value {
        use BinaryOperator as B;
        let (a, b) = (self.operand(left), self.operand(right));
        if matches!(op, B::Equal | B::NotEqual) {
            for (side, other, value) in [(left, right, &a), (right, left, &b)] {
                let changing = self.frame.loads[self.frame.slot(side) as usize].is_some();
                if let Value::Int(value) = value
                    && let (false, Some(value)) = (changing, value.single())
                    && self.is_counted(other, 0)
                {
                    self.note_stop(value);
                }
            }
        }
        let result = match op {
            B::Add => a.combine(&b, &Interval::add),
            B::Subtract => a.combine(&b, &Interval::sub),
            B::Multiply => a.combine(&b, &Interval::mul),
            B::Divide => a.combine(&b, &Interval::div),
            B::Modulo => a.combine(&b, &Interval::rem),
            B::Equal => a.combine(&b, &Interval::equal),
            B::NotEqual => a.combine(&b, &|a, b| a.equal(b).truth_not()),
            B::Less => a.combine(&b, &Interval::less),
            B::Greater => a.combine(&b, &|a, b| b.less(a)),
            B::LessEqual => a.combine(&b, &|a, b| b.less(a).truth_not()),
            B::GreaterEqual => a.combine(&b, &|a, b| a.less(b).truth_not()),
            B::And | B::LogicalAnd => a.combine(&b, &Interval::and),
            B::InclusiveOr | B::LogicalOr => a.combine(&b, &Interval::or),
            B::ExclusiveOr => a.combine(&b, &Interval::xor),
            B::ShiftLeft => a.combine(&b, &Interval::shl),
            B::ShiftRight => a.combine(&b, &Interval::shr),
        };
        let result = match result {
            Value::Any => value::top(self.functions.module, ty),
            result => result,
        };
        match (op, self.whole_of(op, left, right)) {
            (B::Add, Some(whole)) => result.meet(&self.value(whole)),
            _ => result,
        }
    }

    /// Recognises `x / w * w + x % w`, which is `x`.
    fn whole_of(
        &mut self,
        op: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
    ) -> Option<Handle<Expression>> {
        if op != BinaryOperator::Add {
            return None;
        }
        let expressions = &self.frame.body.function.expressions;
        let same =
            |a: Handle<Expression>, b: Handle<Expression>| self.frame.slot(a) == self.frame.slot(b);
        let binary = |handle: Handle<Expression>, wanted: BinaryOperator| match expressions[handle]
        {
            Expression::Binary { op, left, right } if op == wanted => Some((left, right)),
            _ => None,
        };
        let mut found = None;
        for (rest, product) in [(left, right), (right, left)] {
            let Some((whole, width)) = binary(rest, BinaryOperator::Modulo) else {
                continue;
            };
            let Some((a, b)) = binary(product, BinaryOperator::Multiply) else {
                continue;
            };
            for (quotient, factor) in [(a, b), (b, a)] {
                if let Some((dividend, divisor)) = binary(quotient, BinaryOperator::Divide)
                    && same(dividend, whole)
                    && same(divisor, width)
                    && same(factor, width)
                {
                    found = Some((whole, width));
                }
            }
        }
        let (whole, width) = found?;
        let ty = Int::of_type(self.frame.body.ty(width))?;
        let width = self.value(width).int(ty);
        (width.lo > 0).then_some(whole)
    }

    fn conversion(
        &mut self,
        from: Handle<Expression>,
        kind: ScalarKind,
        convert: Option<u8>,
        ty: &TypeInner,
    ) -> Value {
        let source = self.frame.body.ty(from);
        let width = convert.or_else(|| source.scalar_width()).unwrap_or(4);
        let integer = source.scalar_kind().is_some_and(|kind| {
            matches!(kind, ScalarKind::Sint | ScalarKind::Uint | ScalarKind::Bool)
        });
        match Int::of(naga::Scalar { kind, width }) {
            Some(to) if integer => self.operand(from).map(&|a: Interval| a.cast(to)),
            _ => value::top(self.functions.module, ty),
        }
    }

    /// The value of a constant expression of the module.
    pub(super) fn constant(&self, expression: Handle<Expression>) -> Value {
        let module = self.functions.module;
        match module.global_expressions[expression] {
            Expression::Literal(literal) => literal_value(literal),
            Expression::Constant(constant) => self.constant(module.constants[constant].init),
            Expression::ZeroValue(ty) => value::zero(module, &module.types[ty].inner),
            Expression::Compose { ty, ref components } => {
                let parts = components.iter().map(|&part| self.constant(part));
                composed(&module.types[ty].inner, parts.collect())
            }
            Expression::Splat { size, value } => {
                Value::parts(vec![self.constant(value); size as usize])
            }
            _ => Value::Any,
        }
    }
}

impl Int {
    /// The type of an integer or truth value, or `None` for other types.
    pub(super) fn of_type(ty: &TypeInner) -> Option<Int> {
        match *ty {
            TypeInner::Scalar(scalar) | TypeInner::Atomic(scalar) => Int::of(scalar),
            _ => None,
        }
    }
}

fn literal_value(literal: Literal) -> Value {
    let exact = |ty: Int, value: i128| Value::Int(Interval::exact(ty, value));
    match literal {
        Literal::U16(value) => exact(Int::U16, value.into()),
        Literal::I16(value) => exact(Int::I16, value.into()),
        Literal::U32(value) => exact(Int::U32, value.into()),
        Literal::I32(value) => exact(Int::I32, value.into()),
        Literal::U64(value) => exact(Int::U64, value.into()),
        Literal::I64(value) | Literal::AbstractInt(value) => exact(Int::I64, value.into()),
        Literal::Bool(value) => Value::truth(value),
        Literal::F64(_) | Literal::F32(_) | Literal::F16(_) | Literal::AbstractFloat(_) => {
            Value::Any
        }
    }
}

/// A vector, array or structure of its parts. Vectors may be made of vectors.
fn composed(ty: &TypeInner, parts: Vec<Value>) -> Value {
    match *ty {
        TypeInner::Vector { size, .. } => {
            let mut flat = Vec::with_capacity(size as usize);
            for part in parts {
                match part {
                    Value::Parts(inner) => flat.extend(inner.iter().cloned()),
                    scalar => flat.push(scalar),
                }
            }
            if flat.len() == size as usize {
                Value::parts(flat)
            } else {
                Value::Any
            }
        }
        TypeInner::Array { .. } if parts.len() > value::SPELLED_OUT as usize => {
            let joined = parts.into_iter().reduce(|a, b| a.join(&b));
            joined.map_or(Value::Any, |element| Value::Each(Rc::new(element)))
        }
        TypeInner::Array { .. } | TypeInner::Struct { .. } => Value::parts(parts),
        _ => Value::Any,
    }
}

fn selected(condition: &Value, accept: &Value, reject: &Value) -> Value {
    match condition {
        Value::Int(truth) => match truth.single() {
            Some(1) => accept.clone(),
            Some(0) => reject.clone(),
            _ => accept.join(reject),
        },
        Value::Parts(truths) => Value::parts(
            truths
                .iter()
                .enumerate()
                .map(|(index, truth)| selected(truth, &accept.part(index), &reject.part(index))),
        ),
        _ => accept.join(reject),
    }
}

fn fold(parts: &[Value], both: impl Fn(Interval, Interval) -> Interval) -> Value {
    let truths = parts.iter().map(|part| part.int(Int::Bool));
    truths.reduce(both).map_or(Value::Any, Value::Int)
}
