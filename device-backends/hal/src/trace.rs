//! Tracing: what happened, when, in which thread, and which pages it used.
//!
//! Key types: [`Tracer`] (what the manager and the backends hold; off by default), [`Recorder`] (the memory it feeds),
//! [`What`] (the kinds of events), [`Recording`] (what came of it). The record serves two readers: a person who looks where
//! the time went, and a replay of the same accesses under another policy.
//!
//! Invariants: a tracer that is off costs one branch and allocates nothing; a recorder never holds more than its limit and
//! counts what it had to leave out; nothing here touches a user mapping, blocks for longer than a push, or takes another lock.
//! Events stand in the order in which they ended. An event that says what became of a page is recorded while that page
//! stands still (under its block's lock, or claimed), so for each page this is the order of what happened to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Instant;

mod event;

pub use event::{AttachFacts, Direction, PageRun, WaitFor, What};

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Nanoseconds from the recorder's beginning to the event's.
    pub start: u64,
    /// And to its end: the same for a moment.
    pub end: u64,
    /// The index of its [`Track`].
    pub track: u32,
    /// The number of its address space, from 1 on; 0 where it belongs to none.
    pub space: u32,
    /// What it was.
    pub what: What,
}

/// Where events happened, one after another: a thread, or a device's own clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its name.
    pub name: String,
    /// Whether it is a thread of this process.
    pub is_thread: bool,
}

/// What was recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// Where events happened.
    pub tracks: Vec<Track>,
    /// What happened, in the order in which it ended.
    pub events: Vec<Event>,
    /// Events left out because the recorder was full.
    pub dropped: u64,
}

#[derive(Default)]
struct Inner {
    recording: Recording,
    threads: HashMap<ThreadId, u32>,
    units: usize,
}

/// Events in memory, up to a limit.
pub struct Recorder {
    began: Instant,
    limit: usize,
    spaces: AtomicU32,
    inner: Mutex<Inner>,
}

impl Recorder {
    /// Units of a recorder's memory when nobody says otherwise: an event is one, each of its runs of pages another.
    pub const DEFAULT_LIMIT: usize = 4_000_000;

    /// An empty recorder. Its time begins now.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with_limit(Self::DEFAULT_LIMIT)
    }

    /// An empty recorder of so many units.
    #[must_use]
    pub fn with_limit(units: usize) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            limit: units,
            spaces: AtomicU32::new(0),
            inner: Mutex::default(),
        })
    }

    /// What was recorded so far. Recording goes on, with as much room as at first; tracks keep their indices.
    #[must_use]
    pub fn take(&self) -> Recording {
        let mut inner = self.lock();
        inner.units = 0;
        let tracks = inner.recording.tracks.clone();
        let empty = Recording {
            tracks,
            ..Recording::default()
        };
        std::mem::replace(&mut inner.recording, empty)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A thread that panicked while it pushed left at worst one event less.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.nanos(Instant::now())
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX)
    }

    fn push(&self, span: (u64, u64), track: Option<&str>, space: u32, what: What) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let units = what.units();
        if inner.units + units > self.limit {
            inner.recording.dropped += 1;
            return;
        }
        inner.units += units;
        let tracks = &mut inner.recording.tracks;
        let track = match track {
            None => *inner
                .threads
                .entry(std::thread::current().id())
                .or_insert_with(|| {
                    let thread = std::thread::current();
                    let number = tracks.len() as u32;
                    tracks.push(Track {
                        name: thread
                            .name()
                            .map_or_else(|| format!("thread {number}"), str::to_owned),
                        is_thread: true,
                    });
                    number
                }),
            Some(name) => {
                let found = tracks.iter().position(|t| !t.is_thread && t.name == name);
                found.unwrap_or_else(|| {
                    tracks.push(Track {
                        name: name.to_owned(),
                        is_thread: false,
                    });
                    tracks.len() - 1
                }) as u32
            }
        };
        inner.recording.events.push(Event {
            start: span.0,
            end: span.1.max(span.0),
            track,
            space,
            what,
        });
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.lock();
        f.debug_struct("Recorder")
            .field("events", &inner.recording.events.len())
            .field("dropped", &inner.recording.dropped)
            .finish_non_exhaustive()
    }
}

/// When a span began; of a tracer that is off, nothing.
#[derive(Clone, Copy, Debug)]
#[must_use = "a span is recorded when it ends"]
pub struct Began(Option<u64>);

/// Where events go: to a recorder, or nowhere. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tracer {
    recorder: Option<Arc<Recorder>>,
    space: u32,
}

