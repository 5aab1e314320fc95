//! Nothing stored to memory that holds atomics, element by element.
//!
//! SPIR-V stores a null constant to a whole variable, as compilers do where workgroup memory begins. What is updated
//! atomically is an atomic in the IR, and a whole with atomics in it cannot be stored.

use naga::{
    AddressSpace, ArraySize, BinaryOperator, Block, Expression, Function, Handle, Literal,
    LocalVariable, Module, Range, Scalar, Span, Statement, Type, TypeInner,
};

/// The most elements and members that are stored to one by one; arrays count once.
const MOST: usize = 1000;

/// Takes stores of nothing to shared variables with atomics apart.
pub(super) fn spread(module: &mut Module) {
    let index = Type {
        name: None,
        inner: TypeInner::Scalar(Scalar::U32),
    };
    let index = module.types.insert(index, Span::UNDEFINED);
    let mut functions = std::mem::take(&mut module.functions);
    let mut entry_points = std::mem::take(&mut module.entry_points);
    let bodies = functions.iter_mut().map(|(_, function)| function);
    for function in bodies.chain(entry_points.iter_mut().map(|entry| &mut entry.function)) {
        let mut body = std::mem::take(&mut function.body);
        let mut spread = Spread {
            module,
            function,
            index,
        };
        spread.block(&mut body);
        function.body = body;
    }
    module.functions = functions;
    module.entry_points = entry_points;
}

struct Spread<'a> {
    module: &'a mut Module,
    function: &'a mut Function,
    /// The type `u32`.
    index: Handle<Type>,
}

