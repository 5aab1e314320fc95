//! How deep a parsed module nests.
//!
//! Analysis and rewriting recurse along blocks, calls and types, also on threads with ordinary stacks. SPIR-V has no
//! text whose nesting could be counted before, so its modules are bounded here, and everybody's are checked.

use naga::{Block, Expression, Function, Module, Statement, TypeInner};

use super::operands::of_expression;
use crate::error::ShaderError;

/// The most blocks inside each other, those of called functions counted where they are called.
const BLOCKS: u32 = 400;

/// The most types inside each other. WGSL allows 15, SPIR-V 255.
const TYPES: u32 = 64;

/// The most expressions that build upon each other, each used just once: back ends write those inside each other.
const EXPRESSIONS: u32 = 8_000;

/// Refuses a module that nests too deep.
///
/// # Errors
/// [`ShaderError::Unsupported`] with the line.
pub(super) fn check(module: &Module, source: &str) -> Result<(), ShaderError> {
    let unsupported = |what: String, span| Err(ShaderError::unsupported(what, span, source));
    let mut types = Vec::with_capacity(module.types.len());
    for (handle, ty) in module.types.iter() {
        let of = |base: naga::Handle<naga::Type>| types.get(base.index()).copied().unwrap_or(0);
        let inner: u32 = match ty.inner {
            TypeInner::Array { base, .. }
            | TypeInner::Pointer { base, .. }
            | TypeInner::BindingArray { base, .. } => of(base),
            TypeInner::Struct { ref members, .. } => {
                members.iter().map(|m| of(m.ty)).max().unwrap_or(0)
            }
            _ => 0,
        };
        if inner >= TYPES {
            return unsupported(
                format!("a type with more than {TYPES} types inside each other"),
                module.types.get_span(handle),
            );
        }
        types.push(inner + 1);
    }
    let mut depths = Vec::with_capacity(module.functions.len());
    for (handle, function) in module.functions.iter() {
        let depth = function_depth(function, &depths);
        if depth > BLOCKS {
            return unsupported(too_deep(), module.functions.get_span(handle));
        }
        expressions(function, source)?;
        depths.push(depth);
    }
    for entry in &module.entry_points {
        if function_depth(&entry.function, &depths) > BLOCKS {
            return unsupported(too_deep(), naga::Span::UNDEFINED);
        }
        expressions(&entry.function, source)?;
    }
    Ok(())
}

fn too_deep() -> String {
    format!("nesting more than {BLOCKS} blocks, in a function and those that it calls,")
}

fn function_depth(function: &Function, known: &[u32]) -> u32 {
    1 + block_depth(&function.body, known)
}

fn block_depth(block: &Block, known: &[u32]) -> u32 {
    let each = block.iter().map(|statement| match *statement {
        Statement::Block(ref block) => 1 + block_depth(block, known),
        Statement::If {
            ref accept,
            ref reject,
            ..
        } => 1 + block_depth(accept, known).max(block_depth(reject, known)),
        Statement::Switch { ref cases, .. } => {
            let cases = cases.iter().map(|case| block_depth(&case.body, known));
            1 + cases.max().unwrap_or(0)
        }
        Statement::Loop {
            ref body,
            ref continuing,
            ..
        } => 1 + block_depth(body, known).max(block_depth(continuing, known)),
        Statement::Call { function, .. } => known.get(function.index()).copied().unwrap_or(0),
        _ => 0,
    });
    each.max().unwrap_or(0)
}

fn expressions(function: &Function, source: &str) -> Result<(), ShaderError> {
    let count = function.expressions.len();
    let each = |expression: &Expression, f: &mut dyn FnMut(usize)| {
        // What has unknown operands is refused elsewhere.
        let _ = of_expression(&mut expression.clone(), &mut |h| f(h.index()));
    };
    let mut uses = vec![0u32; count];
    for (_, expression) in function.expressions.iter() {
        each(expression, &mut |operand| {
            uses.get_mut(operand).into_iter().for_each(|n| *n += 1);
        });
    }
    let mut depths: Vec<u32> = Vec::with_capacity(count);
    for (handle, expression) in function.expressions.iter() {
        let mut depth = 0;
        each(expression, &mut |operand| {
            if let (Some(1), Some(&inner)) = (uses.get(operand), depths.get(operand)) {
                depth = depth.max(inner);
            }
        });
        if depth >= EXPRESSIONS {
            return Err(ShaderError::unsupported(
                format!("an expression of more than {EXPRESSIONS} operations inside each other"),
                function.expressions.get_span(handle),
                source,
            ));
        }
        depths.push(depth + 1);
    }
    Ok(())
}