impl Tracer {
    /// A tracer that records nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self {
            recorder: None,
            space: 0,
        }
    }

    /// A tracer that feeds a recorder.
    #[must_use]
    pub fn to(recorder: &Arc<Recorder>) -> Self {
        Self {
            recorder: Some(Arc::clone(recorder)),
            space: 0,
        }
    }

    /// The same for one more address space, whose events are told apart from those of others by its number.
    #[must_use]
    pub fn for_space(&self) -> Self {
        let recorder = self.recorder.clone();
        let space = recorder
            .as_ref()
            .map_or(0, |r| r.spaces.fetch_add(1, Ordering::Relaxed) + 1);
        Self { recorder, space }
    }

    /// Whether anything is recorded.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.recorder.is_some()
    }

    /// Begins a span.
    pub fn begin(&self) -> Began {
        Began(self.recorder.as_ref().map(|r| r.now()))
    }

    /// Ends a span, in this thread. `what` is asked only if there is somebody to tell.
    pub fn end(&self, began: Began, what: impl FnOnce() -> What) {
        if let (Some(recorder), Some(start)) = (&self.recorder, began.0) {
            let what = what();
            recorder.push((start, recorder.now()), None, self.space, what);
        }
    }

    /// Records a moment, in this thread.
    pub fn note(&self, what: impl FnOnce() -> What) {
        if let Some(recorder) = &self.recorder {
            let now = recorder.now();
            recorder.push((now, now), None, self.space, what());
        }
    }

    /// Records a span of another clock on a track of its own; its times have been mapped onto the host's.
    pub fn span_on(&self, track: &str, span: (Instant, Instant), what: impl FnOnce() -> What) {
        if let Some(recorder) = &self.recorder {
            let span = (recorder.nanos(span.0), recorder.nanos(span.1));
            recorder.push(span, Some(track), self.space, what());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Cause};

    fn faults(count: u64) -> What {
        What::CpuFaults { count }
    }

    #[test]
    fn a_tracer_that_is_off_asks_nothing_and_records_nothing() {
        let tracer = Tracer::default();
        assert!(!tracer.is_on() && !tracer.for_space().is_on());
        let began = tracer.begin();
        tracer.end(began, || unreachable!("nobody is told"));
        tracer.note(|| unreachable!("nobody is told"));
        let now = Instant::now();
        tracer.span_on("gpu", (now, now), || unreachable!("nobody is told"));
    }

    #[test]
    fn spans_are_kept_with_their_times_their_thread_and_their_space() {
        let recorder = Recorder::new();
        let tracer = Tracer::to(&recorder);
        let (one, two) = (tracer.for_space(), tracer.for_space());
        let outer = one.begin();
        let inner = one.begin();
        one.end(inner, || faults(1));
        one.end(outer, || faults(2));
        std::thread::Builder::new()
            .name("other".to_owned())
            .spawn(move || two.note(|| faults(3)))
            .unwrap()
            .join()
            .unwrap();
        let now = Instant::now();
        tracer.span_on("gpu", (now, now), || faults(4));
        let Recording {
            tracks,
            events,
            dropped,
        } = recorder.take();
        assert_eq!((events.len(), dropped), (4, 0));
        let (a, b) = (&events[0], &events[1]);
        assert!(b.start <= a.start && a.start <= a.end && a.end <= b.end);
        assert_eq!(events[2].start, events[2].end);
        let where_and_whose: Vec<_> = events
            .iter()
            .map(|e| (tracks[e.track as usize].name.as_str(), e.space))
            .collect();
        assert_eq!(where_and_whose[2..], [("other", 2), ("gpu", 0)]);
        assert_eq!(where_and_whose[0], where_and_whose[1]);
        assert_eq!(where_and_whose[0].1, 1);
        assert!(!tracks[3 - 1].is_thread && tracks[1].is_thread);
        assert!(recorder.take().events.is_empty());
        tracer.note(|| faults(5));
        assert_eq!(
            recorder.take().events[0].track,
            a.track,
            "tracks stay where they were"
        );
    }

    #[test]
    fn what_is_beyond_the_limit_is_counted_and_not_kept() {
        let recorder = Recorder::with_limit(5);
        let tracer = Tracer::to(&recorder);
        let access = |runs: u64| {
            let mut uses = Vec::new();
            (0..runs).for_each(|i| PageRun::push(&mut uses, 2 * i..2 * i + 1, Access::Read));
            What::HostAccess {
                cause: Cause::Demand,
                uses,
            }
        };
        tracer.note(|| access(2));
        tracer.note(|| access(2));
        tracer.note(|| access(1));
        tracer.note(|| faults(1));
        let recording = recorder.take();
        assert_eq!((recording.events.len(), recording.dropped), (2, 2));
        tracer.note(|| access(4));
        assert_eq!(
            recorder.take().events.len(),
            1,
            "there is room again once it is emptied"
        );
    }
}
