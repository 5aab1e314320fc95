//! A plan under way: its kernels compiled, its buffers filled, its steps taken.

use gmem::{Gmem, Kernel, StorageInfo, Vector};

use super::expect::{self, Expect};
use super::format::{Dispatch, Ends, Loop, Plan, Step, Variables, substitute, uniform};
use super::mistake::{Mistake, PlanError, located};
use crate::cli::Failure;
use crate::cli::files::{Input, Memory};
use crate::cli::progress::Progress;
use crate::cli::run;
use crate::cli::spec::{BindSpec, BindingName};

/// A compiled kernel, and what was done with it.
pub struct Compiled {
    /// The kernel.
    pub kernel: Kernel,
    /// Launches so far.
    pub launches: u64,
    /// Their passes.
    pub passes: u64,
}

/// A plan under way.
pub struct Job<'a> {
    plan: &'a Plan,
    /// The kernels of the plan.
    pub kernels: Vec<Compiled>,
    /// The kernel's variable for each binding, by dispatch.
    bindings: Vec<Vec<StorageInfo>>,
    memory: Vec<Memory>,
    variables: Variables,
}

/// What is loaded for a plan before anything runs.
pub struct Inputs {
    buffers: Vec<Input>,
    expected: Vec<Option<Input>>,
}

impl Inputs {
    /// Opens all files, and sees that their sizes go together. `others` are contents for buffers that the command line gave; then
    /// nothing is expected of any.
    ///
    /// # Errors
    /// With bad arguments when a file is missing or of the wrong size; else when it cannot be used.
    pub fn open(plan: &Plan, others: &[Option<&BindSpec>], seed: u64) -> Result<Self, Failure> {
        let mut inputs = Self {
            buffers: Vec::new(),
            expected: Vec::new(),
        };
        let own = others.iter().all(Option::is_none);
        for (buffer, other) in plan.buffers.iter().zip(others) {
            let name = buffer.name();
            let (path, line) = (&plan.path, buffer.line);
            let input = match other {
                Some(other) => Input::open(other, seed)?,
                None => Input::open(&buffer.spec, seed)
                    .map_err(|e| located(e, path, line, &format!("buffer `{name}`")))?,
            };
            let expected = match &buffer.expect {
                Some(Expect::Contents { source, within }) if own => {
                    let spec = BindSpec {
                        name: buffer.spec.name.clone(),
                        source: source.clone(),
                        out: None,
                    };
                    let expected = Input::open(&spec, seed)
                        .map_err(|e| located(e, path, line, &format!("buffer `{name}`")))?;
                    let mistake = if expected.bytes() != input.bytes() {
                        let sizes = (input.bytes(), expected.bytes());
                        Some(Mistake::ExpectSize {
                            buffer: name,
                            sizes,
                        })
                    } else {
                        let float = expected.layout().and_then(|layout| layout.wgsl_scalar());
                        (within.is_some() && float != Some("f32")).then_some(Mistake::Within)
                    };
                    if let Some(mistake) = mistake {
                        return Err(Failure::arguments(PlanError::new(path, line, mistake)));
                    }
                    Some(expected)
                }
                _ => None,
            };
            inputs.buffers.push(input);
            inputs.expected.push(expected);
        }
        inputs.check(plan, &plan.steps)?;
        Ok(inputs)
    }

    /// What steps ask of sizes.
    fn check(&self, plan: &Plan, steps: &[Step]) -> Result<(), Failure> {
        let wrong = |line: usize, mistake: Mistake| {
            Err(Failure::arguments(PlanError::new(
                &plan.path, line, mistake,
            )))
        };
        for step in steps {
            match step {
                Step::Swap(a, b, line) => {
                    let sizes = (self.buffers[*a].bytes(), self.buffers[*b].bytes());
                    if sizes.0 != sizes.1 {
                        let mistake = Mistake::SwapSizes {
                            first: plan.buffers[*a].name(),
                            second: plan.buffers[*b].name(),
                            sizes,
                        };
                        return wrong(*line, mistake);
                    }
                }
                Step::Loop(inner) => {
                    if let Ends::Zero { buffer, index, .. } = inner.ends {
                        let bytes = self.buffers[buffer].bytes();
                        if index >= bytes / 4 {
                            let mistake = Mistake::PastEnd {
                                buffer: plan.buffers[buffer].name(),
                                index,
                                bytes,
                            };
                            return wrong(inner.line, mistake);
                        }
                    }
                    self.check(plan, &inner.steps)?;
                }
                Step::Dispatch(_) | Step::Clear(_) => {}
            }
        }
        Ok(())
    }
}

