//! The backward slice: which values decide storage addresses and control flow.
//!
//! A fixed point over marks on expressions, variables, arguments and results, context-insensitive over the call
//! graph and insensitive to the order of statements. A statement is *relevant* when it accesses storage, or changes a
//! variable of the slice; a condition joins the slice when it decides whether a relevant statement runs, directly
//! or through a `break`, `continue` or `return` that skips it. The exits of *every* loop join it as well: a
//! probe that replaced what ends a loop by zero could run for ever.

use naga::{Block, Expression, Handle, LocalVariable, Statement};

use super::functions::{Body, FunctionRef, Functions, operands_of};
use super::place::{Root, Space, Step, root, space_of, steps, storage_root};

/// How strongly a value is bound up with addresses. Ordered.
pub(super) type Mark = u8;
/// Decides nothing that matters.
pub(super) const NONE: Mark = 0;
/// Decides when a loop ends that accesses no storage.
pub(super) const ENDS: Mark = 1;
/// Decides a storage address, or whether or how often storage is accessed.
pub(super) const DECIDES: Mark = 2;

#[derive(Clone, Debug)]
struct Marks {
    expressions: Vec<Mark>,
    locals: Vec<Mark>,
    arguments: Vec<Mark>,
    /// What the pointer arguments point to.
    pointees: Vec<Mark>,
    result: Mark,
    /// The strongest effect that a call has: storage accesses, and changes of variables of the slice.
    effect: Mark,
}

/// The slice of an entry point.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    functions: Vec<Option<Marks>>,
    /// Private variables, by index.
    globals: Vec<Mark>,
}

impl Slice {
    pub(super) fn compute(functions: &Functions<'_>) -> Slice {
        let marks = functions.map(|body| {
            let function = body.function;
            Marks {
                expressions: vec![NONE; function.expressions.len()],
                locals: vec![NONE; function.local_variables.len()],
                arguments: vec![NONE; function.arguments.len()],
                pointees: vec![NONE; function.arguments.len()],
                result: NONE,
                effect: NONE,
            }
        });
        let mut slicer = Slicer {
            slice: Slice {
                functions: marks,
                globals: vec![NONE; functions.module.global_variables.len()],
            },
            changed: true,
        };
        while std::mem::replace(&mut slicer.changed, false) {
            // Callees first, so that effects travel up in one round.
            for &at in functions.order.iter().rev() {
                slicer.function(&functions.body(at));
            }
        }
        slicer.slice
    }

    /// The mark of an expression.
    pub(super) fn mark(&self, at: FunctionRef, expression: Handle<Expression>) -> Mark {
        self.functions
            .get(at.slot())
            .and_then(Option::as_ref)
            .and_then(|marks| marks.expressions.get(expression.index()))
            .copied()
            .unwrap_or(NONE)
    }

    pub(super) fn contains(&self, at: FunctionRef, expression: Handle<Expression>) -> bool {
        self.mark(at, expression) > NONE
    }

    fn marks(&self, at: FunctionRef) -> Option<&Marks> {
        self.functions[at.slot()].as_ref()
    }

    fn local(&self, at: FunctionRef, local: Handle<LocalVariable>) -> Mark {
        self.marks(at)
            .map_or(NONE, |marks| marks.locals[local.index()])
    }

    /// The mark of the variable that a pointer points into.
    fn variable(&self, body: &Body<'_>, pointer: Handle<Expression>) -> Mark {
        match root(body, pointer) {
            Some(Root::Local(local)) => self.local(body.at, local),
            Some(Root::Argument(index)) => self
                .marks(body.at)
                .map_or(NONE, |marks| marks.pointees[index as usize]),
            Some(Root::Global(global)) => match space_of(body, global) {
                Space::Storage => DECIDES,
                Space::Private => self.globals[global.index()],
                _ => NONE,
            },
            None => NONE,
        }
    }

    /// The strongest relevance of what is in a block. With `outside`, only what a caller can notice.
    fn content(&self, body: &Body<'_>, block: &Block, outside: bool) -> Mark {
        block
            .iter()
            .map(|statement| self.relevance(body, statement, outside))
            .max()
            .unwrap_or(NONE)
    }

