//! What the interpreter keeps per run, per path and per function call.

use std::collections::HashMap;
use std::rc::Rc;

use naga::{Binding, BuiltIn, Expression, GlobalVariable, Handle, TypeInner};

use super::WorkgroupBox;
use super::canon::Statics;
use super::functions::Body;
use super::interval::{Int, Interval};
use super::value::{self, Value};

/// What is known of a launch before it runs.
pub(super) struct Launch<'a> {
    pub(super) workgroups: WorkgroupBox,
    pub(super) grid: [u32; 3],
    pub(super) lens: &'a [u64],
    pub(super) values: &'a [&'a [u8]],
    pub(super) storage: &'a [Handle<GlobalVariable>],
    pub(super) uniforms: &'a [Handle<GlobalVariable>],
}

/// The variables on one path: private ones first, then the locals of every active call. Paths share what they have in
/// common until one of them changes it.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    variables: Rc<Vec<Value>>,
    versions: Rc<Vec<u32>>,
}

impl State {
    pub(super) fn len(&self) -> usize {
        self.variables.len()
    }

    pub(super) fn variables(&self) -> &[Value] {
        &self.variables
    }

    /// Changes with every store to the variable, so that a load can tell whether it is still current.
    pub(super) fn version(&self, variable: usize) -> Option<u32> {
        self.versions.get(variable).copied()
    }

    pub(super) fn push(&mut self, value: Value, version: u32) {
        Rc::make_mut(&mut self.variables).push(value);
        Rc::make_mut(&mut self.versions).push(version);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        Rc::make_mut(&mut self.variables).truncate(len);
        Rc::make_mut(&mut self.versions).truncate(len);
    }

    /// What is known of a variable becomes `value`; what it holds stays.
    pub(super) fn know(&mut self, variable: usize, value: Value) {
        Rc::make_mut(&mut self.variables)[variable] = value;
    }

    pub(super) fn set_version(&mut self, variable: usize, version: u32) {
        Rc::make_mut(&mut self.versions)[variable] = version;
    }

    /// What may be on either path; a variable that differs gets a `fresh` version.
    pub(super) fn join(&mut self, other: &State, fresh: &mut dyn FnMut() -> u32) {
        if !Rc::ptr_eq(&self.variables, &other.variables) {
            for (variable, value) in other.variables.iter().enumerate().take(self.len()) {
                if self.variables[variable] != *value {
                    self.know(variable, self.variables[variable].join(value));
                }
            }
        }
        if !Rc::ptr_eq(&self.versions, &other.versions) {
            for (variable, &version) in other.versions.iter().enumerate().take(self.len()) {
                if self.versions[variable] != version {
                    self.set_version(variable, fresh());
                }
            }
        }
    }

    /// Whether every variable is within what `other` knows of it.
    pub(super) fn within(&self, other: &State) -> bool {
        Rc::ptr_eq(&self.variables, &other.variables)
            || (self.variables.iter().zip(other.variables.iter())).all(|(a, b)| a.within(b))
    }
}

/// A variable, or a part of one.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) variable: usize,
    pub(super) path: Vec<PathStep>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathStep {
    Fixed(u32),
    Between(i128, i128),
}

/// Where a loaded value came from.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) variable: usize,
    pub(super) path: Vec<PathStep>,
    pub(super) version: u32,
}

/// What was stored to a variable last.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// The value of an expression.
    Expression(Handle<Expression>),
    /// `if condition { value } else { otherwise }`, the form of `&&` and `||`.
    Branch {
        condition: Handle<Expression>,
        value: Handle<Expression>,
        otherwise: bool,
    },
}

