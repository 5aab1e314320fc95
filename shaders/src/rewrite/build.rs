//! Builds one function: an expression arena, nested blocks, and the emit ranges that order them.
//!
//! Expressions are appended where they are evaluated. [`Builder::emit`] keeps a range of expressions open that is
//! closed (turned into an `Emit` statement) before any statement, and before any expression that must not be emitted.

use std::collections::HashMap;

use naga::{
    BinaryOperator, Block, Expression, Function, FunctionArgument, GlobalVariable, Handle, Literal,
    LocalVariable, Scalar, ScalarKind, Span, Statement, Type,
};

/// A handle to an expression of the function being built.
pub(super) type Value = Handle<Expression>;

/// A function in the making.
pub(super) struct Builder {
    pub(super) function: Function,
    blocks: Vec<Block>,
    open: Option<usize>,
    words: HashMap<u32, Value>,
    globals: HashMap<Handle<GlobalVariable>, Value>,
}

impl Builder {
    pub(super) fn new(name: &str) -> Self {
        Self {
            function: Function {
                name: Some(name.to_owned()),
                ..Function::default()
            },
            blocks: vec![Block::new()],
            open: None,
            words: HashMap::new(),
            globals: HashMap::new(),
        }
    }

    /// The finished function.
    pub(super) fn finish(mut self) -> Function {
        self.close();
        debug_assert_eq!(self.blocks.len(), 1, "blocks are balanced");
        self.function.body = self.blocks.pop().unwrap_or_default();
        self.function
    }

    fn close(&mut self) {
        if let Some(start) = self.open.take() {
            let range = self.function.expressions.range_from(start);
            self.push(Statement::Emit(range));
        }
    }

    fn push(&mut self, statement: Statement) {
        if let Some(block) = self.blocks.last_mut() {
            block.push(statement, Span::UNDEFINED);
        }
    }

    /// Appends an expression and emits it here.
    pub(super) fn emit(&mut self, expression: Expression) -> Value {
        if self.open.is_none() {
            self.open = Some(self.function.expressions.len());
        }
        self.function
            .expressions
            .append(expression, Span::UNDEFINED)
    }

    /// Appends an expression that is valid without being emitted, or that its statement makes valid.
    pub(super) fn declare(&mut self, expression: Expression) -> Value {
        self.close();
        self.function
            .expressions
            .append(expression, Span::UNDEFINED)
    }

    pub(super) fn statement(&mut self, statement: Statement) {
        self.close();
        self.push(statement);
    }

    /// Opens a nested block; [`Builder::end`] gives it back.
    pub(super) fn begin(&mut self) {
        self.close();
        self.blocks.push(Block::new());
    }

    pub(super) fn end(&mut self) -> Block {
        self.close();
        self.blocks.pop().unwrap_or_default()
    }

    pub(super) fn local(&mut self, name: &str, ty: Handle<Type>) -> Value {
        let local = self.function.local_variables.append(
            LocalVariable {
                name: Some(name.to_owned()),
                ty,
                init: None,
            },
            Span::UNDEFINED,
        );
        self.declare(Expression::LocalVariable(local))
    }

    pub(super) fn word(&mut self, word: u32) -> Value {
        if let Some(&value) = self.words.get(&word) {
            return value;
        }
        let value = self.declare(Expression::Literal(Literal::U32(word)));
        self.words.insert(word, value);
        value
    }

    pub(super) fn global(&mut self, global: Handle<GlobalVariable>) -> Value {
        if let Some(&value) = self.globals.get(&global) {
            return value;
        }
        let value = self.declare(Expression::GlobalVariable(global));
        self.globals.insert(global, value);
        value
    }

    pub(super) fn argument(&mut self, name: &str, ty: Handle<Type>) -> Value {
        let index = self.function.arguments.len() as u32;
        self.function.arguments.push(FunctionArgument {
            name: Some(name.to_owned()),
            ty,
            binding: None,
        });
        self.declare(Expression::FunctionArgument(index))
    }

    pub(super) fn boolean(&mut self, value: bool) -> Value {
        self.declare(Expression::Literal(Literal::Bool(value)))
    }

