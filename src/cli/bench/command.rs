//! The command itself: checks what was asked for, runs the groups, and gives the result as a table, as JSON and as a page.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::time::{Duration, Instant};

use super::bed::Bed;
use super::json::{Failed, Record, RecordError, Title};
use super::machine::Machine;
use super::{GROUPS, Group, date, html, table};
use crate::cli::args::{BenchArgs, Common};
use crate::cli::files::check_output;
use crate::cli::progress::Progress;
use crate::cli::space::{Engine, adapter};
use crate::cli::{Failure, chain, print, printable, report};

/// The commit that this was built of; see build.rs.
const COMMIT: Option<&str> = option_env!("GMEM_COMMIT");

/// Runs `gmem bench`.
///
/// # Errors
/// With bad arguments when a group is not there or a file cannot be written; else when a group fails or a result was wrong.
pub fn run(common: &Common, args: &BenchArgs) -> Result<(), Failure> {
    // A long run is not worth a result that has nowhere to go.
    for path in args.json.iter().chain(&args.html).chain(&common.report) {
        check_writable(path)?;
    }
    let record = match &args.from {
        Some(path) => Record::read(path).map_err(|error| match error {
            RecordError::Io { .. } => Failure::arguments(error),
            RecordError::Other { .. } => Failure::run(error),
        })?,
        None => measure(common, args)?,
    };
    // Each of them is tried, whatever became of the others.
    let files: Vec<Result<(), Failure>> = (args.json.iter().chain(&common.report))
        .map(|path| report::write(path, &record).map_err(Failure::run))
        .chain((args.html.iter()).map(|path| html::write(path, &record).map_err(Failure::run)))
        .collect();
    print(&table::draw(&record))?;
    let mut failures = files.into_iter().filter_map(Result::err);
    if let Some(first) = failures.next() {
        failures.for_each(|failure| failure.say("also"));
        return Err(first);
    }
    if record.unverified() == 0 && record.failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::NotVerified)
    }
}

fn measure(common: &Common, args: &BenchArgs) -> Result<Record, Failure> {
    let chosen = chosen(&args.only)?;
    let choice = adapter(common).ok_or_else(|| {
        Failure::arguments("`gmem bench` measures GPUs: choose an adapter that `gmem info` lists")
    })?;
    let engine = Engine::Gpu(choice);
    let bed = Bed::new(common, args.quick, &engine)?;
    let began = Instant::now();
    let mut record = Record {
        groups: chosen.iter().map(|group| title(group)).collect(),
        machine: Machine::of(&bed)?,
        date: date::now(),
        commit: COMMIT.unwrap_or("unknown").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        quick: args.quick,
        seed: common.seed,
        ..Record::default()
    };
    let effort = bed.effort();
    // How long each group took the last time.
    let mut took: BTreeMap<&str, Duration> = BTreeMap::new();
    // A trace is there to show where time goes: once will do.
    let most = if common.tracer.is_on() {
        1
    } else {
        effort.sittings.1
    };
    for sitting in 1..=most {
        let groups: Vec<&Group> = (chosen.iter().copied())
            .filter(|group| sitting == 1 || is_left(&bed, &record, group))
            .collect();
        let mut has_sat = false;
        for (number, group) in (1..).zip(&groups) {
            if effort.has_time(began.elapsed(), took.get(group.id).copied()) {
                let of = format!("{number} of {}, sitting {sitting}", groups.len());
                took.insert(group.id, sit(&bed, group, &of, &mut record));
                has_sat = true;
            }
        }
        if !has_sat {
            break;
        }
    }
    record.left_out = bed.left_out();
    record.seconds = began.elapsed().as_secs_f64();
    Ok(record)
}

/// Whether a group that was run has a row that another sitting would tell more about.
fn is_left(bed: &Bed<'_>, record: &Record, group: &Group) -> bool {
    let mut rows = record.rows.iter().filter(|row| row.id == group.id);
    rows.any(|row| !bed.is_known(&row.id, &row.case)) && !record.has_failed(group.id)
}