/// One active call.
pub(super) struct Frame<'a> {
    pub(super) body: Body<'a>,
    pub(super) statics: &'a Statics,
    /// Index of its first local among the variables.
    pub(super) base: usize,
    /// Values of expressions, by canonical slot.
    pub(super) slots: Vec<Option<Value>>,
    /// Former contents of slots, to go back to when a path ends.
    pub(super) trail: Vec<(u32, Option<Value>)>,
    pub(super) loads: Vec<Option<Loaded>>,
    pub(super) origins: HashMap<u32, Origin>,
    pub(super) arguments: Vec<Value>,
    pub(super) pointers: Vec<Option<Place>>,
    pub(super) returned: Option<State>,
    pub(super) result: Option<Value>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(
        body: Body<'a>,
        statics: &'a Statics,
        base: usize,
        arguments: Vec<Value>,
        pointers: Vec<Option<Place>>,
    ) -> Self {
        let count = body.function.expressions.len();
        Frame {
            body,
            statics,
            base,
            slots: vec![None; count],
            trail: Vec::new(),
            loads: vec![None; count],
            origins: HashMap::new(),
            arguments,
            pointers,
            returned: None,
            result: None,
        }
    }

    pub(super) fn slot(&self, expression: Handle<Expression>) -> u32 {
        self.statics.canon[expression.index()]
    }

    pub(super) fn set(&mut self, slot: u32, value: Value) {
        let former = self.slots[slot as usize].replace(value);
        self.trail.push((slot, former));
    }

    /// Puts slots back to what they were when the trail was `mark` long.
    pub(super) fn undo(&mut self, mark: usize) {
        while self.trail.len() > mark {
            if let Some((slot, former)) = self.trail.pop() {
                self.slots[slot as usize] = former;
            }
        }
    }

    /// The present contents of the slots that changed since the trail was `mark` long.
    pub(super) fn changes(&self, mark: usize) -> Vec<(u32, Option<Value>)> {
        self.trail[mark..]
            .iter()
            .map(|&(slot, _)| (slot, self.slots[slot as usize].clone()))
            .collect()
    }
}

/// The values that the entry point's arguments take in a box of workgroups.
pub(super) fn entry_arguments(body: &Body<'_>, size: [u32; 3], launch: &Launch<'_>) -> Vec<Value> {
    let module = body.module;
    let arguments = body.function.arguments.iter();
    arguments
        .map(|argument| {
            let inner = &module.types[argument.ty].inner;
            match (&argument.binding, inner) {
                (Some(binding), _) => {
                    input(binding, size, launch).unwrap_or_else(|| value::top(module, inner))
                }
                (None, TypeInner::Struct { members, .. }) => {
                    Value::parts(members.iter().map(|member| {
                        let inner = &module.types[member.ty].inner;
                        let known = member
                            .binding
                            .as_ref()
                            .and_then(|binding| input(binding, size, launch));
                        known.unwrap_or_else(|| value::top(module, inner))
                    }))
                }
                _ => value::top(module, inner),
            }
        })
        .collect()
}

fn input(binding: &Binding, size: [u32; 3], launch: &Launch<'_>) -> Option<Value> {
    let Binding::BuiltIn(builtin) = *binding else {
        return None;
    };
    let (start, count) = launch.workgroups;
    let range = |lo: i128, hi: i128| Value::Int(Interval::new(Int::U32, lo, hi).wrapped());
    let each = |bounds: &dyn Fn(usize) -> (i128, i128)| {
        Value::parts((0..3).map(|axis| {
            let (lo, hi) = bounds(axis);
            range(lo, hi)
        }))
    };
    let wide = |triple: [u32; 3], axis: usize| i128::from(triple[axis]);
    Some(match builtin {
        BuiltIn::GlobalInvocationId => each(&|axis| {
            let first = wide(start, axis) * wide(size, axis);
            (first, first + wide(count, axis) * wide(size, axis) - 1)
        }),
        BuiltIn::WorkGroupId => each(&|axis| {
            let first = wide(start, axis);
            (first, first + wide(count, axis) - 1)
        }),
        BuiltIn::LocalInvocationId => each(&|axis| (0, wide(size, axis) - 1)),
        BuiltIn::NumWorkGroups => each(&|axis| (wide(launch.grid, axis), wide(launch.grid, axis))),
        BuiltIn::WorkGroupSize => each(&|axis| (wide(size, axis), wide(size, axis))),
        BuiltIn::LocalInvocationIndex => {
            let product: i128 = size.iter().map(|&extent| i128::from(extent)).product();
            range(0, product - 1)
        }
        _ => return None,
    })
}
