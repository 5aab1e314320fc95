//! Probes: the same control flow and the same addresses, with every access turned into a touch of its page.
//!
//! A load whose value is needed for an address or for control flow is really made, when its page is resident;
//! otherwise the lane *stops*: it says so in the report and returns, through all of its callers. `continuing` blocks
//! cannot return, so there the rest of the block is skipped and the loop is left.

use std::collections::HashSet;

use naga::proc::TypeResolution;
use naga::{
    AddressSpace, BinaryOperator, Block, Expression, Function, Handle, Statement, Type, TypeInner,
};

use super::address::{Group, Located};
use super::build::Value;
use super::function::Rewriter;
use super::place::Place;
use super::plan::{Plan, visit};
use super::start::Start;
use crate::{Entry, ShaderError};

/// Bytes of the smallest page: what a touch of its first and last word covers.
const SPAN: u32 = 4096;

/// The state of a probe's rewriting.
pub(super) struct Probe<'a> {
    stops: &'a HashSet<Handle<Function>>,
    in_continuing: bool,
    /// Conditions of the blocks opened after a possible stop in `continuing`, innermost last.
    skips: Vec<Value>,
    /// How many were ever opened.
    opened: usize,
}

impl<'a> Probe<'a> {
    pub(super) fn new(stops: &'a HashSet<Handle<Function>>) -> Self {
        Self {
            stops,
            in_continuing: false,
            skips: Vec::new(),
            opened: 0,
        }
    }
}

/// The functions in which a lane may stop.
pub(super) fn stopping(entry: &Entry, plan: &Plan<'_>) -> HashSet<Handle<Function>> {
    let mut stops = HashSet::new();
    for source in &plan.sources {
        let Some(which) = source.which else { continue };
        let mut may = source.function.expressions.iter().any(|(handle, e)| {
            matches!(*e, Expression::Load { pointer }
                if Place::trace(&entry.module, &entry.storage, source.function, pointer).is_some())
                && entry.analysis.is_feeding(source.reference(), handle)
        });
        visit(&source.function.body, &mut |statement, _| {
            if let Statement::Call { function, .. } = statement {
                may |= stops.contains(function);
            }
        });
        if may {
            stops.insert(which);
        }
    }
    stops
}

