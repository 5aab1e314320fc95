//! Numbers of words, counted from the start of a binding: one of 32 bits, or two where the binding is *far*, longer than
//! one can count. What is not far costs what plain arithmetic costs.

use naga::BinaryOperator;

use super::build::{Builder, Value};

/// So many words, or halves of words.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub(super) low: Value,
    /// How often 2^32 of them, where there may be so many.
    high: Option<Value>,
}

impl From<Value> for Words {
    fn from(low: Value) -> Self {
        Self { low, high: None }
    }
}

impl Builder {
    /// A number that is known.
    pub(super) fn words(&mut self, number: u64, far: bool) -> Words {
        Words {
            low: self.word(number as u32),
            high: far.then(|| self.word((number >> 32) as u32)),
        }
    }

    /// `index * stride`.
    pub(super) fn product(&mut self, index: Value, stride: u32, far: bool) -> Words {
        let low = self.times(index, stride);
        let high = far.then(|| self.upper_product(index, stride));
        Words { low, high }
    }

    /// The upper word of `index * stride`.
    fn upper_product(&mut self, index: Value, stride: u32) -> Value {
        if stride == 1 {
            return self.word(0);
        }
        if stride.is_power_of_two() {
            return self.shift_right(index, 32 - stride.trailing_zeros());
        }
        // By halves of words, as on paper. None of these sums passes 32 bits.
        const HALF: u32 = 0xffff;
        let (index_low, index_high) = (self.mask(index, HALF), self.shift_right(index, 16));
        let (stride_low, stride_high) = (stride & HALF, stride >> 16);
        let last = self.times(index_low, stride_low);
        let mut middle = self.shift_right(last, 16);
        let mut upper = self.times(index_high, stride_high);
        for (index, stride) in [(index_high, stride_low), (index_low, stride_high)] {
            if stride == 0 {
                continue;
            }
            let part = self.times(index, stride);
            let low = self.mask(part, HALF);
            middle = self.add(middle, low);
            let high = self.shift_right(part, 16);
            upper = self.add(upper, high);
        }
        let carry = self.shift_right(middle, 16);
        self.add(upper, carry)
    }

    /// The sum of two numbers.
    pub(super) fn sum(&mut self, a: Words, b: Words) -> Words {
        let low = self.add(a.low, b.low);
        let high = match (a.high, b.high) {
            (None, None) => None,
            (Some(high), None) | (None, Some(high)) => Some(high),
            (Some(a), Some(b)) => Some(self.add(a, b)),
        };
        let high = high.map(|high| {
            let carry = self.less(low, b.low);
            let (zero, one) = (self.word(0), self.word(1));
            let carry = self.select(carry, one, zero);
            self.add(high, carry)
        });
        Words { low, high }
    }

    /// A number and `more`, nothing to do when that is 0.
    pub(super) fn sum_word(&mut self, a: Words, more: u32) -> Words {
        if more == 0 {
            return a;
        }
        let more = self.word(more);
        self.sum(a, more.into())
    }

    /// `a >> bits`, of what fits in 32 bits then. `bits` is neither 0 nor 32.
    pub(super) fn quotient(&mut self, a: Words, bits: u32) -> Words {
        let mut low = self.shift_right(a.low, bits);
        let high = a.high.map(|high| {
            let moved = self.times(high, 1 << (32 - bits));
            low = self.binary(BinaryOperator::InclusiveOr, low, moved);
            self.shift_right(high, bits)
        });
        Words { low, high }
    }
}
