//! Rewrites one function: every statement in its place, every expression emitted where the user's was, storage
//! accesses lowered to translated ones.

use std::collections::HashMap;

use naga::{
    AtomicFunction, Block, Expression, Function, FunctionResult, Handle, LocalVariable, Span,
    Statement, SwitchCase,
};

use super::address::BindingParams;
use super::build::{Builder, Value};
use super::checked::Checked;
use super::expression::with_operands;
use super::layout::Shape;
use super::physical::{Physical, call};
use super::plan::{Plan, Source};
use super::probe::Probe;
use crate::{Entry, ShaderError, Variant};

/// The state of rewriting one function.
pub(super) struct Rewriter<'a> {
    pub(super) entry: &'a Entry,
    pub(super) variant: &'a Variant,
    pub(super) plan: &'a Plan<'a>,
    pub(super) physical: &'a mut Physical,
    /// The user's functions already rewritten.
    pub(super) functions: &'a HashMap<Handle<Function>, Handle<Function>>,
    /// The user's globals that are kept.
    pub(super) globals: &'a HashMap<Handle<naga::GlobalVariable>, Handle<naga::GlobalVariable>>,
    pub(super) source: Source<'a>,
    pub(super) b: Builder,
    pub(super) params: Vec<Option<BindingParams>>,
    /// Set in a probe.
    pub(super) probe: Option<Probe<'a>>,
    /// Set in a checked run.
    pub(super) checked: Option<Checked<'a>>,
    /// Of the statement or expression at hand, for messages.
    pub(super) span: Span,
    /// Long values that were loaded, and the variables that hold them.
    pub(super) held: HashMap<Value, Value>,
    map: HashMap<Handle<Expression>, Value>,
}

impl<'a> Rewriter<'a> {
    /// Rewrites `source` into a function called `name`.
    #[allow(clippy::too_many_arguments)] // One place makes it.
    pub(super) fn rewrite(
        entry: &'a Entry,
        variant: &'a Variant,
        plan: &'a Plan<'a>,
        physical: &'a mut Physical,
        functions: &'a HashMap<Handle<Function>, Handle<Function>>,
        globals: &'a HashMap<Handle<naga::GlobalVariable>, Handle<naga::GlobalVariable>>,
        source: Source<'a>,
        probe: Option<Probe<'a>>,
        checked: Option<Checked<'a>>,
        name: &str,
    ) -> Result<Function, ShaderError> {
        let mut this = Self {
            params: vec![None; entry.storage.len()],
            b: Builder::new(name),
            held: HashMap::new(),
            map: HashMap::new(),
            span: Span::UNDEFINED,
            entry,
            variant,
            plan,
            physical,
            functions,
            globals,
            source,
            probe,
            checked,
        };
        let old = source.function;
        this.b.function.diagnostic_filter_leaf = old.diagnostic_filter_leaf;
        this.b.function.arguments = old.arguments.clone();
        for argument in &mut this.b.function.arguments {
            argument.binding = None;
        }
        this.b.function.result = old.result.as_ref().map(|r| FunctionResult {
            ty: r.ty,
            binding: None,
        });
        this.locals()?;
        this.prologue();
        this.block(&old.body)?;
        let names: Vec<_> = old
            .named_expressions
            .iter()
            .filter_map(|(h, name)| this.map.get(h).map(|v| (*v, name.clone())))
            .collect();
        this.b.function.named_expressions = names.into_iter().collect();
        Ok(this.b.finish())
    }

    fn locals(&mut self) -> Result<(), ShaderError> {
        for (_, local) in self.source.function.local_variables.iter() {
            let init = match local.init {
                Some(init) => Some(self.constant(init)?),
                None => None,
            };
            // The same order, so the same handles.
            self.b.function.local_variables.append(
                LocalVariable {
                    name: local.name.clone(),
                    ty: local.ty,
                    init,
                },
                Span::UNDEFINED,
            );
        }
        Ok(())
    }

