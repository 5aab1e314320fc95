//! Why a kernel may not be probed: what flows into the slice.

use naga::{
    Binding, BuiltIn, Expression, GlobalVariable, Handle, ImageClass, MathFunction,
    RelationalFunction, ScalarKind, Span, Statement, StorageAccess, TypeInner,
};

use super::BindingUse;
use super::functions::{Body, FunctionRef, Functions, each_statement};
use super::place::{Root, Space, root, space_of};
use super::slice::{DECIDES, NONE, Slice};
use crate::error::Lines;

/// A source of values in the slice.
#[derive(Clone, Debug)]
struct Reason {
    what: String,
    span: Span,
    line: Option<u32>,
}

impl Reason {
    fn new(what: String, span: Span) -> Self {
        Reason {
            what,
            span,
            line: None,
        }
    }

    fn text(&self) -> String {
        match self.line {
            Some(line) => format!("{} (line {line})", self.what),
            None => self.what.clone(),
        }
    }
}

/// The sources of the slice that matter to a probe.
#[derive(Clone, Debug)]
pub(super) struct Reasons {
    names: Vec<String>,
    feeds: Vec<bool>,
    /// Loads from storage in the slice.
    loads: Vec<(usize, Reason)>,
    /// What no probe can reproduce.
    refusals: Vec<Reason>,
}

impl Reasons {
    pub(super) fn collect(
        functions: &Functions<'_>,
        slice: &Slice,
        storage: &[Handle<GlobalVariable>],
    ) -> Self {
        let mut reasons = Reasons {
            names: storage
                .iter()
                .map(|&global| name_of(functions, global))
                .collect(),
            feeds: vec![false; storage.len()],
            loads: Vec::new(),
            refusals: Vec::new(),
        };
        for body in functions.bodies() {
            for (handle, expression) in body.function.expressions.iter() {
                let mark = slice.mark(body.at, handle);
                if mark == NONE {
                    continue;
                }
                let span = body.function.expressions.get_span(handle);
                match *expression {
                    Expression::Load { pointer } => {
                        reasons.load(functions, &body, pointer, span, storage);
                    }
                    _ => {
                        if let Some(what) = refusal(functions, &body, handle, mark == DECIDES) {
                            reasons.refusals.push(Reason::new(what, span));
                        }
                    }
                }
            }
        }
        reasons
    }

    fn load(
        &mut self,
        functions: &Functions<'_>,
        body: &Body<'_>,
        pointer: Handle<Expression>,
        span: Span,
        storage: &[Handle<GlobalVariable>],
    ) {
        let Some(Root::Global(global)) = root(body, pointer) else {
            return;
        };
        match space_of(body, global) {
            Space::Storage => {
                if let Some(binding) = storage.iter().position(|&other| other == global) {
                    self.feeds[binding] = true;
                    let what = format!("a value of `{}`", self.names[binding]);
                    self.loads.push((binding, Reason::new(what, span)));
                }
            }
            Space::Workgroup => {
                let what = format!(
                    "a value of the workgroup variable `{}`",
                    name_of(functions, global)
                );
                self.refusals.push(Reason::new(what, span));
            }
            Space::Private | Space::Value => {}
            Space::Other => self
                .refusals
                .push(Reason::new("a value out of a resource".to_owned(), span)),
        }
    }

    pub(super) fn feeds(&self) -> &[bool] {
        &self.feeds
    }

    /// Finds out the lines of all spans.
    pub(super) fn resolve_lines(&mut self, source: &str) {
        let loads = self.loads.iter_mut().map(|(_, reason)| reason);
        let lines = Lines::new(source);
        for reason in loads.chain(&mut self.refusals) {
            reason.line = lines.line(reason.span);
        }
    }

    pub(super) fn probeable(&self, uses: &[BindingUse], alias: &[usize]) -> Result<(), String> {
        if let Some(reason) = self.refusals.first() {
            return Err(format!(
                "addresses or control flow depend on {}, which a probe cannot reproduce",
                reason.text()
            ));
        }
        let representative = |binding: usize| alias.get(binding).copied().unwrap_or(binding);
        for (binding, reason) in &self.loads {
            let set = representative(*binding);
            let writer = (0..uses.len())
                .filter(|&other| uses[other].writes && representative(other) == set)
                .min_by_key(|other| other != binding);
            match writer {
                Some(writer) if writer == *binding => {
                    return Err(format!(
                        "addresses or control flow depend on {}, which the kernel itself writes",
                        reason.text()
                    ));
                }
                Some(writer) => {
                    return Err(format!(
                        "addresses or control flow depend on {}, which overlaps `{}` in memory, and the kernel writes that",
                        reason.text(),
                        self.names[writer]
                    ));
                }
                None => {}
            }
        }
        Ok(())
    }
}

fn name_of(functions: &Functions<'_>, global: Handle<GlobalVariable>) -> String {
    functions.module.global_variables[global]
        .name
        .clone()
        .unwrap_or_else(|| "(unnamed)".to_owned())
}