    pub(super) fn binary(&mut self, op: BinaryOperator, left: Value, right: Value) -> Value {
        self.emit(Expression::Binary { op, left, right })
    }

    pub(super) fn add(&mut self, left: Value, right: Value) -> Value {
        self.binary(BinaryOperator::Add, left, right)
    }

    /// `left + right`, nothing to do when `right` is 0.
    pub(super) fn add_word(&mut self, left: Value, right: u32) -> Value {
        if right == 0 {
            return left;
        }
        let right = self.word(right);
        self.add(left, right)
    }

    /// `left * right`, nothing to do when `right` is 1.
    pub(super) fn times(&mut self, left: Value, right: u32) -> Value {
        if right == 1 {
            return left;
        }
        let op = if right.is_power_of_two() {
            BinaryOperator::ShiftLeft
        } else {
            BinaryOperator::Multiply
        };
        let right = self.word(if right.is_power_of_two() {
            right.trailing_zeros()
        } else {
            right
        });
        self.binary(op, left, right)
    }

    /// `left >> right`, nothing to do when `right` is 0.
    pub(super) fn shift_right(&mut self, left: Value, right: u32) -> Value {
        if right == 0 {
            return left;
        }
        let right = self.word(right);
        self.binary(BinaryOperator::ShiftRight, left, right)
    }

    /// `left << 32`: a word, widened, as the upper one of two.
    pub(super) fn upper_word(&mut self, left: Value) -> Value {
        let right = self.word(32);
        self.binary(BinaryOperator::ShiftLeft, left, right)
    }

    /// A number of words as one of units of `2^shift` words; a shift of -1 is half a word.
    pub(super) fn units(&mut self, words: Value, shift: i32) -> Value {
        match u32::try_from(shift) {
            Ok(shift) => self.shift_right(words, shift),
            Err(_) => self.times(words, 1 << shift.unsigned_abs()),
        }
    }

    pub(super) fn mask(&mut self, left: Value, right: u32) -> Value {
        let right = self.word(right);
        self.binary(BinaryOperator::And, left, right)
    }

    pub(super) fn less(&mut self, left: Value, right: Value) -> Value {
        self.binary(BinaryOperator::Less, left, right)
    }

    /// `left && right`, where an absent operand is true.
    pub(super) fn both(&mut self, left: Option<Value>, right: Option<Value>) -> Option<Value> {
        match (left, right) {
            (Some(left), Some(right)) => Some(self.binary(BinaryOperator::LogicalAnd, left, right)),
            (one, None) | (None, one) => one,
        }
    }

    pub(super) fn not(&mut self, expr: Value) -> Value {
        self.emit(Expression::Unary {
            op: naga::UnaryOperator::LogicalNot,
            expr,
        })
    }

    pub(super) fn select(&mut self, condition: Value, accept: Value, reject: Value) -> Value {
        self.emit(Expression::Select {
            condition,
            accept,
            reject,
        })
    }

    /// The same bits as another kind of scalar or vector.
    pub(super) fn bitcast(&mut self, expr: Value, kind: ScalarKind) -> Value {
        self.emit(Expression::As {
            expr,
            kind,
            convert: None,
        })
    }

    /// The scalar that a number becomes.
    pub(super) fn convert(&mut self, expr: Value, to: Scalar) -> Value {
        self.emit(Expression::As {
            expr,
            kind: to.kind,
            convert: Some(to.width),
        })
    }

    pub(super) fn component(&mut self, base: Value, index: u32) -> Value {
        self.emit(Expression::AccessIndex { base, index })
    }

    pub(super) fn load(&mut self, pointer: Value) -> Value {
        self.emit(Expression::Load { pointer })
    }

    pub(super) fn store(&mut self, pointer: Value, value: Value) {
        self.statement(Statement::Store { pointer, value });
    }

    /// `if condition { accept }`.
    pub(super) fn when(&mut self, condition: Value, accept: impl FnOnce(&mut Self)) {
        self.begin();
        accept(self);
        let accept = self.end();
        self.statement(Statement::If {
            condition,
            accept,
            reject: Block::new(),
        });
    }
}
