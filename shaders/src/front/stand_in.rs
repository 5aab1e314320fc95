//! GLSL's built-in functions that naga's front end lacks: atomic operations on memory, barriers of memory, and a few of
//! arithmetic, which are written out.
//!
//! Each that a text uses is declared ahead of it, as a function that stands in for it. A call of one passes a copy of
//! what is in memory, and writes it back; once the text is read, the call and its copying become the atomic operation,
//! and what it is done to becomes an atomic. Plain loads and stores of that are then atomic too.

use std::collections::HashMap;

use naga::{
    AddressSpace, Arena, AtomicFunction, Barrier, Block, Expression, Function, GlobalVariable,
    Handle, Module, PredeclaredType, Range, Scalar, Span, Statement, Type, TypeInner,
};

use super::tokens::{Token, Tokens};
use crate::error::ShaderError;

/// Barriers of memory, and the memory that each is for.
const BARRIERS: [(&str, Barrier); 5] = [
    ("memoryBarrier", Barrier::all()),
    ("memoryBarrierBuffer", Barrier::STORAGE),
    ("memoryBarrierImage", Barrier::TEXTURE),
    ("memoryBarrierShared", Barrier::WORK_GROUP),
    ("groupMemoryBarrier", Barrier::all()),
];

/// Atomic operations.
const ATOMICS: [(&str, Operation); 8] = [
    ("atomicAdd", Operation::Plain(AtomicFunction::Add)),
    ("atomicMin", Operation::Plain(AtomicFunction::Min)),
    ("atomicMax", Operation::Plain(AtomicFunction::Max)),
    ("atomicAnd", Operation::Plain(AtomicFunction::And)),
    ("atomicOr", Operation::Plain(AtomicFunction::InclusiveOr)),
    ("atomicXor", Operation::Plain(AtomicFunction::ExclusiveOr)),
    (
        "atomicExchange",
        Operation::Plain(AtomicFunction::Exchange { compare: None }),
    ),
    ("atomicCompSwap", Operation::CompareExchange),
];

/// Functions of arithmetic, written out.
const ARITHMETIC: [(&str, &str); 6] = [
    (
        "uaddCarry",
        "uint uaddCarry(uint a,uint b,out uint c){uint s=a+b;c=s<a?1u:0u;return s;}",
    ),
    (
        "usubBorrow",
        "uint usubBorrow(uint a,uint b,out uint c){c=a<b?1u:0u;return a-b;}",
    ),
    (
        "umulExtended",
        "void umulExtended(uint a,uint b,out uint h,out uint l){uint p=(a&65535u)*(b&65535u);\
         uint q=(a>>16u)*(b&65535u)+(p>>16u);uint r=(a&65535u)*(b>>16u)+(q&65535u);\
         h=(a>>16u)*(b>>16u)+(q>>16u)+(r>>16u);l=a*b;}",
    ),
    (
        "modf",
        "float modf(float a,out float w){w=trunc(a);return a-w;}",
    ),
    (
        "modf",
        "vec2 modf(vec2 a,out vec2 w){w=trunc(a);return a-w;}",
    ),
    (
        "modf",
        "vec3 modf(vec3 a,out vec3 w){w=trunc(a);return a-w;}",
    ),
];

#[derive(Clone, Copy)]
enum Operation {
    Plain(AtomicFunction),
    CompareExchange,
}