    /// A constant expression for a variable's initialiser: never emitted.
    fn constant(&mut self, old: Handle<Expression>) -> Result<Value, ShaderError> {
        let expression = self.source.function.expressions[old].clone();
        let new = with_operands(expression, &mut |h| self.constant(h)).map_err(|e| {
            e.located(
                self.source.function.expressions.get_span(old),
                &self.entry.source,
            )
        })?;
        Ok(self.b.declare(new))
    }

    /// Whether an expression is made of constants alone.
    fn is_constant(&self, old: Handle<Expression>) -> bool {
        match self.source.function.expressions[old] {
            Expression::Literal(_) | Expression::Constant(_) | Expression::ZeroValue(_) => true,
            Expression::Compose { ref components, .. } => {
                components.iter().all(|&part| self.is_constant(part))
            }
            Expression::Splat { value, .. } => self.is_constant(value),
            _ => false,
        }
    }

    pub(super) fn unsupported(&self, construct: impl Into<String>) -> ShaderError {
        ShaderError::unsupported(construct, self.span, &self.entry.source)
    }

    /// The new value of a user's expression that has been evaluated, or that needs no evaluation.
    pub(super) fn value(&mut self, old: Handle<Expression>) -> Result<Value, ShaderError> {
        if let Some(&value) = self.map.get(&old) {
            return Ok(value);
        }
        let new = match self.source.function.expressions[old] {
            Expression::GlobalVariable(global) => match self.globals.get(&global) {
                Some(&new) => return Ok(self.b.global(new)),
                None => return Err(self.unsupported("a storage variable used as a value")),
            },
            Expression::Literal(naga::Literal::U32(word)) => return Ok(self.b.word(word)),
            ref e if e.needs_pre_emit() => e.clone(),
            // The offset of a sample, which nothing emits.
            _ if self.is_constant(old) => {
                let value = self.constant(old)?;
                self.map.insert(old, value);
                return Ok(value);
            }
            _ => {
                // SPIR-V whose branches lead out of their construct, which nothing before here refuses.
                return Err(self.unsupported("a value that is used where it has not been computed"));
            }
        };
        let value = self.b.declare(new);
        self.map.insert(old, value);
        Ok(value)
    }

    /// Gives a user's expression its new value.
    pub(super) fn define(&mut self, old: Handle<Expression>, new: Value) {
        self.map.insert(old, new);
    }

    pub(super) fn block(&mut self, block: &Block) -> Result<(), ShaderError> {
        let skips = self.skips();
        self.block_open(block)?;
        self.end_skips(skips);
        Ok(())
    }

    /// Rewrites a block's statements; what a probe's stop opened stays open.
    pub(super) fn block_open(&mut self, block: &Block) -> Result<(), ShaderError> {
        for (statement, span) in block.span_iter() {
            self.span = *span;
            self.statement(statement)?;
        }
        Ok(())
    }

    /// Rewrites a block into a block of its own.
    pub(super) fn nested(&mut self, block: &Block) -> Result<Block, ShaderError> {
        self.b.begin();
        self.block(block)?;
        Ok(self.b.end())
    }

    fn evaluate(&mut self, old: Handle<Expression>) -> Result<(), ShaderError> {
        let expression = &self.source.function.expressions[old];
        if expression.needs_pre_emit() || self.is_storage_pointer(old) {
            // Made where it is used.
            return Ok(());
        }
        self.span = self.source.function.expressions.get_span(old);
        let new = match *expression {
            Expression::Load { pointer } if self.place(pointer).is_some() => {
                match self.place(pointer) {
                    Some(place) if self.probe.is_some() => self.probe_load(old, &place)?,
                    Some(place) => self.load_place(&place)?,
                    None => return Ok(()),
                }
            }
            Expression::Load { .. } if self.probe.is_some() && self.is_shared_load(old) => {
                self.zero(old)?
            }
            // A divisor that is not loaded would be a constant zero, which is invalid. Where the quotient is not needed
            // the divisor is not, either.
            Expression::Binary {
                op: naga::BinaryOperator::Divide | naga::BinaryOperator::Modulo,
                ..
            } if self.probe.is_some()
                && !self.entry.analysis.is_feeding(self.source.reference(), old) =>
            {
                self.zero(old)?
            }
            Expression::ArrayLength(pointer) => match self.place(pointer) {
                Some(place) => self.binding_params(place.binding)?.count,
                None => {
                    return Err(self.unsupported("the length of an array that is not in storage"));
                }
            },
            ref other => {
                let new = with_operands(other.clone(), &mut |h| self.value(h))
                    .map_err(|e| e.located(self.span, &self.entry.source))?;
                self.b.emit(new)
            }
        };
        self.map.insert(old, new);
        Ok(())
    }

