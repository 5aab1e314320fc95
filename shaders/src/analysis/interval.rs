//! Integer intervals: the numbers of the abstract interpreter.
//!
//! An [`Interval`] is a set of machine integers of one type, written as mathematical bounds. A sum
//! that passes the end of its type is kept as an interval that *straddles* the lower limit (`lo`
//! below the type's minimum), which stands for its elements modulo the type's span: so `i - 1u`
//! with `i` from 0 costs nothing until somebody compares it. Operations that are not modular
//! normalise first, which turns a straddling interval into the whole type.
//!
//! A bound is *wild* when it is only the type's limit, or follows from one: nothing was known. An
//! interval is *data* when it depends on values in memory. Neither is needed for soundness; they tell an
//! index that was bounded by the program from one that was not.

use std::cmp::Ordering;

/// The integer types that are followed (`bool` is an integer of 0 and 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Int {
    Bool,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
}

impl Int {
    /// The type of a scalar, or `None` for a float.
    pub(super) fn of(scalar: naga::Scalar) -> Option<Int> {
        use naga::ScalarKind as K;
        Some(match (scalar.kind, scalar.width) {
            (K::Bool, _) => Int::Bool,
            (K::Sint, 2) => Int::I16,
            (K::Uint, 2) => Int::U16,
            (K::Sint, 4) => Int::I32,
            (K::Uint, 4) => Int::U32,
            (K::Sint | K::AbstractInt, 8) => Int::I64,
            (K::Uint, 8) => Int::U64,
            _ => return None,
        })
    }

    pub(super) fn bits(self) -> u32 {
        match self {
            Int::Bool => 1,
            Int::I16 | Int::U16 => 16,
            Int::I32 | Int::U32 => 32,
            Int::I64 | Int::U64 => 64,
        }
    }

    pub(super) fn signed(self) -> bool {
        matches!(self, Int::I16 | Int::I32 | Int::I64)
    }

    pub(super) fn min(self) -> i128 {
        if self.signed() {
            -(1 << (self.bits() - 1))
        } else {
            0
        }
    }

    pub(super) fn max(self) -> i128 {
        if self.signed() {
            (1 << (self.bits() - 1)) - 1
        } else {
            (1 << self.bits()) - 1
        }
    }

    fn span(self) -> i128 {
        1 << self.bits()
    }
}

/// A non-empty set of integers; see the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) lo: i128,
    pub(super) hi: i128,
    pub(super) ty: Int,
    pub(super) wild_lo: bool,
    pub(super) wild_hi: bool,
    pub(super) data: bool,
}

impl Interval {
    pub(super) fn new(ty: Int, lo: i128, hi: i128) -> Self {
        Interval {
            lo,
            hi,
            ty,
            wild_lo: false,
            wild_hi: false,
            data: false,
        }
    }

    pub(super) fn exact(ty: Int, value: i128) -> Self {
        Self::new(ty, value, value)
    }

    /// Any value of the type, about which nothing is known.
    pub(super) fn top(ty: Int) -> Self {
        Interval {
            lo: ty.min(),
            hi: ty.max(),
            ty,
            wild_lo: ty != Int::Bool,
            wild_hi: ty != Int::Bool,
            data: true,
        }
    }

    pub(super) fn top_as(self, other: Self) -> Self {
        Interval {
            data: self.data || other.data,
            ..Self::top(self.ty)
        }
    }

    pub(super) fn single(self) -> Option<i128> {
        (self.lo == self.hi && self.lo >= self.ty.min()).then_some(self.lo)
    }

    /// Brings mathematical bounds back into the type.
    pub(super) fn wrapped(self) -> Self {
        let span = self.ty.span();
        if self.hi - self.lo >= span {
            return self.top_as(self);
        }
        let turns = (self.lo - self.ty.min()).div_euclid(span);
        let (lo, hi) = (self.lo - turns * span, self.hi - turns * span);
        if hi <= self.ty.max() {
            Interval { lo, hi, ..self }
        } else {
            Interval {
                lo: lo - span,
                hi: hi - span,
                ..self
            }
        }
    }