impl<'a> Job<'a> {
    /// Compiles the kernels, sees that the steps fit them, and fills the buffers. Gives what is expected of each buffer as well.
    ///
    /// # Errors
    /// When a kernel cannot be compiled, a step does not fit it, or a file cannot be read.
    pub fn prepare(
        plan: &'a Plan,
        gm: &Gmem,
        inputs: Inputs,
    ) -> Result<(Self, Vec<Option<Memory>>), Failure> {
        let mut job = Self {
            plan,
            kernels: Vec::new(),
            bindings: Vec::new(),
            memory: Vec::new(),
            variables: Variables::new(),
        };
        let device = gm.device(0)?;
        for spec in &plan.kernels {
            let at = |failure| {
                let what = format!("kernel `{}`", spec.name);
                located(failure, &plan.path, spec.line, &what)
            };
            let source = run::source(&spec.file).map_err(at)?;
            let kernel = gm
                .kernel_on(&device, &source, spec.entry.as_deref(), &spec.overrides)
                .map_err(|error| run::misnamed_or_failed(error, !spec.overrides.is_empty()))
                .map_err(at)?;
            job.kernels.push(Compiled {
                kernel,
                launches: 0,
                passes: 0,
            });
        }
        job.fit(&plan.steps, &inputs.buffers)?;
        let bytes = inputs
            .buffers
            .iter()
            .chain(inputs.expected.iter().flatten());
        let progress = Progress::start("reading", bytes.map(Input::bytes_to_read).sum());
        let mut expected = Vec::new();
        for (input, like) in inputs.buffers.into_iter().zip(inputs.expected) {
            job.memory.push(input.load(gm, &progress)?);
            expected.push(like.map(|like| like.load(gm, &progress)).transpose()?);
        }
        Ok((job, expected))
    }

    /// Finds the variable of each binding, and sees that what is bound fits it.
    fn fit(&mut self, steps: &[Step], inputs: &[Input]) -> Result<(), Failure> {
        for step in steps {
            match step {
                Step::Dispatch(dispatch) => {
                    let found = self
                        .fits(dispatch, inputs)
                        .map_err(|e| self.at(dispatch, e))?;
                    debug_assert_eq!(self.bindings.len(), dispatch.number);
                    self.bindings.push(found);
                }
                Step::Loop(inner) => self.fit(&inner.steps, inputs)?,
                Step::Clear(_) | Step::Swap(..) => {}
            }
        }
        Ok(())
    }

    fn at(&self, dispatch: &Dispatch, failure: Failure) -> Failure {
        let what = format!("kernel `{}`", self.plan.kernels[dispatch.kernel].name);
        located(failure, &self.plan.path, dispatch.line, &what)
    }

    fn fits(&self, dispatch: &Dispatch, inputs: &[Input]) -> Result<Vec<StorageInfo>, Failure> {
        let kernel = &self.kernels[dispatch.kernel].kernel;
        run::check_grid(dispatch.grid, kernel.ids_of_a_workgroup()).map_err(Failure::arguments)?;
        let names: Vec<&BindingName> = dispatch.bind.iter().map(|(name, _)| name).collect();
        let found = run::storage(kernel, &names, "a `bind`").map_err(Failure::arguments)?;
        for (info, (_, buffer)) in found.iter().zip(&dispatch.bind) {
            let spec = &self.plan.buffers[*buffer].spec;
            run::check_element(info, spec, &inputs[*buffer]).map_err(Failure::arguments)?;
            let others = dispatch.bind.iter().filter(|(_, other)| other == buffer);
            if info.writes && others.count() > 1 {
                let name = self.plan.buffers[*buffer].name();
                return Err(Failure::arguments(Mistake::Alias(name)));
            }
        }
        Ok(found)
    }

    /// Takes all steps.
    ///
    /// # Errors
    /// When a launch fails, or a loop does not end.
    pub fn steps(&mut self) -> Result<(), Failure> {
        self.take(&self.plan.steps)
    }

    fn take(&mut self, steps: &'a [Step]) -> Result<(), Failure> {
        for step in steps {
            match step {
                Step::Dispatch(dispatch) => {
                    self.dispatch(dispatch).map_err(|e| self.at(dispatch, e))?;
                }
                Step::Clear(buffer) => self.memory[*buffer].memory.discard()?,
                Step::Swap(a, b, _) => self.swap(*a, *b),
                Step::Loop(inner) => self.repeat(inner)?,
            }
        }
        Ok(())
    }

