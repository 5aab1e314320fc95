//! From a plan as it is written to a plan that makes sense: names that are there, steps that are one thing, values that can be read.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;

use super::expect::Expect;
use super::format::{
    Buffer, Dispatch, Ends, KernelSpec, Loop, Plan, Step, Variables, line_of, substitute, uniform,
};
use super::mistake::{Mistake, PlanError};
use super::raw::{RawBuffer, RawKernel, RawStep};
use crate::cli::spec::{self, BindingName, Source};

/// The rounds after which a loop until something is zero is given up, unless the plan says otherwise.
pub const AT_MOST: u64 = 100_000;
/// The variable that numbers a loop's rounds.
const ROUND: &str = "round";

/// Variables with all values that they can have.
pub type Scope = Vec<(String, Vec<String>)>;

/// Reads the parts of a plan.
pub struct Reader<'a> {
    /// The plan's file.
    pub path: &'a Path,
    /// Its text.
    pub text: &'a str,
    /// Where the files that it names are.
    pub folder: &'a Path,
}

impl Reader<'_> {
    fn line<T>(&self, value: &Spanned<T>) -> usize {
        line_of(self.text, value.span().start)
    }

    fn at<T>(&self, value: &Spanned<T>, mistake: impl Into<Mistake>) -> PlanError {
        PlanError::new(self.path, self.line(value), mistake)
    }

    fn named<T>(&self, name: &str, value: &Spanned<T>) -> Result<(), PlanError> {
        if spec::is_identifier(name) {
            Ok(())
        } else {
            Err(self.at(value, Mistake::Name(name.to_owned())))
        }
    }

    pub fn buffer(&self, name: &str, raw: &Spanned<RawBuffer>) -> Result<Buffer, PlanError> {
        self.named(name, raw)?;
        let buffer = raw.get_ref();
        let init = &buffer.init;
        let source = spec::parse_source(init.get_ref().trim()).map_err(|e| self.at(init, e))?;
        let out = buffer.out.as_ref().map(|out| out.get_ref().as_str());
        let place = buffer.out.as_ref().unwrap_or(init);
        let variable = BindingName::Variable(name.to_owned());
        let mut spec = spec::bind(variable, source, out).map_err(|e| self.at(place, e))?;
        self.place_in_folder(&mut spec.source);
        if let Some(out) = &mut spec.out {
            *out = self.folder.join(&*out);
        }
        let within = buffer.within.as_ref().map(|within| *within.get_ref());
        let mut expect = match &buffer.expect {
            Some(expect) => Some(
                Expect::parse(expect.get_ref().trim(), within).map_err(|e| self.at(expect, e))?,
            ),
            None => None,
        };
        if let (Some(within), None) = (&buffer.within, &expect) {
            return Err(self.at(within, Mistake::Within));
        }
        if let Some(Expect::Contents { source, .. }) = &mut expect {
            self.place_in_folder(source);
        }
        Ok(Buffer {
            spec,
            expect,
            line: self.line(raw),
        })
    }

    fn place_in_folder(&self, source: &mut Source) {
        if let Source::Npy(path) | Source::Bin(path) = source {
            *path = self.folder.join(&*path);
        }
    }

    pub fn outputs_differ(&self, buffers: &[Buffer]) -> Result<(), PlanError> {
        for (index, buffer) in buffers.iter().enumerate() {
            let mut before = buffers[..index].iter();
            if let Some(out) = &buffer.spec.out
                && before.any(|other| other.spec.out.as_ref() == Some(out))
            {
                let mistake = Mistake::SameOutput(out.clone());
                return Err(PlanError::new(self.path, buffer.line, mistake));
            }
        }
        Ok(())
    }

    pub fn kernel(&self, name: &str, raw: &Spanned<RawKernel>) -> Result<KernelSpec, PlanError> {
        self.named(name, raw)?;
        let kernel = raw.get_ref();
        let mut overrides = Vec::new();
        for (constant, value) in &kernel.overrides {
            let number = match value.get_ref() {
                toml::Value::Integer(number) => *number as f64,
                toml::Value::Float(number) if number.is_finite() => *number,
                toml::Value::Boolean(truth) => f64::from(u8::from(*truth)),
                _ => return Err(self.at(value, Mistake::Override(constant.clone()))),
            };
            overrides.push((constant.clone(), number));
        }
        Ok(KernelSpec {
            name: name.to_owned(),
            file: self.folder.join(kernel.file.get_ref()),
            entry: kernel.entry.as_ref().map(|entry| entry.get_ref().clone()),
            overrides,
            line: self.line(raw),
        })
    }

    pub fn steps(
        &self,
        plan: &mut Plan,
        raw: &[Spanned<RawStep>],
        scope: &mut Scope,
    ) -> Result<Vec<Step>, PlanError> {
        raw.iter()
            .map(|step| self.step(plan, step, scope))
            .collect()
    }

    fn step(
        &self,
        plan: &mut Plan,
        raw: &Spanned<RawStep>,
        scope: &mut Scope,
    ) -> Result<Step, PlanError> {
        static KINDS: [(&str, &[&str], &str); 4] = [
            (
                "kernel",
                &["grid", "bind", "uniform"],
                "`grid`, `bind` and `uniform`",
            ),
            ("clear", &[], "nothing else"),
            ("swap", &[], "nothing else"),
            (
                "steps",
                &["repeat", "for", "until_zero", "at_most"],
                "`repeat`, `for`, or `until_zero` and `at_most`",
            ),
        ];
        let step = raw.get_ref();
        let keys = step.keys();
        let kinds: Vec<_> = KINDS
            .iter()
            .filter(|(kind, ..)| keys.contains(kind))
            .collect();
        let [one] = kinds.as_slice() else {
            let names = kinds.iter().map(|(kind, ..)| *kind).collect();
            return Err(self.at(raw, Mistake::Kind(names)));
        };
        let (kind, takes, allowed) = **one;
        if let Some(&key) = keys
            .iter()
            .find(|key| **key != kind && !takes.contains(key))
        {
            return Err(self.at(raw, Mistake::Stray { key, kind, allowed }));
        }
        if let Some(kernel) = &step.kernel {
            return self.dispatch(plan, raw, kernel, scope);
        }
        if let Some(clear) = &step.clear {
            return Ok(Step::Clear(self.find(
                &plan.buffers,
                clear,
                clear.get_ref(),
            )?));
        }
        if let Some(swap) = &step.swap {
            let [a, b] = swap.get_ref().as_slice() else {
                return Err(self.at(swap, Mistake::Swap));
            };
            if a == b {
                return Err(self.at(swap, Mistake::Swap));
            }
            return Ok(Step::Swap(
                self.find(&plan.buffers, swap, a)?,
                self.find(&plan.buffers, swap, b)?,
                self.line(swap),
            ));
        }
        self.repeated(plan, raw, scope)
    }

    /// The buffer of a name.
    fn find<T>(
        &self,
        buffers: &[Buffer],
        place: &Spanned<T>,
        name: &str,
    ) -> Result<usize, PlanError> {
        buffers
            .iter()
            .position(|buffer| buffer.name() == name)
            .ok_or_else(|| {
                let names = buffers.iter().map(Buffer::name);
                self.at(place, unknown("buffer", name, names))
            })
    }

    fn dispatch(
        &self,
        plan: &mut Plan,
        raw: &Spanned<RawStep>,
        kernel: &Spanned<String>,
        scope: &Scope,
    ) -> Result<Step, PlanError> {
        let step = raw.get_ref();
        let index = plan
            .kernels
            .iter()
            .position(|known| known.name == *kernel.get_ref())
            .ok_or_else(|| {
                let names = plan.kernels.iter().map(|kernel| kernel.name.clone());
                self.at(kernel, unknown("kernel", kernel.get_ref(), names))
            })?;
        let Some(sides) = &step.grid else {
            return Err(self.at(raw, Mistake::NoGrid));
        };
        let mut grid = [1; 3];
        let given = sides.get_ref();
        if given.is_empty() || given.len() > 3 || given.contains(&0) {
            return Err(self.at(sides, Mistake::Grid));
        }
        grid[..given.len()].copy_from_slice(given);
        let mut bind = Vec::new();
        for (name, buffer) in step.bind.iter().flatten() {
            let binding = spec::parse_name(name).map_err(|e| self.at(buffer, e))?;
            bind.push((binding, self.find(&plan.buffers, buffer, buffer.get_ref())?));
        }
        let mut uniforms = Vec::new();
        for (name, value) in step.uniform.iter().flatten() {
            self.check_uniform(name, value, scope)?;
            uniforms.push((name.clone(), value.get_ref().clone()));
        }
        plan.dispatches += 1;
        Ok(Step::Dispatch(Dispatch {
            number: plan.dispatches - 1,
            kernel: index,
            grid,
            bind,
            uniform: uniforms,
            line: self.line(raw),
        }))
    }

    /// Reads a uniform with each value that its variables can have.
    fn check_uniform(
        &self,
        name: &str,
        value: &Spanned<String>,
        scope: &Scope,
    ) -> Result<(), PlanError> {
        let first: Variables = scope
            .iter()
            .filter_map(|(name, values)| Some((name.clone(), values.first()?.clone())))
            .collect();
        let mut tried = vec![first.clone()];
        for (at, (_, values)) in scope.iter().enumerate() {
            for other in values.iter().skip(1) {
                let mut variables = first.clone();
                variables[at].1.clone_from(other);
                tried.push(variables);
            }
        }
        for variables in tried {
            let text = substitute(value.get_ref(), &variables).map_err(|missing| {
                let names = variables.iter().map(|(name, _)| name.clone());
                self.at(value, unknown("variable", &missing, names))
            })?;
            uniform(name, &text, self.folder).map_err(|e| self.at(value, e))?;
        }
        Ok(())
    }

    fn repeated(
        &self,
        plan: &mut Plan,
        raw: &Spanned<RawStep>,
        scope: &mut Scope,
    ) -> Result<Step, PlanError> {
        let step = raw.get_ref();
        let ends: Vec<&'static str> = step
            .keys()
            .into_iter()
            .filter(|key| ["repeat", "for", "until_zero"].contains(key))
            .collect();
        if ends.len() != 1 {
            return Err(self.at(raw, Mistake::Loop(ends)));
        }
        if let (Some(at_most), None) = (&step.at_most, &step.until_zero) {
            return Err(self.at(
                at_most,
                Mistake::Stray {
                    key: "at_most",
                    kind: ends[0],
                    allowed: "only `steps`",
                },
            ));
        }
        let outside = scope.len();
        scope.push((ROUND.to_owned(), vec!["0".to_owned()]));
        let ends = if let Some(count) = &step.repeat {
            if *count.get_ref() == 0 {
                return Err(self.at(count, Mistake::NoRounds("repeat")));
            }
            Ends::Count(*count.get_ref())
        } else if let Some(until) = &step.until_zero {
            let (buffer, index) = element(until.get_ref())
                .ok_or_else(|| self.at(until, Mistake::Element(until.get_ref().clone())))?;
            if let Some(at_most) = &step.at_most
                && *at_most.get_ref() == 0
            {
                return Err(self.at(at_most, Mistake::NoRounds("at_most")));
            }
            Ends::Zero {
                buffer: self.find(&plan.buffers, until, buffer)?,
                index,
                text: until.get_ref().clone(),
                at_most: step.at_most.as_ref().map_or(AT_MOST, |n| *n.get_ref()),
            }
        } else if let Some(each) = &step.each {
            let values = self.values(each)?;
            for (at, (name, _)) in values.first().into_iter().flatten().enumerate() {
                let all = values.iter().map(|round| round[at].1.clone()).collect();
                scope.push((name.clone(), all));
            }
            Ends::Each(values)
        } else {
            return Err(self.at(raw, Mistake::Loop(Vec::new())));
        };
        let inside = step.steps.as_deref().unwrap_or_default();
        if inside.is_empty() {
            return Err(self.at(raw, Mistake::NoSteps));
        }
        let steps = self.steps(plan, inside, scope);
        scope.truncate(outside);
        Ok(Step::Loop(Loop {
            ends,
            steps: steps?,
            line: self.line(raw),
        }))
    }

    /// The values of variables in each round.
    fn values(
        &self,
        raw: &Spanned<BTreeMap<String, Vec<toml::Value>>>,
    ) -> Result<Vec<Variables>, PlanError> {
        let lists = raw.get_ref();
        let rounds = lists.values().next().map_or(0, Vec::len);
        if rounds == 0 {
            return Err(self.at(raw, Mistake::NoRounds("for")));
        }
        if lists.values().any(|list| list.len() != rounds) {
            return Err(self.at(raw, Mistake::Values));
        }
        let mut all = vec![Variables::new(); rounds];
        for (name, list) in lists {
            self.named(name, raw)?;
            for (round, value) in all.iter_mut().zip(list) {
                let text = match value {
                    toml::Value::Integer(number) => number.to_string(),
                    toml::Value::Float(number) => number.to_string(),
                    _ => return Err(self.at(raw, Mistake::Values)),
                };
                round.push((name.clone(), text));
            }
        }
        Ok(all)
    }
}

/// `NAME` or `NAME[INDEX]`.
fn element(text: &str) -> Option<(&str, u64)> {
    match text.trim().split_once('[') {
        None => Some((text.trim(), 0)),
        Some((name, index)) => Some((name.trim(), index.strip_suffix(']')?.trim().parse().ok()?)),
    }
}

fn unknown(kind: &'static str, name: &str, available: impl Iterator<Item = String>) -> Mistake {
    let names: Vec<String> = available.map(|name| format!("`{name}`")).collect();
    Mistake::Unknown {
        kind,
        name: name.to_owned(),
        available: if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        },
    }
}
