//! Loads, stores and atomics of storage in a run: split into leaves, translated, put together again.

use naga::{AtomicFunction, Expression, Literal, Scalar, ScalarKind, Type, TypeInner, VectorSize};

use super::address::{Access, Group, Located, groups};
use super::build::Value;
use super::function::Rewriter;
use super::layout::{Leaf, Shape};
use super::place::Place;
use super::start::Start;
use super::view::View;
use crate::ShaderError;

impl Rewriter<'_> {
    /// Loads a place: the value of its shape.
    pub(super) fn load_place(&mut self, place: &Place) -> Result<Value, ShaderError> {
        if self.is_long(place.shape) {
            return self.load_long(place);
        }
        let views = self.plan.views[place.binding];
        if let (Some(component), Some((size, scalar))) = (place.component, place.vector)
            && views.of(&Leaf::vector(size, scalar)).size.is_some()
        {
            // The view has whole vectors only.
            let mut whole = place.clone();
            whole.offset -= u64::from(component) * u64::from(scalar.width);
            whole.shape = Shape::Vector(size, scalar);
            whole.component = None;
            let vector = self.load_place(&whole)?;
            return Ok(self.b.component(vector, component));
        }
        let leaves = self.leaves(place.shape)?;
        let start = self.start(place)?;
        let located = self.locate_all(place, &start, &leaves, Access::Load)?;
        if self.probe.is_some() {
            self.stop_unless(&start, &located);
        }
        self.load_located(place.shape, &leaves, &located)
    }

    /// Translates all groups of a place's leaves.
    pub(super) fn locate_all(
        &mut self,
        place: &Place,
        start: &Start,
        leaves: &[Leaf],
        access: Access,
    ) -> Result<Vec<(Group, Located)>, ShaderError> {
        groups(
            place,
            leaves,
            self.is_slid(place),
            &self.plan.views[place.binding],
        )
        .into_iter()
        .map(|group| Ok((group, self.locate(place, start, group, access)?)))
        .collect()
    }

    fn is_slid(&self, place: &Place) -> bool {
        !self.variant.bindings[place.binding].is_paged()
    }

    /// Loads the leaves of a shape, translated already.
    pub(super) fn load_located(
        &mut self,
        shape: Shape,
        leaves: &[Leaf],
        located: &[(Group, Located)],
    ) -> Result<Value, ShaderError> {
        let mut values = Vec::with_capacity(leaves.len());
        for (group, located) in located {
            for leaf in &leaves[group.leaves.0..group.leaves.1] {
                values.push(self.load_leaf(located, leaf, leaf.offset - group.offset));
            }
        }
        self.compose(shape, &mut values.into_iter())
    }

    /// Loads one leaf, `offset` bytes into a translated group.
    fn load_leaf(&mut self, located: &Located, leaf: &Leaf, offset: u32) -> Value {
        let view = located.view;
        let first = offset / view.bytes();
        let mut parts = Vec::new();
        for i in 0..leaf.bytes() / view.bytes() {
            let unit = self.b.add_word(located.unit, first + i);
            parts.push(self.physical.read(&mut self.b, view, located.window, unit));
        }
        if view.scalar.width < leaf.scalar.width {
            return self.widen(view, leaf, &parts);
        }
        let Some(size) = leaf.size.filter(|_| view.size.is_none()) else {
            return self.cast(parts[0], view.kind(), leaf.scalar.kind);
        };
        let vector = self.vector_of(size, view.scalar, parts);
        self.cast(vector, view.kind(), leaf.scalar.kind)
    }

    fn vector_of(&mut self, size: VectorSize, scalar: Scalar, components: Vec<Value>) -> Value {
        let ty = self.physical.ty(TypeInner::Vector { size, scalar });
        self.b.emit(Expression::Compose { ty, components })
    }

    /// A leaf of 64-bit scalars out of elements of words, the low word first.
    fn widen(&mut self, view: View, leaf: &Leaf, parts: &[Value]) -> Value {
        let mut words = Vec::new();
        for &part in parts {
            let part = self.cast(part, view.kind(), ScalarKind::Uint);
            match view.size {
                None => words.push(part),
                Some(size) => words.extend((0..size as u32).map(|c| self.b.component(part, c))),
            }
        }
        let mut scalars = Vec::new();
        for pair in words.chunks_exact(2) {
            let low = self.b.convert(pair[0], Scalar::U64);
            let high = self.b.convert(pair[1], Scalar::U64);
            let high = self.b.upper_word(high);
            scalars.push(self.b.binary(naga::BinaryOperator::InclusiveOr, high, low));
        }
        let bits = match leaf.size {
            None => scalars[0],
            Some(size) => self.vector_of(size, Scalar::U64, scalars),
        };
        self.cast(bits, ScalarKind::Uint, leaf.scalar.kind)
    }

    /// The words of a leaf of 64-bit scalars.
    fn narrow(&mut self, leaf: &Leaf, value: Value) -> Vec<Value> {
        let bits = self.cast(value, leaf.scalar.kind, ScalarKind::Uint);
        let mut words = Vec::new();
        for c in 0..leaf.components() {
            let bits = match leaf.size {
                None => bits,
                Some(_) => self.b.component(bits, c),
            };
            words.push(self.b.convert(bits, Scalar::U32));
            let high = self.b.shift_right(bits, 32);
            words.push(self.b.convert(high, Scalar::U32));
        }
        words
    }

    /// Stores a value of a place's shape.
    pub(super) fn store_place(&mut self, place: &Place, value: Value) -> Result<(), ShaderError> {
        if self.is_long(place.shape) {
            return self.store_long(place, value);
        }
        let leaves = self.leaves(place.shape)?;
        let mut values = Vec::with_capacity(leaves.len());
        self.decompose(place.shape, value, &mut values);
        let start = self.start(place)?;
        let slid = self.is_slid(place);
        for group in groups(place, &leaves, slid, &self.plan.views[place.binding]) {
            let located = self.locate(place, &start, group, Access::Store)?;
            for i in group.leaves.0..group.leaves.1 {
                let offset = leaves[i].offset - group.offset;
                self.store_leaf(&located, &leaves[i], offset, values[i]);
            }
        }
        Ok(())
    }

    /// Stores one leaf, `offset` bytes into a translated group.
    fn store_leaf(&mut self, located: &Located, leaf: &Leaf, offset: u32, value: Value) {
        let view = located.view;
        let parts: Vec<Value> = if view.scalar.width < leaf.scalar.width {
            let words = self.narrow(leaf, value);
            match view.size {
                None => words
                    .into_iter()
                    .map(|word| self.cast(word, ScalarKind::Uint, view.kind()))
                    .collect(),
                Some(size) => vec![self.vector_of(size, view.scalar, words)],
            }
        } else {
            let value = self.cast(value, leaf.scalar.kind, view.kind());
            if view.size.is_some() || leaf.size.is_none() {
                vec![value]
            } else {
                (0..leaf.components())
                    .map(|c| self.b.component(value, c))
                    .collect()
            }
        };
        let first = offset / view.bytes();
        for (i, part) in parts.into_iter().enumerate() {
            let unit = self.b.add_word(located.unit, first + i as u32);
            self.physical
                .write(&mut self.b, view, located.window, unit, part);
        }
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
        let views = &self.plan.views[place.binding];
        let Some(&group) = groups(place, &leaves, true, views).first() else {
            return Err(ShaderError::Internal("an atomic has no leaf".to_owned()));
        };
        let view = group.view;
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
        let zero = self.b.declare(Expression::Literal(match scalar {
            Scalar::I32 => Literal::I32(0),
            Scalar::U64 => Literal::U64(0),
            Scalar::I64 => Literal::I64(0),
            Scalar::F32 => Literal::F32(0.0),
            _ => Literal::U32(0),
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
