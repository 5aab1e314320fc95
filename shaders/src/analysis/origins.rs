//! Where the addresses of a binding come from: for people who ask why its footprint is what it is.
//!
//! Followed backwards through variables, arguments and results, without regard to the order of statements, up to the first
//! value that is no function of ids, uniforms and constants.

use std::collections::{BTreeSet, HashMap, HashSet};

use naga::valid::ModuleInfo;
use naga::{Expression, GlobalVariable, Handle, LocalVariable, Module, Span, Statement};

use super::Analysis;
use super::functions::{Body, FunctionRef, Functions, each_statement, operands_of};
use super::place::{Root, Space, Step, root, space_of, steps, storage_root};
use crate::Entry;
use crate::error::line;

/// A value that is not known before the kernel runs, and that an address is computed from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The storage binding that it is loaded from, by index; none for other values.
    pub binding: Option<usize>,
    /// What it is, in words.
    pub what: String,
    /// The line where it is read, from 1 (0 when unknown).
    pub line: u32,
}

type At = (FunctionRef, Handle<Expression>);

/// A function's parameter.
type Parameter = (FunctionRef, u32);
/// A variable of a function.
type Local = (FunctionRef, Handle<LocalVariable>);

/// What flows into what cannot be followed by expressions alone.
#[derive(Default)]
struct Flows {
    locals: HashMap<Local, Vec<At>>,
    globals: HashMap<Handle<GlobalVariable>, Vec<At>>,
    /// By the called function and the argument's index.
    arguments: HashMap<Parameter, Vec<At>>,
    /// What is stored through pointer arguments, by the function and the argument's index.
    pointees: HashMap<Parameter, Vec<At>>,
    results: HashMap<FunctionRef, Vec<At>>,
    /// What atomic operations work on.
    atomics: HashMap<At, Handle<Expression>>,
    /// What workgroupUniformLoad and subgroup operations are given.
    given: HashMap<At, Vec<Handle<Expression>>>,
    /// The functions that a variable's address is passed to, with the argument's index.
    passed: HashMap<Local, Vec<Parameter>>,
}

impl Flows {
    fn of(functions: &Functions<'_>) -> Self {
        let mut flows = Flows::default();
        for body in functions.bodies() {
            each_statement(&body.function.body, &mut |statement, _| {
                flows.statement(&body, statement);
            });
        }
        flows
    }

    fn statement(&mut self, body: &Body<'_>, statement: &Statement) {
        match *statement {
            Statement::Store { pointer, value } => self.stored(body, pointer, value),
            Statement::Atomic {
                pointer,
                value,
                result,
                ..
            } => {
                self.stored(body, pointer, value);
                if let Some(result) = result {
                    self.atomics.insert((body.at, result), pointer);
                }
            }
            Statement::Return { value: Some(value) } => {
                self.results
                    .entry(body.at)
                    .or_default()
                    .push((body.at, value));
            }
            Statement::Call {
                function,
                ref arguments,
                ..
            } => {
                let callee = FunctionRef::Function(function);
                for (index, &argument) in (0..).zip(arguments) {
                    self.arguments
                        .entry((callee, index))
                        .or_default()
                        .push((body.at, argument));
                    if body.ty(argument).pointer_space().is_some()
                        && let Some(Root::Local(local)) = root(body, argument)
                    {
                        self.passed
                            .entry((body.at, local))
                            .or_default()
                            .push((callee, index));
                    }
                }
            }
            Statement::WorkGroupUniformLoad { pointer, result } => {
                self.given.insert((body.at, result), vec![pointer]);
            }
            Statement::SubgroupGather {
                argument, result, ..
            }
            | Statement::SubgroupCollectiveOperation {
                argument, result, ..
            } => {
                self.given.insert((body.at, result), vec![argument]);
            }
            _ => {}
        }
    }

    fn stored(&mut self, body: &Body<'_>, pointer: Handle<Expression>, value: Handle<Expression>) {
        let from = (body.at, value);
        match root(body, pointer) {
            Some(Root::Local(local)) => {
                self.locals.entry((body.at, local)).or_default().push(from);
            }
            Some(Root::Argument(index)) => {
                self.pointees
                    .entry((body.at, index))
                    .or_default()
                    .push(from);
            }
            Some(Root::Global(global)) => self.globals.entry(global).or_default().push(from),
            None => {}
        }
    }
}

/// A walk back from one binding's addresses.
struct Walk<'a> {
    functions: &'a Functions<'a>,
    flows: &'a Flows,
    storage: &'a [Handle<GlobalVariable>],
    seen: HashSet<At>,
    open: Vec<At>,
    found: BTreeSet<(Option<usize>, String, u32, u32)>,
    spans: HashMap<(u32, u32), Span>,
}

