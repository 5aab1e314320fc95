//! Which loops end after as many rounds as ever, whatever is found in memory.
//!
//! A value is *steady* when it is made of constants, values (uniforms), ids and array lengths alone, and a variable when all that is
//! stored to it is, at times that depend on nothing else. A loop whose ends are all steady takes its course even if loads
//! give zero and stores are lost; any other might go on for ever. The order of statements is not looked at, and what
//! functions are given or give back is never steady: doubt only costs a question in every round.

use naga::valid::FunctionInfo;
use naga::{Block, Expression, Function, Handle, Module, Statement};

use super::functions::{Body, FunctionRef, operands_of};
use super::place::{Root, Space, root, space_of};
use super::waits::exits;

/// What of a function is steady.
#[derive(Clone, Debug)]
pub(crate) struct Steady {
    /// By expression: it is not.
    expressions: Vec<bool>,
    /// By local variable: it is not.
    variables: Vec<bool>,
}

impl Steady {
    pub(crate) fn new(
        module: &Module,
        info: &FunctionInfo,
        function: &Function,
        at: FunctionRef,
    ) -> Self {
        let body = Body {
            module,
            at,
            function,
            info,
        };
        let mut steady = Self {
            expressions: vec![false; function.expressions.len()],
            variables: vec![false; function.local_variables.len()],
        };
        // Each round finds another unsteady variable, or is the last.
        loop {
            for (handle, expression) in function.expressions.iter() {
                steady.expressions[handle.index()] = steady.unsteady(&body, expression);
            }
            let before = steady.variables.clone();
            steady.stores(&body, &function.body, false);
            if steady.variables == before {
                return steady;
            }
        }
    }

    /// Whether the number of rounds of a loop may depend on memory.
    pub(crate) fn may_run_on(
        &self,
        body: &Block,
        continuing: &Block,
        break_if: Option<Handle<Expression>>,
    ) -> bool {
        let mut ends = Vec::from_iter(break_if);
        exits(body, true, &mut ends);
        exits(continuing, true, &mut ends);
        // A loop that nothing ends is one that only an endless kernel has.
        ends.is_empty() || ends.iter().any(|end| self.expressions[end.index()])
    }

    fn unsteady(&self, body: &Body<'_>, expression: &Expression) -> bool {
        match *expression {
            Expression::Load { pointer } => {
                let variable = match root(body, pointer) {
                    Some(Root::Local(local)) => self.variables[local.index()],
                    Some(Root::Global(global)) => space_of(body, global) != Space::Value,
                    Some(Root::Argument(_)) | None => true,
                };
                variable || self.expressions[pointer.index()]
            }
            Expression::FunctionArgument(_) => body.at != FunctionRef::Entry,
            Expression::Literal(_)
            | Expression::Constant(_)
            | Expression::Override(_)
            | Expression::ZeroValue(_)
            | Expression::GlobalVariable(_)
            | Expression::LocalVariable(_)
            | Expression::ArrayLength(_) => false,
            Expression::Compose { .. }
            | Expression::Access { .. }
            | Expression::AccessIndex { .. }
            | Expression::Splat { .. }
            | Expression::Swizzle { .. }
            | Expression::Unary { .. }
            | Expression::Binary { .. }
            | Expression::Select { .. }
            | Expression::Relational { .. }
            | Expression::Math { .. }
            | Expression::As { .. } => {
                let mut any = false;
                operands_of(expression, &mut |of| any |= self.expressions[of.index()]);
                any
            }
            // Results of calls, atomics, subgroups and images.
            _ => true,
        }
    }

    /// Marks variables that something unsteady is stored to. `unsteady`: whether the block runs hangs on memory.
    fn stores(&mut self, body: &Body<'_>, block: &Block, unsteady: bool) {
        for statement in block.iter() {
            match *statement {
                Statement::Store { pointer, value } => {
                    let parts = [pointer, value];
                    if unsteady || parts.iter().any(|p| self.expressions[p.index()]) {
                        self.mark(body, pointer);
                    }
                }
                Statement::Call { ref arguments, .. } => {
                    for &argument in arguments {
                        self.mark(body, argument);
                    }
                }
                Statement::Block(ref inner) => self.stores(body, inner, unsteady),
                Statement::If {
                    condition,
                    ref accept,
                    ref reject,
                } => {
                    let unsteady = unsteady || self.expressions[condition.index()];
                    self.stores(body, accept, unsteady);
                    self.stores(body, reject, unsteady);
                }
                Statement::Switch {
                    selector,
                    ref cases,
                } => {
                    let unsteady = unsteady || self.expressions[selector.index()];
                    for case in cases {
                        self.stores(body, &case.body, unsteady);
                    }
                }
                Statement::Loop {
                    body: ref inner,
                    ref continuing,
                    break_if,
                } => {
                    let unsteady = unsteady || self.may_run_on(inner, continuing, break_if);
                    self.stores(body, inner, unsteady);
                    self.stores(body, continuing, unsteady);
                }
                _ => {}
            }
        }
    }

