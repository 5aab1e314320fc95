//! Loops in which an invocation waits for what another one stores: the rule is in [`Wait`](super::Wait)'s documentation.
//!
//! For every loop that reads storage which others may change, three things are found out, without regard to the order of
//! statements: what each variable is computed from (*data*), which conditions its stores stand under (*control*), and which
//! conditions decide whether the loop ends. When one of these goes back to such a read, the paths through the loop are looked
//! at: the loop waits when one of them leads back to its start without progress.

mod effects;
mod quiet;
mod sources;

use naga::{Block, Expression, GlobalVariable, Handle, Statement};

use super::BindingUse;
use super::functions::{Functions, each_statement};
use super::hazard::Wait;
use effects::Effects;
use quiet::Ends;
use sources::{Node, Nodes, Scope};

/// The waiting loops of all reachable functions, in the order of the functions.
pub(super) fn find(
    functions: &Functions<'_>,
    storage: &[Handle<GlobalVariable>],
    uses: &[BindingUse],
) -> Vec<Wait> {
    let effects = Effects {
        storage,
        uses,
        summaries: Vec::new(),
    };
    let effects = effects.summarised(functions);
    let mut waits: Vec<Wait> = Vec::new();
    for body in functions.bodies() {
        each_statement(&body.function.body, &mut |statement, _| {
            if let Statement::Loop {
                body: ref inner,
                ref continuing,
                break_if,
            } = *statement
                && let Some(wait) = Scope::new(&effects, body, [inner, continuing])
                    .and_then(|scope| scope.wait(inner, continuing, break_if))
                && !waits.contains(&wait)
            {
                waits.push(wait);
            }
        });
    }
    waits
}

impl Scope<'_> {
    /// Whether the loop waits for others, and where it looks.
    fn wait(
        &self,
        inner: &Block,
        continuing: &Block,
        break_if: Option<Handle<Expression>>,
    ) -> Option<Wait> {
        let mut ends = Vec::from_iter(break_if);
        exits(inner, true, &mut ends);
        exits(continuing, true, &mut ends);
        let exits: Nodes = ends
            .iter()
            .flat_map(|&condition| self.sources(condition))
            .copied()
            .collect();
        let both = |node: Node, found: &mut Vec<Node>| {
            let edges = [self.data.get(&node), self.control.get(&node)];
            found.extend(edges.into_iter().flatten().flatten());
        };
        let watched: Vec<usize> = self
            .closure(&exits, both)
            .into_iter()
            .filter_map(|node| match node {
                Node::Watch(watch) => Some(watch),
                _ => None,
            })
            .collect();
        let first = *watched.first()?;
        let relevant = self.closure(&exits, |node, found| {
            both(node, found);
            if let Node::Watch(watch) = node {
                let watch = &self.watches[watch];
                for &from in watch.pointer.iter().chain(&watch.operands) {
                    found.extend(self.sources(from));
                }
            }
        });
        let addresses: Nodes = watched
            .iter()
            .filter_map(|&watch| self.watches[watch].pointer)
            .flat_map(|pointer| self.sources(pointer))
            .copied()
            .collect();
        let ends = Ends {
            scope: self,
            bindings: watched.iter().map(|&w| self.watches[w].binding).collect(),
            watched: watched.into_iter().collect(),
            relevant,
            addresses: self.data_of(&addresses),
        };
        let body = ends.quiet(inner);
        if !(body.falls || body.goes_on) || !ends.quiet(continuing).falls {
            return None;
        }
        let watch = &self.watches[first];
        Some(Wait {
            binding: watch.binding,
            function: self.body.at,
            span: watch.span,
            line: 0,
        })
    }
}

/// Collects the conditions that decide whether the loop ends, or goes round early; says whether the block can do either.
/// `own` tells whether a `break` is the loop's.
pub(super) fn exits(block: &Block, own: bool, ends: &mut Vec<Handle<Expression>>) -> bool {
    let mut any = false;
    for statement in block.iter() {
        any |= match *statement {
            Statement::Break => own,
            Statement::Continue | Statement::Return { .. } | Statement::Kill => true,
            Statement::Block(ref inner) => exits(inner, own, ends),
            Statement::If {
                condition,
                ref accept,
                ref reject,
            } => {
                let (a, b) = (exits(accept, own, ends), exits(reject, own, ends));
                if a || b {
                    ends.push(condition);
                }
                a || b
            }
            Statement::Switch {
                selector,
                ref cases,
            } => {
                let mut inside = false;
                for case in cases {
                    inside |= exits(&case.body, false, ends);
                }
                if inside {
                    ends.push(selector);
                }
                inside
            }
            Statement::Loop { ref body, .. } => returns(body, ends),
            _ => false,
        };
    }
    any
}

/// As [`exits`], in an inner loop: only `return` leaves the outer one.
fn returns(block: &Block, ends: &mut Vec<Handle<Expression>>) -> bool {
    let mut any = false;
    for statement in block.iter() {
        any |= match *statement {
            Statement::Return { .. } | Statement::Kill => true,
            Statement::Block(ref inner)
            | Statement::Loop {
                body: ref inner, ..
            } => returns(inner, ends),
            Statement::If {
                condition,
                ref accept,
                ref reject,
            } => {
                let (a, b) = (returns(accept, ends), returns(reject, ends));
                if a || b {
                    ends.push(condition);
                }
                a || b
            }
            Statement::Switch {
                selector,
                ref cases,
            } => {
                let mut inside = false;
                for case in cases {
                    inside |= returns(&case.body, ends);
                }
                if inside {
                    ends.push(selector);
                }
                inside
            }
            _ => false,
        };
    }
    any
}
