//! Pointers to storage and workgroup memory that are passed to functions.
//!
//! The validator takes pointers to a function's own variables and to private ones as parameters, no others. So each
//! function that takes another kind is made anew for what it is given: once for each set of variables, and parts of
//! them, that its pointers lead to. Indices that are known only while the kernel runs become ordinary parameters,
//! evaluated once, before the call. After [`specialise`] no such pointer crosses a call.

use std::collections::HashMap;

use naga::front::Typifier;
use naga::proc::{GlobalCtx, ResolveContext, TypeResolution};
use naga::{
    AddressSpace, Arena, Block, Expression, Function, FunctionArgument, GlobalVariable, Handle,
    Module, Span, Statement, Type, TypeInner,
};

use super::guard::caught;
use super::operands::{each_statement, of_expression, of_statement};
use crate::error::ShaderError;

/// The most functions that are made anew. Real kernels need a few; a chain of functions that pass on parts of what
/// they are given could need 2^n.
const MOST: usize = 4096;

/// Replaces every function that takes pointers to other than function and private variables. Modules without any stay
/// as they are.
///
/// # Errors
/// [`ShaderError::Unsupported`] where a pointer's variable is not known before the kernel runs,
/// [`ShaderError::Invalid`] for a call that does not fit its function.
pub(super) fn specialise(module: &mut Module, source: &str) -> Result<(), ShaderError> {
    let passes = |f: &Function| f.arguments.iter().any(|a| is_passed(module, a));
    if !module.functions.iter().any(|(_, f)| passes(f)) {
        return Ok(());
    }
    let mut entry_points = std::mem::take(&mut module.entry_points);
    // Its functions would be others from here on.
    module.doc_comments = None;
    let mut specialiser = Specialiser {
        new: Arena::new(),
        kept: vec![None; module.functions.len()],
        made: HashMap::new(),
        module,
        source,
    };
    specialiser.ordinary()?;
    for entry in &mut entry_points {
        let count = specialiser.module.functions.len();
        let function = std::mem::take(&mut entry.function);
        entry.function = specialiser.with_calls(function, count)?;
    }
    let functions = specialiser.new;
    module.functions = functions;
    module.entry_points = entry_points;
    Ok(())
}

/// Whether an argument is a pointer that the validator does not let pass.
fn is_passed(module: &Module, argument: &FunctionArgument) -> bool {
    match module.types[argument.ty].inner.pointer_space() {
        None | Some(AddressSpace::Function | AddressSpace::Private) => false,
        Some(_) => true,
    }
}

/// A step from a variable to a part of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    /// A member, or an element whose index is a constant.
    Fixed(u32),
    /// An element whose index, of this type, is not.
    Given(Handle<Type>),
}

/// What a pointer leads to: a variable and the steps into it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Target {
    root: Handle<GlobalVariable>,
    steps: Vec<Step>,
}

/// A function and what the pointers among its arguments lead to, in order.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    function: Handle<Function>,
    targets: Vec<Target>,
}

struct Specialiser<'a> {
    /// The module with its old functions.
    module: &'a mut Module,
    source: &'a str,
    new: Arena<Function>,
    /// The new handle of each old function that takes no such pointers.
    kept: Vec<Option<Handle<Function>>>,
    made: HashMap<Key, Handle<Function>>,
}

