//! Every storage access of a kernel, and the access modes that follow from them.

use naga::{Expression, GlobalVariable, Handle, Span, Statement, TypeInner};

use super::BindingUse;
use super::functions::{Body, FunctionRef, Functions, each_statement};
use super::place::storage_root;

/// What a [`Site`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// A load (also `atomicLoad`).
    Load,
    /// A store (also `atomicStore`).
    Store,
    /// An atomic read-modify-write.
    Update,
}

/// One access to storage.
#[derive(Clone, Debug)]
pub struct Site {
    /// The function that it is in.
    pub function: FunctionRef,
    /// The pointer expression: a chain of accesses that starts at the binding's variable.
    pub pointer: Handle<Expression>,
    /// The storage binding's index.
    pub binding: usize,
    /// What is done.
    pub kind: AccessKind,
    /// Whether it goes through an atomic type.
    pub atomic: bool,
    /// How many bytes it covers.
    pub bytes: u32,
    /// Where it is in the source.
    pub span: Span,
}

/// The size in bytes of what a pointer expression points to.
pub(super) fn pointee_bytes(body: &Body<'_>, pointer: Handle<Expression>) -> u32 {
    match *body.ty(pointer) {
        TypeInner::Pointer { base, .. } => body.module.types[base]
            .inner
            .try_size(body.module.to_ctx())
            .unwrap_or(u32::MAX),
        TypeInner::ValuePointer { size, scalar, .. } => {
            size.map_or(1, u32::from) * u32::from(scalar.width)
        }
        _ => 0,
    }
}

/// The sites of all reachable functions, and per binding its true access modes.
pub(super) fn collect(
    functions: &Functions<'_>,
    storage: &[Handle<GlobalVariable>],
) -> (Vec<Site>, Vec<BindingUse>) {
    let mut sites = Vec::new();
    for body in functions.bodies() {
        let mut add = |pointer, kind, span| {
            let Some(global) = storage_root(&body, pointer) else {
                return;
            };
            let Some(binding) = storage.iter().position(|&other| other == global) else {
                return;
            };
            let atomic = kind == AccessKind::Update
                || body.ty(pointer).is_atomic_pointer(&body.module.types);
            sites.push(Site {
                function: body.at,
                pointer,
                binding,
                kind,
                atomic,
                bytes: pointee_bytes(&body, pointer),
                span,
            });
        };
        each_statement(
            &body.function.body,
            &mut |statement, span| match *statement {
                Statement::Emit(ref range) => {
                    for handle in range.clone() {
                        if let Expression::Load { pointer } = body.function.expressions[handle] {
                            let span = body.function.expressions.get_span(handle);
                            add(pointer, AccessKind::Load, span);
                        }
                    }
                }
                Statement::Store { pointer, .. } => add(pointer, AccessKind::Store, span),
                Statement::Atomic { pointer, .. } => add(pointer, AccessKind::Update, span),
                _ => {}
            },
        );
    }
    let mut uses = vec![BindingUse::default(); storage.len()];
    for site in &sites {
        let binding = &mut uses[site.binding];
        binding.reads |= site.kind != AccessKind::Store;
        binding.writes |= site.kind != AccessKind::Load;
        binding.atomics |= site.atomic;
    }
    (sites, uses)
}
