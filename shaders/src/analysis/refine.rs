//! What a path teaches: narrowing values by the conditions that led to it.

use naga::{BinaryOperator, Expression, Handle, RelationalFunction, TypeInner, UnaryOperator};

use super::frame::{Origin, PathStep, Place};
use super::interp::Interp;
use super::interval::{Int, Interval};
use super::value::Value;

/// How far a fact is followed through an expression.
const DEPTH: u32 = 12;

impl Interp<'_> {
    /// Takes it that `condition` is `truth`. False when that cannot be.
    pub(super) fn assume(&mut self, condition: Handle<Expression>, truth: bool) -> bool {
        self.suppose(condition, truth, 0)
    }

    fn suppose(&mut self, condition: Handle<Expression>, truth: bool, depth: u32) -> bool {
        let known = self.value(condition).int(Int::Bool);
        if known.single().is_some_and(|known| (known == 1) != truth) {
            return false;
        }
        if depth > DEPTH {
            return true;
        }
        let slot = self.frame.slot(condition);
        self.frame.set(slot, Value::truth(truth));
        match self.frame.body.function.expressions[condition] {
            Expression::Unary {
                op: UnaryOperator::LogicalNot,
                expr,
            } => self.suppose(expr, !truth, depth + 1),
            Expression::Binary { op, left, right } => {
                self.suppose_binary(op, left, right, truth, depth)
            }
            Expression::Relational { fun, argument } => match (fun, truth) {
                (RelationalFunction::All, true) | (RelationalFunction::Any, false) => {
                    self.suppose_each(argument, truth, depth)
                }
                _ => true,
            },
            Expression::Load { .. } => {
                let fact = Interval::truth(Some(truth), false);
                self.narrow_loaded(condition, fact)
                    && match self.frame.origins.get(&slot).copied() {
                        Some(origin) => self.suppose_origin(origin, truth, depth),
                        None => true,
                    }
            }
            _ => true,
        }
    }

    fn suppose_origin(&mut self, origin: Origin, truth: bool, depth: u32) -> bool {
        match origin {
            Origin::Expression(expression) => self.suppose(expression, truth, depth + 1),
            Origin::Branch {
                condition,
                value,
                otherwise,
            } => {
                // Taking the other value is only possible when it agrees.
                truth == otherwise
                    || self.suppose(condition, true, depth + 1)
                        && self.suppose(value, truth, depth + 1)
            }
        }
    }

    fn suppose_binary(
        &mut self,
        op: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
        truth: bool,
        depth: u32,
    ) -> bool {
        use BinaryOperator as B;
        let bools = Int::of_type(self.frame.body.ty(left)) == Some(Int::Bool);
        match (op, truth) {
            (B::And | B::LogicalAnd, true) | (B::InclusiveOr | B::LogicalOr, false) if bools => {
                self.suppose(left, truth, depth + 1) && self.suppose(right, truth, depth + 1)
            }
            (B::And | B::LogicalAnd | B::InclusiveOr | B::LogicalOr, _) if bools => {
                // One side settled the other way leaves it to the other side.
                let neutral = Some(i128::from(!truth));
                if self.value(left).int(Int::Bool).single() == neutral {
                    self.suppose(right, truth, depth + 1)
                } else if self.value(right).int(Int::Bool).single() == neutral {
                    self.suppose(left, truth, depth + 1)
                } else {
                    true
                }
            }
            _ => match (
                comparison(op, truth),
                Int::of_type(self.frame.body.ty(left)),
            ) {
                (Some(op), Some(ty)) => {
                    let a = self.value(left).int(ty).normal();
                    let b = self.value(right).int(ty).normal();
                    match bounds(op, a, b) {
                        Some((for_left, for_right)) => {
                            self.narrow(left, for_left, depth + 1)
                                && self.narrow(right, for_right, depth + 1)
                        }
                        None => false,
                    }
                }
                _ => true,
            },
        }
    }

    /// Every component of a vector of truth values is `truth`.
    fn suppose_each(&mut self, vector: Handle<Expression>, truth: bool, depth: u32) -> bool {
        let body = self.frame.body;
        let Expression::Binary { op, left, right } = body.function.expressions[vector] else {
            return true;
        };
        let TypeInner::Vector { size, scalar } = *body.ty(left) else {
            return true;
        };
        let (Some(op), Some(ty)) = (comparison(op, truth), Int::of(scalar)) else {
            return true;
        };
        for component in 0..size as u32 {
            let a = self.operand(left).part(component as usize).int(ty).normal();
            let b = self
                .operand(right)
                .part(component as usize)
                .int(ty)
                .normal();
            let Some((for_left, for_right)) = bounds(op, a, b) else {
                return false;
            };
            if !self.narrow_component(left, component, for_left, depth + 1)
                || !self.narrow_component(right, component, for_right, depth + 1)
            {
                return false;
            }
        }
        true
    }

    fn narrow_component(
        &mut self,
        vector: Handle<Expression>,
        component: u32,
        fact: Interval,
        depth: u32,
    ) -> bool {
        if depth > DEPTH {
            return true;
        }
        let body = self.frame.body;
        match body.function.expressions[vector] {
            Expression::Splat { value, .. } => return self.narrow(value, fact, depth),
            Expression::Swizzle {
                vector: base,
                pattern,
                ..
            } => {
                let from = pattern[component as usize] as u32;
                if !self.narrow_component(base, from, fact, depth + 1) {
                    return false;
                }
            }
            Expression::Compose { ref components, .. } => {
                let scalars = components
                    .iter()
                    .all(|&part| matches!(body.ty(part), TypeInner::Scalar(_)));
                if scalars {
                    return self.narrow(components[component as usize], fact, depth);
                }
            }
            _ => {}
        }
        // The component may have been taken out of the vector before.
        let slot = self.frame.slot(vector);
        if let Some(&taken) = self.frame.statics.components.get(&(slot, component))
            && let Some(Value::Int(known)) = self.frame.slots[taken as usize]
        {
            match known.meet(fact) {
                Some(met) => self.frame.set(taken, Value::Int(met)),
                None => return false,
            }
        }
        let whole = self.operand(vector);
        match whole.part(component as usize) {
            Value::Int(known) => match known.meet(fact) {
                Some(met) => {
                    let whole = whole.with_part(component as usize, Value::Int(met));
                    self.frame.set(slot, whole);
                    true
                }
                None => false,
            },
            _ => true,
        }
    }

    /// Takes it that an integer expression lies within `fact`. False when it cannot.
    pub(super) fn narrow(
        &mut self,
        expression: Handle<Expression>,
        fact: Interval,
        depth: u32,
    ) -> bool {
        if depth > DEPTH {
            return true;
        }
        let known = self.value(expression).int(fact.ty);
        let Some(met) = known.meet(fact) else {
            return false;
        };
        if met == known {
            return true;
        }
        let slot = self.frame.slot(expression);
        self.frame.set(slot, Value::Int(met));
        match self.frame.body.function.expressions[expression] {
            Expression::Load { .. } => {
                self.narrow_loaded(expression, met)
                    && match self.frame.origins.get(&slot).copied() {
                        Some(Origin::Expression(origin)) => self.narrow(origin, met, depth + 1),
                        _ => true,
                    }
            }
            Expression::As {
                expr,
                convert: Some(_),
                ..
            } => self.narrow_converted(expr, met, depth),
            Expression::Binary { op, left, right } => {
                self.narrow_operands(op, left, right, met, depth)
            }
            Expression::AccessIndex { base, index } => {
                if matches!(self.frame.body.ty(base), TypeInner::Vector { .. }) {
                    let whole = self.operand(base);
                    let slot = self.frame.slot(base);
                    self.frame
                        .set(slot, whole.with_part(index as usize, Value::Int(met)));
                }
                true
            }
            _ => true,
        }
    }

    /// The variable that a value was loaded from holds it still, if nothing was stored since.
    fn narrow_loaded(&mut self, load: Handle<Expression>, fact: Interval) -> bool {
        let slot = self.frame.slot(load) as usize;
        let Some(loaded) = self.frame.loads[slot].clone() else {
            return true;
        };
        if self.state.version(loaded.variable) != Some(loaded.version) {
            return true;
        }
        let place = Place {
            variable: loaded.variable,
            path: loaded.path,
        };
        let Value::Int(known) = self.read(&place) else {
            return true;
        };
        let Some(met) = (known.ty == fact.ty).then(|| known.meet(fact)).flatten() else {
            return known.ty != fact.ty;
        };
        let narrowed = narrowed(&self.state.variables()[place.variable], &place.path, met);
        if let Some(narrowed) = narrowed {
            self.state.know(place.variable, narrowed);
        }
        true
    }

    fn narrow_converted(&mut self, from: Handle<Expression>, fact: Interval, depth: u32) -> bool {
        let Some(ty) = Int::of_type(self.frame.body.ty(from)) else {
            return true;
        };
        if ty == Int::Bool {
            return match fact.single() {
                Some(truth @ 0..=1) => self.suppose(from, truth == 1, depth + 1),
                _ => true,
            };
        }
        let known = self.value(from).int(ty);
        // Only where the conversion keeps the value does the fact hold for its source.
        let kept = known.lo >= ty.min() && known.lo >= fact.ty.min() && known.hi <= fact.ty.max();
        if !kept {
            return true;
        }
        let (lo, hi) = (fact.lo.max(ty.min()), fact.hi.min(ty.max()));
        lo <= hi && self.narrow(from, Interval { lo, hi, ty, ..fact }, depth + 1)
    }

    /// What a result within `fact` says about the operands of a sum, product or quotient.
    fn narrow_operands(
        &mut self,
        op: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
        fact: Interval,
        depth: u32,
    ) -> bool {
        let ty = fact.ty;
        if Int::of_type(self.frame.body.ty(left)) != Some(ty)
            || Int::of_type(self.frame.body.ty(right)) != Some(ty)
        {
            return true;
        }
        let a = self.value(left).int(ty);
        let b = self.value(right).int(ty);
        let plain = |interval: Interval| interval.lo >= ty.min();
        if !plain(a) || !plain(b) || !plain(fact) {
            return true;
        }
        let fits = |lo: i128, hi: i128| lo >= ty.min() && hi <= ty.max();
        let limit = |lo: i128, hi: i128| {
            let (lo, hi) = (lo.max(ty.min()), hi.min(ty.max()));
            (lo <= hi).then_some(Interval { lo, hi, ..fact })
        };
        let facts = match op {
            BinaryOperator::Add if fits(a.lo + b.lo, a.hi + b.hi) => [
                limit(fact.lo - b.hi, fact.hi - b.lo),
                limit(fact.lo - a.hi, fact.hi - a.lo),
            ],
            BinaryOperator::Subtract if fits(a.lo - b.hi, a.hi - b.lo) => [
                limit(fact.lo + b.lo, fact.hi + b.hi),
                limit(a.lo - fact.hi, a.hi - fact.lo),
            ],
            BinaryOperator::Multiply => {
                let by = |factor: Interval, other: Interval| match factor.single() {
                    Some(factor)
                        if factor > 0
                            && fits(
                                other.lo.saturating_mul(factor),
                                other.hi.saturating_mul(factor),
                            ) =>
                    {
                        limit(-(-fact.lo).div_euclid(factor), fact.hi.div_euclid(factor))
                    }
                    _ => Some(other),
                };
                [by(b, a), by(a, b)]
            }
            BinaryOperator::Divide if a.lo >= 0 && fact.lo >= 0 => match b.single() {
                Some(divisor) if divisor > 0 => [
                    limit(fact.lo * divisor, fact.hi * divisor + (divisor - 1)),
                    Some(b),
                ],
                _ => return true,
            },
            _ => return true,
        };
        match facts {
            [Some(for_left), Some(for_right)] => {
                self.narrow(left, for_left, depth + 1) && self.narrow(right, for_right, depth + 1)
            }
            _ => false,
        }
    }
}

