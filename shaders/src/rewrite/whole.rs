//! Long values, loaded and stored whole: loops over their parts and a variable that holds the value, instead of a
//! statement for each leaf.

use naga::{BinaryOperator, Expression, Statement, TypeInner};

use super::address::Access;
use super::build::Value;
use super::function::Rewriter;
use super::layout::{MANY_LEAVES, Shape};
use super::place::{Index, Place};
use super::start::Start;
use crate::ShaderError;

/// Words of the smallest page.
const PAGE_WORDS: u32 = 1024;
/// So many pages are touched without a loop.
const FEW_PAGES: u32 = 8;

/// What is done with a part of a place, and with the pointer to the same part of the variable.
type Act<'f, R> = &'f mut dyn FnMut(&mut R, &Place, Option<Value>) -> Result<(), ShaderError>;

impl Rewriter<'_> {
    /// Whether a shape has too many leaves to be accessed leaf by leaf.
    pub(super) fn is_long(&self, shape: Shape) -> bool {
        shape.leaf_count(&self.entry.module) > MANY_LEAVES
    }

    /// Loads a long place. In a probe the lane stops before, when a part is not resident.
    pub(super) fn load_long(&mut self, place: &Place) -> Result<Value, ShaderError> {
        let whole = self.variable(place.shape)?;
        if self.probe.is_some() {
            self.stop_unless_all(place)?;
        }
        self.in_parts(place, Some(whole), &mut |this, part, at| {
            let leaves = this.leaves(part.shape)?;
            let start = this.start(part)?;
            let located = this.locate_all(part, &start, &leaves, Access::Load)?;
            let value = this.load_located(part.shape, &leaves, &located)?;
            if let Some(at) = at {
                this.b.store(at, value);
            }
            Ok(())
        })?;
        let value = self.b.load(whole);
        self.held.insert(value, whole);
        Ok(value)
    }

    /// Stores a value to a long place.
    pub(super) fn store_long(&mut self, place: &Place, value: Value) -> Result<(), ShaderError> {
        // Nothing but the load that gave this value changes its variable.
        let whole = match self.held.get(&value) {
            Some(&whole) => whole,
            None => {
                let whole = self.variable(place.shape)?;
                self.b.store(whole, value);
                whole
            }
        };
        self.in_parts(place, Some(whole), &mut |this, part, at| match at {
            Some(at) => {
                let value = this.b.load(at);
                this.store_place(part, value)
            }
            None => Ok(()),
        })
    }

    /// Stops the lane when some part of a long place is in bounds and not resident.
    fn stop_unless_all(&mut self, place: &Place) -> Result<(), ShaderError> {
        let missing = self.b.local("gmem_missing", self.physical.boolean);
        let no = self.b.boolean(false);
        self.b.store(missing, no);
        self.in_parts(place, None, &mut |this, part, _| {
            let leaves = this.leaves(part.shape)?;
            let start = this.start(part)?;
            for (_, located) in this.locate_all(part, &start, &leaves, Access::Load)? {
                let absent = this.strayed(start.in_bounds, located.ok);
                let old = this.b.load(missing);
                let new = this.b.binary(BinaryOperator::LogicalOr, old, absent);
                this.b.store(missing, new);
            }
            Ok(())
        })?;
        let missing = self.b.load(missing);
        self.stop_when(missing);
        Ok(())
    }

    /// Touches the pages of a long place, also those of padding inside it.
    pub(super) fn touch_long(
        &mut self,
        place: &Place,
        start: &Start,
        condition: Value,
        store: bool,
    ) -> Result<(), ShaderError> {
        let bytes = place.shape.span(&self.entry.module);
        let words = bytes.div_ceil(4);
        let pages = words.div_ceil(PAGE_WORDS);
        if pages <= FEW_PAGES {
            for i in 0..pages {
                let page = self.page_of(place, start, 4 * PAGE_WORDS * i)?;
                self.physical
                    .touch(&mut self.b, condition, page.touch_base, page.page, store);
            }
        } else {
            self.each(pages, &mut |this, i| {
                let behind = this.b.times(i, PAGE_WORDS);
                let page = this.page_behind(place, start, behind)?;
                this.physical
                    .touch(&mut this.b, condition, page.touch_base, page.page, store);
                Ok(())
            })?;
        }
        // No leaf is shorter than half a word.
        let page = self.page_of(place, start, bytes - 2)?;
        self.physical
            .touch(&mut self.b, condition, page.touch_base, page.page, store);
        Ok(())
    }

    /// A variable for a long value.
    fn variable(&mut self, shape: Shape) -> Result<Value, ShaderError> {
        match shape {
            Shape::Whole(ty) => Ok(self.b.local("gmem_whole", ty)),
            _ => Err(ShaderError::Internal("a leaf is long".to_owned())),
        }
    }

    /// Calls `act` for parts that together make up the place, each short enough, in loops where there are many alike.
    /// `at` is a pointer to a variable of the place's type.
    fn in_parts(
        &mut self,
        place: &Place,
        at: Option<Value>,
        act: Act<'_, Self>,
    ) -> Result<(), ShaderError> {
        if !self.is_long(place.shape) {
            return act(self, place, at);
        }
        let module = &self.entry.module;
        let gone = || ShaderError::Internal("a long value has no parts".to_owned());
        match self.parts_of(place.shape).ok_or_else(gone)? {
            Parts::Alike(n) => self.each(n, &mut |this, i| {
                let part = place.clone().indexed(module, Index::Value(i));
                let at = at.map(|base| this.b.emit(Expression::Access { base, index: i }));
                this.in_parts(&part.ok_or_else(gone)?, at, &mut *act)
            }),
            Parts::Members(n) => (0..n).try_for_each(|i| {
                let part = place.clone().part(module, i);
                let at = at.map(|base| self.b.component(base, i));
                self.in_parts(&part.ok_or_else(gone)?, at, &mut *act)
            }),
        }
    }

    fn parts_of(&self, shape: Shape) -> Option<Parts> {
        let module = &self.entry.module;
        let Shape::Whole(ty) = shape else { return None };
        match (shape.element(module), &module.types[ty].inner) {
            (Some((.., n)), _) => n.map(Parts::Alike),
            (None, TypeInner::Struct { members, .. }) => Some(Parts::Members(members.len() as u32)),
            _ => None,
        }
    }

    /// A loop over the numbers below `n`. What it counts has a zero added that only the host knows to be one: a driver
    /// that saw the loop's length, or that it walks an array, would write it out again.
    fn each(
        &mut self,
        n: u32,
        act: &mut dyn FnMut(&mut Self, Value) -> Result<(), ShaderError>,
    ) -> Result<(), ShaderError> {
        let counter = self.b.local("gmem_part", self.physical.word);
        let header = self.physical.param(&mut self.b, 1);
        let nothing = self.b.component(header, 3);
        let n = self.b.word(n);
        let n = self.b.add(nothing, n);
        let zero = self.b.word(0);
        self.b.store(counter, zero);
        self.b.begin();
        let i = self.b.load(counter);
        let over = self.b.binary(BinaryOperator::GreaterEqual, i, n);
        self.b.when(over, |b| b.statement(Statement::Break));
        let i = self.b.add(i, nothing);
        act(self, i)?;
        let body = self.b.end();
        self.b.begin();
        let i = self.b.load(counter);
        let next = self.b.add_word(i, 1);
        self.b.store(counter, next);
        let continuing = self.b.end();
        self.b.statement(Statement::Loop {
            body,
            continuing,
            break_if: None,
        });
        Ok(())
    }
}

/// How a long shape is cut.
enum Parts {
    /// An array.
    Alike(u32),
    /// A struct.
    Members(u32),
}
