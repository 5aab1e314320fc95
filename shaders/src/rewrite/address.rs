//! From a place to elements of windows: bounds checks, slid and paged translation, confinement.
//!
//! A *group* is some consecutive leaves of a place, of one view, that one translation serves. Slid, any that the guard
//! can stand for; paged, what cannot straddle a page.

use naga::{BinaryOperator, ScalarKind, TypeInner};

use super::build::Value;
use super::function::Rewriter;
use super::layout::Leaf;
use super::physical::Window;
use super::place::{Index, Place};
use super::view::{View, Views};
use crate::{
    ENTRY_FLAGS, ENTRY_VALID, ENTRY_WRITABLE, GUARD_WORDS, How, Mode, READ_GUARD, ShaderError,
    WRITE_GUARD,
};

/// Bytes that the guards can stand for.
const GUARDED: u32 = 128;

/// The parameters of one binding, loaded at the top of a function.
#[derive(Clone, Copy)]
pub(super) struct BindingParams {
    pub(super) count: Value,
    translation: Translation,
}

#[derive(Clone, Copy)]
enum Translation {
    Slid {
        slice: Slice,
        /// The same in elements of the binding's views, by [`View::shift`] from -1 on.
        units: [Option<Slice>; 4],
    },
    Paged {
        page_base: Value,
        first_word: Value,
        /// Words of the binding, in elements of its views.
        len_units: [Option<Value>; 4],
        touch_base: Value,
    },
}

/// Where a slice begins in its binding, how long it is, and where it begins in its window.
#[derive(Clone, Copy)]
struct Slice {
    start: Value,
    len: Value,
    base: Value,
}

/// The place of a view's shift in an array for all of them.
fn at_shift(shift: i32) -> usize {
    usize::try_from(shift + 1).unwrap_or(0)
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

/// Consecutive leaves of a place, reached through one view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) view: View,
    /// Bytes from the start of the place.
    pub(super) offset: u32,
    pub(super) bytes: u32,
    /// Leaves of the group, by number: from, to.
    pub(super) leaves: (usize, usize),
}

/// Where a place begins in its binding.
#[derive(Clone, Copy)]
pub(super) struct Start {
    /// `None` when no index can be out of bounds.
    pub(super) in_bounds: Option<Value>,
    word: Value,
    /// Halves of words to add, where an index moves by an odd number of them.
    halves: Option<Value>,
    /// The one index, when the place is an element of an array whose stride is the view's unit.
    unit: Option<Value>,
}

/// Which half of a word.
#[derive(Clone, Copy)]
enum Half {
    Known(u32),
    Found(Value),
}

/// A group's place in a window.
#[derive(Clone, Copy)]
pub(super) struct Located {
    pub(super) window: Window,
    pub(super) view: View,
    /// The element of the view that the group begins with.
    pub(super) unit: Value,
    /// In bounds and resident with the right to the access; otherwise `unit` is in a guard.
    pub(super) ok: Value,
}

