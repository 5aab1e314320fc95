//! The abstract interpreter: its state, its slots, and how a run begins and ends.
//!
//! A kernel is run once for a whole box of workgroups, every value an interval that contains what any of the invocations
//! has there. Both sides of a branch are run, each with what the condition teaches; loops run until
//! their variables settle. A run is bounded in steps.

use std::collections::HashMap;
use std::rc::Rc;

use naga::{Expression, Handle};

use super::address::Range;
use super::canon::Statics;
use super::frame::{Frame, Launch, Loaded, Origin, PathStep, Place, State, entry_arguments};
use super::functions::{FunctionRef, Functions};
use super::place::{Root, Space, Step, root, space_of, steps};
use super::ranges::Touched;
use super::value::{self, Value};
use super::{BindingFootprint, BindingUse, Footprint};

/// How many expressions and statements a run may take.
const STEPS: u32 = 400_000;

/// How many values are remembered as possible ends of loops.
const MOST_STOPS: usize = 24;

pub(super) struct Interp<'a> {
    pub(super) functions: &'a Functions<'a>,
    pub(super) statics: &'a [Option<Statics>],
    pub(super) launch: &'a Launch<'a>,
    pub(super) frame: Frame<'a>,
    pub(super) state: State,
    /// Whether the present path can be taken at all.
    pub(super) live: bool,
    /// What has arrived at the ends of the enclosing loops and switches.
    pub(super) breaks: Vec<Option<State>>,
    /// What has arrived at the `continuing` of the enclosing loops.
    pub(super) continues: Vec<Option<State>>,
    /// Off while a loop's variables are still settling.
    pub(super) record: bool,
    pub(super) origins: HashMap<u32, Origin>,
    /// Values that something was tested to be equal to: where loops that count with `!=` may stop. Sorted.
    pub(super) stops: Vec<i128>,
    /// Variable index of private globals.
    privates: Vec<Option<usize>>,
    touched: Vec<[Touched; 2]>,
    scattered: Vec<bool>,
    steps: u32,
    next_version: u32,
}

/// Interprets the entry point and says what each binding sees of it.
pub(super) fn run(
    functions: &Functions<'_>,
    statics: &[Option<Statics>],
    uses: &[BindingUse],
    launch: &Launch<'_>,
) -> Vec<BindingFootprint> {
    let none = || Footprint::Ranges(Vec::new());
    let count = launch.storage.len();
    let empty = || BindingFootprint {
        reads: none(),
        writes: none(),
        scattered: false,
    };
    if launch.workgroups.1.contains(&0) {
        return (0..count).map(|_| empty()).collect();
    }
    let unknown = || {
        let direction = |used: bool| if used { Footprint::Unknown } else { none() };
        let all = uses.iter().map(|used| BindingFootprint {
            reads: direction(used.reads),
            writes: direction(used.writes),
            scattered: used.reads || used.writes,
        });
        all.collect::<Vec<_>>()
    };
    let body = functions.body(FunctionRef::Entry);
    let Some(entry_statics) = statics[FunctionRef::Entry.slot()].as_ref() else {
        return unknown();
    };
    let size = functions.module.entry_points[functions.entry_index].workgroup_size;
    let arguments = entry_arguments(&body, size, launch);
    let pointers = vec![None; arguments.len()];
    let mut interp = Interp {
        functions,
        statics,
        launch,
        frame: Frame::new(body, entry_statics, 0, arguments, pointers),
        state: State::default(),
        live: true,
        breaks: Vec::new(),
        continues: Vec::new(),
        record: true,
        origins: HashMap::new(),
        stops: Vec::new(),
        privates: vec![None; functions.module.global_variables.len()],
        touched: vec![Default::default(); count],
        scattered: vec![false; count],
        steps: STEPS,
        next_version: 0,
    };
    interp.start_privates();
    interp.start_locals();
    interp.block(&body.function.body);
    if interp.steps == 0 {
        return unknown();
    }
    let touched = interp.touched.into_iter().zip(interp.scattered);
    touched
        .map(|([reads, writes], scattered)| BindingFootprint {
            reads: reads.into_footprint(),
            writes: writes.into_footprint(),
            scattered,
        })
        .collect()
}

impl<'a> Interp<'a> {
    /// Counts one step; false when there are none left, and then nothing goes on.
    pub(super) fn step(&mut self) -> bool {
        self.steps = self.steps.saturating_sub(1);
        if self.steps == 0 {
            self.live = false;
        }
        self.steps > 0
    }

