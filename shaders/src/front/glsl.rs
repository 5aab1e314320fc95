//! GLSL in: compute shaders of version 4.40 to 4.60, as Vulkan has them.

use naga::front::glsl::{Frontend, Options};
use naga::{Module, ShaderStage};

use super::guard::caught;
use crate::error::ShaderError;

/// Parses GLSL.
pub(super) fn parse(source: &str) -> Result<Module, ShaderError> {
    let options = Options::from(ShaderStage::Compute);
    let parsed = caught(|| Frontend::default().parse(&options, source))?;
    parsed.map_err(|errors| {
        let first = errors.errors.first();
        ShaderError::Parse {
            line: first.map_or(0, |e| crate::error::line(e.meta, source)),
            message: first.map_or_else(|| "it is no GLSL".to_owned(), |e| e.kind.to_string()),
            // The report is naga's, as is the place that it marks, which may not be there.
            report: caught(|| errors.emit_to_string(source)).unwrap_or_default(),
        }
    })
}
