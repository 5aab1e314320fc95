//! Functions that rewritten kernels call: accesses to a window that is known only when the kernel runs, and touches.

use naga::{
    AtomicFunction, BinaryOperator, Block, Function, FunctionResult, Handle, Span, Statement,
    SwitchCase, SwitchValue, Type,
};

use super::build::{Builder, Value};
use super::checked::GRACE;
use super::physical::Physical;
use super::view::View;

/// A function of the rewriter's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Helper {
    /// Loads an element of any window.
    Read(View),
    /// Stores one.
    Write(View),
    /// Operates on one: the function (without comparison), whether it compares, whether its result is used.
    Atomic(View, AtomicFunction, bool, bool),
    /// Marks a page in the report.
    Touch,
    /// The same, and raises the record's flag when the page is not there.
    Check,
}

impl Physical {
    /// The function, written when it is first asked for.
    pub(super) fn helper(&mut self, helper: Helper) -> Handle<Function> {
        if let Some(&handle) = self.helpers.get(&helper) {
            return handle;
        }
        let function = match helper {
            Helper::Read(view) => {
                let result = self.value_type(view);
                self.switch(
                    &format!("gmem_read_{}", view.name()),
                    view,
                    &[],
                    Some(result),
                    |_, b, at, _| Some(b.load(at)),
                )
            }
            Helper::Write(view) => {
                let value = self.value_type(view);
                self.switch(
                    &format!("gmem_write_{}", view.name()),
                    view,
                    &[value],
                    None,
                    |_, b, at, args| {
                        b.store(at, args[0]);
                        None
                    },
                )
            }
            Helper::Atomic(view, fun, compares, used) => {
                let value = self.value_type(view);
                let mut types = vec![value];
                types.extend(compares.then_some(value));
                let result = used.then(|| self.result_type(view, compares));
                self.switch(
                    &format!("gmem_{}", atomic_name(fun)),
                    view,
                    &types,
                    result,
                    |p, b, at, args| {
                        p.atomic_at(b, view, at, fun, args[0], args.get(1).copied(), used)
                    },
                )
            }
            Helper::Touch => self.touch_function(false),
            Helper::Check => self.touch_function(true),
        };
        let handle = self.module.functions.append(function, Span::UNDEFINED);
        self.helpers.insert(helper, handle);
        handle
    }

    /// A function that does `act` on the element `unit` of the window it is told.
    fn switch(
        &mut self,
        name: &str,
        view: View,
        arguments: &[Handle<Type>],
        result: Option<Handle<Type>>,
        act: impl Fn(&mut Self, &mut Builder, Value, &[Value]) -> Option<Value>,
    ) -> Function {
        let mut b = Builder::new(name);
        let selector = b.argument("window", self.word);
        let unit = b.argument("unit", self.word);
        let values: Vec<Value> = arguments
            .iter()
            .map(|ty| b.argument("value", *ty))
            .collect();
        let local = result.map(|ty| b.local("result", ty));
        let mut cases = Vec::new();
        for window in 0..self.windows {
            let global = self.view(view, window);
            b.begin();
            let at = self.element(&mut b, global, unit);
            if let (Some(value), Some(local)) = (act(self, &mut b, at, &values), local) {
                b.store(local, value);
            }
            let last = window + 1 == self.windows;
            cases.push(SwitchCase {
                value: if last {
                    SwitchValue::Default
                } else {
                    SwitchValue::U32(window)
                },
                body: b.end(),
                fall_through: false,
            });
        }
        b.statement(Statement::Switch { selector, cases });
        let value = local.map(|local| b.load(local));
        b.statement(Statement::Return { value });
        let mut function = b.finish();
        function.result = result.map(|ty| FunctionResult { ty, binding: None });
        function
    }

    fn touch_function(&mut self, checks: bool) -> Function {
        let mut b = Builder::new(if checks { "gmem_check" } else { "gmem_touch" });
        let condition = b.argument("in_bounds", self.boolean);
        let base = b.argument("base", self.word);
        let page = b.argument("page", self.word);
        let store = b.argument("store", self.word);
        let missing = checks.then(|| b.argument("missing", self.boolean));
        b.begin();
        let header = self.param(&mut b, 0);
        let record = b.component(header, 3);
        let first = b.add(record, base);
        let index = b.shift_right(page, 4);
        let index = b.add(first, index);
        let pair = b.mask(page, 15);
        let pair = b.times(pair, 2);
        let bit = b.add(pair, store);
        let one = b.word(1);
        let bit = b.binary(BinaryOperator::ShiftLeft, one, bit);
        let at = self.element(&mut b, self.report, index);
        let old = b.load(at);
        let had = b.binary(BinaryOperator::And, old, bit);
        let zero = b.word(0);
        let unseen = b.binary(BinaryOperator::Equal, had, zero);
        b.when(unseen, |b| {
            b.statement(Statement::Atomic {
                pointer: at,
                fun: AtomicFunction::InclusiveOr,
                value: bit,
                result: None,
            });
        });
        if let Some(missing) = missing {
            b.when(missing, |b| {
                let flag = self.element(b, self.report, record);
                b.store(flag, one);
                // Its next round is its last.
                let rounds = self.rounds();
                let rounds = b.global(rounds);
                let grace = b.word(GRACE);
                b.store(rounds, grace);
            });
        }
        let accept = b.end();
        b.statement(Statement::If {
            condition,
            accept,
            reject: Block::new(),
        });
        b.statement(Statement::Return { value: None });
        b.finish()
    }
}

fn atomic_name(fun: AtomicFunction) -> &'static str {
    match fun {
        AtomicFunction::Add => "add",
        AtomicFunction::Subtract => "subtract",
        AtomicFunction::And => "and",
        AtomicFunction::ExclusiveOr => "xor",
        AtomicFunction::InclusiveOr => "or",
        AtomicFunction::Min => "min",
        AtomicFunction::Max => "max",
        AtomicFunction::Exchange { .. } => "exchange",
    }
}