impl Specialiser<'_> {
    /// Takes over the functions that take no such pointers.
    fn ordinary(&mut self) -> Result<(), ShaderError> {
        let all: Vec<_> = self.module.functions.iter().map(|(h, _)| h).collect();
        for handle in all {
            let function = &self.module.functions[handle];
            if function.arguments.iter().any(|a| is_passed(self.module, a)) {
                continue;
            }
            let span = self.module.functions.get_span(handle);
            let function = self.with_calls(function.clone(), handle.index())?;
            self.kept[handle.index()] = Some(self.new.append(function, span));
        }
        Ok(())
    }

    /// The function with its calls led to the new functions. It may call old functions before the one at `place` only,
    /// so that this ends.
    fn with_calls(
        &mut self,
        mut function: Function,
        place: usize,
    ) -> Result<Function, ShaderError> {
        let mut body = std::mem::take(&mut function.body);
        let mut types = None;
        // Set at the end: until then the types of results are those of the old functions.
        let mut results = Vec::new();
        each_statement(&mut body, &mut |statement, span| {
            let Statement::Call {
                function: ref mut callee,
                ref mut arguments,
                result,
            } = *statement
            else {
                return Ok(());
            };
            if callee.index() >= place {
                return Err(self.unsupported("a function that calls itself", span));
            }
            let new = match self.kept[callee.index()] {
                Some(kept) => kept,
                None => {
                    let types = match types {
                        Some(ref types) => types,
                        None => &*types.insert(self.types(&function, span)?),
                    };
                    self.specialised(&function, types, *callee, arguments, span)?
                }
            };
            *callee = new;
            results.extend(result.map(|result| (result, new)));
            Ok(())
        })?;
        for (result, new) in results {
            *function.expressions.get_mut(result) = Expression::CallResult(new);
        }
        function.body = body;
        Ok(function)
    }

    /// The types of a function's expressions.
    fn types(&self, function: &Function, span: Span) -> Result<Typifier, ShaderError> {
        let context = ResolveContext::with_locals(
            self.module,
            &function.local_variables,
            &function.arguments,
        );
        let mut types = Typifier::new();
        if let Some((last, _)) = function.expressions.iter().next_back() {
            caught(|| types.grow(last, &function.expressions, &context))?
                .map_err(|e| self.invalid(e.to_string(), span))?;
        }
        Ok(types)
    }

    /// The function for a call's arguments, which become those of the new function.
    fn specialised(
        &mut self,
        caller: &Function,
        types: &Typifier,
        callee: Handle<Function>,
        arguments: &mut Vec<Handle<Expression>>,
        span: Span,
    ) -> Result<Handle<Function>, ShaderError> {
        let mut key = Key {
            function: callee,
            targets: Vec::new(),
        };
        let parameters = self.module.functions[callee].arguments.clone();
        let name = self.module.functions[callee].name.clone();
        let name = name.unwrap_or_else(|| "a function".to_owned());
        if parameters.len() != arguments.len() {
            return Err(self.invalid(
                format!(
                    "{name} takes {} arguments, not {}",
                    parameters.len(),
                    arguments.len()
                ),
                span,
            ));
        }
        let mut given = Vec::new();
        let mut indices = Vec::new();
        for (parameter, &argument) in parameters.iter().zip(arguments.iter()) {
            if !is_passed(self.module, parameter) {
                given.push(argument);
                continue;
            }
            let to = &self.module.types[parameter.ty].inner;
            if !same_target(self.module.to_ctx(), to, &types[argument]) {
                let parameter = parameter.name.as_deref().unwrap_or("a pointer");
                return Err(self.invalid(
                    format!("the argument for {parameter} of {name} points to another type"),
                    span,
                ));
            }
            let target = self.target(caller, types, argument, &mut indices, span)?;
            key.targets.push(target);
        }
        given.append(&mut indices);
        *arguments = given;
        if let Some(&made) = self.made.get(&key) {
            return Ok(made);
        }
        if self.made.len() >= MOST {
            return Err(self.unsupported(
                &format!("passing pointers to more than {MOST} different targets"),
                span,
            ));
        }
        let function = self.copied(&key)?;
        let function = self.with_calls(function, callee.index())?;
        let span = self.module.functions.get_span(callee);
        let made = self.new.append(function, span);
        self.made.insert(key, made);
        Ok(made)
    }

    /// What a pointer leads to. The indices on the way that are no constants go to `indices`, the outermost first.
    fn target(
        &mut self,
        caller: &Function,
        types: &Typifier,
        pointer: Handle<Expression>,
        indices: &mut Vec<Handle<Expression>>,
        span: Span,
    ) -> Result<Target, ShaderError> {
        let mut steps = Vec::new();
        let mut given = Vec::new();
        let mut at = pointer;
        let root = loop {
            match caller.expressions[at] {
                Expression::GlobalVariable(root) => break root,
                Expression::AccessIndex { base, index } => {
                    steps.push(Step::Fixed(index));
                    at = base;
                }
                Expression::Access { base, index } => {
                    steps.push(Step::Given(
                        types.register_type(index, &mut self.module.types),
                    ));
                    given.push(index);
                    at = base;
                }
                _ => {
                    return Err(self.unsupported(
                        "passing a pointer whose variable is not known before the kernel runs",
                        span,
                    ));
                }
            }
        };
        steps.reverse();
        indices.extend(given.into_iter().rev());
        Ok(Target { root, steps })
    }

    /// The function with its pointers replaced by what they lead to. Its calls are still those to old functions.
    fn copied(&self, key: &Key) -> Result<Function, ShaderError> {
        let old = self.module.functions[key.function].clone();
        let mut arguments = Vec::new();
        let mut ordinary = vec![None; old.arguments.len()];
        let mut pointers = Vec::new();
        for (i, argument) in old.arguments.iter().enumerate() {
            if is_passed(self.module, argument) {
                pointers.push(i);
            } else {
                ordinary[i] = Some(arguments.len() as u32);
                arguments.push(argument.clone());
            }
        }
        let mut expressions = Arena::new();
        let mut replaced = vec![None; old.arguments.len()];
        // What needs no evaluation comes first, so that the rest is one range.
        let mut roots = Vec::new();
        for (&pointer, target) in pointers.iter().zip(&key.targets) {
            let name = old.arguments[pointer].name.as_deref().unwrap_or("p");
            let root = Expression::GlobalVariable(target.root);
            let root = expressions.append(root, Span::UNDEFINED);
            let mut indices = Vec::new();
            for step in &target.steps {
                indices.push(match *step {
                    Step::Fixed(_) => None,
                    Step::Given(ty) => {
                        let at = Expression::FunctionArgument(arguments.len() as u32);
                        arguments.push(FunctionArgument {
                            name: Some(format!("{name}_at")),
                            ty,
                            binding: None,
                        });
                        Some(expressions.append(at, Span::UNDEFINED))
                    }
                });
            }
            roots.push((root, indices));
        }
        let evaluated = expressions.len();
        for ((&pointer, target), (root, indices)) in pointers.iter().zip(&key.targets).zip(roots) {
            let mut base = root;
            for (step, index) in target.steps.iter().zip(indices) {
                let next = match (*step, index) {
                    (_, Some(index)) => Expression::Access { base, index },
                    (Step::Fixed(index), None) => Expression::AccessIndex { base, index },
                    (Step::Given(_), None) => continue,
                };
                base = expressions.append(next, Span::UNDEFINED);
            }
            replaced[pointer] = Some((base, target.root));
        }
        let mut body = Block::new();
        let range = expressions.range_from(evaluated);
        if !range.index_range().is_empty() {
            body.push(Statement::Emit(range), Span::UNDEFINED);
        }
        let shift = expressions.len() as u32;
        let mut moved = Moved::default();
        for (handle, expression) in old.expressions.iter() {
            let at = old.expressions.get_span(handle);
            let mut expression = expression.clone();
            let mut stands_for = None;
            if let Expression::FunctionArgument(ref mut i) = expression {
                let place = *i as usize;
                match (ordinary.get(place), replaced.get(place)) {
                    (Some(&Some(new)), _) => *i = new,
                    (_, Some(&Some((pointer, root)))) => {
                        // Its place stays taken, by something that nobody uses: so ranges keep their shape.
                        stands_for = Some(pointer);
                        expression = Expression::GlobalVariable(root);
                    }
                    _ => return Err(self.invalid(format!("there is no argument {place}"), at)),
                }
            }
            of_expression(&mut expression, &mut |h| moved.apply(h))
                .map_err(|construct| self.unsupported(construct, at))?;
            let new = expressions.append(expression, at);
            moved.handles.push(stands_for.unwrap_or(new));
        }
        let mut statements = old.body;
        each_statement(&mut statements, &mut |statement, at| {
            if let Statement::Emit(ref mut range) = *statement {
                let old = range.index_range();
                let new = old.start + shift..old.end + shift;
                *range = naga::Range::from_index_range(new, &expressions);
            }
            of_statement(statement, &mut |h| moved.apply(h))
                .map_err(|construct| self.unsupported(construct, at))
        })?;
        body.extend_block(statements);
        let mut local_variables = old.local_variables;
        for (_, local) in local_variables.iter_mut() {
            local.init.iter_mut().for_each(|init| moved.apply(init));
        }
        let mut named_expressions = old.named_expressions.clone();
        named_expressions.clear();
        for (mut handle, name) in old.named_expressions {
            moved.apply(&mut handle);
            named_expressions.insert(handle, name);
        }
        if moved.lost {
            let span = self.module.functions.get_span(key.function);
            return Err(self.invalid("an expression before what it is made of".to_owned(), span));
        }
        Ok(Function {
            name: old.name,
            arguments,
            result: old.result,
            local_variables,
            expressions,
            named_expressions,
            body,
            diagnostic_filter_leaf: old.diagnostic_filter_leaf,
        })
    }

    fn unsupported(&self, construct: &str, span: Span) -> ShaderError {
        ShaderError::unsupported(construct, span, self.source)
    }

    fn invalid(&self, message: String, span: Span) -> ShaderError {
        ShaderError::Invalid {
            line: crate::error::line(span, self.source),
            message,
            report: String::new(),
        }
    }
}