/// `whole` with the integer at a fixed path replaced.
fn narrowed(whole: &Value, path: &[PathStep], interval: Interval) -> Option<Value> {
    match (path.split_first(), whole) {
        (None, Value::Int(_)) => Some(Value::Int(interval)),
        (Some((&PathStep::Fixed(index), rest)), Value::Parts(parts)) => {
            let inner = narrowed(parts.get(index as usize)?, rest, interval)?;
            Some(whole.with_part(index as usize, inner))
        }
        // An element that stands for many is not narrowed by what is known of one.
        _ => None,
    }
}

/// The comparison that holds when `op` came out as `truth`.
fn comparison(op: BinaryOperator, truth: bool) -> Option<BinaryOperator> {
    use BinaryOperator as B;
    Some(match (op, truth) {
        (B::Less, true) | (B::GreaterEqual, false) => B::Less,
        (B::LessEqual, true) | (B::Greater, false) => B::LessEqual,
        (B::Greater, true) | (B::LessEqual, false) => B::Greater,
        (B::GreaterEqual, true) | (B::Less, false) => B::GreaterEqual,
        (B::Equal, true) | (B::NotEqual, false) => B::Equal,
        (B::NotEqual, true) | (B::Equal, false) => B::NotEqual,
        _ => return None,
    })
}

