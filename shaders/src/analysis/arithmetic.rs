//! Arithmetic on intervals: what the machine's operations make of sets of operands.

use super::interval::{Int, Interval};

impl Interval {
    pub(super) fn add(self, b: Self) -> Self {
        self.with(
            b,
            self.lo + b.lo,
            self.hi + b.hi,
            self.wild_lo || b.wild_lo,
            self.wild_hi || b.wild_hi,
        )
        .wrapped()
    }

    pub(super) fn sub(self, b: Self) -> Self {
        self.with(
            b,
            self.lo - b.hi,
            self.hi - b.lo,
            self.wild_lo || b.wild_hi,
            self.wild_hi || b.wild_lo,
        )
        .wrapped()
    }

    pub(super) fn neg(self) -> Self {
        Self::exact(self.ty, 0).sub(self)
    }

    pub(super) fn mul(self, b: Self) -> Self {
        if self.lo >= 0 && b.lo >= 0 {
            let (Some(lo), Some(hi)) = (self.lo.checked_mul(b.lo), self.hi.checked_mul(b.hi))
            else {
                return self.top_as(b);
            };
            // A zero factor makes the bound known whatever the other one is.
            let wild_hi = (self.wild_hi || b.wild_hi) && hi != 0;
            let wild_lo = (self.wild_lo || b.wild_lo)
                && (self.lo != 0 || b.lo != 0 || self.wild_lo && b.wild_lo);
            return self.with(b, lo, hi, wild_lo, wild_hi).wrapped();
        }
        let wild = self.is_wild() || b.is_wild();
        let corners = [
            self.lo.checked_mul(b.lo),
            self.lo.checked_mul(b.hi),
            self.hi.checked_mul(b.lo),
            self.hi.checked_mul(b.hi),
        ];
        let mut bounds = (i128::MAX, i128::MIN);
        for corner in corners {
            let Some(corner) = corner else {
                return self.top_as(b);
            };
            bounds = (bounds.0.min(corner), bounds.1.max(corner));
        }
        match bounds.1.checked_sub(bounds.0) {
            Some(_) => self.with(b, bounds.0, bounds.1, wild, wild).wrapped(),
            None => self.top_as(b),
        }
    }

    /// WGSL division: truncating, and `x / 0 == x`.
    pub(super) fn div(self, b: Self) -> Self {
        let (a, b) = (self.normal(), b.normal());
        let mut result: Option<Interval> = None;
        if b.lo <= 0 && b.hi >= 0 {
            result = Some(Interval {
                data: a.data || b.data,
                ..a
            });
        }
        let mut part = |lo: i128, hi: i128, wild_lo: bool, wild_hi: bool| {
            if lo > hi {
                return;
            }
            let quotient = if a.lo >= 0 && lo > 0 {
                a.with(
                    b,
                    a.lo / hi,
                    a.hi / lo,
                    a.wild_lo || wild_hi,
                    a.wild_hi || wild_lo,
                )
            } else {
                let corners = [a.lo / lo, a.lo / hi, a.hi / lo, a.hi / hi];
                let wild = a.is_wild() || wild_lo || wild_hi;
                let least = corners.into_iter().min().unwrap_or(0);
                let most = corners.into_iter().max().unwrap_or(0);
                a.with(b, least, most, wild, wild).wrapped()
            };
            result = Some(match result {
                Some(other) => other.join(quotient),
                None => quotient,
            });
        };
        part(b.lo.max(1), b.hi, b.lo >= 1 && b.wild_lo, b.wild_hi);
        part(b.lo, b.hi.min(-1), b.wild_lo, b.hi <= -1 && b.wild_hi);
        result.unwrap_or_else(|| a.top_as(b))
    }