    /// The same set (or more) inside the type's limits.
    pub(super) fn normal(self) -> Self {
        if self.lo < self.ty.min() {
            self.top_as(self)
        } else {
            self
        }
    }

    /// The interval's elements as at most two plain pieces inside the type.
    pub(super) fn pieces(self) -> [Option<(i128, i128)>; 2] {
        let min = self.ty.min();
        if self.lo >= min {
            [Some((self.lo, self.hi)), None]
        } else {
            [
                Some((min, self.hi)),
                Some((self.lo + self.ty.span(), self.ty.max())),
            ]
        }
    }

    pub(super) fn is_wild(self) -> bool {
        self.wild_lo || self.wild_hi
    }

    pub(super) fn join(self, other: Self) -> Self {
        let joined = Interval {
            lo: self.lo.min(other.lo),
            hi: self.hi.max(other.hi),
            ty: self.ty,
            wild_lo: (self.lo <= other.lo && self.wild_lo)
                || (other.lo <= self.lo && other.wild_lo),
            wild_hi: (self.hi >= other.hi && self.wild_hi)
                || (other.hi >= self.hi && other.wild_hi),
            data: self.data || other.data,
        };
        if self.ty != other.ty || joined.hi - joined.lo >= self.ty.span() {
            return self.top_as(other);
        }
        joined
    }

    /// The elements that are also in `limit` (which lies inside the type), or `None`.
    pub(super) fn meet(self, limit: Self) -> Option<Self> {
        let mut result: Option<Interval> = None;
        for (lo, hi) in self.pieces().into_iter().flatten() {
            let (lo, wild_lo) = match limit.lo.cmp(&lo) {
                Ordering::Greater => (limit.lo, limit.wild_lo),
                Ordering::Less => (lo, self.wild_lo),
                Ordering::Equal => (lo, self.wild_lo && limit.wild_lo),
            };
            let (hi, wild_hi) = match limit.hi.cmp(&hi) {
                Ordering::Less => (limit.hi, limit.wild_hi),
                Ordering::Greater => (hi, self.wild_hi),
                Ordering::Equal => (hi, self.wild_hi && limit.wild_hi),
            };
            let limited = limit.lo > self.lo || limit.hi < self.hi;
            let met = Interval {
                lo,
                hi,
                wild_lo,
                wild_hi,
                data: self.data || (limited && limit.data),
                ..self
            };
            if met.lo <= met.hi {
                result = Some(match result {
                    Some(other) => other.join(met),
                    None => met,
                });
            }
        }
        result
    }

    pub(super) fn within(self, other: Self) -> bool {
        let all = other.lo <= other.ty.min() && other.hi >= other.ty.max();
        self.ty == other.ty && (all || (self.lo >= other.lo && self.hi <= other.hi))
    }

    /// `self` grown to contain `next`. Bounds that moved go to the next of the sorted `stops`, else to the type's
    /// limits.
    pub(super) fn widen(self, next: Self, stops: &[i128]) -> Self {
        if self.ty != next.ty {
            return self.top_as(next);
        }
        if next.lo < next.ty.min() || self.lo < self.ty.min() {
            if next.within(self) {
                return self;
            }
            return self.top_as(next);
        }
        let mut wide = self;
        wide.data |= next.data;
        if next.lo < self.lo {
            let stop = stops.iter().rev().find(|&&stop| stop <= next.lo).copied();
            let stop = stop.filter(|&stop| stop >= self.ty.min());
            wide.lo = stop.unwrap_or(self.ty.min());
            wide.wild_lo = stop.is_none() && self.ty != Int::Bool;
        }
        if next.hi > self.hi {
            let stop = stops.iter().find(|&&stop| stop >= next.hi).copied();
            let stop = stop.filter(|&stop| stop <= self.ty.max());
            wide.hi = stop.unwrap_or(self.ty.max());
            wide.wild_hi = stop.is_none() && self.ty != Int::Bool;
        }
        wide
    }

    pub(super) fn with(
        self,
        other: Self,
        lo: i128,
        hi: i128,
        wild_lo: bool,
        wild_hi: bool,
    ) -> Self {
        Interval {
            lo,
            hi,
            ty: self.ty,
            wild_lo,
            wild_hi,
            data: self.data || other.data,
        }
    }
}
