//! What the rewriter decides before it writes: the functions it needs, and through which typed view each binding is
//! reached.
//!
//! Memory that a kernel writes is reached through one view, the narrowest type winning: atomics if the binding has
//! any, else whole vectors when every access is of that whole size, else words.

use std::collections::HashSet;

use naga::valid::FunctionInfo;
use naga::{
    AtomicFunction, Block, Expression, Function, Handle, Module, ScalarKind, Span, Statement,
    VectorSize,
};

use super::layout::Shape;
use super::place::Place;
use crate::analysis::FunctionRef;
use crate::{Entry, Mode, ShaderError};

/// The element type of the array that a window is seen as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum View {
    /// `u32`.
    Word,
    /// `vec2<u32>`.
    Pair,
    /// `vec4<u32>`.
    Quad,
    /// `atomic<u32>`.
    AtomicUint,
    /// `atomic<i32>`.
    AtomicSint,
}

impl View {
    /// log2 of the words of an element.
    pub(super) fn shift(self) -> u32 {
        match self {
            Self::Pair => 1,
            Self::Quad => 2,
            _ => 0,
        }
    }

    pub(super) fn is_atomic(self) -> bool {
        matches!(self, Self::AtomicUint | Self::AtomicSint)
    }

    /// The kind of scalars it holds.
    pub(super) fn kind(self) -> ScalarKind {
        match self {
            Self::AtomicSint => ScalarKind::Sint,
            _ => ScalarKind::Uint,
        }
    }
}

/// A function of the user's module.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) which: Option<Handle<Function>>,
    pub(super) function: &'a Function,
    pub(super) info: &'a FunctionInfo,
}

impl Source<'_> {
    pub(super) fn reference(&self) -> FunctionRef {
        self.which.map_or(FunctionRef::Entry, FunctionRef::Function)
    }
}

/// The decisions.
pub(super) struct Plan<'a> {
    /// The functions to rewrite, callees first, the entry point last.
    pub(super) sources: Vec<Source<'a>>,
    /// The view of each storage binding.
    pub(super) views: Vec<View>,
}

#[derive(Clone, Default)]
struct Seen {
    atomic_uint: bool,
    atomic_sint: bool,
    /// An ordering of unsigned atomics: they cannot be seen as signed ones.
    ordered_uint: bool,
    /// An ordering of signed atomics.
    ordered_sint: bool,
    quads: bool,
    pairs: bool,
    words: bool,
}

impl<'a> Plan<'a> {
    pub(super) fn new(entry: &'a Entry, mode: Mode) -> Result<Self, ShaderError> {
        let module = &entry.module;
        let point = &module.entry_points[entry.entry_index];
        let mut needed = HashSet::new();
        reach(module, &point.function.body, &mut needed);
        let mut sources: Vec<Source<'a>> = module
            .functions
            .iter()
            .filter(|(handle, _)| needed.contains(handle))
            .map(|(handle, function)| Source {
                which: Some(handle),
                function,
                info: &entry.info[handle],
            })
            .collect();
        sources.push(Source {
            which: None,
            function: &point.function,
            info: entry.info.get_entry_point(entry.entry_index),
        });
        let mut seen = vec![Seen::default(); entry.storage.len()];
        for source in &sources {
            survey(entry, source.function, &mut seen)?;
        }
        let views = seen.iter().map(|s| s.view(mode)).collect();
        Ok(Self { sources, views })
    }
}

impl Seen {
    fn view(&self, mode: Mode) -> View {
        match *self {
            Self {
                atomic_uint: true, ..
            }
            | Self {
                atomic_sint: true, ..
            } if mode == Mode::Probe => View::Word,
            Self {
                atomic_sint: true,
                ordered_sint: true,
                ordered_uint: false,
                ..
            } => View::AtomicSint,
            Self {
                atomic_uint: true, ..
            } => View::AtomicUint,
            Self {
                atomic_sint: true, ..
            } => View::AtomicSint,
            Self {
                quads: true,
                pairs: false,
                words: false,
                ..
            } => View::Quad,
            Self {
                quads: false,
                pairs: true,
                words: false,
                ..
            } => View::Pair,
            _ => View::Word,
        }
    }

    fn access(
        &mut self,
        module: &Module,
        place: &Place,
        load: bool,
        ordered: bool,
    ) -> Result<(), String> {
        if let Shape::Atomic(scalar) = place.shape {
            match (scalar.kind, scalar.width) {
                (ScalarKind::Uint, 4) => {
                    self.atomic_uint = true;
                    self.ordered_uint |= ordered;
                }
                (ScalarKind::Sint, 4) => {
                    self.atomic_sint = true;
                    self.ordered_sint |= ordered;
                }
                _ => {
                    return Err(format!(
                        "an `atomic<{}>` in storage",
                        crate::reflect::scalar_name(scalar)
                    ));
                }
            }
            return Ok(());
        }
        let leaves = place.shape.leaves(module)?;
        if place.component.is_some() && load && !place.dynamic_component {
            // Taken out of the vector loaded whole.
            match place.vector {
                Some((VectorSize::Quad, _)) => self.quads = true,
                Some((VectorSize::Bi, _)) => self.pairs = true,
                _ => self.words = true,
            }
            return Ok(());
        }
        for leaf in leaves {
            match leaf.size {
                Some(VectorSize::Quad) => self.quads = true,
                Some(VectorSize::Bi) => self.pairs = true,
                _ => self.words = true,
            }
        }
        Ok(())
    }
}

fn reach(module: &Module, block: &Block, needed: &mut HashSet<Handle<Function>>) {
    visit(block, &mut |statement, _| {
        if let Statement::Call { function, .. } = *statement
            && needed.insert(function)
        {
            reach(module, &module.functions[function].body, needed);
        }
    });
}

/// Calls `f` on every statement of a block and of the blocks inside.
pub(super) fn visit(block: &Block, f: &mut impl FnMut(&Statement, Span)) {
    for (statement, span) in block.span_iter() {
        f(statement, *span);
        match statement {
            Statement::Block(inner) => visit(inner, f),
            Statement::If { accept, reject, .. } => {
                visit(accept, f);
                visit(reject, f);
            }
            Statement::Switch { cases, .. } => cases.iter().for_each(|c| visit(&c.body, f)),
            Statement::Loop {
                body, continuing, ..
            } => {
                visit(body, f);
                visit(continuing, f);
            }
            _ => {}
        }
    }
}

fn survey(entry: &Entry, function: &Function, seen: &mut [Seen]) -> Result<(), ShaderError> {
    let mut failure = None;
    let mut access = |pointer: Handle<Expression>, load: bool, span: Span, ordered: bool| {
        let place = Place::trace(&entry.module, &entry.storage, function, pointer);
        let Some(place) = place else { return };
        if let Err(construct) = seen[place.binding].access(&entry.module, &place, load, ordered) {
            failure.get_or_insert(ShaderError::unsupported(construct, span, &entry.source));
        }
    };
    for (handle, expression) in function.expressions.iter() {
        if let Expression::Load { pointer } = *expression {
            access(pointer, true, function.expressions.get_span(handle), false);
        }
    }
    visit(&function.body, &mut |statement, span| match *statement {
        Statement::Store { pointer, .. } => access(pointer, false, span, false),
        Statement::Atomic { pointer, fun, .. } => {
            access(
                pointer,
                false,
                span,
                matches!(fun, AtomicFunction::Min | AtomicFunction::Max),
            );
        }
        _ => {}
    });
    failure.map_or(Ok(()), Err)
}
