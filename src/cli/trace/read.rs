//! Reads a trace back, as far as a replay needs it: what happened to pages, and on which devices.
//!
//! Events are read one at a time and those that a replay has no use for are forgotten at once, so that a file may be far
//! larger than what is kept of it. Whatever is in the file, the result is a recording or a [`ReadError`] that says what to do.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use gmem_hal::trace::{AttachFacts, Direction, Event, PageRun, Recording, What};
use gmem_hal::{Access, Cause, NodeId};
use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::{FORMAT, FORMAT_VERSION};

/// Why a file is no trace.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not JSON, or ends too early.
    #[error(
        "{path:?} is not whole: {reason}; record it again with `--trace`, and let the run end by itself"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// It is JSON, and something else.
    #[error(
        "{path:?} is not a trace that gmem wrote: {reason}; record one with `gmem demo triad --trace FILE.json`"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// A trace of another time.
    #[error(
        "{path:?} is a trace in format {found} (of gmem {version}), and this gmem reads {FORMAT_VERSION}: record it again"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// Who wrote it.
        version: String,
    },
    /// The system failed.
    #[error("{path:?} cannot be read: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What was read.
#[derive(Debug, PartialEq)]
pub struct Trace {
    /// The events that say what happened to pages. There are no tracks.
    pub recording: Recording,
    /// The seed of the run.
    pub seed: u64,
}

/// Reads an open file.
///
/// # Errors
/// When it is not a trace.
pub fn read(path: &Path, file: File) -> Result<Trace, ReadError> {
    read_from(path, BufReader::with_capacity(1 << 16, file))
}

/// Reads a trace; `path` is for errors.
///
/// # Errors
/// When it is not a trace.
pub fn read_from(path: &Path, from: impl Read) -> Result<Trace, ReadError> {
    use serde_json::error::Category;
    let path = || path.to_owned();
    let mut json = serde_json::Deserializer::from_reader(from);
    let whole = Whole::deserialize(&mut json).and_then(|whole| json.end().map(|()| whole));
    let Whole { events, other } = whole.map_err(|error| match error.classify() {
        Category::Io => ReadError::Io {
            path: path(),
            source: error.into(),
        },
        Category::Syntax | Category::Eof => ReadError::Malformed {
            path: path(),
            reason: error.to_string(),
        },
        Category::Data => ReadError::Foreign {
            path: path(),
            reason: error.to_string(),
        },
    })?;
    let other = other.filter(|other| other.format == FORMAT);
    let (Some(other), Some(events)) = (other, events) else {
        let reason = format!("it has no `traceEvents` with `otherData` of format `{FORMAT}`");
        return Err(ReadError::Foreign {
            path: path(),
            reason,
        });
    };
    if other.format_version != FORMAT_VERSION {
        return Err(ReadError::Version {
            path: path(),
            found: other.format_version,
            version: other.version,
        });
    }
    Ok(Trace {
        recording: Recording {
            tracks: Vec::new(),
            events,
            dropped: other.dropped,
        },
        seed: other.seed,
    })
}

/// The object that a file is.
#[derive(Default)]
struct Whole {
    events: Option<Vec<Event>>,
    other: Option<Other>,
}

/// `otherData`; of a foreign file anything.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Other {
    format: String,
    format_version: u64,
    version: String,
    seed: u64,
    dropped: u64,
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with `traceEvents` and `otherData`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Whole, A::Error> {
                let mut whole = Whole::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "traceEvents" => whole.events = Some(map.next_value_seed(Events)?),
                        "otherData" => whole.other = Some(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(whole)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// The list of events, of which what a replay needs is kept.
struct Events;

impl<'de> DeserializeSeed<'de> for Events {
    type Value = Vec<Event>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Event>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Events {
    type Value = Vec<Event>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Event>, A::Error> {
        let mut events = Vec::new();
        while let Some(shown) = list.next_element::<Shown>()? {
            let space = shown.args.space;
            if let Some(what) = shown.what().map_err(A::Error::custom)? {
                events.push(Event {
                    start: 0,
                    end: 0,
                    track: 0,
                    space,
                    what,
                });
            }
        }
        Ok(events)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Shown {
    cat: String,
    args: Args,
}

/// All that the arguments of any event that matters may be.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Args {
    space: u32,
    node: Option<u8>,
    cause: Option<String>,
    used: Option<bool>,
    reads: Vec<(u64, u32)>,
    writes: Vec<(u64, u32)>,
    pages: Vec<(u64, u32)>,
    direction: Option<String>,
    bytes: u64,
    count: u64,
    adapter: String,
    backend: String,
    policy: String,
    frames: u32,
    page_size: u64,
    window_frames: u32,
    window_overhead: u64,
}

impl Shown {
    /// What it was, if a replay has a use for it.
    fn what(self) -> Result<Option<What>, String> {
        let Self { cat, args } = self;
        let needed = |what: &str| format!("an event `{cat}` has no `{what}`");
        let node = || args.node.map(NodeId).ok_or_else(|| needed("node"));
        let cause = || {
            let name = args.cause.as_deref().ok_or_else(|| needed("cause"))?;
            let cause = Cause::ALL.into_iter().find(|c| c.name() == name);
            cause.ok_or_else(|| format!("there is no cause `{name}`"))
        };
        let uses = || -> Result<Vec<PageRun>, String> {
            let mut uses = runs(&args.reads, Access::Read)?;
            uses.extend(runs(&args.writes, Access::Write)?);
            Ok(uses)
        };
        Ok(Some(match cat.as_str() {
            "pass" => What::Pass {
                node: node()?,
                kernel: "".into(),
                workgroups: 0,
                uses: uses()?,
            },
            "claim" => What::Claim {
                node: node()?,
                cause: cause()?,
                uses: uses()?,
            },
            "release" => What::Release {
                node: node()?,
                used: args.used.ok_or_else(|| needed("used"))?,
            },
            "host_access" => What::HostAccess {
                cause: cause()?,
                uses: uses()?,
            },
            "discard" => What::Discard {
                pages: runs(&args.pages, Access::Write)?,
            },
            "give_up" => What::GiveUp {
                node: node()?,
                pages: runs(&args.pages, Access::Write)?,
            },
            "copy" => What::Copy {
                node: node()?,
                direction: match args.direction.as_deref() {
                    Some("to_device") => Direction::ToDevice,
                    Some("home") => Direction::Home,
                    _ => return Err(needed("direction")),
                },
                // By which cause does not matter to a replay.
                moved: vec![(Cause::Demand, args.bytes)],
                runs: 0,
            },
            "zero" => What::Zero {
                node: node()?,
                pages: args.count,
            },
            "evict" => What::Evict {
                node: node()?,
                pages: args.count,
            },
            "remote" => What::Remote {
                node: node()?,
                frames: args.count,
            },
            "attach" => What::Attach {
                node: node()?,
                facts: Box::new(AttachFacts {
                    name: args.adapter,
                    backend: args.backend,
                    policy: args.policy,
                    frames: args.frames,
                    page_bytes: args.page_size,
                    window_frames: args.window_frames,
                    window_overhead: args.window_overhead,
                }),
            },
            _ => return Ok(None),
        }))
    }
}

fn runs(list: &[(u64, u32)], access: Access) -> Result<Vec<PageRun>, String> {
    let run = |&(first, count): &(u64, u32)| {
        let end = first.checked_add(u64::from(count));
        end.map(|_| PageRun {
            first,
            count,
            access,
        })
        .ok_or_else(|| format!("there is no page {first} with {count} after it"))
    };
    list.iter().map(run).collect()
}
