//! `--trace FILE`: what happened during a command, as one file for Perfetto and for `gmem replay`.
//!
//! The file is Chrome's trace format, in its form of an object: `traceEvents` has a complete event (`"ph": "X"`, times in
//! microseconds) for each span, an instant one for each moment, and the names of threads as metadata; what an event is, is
//! its category (a kind of [`What`]), all else about it is in `args`. The pages that a pass used are its `reads` and
//! `writes`, each a list of `[first page, how many]`. `otherData` says what the devices were. Events stand in the order in which
//! they ended, which is the order that a replay goes by.
//!
//! It is written an event at a time: no text of it is ever in memory as a whole.

pub mod read;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gmem_hal::Access;
use gmem_hal::trace::{Direction, Event, PageRun, Recorder, Recording, Tracer, What};
use serde::ser::{SerializeMap, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::args::Common;
use super::files::check_output;
use super::{Failure, note, output};

/// What `otherData.format` says.
pub const FORMAT: &str = "gmem-trace";
/// The form of the events: a reader knows this one.
pub const FORMAT_VERSION: u64 = 1;

/// The number of the process, of which there is one.
const PROCESS: u32 = 1;

/// A trace that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the trace cannot be written to {path:?}: {source}")]
pub struct WriteError {
    /// Where it was to go.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Runs a command, recording it where `--trace` asks for that, and writes the record, of a command that failed too.
///
/// # Errors
/// The command's; else when the trace cannot be written.
pub fn recorded(
    common: &mut Common,
    command: impl FnOnce(&Common) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let recorder = start(common)?;
    let done = command(common);
    match (recorder, &common.trace) {
        (Some(recorder), Some(path)) => {
            let recording = recorder.take();
            // What came to nothing for its arguments leaves an older file alone.
            if done.is_err() && recording.events.is_empty() {
                return done;
            }
            done.and(write(path, &recording, common.seed).map_err(Failure::from))
        }
        _ => done,
    }
}

/// A recorder for a command, if one is wanted; spaces made by the same options feed it.
///
/// # Errors
/// When the trace has nowhere to go.
pub fn start(common: &mut Common) -> Result<Option<Arc<Recorder>>, Failure> {
    let Some(path) = &common.trace else {
        return Ok(None);
    };
    check_output(path)?;
    let recorder = Recorder::new();
    common.tracer = Tracer::to(&recorder);
    Ok(Some(recorder))
}

/// Writes a recording to a file.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, recording: &Recording, seed: u64) -> Result<(), WriteError> {
    if recording.dropped > 0 {
        note(&format!(
            "note: the trace left out {} events: it was full",
            recording.dropped
        ));
    }
    let written = output::replace(path, |file| {
        let mut file = BufWriter::new(file);
        write_to(&mut file, recording, seed)?;
        file.flush()
    });
    written.map_err(|source| WriteError {
        path: path.to_owned(),
        source,
    })
}

/// Writes a recording as JSON.
///
/// # Errors
/// When it cannot be written.
pub fn write_to(out: &mut impl Write, recording: &Recording, seed: u64) -> io::Result<()> {
    out.write_all(b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n")?;
    let process = json!({"name": "process_name", "ph": "M", "pid": PROCESS, "tid": 0, "args": {"name": "gmem"}});
    serde_json::to_writer(&mut *out, &process)?;
    for (track, of) in recording.tracks.iter().enumerate() {
        let tid = thread(track as u32);
        let name = json!({"name": "thread_name", "ph": "M", "pid": PROCESS, "tid": tid, "args": {"name": of.name}});
        out.write_all(b",\n")?;
        serde_json::to_writer(&mut *out, &name)?;
        // Devices' own clocks below the threads.
        let index = tid + if of.is_thread { 0 } else { 1 << 20 };
        let order = json!({"name": "thread_sort_index", "ph": "M", "pid": PROCESS, "tid": tid, "args": {"sort_index": index}});
        out.write_all(b",\n")?;
        serde_json::to_writer(&mut *out, &order)?;
    }
    for event in &recording.events {
        out.write_all(b",\n")?;
        serde_json::to_writer(&mut *out, &Shown(event))?;
    }
    out.write_all(b"\n],\n\"otherData\":")?;
    serde_json::to_writer(&mut *out, &other_data(recording, seed))?;
    out.write_all(b"}\n")
}

/// Threads are numbered from 1 on.
const fn thread(track: u32) -> u32 {
    track + 1
}

/// What the devices were, the first one's facts also at the top.
fn other_data(recording: &Recording, seed: u64) -> Value {
    let devices: Vec<Value> = recording
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::Attach { node, facts } => Some(json!({
                "space": event.space,
                "node": node.0,
                "adapter": facts.name,
                "backend": facts.backend,
                "policy": facts.policy,
                "page_size": facts.page_bytes,
                "frames": facts.frames,
            })),
            _ => None,
        })
        .collect();
    let mut other = json!({
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "version": env!("CARGO_PKG_VERSION"),
        "seed": seed,
        "dropped": recording.dropped,
    });
    for key in ["adapter", "backend", "policy", "page_size", "frames"] {
        other[key] = devices.first().map_or(Value::Null, |d| d[key].clone());
    }
    other["devices"] = Value::Array(devices);
    other
}

/// An event as JSON.
struct Shown<'a>(&'a Event);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &name(&event.what))?;
        map.serialize_entry("cat", event.what.kind())?;
        map.serialize_entry("ts", &micros(event.start))?;
        if is_moment(&event.what) {
            map.serialize_entry("ph", "i")?;
            map.serialize_entry("s", "t")?;
        } else {
            map.serialize_entry("ph", "X")?;
            map.serialize_entry("dur", &micros(event.end - event.start))?;
        }
        map.serialize_entry("pid", &PROCESS)?;
        map.serialize_entry("tid", &thread(event.track))?;
        map.serialize_entry("args", &Args(event))?;
        map.end()
    }
}

