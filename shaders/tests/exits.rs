//! The exits that checked runs are given, on the IR: none goes past a barrier.
//!
//! A checked run is compared with the run of the same kernel. It may have no `break`, `continue` or `return` more, so that
//! a loop's own end is all that is new; where invocations meet at a barrier inside a loop, its new end must be what all of them
//! loaded together; and where they do not meet, they are not made to.

use std::collections::{BTreeMap, HashSet};

use gmem_shaders::naga::{Block, Expression, Function, GlobalVariable, Handle, Module, Statement};
use gmem_shaders::{How, Mode, Program, Variant};

/// A loop, and whether invocations meet at a barrier in it.
struct Found<'a> {
    break_if: Option<Handle<Expression>>,
    barriers: bool,
    body: [&'a Block; 2],
}

fn each<'a>(block: &'a Block, f: &mut dyn FnMut(&'a Statement)) {
    for statement in block.iter() {
        f(statement);
        match statement {
            Statement::Block(inner) => each(inner, f),
            Statement::If { accept, reject, .. } => {
                each(accept, f);
                each(reject, f);
            }
            Statement::Switch { cases, .. } => cases.iter().for_each(|case| each(&case.body, f)),
            Statement::Loop {
                body, continuing, ..
            } => {
                each(body, f);
                each(continuing, f);
            }
            _ => {}
        }
    }
}

fn meets(module: &Module, blocks: &[&Block]) -> bool {
    let mut any = false;
    for block in blocks {
        each(block, &mut |statement| {
            any |= match statement {
                Statement::ControlBarrier(_) | Statement::WorkGroupUniformLoad { .. } => true,
                Statement::Call { function, .. } => {
                    meets(module, &[&module.functions[*function].body])
                }
                _ => false,
            }
        });
    }
    any
}

fn loops<'a>(module: &Module, function: &'a Function) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    each(&function.body, &mut |statement| {
        if let Statement::Loop {
            body,
            continuing,
            break_if,
        } = statement
        {
            found.push(Found {
                break_if: *break_if,
                barriers: meets(module, &[body, continuing]),
                body: [body, continuing],
            });
        }
    });
    found
}

/// `break`, `continue` and `return` of a function.
fn exits(function: &Function) -> [usize; 3] {
    let mut found = [0; 3];
    each(&function.body, &mut |statement| match statement {
        Statement::Break => found[0] += 1,
        Statement::Continue => found[1] += 1,
        Statement::Return { .. } | Statement::Kill => found[2] += 1,
        _ => {}
    });
    found
}

/// What of group 0 and of the rewriter's own variables an expression is loaded from, by each invocation for itself.
fn loaded(module: &Module, function: &Function, of: Handle<Expression>) -> HashSet<String> {
    let name = |global: Handle<GlobalVariable>| {
        module.global_variables[global]
            .name
            .clone()
            .unwrap_or_default()
    };
    let mut names = HashSet::new();
    let mut open = vec![of];
    while let Some(at) = open.pop() {
        match function.expressions[at] {
            Expression::GlobalVariable(global) => {
                names.insert(name(global));
            }
            Expression::Binary { left, right, .. } => open.extend([left, right]),
            Expression::Unary { expr, .. } | Expression::As { expr, .. } => open.push(expr),
            Expression::Select {
                condition,
                accept,
                reject,
            } => open.extend([condition, accept, reject]),
            Expression::Load { pointer } => open.push(pointer),
            Expression::Access { base, index } => open.extend([base, index]),
            Expression::AccessIndex { base, .. } => open.push(base),
            Expression::WorkGroupUniformLoadResult { .. } => {
                names.insert("together".to_owned());
            }
            _ => {}
        }
    }
    names
}

/// The user's functions of a rewritten module, by name.
fn functions(module: &Module) -> BTreeMap<String, &Function> {
    let named = module.functions.iter().filter_map(|(_, function)| {
        let name = function.name.clone()?;
        (!name.starts_with("gmem_")).then_some((name, function))
    });
    named.collect()
}