/// Where a function's expressions have gone.
#[derive(Default)]
struct Moved {
    handles: Vec<Handle<Expression>>,
    /// Some operand has not been moved yet.
    lost: bool,
}

impl Moved {
    fn apply(&mut self, handle: &mut Handle<Expression>) {
        match self.handles.get(handle.index()) {
            Some(new) => *handle = *new,
            None => self.lost = true,
        }
    }
}

/// Whether a pointer may be passed for a parameter: same kind of memory, same type behind it. Access modes need not
/// be equal, a store to what is only read is found where it stands.
fn same_target(module: GlobalCtx<'_>, parameter: &TypeInner, argument: &TypeResolution) -> bool {
    let given = argument.inner_with(module.types);
    let (Some(wanted), Some(space)) = (parameter.pointer_space(), given.pointer_space()) else {
        return false;
    };
    if std::mem::discriminant(&wanted) != std::mem::discriminant(&space) {
        return false;
    }
    let in_space = |inner: &TypeInner| match *inner {
        TypeInner::Pointer { base, .. } => TypeInner::Pointer {
            base,
            space: AddressSpace::Private,
        },
        TypeInner::ValuePointer { size, scalar, .. } => TypeInner::ValuePointer {
            size,
            scalar,
            space: AddressSpace::Private,
        },
        ref other => other.clone(),
    };
    module.compare_types(
        &TypeResolution::Value(in_space(parameter)),
        &TypeResolution::Value(in_space(given)),
    )
}
