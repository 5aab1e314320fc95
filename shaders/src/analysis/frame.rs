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

/// The variables on one path: private ones first, then the locals of every active call.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) variables: Vec<Value>,
    /// Changes with every store, so that a load can tell whether it is still current.
    pub(super) versions: Vec<u32>,
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
    pub(super) path: Rc<[PathStep]>,
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
