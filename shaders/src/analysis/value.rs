//! Abstract values: trees of intervals, shaped like the type.

use std::rc::Rc;

use naga::{ArraySize, Handle, Module, Type, TypeInner};

use super::interval::{Int, Interval};

/// Arrays up to this length are followed element by element.
pub(super) const SPELLED_OUT: u32 = 16;

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// An integer or truth value.
    Int(Interval),
    /// Anything: floats, and what is not followed. Read as an integer it is any integer.
    Any,
    /// A vector, a structure, or a short array.
    Parts(Rc<[Value]>),
    /// A long array: what any of its elements may be.
    Each(Rc<Value>),
}

impl Value {
    pub(super) fn parts(parts: impl IntoIterator<Item = Value>) -> Value {
        Value::Parts(parts.into_iter().collect())
    }

    pub(super) fn truth(value: bool) -> Value {
        Value::Int(Interval::truth(Some(value), false))
    }

    /// As an integer of this type.
    pub(super) fn int(&self, ty: Int) -> Interval {
        match *self {
            Value::Int(interval) if interval.ty == ty => interval,
            _ => Interval::top(ty),
        }
    }

    /// A part by its fixed index.
    pub(super) fn part(&self, index: usize) -> Value {
        match self {
            Value::Parts(parts) => parts.get(index).cloned().unwrap_or(Value::Any),
            Value::Each(element) => (**element).clone(),
            _ => Value::Any,
        }
    }

    /// What any of the parts with an index in `lo ..= hi` may be. For indices outside, an
    /// implementation may take any part, or zero.
    pub(super) fn parts_between(&self, lo: i128, hi: i128) -> Value {
        match self {
            Value::Parts(parts) => {
                let outside = lo < 0 || hi >= parts.len() as i128;
                let mut joined: Option<Value> = None;
                if outside {
                    joined = parts
                        .first()
                        .map(|part| part.map(&|a| Interval::exact(a.ty, 0)));
                }
                for (index, part) in parts.iter().enumerate() {
                    if outside || (lo..=hi).contains(&(index as i128)) {
                        joined = Some(match joined {
                            Some(other) => other.join(part),
                            None => part.clone(),
                        });
                    }
                }
                joined.unwrap_or(Value::Any)
            }
            Value::Each(element) => {
                let zero = element.map(&|a| Interval::exact(a.ty, 0));
                element.join(&zero)
            }
            _ => Value::Any,
        }
    }

    pub(super) fn with_part(&self, index: usize, part: Value) -> Value {
        match self {
            Value::Parts(parts) if index < parts.len() => {
                let mut parts: Vec<Value> = parts.to_vec();
                parts[index] = part;
                Value::parts(parts)
            }
            Value::Each(element) => Value::Each(Rc::new(element.join(&part))),
            _ => Value::Any,
        }
    }