/// What a comparison that holds says about its sides. `None` when it cannot hold.
fn bounds(op: BinaryOperator, a: Interval, b: Interval) -> Option<(Interval, Interval)> {
    use BinaryOperator as B;
    let at_most = |x: Interval, y: Interval, less: i128| {
        let limit = Interval {
            lo: x.ty.min(),
            hi: y.hi - less,
            wild_lo: true,
            ..y
        };
        (limit.lo <= limit.hi).then_some(limit)
    };
    let at_least = |x: Interval, y: Interval, more: i128| {
        let limit = Interval {
            lo: y.lo + more,
            hi: x.ty.max(),
            wild_hi: true,
            ..y
        };
        (limit.lo <= limit.hi).then_some(limit)
    };
    let except = |x: Interval, y: Interval| match y.single() {
        Some(value) if value == x.lo && value == x.hi => None,
        Some(value) if value == x.lo => Some(Interval {
            lo: value + 1,
            wild_lo: false,
            ..x
        }),
        Some(value) if value == x.hi => Some(Interval {
            hi: value - 1,
            wild_hi: x.wild_hi,
            ..x
        }),
        _ => Some(x),
    };
    Some(match op {
        B::Less => (at_most(a, b, 1)?, at_least(b, a, 1)?),
        B::LessEqual => (at_most(a, b, 0)?, at_least(b, a, 0)?),
        B::Greater => (at_least(a, b, 1)?, at_most(b, a, 1)?),
        B::GreaterEqual => (at_least(a, b, 0)?, at_most(b, a, 0)?),
        B::Equal => (b, a),
        B::NotEqual => (except(a, b)?, except(b, a)?),
        _ => (a, b),
    })
}