    pub(super) fn statement(&mut self, statement: &Statement) -> Result<(), ShaderError> {
        if self.probe.is_some() && self.probe_statement(statement)? {
            return Ok(());
        }
        match *statement {
            Statement::Emit(ref range) => {
                for old in range.clone() {
                    self.evaluate(old)?;
                }
            }
            Statement::Block(_)
            | Statement::If { .. }
            | Statement::Switch { .. }
            | Statement::Loop { .. } => {
                self.structured(statement)?;
            }
            Statement::Break => self.b.statement(Statement::Break),
            Statement::Continue => self.b.statement(Statement::Continue),
            Statement::Return { value } => {
                let value = value.map(|h| self.value(h)).transpose()?;
                self.b.statement(Statement::Return { value });
            }
            Statement::ControlBarrier(kinds) => self.b.statement(Statement::ControlBarrier(kinds)),
            Statement::MemoryBarrier(kinds) => self.b.statement(Statement::MemoryBarrier(kinds)),
            Statement::Store { pointer, value } => {
                let value = self.value(value)?;
                if let Some(place) = self.place(pointer) {
                    self.store_place(&place, value)?;
                } else {
                    let pointer = self.value(pointer)?;
                    self.b.store(pointer, value);
                }
            }
            Statement::Atomic {
                pointer,
                fun,
                value,
                result,
            } => self.atomic(pointer, fun, value, result)?,
            Statement::WorkGroupUniformLoad { pointer, result } => {
                let pointer = self.value(pointer)?;
                let new = self.result(result);
                self.b.statement(Statement::WorkGroupUniformLoad {
                    pointer,
                    result: new,
                });
            }
            Statement::Call { .. } => self.call(statement)?,
            Statement::SubgroupBallot { result, predicate } => {
                let predicate = predicate.map(|h| self.value(h)).transpose()?;
                let result = self.result(result);
                self.b
                    .statement(Statement::SubgroupBallot { result, predicate });
            }
            Statement::SubgroupGather {
                mode,
                argument,
                result,
            } => {
                let argument = self.value(argument)?;
                let mode = self.gather(mode)?;
                let result = self.result(result);
                self.b.statement(Statement::SubgroupGather {
                    mode,
                    argument,
                    result,
                });
            }
            Statement::SubgroupCollectiveOperation {
                op,
                collective_op,
                argument,
                result,
            } => {
                let argument = self.value(argument)?;
                let result = self.result(result);
                self.b.statement(Statement::SubgroupCollectiveOperation {
                    op,
                    collective_op,
                    argument,
                    result,
                });
            }
            Statement::Kill => return Err(self.unsupported("discard in a compute shader")),
            Statement::ImageStore {
                image,
                coordinate,
                array_index,
                value,
            } => {
                let statement = Statement::ImageStore {
                    image: self.value(image)?,
                    coordinate: self.value(coordinate)?,
                    array_index: array_index.map(|h| self.value(h)).transpose()?,
                    value: self.value(value)?,
                };
                self.b.statement(statement);
            }
            Statement::ImageAtomic {
                image,
                coordinate,
                array_index,
                fun,
                value,
            } => {
                let fun = match fun {
                    AtomicFunction::Exchange { compare: Some(h) } => AtomicFunction::Exchange {
                        compare: Some(self.value(h)?),
                    },
                    other => other,
                };
                let statement = Statement::ImageAtomic {
                    image: self.value(image)?,
                    coordinate: self.value(coordinate)?,
                    array_index: array_index.map(|h| self.value(h)).transpose()?,
                    fun,
                    value: self.value(value)?,
                };
                self.b.statement(statement);
            }
            Statement::RayQuery { .. } | Statement::RayPipelineFunction(_) => {
                return Err(self.unsupported("ray tracing"));
            }
            Statement::CooperativeStore { .. } => {
                return Err(self.unsupported("a cooperative matrix"));
            }
        }
        Ok(())
    }

