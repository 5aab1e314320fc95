//! A plan: what it says, checked as far as it can be without its kernels.
//!
//! docs/plan-format.md describes the format. Files are named from where the plan is.

use std::path::{Path, PathBuf};

use super::expect::Expect;
use super::mistake::{Mistake, PlanError};
use super::raw::RawPlan;
use super::reader::Reader;
use crate::cli::Failure;
use crate::cli::spec::{BindSpec, BindingName};
use crate::cli::stream;
use crate::cli::uniform::{UniformSource, UniformSpec};

/// A plan.
#[derive(Debug)]
pub struct Plan {
    /// Its file.
    pub path: PathBuf,
    /// Its buffers, by name.
    pub buffers: Vec<Buffer>,
    /// Its kernels, by name.
    pub kernels: Vec<KernelSpec>,
    /// What to do.
    pub steps: Vec<Step>,
    /// How many dispatches it has, loops not counted.
    pub dispatches: usize,
}

/// A buffer.
#[derive(Debug)]
pub struct Buffer {
    /// What is in it at first, and where it goes at last.
    pub spec: BindSpec,
    /// What it should hold at last.
    pub expect: Option<Expect>,
    /// Where it is described.
    pub line: usize,
}

impl Buffer {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.spec.name.to_string()
    }
}

/// A kernel.
#[derive(Debug)]
pub struct KernelSpec {
    /// Its name in the plan.
    pub name: String,
    /// Its source.
    pub file: PathBuf,
    /// Its entry point, where that was said.
    pub entry: Option<String>,
    /// Values of its constants.
    pub overrides: Vec<(String, f64)>,
    /// Where it is described.
    pub line: usize,
}

/// Something to do.
#[derive(Debug)]
pub enum Step {
    /// A launch.
    Dispatch(Dispatch),
    /// A buffer becomes zeroes.
    Clear(usize),
    /// Two buffers take each other's contents.
    Swap(usize, usize, usize),
    /// Steps, several times.
    Loop(Loop),
}

/// A launch.
#[derive(Debug)]
pub struct Dispatch {
    /// Its number in the plan, from 0.
    pub number: usize,
    /// The kernel.
    pub kernel: usize,
    /// Workgroups.
    pub grid: [u32; 3],
    /// The buffer of each storage binding.
    pub bind: Vec<(BindingName, usize)>,
    /// The values of each uniform, as they are written: with variables.
    pub uniform: Vec<(String, String)>,
    /// Where it is.
    pub line: usize,
}

/// Steps, several times.
#[derive(Debug)]
pub struct Loop {
    /// When it ends.
    pub ends: Ends,
    /// The steps.
    pub steps: Vec<Step>,
    /// Where it is.
    pub line: usize,
}

/// The values of some variables.
pub type Variables = Vec<(String, String)>;

/// When a loop ends.
#[derive(Debug)]
pub enum Ends {
    /// After so many rounds.
    Count(u64),
    /// After a round for each of these.
    Each(Vec<Variables>),
    /// After the round that leaves a zero there.
    Zero {
        /// The buffer.
        buffer: usize,
        /// Which of its `u32`s.
        index: u64,
        /// As it is written.
        text: String,
        /// After so many rounds it has failed.
        at_most: u64,
    },
}

impl Plan {
    /// Reads a plan, and checks all that does not need its kernels or its data.
    ///
    /// # Errors
    /// With bad arguments, when anything in it is wrong.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        stream::open(path).map_err(Failure::arguments)?;
        let text = std::fs::read_to_string(path)
            .map_err(|e| Failure::arguments(stream::StreamError::io(path, e)))?;
        Self::parse(path, &text).map_err(Failure::arguments)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, PlanError> {
        let raw: RawPlan = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            let message = error.message().split_whitespace().collect::<Vec<_>>();
            PlanError::new(path, line, Mistake::Toml(message.join(" ")))
        })?;
        let reader = Reader {
            path,
            text,
            folder: path.parent().unwrap_or(Path::new("")),
        };
        let mut plan = Self {
            path: path.to_owned(),
            buffers: Vec::new(),
            kernels: Vec::new(),
            steps: Vec::new(),
            dispatches: 0,
        };
        for (name, buffer) in &raw.buffers {
            plan.buffers.push(reader.buffer(name, buffer)?);
        }
        reader.outputs_differ(&plan.buffers)?;
        for (name, kernel) in &raw.kernels {
            plan.kernels.push(reader.kernel(name, kernel)?);
        }
        if raw.steps.is_empty() {
            return Err(PlanError::new(path, 1, Mistake::NoSteps));
        }
        plan.steps = reader.steps(&mut plan, &raw.steps, &mut Vec::new())?;
        Ok(plan)
    }
}

/// The line of a byte, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

/// Puts the values of variables where `$name` stands.
///
/// # Errors
/// The name of a variable that there is not.
pub fn substitute(text: &str, variables: &Variables) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        // The innermost loop's comes last.
        match variables.iter().rev().find(|(known, _)| known == name) {
            Some((_, value)) => out.push_str(value),
            None => return Err(name.to_owned()),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Reads the values of a uniform, where its variables have values already. Its file is named from `folder`.
///
/// # Errors
/// When it is no uniform.
pub fn uniform(name: &str, value: &str, folder: &Path) -> Result<UniformSpec, Mistake> {
    let mut spec =
        UniformSpec::parse(&format!("{name}={value}")).map_err(|source| Mistake::Uniform {
            name: name.to_owned(),
            source,
        })?;
    if let UniformSource::File(path) = &mut spec.source {
        *path = folder.join(&*path);
    }
    Ok(spec)
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
