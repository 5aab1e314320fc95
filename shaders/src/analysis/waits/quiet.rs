//! Ways round a loop on which an invocation gets no nearer to the loop's end by itself.

use std::collections::HashSet;

use naga::{AtomicFunction, BinaryOperator, Block, Expression, Handle, Statement};

use super::super::functions::FunctionRef;
use super::effects::zero;
use super::sources::{Node, Nodes, Scope};

/// Which ways through a block have made no progress.
#[derive(Clone, Copy, Default)]
pub(super) struct Quiet {
    /// To its end.
    pub(super) falls: bool,
    /// To `continue`.
    pub(super) goes_on: bool,
    /// To `break`, of the innermost loop or switch.
    pub(super) breaks: bool,
}

/// What ends a loop, and which of its ways round make no progress towards that.
pub(super) struct Ends<'a> {
    pub(super) scope: &'a Scope<'a>,
    /// The reads that the end depends on.
    pub(super) watched: HashSet<usize>,
    /// Their bindings.
    pub(super) bindings: HashSet<usize>,
    /// Everything that the end depends on, or where and with what those reads are made.
    pub(super) relevant: Nodes,
    /// What their addresses are computed from.
    pub(super) addresses: Nodes,
}

impl Ends<'_> {
    pub(super) fn quiet(&self, block: &Block) -> Quiet {
        let mut quiet = Quiet {
            falls: true,
            ..Quiet::default()
        };
        for statement in block.iter() {
            if !quiet.falls {
                break;
            }
            let next = self.through(statement);
            quiet.falls = next.falls;
            quiet.goes_on |= next.goes_on;
            quiet.breaks |= next.breaks;
        }
        quiet
    }

    pub(super) fn through(&self, statement: &Statement) -> Quiet {
        let through = Quiet {
            falls: true,
            ..Quiet::default()
        };
        match *statement {
            Statement::Break => Quiet {
                breaks: true,
                ..Quiet::default()
            },
            Statement::Continue => Quiet {
                goes_on: true,
                ..Quiet::default()
            },
            Statement::Return { .. } | Statement::Kill => Quiet::default(),
            Statement::Block(ref inner) => self.quiet(inner),
            Statement::If {
                condition,
                ref accept,
                ref reject,
            } => {
                let found = self.found(condition);
                let branch = |block, taken| match found {
                    Some(found) if found == taken => Quiet::default(),
                    _ => self.quiet(block),
                };
                let (a, b) = (branch(accept, true), branch(reject, false));
                Quiet {
                    falls: a.falls || b.falls,
                    goes_on: a.goes_on || b.goes_on,
                    breaks: a.breaks || b.breaks,
                }
            }
            Statement::Switch { ref cases, .. } => {
                let mut quiet = Quiet::default();
                for case in cases {
                    let one = self.quiet(&case.body);
                    quiet.falls |= one.falls || one.breaks;
                    quiet.goes_on |= one.goes_on;
                }
                quiet
            }
            Statement::Loop {
                ref body,
                ref continuing,
                break_if,
            } => {
                let inner = self.quiet(body);
                let round = (inner.falls || inner.goes_on) && self.quiet(continuing).falls;
                Quiet {
                    falls: inner.breaks || (break_if.is_some() && round),
                    ..Quiet::default()
                }
            }
            ref other if self.progress(other) => Quiet::default(),
            _ => through,
        }
    }

    /// Whether a condition tells that a compare-exchange found the value that it compared with: which of its two outcomes does.
    /// Then the exchange was made, or, being weak, may be tried again at once: nobody is waited for.
    fn found(&self, condition: Handle<Expression>) -> Option<bool> {
        let expressions = &self.scope.body.function.expressions;
        let Expression::Binary { op, left, right } = expressions[condition] else {
            return None;
        };
        let equal = match op {
            BinaryOperator::Equal => true,
            BinaryOperator::NotEqual => false,
            _ => return None,
        };
        let compares = |result: Handle<Expression>, with: Handle<Expression>| {
            // The first member of the result is what was there.
            let Expression::AccessIndex { base, index: 0 } = expressions[result] else {
                return false;
            };
            let watch = self.scope.watch_of.get(&base);
            let compare = watch.and_then(|&w| self.scope.watches[w].operands.get(1).copied());
            compare.is_some_and(|compare| {
                compare == with
                    || matches!(
                        (&expressions[compare], &expressions[with]),
                        (Expression::Literal(a), Expression::Literal(b)) if a == b
                    )
                    || matches!(
                        (&expressions[compare], &expressions[with]),
                        (Expression::Constant(a), Expression::Constant(b)) if a == b
                    )
            })
        };
        (compares(left, right) || compares(right, left)).then_some(equal)
    }

    pub(super) fn progress(&self, statement: &Statement) -> bool {
        let scope = self.scope;
        match *statement {
            Statement::Store { pointer, value } => {
                if let Some(binding) = scope.effects.plain(&scope.body, pointer) {
                    return self.bindings.contains(&binding);
                }
                let Some(variable) = scope.variable(pointer) else {
                    return false;
                };
                if !self.relevant.contains(&variable) {
                    return false;
                }
                let from = scope.data_of(scope.sources(value));
                let own = from.contains(&variable);
                let watch = from.iter().any(|node| matches!(node, Node::Watch(_)));
                // Counted on its own, or an index just read; not a count that advances only when another one acted.
                (own && !watch) || (watch && !own && self.addresses.contains(&variable))
            }
            Statement::Atomic {
                pointer,
                ref fun,
                value,
                result: Some(result),
            } => {
                let Some(watch) = scope.watch_of.get(&result) else {
                    return false;
                };
                if !self.watched.contains(watch) {
                    return false;
                }
                match *fun {
                    AtomicFunction::Add | AtomicFunction::Subtract => !zero(&scope.body, value),
                    AtomicFunction::Exchange {
                        compare: Some(compare),
                    } => {
                        let binding = scope.effects.binding(&scope.body, pointer);
                        scope
                            .data_of(scope.sources(compare))
                            .iter()
                            .any(|node| match *node {
                                Node::Watch(read) => Some(scope.watches[read].binding) == binding,
                                _ => false,
                            })
                    }
                    _ => false,
                }
            }
            Statement::Call {
                function,
                ref arguments,
                result: Some(result),
            } if scope.watch_of.contains_key(&result) => {
                let name = scope.body.module.functions[function].name.as_deref();
                let does = |what: &str| name.is_some_and(|name| name.starts_with(what));
                let watch = scope.watch_of[&result];
                let binding = scope.watches[watch].binding;
                let given = |from: &Node| match *from {
                    Node::Watch(read) => scope.watches[read].binding == binding,
                    _ => false,
                };
                if does("gm_atomic_add_") || does("gm_atomic_sub_") {
                    self.watched.contains(&watch) && !zero(&scope.body, arguments[1])
                } else if does("gm_atomic_compare_exchange_") {
                    let compare = scope.data_of(scope.sources(arguments[1]));
                    self.watched.contains(&watch) && compare.iter().any(given)
                } else {
                    false
                }
            }
            Statement::Call { function, .. } => {
                let summary = &scope.effects.summaries[FunctionRef::Function(function).slot()];
                let acts = summary.writes.iter().chain(&summary.retries);
                acts.into_iter()
                    .any(|binding| self.bindings.contains(binding))
            }
            _ => false,
        }
    }
}