    /// Stops the run: its outcome is that nothing is known.
    pub(super) fn give_up(&mut self) {
        self.steps = 0;
        self.live = false;
    }

    pub(super) fn fresh(&mut self) -> u32 {
        self.next_version += 1;
        self.next_version
    }

    fn push_variable(&mut self, value: Value) {
        let version = self.fresh();
        self.state.push(value, version);
    }

    fn start_privates(&mut self) {
        let module = self.functions.module;
        for (handle, global) in module.global_variables.iter() {
            if space_of(&self.frame.body, handle) != Space::Private {
                continue;
            }
            let value = match global.init {
                Some(init) => self.constant(init),
                None => value::zero(module, &module.types[global.ty].inner),
            };
            self.privates[handle.index()] = Some(self.state.len());
            self.push_variable(value);
        }
        self.frame.base = self.state.len();
    }

    /// Gives the present function's locals their first values.
    pub(super) fn start_locals(&mut self) {
        let (module, function) = (self.functions.module, self.frame.body.function);
        for (_, local) in function.local_variables.iter() {
            let value = match local.init {
                Some(init) => self.value(init),
                None => value::zero(module, &module.types[local.ty].inner),
            };
            self.push_variable(value);
        }
    }

    /// The value of an expression of the present function.
    pub(super) fn value(&mut self, expression: Handle<Expression>) -> Value {
        let slot = self.frame.slot(expression) as usize;
        if let Some(ref value) = self.frame.slots[slot] {
            return value.clone();
        }
        let value = self.compute(expression);
        if matches!(
            self.frame.body.function.expressions[expression],
            Expression::Literal(_) | Expression::Constant(_) | Expression::ZeroValue(_)
        ) {
            // True on every path: no need to take it back.
            self.frame.slots[slot] = Some(value.clone());
        }
        value
    }

    /// The value of an operand, spelled out where its type holds integers.
    pub(super) fn operand(&mut self, expression: Handle<Expression>) -> Value {
        match self.value(expression) {
            Value::Any => value::top(self.functions.module, self.frame.body.ty(expression)),
            value => value,
        }
    }

    /// Evaluates an expression at its place in the program.
    pub(super) fn emit(&mut self, expression: Handle<Expression>) {
        let index = expression.index();
        let statics = self.frame.statics;
        if statics.pointer[index] || !self.step() {
            return;
        }
        if let Expression::Load { pointer } = self.frame.body.function.expressions[expression] {
            match root(&self.frame.body, pointer) {
                Some(Root::Global(global)) => match space_of(&self.frame.body, global) {
                    Space::Storage => self.touch(pointer, true, false),
                    Space::Private => return self.load(expression, pointer),
                    _ => {}
                },
                _ => return self.load(expression, pointer),
            }
        }
        if !statics.followed[index] {
            return;
        }
        let slot = self.frame.slot(expression);
        let mut value = self.compute(expression);
        if let Some(ref known) = self.frame.slots[slot as usize] {
            value = value.meet(known);
        }
        self.frame.set(slot, value);
    }

    /// Loads from a private or local variable.
    fn load(&mut self, expression: Handle<Expression>, pointer: Handle<Expression>) {
        let Some(place) = self.place(pointer) else {
            return;
        };
        let value = self.read(&place);
        let slot = self.frame.slot(expression);
        let Some(version) = self.state.version(place.variable) else {
            return;
        };
        match self.origins.get(&version) {
            Some(&origin) if place.path.is_empty() && place.variable >= self.frame.base => {
                self.frame.origins.insert(slot, origin);
            }
            _ => {
                self.frame.origins.remove(&slot);
            }
        }
        let fixed = place
            .path
            .iter()
            .all(|step| matches!(step, PathStep::Fixed(_)));
        self.frame.loads[slot as usize] = fixed.then_some(Loaded {
            variable: place.variable,
            path: place.path,
            version,
        });
        self.frame.set(slot, value);
    }

