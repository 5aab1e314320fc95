//! What can be wrong with a kernel, in words that say where and what to do.

use naga::valid::ValidationError;
use naga::{Span, WithSpan};

use crate::front::guard::caught;

/// Why a kernel cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShaderError {
    /// The shader cannot be parsed in its language.
    #[error("{}", located(*line, message, report))]
    Parse {
        /// The line of the mistake, from 1 (0 when unknown).
        line: u32,
        /// What is wrong, in one line.
        message: String,
        /// The compiler's report with the source around the mistake.
        report: String,
    },
    /// The shader can be parsed, but breaks one of its language's rules.
    #[error("{}", located(*line, message, report))]
    Invalid {
        /// The line of the mistake, from 1 (0 when unknown).
        line: u32,
        /// What is wrong, in one line.
        message: String,
        /// The compiler's report with the source around the mistake.
        report: String,
    },
    /// No compute entry point of that name, or no name where there are several.
    #[error("{}; the shader has {}", match .name {
        Some(name) => format!("no compute entry point is called `{name}`"),
        None => "name the compute entry point to use".to_owned(),
    }, if .available.is_empty() { "none".to_owned() } else { .available.join(", ") })]
    NoEntryPoint {
        /// The name that was asked for.
        name: Option<String>,
        /// The names there are.
        available: Vec<String>,
    },
    /// An `override` is unknown, lacks a value, or got one that does not fit.
    #[error("{}: {message}; the shader has {}", match .name {
        Some(name) => format!("override constant `{name}`"),
        None => "override constants".to_owned(),
    }, if .available.is_empty() { "none".to_owned() } else { .available.join(", ") })]
    Override {
        /// The constant, by its name or `@id` as it was given or is declared; `None` when it is not any one of them.
        name: Option<String>,
        /// What is wrong.
        message: String,
        /// The constants there are.
        available: Vec<String>,
    },
    /// A construct that the rewriter does not translate.
    #[error("{}", located(*line, &format!("{construct} is not supported"), ""))]
    Unsupported {
        /// What it is, in words.
        construct: String,
        /// The line it stands on, from 1 (0 when unknown).
        line: u32,
    },
    /// A probe cannot tell what the kernel touches.
    #[error("a probe cannot tell what this kernel touches: {0}")]
    NotProbeable(String),
    /// A [`Variant`](crate::Variant) that does not fit its entry point.
    #[error("variant: {0}")]
    Variant(String),
    /// The rewritten module does not validate: a defect of the rewriter, never of the kernel.
    #[error("the rewritten kernel is invalid, please report it with its source: {0}")]
    Internal(String),
}

impl ShaderError {
    pub(crate) fn wgsl(error: &naga::front::wgsl::ParseError, source: &str) -> Self {
        Self::Parse {
            line: error.location(source).map_or(0, |l| l.line_number),
            message: error.message().to_owned(),
            report: error.emit_to_string(source),
        }
    }

    /// `shown` is whether the source around the mistake can be shown.
    pub(crate) fn invalid(error: &WithSpan<ValidationError>, source: &str, shown: bool) -> Self {
        let report = || caught(|| error.emit_to_string(source)).unwrap_or_default();
        Self::Invalid {
            // The whole function is marked too: the narrowest mark is the mistake.
            line: error
                .spans()
                .filter_map(|(span, _)| Some((span.to_range()?.len(), *span)))
                .min_by_key(|(len, _)| *len)
                .map_or(0, |(_, span)| line(span, source)),
            message: chain(error.as_inner()),
            // naga's report fails where a position is outside of the source.
            report: if shown { report() } else { String::new() },
        }
    }

    pub(crate) fn unsupported(construct: impl Into<String>, span: Span, source: &str) -> Self {
        Self::Unsupported {
            construct: construct.into(),
            line: line(span, source),
        }
    }
}

/// A message with its line, and what the compiler's report has beyond it: the source around the mistake, and hints.
fn located(line: u32, message: &str, report: &str) -> String {
    let mut text = match line {
        0 => message.to_owned(),
        line => format!("line {line}: {message}"),
    };
    for more in report.lines().map(str::trim_end).filter(|l| !l.is_empty()) {
        let words = more.trim_start_matches("error:").trim_start();
        let words = words.strip_prefix("= ").unwrap_or(words);
        if !message.contains(words) {
            text.push('\n');
            text.push_str(more);
        }
    }
    text
}

/// The line a span starts on, from 1; 0 for an undefined span.
pub(crate) fn line(span: Span, source: &str) -> u32 {
    match span.to_range() {
        Some(range) if source.is_char_boundary(range.start) => span.location(source).line_number,
        _ => 0,
    }
}

/// The lines of a source, for many spans.
pub(crate) struct Lines<'a> {
    source: &'a str,
    /// Where each line but the first begins.
    begins: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        let ends = source
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n');
        Self {
            source,
            begins: ends.map(|(at, _)| at + 1).collect(),
        }
    }

    /// The line that a span begins in, from 1; `None` when it is not one of this source.
    pub(crate) fn line(&self, span: Span) -> Option<u32> {
        let range = span.to_range()?;
        self.source.get(range.clone())?;
        let before = self.begins.partition_point(|&begin| begin <= range.start);
        u32::try_from(before + 1).ok()
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text.push_str(": ");
        text.push_str(&e.to_string());
        cause = e.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_that_naga_tells() {
        for source in ["", "\n", "a", "a\nbc\n\n  d\r\né\n"] {
            let lines = Lines::new(source);
            for start in (0..=source.len()).filter(|&at| source.is_char_boundary(at)) {
                let span = Span::new(start as u32, source.len() as u32);
                if span.is_defined() {
                    let expected = span.location(source).line_number;
                    assert_eq!(lines.line(span), Some(expected), "{source:?} at {start}");
                }
            }
            assert_eq!(lines.line(Span::new(0, source.len() as u32 + 1)), None);
            assert_eq!(lines.line(Span::UNDEFINED), None);
        }
    }
}