    fn mark(&mut self, body: &Body<'_>, pointer: Handle<Expression>) {
        if let Some(Root::Local(local)) = root(body, pointer) {
            self.variables[local.index()] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    /// Whether each loop of a kernel, outer ones first, may run on.
    fn loops(code: &str) -> Vec<bool> {
        let source = format!(
            "@group(0) @binding(0) var<storage, read_write> a: array<atomic<u32>>;
             @group(0) @binding(1) var<storage, read> b: array<u32>;
             @group(0) @binding(2) var<uniform> n: u32;
             var<workgroup> w: u32;
             fn helped(m: u32) -> u32 {{ return m; }}
             fn put(p: ptr<function, u32>) {{ *p = 1u; }}
             @compute @workgroup_size(64)
             fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{
                 var x = 0u; var y = 0u;
                 {code}
                 atomicStore(&a[0], x + y + w);
             }}"
        );
        let module = naga::front::wgsl::parse_str(&source).expect("parsed");
        let info = Validator::new(ValidationFlags::all(), Capabilities::all())
            .validate(&module)
            .expect("valid");
        let function = &module.entry_points[0].function;
        let steady = Steady::new(
            &module,
            info.get_entry_point(0),
            function,
            FunctionRef::Entry,
        );
        let mut found = Vec::new();
        super::super::functions::each_statement(&function.body, &mut |statement, _| {
            if let Statement::Loop {
                body,
                continuing,
                break_if,
            } = statement
            {
                found.push(steady.may_run_on(body, continuing, *break_if));
            }
        });
        found
    }

    #[test]
    fn loops_over_constants_values_ids_and_lengths_are_steady() {
        assert_eq!(
            loops("for (var i = 0u; i < 9u; i++) { x += b[i]; }"),
            [false]
        );
        assert_eq!(
            loops("for (var i = id.x; i < arrayLength(&b); i += n) { x += b[i]; }"),
            [false]
        );
        assert_eq!(
            loops("var s = 32u; while s > 0u { if lane < s { w += b[s]; } s >>= 1u; }"),
            [false]
        );
        assert_eq!(
            loops(
                "for (var i = 0u; i < n; i++) { for (var j = i; j < n; j++) { x += b[i * j]; } }"
            ),
            [false, false]
        );
    }

    #[test]
    fn loops_that_hang_on_memory_are_not() {
        assert_eq!(
            loops("for (var i = 0u; i < b[0]; i++) { x += 1u; }"),
            [true]
        );
        assert_eq!(loops("for (var i = b[0]; i < n; i++) { x += 1u; }"), [true]);
        assert_eq!(
            loops("for (var i = 0u; i < n; i++) { if b[i] == 7u { break; } }"),
            [true]
        );
        assert_eq!(
            loops("for (var i = 0u; i < n; i++) { if b[i] == 7u { continue; } i += 1u; }"),
            [true]
        );
        assert_eq!(loops("while atomicAdd(&a[1], 1u) < n { x += 1u; }"), [true]);
        assert_eq!(loops("while w < n { x += 1u; }"), [true]);
        assert_eq!(loops("while helped(n) < x { x -= 1u; }"), [true]);
        assert_eq!(loops("put(&y); while y < n { y += 1u; }"), [true]);
        // What is counted only sometimes.
        assert_eq!(loops("while y < n { if b[y] == 0u { y += 1u; } }"), [true]);
        // The rounds of the inner one are what the outer one counts.
        assert_eq!(
            loops("while y < n { loop { y += 1u; if b[y] == 0u { break; } } }"),
            [true, true]
        );
    }
}
