//! Statements: branches, loops, calls and stores.

use naga::{Block, Expression, Handle, Literal, LocalVariable, Statement, SwitchCase, SwitchValue};

use super::frame::{Frame, Origin, State};
use super::functions::FunctionRef;
use super::interp::Interp;
use super::interval::{Int, Interval};
use super::place::{Root, Space, root, space_of};
use super::value::{self, Value};

/// Rounds after which a loop's unsettled variables are given up at once.
const ROUNDS: u32 = 12;

/// Rounds for which variables that are not stepped may grow bit by bit.
const PATIENCE: u32 = 3;

impl<'a> Interp<'a> {
    pub(super) fn block(&mut self, block: &'a Block) {
        for statement in block.iter() {
            if !self.live || !self.step() {
                return;
            }
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &'a Statement) {
        match *statement {
            Statement::Emit(ref range) => {
                for expression in range.clone() {
                    self.emit(expression);
                }
            }
            Statement::Block(ref block) => self.block(block),
            Statement::If {
                condition,
                ref accept,
                ref reject,
            } => self.branch(condition, accept, reject),
            Statement::Switch {
                selector,
                ref cases,
            } => self.switch(selector, cases),
            Statement::Loop {
                ref body,
                ref continuing,
                break_if,
            } => self.repeat(body, continuing, break_if),
            Statement::Break => {
                if let Some(arrived) = self.breaks.pop() {
                    let arrived = self.arrive(arrived);
                    self.breaks.push(arrived);
                }
                self.live = false;
            }
            Statement::Continue => {
                if let Some(arrived) = self.continues.pop() {
                    let arrived = self.arrive(arrived);
                    self.continues.push(arrived);
                }
                self.live = false;
            }
            Statement::Return { value } => {
                if let Some(value) = value {
                    let value = self.value(value);
                    self.frame.result = Some(match self.frame.result.take() {
                        Some(other) => other.join(&value),
                        None => value,
                    });
                }
                let returned = self.frame.returned.take();
                self.frame.returned = self.arrive(returned);
                self.live = false;
            }
            Statement::Kill => self.live = false,
            Statement::Store { pointer, value } => self.store(pointer, value),
            Statement::Atomic {
                pointer, result, ..
            } => {
                if let Some(Root::Global(global)) = root(&self.frame.body, pointer)
                    && space_of(&self.frame.body, global) == Space::Storage
                {
                    self.touch(pointer, true, true);
                }
                if let Some(result) = result {
                    self.anything(result);
                }
            }
            Statement::Call {
                function,
                ref arguments,
                result,
            } => self.call(FunctionRef::Function(function), arguments, result),
            Statement::WorkGroupUniformLoad { result, .. }
            | Statement::SubgroupBallot { result, .. }
            | Statement::SubgroupGather { result, .. }
            | Statement::SubgroupCollectiveOperation { result, .. } => self.anything(result),
            // Nothing that is followed changes.
            Statement::ControlBarrier(_)
            | Statement::MemoryBarrier(_)
            | Statement::ImageStore { .. }
            | Statement::ImageAtomic { .. }
            | Statement::RayQuery { .. }
            | Statement::RayPipelineFunction(_)
            | Statement::CooperativeStore { .. } => {}
        }
    }

    fn anything(&mut self, result: Handle<Expression>) {
        let value = value::top(self.functions.module, self.frame.body.ty(result));
        let slot = self.frame.slot(result);
        self.frame.set(slot, value);
    }

    fn store(&mut self, pointer: Handle<Expression>, stored: Handle<Expression>) {
        if let Some(Root::Global(global)) = root(&self.frame.body, pointer) {
            match space_of(&self.frame.body, global) {
                Space::Storage => return self.touch(pointer, false, true),
                Space::Private => {}
                _ => return,
            }
        }
        let value = self.value(stored);
        let Some(place) = self.place(pointer) else {
            return;
        };
        // Only what this call stores to its own locals can be traced back to its expressions.
        let own = place.variable >= self.frame.base;
        self.write(&place, value, own.then_some(Origin::Expression(stored)));
    }

    fn branch(&mut self, condition: Handle<Expression>, accept: &'a Block, reject: &'a Block) {
        let truth = self.value(condition).int(Int::Bool);
        if let Some(truth) = truth.single() {
            return self.block(if truth == 1 { accept } else { reject });
        }
        let mark = self.frame.trail.len();
        let before = self.state.clone();
        if self.assume(condition, true) {
            self.block(accept);
        } else {
            self.live = false;
        }
        let accepted = self
            .live
            .then(|| (self.state.clone(), self.frame.changes(mark)));
        self.frame.undo(mark);
        self.state = before;
        self.live = self.step();
        if self.live && self.assume(condition, false) {
            self.block(reject);
        } else {
            self.live = false;
        }
        match (accepted, self.live) {
            (Some((accepted, _)), true) => {
                let rejected = self.state.clone();
                self.state = self.joined(accepted, &rejected);
                self.frame.undo(mark);
                self.note_short_circuit(condition, accept, reject);
            }
            (Some((accepted, changes)), false) => {
                // Only one side goes on: what it learnt stays true.
                self.frame.undo(mark);
                self.state = accepted;
                self.live = true;
                for (slot, value) in changes {
                    if let Some(value) = value {
                        self.frame.set(slot, value);
                    }
                }
            }
            (None, _) => {}
        }
    }

    /// Recognises what `a && b` and `a || b` are lowered to, so that a later test of the variable teaches about
    /// both operands.
    fn note_short_circuit(
        &mut self,
        condition: Handle<Expression>,
        accept: &'a Block,
        reject: &'a Block,
    ) {
        let Some((local, value)) = last_store(self.frame.body.function, accept) else {
            return;
        };
        let Some((other, otherwise)) = last_store(self.frame.body.function, reject) else {
            return;
        };
        let Expression::Literal(Literal::Bool(otherwise)) =
            self.frame.body.function.expressions[otherwise]
        else {
            return;
        };
        if local != other || reject.len() != 1 {
            return;
        }
        let Some(version) = self.state.version(self.frame.base + local.index()) else {
            return;
        };
        self.origins.insert(
            version,
            Origin::Branch {
                condition,
                value,
                otherwise,
            },
        );
    }

    fn switch(&mut self, selector: Handle<Expression>, cases: &'a [SwitchCase]) {
        let ty = Int::of_type(self.frame.body.ty(selector));
        let chosen = ty.map(|ty| self.value(selector).int(ty).normal());
        let mark = self.frame.trail.len();
        let before = self.state.clone();
        let can = |case: &SwitchCase| match (case.value, chosen) {
            (SwitchValue::I32(value), Some(chosen)) => {
                chosen.lo <= value.into() && chosen.hi >= value.into()
            }
            (SwitchValue::U32(value), Some(chosen)) => {
                chosen.lo <= value.into() && chosen.hi >= value.into()
            }
            _ => true,
        };
        let decided = chosen.is_some_and(|chosen| {
            chosen.single().is_some()
                && cases
                    .iter()
                    .any(|case| case.value != SwitchValue::Default && can(case))
        });
        self.breaks.push(None);
        let mut fallen: Option<State> = None;
        for case in cases {
            let entered = match case.value {
                SwitchValue::Default => !decided,
                _ => can(case),
            };
            self.state = before.clone();
            self.live = entered && self.step();
            if self.live
                && let (Some(ty), Some(value)) = (ty, case_value(case))
            {
                self.live = self.narrow(selector, Interval::exact(ty, value), 0);
            }
            if let Some(fallen) = fallen.take() {
                // Two ways in: what the selector taught holds for one of them only.
                self.frame.undo(mark);
                if self.live {
                    let state = self.state.clone();
                    self.state = self.joined(fallen, &state);
                } else {
                    self.state = fallen;
                    self.live = true;
                }
            }
            self.block(&case.body);
            self.frame.undo(mark);
            if self.live {
                if case.fall_through {
                    fallen = Some(self.state.clone());
                } else if let Some(arrived) = self.breaks.pop() {
                    let arrived = self.arrive(arrived);
                    self.breaks.push(arrived);
                }
            }
        }
        self.resume(fallen);
    }

    /// Goes on behind a loop or switch, with what has arrived there.
    fn resume(&mut self, also: Option<State>) {
        let arrived = self.breaks.pop().flatten();
        let both = match (arrived, also) {
            (Some(a), Some(b)) => Some(self.joined(a, &b)),
            (a, b) => a.or(b),
        };
        self.live = both.is_some() && self.step();
        if let Some(state) = both {
            self.state = state;
        }
    }

    fn repeat(
        &mut self,
        body: &'a Block,
        continuing: &'a Block,
        break_if: Option<Handle<Expression>>,
    ) {
        let entry = self.state.clone();
        let record = std::mem::replace(&mut self.record, false);
        let mut head = entry.clone();
        let mut round = 0;
        let settled = loop {
            let next = self.once(&entry, &head, body, continuing, break_if).0;
            if next.within(&head) || !self.step() {
                break next;
            }
            self.widen(&mut head, &next, round);
            round += 1;
        };
        self.record = record;
        // One narrowing round: `settled` came out of a head that contains it. Should interpreting it not confirm it,
        // the head that did settle stands.
        let (next, mut exits) = self.once(&entry, &settled, body, continuing, break_if);
        if !next.within(&settled) {
            exits = self.once(&entry, &head, body, continuing, break_if).1;
        }
        self.breaks.push(exits);
        self.resume(None);
    }

    /// One pass over a loop from `head`. Returns what the head must contain for it, and what leaves the loop.
    fn once(
        &mut self,
        entry: &State,
        head: &State,
        body: &'a Block,
        continuing: &'a Block,
        break_if: Option<Handle<Expression>>,
    ) -> (State, Option<State>) {
        let mark = self.frame.trail.len();
        self.state = head.clone();
        // A head stands for many iterations: no load before it is known to be current.
        for variable in 0..self.state.len() {
            let version = self.fresh();
            self.state.set_version(variable, version);
        }
        self.live = self.step();
        self.breaks.push(None);
        self.continues.push(None);
        self.block(body);
        if let Some(Some(arrived)) = self.continues.pop() {
            // The paths that continue did not all see what the body evaluated.
            self.frame.undo(mark);
            self.state = match self.live {
                true => {
                    let state = self.state.clone();
                    self.joined(arrived, &state)
                }
                false => arrived,
            };
            self.live = self.step();
        }
        if self.live {
            self.block(continuing);
        }
        if self.live
            && let Some(condition) = break_if
        {
            let mark = self.frame.trail.len();
            let state = self.state.clone();
            if self.assume(condition, true)
                && let Some(arrived) = self.breaks.pop()
            {
                let arrived = self.arrive(arrived);
                self.breaks.push(arrived);
            }
            self.frame.undo(mark);
            self.state = state;
            self.live = self.assume(condition, false);
        }
        self.frame.undo(mark);
        let next = if self.live {
            let back = self.state.clone();
            self.joined(entry.clone(), &back)
        } else {
            entry.clone()
        };
        (next, self.breaks.pop().flatten())
    }

    /// Grows a loop's head towards one that contains all iterations.
    fn widen(&self, head: &mut State, next: &State, round: u32) {
        let stops = &self.stops;
        for (index, new) in next.variables().iter().enumerate().take(head.len()) {
            let old = &head.variables()[index];
            if new.within(old) {
                continue;
            }
            let stepped = index
                .checked_sub(self.frame.base)
                .and_then(|local| self.frame.statics.stepped.get(local))
                .is_some_and(|&stepped| stepped);
            let wider = if round > ROUNDS {
                Value::Any
            } else if round < PATIENCE && !stepped {
                // Flags, toggles and small tables settle by themselves.
                old.join(new)
            } else {
                old.widen(new, stops)
            };
            head.know(index, wider);
        }
    }

    fn call(
        &mut self,
        callee: FunctionRef,
        arguments: &[Handle<Expression>],
        result: Option<Handle<Expression>>,
    ) {
        let body = self.functions.body(callee);
        let Some(statics) = self.statics[callee.slot()].as_ref() else {
            // A call always leads to a function that was found to be reachable.
            self.give_up();
            return;
        };
        let mut values = Vec::with_capacity(arguments.len());
        let mut pointers = Vec::with_capacity(arguments.len());
        for &argument in arguments {
            if self.frame.statics.pointer[argument.index()] {
                pointers.push(self.place(argument));
                values.push(Value::Any);
            } else {
                pointers.push(None);
                values.push(self.value(argument));
            }
        }
        let base = self.state.len();
        let frame = Frame::new(body, statics, base, values, pointers);
        let caller = std::mem::replace(&mut self.frame, frame);
        self.start_locals();
        self.block(&body.function.body);
        if self.live {
            let returned = self.frame.returned.take();
            self.frame.returned = self.arrive(returned);
        }
        let callee = std::mem::replace(&mut self.frame, caller);
        self.live = callee.returned.is_some() && self.step();
        if let Some(mut state) = callee.returned {
            state.truncate(base);
            self.state = state;
        }
        if let Some(result) = result {
            let slot = self.frame.slot(result);
            self.frame.set(slot, callee.result.unwrap_or(Value::Any));
        }
    }
}

fn case_value(case: &SwitchCase) -> Option<i128> {
    match case.value {
        SwitchValue::I32(value) => Some(value.into()),
        SwitchValue::U32(value) => Some(value.into()),
        SwitchValue::Default => None,
    }
}

/// The store to a whole local variable that a block ends with.
fn last_store(
    function: &naga::Function,
    block: &Block,
) -> Option<(Handle<LocalVariable>, Handle<Expression>)> {
    let Some(&Statement::Store { pointer, value }) = block.last() else {
        return None;
    };
    match function.expressions[pointer] {
        Expression::LocalVariable(local) => Some((local, value)),
        _ => None,
    }
}
