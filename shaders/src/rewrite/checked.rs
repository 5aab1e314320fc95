//! Checked runs: the kernel with its effects, of which not all pages may be there.
//!
//! An access that misses its page is dropped and raises the record's flag (see [`Mode::Checked`](crate::Mode::Checked)); the
//! kernel goes on, so that one run finds as many pages as it can. From then on memory is not what the kernel may rely on, and a
//! loop whose end hangs on memory might never come to it: at the end of each of its rounds it looks at the flag, and is left
//! when that is up: at once by an invocation that missed a page itself, by others after [`GRACE`] more rounds,
//! since what they do may well be right, and finds more pages.
//!
//! A loop is left by its own `break`, to where it always goes on. Where invocations meet at a barrier inside the loop they
//! have to leave together: the first one looks, and all of them go by what it saw.

use std::collections::HashSet;

use naga::{BinaryOperator, Block, Expression, Function, Handle, Statement};

use super::address::{Access, PageEntry};
use super::build::Value;
use super::function::Rewriter;
use super::helpers::Helper;
use super::physical::call;
use super::plan::{Plan, Source, visit};
use super::start::Start;
use crate::analysis::Steady;
use crate::{Entry, ShaderError};

/// Rounds, of all its loops together, that an invocation goes on for after another one missed a page.
pub(super) const GRACE: u32 = 64;

/// The state of a checked run's rewriting.
pub(super) struct Checked<'a> {
    steady: Steady,
    /// The functions in which invocations meet at barriers.
    barriers: &'a HashSet<Handle<Function>>,
}

impl<'a> Checked<'a> {
    pub(super) fn new(
        entry: &Entry,
        source: Source<'_>,
        barriers: &'a HashSet<Handle<Function>>,
    ) -> Self {
        Self {
            steady: Steady::new(
                &entry.module,
                source.info,
                source.function,
                source.reference(),
            ),
            barriers,
        }
    }
}

/// How a loop is left when a page was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Each invocation for itself.
    Alone,
    /// All of a workgroup after the same round.
    Together,
}

/// The functions in which invocations meet at barriers, in themselves or in those that they call.
pub(super) fn with_barriers(plan: &Plan<'_>) -> HashSet<Handle<Function>> {
    let mut found = HashSet::new();
    // Callees come first.
    for source in &plan.sources {
        if let Some(which) = source.which
            && has_barrier(&source.function.body, &found)
        {
            found.insert(which);
        }
    }
    found
}

fn has_barrier(block: &Block, functions: &HashSet<Handle<Function>>) -> bool {
    let mut any = false;
    visit(block, &mut |statement, _| {
        any |= match statement {
            Statement::ControlBarrier(_) | Statement::WorkGroupUniformLoad { .. } => true,
            Statement::Call { function, .. } => functions.contains(function),
            _ => false,
        };
    });
    any
}

impl Rewriter<'_> {
    /// Notes an access to a page, and whether it is missing.
    pub(super) fn check(&mut self, start: &Start, entry: &PageEntry, access: Access, ok: Value) {
        let in_bounds = match start.in_bounds {
            Some(inside) => inside,
            None => self.b.boolean(true),
        };
        let missing = self.b.not(ok);
        let bit = self.b.word(u32::from(access == Access::Store));
        let helper = self.physical.helper(Helper::Check);
        let arguments = vec![in_bounds, entry.touch_base, entry.page, bit, missing];
        call(&mut self.b, helper, arguments, false);
    }

    /// How a loop is left when a page was missed; `None` when it ends by itself, whatever is in memory.
    pub(super) fn leave_by(
        &self,
        body: &Block,
        continuing: &Block,
        break_if: Option<Handle<Expression>>,
    ) -> Option<Leave> {
        let checked = self.checked.as_ref()?;
        if !checked.steady.may_run_on(body, continuing, break_if) {
            return None;
        }
        let meets =
            has_barrier(body, checked.barriers) || has_barrier(continuing, checked.barriers);
        Some(if meets { Leave::Together } else { Leave::Alone })
    }

    /// Rewrites a loop that is left when a page was missed.
    pub(super) fn checked_loop(
        &mut self,
        body: &Block,
        continuing: &Block,
        break_if: Option<Handle<Expression>>,
        leave: Leave,
    ) -> Result<(), ShaderError> {
        let body = self.nested(body)?;
        self.b.begin();
        self.block(continuing)?;
        let own = break_if.map(|h| self.value(h)).transpose()?;
        let mut ends = match leave {
            Leave::Alone => self.quits(),
            Leave::Together => self.quits_together(),
        };
        if let Some(own) = own {
            ends = self.b.binary(BinaryOperator::LogicalOr, own, ends);
        }
        let continuing = self.b.end();
        self.b.statement(Statement::Loop {
            body,
            continuing,
            break_if: Some(ends),
        });
        Ok(())
    }

    /// Whether the invocation leaves a loop, counting the round if a page was missed.
    fn quits(&mut self) -> Value {
        let missed = self.missed();
        let zero = self.b.word(0);
        let missed = self.b.binary(BinaryOperator::NotEqual, missed, zero);
        let rounds = self.physical.rounds();
        let rounds = self.b.global(rounds);
        self.b.when(missed, |b| {
            let old = b.load(rounds);
            let new = b.add_word(old, 1);
            b.store(rounds, new);
        });
        let now = self.b.load(rounds);
        let grace = self.b.word(GRACE);
        self.b.less(grace, now)
    }

    /// The record's flag.
    fn missed(&mut self) -> Value {
        let header = self.physical.param(&mut self.b, 0);
        let record = self.b.component(header, 3);
        let flag = self
            .physical
            .element(&mut self.b, self.physical.report, record);
        self.b.load(flag)
    }

    /// Whether the workgroup's first invocation leaves a loop, for all of them.
    fn quits_together(&mut self) -> Value {
        let exit = self.physical.exit();
        let lane = self.b.global(exit.lane);
        let lane = self.b.load(lane);
        let zero = self.b.word(0);
        let first = self.b.binary(BinaryOperator::Equal, lane, zero);
        let seen = self.b.global(exit.seen);
        self.b.begin();
        let quits = self.quits();
        let one = self.b.word(1);
        let quits = self.b.select(quits, one, zero);
        self.b.store(seen, quits);
        let accept = self.b.end();
        self.b.statement(Statement::If {
            condition: first,
            accept,
            reject: Block::new(),
        });
        let result = self.b.declare(Expression::WorkGroupUniformLoadResult {
            ty: self.physical.word,
        });
        self.b.statement(Statement::WorkGroupUniformLoad {
            pointer: seen,
            result,
        });
        self.b.binary(BinaryOperator::NotEqual, result, zero)
    }
}
