//! `gmem replay`: the page accesses of a recorded run under other policies and under Belady's optimum.

use std::fmt::Write as _;

use gmem::replay::{Accesses, Moved, Strategy, accesses, replay};
use serde::Serialize;

use super::args::{Common, PolicyChoice, ReplayArgs};
use super::files::check_output;
use super::trace::read::read;
use super::{Failure, print, printable, report, size, stream};

/// There is a device, and it ran nothing.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} has no pass in it: record a run that launches something")]
struct NoPass(std::path::PathBuf);

/// A device of the trace, as JSON.
#[derive(Debug, Serialize)]
struct Device {
    space: u32,
    node: u8,
    name: String,
    backend: String,
    /// The policy of the recorded run.
    policy: String,
    page_size: u64,
    /// Frames of the recorded run.
    recorded_frames: u64,
    /// Frames of the replays.
    frames: u64,
    passes: u64,
    /// Pages that it ever used.
    pages: u64,
    /// What the recorded run moved.
    recorded: Row,
    replays: Vec<Row>,
}

/// What one strategy moved.
#[derive(Debug, Serialize)]
struct Row {
    strategy: String,
    fetched_pages: u64,
    zeroed_pages: u64,
    evicted_pages: u64,
    bytes_to_device: u64,
    bytes_home: u64,
    /// Pages fetched, over those that the optimum fetched; null where that is none.
    fetched_ratio: Option<f64>,
    /// Bytes moved in both directions, over the optimum's.
    moved_ratio: Option<f64>,
}

/// Runs `gmem replay`.
///
/// # Errors
/// With bad arguments when there is no such file; else when it is no trace, or a pass does not fit.
pub fn run(common: &Common, args: &ReplayArgs) -> Result<(), Failure> {
    if let Some(path) = &common.report {
        check_output(path)?;
    }
    let (file, _) = stream::open(&args.file).map_err(Failure::arguments)?;
    let trace = read(&args.file, file).map_err(Failure::run)?;
    // The default seed is the one of the run.
    let seed = if common.seed == 0 {
        trace.seed
    } else {
        common.seed
    };
    let devices: Vec<Device> = accesses(&trace.recording)?
        .iter()
        .filter(|device| device.passes() > 0)
        .map(|device| replayed(device, common, seed))
        .collect::<Result<_, _>>()?;
    if devices.is_empty() {
        return Err(Failure::run(NoPass(args.file.clone())));
    }
    let json = serde_json::json!({"trace": args.file, "seed": seed, "devices": devices});
    if let Some(path) = &common.report {
        report::write(path, &json).map_err(Failure::run)?;
    }
    if args.json {
        return print(&format!("{json:#}\n"));
    }
    let texts: Vec<String> = devices.iter().map(text).collect();
    print(&printable(&texts.join("\n")))
}

fn strategies(choice: Option<PolicyChoice>) -> Vec<Strategy> {
    match choice {
        None | Some(PolicyChoice::All) => Strategy::ALL.to_vec(),
        Some(PolicyChoice::Belady) => vec![Strategy::Belady],
        Some(PolicyChoice::One(kind)) => vec![Strategy::Policy(kind), Strategy::Belady],
    }
}

fn replayed(accesses: &Accesses, common: &Common, seed: u64) -> Result<Device, Failure> {
    let facts = accesses.device();
    let frames = common
        .device_memory
        .map_or(facts.frames, |bytes| facts.frames_in(bytes));
    let best = replay(accesses, frames, Strategy::Belady, seed)?;
    let row = |strategy: &str, moved: &Moved, best: &Moved| Row {
        strategy: strategy.to_owned(),
        fetched_pages: moved.fetched,
        zeroed_pages: moved.zeroed,
        evicted_pages: moved.evicted,
        bytes_to_device: moved.bytes_to_device(facts.page_bytes),
        bytes_home: moved.bytes_home(facts.page_bytes),
        fetched_ratio: moved.fetched_ratio(best),
        moved_ratio: moved.moved_ratio(best),
    };
    let replays = strategies(common.policy)
        .into_iter()
        .map(|strategy| {
            let moved = match strategy {
                Strategy::Belady => best,
                policy => replay(accesses, frames, policy, seed)?,
            };
            Ok(row(strategy.name(), &moved, &best))
        })
        .collect::<Result<_, Failure>>()?;
    // What was recorded is beside the optimum of the memory that it was recorded with.
    let best_then = if frames == facts.frames {
        best
    } else {
        replay(accesses, facts.frames, Strategy::Belady, seed)?
    };
    Ok(Device {
        space: facts.space,
        node: facts.node.0,
        name: facts.name.clone(),
        backend: facts.backend.clone(),
        policy: facts.policy.clone(),
        page_size: facts.page_bytes,
        recorded_frames: facts.frames,
        frames,
        passes: accesses.passes(),
        pages: accesses.pages() as u64,
        recorded: row("recorded", &accesses.recorded(), &best_then),
        replays,
    })
}

/// The device and a table.
fn text(device: &Device) -> String {
    let page = device.page_size;
    let mut text = format!(
        "{} ({}), space {}: {} passes over {} pages of {}, recorded with {} on {} frames ({})\n",
        device.name,
        device.backend,
        device.space,
        device.passes,
        device.pages,
        size::show(page),
        device.policy,
        device.recorded_frames,
        size::show(device.recorded_frames.saturating_mul(page)),
    );
    if device.frames != device.recorded_frames {
        let _ = writeln!(
            text,
            "replayed on {} frames ({})",
            device.frames,
            size::show(device.frames.saturating_mul(page))
        );
    }
    let _ = writeln!(
        text,
        "{:<10}{:>14}{:>14}{:>14}{:>16}{:>14}",
        "policy", "pages fetched", "to device", "home", "fetched/belady", "moved/belady"
    );
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |r| format!("{r:.3}"));
    for row in std::iter::once(&device.recorded).chain(&device.replays) {
        let _ = writeln!(
            text,
            "{:<10}{:>14}{:>14}{:>14}{:>16}{:>14}",
            row.strategy,
            row.fetched_pages,
            size::show(row.bytes_to_device),
            size::show(row.bytes_home),
            ratio(row.fetched_ratio),
            ratio(row.moved_ratio),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmem::PolicyKind;

    #[test]
    fn the_optimum_is_always_there_to_compare_with() {
        for choice in [
            None,
            Some(PolicyChoice::All),
            Some(PolicyChoice::Belady),
            Some(PolicyChoice::One(PolicyKind::Random)),
        ] {
            assert_eq!(strategies(choice).last(), Some(&Strategy::Belady));
        }
        let all = strategies(None);
        assert!(
            PolicyKind::ALL
                .iter()
                .all(|&kind| all.contains(&Strategy::Policy(kind)))
        );
        assert_eq!(
            strategies(Some(PolicyChoice::One(PolicyKind::Lru)))[0],
            Strategy::Policy(PolicyKind::Lru)
        );
    }
}