    /// The variable, or part of one, that a pointer to private or function memory points to.
    pub(super) fn place(&mut self, pointer: Handle<Expression>) -> Option<Place> {
        let body = self.frame.body;
        let mut place = match root(&body, pointer)? {
            Root::Local(local) => Place {
                variable: self.frame.base + local.index(),
                path: Vec::new(),
            },
            Root::Global(global) => Place {
                variable: self.privates[global.index()]?,
                path: Vec::new(),
            },
            Root::Argument(index) => self.frame.pointers.get(index as usize)?.clone()?,
        };
        for step in steps(&body, pointer) {
            place.path.push(match step {
                Step::Fixed(index) => PathStep::Fixed(index),
                Step::Dynamic(index) => {
                    let interval = self.index(index).normal();
                    match interval.single().map(u32::try_from) {
                        Some(Ok(index)) => PathStep::Fixed(index),
                        _ => PathStep::Between(interval.lo, interval.hi),
                    }
                }
            });
        }
        Some(place)
    }

    pub(super) fn read(&self, place: &Place) -> Value {
        let mut value = self.state.variables()[place.variable].clone();
        for step in &place.path {
            value = match *step {
                PathStep::Fixed(index) => value.parts_between(index.into(), index.into()),
                PathStep::Between(lo, hi) => value.parts_between(lo, hi),
            };
        }
        value
    }

    /// Stores to a private or function variable.
    pub(super) fn write(&mut self, place: &Place, value: Value, origin: Option<Origin>) {
        let version = self.fresh();
        let variable = &self.state.variables()[place.variable];
        let stored = replaced(variable, &place.path, value);
        self.state.know(place.variable, stored);
        self.state.set_version(place.variable, version);
        if let Some(origin) = origin
            && place.path.is_empty()
        {
            self.origins.insert(version, origin);
        }
    }

    /// Notes a value that loops may count up or down to.
    pub(super) fn note_stop(&mut self, value: i128) {
        for stop in [value - 1, value, value + 1] {
            if let Err(place) = self.stops.binary_search(&stop)
                && self.stops.len() < MOST_STOPS
            {
                self.stops.insert(place, stop);
            }
        }
    }

    /// Notes an access to storage.
    pub(super) fn touch(&mut self, pointer: Handle<Expression>, reads: bool, writes: bool) {
        if !self.record {
            return;
        }
        let Some((binding, range)) = self.address(pointer) else {
            return;
        };
        let [read, written] = &mut self.touched[binding];
        let directions = [(reads, read), (writes, written)];
        match range {
            Range::Nothing => {}
            Range::Unknown => {
                self.scattered[binding] = true;
                for (_, direction) in directions.into_iter().filter(|&(used, _)| used) {
                    direction.give_up();
                }
            }
            Range::Bytes { bytes, data } => {
                self.scattered[binding] |= data;
                for (_, direction) in directions.into_iter().filter(|&(used, _)| used) {
                    direction.add(bytes.clone());
                }
            }
        }
    }

    /// Both paths as one.
    pub(super) fn joined(&mut self, mut a: State, b: &State) -> State {
        a.join(b, &mut || self.fresh());
        a
    }

    /// Adds the present path to those that have arrived somewhere.
    pub(super) fn arrive(&mut self, arrived: Option<State>) -> Option<State> {
        match arrived {
            Some(other) => {
                let state = self.state.clone();
                Some(self.joined(other, &state))
            }
            None => Some(self.state.clone()),
        }
    }
}

/// `value` stored at a path inside `whole`.
fn replaced(whole: &Value, path: &[PathStep], value: Value) -> Value {
    let Some((&step, rest)) = path.split_first() else {
        return value;
    };
    match (step, whole) {
        (PathStep::Fixed(index), Value::Parts(parts)) if (index as usize) < parts.len() => {
            let inner = replaced(&parts[index as usize], rest, value);
            whole.with_part(index as usize, inner)
        }
        (_, Value::Parts(parts)) => {
            let (lo, hi) = match step {
                PathStep::Fixed(index) => (i128::from(index), i128::from(index)),
                PathStep::Between(lo, hi) => (lo, hi),
            };
            // An index outside may be clamped to any part.
            let outside = lo < 0 || hi >= parts.len() as i128;
            Value::parts(parts.iter().enumerate().map(|(index, part)| {
                if outside || (lo..=hi).contains(&(index as i128)) {
                    part.join(&replaced(part, rest, value.clone()))
                } else {
                    part.clone()
                }
            }))
        }
        (_, Value::Each(element)) => {
            let inner = replaced(element, rest, value);
            Value::Each(Rc::new(element.join(&inner)))
        }
        _ => Value::Any,
    }
}