impl Walk<'_> {
    fn ask(&mut self, at: At) {
        if self.seen.insert(at) {
            self.open.push(at);
        }
    }

    fn ask_all(&mut self, all: Option<&Vec<At>>) {
        for &at in all.into_iter().flatten() {
            self.ask(at);
        }
    }

    fn indices(&mut self, body: &Body<'_>, pointer: Handle<Expression>) {
        for step in steps(body, pointer) {
            if let Step::Dynamic(index) = step {
                self.ask((body.at, index));
            }
        }
    }

    fn record(&mut self, binding: Option<usize>, what: String, span: Span) {
        let range = span.to_range().unwrap_or(0..0);
        let key = (range.start as u32, range.end as u32);
        self.spans.insert(key, span);
        self.found.insert((binding, what, key.0, key.1));
    }

    fn name(&self, global: Handle<GlobalVariable>) -> String {
        let name = &self.functions.module.global_variables[global].name;
        name.clone().unwrap_or_else(|| "(unnamed)".to_owned())
    }

    /// The values of a variable.
    fn variable(&mut self, body: &Body<'_>, pointer: Handle<Expression>) {
        let flows = self.flows;
        match root(body, pointer) {
            Some(Root::Local(local)) => {
                self.ask_all(flows.locals.get(&(body.at, local)));
                if let Some(init) = body.function.local_variables[local].init {
                    self.ask((body.at, init));
                }
                for passed in flows.passed.get(&(body.at, local)).into_iter().flatten() {
                    self.ask_all(flows.pointees.get(passed));
                }
            }
            Some(Root::Argument(index)) => {
                self.ask_all(flows.pointees.get(&(body.at, index)));
                for &(caller, argument) in
                    flows.arguments.get(&(body.at, index)).into_iter().flatten()
                {
                    let caller = self.functions.body(caller);
                    self.variable(&caller, argument);
                }
            }
            Some(Root::Global(global)) => self.ask_all(flows.globals.get(&global)),
            None => {}
        }
    }

    fn load(&mut self, body: &Body<'_>, pointer: Handle<Expression>, span: Span) {
        self.indices(body, pointer);
        let Some(Root::Global(global)) = root(body, pointer) else {
            return self.variable(body, pointer);
        };
        match space_of(body, global) {
            Space::Storage => {
                let binding = self.storage.iter().position(|&other| other == global);
                let what = format!("a value of `{}`", self.name(global));
                self.record(binding, what, span);
            }
            Space::Private | Space::Workgroup => self.variable(body, pointer),
            Space::Value => {}
            Space::Other => self.record(None, "a value out of a resource".to_owned(), span),
        }
    }

    fn step(&mut self, (at, handle): At) {
        let body = self.functions.body(at);
        let flows = self.flows;
        let span = body.function.expressions.get_span(handle);
        match body.function.expressions[handle] {
            Expression::Load { pointer } => self.load(&body, pointer, span),
            Expression::FunctionArgument(index) => {
                self.ask_all(flows.arguments.get(&(at, index)));
            }
            Expression::CallResult(function) => {
                self.ask_all(flows.results.get(&FunctionRef::Function(function)));
            }
            Expression::AtomicResult { .. } => {
                let Some(&pointer) = flows.atomics.get(&(at, handle)) else {
                    return;
                };
                let binding = storage_root(&body, pointer)
                    .and_then(|global| self.storage.iter().position(|&other| other == global));
                let name = match root(&body, pointer) {
                    Some(Root::Global(global)) => self.name(global),
                    _ => "(unnamed)".to_owned(),
                };
                let what = format!("the result of an atomic operation on `{name}`");
                self.record(binding, what, span);
            }
            Expression::WorkGroupUniformLoadResult { .. } => {
                for &pointer in flows.given.get(&(at, handle)).into_iter().flatten() {
                    self.variable(&body, pointer);
                }
            }
            Expression::SubgroupBallotResult | Expression::SubgroupOperationResult { .. } => {
                self.record(None, "the result of a subgroup operation".to_owned(), span);
            }
            Expression::ImageSample { .. } | Expression::ImageLoad { .. } => {
                self.record(None, "a texel of a texture".to_owned(), span);
            }
            ref other => operands_of(other, &mut |operand| self.ask((at, operand))),
        }
    }
}

impl Analysis {
    /// What is not known before the kernel runs and the addresses of a binding are computed from, in the order of the source.
    /// `module` and `info` are those that the analysis was made of.
    #[must_use]
    pub fn origins(
        &self,
        module: &Module,
        info: &ModuleInfo,
        binding: usize,
        source: &str,
    ) -> Vec<Origin> {
        let functions = Functions::new(module, info, self.entry_index);
        let flows = Flows::of(&functions);
        let mut walk = Walk {
            functions: &functions,
            flows: &flows,
            storage: &self.storage,
            seen: HashSet::new(),
            open: Vec::new(),
            found: BTreeSet::new(),
            spans: HashMap::new(),
        };
        for site in self.sites.iter().filter(|site| site.binding == binding) {
            let body = functions.body(site.function);
            walk.indices(&body, site.pointer);
        }
        while let Some(at) = walk.open.pop() {
            walk.step(at);
        }
        let mut origins: Vec<Origin> = walk
            .found
            .into_iter()
            .map(|(binding, what, start, end)| Origin {
                binding,
                what,
                line: walk
                    .spans
                    .get(&(start, end))
                    .map_or(0, |&s| line(s, source)),
            })
            .collect();
        origins.sort_by_key(|origin| origin.line);
        origins.dedup();
        origins
    }
}

impl Entry {
    /// What is not known before the kernel runs and the addresses of a storage binding are computed from, with lines.
    #[must_use]
    pub fn origins(&self, binding: usize) -> Vec<Origin> {
        self.analysis
            .origins(&self.module, &self.info, binding, &self.source)
    }
}
