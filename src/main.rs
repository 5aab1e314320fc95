//! The `gmem` command: demonstrations, information, and any kernel over files.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