    /// WGSL remainder: the sign of the dividend. For a divisor of 0 both 0 and `x` are allowed for.
    pub(super) fn rem(self, b: Self) -> Self {
        let (a, b) = (self.normal(), b.normal());
        if let (Some(x), Some(y)) = (a.single(), b.single())
            && y != 0
        {
            return a.with(b, x % y, x % y, false, false);
        }
        let most = b.lo.abs().max(b.hi.abs());
        if let Some(m) = b.single()
            && m > 0
            && a.lo >= 0
            && a.lo / m == a.hi / m
        {
            return a.with(b, a.lo % m, a.hi % m, a.wild_lo, a.wild_hi);
        }
        let bound = (most - 1).max(0);
        let wild_b = b.is_wild();
        let (hi, wild_hi) = if a.hi <= bound {
            (a.hi.max(0), a.wild_hi)
        } else {
            (bound, wild_b)
        };
        let (lo, wild_lo) = if a.lo >= 0 {
            (0, false)
        } else if a.lo >= -bound {
            (a.lo, a.wild_lo)
        } else {
            (-bound, wild_b)
        };
        let result = a.with(b, lo, hi, wild_lo, wild_hi);
        if b.lo <= 0 && b.hi >= 0 {
            result.join(a)
        } else {
            result
        }
    }

    pub(super) fn and(self, b: Self) -> Self {
        let (a, b) = (self.normal(), b.normal());
        if let (Some(x), Some(y)) = (a.single(), b.single()) {
            return a.with(b, x & y, x & y, false, false);
        }
        for (x, mask) in [(a, b), (b, a)] {
            let Some(m) = mask.single() else { continue };
            if m >= 0 && (m & (m + 1)) == 0 && x.lo >= 0 {
                // A low mask is a remainder.
                let modulus = Self::exact(Int::I64, m + 1);
                let mut low = Interval { ty: Int::I64, ..x }.rem(modulus);
                low.ty = a.ty;
                return low;
            }
            // A high mask rounds down, and so keeps the order.
            let low = if m >= 0 { mask.ty.max() - m } else { -1 - m };
            if (low & (low + 1)) == 0 && x.lo >= 0 {
                return x.with(mask, x.lo & m, x.hi & m, x.wild_lo, x.wild_hi);
            }
        }
        match (a.lo >= 0, b.lo >= 0) {
            (true, true) => {
                let (hi, wild) = if a.hi <= b.hi {
                    (a.hi, a.wild_hi && (a.hi < b.hi || b.wild_hi))
                } else {
                    (b.hi, b.wild_hi)
                };
                a.with(b, 0, hi, false, wild)
            }
            (true, false) => a.with(b, 0, a.hi, false, a.wild_hi),
            (false, true) => a.with(b, 0, b.hi, false, b.wild_hi),
            (false, false) => a.top_as(b),
        }
    }

    pub(super) fn or(self, b: Self) -> Self {
        let (a, b) = (self.normal(), b.normal());
        if let (Some(x), Some(y)) = (a.single(), b.single()) {
            return a.with(b, x | y, x | y, false, false);
        }
        if a.lo < 0 || b.lo < 0 {
            return a.top_as(b);
        }
        a.with(
            b,
            a.lo.max(b.lo),
            ones(a.hi.max(b.hi)),
            a.wild_lo && b.wild_lo,
            a.wild_hi || b.wild_hi,
        )
    }

    pub(super) fn xor(self, b: Self) -> Self {
        let (a, b) = (self.normal(), b.normal());
        if let (Some(x), Some(y)) = (a.single(), b.single()) {
            return a.with(b, x ^ y, x ^ y, false, false);
        }
        if a.lo < 0 || b.lo < 0 {
            return a.top_as(b);
        }
        a.with(b, 0, ones(a.hi.max(b.hi)), false, a.wild_hi || b.wild_hi)
    }

    /// Bitwise complement.
    pub(super) fn not(self) -> Self {
        let a = self.normal();
        let flip = |x: i128| {
            if a.ty.signed() {
                -1 - x
            } else {
                a.ty.max() - x
            }
        };
        a.with(a, flip(a.hi), flip(a.lo), a.wild_hi, a.wild_lo)
    }

    pub(super) fn shl(self, by: Self) -> Self {
        let by = by.normal();
        if by.lo < 0 || by.hi >= i128::from(self.ty.bits()) {
            return self.top_as(by);
        }
        let factor = Interval {
            lo: 1 << by.lo,
            hi: 1 << by.hi,
            ty: self.ty,
            ..by
        };
        self.mul(factor)
    }

