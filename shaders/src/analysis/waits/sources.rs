//! One loop: what its values and variables come from.

use std::collections::{BTreeSet, HashMap};

use naga::{AtomicFunction, Block, Expression, Handle, Span, Statement};

use super::super::functions::{Body, FunctionRef, each_statement, operands_of};
use super::super::place::{Root, Space, root, space_of};
use super::effects::Effects;

/// What a value can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Node {
    /// A variable of the function, by index.
    Local(usize),
    /// A private or workgroup variable, by index.
    Global(usize),
    /// What a pointer argument points to.
    Pointee(u32),
    /// Whatever a called function computes, by slot.
    Callee(usize),
    /// A read of storage that others may change.
    Watch(usize),
}

pub(super) type Nodes = BTreeSet<Node>;

/// A read of storage that others may change.
pub(super) struct Watch {
    pub(super) binding: usize,
    pub(super) span: Span,
    /// The pointer; none when a called function reads.
    pub(super) pointer: Option<Handle<Expression>>,
    /// What an atomic operation is given.
    pub(super) operands: Vec<Handle<Expression>>,
}

/// One loop.
pub(super) struct Scope<'a> {
    pub(super) effects: &'a Effects<'a>,
    pub(super) body: Body<'a>,
    pub(super) watches: Vec<Watch>,
    pub(super) watch_of: HashMap<Handle<Expression>, usize>,
    /// What each expression evaluated in the loop comes from; nothing for those that were evaluated before it.
    pub(super) sources: Vec<Nodes>,
    pub(super) data: HashMap<Node, Nodes>,
    pub(super) control: HashMap<Node, Nodes>,
}