/// How many loops look at the flag alone, and together.
fn compare(name: &str, run: &Module, checked: &Module) -> [usize; 2] {
    let (run_functions, checked_functions) = (functions(run), functions(checked));
    assert_eq!(
        run_functions.keys().collect::<Vec<_>>(),
        checked_functions.keys().collect::<Vec<_>>()
    );
    let mut polls = [0; 2];
    for (function_name, function) in checked_functions {
        let of = format!("{name}: {function_name}");
        let original = run_functions[&function_name];
        assert_eq!(
            exits(original),
            exits(function),
            "{of} has exits of its own"
        );
        let (old, new) = (loops(run, original), loops(checked, function));
        assert_eq!(old.len(), new.len(), "{of}");
        for (old, new) in old.iter().zip(&new) {
            assert_eq!(old.barriers, new.barriers, "{of}: a loop got barriers");
            let Some(end) = new.break_if else {
                assert!(old.break_if.is_none(), "{of} lost an end");
                continue;
            };
            let from = loaded(checked, function, end);
            let alone = from.contains("gmem_rounds") || from.contains("gmem_report");
            assert!(
                !(alone && new.barriers),
                "{of}: invocations leave a loop with barriers one by one"
            );
            if new.barriers && old.break_if.is_none() {
                assert!(from.contains("together"), "{of}: {from:?}");
                // What they load together is what the first one stored just before.
                let mut stored = false;
                each(new.body[1], &mut |statement| {
                    stored |= matches!(statement, Statement::WorkGroupUniformLoad { .. });
                });
                assert!(stored, "{of}: the flag is not looked at in every round");
            }
            polls[0] += usize::from(alone);
            polls[1] += usize::from(!alone && old.break_if.is_none());
        }
    }
    polls
}

fn rewritten(name: &str, source: &str) -> [usize; 2] {
    let entry = Program::from_wgsl(source)
        .and_then(|p| p.entry(None, &[]))
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    let rewrite = |mode| {
        let variant = Variant {
            mode,
            page_shift: 16,
            windows: 2,
            bindings: vec![How::Paged; entry.storage.len()],
        };
        entry
            .rewrite(&variant)
            .unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    compare(
        name,
        &rewrite(Mode::Run).module,
        &rewrite(Mode::Checked).module,
    )
}

#[test]
fn no_exit_of_a_checked_run_goes_past_a_barrier() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/in");
    let mut polls = BTreeMap::new();
    for file in std::fs::read_dir(folder).expect("a folder") {
        let path = file.expect("readable").path();
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let source = std::fs::read_to_string(&path).expect("readable");
        polls.insert(name.clone(), rewritten(&name, &source));
    }
    assert_eq!(polls["rounds"], [1, 1]);
    assert_eq!(polls["collatz"], [1, 0]);
    assert_eq!(polls["bfs"], [1, 0]);
    // All their rounds are counted by what no load changes.
    assert_eq!(polls["workgroup_loop"], [0, 0]);
    assert_eq!(polls["loops"][1], 0);
}

#[test]
fn loops_are_left_together_where_a_function_that_they_call_has_a_barrier() {
    let source = "
        @group(0) @binding(0) var<storage, read_write> a: array<atomic<u32>>;
        var<workgroup> w: u32;
        fn meet() -> u32 { return workgroupUniformLoad(&w); }
        fn twice() -> u32 { return meet() + meet(); }
        @compute @workgroup_size(8) fn main(@builtin(local_invocation_index) lane: u32) {
            loop {
                if lane == 0u { w = atomicAdd(&a[0], 1u); }
                if twice() > 9u { break; }
                // This one is each invocation's own.
                loop { if atomicLoad(&a[1]) == atomicSub(&a[2], 1u) { break; } }
            }
            workgroupBarrier();
            for (var i = 0u; i < atomicLoad(&a[3]); i++) { atomicAdd(&a[4], 1u); }
            loop { atomicAdd(&a[5], lane); continuing { break if atomicLoad(&a[6]) == 1u; } }
        }";
    assert_eq!(rewritten("meeting", source), [3, 1]);
}