    pub(super) fn shr(self, by: Self) -> Self {
        let (a, by) = (self.normal(), by.normal());
        if by.lo < 0 || by.hi >= i128::from(a.ty.bits()) {
            return a.top_as(by);
        }
        let corners = [a.lo >> by.lo, a.lo >> by.hi, a.hi >> by.lo, a.hi >> by.hi];
        let lo = corners.into_iter().min().unwrap_or(a.lo);
        let hi = corners.into_iter().max().unwrap_or(a.hi);
        a.with(
            by,
            lo,
            hi,
            a.wild_lo || by.is_wild(),
            a.wild_hi || by.is_wild(),
        )
    }

    pub(super) fn min(self, b: Self) -> Self {
        let (a, b) = (self.normal(), b.normal());
        let pick = |x: i128, wx: bool, y: i128, wy: bool| {
            (x.min(y), (x < y && wx) || (y < x && wy) || (wx && wy))
        };
        let (lo, wild_lo) = pick(a.lo, a.wild_lo, b.lo, b.wild_lo);
        let (hi, wild_hi) = pick(a.hi, a.wild_hi, b.hi, b.wild_hi);
        a.with(b, lo, hi, wild_lo, wild_hi)
    }

    pub(super) fn max(self, b: Self) -> Self {
        let (a, b) = (self.normal(), b.normal());
        let pick = |x: i128, wx: bool, y: i128, wy: bool| {
            (x.max(y), (x > y && wx) || (y > x && wy) || (wx && wy))
        };
        let (lo, wild_lo) = pick(a.lo, a.wild_lo, b.lo, b.wild_lo);
        let (hi, wild_hi) = pick(a.hi, a.wild_hi, b.hi, b.wild_hi);
        a.with(b, lo, hi, wild_lo, wild_hi)
    }

    pub(super) fn abs(self) -> Self {
        let a = self.normal();
        if a.lo >= 0 {
            return a;
        }
        if a.lo == a.ty.min() {
            return a.top_as(a);
        }
        let wild = a.is_wild();
        if a.hi <= 0 {
            return a.with(a, -a.hi, -a.lo, wild, wild);
        }
        a.with(a, 0, a.hi.max(-a.lo), false, wild)
    }

    /// The value reinterpreted or converted as another integer type (the bits are kept).
    pub(super) fn cast(self, ty: Int) -> Self {
        if ty == self.ty {
            return self;
        }
        if ty == Int::Bool {
            let truth = match (self.lo <= 0 && self.hi >= 0, self.single()) {
                (false, _) if self.lo >= self.ty.min() => (1, 1),
                (_, Some(0)) => (0, 0),
                _ => (0, 1),
            };
            return Interval {
                data: self.data,
                ..Self::new(ty, truth.0, truth.1)
            };
        }
        // Widening takes the value, so it must be a plain one first.
        let from = if ty.bits() > self.ty.bits() {
            self.normal()
        } else {
            self
        };
        Interval { ty, ..from }.wrapped()
    }

    /// Three-valued truth as an interval of 0 and 1.
    pub(super) fn truth(value: Option<bool>, data: bool) -> Self {
        let (lo, hi) = match value {
            Some(true) => (1, 1),
            Some(false) => (0, 0),
            None => (0, 1),
        };
        Interval {
            data,
            ..Self::new(Int::Bool, lo, hi)
        }
    }

    pub(super) fn less(self, b: Self) -> Self {
        let (a, b) = (self.normal(), b.normal());
        let known = if a.hi < b.lo {
            Some(true)
        } else if a.lo >= b.hi {
            Some(false)
        } else {
            None
        };
        Self::truth(known, a.data || b.data)
    }

    pub(super) fn equal(self, b: Self) -> Self {
        let (a, b) = (self.normal(), b.normal());
        let known = if a.hi < b.lo || b.hi < a.lo {
            Some(false)
        } else if a.single().is_some() && a.single() == b.single() {
            Some(true)
        } else {
            None
        };
        Self::truth(known, a.data || b.data)
    }

    pub(super) fn truth_not(self) -> Self {
        Interval {
            lo: 1 - self.hi,
            hi: 1 - self.lo,
            ..self
        }
    }
}

/// The smallest `2^k - 1` that is not below `x` (which is not negative).
fn ones(x: i128) -> i128 {
    let mut mask = 0;
    while mask < x {
        mask = mask << 1 | 1;
    }
    mask
}
