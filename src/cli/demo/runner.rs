//! `gmem demo`: plays the demonstrations that were asked for, then draws one table of all.

use super::play::play;
use super::stage::{Outcome, Setup};
use crate::cli::args::{Common, DemoArgs};
use crate::cli::files::check_output;
use crate::cli::report::{self, Demos, Report};
use crate::cli::space::Engine;
use crate::cli::{Failure, print, size, stream, table};

/// Bytes of memory that the host can give without swapping, where it says so.
fn memory_available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

/// Runs `gmem demo`.
///
/// # Errors
/// When a file that was named cannot be opened, a demonstration could not be run, or one was not verified.
pub fn run(common: &Common, args: &DemoArgs) -> Result<(), Failure> {
    // A wrong name is worth saying before the other demonstrations take their time.
    for path in args.graph.iter().chain(&args.file) {
        stream::open(path).map_err(Failure::arguments)?;
    }
    if let Some(report) = &common.report {
        check_output(report)?;
    }
    let engine = Engine::of(common)?;
    let setup = Setup {
        common,
        args,
        engine: &engine,
    };
    let (mut outcomes, mut failed) = (Vec::new(), None);
    if let Some((asked, free)) = args
        .size
        .zip(memory_available())
        .filter(|&(asked, free)| asked > free / 2)
    {
        let (asked, free) = (size::show(asked), size::show(free));
        let why = format!(
            "--size {asked}: the host has {free} of memory available, and the data must fit in half of it"
        );
        return Err(Failure::arguments(why));
    }
    for name in args.name.each() {
        match play(*name, &setup) {
            Ok(outcome) => outcomes.push(outcome),
            Err(failure) if args.name.each().len() == 1 => return Err(failure),
            // The others are worth running all the same.
            Err(failure) => {
                failure.say(name.name());
                failed.get_or_insert(failure.status());
            }
        }
    }
    if !outcomes.is_empty() {
        print(&text(&engine, &outcomes))?;
    }
    let reports: Vec<Report> = outcomes
        .into_iter()
        .map(|outcome| outcome.row.report)
        .collect();
    if let Some(path) = &common.report {
        match &reports[..] {
            [report] if args.name.each().len() == 1 => report::write(path, report),
            _ => report::write(
                path,
                &Demos {
                    demos: reports.clone(),
                },
            ),
        }
        .map_err(Failure::run)?;
    }
    if let Some(status) = failed {
        return Err(Failure::Said(status));
    }
    if reports.iter().all(|report| report.verified == Some(true)) {
        Ok(())
    } else {
        Err(Failure::NotVerified)
    }
}

/// The device, the table, and what else there is to say.
fn text(engine: &Engine, outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    if let Some(outcome) = outcomes.first() {
        text.push_str(&format!("{}\n\n", outcome.device));
    }
    let rows: Vec<_> = outcomes.iter().map(|outcome| outcome.row.clone()).collect();
    text.push_str(&table::draw(&rows));
    let mut notes: Vec<String> = outcomes
        .iter()
        .flat_map(|outcome| outcome.notes.clone())
        .collect();
    if let Engine::Simulated { instead } = engine {
        if let Some(why) = instead {
            notes.push(format!(
                "No GPU adapter was found ({why}): the simulated device was used instead."
            ));
        }
        notes.push("The simulated device runs Rust closures that do the same: the WGSL kernels were skipped.".to_owned());
    }
    if !notes.is_empty() {
        text.push('\n');
    }
    for note in notes {
        text.push_str(&note);
        text.push('\n');
    }
    text
}
