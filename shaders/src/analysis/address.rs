//! Bytes behind pointers: where storage accesses land, and what uniforms hold.

use std::rc::Rc;

use naga::proc::Alignment;
use naga::{ArraySize, Expression, Handle, Scalar, Type, TypeInner, VectorSize};

use super::interp::Interp;
use super::interval::{Int, Interval};
use super::place::{Root, Step, root, steps, storage_root};
use super::value::{self, Value};

/// An array of fixed size up to this many bytes counts as touched as a whole where its index is not known.
const SMALL_ARRAY: u64 = 4096;
/// The most elements of a uniform array that are looked at one by one.
const LOOKED_AT: i128 = 256;

/// What one access to storage touches.
pub(super) enum Range {
    /// Every index is out of bounds.
    Nothing,
    /// Some index can be anything.
    Unknown,
    Bytes {
        bytes: std::ops::Range<u64>,
        /// Some index depends on memory.
        data: bool,
    },
}

/// A type inside a buffer.
#[derive(Clone, Copy)]
enum Part {
    Type(Handle<Type>),
    Vector(VectorSize, Scalar),
    Scalar(Scalar),
}

/// A part that is indexed: its stride, its element, its length (`None`: to the end of the buffer).
struct Indexed {
    stride: u64,
    element: Part,
    length: Option<u64>,
}

enum Clipped {
    Outside,
    Anything,
    Within(u64, u64),
}