/// The declarations of all functions that a text uses and the front end lacks, in one line.
pub(super) fn declarations(text: &str) -> String {
    let mut all = String::new();
    let tokens: Vec<Token<'_>> = Tokens::new(text, true).map(|(_, token)| token).collect();
    let declared = |name: &str| {
        let declares = |of: &[Token<'_>]| {
            of[1..] == [Token::Word(name), Token::Open]
                && matches!(of[0], Token::Word(word) if word != "return" && word != "else")
        };
        tokens.windows(3).any(declares)
    };
    let used = |name: &str| text.contains(name) && !declared(name);
    for (name, written) in ARITHMETIC {
        if used(name) {
            all.push_str(written);
        }
    }
    for (name, _) in BARRIERS {
        if used(name) {
            all.push_str(&format!("void {name}(){{}}"));
        }
    }
    for (name, operation) in ATOMICS {
        if !used(name) {
            continue;
        }
        let compare = match operation {
            Operation::Plain(_) => "",
            Operation::CompareExchange => "c,TYPE ",
        };
        for ty in ["uint", "int"] {
            let compare = compare.replace("TYPE", ty);
            all.push_str(&format!(
                "{ty} {name}(inout {ty} m,{ty} {compare}v){{return m;}}"
            ));
        }
    }
    all
}

/// Puts what they stand for in the place of calls of these functions.
///
/// # Errors
/// [`ShaderError::Unsupported`] for atomic operations on what is neither in a buffer nor shared.
pub(super) fn put_in_place(module: &mut Module, source: &str) -> Result<(), ShaderError> {
    let mut atomics = HashMap::new();
    for (handle, function) in module.functions.iter_mut() {
        let Some(name) = function.name.as_deref() else {
            continue;
        };
        if let Some((_, memory)) = BARRIERS.iter().find(|(known, _)| *known == name) {
            if function.arguments.is_empty() && function.result.is_none() {
                let barrier = Statement::MemoryBarrier(*memory);
                let statements = vec![barrier, Statement::Return { value: None }];
                function.body = Block::from_vec(statements);
            }
        } else if let Some((name, operation)) = ATOMICS.iter().find(|(known, _)| *known == name)
            && let Some(ref result) = function.result
            && let TypeInner::Scalar(scalar @ (Scalar::U32 | Scalar::I32)) =
                module.types[result.ty].inner
        {
            atomics.insert(handle, (*name, *operation, scalar));
        }
    }
    if atomics.is_empty() {
        return Ok(());
    }
    let mut places = Vec::new();
    let mut functions = std::mem::take(&mut module.functions);
    let mut entry_points = std::mem::take(&mut module.entry_points);
    let bodies = functions.iter_mut().map(|(_, function)| function);
    let done = bodies
        .chain(entry_points.iter_mut().map(|entry| &mut entry.function))
        .try_for_each(|function| {
            let mut body = std::mem::take(&mut function.body);
            let mut calls = Calls {
                module,
                function,
                atomics: &atomics,
                places: &mut places,
                needless: Vec::new(),
                source,
            };
            let done = calls.replaced(&mut body);
            function.body = body;
            done
        });
    module.functions = functions;
    module.entry_points = entry_points;
    done?;
    for Place { global, steps } in places {
        let ty = module.global_variables[global].ty;
        if let Some(atomic) = with_atomic(module, ty, &steps) {
            module.global_variables[global].ty = atomic;
        }
    }
    Ok(())
}

/// What an atomic operation is done to: a variable, and the members on the way, `None` for an element.
struct Place {
    global: Handle<GlobalVariable>,
    steps: Vec<Option<u32>>,
}

/// The calls in one function.
struct Calls<'a> {
    module: &'a mut Module,
    function: &'a mut Function,
    atomics: &'a HashMap<Handle<Function>, (&'static str, Operation, Scalar)>,
    places: &'a mut Vec<Place>,
    /// What was loaded for a copy that is no more.
    needless: Vec<Handle<Expression>>,
    source: &'a str,
}

