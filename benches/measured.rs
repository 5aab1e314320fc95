//! All of `gmem bench`, under `cargo bench`: the command of this very build is run, with the arguments after `--`.
//!
//! `cargo bench --bench measured -- --quick --only P1,P6` runs some of it. Where arguments are for all benches at once,
//! `GMEM_BENCH_QUICK=1 cargo bench` asks for the quick one. Without `--bench`, which only `cargo bench` gives, nothing is
//! measured: tests of all targets would take up to twenty minutes more.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| given.iter().any(|argument| argument == word);
    if !has("--bench") || has("--test") || has("--list") {
        // On standard error: who lists tests reads the other.
        eprintln!(
            "measured: nothing is measured under test; `cargo bench --bench measured` does it"
        );
        return ExitCode::SUCCESS;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_gmem"));
    command.arg("bench");
    command.args(given.iter().filter(|argument| *argument != "--bench"));
    if std::env::var_os("GMEM_BENCH_QUICK").is_some() && !has("--quick") {
        command.arg("--quick");
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(
            status
                .code()
                .and_then(|code| code.try_into().ok())
                .unwrap_or(1),
        ),
        Err(error) => {
            eprintln!(
                "error: {} cannot be run: {error}",
                env!("CARGO_BIN_EXE_gmem")
            );
            ExitCode::FAILURE
        }
    }
}