const fn is_moment(what: &What) -> bool {
    matches!(what, What::Release { .. } | What::Discard { .. })
}

/// What a person sees on the span.
fn name(what: &What) -> String {
    match what {
        What::Launch { kernel, .. } => format!("launch {kernel}"),
        What::Pass { kernel, .. } => format!("pass {kernel}"),
        What::Claim { cause, .. } => format!("claim ({})", cause.name()),
        What::Release { .. } => "release".to_owned(),
        What::Probe { kernel, .. } => format!("probe {kernel}"),
        What::CpuFaults { .. } => "cpu faults".to_owned(),
        What::HostAccess { cause, .. } => format!("bring home ({})", cause.name()),
        What::Discard { .. } => "discard".to_owned(),
        What::GiveUp { .. } => "give up".to_owned(),
        What::Copy {
            direction, moved, ..
        } => {
            let way = match direction {
                Direction::ToDevice => "to device",
                Direction::Home => "home",
            };
            let most = moved.iter().max_by_key(|(_, bytes)| *bytes);
            format!("copy {way} ({})", most.map_or("nothing", |m| m.0.name()))
        }
        What::Zero { .. } => "zero".to_owned(),
        What::Evict { .. } => "evict".to_owned(),
        What::Wait { on } => format!("wait for {}", on.name()),
        What::Attach { facts, .. } => format!("attach {}", facts.name),
        What::Grow { .. } => "grow".to_owned(),
        What::Remote { .. } => "remote frames".to_owned(),
        What::Compile { kernel } => format!("compile {kernel}"),
        What::Gpu { kernel, probe } => {
            format!("{} {kernel}", if *probe { "probe" } else { "run" })
        }
    }
}

/// The runs of one access, as `[first, count]`.
struct Runs<'a>(&'a [PageRun], Option<Access>);

impl Serialize for Runs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let wanted = |run: &&PageRun| self.1.is_none_or(|access| run.access == access);
        for run in self.0.iter().filter(wanted) {
            list.serialize_element(&(run.first, run.count))?;
        }
        list.end()
    }
}

struct Args<'a>(&'a Event);

impl Serialize for Args<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.0.space > 0 {
            map.serialize_entry("space", &self.0.space)?;
        }
        what(&self.0.what, &mut map)?;
        map.end()
    }
}

fn uses<M: SerializeMap>(map: &mut M, runs: &[PageRun]) -> Result<(), M::Error> {
    map.serialize_entry("reads", &Runs(runs, Some(Access::Read)))?;
    map.serialize_entry("writes", &Runs(runs, Some(Access::Write)))
}

fn what<M: SerializeMap>(what: &What, map: &mut M) -> Result<(), M::Error> {
    if let Some(node) = what.node() {
        map.serialize_entry("node", &node.0)?;
    }
    match what {
        What::Launch {
            kernel, workgroups, ..
        } => {
            map.serialize_entry("kernel", &**kernel)?;
            map.serialize_entry("workgroups", workgroups)
        }
        What::Pass {
            kernel,
            workgroups,
            uses: runs,
            ..
        } => {
            map.serialize_entry("kernel", &**kernel)?;
            map.serialize_entry("workgroups", workgroups)?;
            uses(map, runs)
        }
        What::Claim {
            cause, uses: runs, ..
        }
        | What::HostAccess { cause, uses: runs } => {
            map.serialize_entry("cause", cause.name())?;
            uses(map, runs)
        }
        What::Release { used, .. } => map.serialize_entry("used", used),
        What::Probe { kernel, boxes, .. } => {
            map.serialize_entry("kernel", &**kernel)?;
            map.serialize_entry("boxes", boxes)
        }
        What::CpuFaults { count } => map.serialize_entry("count", count),
        What::Discard { pages } | What::GiveUp { pages, .. } => {
            map.serialize_entry("pages", &Runs(pages, None))
        }
        What::Copy {
            direction,
            moved,
            runs,
            ..
        } => {
            map.serialize_entry("direction", direction.name())?;
            map.serialize_entry("bytes", &moved.iter().map(|m| m.1).sum::<u64>())?;
            map.serialize_entry("runs", runs)?;
            let causes: Vec<_> = moved.iter().map(|(c, bytes)| (c.name(), bytes)).collect();
            map.serialize_entry("causes", &causes)
        }
        What::Zero { pages, .. } | What::Evict { pages, .. } => map.serialize_entry("count", pages),
        What::Wait { on } => map.serialize_entry("for", on.name()),
        What::Attach { facts, .. } => {
            map.serialize_entry("adapter", &facts.name)?;
            map.serialize_entry("backend", &facts.backend)?;
            map.serialize_entry("policy", &facts.policy)?;
            map.serialize_entry("frames", &facts.frames)?;
            map.serialize_entry("page_size", &facts.page_bytes)?;
            map.serialize_entry("window_frames", &facts.window_frames)?;
            map.serialize_entry("window_overhead", &facts.window_overhead)
        }
        What::Grow { frames, .. } | What::Remote { frames, .. } => {
            map.serialize_entry("count", frames)
        }
        What::Compile { kernel } => map.serialize_entry("kernel", &**kernel),
        What::Gpu { kernel, probe } => {
            map.serialize_entry("kernel", &**kernel)?;
            map.serialize_entry("probe", probe)
        }
    }
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