impl Rewriter<'_> {
    /// A load of storage in a probe.
    pub(super) fn probe_load(
        &mut self,
        old: Handle<Expression>,
        place: &Place,
    ) -> Result<Value, ShaderError> {
        let start = self.start(place)?;
        self.touch_place(place, &start, false)?;
        if !self.entry.analysis.is_feeding(self.source.reference(), old) {
            return self.zero(old);
        }
        self.load_place(place)
    }

    /// Stops the lane when a group is in bounds and not resident.
    pub(super) fn stop_unless(&mut self, start: &Start, located: &[(Group, Located)]) {
        let mut missing = None;
        for (_, located) in located {
            let absent = self.strayed(start.in_bounds, located.ok);
            missing = Some(match missing {
                Some(m) => self.b.binary(BinaryOperator::LogicalOr, m, absent),
                None => absent,
            });
        }
        if let Some(missing) = missing {
            self.stop_when(missing);
        }
    }

    /// Touches the pages of a place.
    fn touch_place(
        &mut self,
        place: &Place,
        start: &Start,
        store: bool,
    ) -> Result<(), ShaderError> {
        let condition = match start.in_bounds {
            Some(inside) => inside,
            None => self.b.boolean(true),
        };
        if self.is_long(place.shape) {
            return self.touch_long(place, start, condition, store);
        }
        let leaves = self.leaves(place.shape)?;
        let mut i = 0;
        while i < leaves.len() {
            let first = leaves[i].offset;
            let mut bytes = leaves[i].bytes();
            i += 1;
            while i < leaves.len() && leaves[i].offset + leaves[i].bytes() - first <= SPAN {
                bytes = leaves[i].offset + leaves[i].bytes() - first;
                i += 1;
            }
            let page = self.page_of(place, start, first)?;
            self.physical
                .touch(&mut self.b, condition, page.touch_base, page.page, store);
            if !place.within_alignment(first, bytes) {
                // The last leaf's last word, or half.
                let last = first + bytes - u32::from(leaves[i - 1].scalar.width.min(4));
                let page = self.page_of(place, start, last)?;
                self.physical
                    .touch(&mut self.b, condition, page.touch_base, page.page, store);
            }
        }
        Ok(())
    }

    /// Stops the lane when `missing` holds.
    pub(super) fn stop_when(&mut self, missing: Value) {
        self.b.begin();
        let flag = self.b.global(self.physical.flag);
        let yes = self.b.boolean(true);
        self.b.store(flag, yes);
        let header = self.physical.param(&mut self.b, 0);
        let record = self.b.component(header, 3);
        let at = self
            .physical
            .element(&mut self.b, self.physical.report, record);
        let one = self.b.word(1);
        self.b.store(at, one);
        if !self.in_continuing() {
            self.leave();
        }
        let accept = self.b.end();
        self.b.statement(Statement::If {
            condition: missing,
            accept,
            reject: Block::new(),
        });
        if self.in_continuing() {
            self.skip_rest();
        }
    }

    /// After something in which the lane may have stopped.
    fn check_stopped(&mut self) {
        if self.in_continuing() {
            self.skip_rest();
            return;
        }
        let flag = self.b.global(self.physical.flag);
        let stopped = self.b.load(flag);
        self.b.begin();
        self.leave();
        let accept = self.b.end();
        self.b.statement(Statement::If {
            condition: stopped,
            accept,
            reject: Block::new(),
        });
    }

    fn leave(&mut self) {
        let value = self
            .source
            .function
            .result
            .as_ref()
            .map(|r| self.b.declare(Expression::ZeroValue(r.ty)));
        self.b.statement(Statement::Return { value });
    }

    fn in_continuing(&self) -> bool {
        self.probe.as_ref().is_some_and(|p| p.in_continuing)
    }

    /// Puts what follows in this block into an `if` that the lane has not stopped; [`Rewriter::end_skips`] ends it.
    fn skip_rest(&mut self) {
        let flag = self.b.global(self.physical.flag);
        let stopped = self.b.load(flag);
        let going = self.b.not(stopped);
        self.b.begin();
        if let Some(probe) = &mut self.probe {
            probe.skips.push(going);
            probe.opened += 1;
        }
    }

    /// How many blocks opened by a possible stop are open.
    pub(super) fn skips(&self) -> usize {
        self.probe.as_ref().map_or(0, |p| p.skips.len())
    }

    fn opened(&self) -> usize {
        self.probe.as_ref().map_or(0, |p| p.opened)
    }

    /// Closes the blocks opened since there were `before`.
    pub(super) fn end_skips(&mut self, before: usize) {
        while self.skips() > before {
            let Some(condition) = self.probe.as_mut().and_then(|p| p.skips.pop()) else {
                return;
            };
            let accept = self.b.end();
            self.b.statement(Statement::If {
                condition,
                accept,
                reject: Block::new(),
            });
        }
    }

    /// Whether a load reads workgroup memory.
    pub(super) fn is_shared_load(&self, load: Handle<Expression>) -> bool {
        match self.source.function.expressions[load] {
            Expression::Load { pointer } => self.is_shared(pointer),
            _ => false,
        }
    }

    fn is_shared(&self, pointer: Handle<Expression>) -> bool {
        matches!(
            *self.source.info[pointer]
                .ty
                .inner_with(&self.entry.module.types),
            TypeInner::Pointer {
                space: AddressSpace::WorkGroup,
                ..
            } | TypeInner::ValuePointer {
                space: AddressSpace::WorkGroup,
                ..
            }
        )
    }

    /// A zero of a user's expression's type.
    pub(super) fn zero(&mut self, old: Handle<Expression>) -> Result<Value, ShaderError> {
        let ty: Handle<Type> = match self.source.info[old].ty {
            TypeResolution::Handle(ty) => ty,
            TypeResolution::Value(ref inner) => self.physical.ty(inner.clone()),
        };
        Ok(self.b.declare(Expression::ZeroValue(ty)))
    }

    fn define_zero(&mut self, result: Handle<Expression>) -> Result<(), ShaderError> {
        let zero = self.zero(result)?;
        self.define(result, zero);
        Ok(())
    }

    /// Rewrites a statement that means something else in a probe; `false`: it means the same.
    pub(super) fn probe_statement(&mut self, statement: &Statement) -> Result<bool, ShaderError> {
        match *statement {
            Statement::ControlBarrier(_) | Statement::MemoryBarrier(_) => {}
            // A probe has no effect, and no address hangs on a texture that is written.
            Statement::ImageStore { .. } | Statement::ImageAtomic { .. } => {}
            Statement::Store { pointer, .. } => {
                if let Some(place) = self.place(pointer) {
                    let start = self.start(&place)?;
                    self.touch_place(&place, &start, true)?;
                } else if !self.is_shared(pointer) {
                    return Ok(false);
                }
            }
            Statement::Atomic {
                pointer, result, ..
            } => {
                if let Some(place) = self.place(pointer) {
                    let start = self.start(&place)?;
                    self.touch_place(&place, &start, false)?;
                    self.touch_place(&place, &start, true)?;
                }
                if let Some(result) = result {
                    self.define_zero(result)?;
                }
            }
            Statement::WorkGroupUniformLoad { result, .. }
            | Statement::SubgroupBallot { result, .. }
            | Statement::SubgroupGather { result, .. }
            | Statement::SubgroupCollectiveOperation { result, .. } => self.define_zero(result)?,
            Statement::Call { function, .. } => {
                self.call(statement)?;
                if self
                    .probe
                    .as_ref()
                    .is_some_and(|p| p.stops.contains(&function))
                {
                    self.check_stopped();
                }
            }
            Statement::If { .. } | Statement::Switch { .. } | Statement::Block(_)
                if self.in_continuing() =>
            {
                let before = self.opened();
                self.structured(statement)?;
                if self.opened() > before {
                    self.skip_rest();
                }
            }
            Statement::Loop {
                ref body,
                ref continuing,
                break_if,
            } => self.probe_loop(body, continuing, break_if)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn probe_loop(
        &mut self,
        body: &Block,
        continuing: &Block,
        break_if: Option<Handle<Expression>>,
    ) -> Result<(), ShaderError> {
        let inside = self.in_continuing();
        let before = self.opened();
        let body = self.nested(body)?;
        self.set_in_continuing(true);
        let opened = self.opened();
        let skips = self.skips();
        self.b.begin();
        self.block_open(continuing)?;
        let mut break_if = break_if.map(|h| self.value(h)).transpose()?;
        if self.opened() > opened {
            let leave = self.b.local("gmem_leave", self.physical.boolean);
            let going = match break_if {
                Some(value) => value,
                None => self.b.boolean(false),
            };
            self.b.store(leave, going);
            self.end_skips(skips);
            let flag = self.b.global(self.physical.flag);
            let stopped = self.b.load(flag);
            let left = self.b.load(leave);
            break_if = Some(self.b.binary(BinaryOperator::LogicalOr, stopped, left));
        }
        let continuing = self.b.end();
        self.set_in_continuing(inside);
        self.b.statement(Statement::Loop {
            body,
            continuing,
            break_if,
        });
        if self.opened() > before {
            if inside {
                return Err(
                    self.unsupported("a probe of a loop inside `continuing` that loads addresses")
                );
            }
            self.check_stopped();
        }
        Ok(())
    }

    fn set_in_continuing(&mut self, inside: bool) {
        if let Some(probe) = &mut self.probe {
            probe.in_continuing = inside;
        }
    }
}