impl Interp<'_> {
    fn inner(&self, ty: Handle<Type>) -> &TypeInner {
        &self.functions.module.types[ty].inner
    }

    fn size(&self, part: Part) -> u64 {
        match part {
            Part::Type(ty) => self
                .inner(ty)
                .try_size(self.functions.module.to_ctx())
                .unwrap_or(u32::MAX)
                .into(),
            Part::Vector(size, scalar) => size as u64 * u64::from(scalar.width),
            Part::Scalar(scalar) => scalar.width.into(),
        }
    }

    fn indexed(&self, part: Part) -> Option<Indexed> {
        let vector = |size: VectorSize, scalar: Scalar| Indexed {
            stride: scalar.width.into(),
            element: Part::Scalar(scalar),
            length: Some(size as u64),
        };
        Some(match part {
            Part::Vector(size, scalar) => vector(size, scalar),
            Part::Scalar(_) => return None,
            Part::Type(ty) => match *self.inner(ty) {
                TypeInner::Vector { size, scalar } => vector(size, scalar),
                TypeInner::Matrix {
                    columns,
                    rows,
                    scalar,
                } => Indexed {
                    stride: u64::from(Alignment::from(rows) * u32::from(scalar.width)),
                    element: Part::Vector(rows, scalar),
                    length: Some(columns as u64),
                },
                TypeInner::Array { base, size, stride } => Indexed {
                    stride: stride.into(),
                    element: Part::Type(base),
                    length: match size {
                        ArraySize::Constant(length) => Some(length.get().into()),
                        ArraySize::Pending(_) => match size.resolve(self.functions.module.to_ctx())
                        {
                            Ok(naga::proc::IndexableLength::Known(length)) => Some(length.into()),
                            _ => None,
                        },
                        ArraySize::Dynamic => None,
                    },
                },
                _ => return None,
            },
        })
    }

    fn member(&self, part: Part, index: u32) -> Option<(u64, Part)> {
        let Part::Type(ty) = part else { return None };
        let TypeInner::Struct { ref members, .. } = *self.inner(ty) else {
            return None;
        };
        let member = members.get(index as usize)?;
        Some((member.offset.into(), Part::Type(member.ty)))
    }

    /// The storage binding that a pointer points into, and the bytes it can point to.
    pub(super) fn address(&mut self, pointer: Handle<Expression>) -> Option<(usize, Range)> {
        let body = self.frame.body;
        let global = storage_root(&body, pointer)?;
        let binding = self
            .launch
            .storage
            .iter()
            .position(|&other| other == global)?;
        let bound = self.launch.lens.get(binding).copied().unwrap_or(0);
        let mut part = Part::Type(self.functions.module.global_variables[global].ty);
        let (mut lo, mut hi) = (0_u64, 0_u64);
        let mut data = false;
        for step in steps(&body, pointer) {
            if let Step::Fixed(index) = step
                && let Some((offset, member)) = self.member(part, index)
            {
                lo += offset;
                hi += offset;
                part = member;
                continue;
            }
            let Some(indexed) = self.indexed(part) else {
                return Some((binding, Range::Unknown));
            };
            let length = indexed
                .length
                .unwrap_or_else(|| bound.saturating_sub(lo) / indexed.stride.max(1));
            let interval = match step {
                Step::Fixed(index) => Interval::exact(Int::U32, index.into()),
                Step::Dynamic(index) => self.index(index),
            };
            data |= interval.data;
            let (first, last) = match clip(interval, length) {
                Clipped::Outside => return Some((binding, Range::Nothing)),
                Clipped::Within(first, last) => (first, last),
                Clipped::Anything => {
                    let small = indexed.length.is_some() && length * indexed.stride <= SMALL_ARRAY;
                    if !small {
                        return Some((binding, Range::Unknown));
                    }
                    (0, length - 1)
                }
            };
            lo += first * indexed.stride;
            hi += last * indexed.stride;
            part = indexed.element;
        }
        let end = (hi + self.size(part)).min(bound);
        let range = if lo < end {
            Range::Bytes {
                bytes: lo..end,
                data,
            }
        } else {
            Range::Nothing
        };
        Some((binding, range))
    }

    /// The length of a runtime-sized array.
    pub(super) fn array_length(&mut self, pointer: Handle<Expression>) -> Option<Value> {
        let body = self.frame.body;
        let global = storage_root(&body, pointer)?;
        let binding = self
            .launch
            .storage
            .iter()
            .position(|&other| other == global)?;
        let bound = self.launch.lens.get(binding).copied()?;
        let mut part = Part::Type(self.functions.module.global_variables[global].ty);
        let mut offset = 0;
        for step in steps(&body, pointer) {
            let Step::Fixed(index) = step else {
                return None;
            };
            let (inside, member) = self.member(part, index)?;
            offset += inside;
            part = member;
        }
        let length = bound.saturating_sub(offset) / self.indexed(part)?.stride.max(1);
        Some(Value::Int(
            Interval::exact(Int::U32, length.into()).wrapped(),
        ))
    }

    /// What a load from a uniform gives; `None` when its bytes are not known.
    pub(super) fn uniform(&mut self, pointer: Handle<Expression>) -> Option<Value> {
        let body = self.frame.body;
        let Some(Root::Global(global)) = root(&body, pointer) else {
            return None;
        };
        let values = self.launch.values;
        let place = self
            .launch
            .uniforms
            .iter()
            .position(|&other| other == global)?;
        let bytes = *values.get(place)?;
        let whole = Part::Type(self.functions.module.global_variables[global].ty);
        // The places that the pointer may point to.
        let mut places = vec![(0_u64, whole)];
        for step in steps(&body, pointer) {
            let interval = match step {
                Step::Fixed(index) => Interval::exact(Int::U32, index.into()),
                Step::Dynamic(index) => self.index(index).normal(),
            };
            let mut next = Vec::new();
            for &(offset, part) in &places {
                if let Step::Fixed(index) = step
                    && let Some((inside, member)) = self.member(part, index)
                {
                    next.push((offset + inside, member));
                    continue;
                }
                let indexed = self.indexed(part)?;
                let length = i128::from(indexed.length?);
                if interval.lo < 0
                    || interval.hi >= length
                    || interval.hi - interval.lo + next.len() as i128 >= LOOKED_AT
                {
                    return None;
                }
                for index in interval.lo..=interval.hi {
                    next.push((offset + index as u64 * indexed.stride, indexed.element));
                }
            }
            places = next;
        }
        let read = places
            .into_iter()
            .map(|(offset, part)| self.decoded(part, bytes, offset));
        read.reduce(|a, b| Some(a?.join(&b?))).flatten()
    }

    fn decoded(&self, part: Part, bytes: &[u8], offset: u64) -> Option<Value> {
        let module = self.functions.module;
        match part {
            Part::Scalar(scalar) => match Int::of(scalar) {
                Some(ty) => {
                    let start = usize::try_from(offset).ok()?;
                    let raw = bytes.get(start..start.checked_add(scalar.width.into())?)?;
                    let word = raw
                        .iter()
                        .rev()
                        .fold(0_i128, |word, &byte| word << 8 | i128::from(byte));
                    Some(Value::Int(Interval::exact(ty, word).wrapped()))
                }
                None => Some(Value::Any),
            },
            Part::Vector(size, scalar) => {
                if Int::of(scalar).is_none() {
                    return Some(Value::Any);
                }
                let width = u64::from(scalar.width);
                let parts: Option<Vec<Value>> = (0..size as u64)
                    .map(|index| self.decoded(Part::Scalar(scalar), bytes, offset + index * width))
                    .collect();
                Some(Value::parts(parts?))
            }
            Part::Type(ty) => match *self.inner(ty) {
                TypeInner::Scalar(scalar) => self.decoded(Part::Scalar(scalar), bytes, offset),
                TypeInner::Vector { size, scalar } => {
                    self.decoded(Part::Vector(size, scalar), bytes, offset)
                }
                TypeInner::Struct { ref members, .. } => {
                    let parts: Option<Vec<Value>> = members
                        .iter()
                        .map(|member| {
                            self.decoded(
                                Part::Type(member.ty),
                                bytes,
                                offset + u64::from(member.offset),
                            )
                        })
                        .collect();
                    Some(Value::parts(parts?))
                }
                TypeInner::Array { .. } => {
                    let indexed = self.indexed(part)?;
                    let length = indexed.length?;
                    if i128::from(length) > LOOKED_AT {
                        return Some(value::top(module, self.inner(ty)));
                    }
                    let elements: Option<Vec<Value>> = (0..length)
                        .map(|index| {
                            self.decoded(indexed.element, bytes, offset + index * indexed.stride)
                        })
                        .collect();
                    let elements = elements?;
                    if length <= u64::from(value::SPELLED_OUT) {
                        return Some(Value::parts(elements));
                    }
                    let joined = elements.into_iter().reduce(|a, b| a.join(&b));
                    joined.map(|element| Value::Each(Rc::new(element)))
                }
                _ => Some(Value::Any),
            },
        }
    }
}

/// The part of an index's values that lies inside an array.
fn clip(index: Interval, length: u64) -> Clipped {
    let length = i128::from(length);
    let mut within: Option<(i128, i128)> = None;
    for (lo, hi) in index.pieces().into_iter().flatten() {
        let (lo, hi) = (lo.max(0), hi.min(length - 1));
        if lo <= hi {
            within = Some(match within {
                Some((first, last)) => (first.min(lo), last.max(hi)),
                None => (lo, hi),
            });
        }
    }
    let Some((first, last)) = within else {
        return Clipped::Outside;
    };
    let straddles = index.lo < index.ty.min();
    let unbounded = (index.wild_hi && index.hi >= length) || (index.wild_lo && index.lo < 0);
    if unbounded || (straddles && index.is_wild()) {
        return Clipped::Anything;
    }
    Clipped::Within(first as u64, last as u64)
}