/// What makes the value of an expression impossible to know ahead, if something does.
fn refusal(
    functions: &Functions<'_>,
    body: &Body<'_>,
    handle: Handle<Expression>,
    decides: bool,
) -> Option<String> {
    let expressions = &body.function.expressions;
    match expressions[handle] {
        Expression::AtomicResult { .. } => Some(format!(
            "the result of an atomic operation on `{}`",
            atomic_target(functions, body, handle)
        )),
        Expression::WorkGroupUniformLoadResult { .. } => {
            Some("a value that workgroupUniformLoad returns".to_owned())
        }
        Expression::SubgroupBallotResult | Expression::SubgroupOperationResult { .. } => {
            Some("the result of a subgroup operation".to_owned())
        }
        Expression::FunctionArgument(index) if body.at == FunctionRef::Entry => {
            let argument = &body.function.arguments[index as usize];
            match argument.binding {
                Some(ref binding) => subgroup_input(binding),
                None => members_of(body, argument.ty)
                    .iter()
                    .find_map(|member| member.binding.as_ref().and_then(subgroup_input)),
            }
        }
        Expression::AccessIndex { base, index } if body.at == FunctionRef::Entry => {
            let Expression::FunctionArgument(argument) = expressions[base] else {
                return None;
            };
            let argument = &body.function.arguments[argument as usize];
            match argument.binding {
                Some(ref binding) => subgroup_input(binding),
                None => members_of(body, argument.ty)
                    .get(index as usize)
                    .and_then(|member| member.binding.as_ref().and_then(subgroup_input)),
            }
        }
        Expression::ImageSample { .. } => Some("a sample of a texture".to_owned()),
        // What nobody stores to is the same before the kernel and in it.
        Expression::ImageLoad { image, .. } if stored_to(body, image) => {
            Some("a texel of a texture that the kernel may store to".to_owned())
        }
        Expression::RayQueryProceedResult
        | Expression::RayQueryGetIntersection { .. }
        | Expression::RayQueryVertexPositions { .. } => Some("a ray query".to_owned()),
        Expression::CooperativeLoad { .. } | Expression::CooperativeMultiplyAdd { .. } => {
            Some("a cooperative matrix".to_owned())
        }
        Expression::Derivative { .. } => Some("a derivative".to_owned()),
        _ if decides && float_arithmetic(body, handle) => Some(
            "floating-point arithmetic, which two compilations may round differently".to_owned(),
        ),
        _ => None,
    }
}

/// Whether a texture is declared as one that the kernel stores to.
fn stored_to(body: &Body<'_>, image: Handle<Expression>) -> bool {
    match *body.ty(image) {
        TypeInner::Image {
            class: ImageClass::Storage { access, .. },
            ..
        } => access != StorageAccess::LOAD,
        _ => false,
    }
}

fn members_of<'a>(body: &Body<'a>, ty: Handle<naga::Type>) -> &'a [naga::StructMember] {
    match body.module.types[ty].inner {
        TypeInner::Struct { ref members, .. } => members,
        _ => &[],
    }
}

fn subgroup_input(binding: &Binding) -> Option<String> {
    let name = match *binding {
        Binding::BuiltIn(BuiltIn::NumSubgroups) => "num_subgroups",
        Binding::BuiltIn(BuiltIn::SubgroupId) => "subgroup_id",
        Binding::BuiltIn(BuiltIn::SubgroupSize) => "subgroup_size",
        Binding::BuiltIn(BuiltIn::SubgroupInvocationId) => "subgroup_invocation_id",
        _ => return None,
    };
    Some(format!("the built-in `{name}`"))
}

/// The variable that the atomic operation with this result works on.
fn atomic_target(functions: &Functions<'_>, body: &Body<'_>, wanted: Handle<Expression>) -> String {
    let mut name = "(unnamed)".to_owned();
    each_statement(&body.function.body, &mut |statement, _| {
        if let Statement::Atomic {
            pointer,
            result: Some(result),
            ..
        } = *statement
            && result == wanted
            && let Some(Root::Global(global)) = root(body, pointer)
        {
            name = name_of(functions, global);
        }
    });
    name
}

/// Whether an expression computes with floats in a way that may be rounded: loading, comparing, choosing,
/// negating, rounding to integers and converting are exact.
fn float_arithmetic(body: &Body<'_>, handle: Handle<Expression>) -> bool {
    let is_float = |handle| body.ty(handle).scalar_kind() == Some(ScalarKind::Float);
    match body.function.expressions[handle] {
        Expression::Binary { .. } => is_float(handle),
        Expression::Relational { fun, .. } => {
            matches!(fun, RelationalFunction::IsNan | RelationalFunction::IsInf)
        }
        Expression::Math { fun, arg, .. } => {
            use MathFunction as F;
            let exact = matches!(
                fun,
                F::Abs
                    | F::Min
                    | F::Max
                    | F::Clamp
                    | F::Saturate
                    | F::Sign
                    | F::Ceil
                    | F::Floor
                    | F::Round
                    | F::Trunc
                    | F::Transpose
                    | F::Unpack2x16float
            );
            // Frexp and modf have structures for results: their argument tells.
            !exact && (is_float(handle) || is_float(arg))
        }
        _ => false,
    }
}
