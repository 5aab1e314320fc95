//! Where a place begins in its binding: its indices checked against their bounds, and summed up in words.

use naga::{BinaryOperator, ScalarKind, TypeInner};

use super::address::{Translation, at_shift};
use super::build::Value;
use super::function::Rewriter;
use super::layout::Leaf;
use super::place::{Index, Place};
use super::view::View;
use super::words::Words;
use crate::{How, ShaderError};

/// Where a place begins in its binding.
#[derive(Clone, Copy)]
pub(super) struct Start {
    /// `None` when no index can be out of bounds.
    pub(super) in_bounds: Option<Value>,
    pub(super) word: Words,
    /// Halves of words to add, where an index moves by an odd number of them.
    halves: Option<Words>,
    /// The one index, when the place is an element of an array whose stride is the view's unit.
    pub(super) unit: Option<Value>,
}

/// Which half of a word.
#[derive(Clone, Copy)]
pub(super) enum Half {
    Known(u32),
    Found(Value),
}

/// An index of a place.
#[derive(Clone, Copy)]
struct Indexed {
    word: Value,
    /// Its value, when it is signed and has 32 bits.
    signed: Option<Value>,
    /// Its 64 bits, unsigned, when it has so many.
    wide: Option<Value>,
    /// It needs no check.
    below_bound: bool,
}

impl Rewriter<'_> {
    /// The one view of all of a place's leaves, if they have one.
    fn view_of(&self, place: &Place) -> Option<View> {
        let views = &self.plan.views[place.binding];
        let mut found: Option<Option<View>> = None;
        let each = &mut |leaf: Leaf| {
            let view = views.of(&leaf);
            found = Some(match found {
                None => Some(view),
                Some(other) => other.filter(|o| *o == view),
            });
        };
        place.shape.each_kind(&self.entry.module, each).ok()?;
        found?
    }

    /// Evaluates a place's indices and checks them.
    pub(super) fn start(&mut self, place: &Place) -> Result<Start, ShaderError> {
        let params = self.binding_params(place.binding)?;
        let far = self.variant.bindings[place.binding] == How::Far;
        let whole_unit = self.view_of(place).filter(|view| {
            place.offset == 0 && place.steps.len() == 1 && place.steps[0].stride == view.bytes()
        });
        let mut in_bounds = None;
        let mut words: Option<Words> = None;
        let mut halves: Option<Words> = None;
        let mut only = None;
        for step in &place.steps {
            let index = self.index(step.index)?;
            let bound = match (step.bound, params.translation, whole_unit) {
                (Some(n), ..) => self.b.word(n),
                (None, Translation::Paged { len_units, .. }, Some(view)) => {
                    len_units[at_shift(view.shift())].unwrap_or(params.count)
                }
                _ => params.count,
            };
            let inside = match index.wide {
                // What 64 bits hold is compared as such, before it is cut off.
                Some(wide) => {
                    let bound = self.b.convert(bound, naga::Scalar::U64);
                    Some(self.b.less(wide, bound))
                }
                None if index.below_bound => None,
                None => Some(self.b.less(index.word, bound)),
            };
            in_bounds = self.b.both(in_bounds, inside);
            if let (Some(value), None, 1..) = (index.signed, step.bound, step.stride)
                && (far || step.stride < 8)
            {
                // Only then can there be so many elements that a negative index is less than the count.
                let zero = self
                    .b
                    .declare(naga::Expression::Literal(naga::Literal::I32(0)));
                let natural = self.b.binary(BinaryOperator::GreaterEqual, value, zero);
                in_bounds = self.b.both(in_bounds, Some(natural));
            } else if whole_unit.is_some() && step.bound.is_none() && index.wide.is_none() {
                only = Some(index.word);
            }
            let (sum, stride) = match step.stride % 4 {
                0 => (&mut words, step.stride / 4),
                _ => (&mut halves, step.stride / 2),
            };
            if stride > 0 {
                // What has a bound lies in one element, and elements are never as long.
                let far = far && step.bound.is_none();
                let add = self.b.product(index.word, stride, far);
                *sum = Some(match *sum {
                    Some(sum) => self.b.sum(sum, add),
                    None => add,
                });
            }
        }
        // In bounds it fits.
        let offset = place.offset / 4;
        let word = match words {
            Some(sum) if offset == 0 => sum,
            Some(sum) => {
                let offset = self.b.words(offset, far);
                self.b.sum(sum, offset)
            }
            None => self.b.words(offset, far),
        };
        let halves = halves.map(|sum| self.b.sum_word(sum, place.within_word(0) / 2));
        Ok(Start {
            in_bounds,
            word,
            halves,
            unit: only,
        })
    }

    /// An index as a word.
    fn index(&mut self, index: Index) -> Result<Indexed, ShaderError> {
        let word = |word| Indexed {
            word,
            signed: None,
            wide: None,
            below_bound: false,
        };
        let old = match index {
            Index::Constant(i) => return Ok(word(self.b.word(i))),
            Index::Value(value) => {
                return Ok(Indexed {
                    below_bound: true,
                    ..word(value)
                });
            }
            Index::Expression(old) => old,
        };
        let value = self.value(old)?;
        let inner = self.source.info[old]
            .ty
            .inner_with(&self.entry.module.types);
        let TypeInner::Scalar(scalar) = *inner else {
            return Ok(word(value));
        };
        let signed = scalar.kind == ScalarKind::Sint;
        Ok(match scalar.width {
            8 => {
                let wide = self.cast(value, scalar.kind, ScalarKind::Uint);
                Indexed {
                    wide: Some(wide),
                    ..word(self.b.convert(wide, naga::Scalar::U32))
                }
            }
            width => {
                let value = match (width, signed) {
                    (4, _) => value,
                    (_, true) => self.b.convert(value, naga::Scalar::I32),
                    (_, false) => self.b.convert(value, naga::Scalar::U32),
                };
                Indexed {
                    signed: signed.then_some(value),
                    ..word(self.cast(value, scalar.kind, ScalarKind::Uint))
                }
            }
        })
    }

    /// The word that a place's `offset`th byte is in, counted from the start of the binding, and the half of it.
    pub(super) fn word_of(&mut self, place: &Place, start: &Start, offset: u32) -> (Words, Half) {
        match start.halves {
            None => {
                let bytes = place.within_word(0) + offset;
                let word = self.b.sum_word(start.word, bytes / 4);
                (word, Half::Known(bytes % 4 / 2))
            }
            Some(halves) => {
                let halves = self.b.sum_word(halves, offset / 2);
                let words = self.b.quotient(halves, 1);
                let word = self.b.sum(start.word, words);
                (word, Half::Found(self.b.mask(halves.low, 1)))
            }
        }
    }

    /// A window's word as an element of a view.
    pub(super) fn unit(&mut self, view: View, word: Value, half: Half) -> Value {
        let unit = self.b.units(word, view.shift());
        match half {
            _ if view.shift() >= 0 => unit,
            Half::Known(half) => self.b.add_word(unit, half),
            Half::Found(half) => self.b.add(unit, half),
        }
    }
}
