//! The functions that an entry point reaches, addressed by dense slots.

use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{
    Block, Expression, Function, Handle, ImageQuery, Module, SampleLevel, Span, Statement,
    TypeInner,
};

/// A function of the module: the entry point's own, or one that it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FunctionRef {
    /// The entry point's function.
    Entry,
    /// A function in `module.functions`.
    Function(Handle<Function>),
}

impl FunctionRef {
    /// Index in tables that have a place for every function.
    pub(super) fn slot(self) -> usize {
        match self {
            FunctionRef::Entry => 0,
            FunctionRef::Function(handle) => 1 + handle.index(),
        }
    }
}

/// One reachable function with what validation found out about it.
#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    pub(super) module: &'a Module,
    pub(super) at: FunctionRef,
    pub(super) function: &'a Function,
    pub(super) info: &'a FunctionInfo,
}

impl<'a> Body<'a> {
    /// The type of an expression.
    pub(super) fn ty(&self, expression: Handle<Expression>) -> &'a TypeInner {
        self.info[expression].ty.inner_with(&self.module.types)
    }
}

/// An entry point and all that it calls, callers before callees.
pub(super) struct Functions<'a> {
    pub(super) module: &'a Module,
    pub(super) info: &'a ModuleInfo,
    pub(super) entry_index: usize,
    /// Reachable functions; the entry point is the first.
    pub(super) order: Vec<FunctionRef>,
}

impl<'a> Functions<'a> {
    pub(super) fn new(module: &'a Module, info: &'a ModuleInfo, entry_index: usize) -> Self {
        let mut functions = Functions {
            module,
            info,
            entry_index,
            order: vec![FunctionRef::Entry],
        };
        let mut known = vec![false; functions.slots()];
        let mut next = 0;
        while next < functions.order.len() {
            let body = functions.body(functions.order[next]);
            next += 1;
            each_statement(&body.function.body, &mut |statement, _| {
                if let Statement::Call { function, .. } = *statement {
                    let callee = FunctionRef::Function(function);
                    if !std::mem::replace(&mut known[callee.slot()], true) {
                        functions.order.push(callee);
                    }
                }
            });
        }
        functions
    }

    pub(super) fn slots(&self) -> usize {
        1 + self.module.functions.len()
    }

    pub(super) fn body(&self, at: FunctionRef) -> Body<'a> {
        let (function, info) = match at {
            FunctionRef::Entry => (
                &self.module.entry_points[self.entry_index].function,
                self.info.get_entry_point(self.entry_index),
            ),
            FunctionRef::Function(handle) => (&self.module.functions[handle], &self.info[handle]),
        };
        Body {
            module: self.module,
            at,
            function,
            info,
        }
    }

    pub(super) fn bodies(&self) -> impl Iterator<Item = Body<'a>> + '_ {
        self.order.iter().map(|&at| self.body(at))
    }

    /// A table by slot, filled for the reachable functions.
    pub(super) fn map<T>(&self, mut make: impl FnMut(Body<'a>) -> T) -> Vec<Option<T>> {
        let mut table = Vec::new();
        table.resize_with(self.slots(), || None);
        for body in self.bodies() {
            table[body.at.slot()] = Some(make(body));
        }
        table
    }
}

/// Visits every statement of a block, outer ones first.
pub(super) fn each_statement<'b>(block: &'b Block, visit: &mut dyn FnMut(&'b Statement, Span)) {
    for (statement, span) in block.span_iter() {
        visit(statement, *span);
        match statement {
            Statement::Block(inner) => each_statement(inner, visit),
            Statement::If { accept, reject, .. } => {
                each_statement(accept, visit);
                each_statement(reject, visit);
            }
            Statement::Switch { cases, .. } => {
                for case in cases {
                    each_statement(&case.body, visit);
                }
            }
            Statement::Loop {
                body, continuing, ..
            } => {
                each_statement(body, visit);
                each_statement(continuing, visit);
            }
            _ => {}
        }
    }
}

/// Visits the expressions that another one is computed from.
pub(super) fn operands_of(expression: &Expression, visit: &mut dyn FnMut(Handle<Expression>)) {
    match *expression {
        Expression::Compose { ref components, .. } => {
            for &component in components {
                visit(component);
            }
        }
        Expression::Access { base, index } => {
            visit(base);
            visit(index);
        }
        Expression::AccessIndex { base, .. } => visit(base),
        Expression::Splat { value, .. } => visit(value),
        Expression::Swizzle { vector, .. } => visit(vector),
        Expression::Load { pointer } => visit(pointer),
        Expression::Unary { expr, .. }
        | Expression::Derivative { expr, .. }
        | Expression::As { expr, .. } => visit(expr),
        Expression::Binary { left, right, .. } => {
            visit(left);
            visit(right);
        }
        Expression::Select {
            condition,
            accept,
            reject,
        } => {
            visit(condition);
            visit(accept);
            visit(reject);
        }
        Expression::Relational { argument, .. } => visit(argument),
        Expression::Math {
            arg,
            arg1,
            arg2,
            arg3,
            ..
        } => {
            visit(arg);
            for operand in [arg1, arg2, arg3].into_iter().flatten() {
                visit(operand);
            }
        }
        Expression::ImageSample {
            image,
            coordinate,
            array_index,
            level,
            depth_ref,
            ..
        } => {
            visit(image);
            visit(coordinate);
            for operand in [array_index, depth_ref].into_iter().flatten() {
                visit(operand);
            }
            match level {
                SampleLevel::Auto | SampleLevel::Zero => {}
                SampleLevel::Exact(level) | SampleLevel::Bias(level) => visit(level),
                SampleLevel::Gradient { x, y } => {
                    visit(x);
                    visit(y);
                }
            }
        }
        Expression::ImageLoad {
            image,
            coordinate,
            array_index,
            sample,
            level,
        } => {
            visit(image);
            visit(coordinate);
            for operand in [array_index, sample, level].into_iter().flatten() {
                visit(operand);
            }
        }
        Expression::ImageQuery { image, query } => {
            visit(image);
            if let ImageQuery::Size { level: Some(level) } = query {
                visit(level);
            }
        }
        // The rest are leaves, or refused where reasons are collected.
        _ => {}
    }
}
