//! From a place to words of windows: bounds checks, slid and paged translation, confinement.
//!
//! A *group* is some consecutive words of a place that one translation serves. Slid, any words that the guard can
//! stand for; paged, words that cannot straddle a page.

use naga::{BinaryOperator, ScalarKind, TypeInner};

use super::build::Value;
use super::function::Rewriter;
use super::layout::Leaf;
use super::physical::Window;
use super::place::{Index, Place};
use crate::{
    ENTRY_FLAGS, ENTRY_VALID, ENTRY_WRITABLE, GUARD_WORDS, How, READ_GUARD, ShaderError,
    WRITE_GUARD,
};

/// Words that the guards can stand for.
const GUARDED: u32 = 32;

/// The parameters of one binding, loaded at the top of a function. Those in units are in elements of its view.
#[derive(Clone, Copy)]
pub(super) struct BindingParams {
    pub(super) count: Value,
    translation: Translation,
}

#[derive(Clone, Copy)]
enum Translation {
    Slid {
        start: Value,
        words: Value,
        base: Value,
        start_units: Value,
        units: Value,
        base_units: Value,
    },
    Paged {
        page_base: Value,
        first_word: Value,
        len_units: Value,
        touch_base: Value,
    },
}

/// Whether an access loads or stores (atomics store).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Load,
    Store,
}

impl Access {
    fn guard(self) -> u32 {
        match self {
            Self::Load => READ_GUARD,
            Self::Store => WRITE_GUARD,
        }
    }
}

/// Consecutive words of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Words from the start of the place.
    pub(super) offset: u32,
    pub(super) words: u32,
    /// Leaves of the group, by number: from, to.
    pub(super) leaves: (usize, usize),
}

/// Where a place begins, in words of its binding.
#[derive(Clone, Copy)]
pub(super) struct Start {
    /// `None` when no index can be out of bounds.
    pub(super) in_bounds: Option<Value>,
    word: Value,
    /// The one index, when the place is an element of an array whose stride is the view's unit.
    unit: Option<Value>,
}

/// A group's place in a window.
#[derive(Clone, Copy)]
pub(super) struct Located {
    pub(super) window: Window,
    /// The element of the view that holds the group's first word.
    pub(super) unit: Value,
    /// In bounds and resident with the right to the access; otherwise `unit` is in a guard.
    pub(super) ok: Value,
}

/// Cuts leaves into groups.
pub(super) fn groups(place: &Place, leaves: &[Leaf], slid: bool) -> Vec<Group> {
    let mut out: Vec<Group> = Vec::new();
    for (i, leaf) in leaves.iter().enumerate() {
        if let Some(last) = out.last_mut() {
            let words = leaf.offset + leaf.words() - last.offset;
            if words <= GUARDED && (slid || place.within_alignment(last.offset, words)) {
                last.words = words;
                last.leaves.1 = i + 1;
                continue;
            }
        }
        out.push(Group {
            offset: leaf.offset,
            words: leaf.words(),
            leaves: (i, i + 1),
        });
    }
    out
}