    fn relevance(&self, body: &Body<'_>, statement: &Statement, outside: bool) -> Mark {
        let value = |handle: Option<Handle<Expression>>| match handle {
            Some(handle) if !outside => self.mark(body.at, handle),
            _ => NONE,
        };
        match *statement {
            Statement::Emit(ref range) => {
                let loads = range
                    .clone()
                    .any(|handle| match body.function.expressions[handle] {
                        Expression::Load { pointer } => storage_root(body, pointer).is_some(),
                        _ => false,
                    });
                if loads { DECIDES } else { NONE }
            }
            Statement::Store { pointer, .. } => match root(body, pointer) {
                Some(Root::Local(_)) if outside => NONE,
                _ => self.variable(body, pointer),
            },
            Statement::Atomic {
                pointer, result, ..
            } => {
                if storage_root(body, pointer).is_some() {
                    DECIDES
                } else {
                    value(result)
                }
            }
            Statement::Call {
                function, result, ..
            } => {
                let effect = self
                    .marks(FunctionRef::Function(function))
                    .map_or(NONE, |marks| marks.effect);
                effect.max(value(result))
            }
            Statement::Return { value: Some(_) } if !outside => {
                self.marks(body.at).map_or(NONE, |marks| marks.result)
            }
            Statement::WorkGroupUniformLoad { result, .. }
            | Statement::SubgroupBallot { result, .. }
            | Statement::SubgroupGather { result, .. }
            | Statement::SubgroupCollectiveOperation { result, .. } => value(Some(result)),
            Statement::Block(ref block) => self.content(body, block, outside),
            Statement::If {
                ref accept,
                ref reject,
                ..
            } => self
                .content(body, accept, outside)
                .max(self.content(body, reject, outside)),
            Statement::Switch { ref cases, .. } => cases
                .iter()
                .map(|case| self.content(body, &case.body, outside))
                .max()
                .unwrap_or(NONE),
            Statement::Loop {
                body: ref inner,
                ref continuing,
                ..
            } => self
                .content(body, inner, outside)
                .max(self.content(body, continuing, outside)),
            _ => NONE,
        }
    }
}

/// What leaving a block early would skip.
#[derive(Clone, Copy)]
struct Around {
    /// What follows in the function, enclosing loops included.
    after: Mark,
    /// What `break` skips.
    breaks: Mark,
    /// What `continue` skips.
    continues: Mark,
    in_loop: bool,
}

struct Slicer {
    slice: Slice,
    changed: bool,
}

impl Slicer {
    fn raise(changed: &mut bool, mark: &mut Mark, to: Mark) {
        if *mark < to {
            *mark = to;
            *changed = true;
        }
    }

    fn update(&mut self, at: FunctionRef, to: Mark, pick: impl FnOnce(&mut Marks) -> &mut Mark) {
        if let Some(marks) = self.slice.functions[at.slot()].as_mut() {
            Self::raise(&mut self.changed, pick(marks), to);
        }
    }

    fn expression(&mut self, body: &Body<'_>, handle: Handle<Expression>, to: Mark) {
        self.update(body.at, to, |marks| &mut marks.expressions[handle.index()]);
    }

    /// The indices on the way to what a pointer points to.
    fn chain(&mut self, body: &Body<'_>, pointer: Handle<Expression>, to: Mark) {
        if to == NONE {
            return;
        }
        for step in steps(body, pointer) {
            if let Step::Dynamic(index) = step {
                self.expression(body, index, to);
            }
        }
    }

    /// The variable that a pointer points into joins the slice.
    fn variable(&mut self, body: &Body<'_>, pointer: Handle<Expression>, to: Mark) {
        match root(body, pointer) {
            Some(Root::Local(local)) => {
                self.update(body.at, to, |marks| &mut marks.locals[local.index()]);
            }
            Some(Root::Argument(index)) => {
                self.update(body.at, to, |marks| &mut marks.pointees[index as usize]);
            }
            Some(Root::Global(global)) if space_of(body, global) == Space::Private => {
                Self::raise(
                    &mut self.changed,
                    &mut self.slice.globals[global.index()],
                    to,
                );
            }
            _ => {}
        }
    }

    fn function(&mut self, body: &Body<'_>) {
        self.block(
            body,
            &body.function.body,
            Around {
                after: NONE,
                breaks: NONE,
                continues: NONE,
                in_loop: false,
            },
        );
        let effect = self.slice.content(body, &body.function.body, true);
        self.update(body.at, effect, |marks| &mut marks.effect);
        self.operands(body);
    }

    fn block(&mut self, body: &Body<'_>, block: &Block, around: Around) {
        let mut after = around.after;
        for statement in block.iter().rev() {
            self.statement(body, statement, Around { after, ..around });
            after = after.max(self.slice.relevance(body, statement, false));
        }
    }