impl<'a> Scope<'a> {
    /// Nothing when the loop reads nothing that others may change.
    pub(super) fn new(
        effects: &'a Effects<'a>,
        body: Body<'a>,
        blocks: [&'a Block; 2],
    ) -> Option<Self> {
        let mut scope = Scope {
            effects,
            body,
            watches: Vec::new(),
            watch_of: HashMap::new(),
            sources: Vec::new(),
            data: HashMap::new(),
            control: HashMap::new(),
        };
        let mut inside = vec![false; body.function.expressions.len()];
        // Results, with the pointers or values that they come from.
        let mut results: HashMap<Handle<Expression>, Vec<Handle<Expression>>> = HashMap::new();
        let mut callees = BTreeSet::new();
        for block in blocks {
            each_statement(block, &mut |statement, span| match *statement {
                Statement::Emit(ref range) => {
                    for handle in range.clone() {
                        inside[handle.index()] = true;
                        if let Expression::Load { pointer } = body.function.expressions[handle]
                            && let Some(binding) = effects.watched_load(&body, pointer)
                        {
                            let span = body.function.expressions.get_span(handle);
                            scope.watch(handle, binding, span, pointer, Vec::new());
                        }
                    }
                }
                Statement::Atomic {
                    pointer,
                    ref fun,
                    value,
                    result: Some(result),
                } => {
                    inside[result.index()] = true;
                    let mut operands = vec![value];
                    if let AtomicFunction::Exchange {
                        compare: Some(compare),
                    } = *fun
                    {
                        operands.push(compare);
                    }
                    match effects.binding(&body, pointer) {
                        Some(binding) => scope.watch(result, binding, span, pointer, operands),
                        None => {
                            operands.push(pointer);
                            results.insert(result, operands);
                        }
                    }
                }
                Statement::Call {
                    function,
                    ref arguments,
                    result,
                } => {
                    if let Some(result) = result
                        && let Some(binding) = effects.pointed(&body, function)
                    {
                        inside[result.index()] = true;
                        let (pointer, operands) = (arguments[0], arguments[1..].to_vec());
                        scope.watch(result, binding, span, pointer, operands);
                        return;
                    }
                    callees.insert(FunctionRef::Function(function).slot());
                    if let Some(result) = result {
                        inside[result.index()] = true;
                        results.insert(result, arguments.clone());
                    }
                }
                Statement::WorkGroupUniformLoad { pointer, result } => {
                    inside[result.index()] = true;
                    results.insert(result, vec![pointer]);
                }
                Statement::SubgroupBallot { result, predicate } => {
                    inside[result.index()] = true;
                    results.insert(result, predicate.into_iter().collect());
                }
                Statement::SubgroupGather {
                    argument, result, ..
                }
                | Statement::SubgroupCollectiveOperation {
                    argument, result, ..
                } => {
                    inside[result.index()] = true;
                    results.insert(result, vec![argument]);
                }
                _ => {}
            });
        }
        for slot in callees {
            scope.callee(slot);
        }
        if scope.watches.is_empty() {
            return None;
        }
        // Operands come earlier in the arena.
        for (handle, expression) in body.function.expressions.iter() {
            let nodes = if inside[handle.index()] {
                scope.sources_of(handle, expression, &results)
            } else {
                Nodes::new()
            };
            scope.sources.push(nodes);
        }
        for block in blocks {
            scope.edges(block, &mut Vec::new());
        }
        Some(scope)
    }

    pub(super) fn watch(
        &mut self,
        of: Handle<Expression>,
        binding: usize,
        span: Span,
        pointer: Handle<Expression>,
        operands: Vec<Handle<Expression>>,
    ) {
        self.watch_of.insert(of, self.watches.len());
        self.watches.push(Watch {
            binding,
            span,
            pointer: Some(pointer),
            operands,
        });
    }

    /// What a called function computes from.
    pub(super) fn callee(&mut self, slot: usize) {
        let summary = &self.effects.summaries[slot];
        let from = self.data.entry(Node::Callee(slot)).or_default();
        from.extend(summary.loads.iter().map(|&global| Node::Global(global)));
        if let Some((binding, span)) = summary.watch {
            from.insert(Node::Watch(self.watches.len()));
            self.watches.push(Watch {
                binding,
                span,
                pointer: None,
                operands: Vec::new(),
            });
        }
    }

    /// The variable that a pointer points into, if it is none in storage.
    pub(super) fn variable(&self, pointer: Handle<Expression>) -> Option<Node> {
        match root(&self.body, pointer)? {
            Root::Local(local) => Some(Node::Local(local.index())),
            Root::Argument(index) => Some(Node::Pointee(index)),
            Root::Global(global) => match space_of(&self.body, global) {
                Space::Private | Space::Workgroup => Some(Node::Global(global.index())),
                _ => None,
            },
        }
    }

    pub(super) fn sources_of(
        &self,
        handle: Handle<Expression>,
        expression: &Expression,
        results: &HashMap<Handle<Expression>, Vec<Handle<Expression>>>,
    ) -> Nodes {
        if let Some(&watch) = self.watch_of.get(&handle) {
            return Nodes::from([Node::Watch(watch)]);
        }
        let mut nodes = Nodes::new();
        let mut add = |from: Handle<Expression>| {
            // What stands later in the arena belongs to no valid module.
            if let Some(sources) = self.sources.get(from.index()) {
                nodes.extend(sources);
            }
        };
        if let Some(from) = results.get(&handle) {
            for &from in from {
                add(from);
            }
            nodes.extend(from.iter().filter_map(|&from| {
                let pointer = self.body.ty(from).pointer_space().is_some();
                pointer.then(|| self.variable(from)).flatten()
            }));
            if let Expression::CallResult(function) = *expression {
                nodes.insert(Node::Callee(FunctionRef::Function(function).slot()));
            }
            return nodes;
        }
        operands_of(expression, &mut add);
        if let Expression::Load { pointer } = *expression {
            nodes.extend(self.variable(pointer));
        }
        nodes
    }

    pub(super) fn sources(&self, expression: Handle<Expression>) -> &Nodes {
        &self.sources[expression.index()]
    }

    /// Collects what variables are computed from, and under which conditions.
    pub(super) fn edges(&mut self, block: &'a Block, conditions: &mut Vec<Handle<Expression>>) {
        for statement in block.iter() {
            match *statement {
                Statement::Store { pointer, value } => {
                    if let Some(target) = self.variable(pointer) {
                        self.stored(target, &[pointer, value], None, conditions);
                    }
                }
                Statement::Atomic { pointer, value, .. } => {
                    if let Some(target) = self.variable(pointer) {
                        self.stored(target, &[pointer, value], Some(target), conditions);
                    }
                }
                Statement::Call {
                    function,
                    ref arguments,
                    ..
                } => {
                    let slot = FunctionRef::Function(function).slot();
                    let mut targets: Vec<Node> = self.effects.summaries[slot]
                        .stores
                        .iter()
                        .map(|&global| Node::Global(global))
                        .collect();
                    for &argument in arguments {
                        if self.body.ty(argument).pointer_space().is_some() {
                            targets.extend(self.variable(argument));
                        }
                    }
                    for target in targets {
                        self.stored(target, arguments, Some(Node::Callee(slot)), conditions);
                    }
                }
                Statement::Block(ref inner) => self.edges(inner, conditions),
                Statement::If {
                    condition,
                    ref accept,
                    ref reject,
                } => {
                    conditions.push(condition);
                    self.edges(accept, conditions);
                    self.edges(reject, conditions);
                    conditions.pop();
                }
                Statement::Switch {
                    selector,
                    ref cases,
                } => {
                    conditions.push(selector);
                    for case in cases {
                        self.edges(&case.body, conditions);
                    }
                    conditions.pop();
                }
                Statement::Loop {
                    ref body,
                    ref continuing,
                    ..
                } => {
                    self.edges(body, conditions);
                    self.edges(continuing, conditions);
                }
                _ => {}
            }
        }
    }

    pub(super) fn stored(
        &mut self,
        target: Node,
        from: &[Handle<Expression>],
        also: Option<Node>,
        conditions: &[Handle<Expression>],
    ) {
        let data = self.data.entry(target).or_default();
        data.extend(also);
        for from in from {
            data.extend(&self.sources[from.index()]);
        }
        let control = self.control.entry(target).or_default();
        for condition in conditions {
            control.extend(&self.sources[condition.index()]);
        }
    }

    /// Everything that goes into some nodes.
    pub(super) fn closure(&self, from: &Nodes, next: impl Fn(Node, &mut Vec<Node>)) -> Nodes {
        let mut reached = from.clone();
        let mut open: Vec<Node> = from.iter().copied().collect();
        let mut found = Vec::new();
        while let Some(node) = open.pop() {
            next(node, &mut found);
            for node in found.drain(..) {
                if reached.insert(node) {
                    open.push(node);
                }
            }
        }
        reached
    }

    pub(super) fn data_of(&self, from: &Nodes) -> Nodes {
        self.closure(from, |node, found| {
            found.extend(self.data.get(&node).into_iter().flatten())
        })
    }
}
