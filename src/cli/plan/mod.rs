//! `gmem run PLAN.toml`: a job of several kernels, described in a file: buffers, kernels, and steps with loops.

mod expect;
mod format;
mod job;
mod mistake;
mod raw;
mod reader;

use std::fmt::Write as _;
use std::time::Instant;

use gmem_hal::counted;

use super::args::{Common, RunArgs};
use super::demo::stage::{at_hand, fill_in};
use super::files::check_output;
use super::progress::Progress;
use super::report::{self, Report, Setting};
use super::run::{NeedsGpu, figures};
use super::space::{self, Engine};
use super::spec::{BindSpec, Source};
use super::{Failure, note, output, print};
use format::Plan;
use job::{Inputs, Job};

/// What is wrong with `--bind`, with a plan.
#[derive(Debug, thiserror::Error)]
#[error("the plan has no buffer `{name}` to --bind: it has {available}")]
struct NoBuffer {
    name: String,
    available: String,
}

/// Runs a plan.
///
/// # Errors
/// With bad arguments when the plan is wrong, or does not fit its kernels or files; else when the run fails, or a buffer does
/// not hold what is expected of it.
pub fn run(common: &Common, args: &RunArgs) -> Result<(), Failure> {
    let plan = Plan::read(&args.kernel)?;
    let others = others(&plan, &args.binds)?;
    check_distinct(&plan, &others, common)?;
    let inputs = Inputs::open(&plan, &others, common.seed)?;
    if let Some(report) = &common.report {
        check_output(report)?;
    }
    for kernel in &plan.kernels {
        // Found missing before a device is opened.
        super::stream::open(&kernel.file).map_err(|e| {
            let what = format!("kernel `{}`", kernel.name);
            mistake::located(Failure::arguments(e), &plan.path, kernel.line, &what)
        })?;
    }
    let adapter = space::adapter(common).ok_or_else(|| Failure::run(NeedsGpu))?;
    let gm = Engine::Gpu(adapter).builder(common).build()?;
    let (mut job, expected) = Job::prepare(&plan, &gm, inputs)?;

    let mut report = Report {
        bytes_bound: job.bytes(),
        device_memory: gm.device(0)?.gpu().map_or(0, |gpu| gpu.device_memory()),
        ..Report::default()
    };
    let outs: Vec<_> = (plan.buffers.iter().zip(&others))
        .map(|(buffer, other)| other.map_or(&buffer.spec, |other| other).out.as_ref())
        .collect();
    let own = others.iter().all(Option::is_none);
    let checked = |b: usize| own && plan.buffers[b].expect.is_some();
    let progress = Progress::start("running", 0);
    let began = Instant::now();
    for _ in 0..args.repeat {
        job.steps()?;
    }
    for (buffer, out) in outs.iter().enumerate() {
        if out.is_some() || checked(buffer) {
            at_hand(&gm, &job.data(buffer).memory);
        }
    }
    report.seconds.total = began.elapsed().as_secs_f64();
    drop(progress);
    fill_in(&mut report, &gm);
    report.setting = Setting::of(&gm, common);

    let mut verdicts = String::new();
    for (buffer, like) in expected.iter().enumerate().filter(|(b, _)| checked(*b)) {
        let name = plan.buffers[buffer].name();
        let verdict = job.verify(buffer, like.as_ref());
        let (right, words) = match verdict {
            None => continue,
            Some(Ok(())) => (true, "as expected".to_owned()),
            Some(Err(mismatch)) => (false, format!("NOT AS EXPECTED: {mismatch}")),
        };
        report.verified = Some(report.verified.unwrap_or(true) && right);
        let _ = writeln!(verdicts, "`{name}`: {words}");
    }
    if !own && plan.buffers.iter().any(|buffer| buffer.expect.is_some()) {
        note(
            "note: with --bind nothing is compared with what the plan expects of its own contents",
        );
    }
    let mut text = summary(&plan, &job, &report);
    text.push_str(&verdicts);
    for (buffer, out) in outs.iter().enumerate() {
        if let Some(out) = out {
            let memory = job.data(buffer);
            memory.write(out)?;
            let _ = writeln!(text, "wrote {} ({})", out.display(), memory.describe(out));
        }
    }
    if let Some(path) = &common.report {
        report::write(path, &report).map_err(Failure::run)?;
    }
    print(&text)?;
    match report.verified {
        Some(false) => Err(Failure::NotVerified),
        _ => Ok(()),
    }
}

/// What the command line gives each buffer, if anything.
fn others<'a>(plan: &Plan, binds: &'a [BindSpec]) -> Result<Vec<Option<&'a BindSpec>>, Failure> {
    let mut others = vec![None; plan.buffers.len()];
    for bind in binds {
        let buffer = plan.buffers.iter().position(|b| b.spec.name == bind.name);
        let Some(buffer) = buffer else {
            let names = plan.buffers.iter().map(|b| format!("`{}`", b.name()));
            let names: Vec<String> = names.collect();
            return Err(Failure::arguments(NoBuffer {
                name: bind.name.to_string(),
                available: if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                },
            }));
        };
        others[buffer] = Some(bind);
    }
    Ok(others)
}

/// Checks that no result goes where another one goes, or onto what is read.
fn check_distinct(
    plan: &Plan,
    others: &[Option<&BindSpec>],
    common: &Common,
) -> Result<(), Failure> {
    let specs =
        || (plan.buffers.iter().zip(others)).map(|(buffer, other)| other.unwrap_or(&buffer.spec));
    let contents = specs().filter_map(|spec| match &spec.source {
        Source::Npy(path) | Source::Bin(path) => {
            Some((format!("what `{}` is read from", spec.name), path.as_path()))
        }
        _ => None,
    });
    let kernels = (plan.kernels.iter()).map(|kernel| {
        (
            format!("the kernel `{}`", kernel.name),
            kernel.file.as_path(),
        )
    });
    let outputs = specs()
        .filter_map(|spec| Some((format!("where `{}` goes", spec.name), spec.out.as_deref()?)));
    output::check_distinct_in_plan(common, contents.chain(kernels), outputs)
        .map_err(Failure::arguments)
}

fn summary(plan: &Plan, job: &Job<'_>, report: &Report) -> String {
    let all = |count: fn(&job::Compiled) -> u64| job.kernels.iter().map(count).sum::<u64>();
    let mut text = format!(
        "{}: {} of {} in {}, {:.2} s ({:.2} s in kernels)\n",
        plan.path.display(),
        counted(all(|kernel| kernel.launches), "launch"),
        counted(job.kernels.len() as u64, "kernel"),
        counted(all(|kernel| kernel.passes), "pass"),
        report.seconds.total,
        report.seconds.kernel,
    );
    for (spec, kernel) in plan.kernels.iter().zip(&job.kernels) {
        let _ = writeln!(
            text,
            "  {}: {}, {}",
            spec.name,
            counted(kernel.launches, "launch"),
            counted(kernel.passes, "pass")
        );
    }
    text.push_str(&figures(report));
    text
}