impl Spread<'_> {
    fn block(&mut self, block: &mut Block) {
        let statements = std::mem::take(block);
        for (mut statement, span) in statements.span_into_iter() {
            match statement {
                Statement::Block(ref mut inner) => self.block(inner),
                Statement::If {
                    ref mut accept,
                    ref mut reject,
                    ..
                } => {
                    self.block(accept);
                    self.block(reject);
                }
                Statement::Switch { ref mut cases, .. } => {
                    for case in cases {
                        self.block(&mut case.body);
                    }
                }
                Statement::Loop {
                    ref mut body,
                    ref mut continuing,
                    ..
                } => {
                    self.block(body);
                    self.block(continuing);
                }
                Statement::Store { pointer, value } => {
                    if let Some(ty) = self.nothing_for(pointer, value) {
                        let mut stores = Block::new();
                        let mut left = MOST;
                        if self.store(pointer, ty, &mut stores, &mut left).is_some() {
                            statement = Statement::Block(stores);
                        }
                    }
                }
                _ => {}
            }
            block.push(statement, span);
        }
    }

    /// The type of the shared variable with atomics that nothing is stored to.
    fn nothing_for(
        &self,
        pointer: Handle<Expression>,
        value: Handle<Expression>,
    ) -> Option<Handle<Type>> {
        let Expression::GlobalVariable(variable) = self.function.expressions[pointer] else {
            return None;
        };
        let nothing = match self.function.expressions[value] {
            Expression::ZeroValue(_) => true,
            Expression::Constant(constant) => matches!(
                self.module.global_expressions[self.module.constants[constant].init],
                Expression::ZeroValue(_)
            ),
            _ => false,
        };
        let variable = &self.module.global_variables[variable];
        let whole = matches!(
            self.module.types[variable.ty].inner,
            TypeInner::Array { .. } | TypeInner::Struct { .. }
        );
        let shared = variable.space == AddressSpace::WorkGroup;
        (shared && whole && nothing && self.has_atomics(variable.ty)).then_some(variable.ty)
    }

    fn has_atomics(&self, ty: Handle<Type>) -> bool {
        match self.module.types[ty].inner {
            TypeInner::Atomic(_) => true,
            TypeInner::Array { base, .. } => self.has_atomics(base),
            TypeInner::Struct { ref members, .. } => {
                members.iter().any(|member| self.has_atomics(member.ty))
            }
            _ => false,
        }
    }

    /// Stores nothing to what a pointer leads to; `None` where that would be too much.
    fn store(
        &mut self,
        pointer: Handle<Expression>,
        ty: Handle<Type>,
        block: &mut Block,
        left: &mut usize,
    ) -> Option<()> {
        *left = left.checked_sub(1)?;
        match self.module.types[ty].inner.clone() {
            TypeInner::Struct { members, .. } if self.has_atomics(ty) => {
                for (index, member) in (0..).zip(members) {
                    let part = Expression::AccessIndex {
                        base: pointer,
                        index,
                    };
                    let part = self.evaluated(part, block);
                    self.store(part, member.ty, block, left)?;
                }
            }
            TypeInner::Array {
                base,
                size: ArraySize::Constant(size),
                ..
            } if self.has_atomics(ty) => {
                self.each(pointer, base, size.get(), block, left)?;
            }
            TypeInner::Atomic(scalar) => {
                let plain = Type {
                    name: None,
                    inner: TypeInner::Scalar(scalar),
                };
                let plain = self.module.types.insert(plain, Span::UNDEFINED);
                self.zero(pointer, plain, block);
            }
            TypeInner::Array {
                size: ArraySize::Pending(_) | ArraySize::Dynamic,
                ..
            } => return None,
            _ => self.zero(pointer, ty, block),
        }
        Some(())
    }

    fn zero(&mut self, pointer: Handle<Expression>, ty: Handle<Type>, block: &mut Block) {
        let value = self.known(Expression::ZeroValue(ty));
        block.push(Statement::Store { pointer, value }, Span::UNDEFINED);
    }

    /// A loop over the elements of an array.
    fn each(
        &mut self,
        array: Handle<Expression>,
        element: Handle<Type>,
        count: u32,
        block: &mut Block,
        left: &mut usize,
    ) -> Option<()> {
        let counter = LocalVariable {
            name: None,
            ty: self.index,
            init: None,
        };
        let counter = (self.function.local_variables).append(counter, Span::UNDEFINED);
        let counter = self.known(Expression::LocalVariable(counter));
        let number = |n| Expression::Literal(Literal::U32(n));
        let (zero, one, count) = (
            self.known(number(0)),
            self.known(number(1)),
            self.known(number(count)),
        );
        let start = Statement::Store {
            pointer: counter,
            value: zero,
        };
        block.push(start, Span::UNDEFINED);
        let mut body = Block::new();
        let at = self.evaluated(Expression::Load { pointer: counter }, &mut body);
        let over = Expression::Binary {
            op: BinaryOperator::GreaterEqual,
            left: at,
            right: count,
        };
        let condition = self.evaluated(over, &mut body);
        let ends = Statement::If {
            condition,
            accept: Block::from_vec(vec![Statement::Break]),
            reject: Block::new(),
        };
        body.push(ends, Span::UNDEFINED);
        let part = Expression::Access {
            base: array,
            index: at,
        };
        let part = self.evaluated(part, &mut body);
        self.store(part, element, &mut body, left)?;
        let mut continuing = Block::new();
        let at = self.evaluated(Expression::Load { pointer: counter }, &mut continuing);
        let next = Expression::Binary {
            op: BinaryOperator::Add,
            left: at,
            right: one,
        };
        let next = self.evaluated(next, &mut continuing);
        let step = Statement::Store {
            pointer: counter,
            value: next,
        };
        continuing.push(step, Span::UNDEFINED);
        let all = Statement::Loop {
            body,
            continuing,
            break_if: None,
        };
        block.push(all, Span::UNDEFINED);
        Some(())
    }

    /// An expression that needs no evaluation.
    fn known(&mut self, expression: Expression) -> Handle<Expression> {
        (self.function.expressions).append(expression, Span::UNDEFINED)
    }

    /// An expression that is evaluated at the end of a block.
    fn evaluated(&mut self, expression: Expression, block: &mut Block) -> Handle<Expression> {
        let handle = self.known(expression);
        let only = Range::new_from_bounds(handle, handle);
        block.push(Statement::Emit(only), Span::UNDEFINED);
        handle
    }
}