/// Cuts leaves into groups.
pub(super) fn groups(place: &Place, leaves: &[Leaf], slid: bool, views: &Views) -> Vec<Group> {
    let mut out: Vec<Group> = Vec::new();
    for (i, leaf) in leaves.iter().enumerate() {
        let view = views.of(leaf);
        if let Some(last) = out.last_mut()
            && last.view == view
            && place.known_half()
        {
            let bytes = leaf.offset + leaf.bytes() - last.offset;
            if bytes <= GUARDED && (slid || place.within_alignment(last.offset, bytes)) {
                last.bytes = bytes;
                last.leaves.1 = i + 1;
                continue;
            }
        }
        out.push(Group {
            view,
            offset: leaf.offset,
            bytes: leaf.bytes(),
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
            let shifts = self.plan.views[binding].shifts();
            let b = &mut self.b;
            let first = self.physical.param(b, 2 + 3 * binding as u32);
            let count = b.component(first, 3);
            let translation = match self.variant.bindings[binding] {
                How::Slid { .. } | How::Whole { .. } => {
                    let [start, len, base] = [0, 1, 2].map(|i| b.component(first, i));
                    let mut units = [None; 4];
                    for &shift in &shifts {
                        let [start, len, base] = [start, len, base].map(|w| b.units(w, shift));
                        units[at_shift(shift)] = Some(Slice { start, len, base });
                    }
                    let slice = Slice { start, len, base };
                    Translation::Slid { slice, units }
                }
                How::Paged => {
                    let second = self.physical.param(b, 3 + 3 * binding as u32);
                    let [page_base, first_word, len, touch_base] =
                        [0, 1, 2, 3].map(|i| b.component(second, i));
                    let mut len_units = [None; 4];
                    // Of halves the count tells.
                    for shift in shifts.into_iter().filter(|shift| *shift >= 0) {
                        len_units[at_shift(shift)] = Some(b.units(len, shift));
                    }
                    Translation::Paged {
                        page_base,
                        first_word,
                        len_units,
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
        let whole_unit = self.view_of(place).filter(|view| {
            place.offset == 0 && place.steps.len() == 1 && place.steps[0].stride == view.bytes()
        });
        let mut in_bounds = None;
        let mut words = None;
        let mut halves = None;
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
            if let (Some(value), None, 1..8) = (index.signed, step.bound, step.stride) {
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
                let add = self.b.times(index.word, stride);
                *sum = Some(match *sum {
                    Some(sum) => self.b.add(sum, add),
                    None => add,
                });
            }
        }
        // In bounds it fits.
        let offset = (place.offset / 4) as u32;
        let word = match words {
            Some(sum) => self.b.add_word(sum, offset),
            None => self.b.word(offset),
        };
        let halves = halves.map(|sum| self.b.add_word(sum, place.within_word(0) / 2));
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
    fn word_of(&mut self, place: &Place, start: &Start, offset: u32) -> (Value, Half) {
        match start.halves {
            None => {
                let bytes = place.within_word(0) + offset;
                let word = self.b.add_word(start.word, bytes / 4);
                (word, Half::Known(bytes % 4 / 2))
            }
            Some(halves) => {
                let halves = self.b.add_word(halves, offset / 2);
                let words = self.b.shift_right(halves, 1);
                let word = self.b.add(start.word, words);
                (word, Half::Found(self.b.mask(halves, 1)))
            }
        }
    }

    /// A window's word as an element of a view.
    fn unit(&mut self, view: View, word: Value, half: Half) -> Value {
        let unit = self.b.units(word, view.shift());
        match half {
            _ if view.shift() >= 0 => unit,
            Half::Known(half) => self.b.add_word(unit, half),
            Half::Found(half) => self.b.add(unit, half),
        }
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
        let view = group.view;
        let shift = view.shift();
        let guard_unit = access.guard() * 4 / view.bytes();
        let located = match (params.translation, self.variant.bindings[place.binding]) {
            (Translation::Slid { slice, units }, How::Slid { window }) => {
                let guard = self.b.word(guard_unit);
                let (ok, unit) =
                    if let (Some(index), Some(units)) = (start.unit, units[at_shift(shift)]) {
                        let b = &mut self.b;
                        let relative = b.binary(BinaryOperator::Subtract, index, units.start);
                        let mut fits = b.less(relative, units.len);
                        if shift < 0 {
                            // The last word may hold one element only.
                            fits = b.both(start.in_bounds, Some(fits)).unwrap_or(fits);
                        }
                        (fits, b.add(units.base, relative))
                    } else {
                        let (word, half) = self.word_of(place, start, group.offset);
                        let b = &mut self.b;
                        let relative = b.binary(BinaryOperator::Subtract, word, slice.start);
                        let mut ok = b.less(relative, slice.len);
                        if !place.within_alignment(group.offset, group.bytes) {
                            let words = (place.within_word(group.offset) + group.bytes).div_ceil(4);
                            let end = b.add_word(relative, words - 1);
                            let end = b.less(end, slice.len);
                            ok = b.binary(BinaryOperator::LogicalAnd, ok, end);
                        }
                        let ok = b.both(start.in_bounds, Some(ok)).unwrap_or(ok);
                        let at = b.add(slice.base, relative);
                        (ok, self.unit(view, at, half))
                    };
                Located {
                    window: Window::Known(window),
                    view,
                    unit: self.b.select(ok, unit, guard),
                    ok,
                }
            }
            (Translation::Slid { slice, units }, How::Whole { window }) => {
                let unit = if let (Some(index), Some(units)) = (start.unit, units[at_shift(shift)])
                {
                    self.b.add(units.base, index)
                } else {
                    let (word, half) = self.word_of(place, start, group.offset);
                    let at = self.b.add(slice.base, word);
                    self.unit(view, at, half)
                };
                let b = &mut self.b;
                let (ok, unit) = match start.in_bounds {
                    Some(ok) => {
                        let guard = b.word(guard_unit);
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
                    view,
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
                let unit = self.unit(view, at, entry.half);
                if self.checked.is_some() {
                    self.check(start, &entry, access, ok);
                }
                Located {
                    window: self.physical.window_of(&mut self.b, entry.entry),
                    view,
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
        if self.variant.mode == Mode::Run {
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
            half: page.half,
            touch_base: page.touch_base,
            page: page.page,
        })
    }

    /// The page of a place's `offset`th byte, counted from the binding's first page.
    pub(super) fn page_of(
        &mut self,
        place: &Place,
        start: &Start,
        offset: u32,
    ) -> Result<Page, ShaderError> {
        let (word, half) = self.word_of(place, start, offset);
        self.page_at(place, word, half)
    }

    /// The page that is `words` words behind a place's start.
    pub(super) fn page_behind(
        &mut self,
        place: &Place,
        start: &Start,
        words: Value,
    ) -> Result<Page, ShaderError> {
        let (word, half) = self.word_of(place, start, 0);
        let word = self.b.add(word, words);
        self.page_at(place, word, half)
    }

    fn page_at(&mut self, place: &Place, word: Value, half: Half) -> Result<Page, ShaderError> {
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
        let position = b.add(first_word, word);
        let page = b.shift_right(position, self.physical.page_word_shift());
        Ok(Page {
            page_base,
            touch_base,
            position,
            half,
            page,
        })
    }
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

/// A word's page.
#[derive(Clone, Copy)]
pub(super) struct Page {
    page_base: Value,
    pub(super) touch_base: Value,
    position: Value,
    half: Half,
    pub(super) page: Value,
}

/// A page's table entry, and the word counted from the start of the binding's first page.
#[derive(Clone, Copy)]
pub(super) struct PageEntry {
    entry: Value,
    position: Value,
    half: Half,
    pub(super) touch_base: Value,
    pub(super) page: Value,
}