/// One sitting of a group: its rows are added to the record. Gives how long it took.
fn sit(bed: &Bed<'_>, group: &Group, of: &str, record: &mut Record) -> Duration {
    let began = Instant::now();
    let what = format!("{} ({of}), {}", group.id, group.title);
    let progress = Progress::start(&what, 0);
    let done = (group.rows)(bed, &mut |row| {
        progress.say(&format!("{what}: after {}", row.case));
        bed.take_in(record.add(row));
    });
    drop(progress);
    // The others are worth running all the same.
    if let Err(failure) = done {
        failure.say(group.id);
        record.failed.push(Failed {
            id: group.id.to_owned(),
            reason: reason(&failure),
        });
    }
    began.elapsed()
}

fn title(group: &Group) -> Title {
    Title {
        id: group.id.to_owned(),
        title: group.title.to_owned(),
    }
}

fn reason(failure: &Failure) -> String {
    match failure {
        Failure::Arguments(error) | Failure::Run(error) => chain(error.as_ref()),
        Failure::NotVerified => "a result was wrong".to_owned(),
        Failure::Said(_) => "see above".to_owned(),
    }
}

/// The groups that were asked for, each once and in their own order; all when none was.
fn chosen(only: &[String]) -> Result<Vec<&'static Group>, Failure> {
    let is = |group: &Group, id: &str| group.id.eq_ignore_ascii_case(id.trim());
    for id in only {
        if !GROUPS.iter().any(|group| is(group, id)) {
            let ids: Vec<&str> = GROUPS.iter().map(|group| group.id).collect();
            return Err(Failure::arguments(format!(
                "there is no group `{}`: use {}",
                printable(id),
                ids.join(", ")
            )));
        }
    }
    let wanted = |group: &&Group| only.is_empty() || only.iter().any(|id| is(group, id));
    Ok(GROUPS.iter().filter(wanted).collect())
}

/// Looks whether a file can be written, and leaves it as it is.
fn check_writable(path: &Path) -> Result<(), Failure> {
    check_output(path)?;
    let found = std::fs::symlink_metadata(path);
    if found.as_ref().is_ok_and(|found| !found.is_file()) {
        // A terminal or a pipe may wait for whoever is at its other end; a link may lead to nothing yet.
        return Ok(());
    }
    let is_new = found.is_err();
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| Failure::arguments(format!("{path:?} cannot be written: {error}")))?;
    if is_new {
        // It is written when there is a result; were it to stay, it would only be empty.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(only: &[&str]) -> Option<Vec<&'static str>> {
        let only: Vec<String> = only.iter().map(|&id| id.to_owned()).collect();
        let chosen = chosen(&only).ok()?;
        Some(chosen.iter().map(|group| group.id).collect())
    }

    #[test]
    fn groups_are_chosen_by_their_ids() {
        let all: Vec<&str> = GROUPS.iter().map(|group| group.id).collect();
        assert_eq!(ids(&[]), Some(all.clone()));
        assert_eq!(ids(&["p1", "P1"]), Some(vec!["P1"]));
        let last = all[all.len() - 1];
        assert_eq!(ids(&[last, "P1"]), Some(vec!["P1", last]));
        assert_eq!(ids(&["P0"]), None);
        assert_eq!(ids(&[""]), None);
    }

    #[test]
    fn no_two_groups_have_one_id() {
        let mut ids: Vec<&str> = GROUPS.iter().map(|group| group.id).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn a_file_is_tried_and_left_as_it_is() {
        let folder = std::env::temp_dir().join(format!("gmem-{}-writable", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (new, old) = (folder.join("new.json"), folder.join("old.json"));
        std::fs::write(&old, "kept").unwrap();
        assert!(check_writable(&new).is_ok() && !new.exists());
        assert!(check_writable(&old).is_ok());
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "kept");
        for bad in [
            folder.clone(),
            folder.join("none/new.json"),
            old.join("below.json"),
        ] {
            let status = check_writable(&bad).err().map(|failure| failure.report());
            assert_eq!(status, Some(2), "{bad:?}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
