//! Loads, stores and atomics of storage in a run: split into leaves, translated, put together again.

use naga::{AtomicFunction, Expression, Scalar, ScalarKind, Type, TypeInner};

use super::address::{Access, Located, groups};
use super::build::Value;
use super::function::Rewriter;
use super::layout::{Leaf, Shape};
use super::place::Place;
use crate::{How, ShaderError};

impl Rewriter<'_> {
    /// Loads a place: the value of its shape.
    pub(super) fn load_place(&mut self, place: &Place) -> Result<Value, ShaderError> {
        let shift = self.plan.views[place.binding].shift();
        if let (Some(component), Some((size, scalar)), true) =
            (place.component, place.vector, shift > 0)
        {
            // The view has whole vectors only.
            let mut whole = place.clone();
            whole.offset = whole.offset.wrapping_sub(component);
            whole.shape = Shape::Vector(size, scalar);
            whole.component = None;
            let vector = self.load_place(&whole)?;
            return Ok(self.b.component(vector, component));
        }
        let leaves = self.leaves(place.shape)?;
        let start = self.start(place)?;
        let slid = self.variant.bindings[place.binding] != How::Paged;
        let groups = groups(place, &leaves, slid);
        let mut located = Vec::with_capacity(groups.len());
        for group in &groups {
            located.push(self.locate(place, &start, *group, Access::Load)?);
        }
        if self.probe.is_some() {
            self.stop_unless(&start, &located);
        }
        let mut values = Vec::with_capacity(leaves.len());
        for (group, located) in groups.iter().zip(&located) {
            for leaf in &leaves[group.leaves.0..group.leaves.1] {
                values.push(self.load_leaf(place, located, leaf, leaf.offset - group.offset));
            }
        }
        self.compose(place.shape, &mut values.into_iter())
    }

    /// Loads one leaf, `offset` words into a translated group.
    pub(super) fn load_leaf(
        &mut self,
        place: &Place,
        located: &Located,
        leaf: &Leaf,
        offset: u32,
    ) -> Value {
        let view = self.plan.views[place.binding];
        if view.shift() > 0 {
            let unit = self.b.add_word(located.unit, offset >> view.shift());
            let value = self.physical.read(&mut self.b, view, located.window, unit);
            return self.cast(value, view.kind(), leaf.scalar.kind);
        }
        let mut words = Vec::new();
        for i in 0..leaf.words() {
            let unit = self.b.add_word(located.unit, offset + i);
            words.push(self.physical.read(&mut self.b, view, located.window, unit));
        }
        let Some(size) = leaf.size else {
            return self.cast(words[0], view.kind(), leaf.scalar.kind);
        };
        let ty = self.physical.vector(size, view.kind());
        let vector = self.b.emit(Expression::Compose {
            ty,
            components: words,
        });
        self.cast(vector, view.kind(), leaf.scalar.kind)
    }

    /// Stores a value of a place's shape.
    pub(super) fn store_place(&mut self, place: &Place, value: Value) -> Result<(), ShaderError> {
        let leaves = self.leaves(place.shape)?;
        let mut values = Vec::with_capacity(leaves.len());
        self.decompose(place.shape, value, &mut values);
        let start = self.start(place)?;
        let slid = self.variant.bindings[place.binding] != How::Paged;
        let view = self.plan.views[place.binding];
        for group in groups(place, &leaves, slid) {
            let located = self.locate(place, &start, group, Access::Store)?;
            for i in group.leaves.0..group.leaves.1 {
                let leaf = leaves[i];
                let offset = leaf.offset - group.offset;
                let value = self.cast(values[i], leaf.scalar.kind, view.kind());
                if view.shift() > 0 || leaf.size.is_none() {
                    let unit = self.b.add_word(located.unit, offset >> view.shift());
                    self.physical
                        .write(&mut self.b, view, located.window, unit, value);
                    continue;
                }
                for c in 0..leaf.words() {
                    let word = self.b.component(value, c);
                    let unit = self.b.add_word(located.unit, offset + c);
                    self.physical
                        .write(&mut self.b, view, located.window, unit, word);
                }
            }
        }
        Ok(())
    }

    /// An atomic on a place. The result, if it is used, is 0 out of bounds.
    pub(super) fn atomic_place(
        &mut self,
        place: &Place,
        scalar: Scalar,
        fun: AtomicFunction,
        value: Value,
        compare: Option<Value>,
        result: Option<naga::Handle<Type>>,
    ) -> Result<Option<Value>, ShaderError> {
        let leaves = self.leaves(place.shape)?;
        let start = self.start(place)?;
        let Some(&group) = groups(place, &leaves, true).first() else {
            return Err(ShaderError::Internal("an atomic has no leaf".to_owned()));
        };
        let view = self.plan.views[place.binding];
        let located = self.locate(place, &start, group, Access::Store)?;
        let value = self.cast(value, scalar.kind, view.kind());
        let compare = compare.map(|c| self.cast(c, scalar.kind, view.kind()));
        let got = self.physical.atomic(
            &mut self.b,
            view,
            located.window,
            located.unit,
            fun,
            value,
            compare,
            result.is_some(),
        );
        let (Some(got), Some(ty)) = (got, result) else {
            return Ok(None);
        };
        let zero = self.b.declare(Expression::Literal(match scalar.kind {
            ScalarKind::Sint => naga::Literal::I32(0),
            _ => naga::Literal::U32(0),
        }));
        if compare.is_none() {
            let got = self.cast(got, view.kind(), scalar.kind);
            return Ok(Some(self.b.select(located.ok, got, zero)));
        }
        let old = self.b.component(got, 0);
        let old = self.cast(old, view.kind(), scalar.kind);
        let old = self.b.select(located.ok, old, zero);
        let exchanged = self.b.component(got, 1);
        let exchanged = self
            .b
            .binary(naga::BinaryOperator::LogicalAnd, exchanged, located.ok);
        Ok(Some(self.b.emit(Expression::Compose {
            ty,
            components: vec![old, exchanged],
        })))
    }

    pub(super) fn leaves(&self, shape: Shape) -> Result<Vec<Leaf>, ShaderError> {
        shape
            .leaves(&self.entry.module)
            .map_err(|construct| ShaderError::unsupported(construct, self.span, &self.entry.source))
    }

    /// The same bits as another kind of scalar.
    pub(super) fn cast(&mut self, value: Value, from: ScalarKind, to: ScalarKind) -> Value {
        if from == to {
            value
        } else {
            self.b.bitcast(value, to)
        }
    }

    /// Puts a shape's leaves together.
    pub(super) fn compose(
        &mut self,
        shape: Shape,
        leaves: &mut impl Iterator<Item = Value>,
    ) -> Result<Value, ShaderError> {
        let Shape::Whole(ty) = shape else {
            return leaves
                .next()
                .ok_or_else(|| ShaderError::Internal("a leaf is missing".to_owned()));
        };
        let mut components = Vec::new();
        for part in shape.parts(&self.entry.module) {
            components.push(self.compose(part, leaves)?);
        }
        Ok(self.b.emit(Expression::Compose { ty, components }))
    }

    /// Takes a value apart into its shape's leaves.
    fn decompose(&mut self, shape: Shape, value: Value, out: &mut Vec<Value>) {
        if !matches!(shape, Shape::Whole(_)) {
            out.push(value);
            return;
        }
        for (i, part) in shape.parts(&self.entry.module).into_iter().enumerate() {
            let part_value = self.b.component(value, i as u32);
            self.decompose(part, part_value, out);
        }
    }

    /// The pointer's place, if it points into storage.
    pub(super) fn place(&self, pointer: naga::Handle<Expression>) -> Option<Place> {
        Place::trace(
            &self.entry.module,
            &self.entry.storage,
            self.source.function,
            pointer,
        )
    }

    /// Whether a pointer expression points into storage.
    pub(super) fn is_storage_pointer(&self, expression: naga::Handle<Expression>) -> bool {
        matches!(
            *self.source.info[expression]
                .ty
                .inner_with(&self.entry.module.types),
            TypeInner::Pointer {
                space: naga::AddressSpace::Storage { .. },
                ..
            } | TypeInner::ValuePointer {
                space: naga::AddressSpace::Storage { .. },
                ..
            }
        )
    }
}
