//! The operands of expressions and statements, each handed to a function that may change it.
//!
//! What holds ray queries or cooperative matrices is named and left alone: no kernel of gmem can use those.

use naga::{
    AtomicFunction, Block, Expression, GatherMode, Handle, ImageQuery, SampleLevel, Span, Statement,
};

/// A construct whose operands are not known here, in words.
pub(super) type Unknown = &'static str;

const RAYS: Unknown = "a ray query beside a pointer parameter";
const COOPERATIVE: Unknown = "a cooperative matrix beside a pointer parameter";

/// Hands every operand of an expression to `f`.
pub(super) fn of_expression(
    expression: &mut Expression,
    f: &mut impl FnMut(&mut Handle<Expression>),
) -> Result<(), Unknown> {
    match *expression {
        Expression::Literal(_)
        | Expression::Constant(_)
        | Expression::Override(_)
        | Expression::ZeroValue(_)
        | Expression::FunctionArgument(_)
        | Expression::GlobalVariable(_)
        | Expression::LocalVariable(_)
        | Expression::CallResult(_)
        | Expression::AtomicResult { .. }
        | Expression::WorkGroupUniformLoadResult { .. }
        | Expression::SubgroupBallotResult
        | Expression::SubgroupOperationResult { .. } => {}
        Expression::Compose {
            ref mut components, ..
        } => components.iter_mut().for_each(f),
        Expression::Access {
            ref mut base,
            ref mut index,
        } => {
            f(base);
            f(index);
        }
        Expression::AccessIndex { ref mut base, .. } => f(base),
        Expression::Splat { ref mut value, .. } => f(value),
        Expression::Swizzle { ref mut vector, .. } => f(vector),
        Expression::Load { ref mut pointer } => f(pointer),
        Expression::ImageSample {
            ref mut image,
            ref mut sampler,
            ref mut coordinate,
            ref mut array_index,
            ref mut offset,
            ref mut level,
            ref mut depth_ref,
            ..
        } => {
            f(image);
            f(sampler);
            f(coordinate);
            array_index.iter_mut().for_each(&mut *f);
            offset.iter_mut().for_each(&mut *f);
            depth_ref.iter_mut().for_each(&mut *f);
            match *level {
                SampleLevel::Auto | SampleLevel::Zero => {}
                SampleLevel::Exact(ref mut level) | SampleLevel::Bias(ref mut level) => f(level),
                SampleLevel::Gradient {
                    ref mut x,
                    ref mut y,
                } => {
                    f(x);
                    f(y);
                }
            }
        }
        Expression::ImageLoad {
            ref mut image,
            ref mut coordinate,
            ref mut array_index,
            ref mut sample,
            ref mut level,
        } => {
            f(image);
            f(coordinate);
            for optional in [array_index, sample, level] {
                optional.iter_mut().for_each(&mut *f);
            }
        }
        Expression::ImageQuery {
            ref mut image,
            ref mut query,
        } => {
            f(image);
            if let ImageQuery::Size {
                level: Some(ref mut level),
            } = *query
            {
                f(level);
            }
        }
        Expression::Unary { ref mut expr, .. }
        | Expression::Derivative { ref mut expr, .. }
        | Expression::As { ref mut expr, .. } => f(expr),
        Expression::Binary {
            ref mut left,
            ref mut right,
            ..
        } => {
            f(left);
            f(right);
        }
        Expression::Select {
            ref mut condition,
            ref mut accept,
            ref mut reject,
        } => {
            f(condition);
            f(accept);
            f(reject);
        }
        Expression::Relational {
            ref mut argument, ..
        } => f(argument),
        Expression::Math {
            ref mut arg,
            ref mut arg1,
            ref mut arg2,
            ref mut arg3,
            ..
        } => {
            f(arg);
            for optional in [arg1, arg2, arg3] {
                optional.iter_mut().for_each(&mut *f);
            }
        }
        Expression::ArrayLength(ref mut array) => f(array),
        Expression::RayQueryVertexPositions { .. }
        | Expression::RayQueryProceedResult
        | Expression::RayQueryGetIntersection { .. } => return Err(RAYS),
        Expression::CooperativeLoad { .. } | Expression::CooperativeMultiplyAdd { .. } => {
            return Err(COOPERATIVE);
        }
    }
    Ok(())
}

