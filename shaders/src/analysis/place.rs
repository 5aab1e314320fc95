//! Pointer expressions: which variable they start from, and the steps into it.

use naga::{AddressSpace, Expression, GlobalVariable, Handle, LocalVariable};

use super::functions::Body;

/// The variable that a pointer expression points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    Global(Handle<GlobalVariable>),
    Local(Handle<LocalVariable>),
    /// A pointer argument of the function.
    Argument(u32),
}

/// One step from a composite to a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Fixed(u32),
    Dynamic(Handle<Expression>),
}

/// The root of a pointer expression, or `None` when the expression is no pointer.
pub(super) fn root(body: &Body<'_>, mut pointer: Handle<Expression>) -> Option<Root> {
    loop {
        pointer = match body.function.expressions[pointer] {
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => base,
            Expression::GlobalVariable(handle) => return Some(Root::Global(handle)),
            Expression::LocalVariable(handle) => return Some(Root::Local(handle)),
            Expression::FunctionArgument(index) => return Some(Root::Argument(index)),
            _ => return None,
        };
    }
}

/// The global variable in storage that a pointer points into, if it does.
pub(super) fn storage_root(
    body: &Body<'_>,
    pointer: Handle<Expression>,
) -> Option<Handle<GlobalVariable>> {
    match root(body, pointer) {
        Some(Root::Global(handle)) if space_of(body, handle).is_storage() => Some(handle),
        _ => None,
    }
}

/// The steps from a pointer's root to what it points to, outermost first.
pub(super) fn steps(body: &Body<'_>, mut pointer: Handle<Expression>) -> Vec<Step> {
    let mut steps = Vec::new();
    loop {
        pointer = match body.function.expressions[pointer] {
            Expression::Access { base, index } => {
                steps.push(Step::Dynamic(index));
                base
            }
            Expression::AccessIndex { base, index } => {
                steps.push(Step::Fixed(index));
                base
            }
            _ => break,
        };
    }
    steps.reverse();
    steps
}

/// The address spaces that the analysis tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Storage,
    Workgroup,
    Private,
    /// Read-only values: uniforms and immediates.
    Value,
    Other,
}

impl Space {
    pub(super) fn is_storage(self) -> bool {
        self == Space::Storage
    }
}

pub(super) fn space_of(body: &Body<'_>, global: Handle<GlobalVariable>) -> Space {
    match body.module.global_variables[global].space {
        AddressSpace::Storage { .. } => Space::Storage,
        AddressSpace::WorkGroup => Space::Workgroup,
        AddressSpace::Private => Space::Private,
        AddressSpace::Uniform | AddressSpace::Immediate => Space::Value,
        _ => Space::Other,
    }
}
