//! What functions do, as far as loops that call them have to know.

use std::collections::BTreeSet;

use naga::{
    AtomicFunction, Expression, Function, GlobalVariable, Handle, Literal, Span, Statement,
};

use super::super::BindingUse;
use super::super::functions::{Body, FunctionRef, Functions, each_statement};
use super::super::place::{Root, Space, root, space_of, storage_root};
use crate::prelude;

/// What a function does, its callees included, as far as a loop that calls it has to know.
#[derive(Clone, Default)]
pub(super) struct Summary {
    /// A read of storage that others may change.
    pub(super) watch: Option<(usize, Span)>,
    /// Private and workgroup variables that it reads, and that it stores to.
    pub(super) loads: BTreeSet<usize>,
    pub(super) stores: BTreeSet<usize>,
    /// Bindings that it stores to, not atomically.
    pub(super) writes: BTreeSet<usize>,
    /// Bindings on which it tries compare-exchanges with a value that is no constant.
    pub(super) retries: BTreeSet<usize>,
}

/// What all loops of an entry point share.
pub(super) struct Effects<'a> {
    pub(super) storage: &'a [Handle<GlobalVariable>],
    pub(super) uses: &'a [BindingUse],
    /// By slot.
    pub(super) summaries: Vec<Summary>,
}

impl Effects<'_> {
    pub(super) fn summarised(mut self, functions: &Functions<'_>) -> Self {
        self.summaries = vec![Summary::default(); functions.slots()];
        for body in functions.bodies() {
            let mut summary = Summary::default();
            each_statement(&body.function.body, &mut |statement, span| {
                self.summarise(&body, statement, span, &mut summary);
            });
            self.summaries[body.at.slot()] = summary;
        }
        // Then what their callees do, until nothing is new.
        for _ in 0..functions.order.len() {
            let mut changed = false;
            for body in functions.bodies() {
                let before = self.summaries[body.at.slot()].clone();
                let mut summary = before.clone();
                each_statement(&body.function.body, &mut |statement, _| {
                    if let Statement::Call { function, .. } = *statement {
                        let callee = FunctionRef::Function(function).slot();
                        summary.join(&self.summaries[callee]);
                    }
                });
                if summary.size() != before.size() {
                    changed = true;
                    self.summaries[body.at.slot()] = summary;
                }
            }
            if !changed {
                break;
            }
        }
        self
    }

    pub(super) fn summarise(
        &self,
        body: &Body<'_>,
        statement: &Statement,
        span: Span,
        summary: &mut Summary,
    ) {
        let global = |pointer| match root(body, pointer) {
            Some(Root::Global(global))
                if matches!(space_of(body, global), Space::Private | Space::Workgroup) =>
            {
                Some(global.index())
            }
            _ => None,
        };
        match *statement {
            Statement::Emit(ref range) => {
                for handle in range.clone() {
                    if let Expression::Load { pointer } = body.function.expressions[handle] {
                        summary.loads.extend(global(pointer));
                        if let Some(binding) = self.watched_load(body, pointer) {
                            let span = body.function.expressions.get_span(handle);
                            summary.watch.get_or_insert((binding, span));
                        }
                    }
                }
            }
            Statement::Store { pointer, .. } => {
                summary.stores.extend(global(pointer));
                summary.writes.extend(self.plain(body, pointer));
            }
            Statement::Atomic {
                pointer,
                fun,
                result,
                ..
            } => {
                summary.loads.extend(global(pointer));
                summary.stores.extend(global(pointer));
                if let Some(binding) = self.binding(body, pointer) {
                    if result.is_some() {
                        summary.watch.get_or_insert((binding, span));
                    }
                    if let AtomicFunction::Exchange {
                        compare: Some(compare),
                    } = fun
                        && !constant(body, compare)
                    {
                        summary.retries.insert(binding);
                    }
                }
            }
            Statement::WorkGroupUniformLoad { pointer, .. } => {
                summary.loads.extend(global(pointer));
            }
            _ => {}
        }
    }

    /// The storage binding that a pointer points into.
    pub(super) fn binding(&self, body: &Body<'_>, pointer: Handle<Expression>) -> Option<usize> {
        let global = storage_root(body, pointer)?;
        self.storage.iter().position(|&other| other == global)
    }

    /// The storage binding, when a load through the pointer may see what another invocation stores.
    pub(super) fn watched_load(
        &self,
        body: &Body<'_>,
        pointer: Handle<Expression>,
    ) -> Option<usize> {
        self.binding(body, pointer)
            .filter(|&binding| self.uses[binding].writes)
    }

    /// The binding that a function follows a 64-bit pointer in, its first argument, to give what is there and others may
    /// change: a call of it is a read like any other.
    pub(super) fn pointed(&self, body: &Body<'_>, function: Handle<Function>) -> Option<usize> {
        let name = body.module.functions[function].name.as_deref()?;
        let summary = &self.summaries[FunctionRef::Function(function).slot()];
        let (binding, _) = summary.watch.filter(|_| prelude::reaches_memory(name))?;
        let place = body.module.global_variables[self.storage[binding]].binding?;
        (place.group == prelude::GROUP).then_some(binding)
    }

    /// The storage binding of a pointer to plain memory.
    pub(super) fn plain(&self, body: &Body<'_>, pointer: Handle<Expression>) -> Option<usize> {
        let atomic = body.ty(pointer).is_atomic_pointer(&body.module.types);
        self.binding(body, pointer).filter(|_| !atomic)
    }
}

impl Summary {
    pub(super) fn join(&mut self, callee: &Self) {
        self.watch = self.watch.or(callee.watch);
        self.loads.extend(&callee.loads);
        self.stores.extend(&callee.stores);
        self.writes.extend(&callee.writes);
        self.retries.extend(&callee.retries);
    }

    pub(super) fn size(&self) -> (bool, usize) {
        let all = [&self.loads, &self.stores, &self.writes, &self.retries];
        (self.watch.is_some(), all.iter().map(|set| set.len()).sum())
    }
}

pub(super) fn constant(body: &Body<'_>, expression: Handle<Expression>) -> bool {
    matches!(
        body.function.expressions[expression],
        Expression::Literal(_) | Expression::ZeroValue(_) | Expression::Constant(_)
    )
}

pub(super) fn zero(body: &Body<'_>, expression: Handle<Expression>) -> bool {
    matches!(
        body.function.expressions[expression],
        Expression::ZeroValue(_)
            | Expression::Literal(
                Literal::U32(0) | Literal::I32(0) | Literal::U64(0) | Literal::I64(0)
            )
    )
}