/// Hands every operand of a statement to `f`: not the ranges of `Emit`, nor what is in nested blocks.
pub(super) fn of_statement(
    statement: &mut Statement,
    f: &mut impl FnMut(&mut Handle<Expression>),
) -> Result<(), Unknown> {
    match *statement {
        Statement::Emit(_)
        | Statement::Block(_)
        | Statement::Break
        | Statement::Continue
        | Statement::Kill
        | Statement::ControlBarrier(_)
        | Statement::MemoryBarrier(_) => {}
        Statement::If {
            ref mut condition, ..
        } => f(condition),
        Statement::Switch {
            ref mut selector, ..
        } => f(selector),
        Statement::Loop {
            ref mut break_if, ..
        } => break_if.iter_mut().for_each(f),
        Statement::Return { ref mut value } => value.iter_mut().for_each(f),
        Statement::Store {
            ref mut pointer,
            ref mut value,
        } => {
            f(pointer);
            f(value);
        }
        Statement::ImageStore {
            ref mut image,
            ref mut coordinate,
            ref mut array_index,
            ref mut value,
        } => {
            f(image);
            f(coordinate);
            array_index.iter_mut().for_each(&mut *f);
            f(value);
        }
        Statement::Atomic {
            ref mut pointer,
            ref mut fun,
            ref mut value,
            ref mut result,
        } => {
            f(pointer);
            of_atomic(fun, f);
            f(value);
            result.iter_mut().for_each(f);
        }
        Statement::ImageAtomic {
            ref mut image,
            ref mut coordinate,
            ref mut array_index,
            ref mut fun,
            ref mut value,
        } => {
            f(image);
            f(coordinate);
            array_index.iter_mut().for_each(&mut *f);
            of_atomic(fun, f);
            f(value);
        }
        Statement::WorkGroupUniformLoad {
            ref mut pointer,
            ref mut result,
        } => {
            f(pointer);
            f(result);
        }
        Statement::Call {
            ref mut arguments,
            ref mut result,
            ..
        } => {
            arguments.iter_mut().for_each(&mut *f);
            result.iter_mut().for_each(f);
        }
        Statement::SubgroupBallot {
            ref mut result,
            ref mut predicate,
        } => {
            f(result);
            predicate.iter_mut().for_each(f);
        }
        Statement::SubgroupGather {
            ref mut mode,
            ref mut argument,
            ref mut result,
        } => {
            match *mode {
                GatherMode::BroadcastFirst | GatherMode::QuadSwap(_) => {}
                GatherMode::Broadcast(ref mut lane)
                | GatherMode::Shuffle(ref mut lane)
                | GatherMode::ShuffleDown(ref mut lane)
                | GatherMode::ShuffleUp(ref mut lane)
                | GatherMode::ShuffleXor(ref mut lane)
                | GatherMode::QuadBroadcast(ref mut lane) => f(lane),
            }
            f(argument);
            f(result);
        }
        Statement::SubgroupCollectiveOperation {
            ref mut argument,
            ref mut result,
            ..
        } => {
            f(argument);
            f(result);
        }
        Statement::RayQuery { .. } | Statement::RayPipelineFunction(_) => return Err(RAYS),
        Statement::CooperativeStore { .. } => return Err(COOPERATIVE),
    }
    Ok(())
}

fn of_atomic(fun: &mut AtomicFunction, f: &mut impl FnMut(&mut Handle<Expression>)) {
    if let AtomicFunction::Exchange {
        compare: Some(ref mut compare),
    } = *fun
    {
        f(compare);
    }
}

/// Hands every statement of a block to `f`, those in nested blocks too, each before what is nested in it.
pub(super) fn each_statement<E>(
    block: &mut Block,
    f: &mut impl FnMut(&mut Statement, Span) -> Result<(), E>,
) -> Result<(), E> {
    for (statement, span) in block.span_iter_mut() {
        f(statement, span.map_or(Span::UNDEFINED, |span| *span))?;
        match *statement {
            Statement::Block(ref mut block) => each_statement(block, f)?,
            Statement::If {
                ref mut accept,
                ref mut reject,
                ..
            } => {
                each_statement(accept, f)?;
                each_statement(reject, f)?;
            }
            Statement::Switch { ref mut cases, .. } => {
                for case in cases {
                    each_statement(&mut case.body, f)?;
                }
            }
            Statement::Loop {
                ref mut body,
                ref mut continuing,
                ..
            } => {
                each_statement(body, f)?;
                each_statement(continuing, f)?;
            }
            _ => {}
        }
    }
    Ok(())
}