impl Calls<'_> {
    fn replaced(&mut self, block: &mut Block) -> Result<(), ShaderError> {
        let mut statements: Vec<Option<(Statement, Span)>> =
            std::mem::take(block).span_into_iter().map(Some).collect();
        let mut i = 0;
        while i < statements.len() {
            if let Some((statement, span)) = &mut statements[i] {
                for inner in blocks(statement) {
                    self.replaced(inner)?;
                }
                if let Statement::Call {
                    function,
                    ref arguments,
                    result: Some(result),
                } = *statement
                    && let Some(&(name, operation, scalar)) = self.atomics.get(&function)
                {
                    let (arguments, span) = (arguments.clone(), *span);
                    let emitted = self
                        .call(
                            &mut statements,
                            i,
                            &arguments,
                            result,
                            operation,
                            scalar,
                            span,
                        )
                        .ok_or_else(|| {
                            let construct =
                                format!("`{name}` of what is neither in a buffer nor shared");
                            ShaderError::unsupported(construct, span, self.source)
                        })?;
                    if let Some(emitted) = emitted {
                        statements.insert(i + 1, Some((Statement::Emit(emitted), span)));
                    }
                }
            }
            i += 1;
        }
        for (statement, span) in statements.into_iter().flatten() {
            match statement {
                Statement::Emit(ref range) => {
                    for part in parts(range, &self.needless, &self.function.expressions) {
                        block.push(Statement::Emit(part), span);
                    }
                }
                other => block.push(other, span),
            }
        }
        Ok(())
    }

    /// Replaces the call at a place among statements, and says what is to be evaluated behind it.
    #[expect(clippy::too_many_arguments, reason = "what a call is made of")]
    fn call(
        &mut self,
        statements: &mut [Option<(Statement, Span)>],
        at: usize,
        arguments: &[Handle<Expression>],
        result: Handle<Expression>,
        operation: Operation,
        scalar: Scalar,
        span: Span,
    ) -> Option<Option<Range<Expression>>> {
        let copy = *arguments.first()?;
        let expressions = &self.function.expressions;
        if !matches!(expressions[copy], Expression::LocalVariable(_)) {
            return None;
        }
        let (copied, loaded) = (statements[..at].iter().enumerate().rev()).find_map(|(i, s)| {
            match *s.as_ref().map(|(s, _)| s)? {
                Statement::Store { pointer, value } if pointer == copy => Some((i, value)),
                _ => None,
            }
        })?;
        let Expression::Load { pointer: place } = expressions[loaded] else {
            return None;
        };
        let written = (statements[at..].iter().enumerate()).find_map(|(i, s)| {
            let Statement::Store { pointer, value } = *s.as_ref().map(|(s, _)| s)? else {
                return None;
            };
            let back =
                matches!(expressions[value], Expression::Load { pointer } if pointer == copy);
            (back && pointer == place).then_some(at + i)
        })?;
        let place_of = self.place(place)?;
        self.places.push(place_of);
        let value = *arguments.last()?;
        let (fun, given, emitted) = match operation {
            Operation::Plain(fun) => {
                let ty = self.scalar_type(scalar);
                self.function.expressions[result] = Expression::AtomicResult {
                    ty,
                    comparison: false,
                };
                (fun, result, None)
            }
            Operation::CompareExchange => {
                let ty = PredeclaredType::AtomicCompareExchangeWeakResult(scalar);
                let ty = self.module.generate_predeclared_type(ty);
                // What was loaded for the copy is not needed: its place is before all that need the result.
                self.function.expressions[loaded] = Expression::AtomicResult {
                    ty,
                    comparison: true,
                };
                self.function.expressions[result] = Expression::AccessIndex {
                    base: loaded,
                    index: 0,
                };
                let compare = Some(*arguments.get(1)?);
                let emitted = Range::new_from_bounds(result, result);
                (AtomicFunction::Exchange { compare }, loaded, Some(emitted))
            }
        };
        for i in [copied, written] {
            statements[i] = None;
        }
        self.needless.push(loaded);
        statements[at] = Some((
            Statement::Atomic {
                pointer: place,
                fun,
                value,
                result: Some(given),
            },
            span,
        ));
        Some(emitted)
    }

    fn scalar_type(&mut self, scalar: Scalar) -> Handle<Type> {
        let ty = Type {
            name: None,
            inner: TypeInner::Scalar(scalar),
        };
        self.module.types.insert(ty, Span::UNDEFINED)
    }

    /// What a pointer leads to, where that is in a buffer or shared.
    fn place(&self, pointer: Handle<Expression>) -> Option<Place> {
        let mut steps = Vec::new();
        let mut at = pointer;
        loop {
            match self.function.expressions[at] {
                Expression::AccessIndex { base, index } => {
                    steps.push(Some(index));
                    at = base;
                }
                Expression::Access { base, .. } => {
                    steps.push(None);
                    at = base;
                }
                Expression::GlobalVariable(global) => {
                    let space = self.module.global_variables[global].space;
                    steps.reverse();
                    let shared = matches!(
                        space,
                        AddressSpace::Storage { .. } | AddressSpace::WorkGroup
                    );
                    let ty = self.module.global_variables[global].ty;
                    let place = Place { global, steps };
                    return (shared && leads_to_scalar(self.module, ty, &place.steps))
                        .then_some(place);
                }
                _ => return None,
            }
        }
    }
}

