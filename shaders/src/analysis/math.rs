//! The built-in functions on integers that addresses are made with.

use naga::MathFunction;

use super::interval::{Int, Interval};
use super::value::Value;

/// The result of a built-in function, or `None` when nothing better than its type is known.
pub(super) fn math(
    fun: MathFunction,
    a: &Value,
    b: Option<&Value>,
    c: Option<&Value>,
) -> Option<Value> {
    use MathFunction as F;
    let result = match (fun, b, c) {
        (F::Abs, ..) => a.map(&Interval::abs),
        (F::Min, Some(b), _) => a.combine(b, &Interval::min),
        (F::Max, Some(b), _) => a.combine(b, &Interval::max),
        (F::Clamp, Some(low), Some(high)) => {
            a.combine(low, &Interval::max).combine(high, &Interval::min)
        }
        (F::Sign, ..) => a.map(&|a| Interval {
            lo: a.normal().lo.signum(),
            hi: a.normal().hi.signum(),
            wild_lo: false,
            wild_hi: false,
            ..a
        }),
        (F::Dot, Some(b), _) => dot(a, b)?,
        (F::CountOneBits | F::CountLeadingZeros | F::CountTrailingZeros, ..) => {
            a.map(&|a| bit_count(fun, a))
        }
        (F::FirstLeadingBit | F::FirstTrailingBit, ..) => a.map(&|a| first_bit(fun, a)),
        (F::ExtractBits, Some(offset), Some(count)) => {
            let (offset, count) = (offset.int(Int::U32), count.int(Int::U32));
            a.map(&|a| extract(a, offset, count))
        }
        (F::Dot4U8Packed, ..) => Value::Int(Interval {
            data: true,
            ..Interval::new(Int::U32, 0, 4 * 255 * 255)
        }),
        _ => return None,
    };
    (result != Value::Any).then_some(result)
}

fn dot(a: &Value, b: &Value) -> Option<Value> {
    let Value::Parts(products) = a.combine(b, &Interval::mul) else {
        return None;
    };
    products
        .iter()
        .cloned()
        .reduce(|a, b| a.combine(&b, &Interval::add))
}

fn bit_count(fun: MathFunction, a: Interval) -> Interval {
    let bits = a.ty.bits();
    let count = |value: i128| {
        let value = (value & ((1 << bits) - 1)) as u64;
        i128::from(match fun {
            MathFunction::CountOneBits => value.count_ones(),
            MathFunction::CountLeadingZeros => value.leading_zeros() - (64 - bits),
            _ => value.trailing_zeros().min(bits),
        })
    };
    let (lo, hi) = match a.single() {
        Some(value) => (count(value), count(value)),
        None if fun == MathFunction::CountLeadingZeros && a.lo >= 0 => (count(a.hi), count(a.lo)),
        None => (0, i128::from(bits)),
    };
    Interval {
        data: a.data,
        ..Interval::new(a.ty, lo, hi)
    }
}

fn first_bit(fun: MathFunction, a: Interval) -> Interval {
    // For 0 (and for -1 where the sign counts) the result is all ones, so only positive values are bounded.
    if a.lo <= 0 {
        return Interval {
            data: a.data,
            ..Interval::top(a.ty)
        };
    }
    let highest = |value: i128| i128::from(127 - value.leading_zeros());
    let lo = if fun == MathFunction::FirstLeadingBit {
        highest(a.lo)
    } else {
        0
    };
    Interval {
        data: a.data,
        ..Interval::new(a.ty, lo, highest(a.hi))
    }
}

fn extract(a: Interval, offset: Interval, count: Interval) -> Interval {
    let a = a.normal();
    let bits = i128::from(a.ty.bits());
    let data = a.data || offset.data || count.data;
    if a.lo < 0 || count.lo < 0 || matches!(a.ty, Int::I16 | Int::I32 | Int::I64) {
        return Interval {
            data,
            ..Interval::top(a.ty)
        };
    }
    let most = (1_i128 << count.hi.min(bits)) - 1;
    Interval {
        data,
        ..Interval::new(a.ty, 0, most.min(a.hi))
    }
}