    /// Rewrites a statement made of blocks.
    pub(super) fn structured(&mut self, statement: &Statement) -> Result<(), ShaderError> {
        match *statement {
            Statement::Block(ref block) => {
                let block = self.nested(block)?;
                self.b.statement(Statement::Block(block));
            }
            Statement::If {
                condition,
                ref accept,
                ref reject,
            } => {
                let condition = self.value(condition)?;
                let accept = self.nested(accept)?;
                let reject = self.nested(reject)?;
                self.b.statement(Statement::If {
                    condition,
                    accept,
                    reject,
                });
            }
            Statement::Switch {
                selector,
                ref cases,
            } => {
                let selector = self.value(selector)?;
                let mut new = Vec::with_capacity(cases.len());
                for case in cases {
                    new.push(SwitchCase {
                        value: case.value,
                        body: self.nested(&case.body)?,
                        fall_through: case.fall_through,
                    });
                }
                self.b.statement(Statement::Switch {
                    selector,
                    cases: new,
                });
            }
            Statement::Loop {
                ref body,
                ref continuing,
                break_if,
            } => {
                if let Some(leave) = self.leave_by(body, continuing, break_if) {
                    return self.checked_loop(body, continuing, break_if, leave);
                }
                let body = self.nested(body)?;
                let continuing = self.nested(continuing)?;
                let break_if = break_if.map(|h| self.value(h)).transpose()?;
                self.b.statement(Statement::Loop {
                    body,
                    continuing,
                    break_if,
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// Rewrites a call.
    pub(super) fn call(&mut self, statement: &Statement) -> Result<(), ShaderError> {
        if let Statement::Call {
            function,
            ref arguments,
            result,
        } = *statement
        {
            let arguments = arguments
                .iter()
                .map(|h| self.value(*h))
                .collect::<Result<Vec<_>, _>>()?;
            let Some(&new) = self.functions.get(&function) else {
                return Err(ShaderError::Internal(
                    "a callee has not been rewritten".to_owned(),
                ));
            };
            let value = call(&mut self.b, new, arguments, result.is_some());
            if let (Some(old), Some(value)) = (result, value) {
                self.define(old, value);
            }
        }
        Ok(())
    }

    /// Declares the new result of a statement: an expression without operands.
    fn result(&mut self, old: Handle<Expression>) -> Value {
        let new = self
            .b
            .declare(self.source.function.expressions[old].clone());
        self.define(old, new);
        new
    }

    fn atomic(
        &mut self,
        pointer: Handle<Expression>,
        fun: AtomicFunction,
        value: Handle<Expression>,
        result: Option<Handle<Expression>>,
    ) -> Result<(), ShaderError> {
        let value = self.value(value)?;
        let compare = match fun {
            AtomicFunction::Exchange { compare: Some(h) } => Some(self.value(h)?),
            _ => None,
        };
        let Some(place) = self.place(pointer) else {
            let pointer = self.value(pointer)?;
            let result = result.map(|old| self.result(old));
            let fun = match fun {
                AtomicFunction::Exchange { .. } => AtomicFunction::Exchange { compare },
                other => other,
            };
            self.b.statement(Statement::Atomic {
                pointer,
                fun,
                value,
                result,
            });
            return Ok(());
        };
        let Shape::Atomic(scalar) = place.shape else {
            return Err(self.unsupported("an atomic on what is no atomic"));
        };
        let ty = result.and_then(|old| match self.source.function.expressions[old] {
            Expression::AtomicResult { ty, .. } => Some(ty),
            _ => None,
        });
        let got = self.atomic_place(&place, scalar, fun, value, compare, ty)?;
        if let (Some(old), Some(got)) = (result, got) {
            self.define(old, got);
        }
        Ok(())
    }
}
