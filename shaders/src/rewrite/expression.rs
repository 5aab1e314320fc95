//! Copies an expression with other operands.

use naga::{Expression, GatherMode, Handle, ImageQuery, SampleLevel, Span};

use super::build::Value;
use super::function::Rewriter;
use crate::ShaderError;

/// Why an expression cannot be copied.
pub(super) enum CopyError {
    Unsupported(&'static str),
    Operand(ShaderError),
}

impl CopyError {
    pub(super) fn located(self, span: Span, source: &str) -> ShaderError {
        match self {
            Self::Unsupported(construct) => ShaderError::unsupported(construct, span, source),
            Self::Operand(error) => error,
        }
    }
}

impl From<ShaderError> for CopyError {
    fn from(error: ShaderError) -> Self {
        Self::Operand(error)
    }
}

/// The expression with `f` of every operand.
pub(super) fn with_operands(
    mut expression: Expression,
    f: &mut impl FnMut(Handle<Expression>) -> Result<Value, ShaderError>,
) -> Result<Expression, CopyError> {
    match expression {
        Expression::Literal(_)
        | Expression::Constant(_)
        | Expression::Override(_)
        | Expression::ZeroValue(_)
        | Expression::FunctionArgument(_)
        | Expression::LocalVariable(_) => {}
        Expression::Compose {
            ref mut components, ..
        } => {
            for c in components {
                *c = f(*c)?;
            }
        }
        Expression::Access {
            ref mut base,
            ref mut index,
        } => {
            *base = f(*base)?;
            *index = f(*index)?;
        }
        Expression::AccessIndex { ref mut base, .. } => *base = f(*base)?,
        Expression::Splat { ref mut value, .. } => *value = f(*value)?,
        Expression::Swizzle { ref mut vector, .. } => *vector = f(*vector)?,
        Expression::Load { ref mut pointer } => *pointer = f(*pointer)?,
        Expression::Unary { ref mut expr, .. } | Expression::As { ref mut expr, .. } => {
            *expr = f(*expr)?
        }
        Expression::Binary {
            ref mut left,
            ref mut right,
            ..
        } => {
            *left = f(*left)?;
            *right = f(*right)?;
        }
        Expression::Select {
            ref mut condition,
            ref mut accept,
            ref mut reject,
        } => {
            *condition = f(*condition)?;
            *accept = f(*accept)?;
            *reject = f(*reject)?;
        }
        Expression::Relational {
            ref mut argument, ..
        } => *argument = f(*argument)?,
        Expression::Math {
            ref mut arg,
            ref mut arg1,
            ref mut arg2,
            ref mut arg3,
            ..
        } => {
            *arg = f(*arg)?;
            for arg in [arg1, arg2, arg3].into_iter().flatten() {
                *arg = f(*arg)?;
            }
        }
        Expression::GlobalVariable(_)
        | Expression::CallResult(_)
        | Expression::AtomicResult { .. }
        | Expression::WorkGroupUniformLoadResult { .. }
        | Expression::SubgroupBallotResult
        | Expression::SubgroupOperationResult { .. } => {
            return Err(CopyError::Unsupported(
                "a statement's result before the statement",
            ));
        }
        Expression::ArrayLength(_) => {
            return Err(CopyError::Unsupported(
                "the length of an array that is not in storage",
            ));
        }
        Expression::Derivative { .. } => return Err(CopyError::Unsupported("a derivative")),
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
            *image = f(*image)?;
            *sampler = f(*sampler)?;
            *coordinate = f(*coordinate)?;
            for optional in [array_index, offset, depth_ref].into_iter().flatten() {
                *optional = f(*optional)?;
            }
            match *level {
                SampleLevel::Auto | SampleLevel::Zero => {}
                SampleLevel::Exact(ref mut level) | SampleLevel::Bias(ref mut level) => {
                    *level = f(*level)?;
                }
                SampleLevel::Gradient {
                    ref mut x,
                    ref mut y,
                } => {
                    *x = f(*x)?;
                    *y = f(*y)?;
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
            *image = f(*image)?;
            *coordinate = f(*coordinate)?;
            for optional in [array_index, sample, level].into_iter().flatten() {
                *optional = f(*optional)?;
            }
        }
        Expression::ImageQuery {
            ref mut image,
            ref mut query,
        } => {
            *image = f(*image)?;
            if let ImageQuery::Size {
                level: Some(ref mut level),
            } = *query
            {
                *level = f(*level)?;
            }
        }
        Expression::RayQueryVertexPositions { .. }
        | Expression::RayQueryProceedResult
        | Expression::RayQueryGetIntersection { .. } => {
            return Err(CopyError::Unsupported("a ray query"));
        }
        Expression::CooperativeLoad { .. } | Expression::CooperativeMultiplyAdd { .. } => {
            return Err(CopyError::Unsupported("a cooperative matrix"));
        }
    }
    Ok(expression)
}

impl Rewriter<'_> {
    /// A subgroup operation's mode with its operand's new value.
    pub(super) fn gather(&mut self, mode: GatherMode) -> Result<GatherMode, ShaderError> {
        Ok(match mode {
            GatherMode::BroadcastFirst => GatherMode::BroadcastFirst,
            GatherMode::Broadcast(h) => GatherMode::Broadcast(self.value(h)?),
            GatherMode::Shuffle(h) => GatherMode::Shuffle(self.value(h)?),
            GatherMode::ShuffleDown(h) => GatherMode::ShuffleDown(self.value(h)?),
            GatherMode::ShuffleUp(h) => GatherMode::ShuffleUp(self.value(h)?),
            GatherMode::ShuffleXor(h) => GatherMode::ShuffleXor(self.value(h)?),
            GatherMode::QuadBroadcast(h) => GatherMode::QuadBroadcast(self.value(h)?),
            GatherMode::QuadSwap(direction) => GatherMode::QuadSwap(direction),
        })
    }
}
