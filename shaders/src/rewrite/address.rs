//! From a place to elements of windows: bounds checks, slid and paged translation, confinement.
//!
//! A *group* is some consecutive leaves of a place, of one view, that one translation serves. Slid, any that the guard
//! can stand for; paged, what cannot straddle a page.

use naga::BinaryOperator;

use super::build::Value;
use super::function::Rewriter;
use super::layout::Leaf;
use super::physical::Window;
use super::place::Place;
use super::start::{Half, Start};
use super::view::{View, Views};
use super::words::Words;
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
    pub(super) translation: Translation,
}

#[derive(Clone, Copy)]
pub(super) enum Translation {
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
pub(super) struct Slice {
    start: Value,
    len: Value,
    base: Value,
}

/// The place of a view's shift in an array for all of them.
pub(super) fn at_shift(shift: i32) -> usize {
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
                how @ (How::Paged | How::PagedIn { .. } | How::Far) => {
                    let second = self.physical.param(b, 3 + 3 * binding as u32);
                    let [page_base, first_word, len, touch_base] =
                        [0, 1, 2, 3].map(|i| b.component(second, i));
                    let mut len_units = [None; 4];
                    // Of halves the count tells, and of what is far.
                    let tells = |shift: &i32| *shift >= 0 && how != How::Far;
                    for shift in shifts.into_iter().filter(tells) {
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
                        let relative = b.binary(BinaryOperator::Subtract, word.low, slice.start);
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
                    let at = self.b.add(slice.base, word.low);
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
            (Translation::Paged { .. }, how) => {
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
                let window = match how.window() {
                    Some(window) => Window::Known(window),
                    None => self.physical.window_of(&mut self.b, entry.entry),
                };
                Located {
                    window,
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
        let word = self.b.sum(word, words.into());
        self.page_at(place, word, half)
    }

    fn page_at(&mut self, place: &Place, word: Words, half: Half) -> Result<Page, ShaderError> {
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
        let position = b.sum(first_word.into(), word);
        let page = b.quotient(position, self.physical.page_word_shift());
        Ok(Page {
            page_base,
            touch_base,
            position: position.low,
            half,
            page: page.low,
        })
    }
}

/// A word's page.
#[derive(Clone, Copy)]
pub(super) struct Page {
    page_base: Value,
    pub(super) touch_base: Value,
    /// Its word, counted from the start of the binding's first page: of what is far, the lower bits.
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