    fn zip(&self, other: &Value, combine: &mut dyn FnMut(Interval, Interval) -> Interval) -> Value {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) if a.ty == b.ty => Value::Int(combine(*a, *b)),
            (Value::Parts(a), Value::Parts(b)) if Rc::ptr_eq(a, b) && a.is_empty() => self.clone(),
            (Value::Parts(a), Value::Parts(b)) if a.len() == b.len() => {
                Value::parts(a.iter().zip(b.iter()).map(|(a, b)| a.zip(b, combine)))
            }
            (Value::Each(a), Value::Each(b)) => Value::Each(Rc::new(a.zip(b, combine))),
            _ => Value::Any,
        }
    }

    /// Applies an operation component by component; a scalar goes with every component.
    pub(super) fn combine(
        &self,
        other: &Value,
        operation: &dyn Fn(Interval, Interval) -> Interval,
    ) -> Value {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => Value::Int(operation(*a, *b)),
            (Value::Parts(a), Value::Parts(b)) if a.len() == b.len() => {
                Value::parts(a.iter().zip(b.iter()).map(|(a, b)| a.combine(b, operation)))
            }
            (Value::Parts(a), Value::Int(_)) => {
                Value::parts(a.iter().map(|a| a.combine(other, operation)))
            }
            (Value::Int(_), Value::Parts(b)) => {
                Value::parts(b.iter().map(|b| self.combine(b, operation)))
            }
            _ => Value::Any,
        }
    }

    /// Applies an operation to every integer.
    pub(super) fn map(&self, operation: &dyn Fn(Interval) -> Interval) -> Value {
        match self {
            Value::Int(a) => Value::Int(operation(*a)),
            Value::Any => Value::Any,
            Value::Parts(parts) => Value::parts(parts.iter().map(|part| part.map(operation))),
            Value::Each(element) => Value::Each(Rc::new(element.map(operation))),
        }
    }

    pub(super) fn join(&self, other: &Value) -> Value {
        if self == other {
            return self.clone();
        }
        self.zip(other, &mut Interval::join)
    }

    /// See [`Interval::widen`].
    pub(super) fn widen(&self, next: &Value, stops: &[i128]) -> Value {
        self.zip(next, &mut |a, b| a.widen(b, stops))
    }

    /// Whether every value of `self` is one of `other`.
    pub(super) fn within(&self, other: &Value) -> bool {
        match (self, other) {
            (_, Value::Any) => true,
            (Value::Int(a), Value::Int(b)) => a.within(*b),
            (Value::Parts(a), Value::Parts(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.within(b))
            }
            (Value::Each(a), Value::Each(b)) => a.within(b),
            _ => false,
        }
    }

    /// What both may be, where something tighter is known; `self` where nothing is.
    pub(super) fn meet(&self, other: &Value) -> Value {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) if a.ty == b.ty && b.lo >= b.ty.min() => {
                Value::Int(a.meet(*b).unwrap_or(*a))
            }
            (Value::Any, _) => other.clone(),
            (Value::Parts(a), Value::Parts(b)) if a.len() == b.len() => {
                Value::parts(a.iter().zip(b.iter()).map(|(a, b)| a.meet(b)))
            }
            _ => self.clone(),
        }
    }
}

/// Builds a value in the shape of a type, with `leaf` for its integers.
fn shaped(module: &Module, ty: &TypeInner, leaf: fn(Int) -> Interval) -> Value {
    let child = |ty: Handle<Type>| shaped(module, &module.types[ty].inner, leaf);
    match *ty {
        TypeInner::Scalar(scalar) | TypeInner::Atomic(scalar) => {
            Int::of(scalar).map_or(Value::Any, |int| Value::Int(leaf(int)))
        }
        TypeInner::Vector { size, scalar } => match Int::of(scalar) {
            Some(int) => Value::parts(vec![Value::Int(leaf(int)); size as usize]),
            None => Value::Any,
        },
        TypeInner::Array { base, size, .. } => {
            let element = child(base);
            let length = match size {
                ArraySize::Constant(length) => Some(length.get()),
                _ => None,
            };
            match (element, length) {
                (Value::Any, _) => Value::Any,
                (element, Some(length)) if length <= SPELLED_OUT => {
                    Value::parts(vec![element; length as usize])
                }
                (element, _) => Value::Each(Rc::new(element)),
            }
        }
        TypeInner::Struct { ref members, .. } => {
            let parts: Vec<Value> = members.iter().map(|member| child(member.ty)).collect();
            if parts.iter().all(|part| *part == Value::Any) {
                Value::Any
            } else {
                Value::parts(parts)
            }
        }
        _ => Value::Any,
    }
}

/// Whether there are integers in a type, so that its values are followed.
pub(super) fn holds_integers(module: &Module, ty: &TypeInner) -> bool {
    let inner = |ty: Handle<Type>| holds_integers(module, &module.types[ty].inner);
    match *ty {
        TypeInner::Scalar(scalar)
        | TypeInner::Atomic(scalar)
        | TypeInner::Vector { scalar, .. } => Int::of(scalar).is_some(),
        TypeInner::Array { base, .. } => inner(base),
        TypeInner::Struct { ref members, .. } => members.iter().any(|member| inner(member.ty)),
        _ => false,
    }
}

/// Any value of a type.
pub(super) fn top(module: &Module, ty: &TypeInner) -> Value {
    shaped(module, ty, Interval::top)
}

/// The zero value of a type.
pub(super) fn zero(module: &Module, ty: &TypeInner) -> Value {
    shaped(module, ty, |int| Interval::exact(int, 0))
}
