//! The `gmem` command.
//!
//! Results go to standard output and nothing else does; messages and progress go to standard error.
//! The exit status is 0, 1 when a run failed or was not verified, 2 for bad arguments.

pub mod args;
pub mod bench;
pub mod check;
pub mod contradiction;
pub mod csr;
pub mod demo;
pub mod files;
pub mod graph;
pub mod info;
pub mod making;
pub mod misfit;
pub mod mtx;
pub mod npy;
pub mod output;
pub mod plan;
pub mod progress;
pub mod replay;
pub mod report;
pub mod run;
pub mod seeded;
pub mod size;
pub mod space;
pub mod spec;
pub mod stream;
pub mod table;
pub mod trace;
pub mod uniform;

use std::error::Error;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use args::{Cli, Command, DemoArgs};

/// Why a command ends with another status than 0.
#[derive(Debug)]
pub enum Failure {
    /// The arguments are wrong, which only what they name could show: status 2.
    Arguments(Box<dyn Error + Send + Sync>),
    /// Something failed: status 1.
    Run(Box<dyn Error + Send + Sync>),
    /// A result was not verified, and the table says so: status 1, and no more words.
    NotVerified,
    /// It was said already; the status.
    Said(u8),
}

/// Errors of what the arguments led to: status 1.
macro_rules! run_failures {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::run(error)
            }
        }
    )*};
}

run_failures!(
    gmem::Error,
    stream::StreamError,
    npy::NpyError,
    mtx::MtxError,
    csr::CsrError,
    trace::WriteError,
    gmem::replay::ReplayError
);

impl Failure {
    /// Bad arguments.
    pub fn arguments(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Arguments(error.into())
    }

    /// A failed run.
    pub fn run(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Run(error.into())
    }

    /// Says why on standard error, and gives the status.
    fn report(&self) -> u8 {
        self.say("");
        if let Self::Arguments(_) = self {
            note("\nFor more information, try '--help'.");
        }
        self.status()
    }

    /// Says why, after the name of what failed where it is one of several.
    fn say(&self, which: &str) {
        if let Self::Arguments(error) | Self::Run(error) = self {
            let separator = if which.is_empty() { "" } else { ": " };
            note(&format!(
                "error: {which}{separator}{}",
                chain(error.as_ref())
            ));
        }
    }

    const fn status(&self) -> u8 {
        match self {
            Self::Arguments(_) => 2,
            Self::Run(_) | Self::NotVerified => 1,
            Self::Said(status) => *status,
        }
    }
}

/// An error with its causes, without those that it already names.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

/// Keeps the compiler's panics on broken shaders quiet: each is reported as an error of its shader.
fn quiet_front_ends() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !gmem::gpu::panics_are_errors() {
            usual(info);
        }
    }));
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    quiet_front_ends();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help that cannot be printed has nobody to tell.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    if let Err(error) = cli.check() {
        let _ = Cli::command()
            .error(ErrorKind::ArgumentConflict, error)
            .print();
        return ExitCode::from(2);
    }
    if let Err(error) = output::check_distinct(&cli) {
        let _ = Cli::command()
            .error(ErrorKind::ArgumentConflict, error)
            .print();
        return ExitCode::from(2);
    }
    let Cli {
        mut common,
        command,
    } = cli;
    let done = trace::recorded(&mut common, |common| match &command {
        None => demo::runner::run(common, &DemoArgs::default()),
        Some(Command::Demo(args)) => demo::runner::run(common, args),
        Some(Command::Info(args)) => info::run(common, args),
        Some(Command::Run(args)) if args.is_plan() => plan::run(common, args),
        Some(Command::Run(args)) => run::run(common, args),
        Some(Command::Check(args)) => check::run(common, args),
        Some(Command::Bench(args)) => bench::run(common, args),
        Some(Command::Replay(args)) => replay::run(common, args),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.report()),
    }
}

/// Text that came out of a file, for a terminal, which it cannot steer.
fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// A line on standard error. When nobody reads it there is nowhere left to say so.
fn note(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a result. Whoever stopped reading it has no use for the rest.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::run(format!(
            "the result cannot be printed: {error}"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_arguments_are_status_2_and_failed_runs_status_1() {
        assert_eq!(Failure::arguments(size::SizeError::Zero).report(), 2);
        assert_eq!(Failure::run("lost").report(), 1);
        assert_eq!(Failure::NotVerified.report(), 1);
    }

    #[test]
    fn causes_are_told_once() {
        let path = std::path::PathBuf::from("r.json");
        let source = std::io::Error::other("disk full");
        let told = chain(&report::ReportError { path, source });
        assert_eq!(told.matches("disk full").count(), 1, "{told}");
    }
}