    /// Two buffers exchange their memory: each goes on to be of its own type.
    fn swap(&mut self, a: usize, b: usize) {
        let (lower, upper) = self.memory.split_at_mut(a.max(b));
        if let (Some(one), Some(other)) = (lower.get_mut(a.min(b)), upper.first_mut()) {
            std::mem::swap(&mut one.memory, &mut other.memory);
        }
    }

    fn repeat(&mut self, inner: &'a Loop) -> Result<(), Failure> {
        let outside = self.variables.len();
        let mut round = 0;
        loop {
            self.variables.truncate(outside);
            self.variables.push(("round".to_owned(), round.to_string()));
            if let Ends::Each(values) = &inner.ends {
                let Some(values) = values.get(round as usize) else {
                    break;
                };
                self.variables.extend_from_slice(values);
            }
            self.take(&inner.steps)?;
            round += 1;
            match &inner.ends {
                Ends::Count(rounds) if round >= *rounds => break,
                Ends::Zero {
                    buffer,
                    index,
                    text,
                    at_most,
                } => {
                    let value = self.word(*buffer, *index);
                    if value == 0 {
                        break;
                    }
                    if round >= *at_most {
                        let mistake = Mistake::Endless {
                            element: text.clone(),
                            value,
                            rounds: round,
                        };
                        let error = PlanError::new(&self.plan.path, inner.line, mistake);
                        return Err(Failure::run(error));
                    }
                }
                _ => {}
            }
        }
        self.variables.truncate(outside);
        Ok(())
    }

    /// A `u32` of a buffer, by a plain load.
    fn word(&self, buffer: usize, index: u64) -> u32 {
        let at = index as usize * 4;
        let data = self.data(buffer).data();
        data.get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_le_bytes)
    }

    fn dispatch(&mut self, dispatch: &Dispatch) -> Result<(), Failure> {
        let compiled = &mut self.kernels[dispatch.kernel];
        let folder = self.plan.path.parent().unwrap_or(std::path::Path::new(""));
        let mut specs = Vec::with_capacity(dispatch.uniform.len());
        for (name, value) in &dispatch.uniform {
            // All of its variables were there when the plan was read.
            let text = substitute(value, &self.variables).unwrap_or_default();
            specs.push(uniform(name, &text, folder).map_err(Failure::arguments)?);
        }
        let values = run::values(&compiled.kernel, &specs, "a `uniform`")?;
        let infos = &self.bindings[dispatch.number];
        let mut written = vec![false; self.memory.len()];
        for (info, (_, buffer)) in infos.iter().zip(&dispatch.bind) {
            written[*buffer] |= info.writes;
        }
        // Memory that is only read may be bound several times, all else once.
        let mut lent: Vec<Lent<'_>> = self
            .memory
            .iter_mut()
            .zip(written)
            .map(|(memory, written)| {
                if written {
                    Lent::Writable(Some(&mut memory.memory))
                } else {
                    Lent::Readable(&memory.memory)
                }
            })
            .collect();
        let mut launch = compiled.kernel.launch(dispatch.grid);
        for (info, (_, buffer)) in infos.iter().zip(&dispatch.bind) {
            launch = match &mut lent[*buffer] {
                Lent::Readable(memory) => launch.bind(&info.name, *memory),
                Lent::Writable(memory) => match memory.take() {
                    Some(memory) => launch.bind(&info.name, memory),
                    None => launch,
                },
            };
        }
        for (name, bytes) in &values {
            launch = launch.uniform_bytes(name, bytes);
        }
        let report = launch.run().map_err(run::misfit_or_failed)?;
        compiled.launches += 1;
        compiled.passes += report.passes;
        Ok(())
    }

    /// The memory that a buffer has by now.
    #[must_use]
    pub fn data(&self, buffer: usize) -> &Memory {
        &self.memory[buffer]
    }

    /// Bytes of all buffers.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.memory.iter().map(|memory| memory.memory.bytes()).sum()
    }

    /// Compares a buffer with what is expected of it; nothing when that is nothing.
    #[must_use]
    pub fn verify(
        &self,
        buffer: usize,
        like: Option<&Memory>,
    ) -> Option<Result<(), expect::Mismatch>> {
        let data = self.data(buffer);
        match (self.plan.buffers[buffer].expect.as_ref()?, like) {
            (Expect::Checksum(sum), _) => Some(expect::checksum(data.data(), *sum)),
            (Expect::Contents { within, .. }, Some(like)) => {
                Some(expect::contents(data, like, *within))
            }
            (Expect::Contents { .. }, None) => None,
        }
    }
}

/// Memory that is lent to a launch.
enum Lent<'a> {
    Readable(&'a Vector<u8>),
    Writable(Option<&'a mut Vector<u8>>),
}