/// The blocks inside a statement.
fn blocks(statement: &mut Statement) -> Vec<&mut Block> {
    match *statement {
        Statement::Block(ref mut inner) => vec![inner],
        Statement::If {
            ref mut accept,
            ref mut reject,
            ..
        } => vec![accept, reject],
        Statement::Switch { ref mut cases, .. } => {
            cases.iter_mut().map(|case| &mut case.body).collect()
        }
        Statement::Loop {
            ref mut body,
            ref mut continuing,
            ..
        } => vec![body, continuing],
        _ => Vec::new(),
    }
}

/// What a range has before and behind the expressions that are left out of it.
fn parts(
    range: &Range<Expression>,
    without: &[Handle<Expression>],
    expressions: &Arena<Expression>,
) -> Vec<Range<Expression>> {
    let all = range.index_range();
    let mut out: Vec<u32> = (without.iter().map(|handle| handle.index() as u32))
        .filter(|at| all.contains(at))
        .collect();
    out.sort_unstable();
    let begins = std::iter::once(all.start).chain(out.iter().map(|at| at + 1));
    let ends = out.iter().copied().chain([all.end]);
    (begins.zip(ends))
        .filter(|(begin, end)| begin < end)
        .map(|(begin, end)| Range::from_index_range(begin..end, expressions))
        .collect()
}

/// Whether the way into a type ends at a number.
fn leads_to_scalar(module: &Module, mut ty: Handle<Type>, steps: &[Option<u32>]) -> bool {
    for step in steps {
        ty = match (&module.types[ty].inner, step) {
            (TypeInner::Struct { members, .. }, Some(index)) => {
                match members.get(*index as usize) {
                    Some(member) => member.ty,
                    None => return false,
                }
            }
            (TypeInner::Array { base, .. }, _) => *base,
            _ => return false,
        };
    }
    matches!(
        module.types[ty].inner,
        TypeInner::Scalar(_) | TypeInner::Atomic(_)
    )
}

/// The type with an atomic at the end of the way into it.
fn with_atomic(
    module: &mut Module,
    ty: Handle<Type>,
    steps: &[Option<u32>],
) -> Option<Handle<Type>> {
    let mut new = module.types[ty].clone();
    match (&mut new.inner, steps) {
        (TypeInner::Scalar(scalar), []) => new.inner = TypeInner::Atomic(*scalar),
        (TypeInner::Atomic(_), []) => return Some(ty),
        (TypeInner::Struct { members, .. }, [Some(index), rest @ ..]) => {
            let member = members.get_mut(*index as usize)?;
            member.ty = with_atomic(module, member.ty, rest)?;
        }
        (TypeInner::Array { base, .. }, [_, rest @ ..]) => {
            *base = with_atomic(module, *base, rest)?;
        }
        _ => return None,
    }
    let span = module.types.get_span(ty);
    Some(module.types.insert(new, span))
}