    fn statement(&mut self, body: &Body<'_>, statement: &Statement, around: Around) {
        match *statement {
            Statement::Emit(ref range) => {
                for handle in range.clone() {
                    if let Expression::Load { pointer } = body.function.expressions[handle]
                        && storage_root(body, pointer).is_some()
                    {
                        self.chain(body, pointer, DECIDES);
                    }
                }
            }
            Statement::Store { pointer, value } => {
                let mark = self.slice.variable(body, pointer);
                self.chain(body, pointer, mark);
                // What goes to storage decides nothing: a feeding load from a written binding is refused.
                if mark > NONE && storage_root(body, pointer).is_none() {
                    self.expression(body, value, mark);
                }
            }
            Statement::Atomic { pointer, .. } if storage_root(body, pointer).is_some() => {
                self.chain(body, pointer, DECIDES);
            }
            Statement::Call {
                function,
                ref arguments,
                ..
            } => self.call(body, FunctionRef::Function(function), arguments),
            Statement::Return { value: Some(value) } => {
                let mark = self.slice.marks(body.at).map_or(NONE, |marks| marks.result);
                self.expression(body, value, mark);
            }
            Statement::Block(ref block) => self.block(body, block, around),
            Statement::If {
                condition,
                ref accept,
                ref reject,
            } => {
                let mark = [accept, reject]
                    .into_iter()
                    .map(|block| self.decided(body, block, around))
                    .max()
                    .unwrap_or(NONE);
                self.expression(body, condition, mark);
                self.block(body, accept, around);
                self.block(body, reject, around);
            }
            Statement::Switch {
                selector,
                ref cases,
            } => {
                let inside = Around {
                    breaks: self.slice.relevance(body, statement, false),
                    ..around
                };
                let mark = cases
                    .iter()
                    .map(|case| self.decided(body, &case.body, inside))
                    .max()
                    .unwrap_or(NONE);
                self.expression(body, selector, mark);
                for case in cases {
                    self.block(body, &case.body, inside);
                }
            }
            Statement::Loop {
                body: ref inner,
                ref continuing,
                break_if,
            } => {
                let content = self.slice.relevance(body, statement, false).max(ENDS);
                let inside = Around {
                    after: around.after.max(content),
                    breaks: content,
                    continues: content,
                    in_loop: true,
                };
                if let Some(condition) = break_if {
                    self.expression(body, condition, content);
                }
                self.block(body, inner, inside);
                self.block(body, continuing, inside);
            }
            _ => {}
        }
    }

    /// What depends on whether a block runs: what is in it, and what its exits skip.
    fn decided(&self, body: &Body<'_>, block: &Block, around: Around) -> Mark {
        block
            .iter()
            .map(|statement| {
                let nested = |block: &Block, around: Around| self.decided(body, block, around);
                match *statement {
                    Statement::Break => around.breaks,
                    Statement::Continue => around.continues,
                    Statement::Return { .. } | Statement::Kill => {
                        let result = self.slice.marks(body.at).map_or(NONE, |marks| marks.result);
                        let ends = if around.in_loop { ENDS } else { NONE };
                        result.max(ends).max(around.after)
                    }
                    Statement::Block(ref block) => nested(block, around),
                    Statement::If {
                        ref accept,
                        ref reject,
                        ..
                    } => nested(accept, around).max(nested(reject, around)),
                    Statement::Switch { ref cases, .. } => {
                        let inside = Around {
                            breaks: NONE,
                            ..around
                        };
                        cases
                            .iter()
                            .map(|case| nested(&case.body, inside))
                            .max()
                            .unwrap_or(NONE)
                    }
                    Statement::Loop {
                        body: ref inner,
                        ref continuing,
                        ..
                    } => {
                        let inside = Around {
                            breaks: NONE,
                            continues: NONE,
                            ..around
                        };
                        nested(inner, inside).max(nested(continuing, inside))
                    }
                    _ => self.slice.relevance(body, statement, false),
                }
            })
            .max()
            .unwrap_or(NONE)
    }

    fn call(&mut self, body: &Body<'_>, callee: FunctionRef, arguments: &[Handle<Expression>]) {
        for (index, &argument) in arguments.iter().enumerate() {
            let Some(marks) = self.slice.marks(callee) else {
                return;
            };
            let (value, pointee) = (marks.arguments[index], marks.pointees[index]);
            if root(body, argument).is_some() && body.ty(argument).pointer_space().is_some() {
                // A pointer: what it points to is one variable under two names.
                let mark = pointee.max(match root(body, argument) {
                    Some(Root::Global(global)) if space_of(body, global) != Space::Private => NONE,
                    _ => self.slice.variable(body, argument),
                });
                self.variable(body, argument, mark);
                self.chain(body, argument, mark);
                self.update(callee, mark, |marks| &mut marks.pointees[index]);
            } else {
                self.expression(body, argument, value);
            }
        }
    }

    /// Carries marks from expressions to what they are made of. Operands come earlier in the arena.
    fn operands(&mut self, body: &Body<'_>) {
        let handles: Vec<_> = body.function.expressions.iter().rev().collect();
        for (handle, expression) in handles {
            let mark = self.slice.mark(body.at, handle);
            if mark == NONE {
                continue;
            }
            match *expression {
                Expression::Load { pointer } => {
                    self.chain(body, pointer, mark);
                    if storage_root(body, pointer).is_none() {
                        self.variable(body, pointer, mark);
                    }
                }
                Expression::FunctionArgument(index) => {
                    self.update(body.at, mark, |marks| &mut marks.arguments[index as usize]);
                }
                Expression::CallResult(function) => {
                    let callee = FunctionRef::Function(function);
                    self.update(callee, mark, |marks| &mut marks.result);
                }
                Expression::AccessIndex { base, .. }
                    if body.at == FunctionRef::Entry
                        && matches!(
                            body.function.expressions[base],
                            Expression::FunctionArgument(_)
                        ) =>
                {
                    // A member of a structure of built-ins, looked at on its own where reasons are collected.
                }
                _ => operands_of(expression, &mut |operand| {
                    self.expression(body, operand, mark);
                }),
            }
        }
    }
}