impl Rewriter<'_> {
    /// Loads the parameters of the bindings that the function uses itself.
    pub(super) fn prologue(&mut self) {
        let used: Vec<usize> =
            (0..self.entry.storage.len())
                .filter(|&i| {
                    let global = self.entry.storage[i].global;
                    self.source.function.expressions.iter().any(
                        |(_, e)| matches!(*e, naga::Expression::GlobalVariable(g) if g == global),
                    )
                })
                .collect();
        for binding in used {
            let shift = self.plan.views[binding].shift();
            let b = &mut self.b;
            let first = self.physical.param(b, 2 + 3 * binding as u32);
            let count = b.component(first, 3);
            let translation = match self.variant.bindings[binding] {
                How::Slid { .. } | How::Whole { .. } => {
                    let [start, words, base] = [0, 1, 2].map(|i| b.component(first, i));
                    let [start_units, units, base_units] =
                        [start, words, base].map(|w| b.shift_right(w, shift));
                    Translation::Slid {
                        start,
                        words,
                        base,
                        start_units,
                        units,
                        base_units,
                    }
                }
                How::Paged => {
                    let second = self.physical.param(b, 3 + 3 * binding as u32);
                    let [page_base, first_word, len, touch_base] =
                        [0, 1, 2, 3].map(|i| b.component(second, i));
                    Translation::Paged {
                        page_base,
                        first_word,
                        len_units: b.shift_right(len, shift),
                        touch_base,
                    }
                }
            };
            self.params[binding] = Some(BindingParams { count, translation });
        }
    }

    pub(super) fn binding_params(&self, binding: usize) -> Result<BindingParams, ShaderError> {
        self.params[binding]
            .ok_or_else(|| ShaderError::Internal("a binding's parameters are missing".to_owned()))
    }

    /// Evaluates a place's indices and checks them.
    pub(super) fn start(&mut self, place: &Place) -> Result<Start, ShaderError> {
        let params = self.binding_params(place.binding)?;
        let unit = 1u32 << self.plan.views[place.binding].shift();
        let whole_unit =
            place.offset == 0 && place.steps.len() == 1 && place.steps[0].stride == unit;
        let mut in_bounds = None;
        let mut sum = None;
        let mut only = None;
        for step in &place.steps {
            let (index, signed) = match step.index {
                Index::Constant(i) => (self.b.word(i), None),
                Index::Expression(old) => {
                    let value = self.value(old)?;
                    match *self.source.info[old]
                        .ty
                        .inner_with(&self.entry.module.types)
                    {
                        TypeInner::Scalar(s) if s.kind == ScalarKind::Sint => {
                            (self.b.bitcast(value, ScalarKind::Uint), Some(value))
                        }
                        _ => (value, None),
                    }
                }
            };
            let bound = match step.bound {
                Some(n) => self.b.word(n),
                None => match params.translation {
                    Translation::Paged { len_units, .. } if whole_unit => len_units,
                    _ => params.count,
                },
            };
            let inside = self.b.less(index, bound);
            in_bounds = self.b.both(in_bounds, Some(inside));
            if let (Some(value), None, 1) = (signed, step.bound, step.stride) {
                // The only case in which a negative index could be less than the count.
                let zero = self
                    .b
                    .declare(naga::Expression::Literal(naga::Literal::I32(0)));
                let natural = self.b.binary(BinaryOperator::GreaterEqual, value, zero);
                in_bounds = self.b.both(in_bounds, Some(natural));
            } else if whole_unit && step.bound.is_none() {
                only = Some(index);
            }
            if step.stride > 0 {
                let words = self.b.times(index, step.stride);
                sum = Some(match sum {
                    Some(sum) => self.b.add(sum, words),
                    None => words,
                });
            }
        }
        let word = match sum {
            Some(sum) => self.b.add_word(sum, place.offset),
            None => self.b.word(place.offset),
        };
        Ok(Start {
            in_bounds,
            word,
            unit: only,
        })
    }

    /// Translates a group, and raises the flag where an access in bounds leaves the confinement.
    pub(super) fn locate(
        &mut self,
        place: &Place,
        start: &Start,
        group: Group,
        access: Access,
    ) -> Result<Located, ShaderError> {
        let params = self.binding_params(place.binding)?;
        let shift = self.plan.views[place.binding].shift();
        let located = match (params.translation, self.variant.bindings[place.binding]) {
            (
                Translation::Slid {
                    start: first,
                    words,
                    base,
                    start_units,
                    units,
                    base_units,
                },
                How::Slid { window },
            ) => {
                let b = &mut self.b;
                let guard = b.word(access.guard() >> shift);
                let (ok, unit) = if let Some(index) = start.unit {
                    let relative = b.binary(BinaryOperator::Subtract, index, start_units);
                    let fits = b.less(relative, units);
                    (fits, b.add(base_units, relative))
                } else {
                    let word = b.add_word(start.word, group.offset);
                    let relative = b.binary(BinaryOperator::Subtract, word, first);
                    let mut ok = b.less(relative, words);
                    if !place.within_alignment(group.offset, group.words) {
                        let end = b.add_word(relative, group.words - 1);
                        let end = b.less(end, words);
                        ok = b.binary(BinaryOperator::LogicalAnd, ok, end);
                    }
                    let ok = b.both(start.in_bounds, Some(ok)).unwrap_or(ok);
                    let at = b.add(base, relative);
                    (ok, b.shift_right(at, shift))
                };
                Located {
                    window: Window::Known(window),
                    unit: b.select(ok, unit, guard),
                    ok,
                }
            }
            (
                Translation::Slid {
                    base, base_units, ..
                },
                How::Whole { window },
            ) => {
                let b = &mut self.b;
                let unit = if let Some(index) = start.unit {
                    b.add(base_units, index)
                } else {
                    let word = b.add_word(start.word, group.offset);
                    let at = b.add(base, word);
                    b.shift_right(at, shift)
                };
                let (ok, unit) = match start.in_bounds {
                    Some(ok) => {
                        let guard = b.word(access.guard() >> shift);
                        (ok, b.select(ok, unit, guard))
                    }
                    // Without an index nothing can leave a binding of at least its type's size.
                    None => (
                        b.declare(naga::Expression::Literal(naga::Literal::Bool(true))),
                        unit,
                    ),
                };
                return Ok(Located {
                    window: Window::Known(window),
                    unit,
                    ok,
                });
            }
            (Translation::Paged { .. }, _) => {
                let entry = self.entry_of(place, start, group)?;
                let page_words = 1u32 << self.physical.page_word_shift();
                let b = &mut self.b;
                let rights = match access {
                    Access::Load => ENTRY_VALID,
                    Access::Store => ENTRY_VALID | ENTRY_WRITABLE,
                };
                let have = b.mask(entry.entry, rights);
                let want = b.word(rights);
                let ok = b.binary(BinaryOperator::Equal, have, want);
                let frame = b.mask(entry.entry, !ENTRY_FLAGS);
                let within = b.mask(entry.position, page_words - 1);
                let at = b.add(frame, within);
                let at = b.add_word(at, GUARD_WORDS);
                let guard = b.word(access.guard());
                let at = b.select(ok, at, guard);
                let unit = b.shift_right(at, shift);
                Located {
                    window: self.physical.window_of(&mut self.b, entry.entry),
                    unit,
                    ok,
                }
            }
            _ => {
                return Err(ShaderError::Internal(
                    "a binding's parameters are of another kind".to_owned(),
                ));
            }
        };
        if self.probe.is_none() {
            self.confine(start.in_bounds, located.ok);
        }
        Ok(located)
    }

    /// Raises the flag when an access is in bounds and yet not ok.
    fn confine(&mut self, in_bounds: Option<Value>, ok: Value) {
        let strayed = self.strayed(in_bounds, ok);
        let b = &mut self.b;
        let flag = b.global(self.physical.flag);
        let old = b.load(flag);
        let new = b.binary(BinaryOperator::LogicalOr, old, strayed);
        b.store(flag, new);
    }

    /// Whether an access is in bounds and yet not ok.
    pub(super) fn strayed(&mut self, in_bounds: Option<Value>, ok: Value) -> Value {
        match in_bounds {
            // Ok implies in bounds, so they differ only where the access strayed.
            Some(inside) => self.b.binary(BinaryOperator::NotEqual, inside, ok),
            None => self.b.not(ok),
        }
    }

    /// The table's entry for a group's page: 0 out of bounds.
    fn entry_of(
        &mut self,
        place: &Place,
        start: &Start,
        group: Group,
    ) -> Result<PageEntry, ShaderError> {
        let page = self.page_of(place, start, group.offset)?;
        let b = &mut self.b;
        let mut index = b.add(page.page_base, page.page);
        if let Some(inside) = start.in_bounds {
            let zero = b.word(0);
            index = b.select(inside, index, zero);
        }
        let pointer = self.physical.element(b, self.physical.table, index);
        Ok(PageEntry {
            entry: b.load(pointer),
            position: page.position,
        })
    }

    /// The page of a place's word, counted from the binding's first page.
    pub(super) fn page_of(
        &mut self,
        place: &Place,
        start: &Start,
        offset: u32,
    ) -> Result<Page, ShaderError> {
        let Translation::Paged {
            page_base,
            first_word,
            touch_base,
            ..
        } = self.binding_params(place.binding)?.translation
        else {
            return Err(ShaderError::Internal(
                "a slid binding has no pages".to_owned(),
            ));
        };
        let b = &mut self.b;
        let word = b.add_word(start.word, offset);
        let position = b.add(first_word, word);
        let page = b.shift_right(position, self.physical.page_word_shift());
        Ok(Page {
            page_base,
            touch_base,
            position,
            page,
        })
    }
}

/// A word's page.
#[derive(Clone, Copy)]
pub(super) struct Page {
    page_base: Value,
    pub(super) touch_base: Value,
    position: Value,
    pub(super) page: Value,
}

/// A page's table entry, and the word counted from the start of the binding's first page.
#[derive(Clone, Copy)]
struct PageEntry {
    entry: Value,
    position: Value,
}
