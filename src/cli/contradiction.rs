//! Arguments that contradict each other, or would change nothing: what no single one of them shows.

use std::path::PathBuf;

use super::args::{BenchArgs, Cli, Command, Common, DemoArgs, DemoName, PolicyChoice, RunArgs};

/// An argument that is wrong together with another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// `--graph` where no pagerank is run.
    #[error("--graph is for the pagerank demo: `gmem demo pagerank --graph FILE.mtx`")]
    GraphWithoutPagerank,
    /// `--file` where no histogram is run.
    #[error("--file is for the histogram demo: `gmem demo histogram --file FILE`")]
    FileWithoutHistogram,
    /// A size for data whose size is given by a file.
    #[error("--size does not go with {0}: the file says how much data there is")]
    SizeOfFile(&'static str),
    /// `--policy belady` or `all` where something is to run.
    #[error(
        "--policy {0} is for replays of a trace: `gmem replay TRACE --policy {0}`; here use lru, clock, random or zeal"
    )]
    OnlyReplays(&'static str),
    /// `--trace` where nothing runs.
    #[error("--trace records a run: use it with run, demo or bench")]
    NothingToTrace,
    /// A kernel without a grid.
    #[error("a kernel needs --grid X[,Y[,Z]]: how many workgroups to run")]
    NoGrid,
    /// An option of single kernels, with a plan.
    #[error("{0} is for a single kernel: a plan says it for each of its steps")]
    NotForPlans(&'static str),
    /// A common option where it would change nothing.
    #[error("{option} changes nothing in {command}: leave it out")]
    Useless {
        /// The option.
        option: &'static str,
        /// The command.
        command: &'static str,
    },
    /// One binding or constant is given twice.
    #[error("`{name}` is given twice by {option}: give it once")]
    Twice {
        /// The option.
        option: &'static str,
        /// The name.
        name: String,
    },
    /// Two outputs would go to one file.
    #[error("two bindings write {0:?}: give each its own output file")]
    SameOutput(PathBuf),
    /// The rows and the page would go to one file.
    #[error("--json and --html both write {0:?}: give each its own file")]
    SameResult(PathBuf),
}

impl Cli {
    /// Checks what no single argument shows.
    ///
    /// # Errors
    /// When arguments contradict each other.
    pub fn check(&self) -> Result<(), ArgumentError> {
        let runs = !matches!(
            self.command,
            Some(Command::Info(_) | Command::Check(_) | Command::Replay(_))
        );
        if self.common.trace.is_some() && !runs {
            return Err(ArgumentError::NothingToTrace);
        }
        match (&self.command, self.common.policy) {
            (Some(Command::Replay(_)), _) | (_, None | Some(PolicyChoice::One(_))) => {}
            (_, Some(PolicyChoice::Belady)) => return Err(ArgumentError::OnlyReplays("belady")),
            (_, Some(PolicyChoice::All)) => return Err(ArgumentError::OnlyReplays("all")),
        }
        self.common.check_useful(self.command.as_ref())?;
        match &self.command {
            Some(Command::Demo(demo)) => demo.check(),
            Some(Command::Run(run)) => run.check(),
            Some(Command::Bench(bench)) => bench.check(),
            Some(Command::Check(check)) => {
                let names = check.overrides.iter().map(|o| o.name.clone());
                once("--override", names)
            }
            Some(Command::Info(_) | Command::Replay(_)) | None => Ok(()),
        }
    }
}

impl Common {
    /// Checks that no option was given that the command passes over: whoever gave it expects something of it.
    fn check_useful(&self, command: Option<&Command>) -> Result<(), ArgumentError> {
        let space = [
            (self.adapter.is_some(), "--adapter"),
            (self.page_size.is_some(), "--page-size"),
            (self.host.is_some(), "--host"),
            (self.remote_memory.is_some(), "--remote-memory"),
        ];
        let replayed = [
            (self.device_memory.is_some(), "--device-memory"),
            (self.policy.is_some(), "--policy"),
        ];
        let (command, passed_over) = match command {
            Some(Command::Replay(_)) => ("a replay", space.to_vec()),
            Some(Command::Bench(BenchArgs { from: Some(_), .. })) => {
                let run = [
                    (self.seed != 0, "--seed"),
                    (self.trace.is_some(), "--trace"),
                ];
                (
                    "a record that is only shown",
                    [&space[..], &replayed, &run].concat(),
                )
            }
            // Its cases are about certain amounts and policies.
            Some(Command::Bench(_)) => (
                "`gmem bench`, whose cases choose their own",
                [&replayed[..], &space[3..]].concat(),
            ),
            _ => return Ok(()),
        };
        match passed_over.into_iter().find(|(given, _)| *given) {
            Some((_, option)) => Err(ArgumentError::Useless { option, command }),
            None => Ok(()),
        }
    }
}

impl DemoArgs {
    fn check(&self) -> Result<(), ArgumentError> {
        if self.graph.is_some() && !self.name.each().contains(&DemoName::Pagerank) {
            return Err(ArgumentError::GraphWithoutPagerank);
        }
        if self.file.is_some() && !self.name.each().contains(&DemoName::Histogram) {
            return Err(ArgumentError::FileWithoutHistogram);
        }
        // With `all` the size is still that of the other demonstrations.
        match (self.size, self.name) {
            (Some(_), DemoName::Pagerank) if self.graph.is_some() => {
                Err(ArgumentError::SizeOfFile("--graph"))
            }
            (Some(_), DemoName::Histogram) if self.file.is_some() => {
                Err(ArgumentError::SizeOfFile("--file"))
            }
            _ => Ok(()),
        }
    }
}

impl RunArgs {
    fn check(&self) -> Result<(), ArgumentError> {
        if self.is_plan() {
            let given = [
                ("--grid", self.grid.is_some()),
                ("--entry", self.entry.is_some()),
                ("--uniform", !self.uniforms.is_empty()),
                ("--override", !self.overrides.is_empty()),
            ];
            if let Some((option, _)) = given.into_iter().find(|(_, given)| *given) {
                return Err(ArgumentError::NotForPlans(option));
            }
        } else if self.grid.is_none() {
            return Err(ArgumentError::NoGrid);
        }
        once("--bind", self.binds.iter().map(|b| b.name.to_string()))?;
        once(
            "--uniform",
            self.uniforms.iter().map(|u| u.name.to_string()),
        )?;
        once("--override", self.overrides.iter().map(|o| o.name.clone()))?;
        let mut outputs: Vec<_> = self.binds.iter().filter_map(|b| b.out.as_ref()).collect();
        outputs.sort();
        match outputs.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(ArgumentError::SameOutput(pair[0].clone())),
            None => Ok(()),
        }
    }
}

impl BenchArgs {
    fn check(&self) -> Result<(), ArgumentError> {
        match &self.html {
            Some(html) if self.json.as_ref() == Some(html) => {
                Err(ArgumentError::SameResult(html.clone()))
            }
            _ => Ok(()),
        }
    }
}

fn once(option: &'static str, names: impl Iterator<Item = String>) -> Result<(), ArgumentError> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            return Err(ArgumentError::Twice { option, name });
        }
    }
    Ok(())
}
