//! `gmem bench`: how fast gmem is, against what an expert would have written by hand.
//!
//! Every case runs both sides in turn in one process (`bed`), verifies the results of both, and gives a row (`row`) of what was
//! `measured`. All cases are run several times, one after the other, until they are known well or time is up.
//! The cases are in one file for each group, the kernels in `jobs`, the other side in `baseline`. `command` runs them; a run
//! is a record (`json`), which is drawn as a table (`table`) or a page (`html`).

mod baseline;
mod bed;
#[cfg(target_os = "linux")]
mod burn;
mod cold;
mod command;
#[cfg(target_os = "linux")]
mod cores;
mod curve;
mod date;
mod fault_batch;
mod fragmented;
mod html;
mod job;
mod jobs;
mod json;
mod machine;
mod measured;
mod metadata;
mod migration;
mod overhead;
mod reuse;
mod row;
mod show;
mod sparse;
mod straw;
mod stream;
mod table;
#[cfg(target_os = "linux")]
mod threads;
#[cfg(target_os = "linux")]
mod touch;
mod warm;
mod workloads;

use bed::Bed;
use row::Row;

pub use command::run;

use super::Failure;

/// Runs the cases of a group that are not known well enough, giving each row as soon as it is there.
type Rows = fn(&Bed<'_>, &mut dyn FnMut(Row)) -> Result<(), Failure>;

/// A group of cases.
struct Group {
    /// `P1` and so on.
    id: &'static str,
    /// What it is about, in a few words.
    title: &'static str,
    /// Runs its cases.
    rows: Rows,
}

/// All of them, in the order they are run.
const GROUPS: &[Group] = &[
    Group {
        id: "P1",
        title: "warm, fits",
        rows: warm::rows,
    },
    Group {
        id: "P2",
        title: "cold, fits",
        rows: cold::rows,
    },
    Group {
        id: "P3",
        title: "streams over more than the device memory",
        rows: stream::rows,
    },
    Group {
        id: "P4",
        title: "fragmented",
        rows: fragmented::rows,
    },
    Group {
        id: "P5",
        title: "bytes moved where pages are used again",
        rows: reuse::rows,
    },
    #[cfg(target_os = "linux")]
    Group {
        id: "P6",
        title: "CPU faults",
        rows: touch::rows,
    },
    Group {
        id: "P7",
        title: "a batch of device faults",
        rows: fault_batch::rows,
    },
    Group {
        id: "P8",
        title: "migration",
        rows: migration::rows,
    },
    Group {
        id: "P9",
        title: "metadata, look-ups and steps",
        rows: metadata::rows,
    },
    Group {
        id: "P10",
        title: "launch overhead",
        rows: overhead::rows,
    },
    #[cfg(target_os = "linux")]
    Group {
        id: "P11",
        title: "processor time burnt",
        rows: burn::rows,
    },
    Group {
        id: "P12",
        title: "sparse",
        rows: sparse::rows,
    },
    Group {
        id: "P13",
        title: "the oversubscription curve",
        rows: curve::rows,
    },
    Group {
        id: "BASE",
        title: "the baselines themselves",
        rows: straw::rows,
    },
];
