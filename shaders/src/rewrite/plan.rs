//! What the rewriter decides before it writes: the functions it needs, and through which typed views each binding is
//! reached.

use std::collections::HashSet;

use naga::valid::FunctionInfo;
use naga::{AtomicFunction, Block, Expression, Function, Handle, Module, Span, Statement};

use super::layout::Shape;
use super::place::Place;
use super::view::{Seen, Sharing, Views};
use crate::analysis::FunctionRef;
use crate::{Entry, Mode, ShaderError};

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
    /// The views of each storage binding.
    pub(super) views: Vec<Views>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(entry: &'a Entry, mode: Mode, sharing: Sharing) -> Result<Self, ShaderError> {
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
        let views = Seen::all(&seen, mode, sharing);
        Ok(Self { sources, views })
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
        if let Err(construct) = note(
            &mut seen[place.binding],
            &entry.module,
            &place,
            load,
            ordered,
        ) {
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

/// Notes one access to a binding.
fn note(
    seen: &mut Seen,
    module: &Module,
    place: &Place,
    load: bool,
    ordered: bool,
) -> Result<(), String> {
    match (place.shape, place.vector) {
        (Shape::Atomic(scalar), _) => seen.atomic(scalar, ordered),
        // Taken out of the vector loaded whole.
        (_, Some((size, scalar)))
            if place.component.is_some() && load && !place.dynamic_component =>
        {
            seen.plain(scalar, size as u32);
        }
        (shape, _) => shape.each_kind(module, &mut |leaf| {
            seen.plain(leaf.scalar, leaf.components());
        })?,
    }
    Ok(())
}
