//! The GPU's own clock: when a pass or a probe really ran, on the host's timeline. Only while somebody traces, and only
//! where the adapter has timestamps.
//!
//! Key types: [`Clock`] (the queries and how they are read), [`Anchor`] (the difference of the two clocks).
//! The difference is only known to lie where the work begins after it was submitted and ends before its completion was
//! seen; every submission narrows that down. Invariant: what is recorded of a submission lies between these two moments,
//! so spans of one device never overlap.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gmem_hal::DeviceError;
use gmem_hal::trace::What;

use crate::buffers::{Buffer, Purpose};
use crate::gpu::{Gpu, Mapping};

/// Bytes of two timestamps.
const BYTES: u64 = 16;

/// What a submission is, in a trace.
#[derive(Clone)]
pub(crate) struct Label {
    pub(crate) kernel: Arc<str>,
    pub(crate) probe: bool,
}

/// Two timestamps around every compute pass.
pub(crate) struct Clock {
    queries: wgpu::QuerySet,
    resolved: Buffer,
    readback: Buffer,
    /// Nanoseconds of a tick.
    period: f64,
    anchor: Cell<Option<Anchor>>,
    track: String,
}

/// How much later the host's clock is than the device's: somewhere between two bounds, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Anchor {
    host: Instant,
    device: u64,
    bounds: (f64, f64),
}

impl Anchor {
    /// Learns from one submission, and says when it ran. `before` is what the others taught.
    fn place(
        before: Option<Self>,
        ticks: [u64; 2],
        period: f64,
        (submitted, completed): (Instant, Instant),
    ) -> (Self, (Instant, Instant)) {
        let mut anchor = before.unwrap_or(Self {
            host: submitted,
            device: ticks[0],
            bounds: (f64::NEG_INFINITY, f64::INFINITY),
        });
        let on_device = |ticks: u64| ticks.wrapping_sub(anchor.device) as i64 as f64 * period;
        let on_host = |at: Instant| {
            at.saturating_duration_since(anchor.host).as_nanos() as f64
                - anchor.host.saturating_duration_since(at).as_nanos() as f64
        };
        let (begin, end) = (
            on_device(ticks[0]),
            on_device(ticks[1]).max(on_device(ticks[0])),
        );
        let seen = (on_host(submitted) - begin, on_host(completed) - end);
        if seen.0 > seen.1 {
            // It claims to have run for longer than it was away: the clock is of no use here.
            return (anchor, (submitted, completed));
        }
        let (low, high) = (anchor.bounds.0.max(seen.0), anchor.bounds.1.min(seen.1));
        // Clocks drift apart: then only the latest counts.
        anchor.bounds = if low <= high { (low, high) } else { seen };
        let offset = f64::midpoint(anchor.bounds.0, anchor.bounds.1);
        let at = |nanos: f64| {
            let nanos = nanos + offset;
            let distance = Duration::from_nanos(nanos.abs() as u64);
            let at = if nanos < 0.0 {
                anchor.host.checked_sub(distance)
            } else {
                anchor.host.checked_add(distance)
            };
            at.unwrap_or(submitted).clamp(submitted, completed)
        };
        (anchor, (at(begin), at(end)))
    }
}

impl Clock {
    /// The clock of a device, if it has one and somebody traces.
    pub(crate) fn of(gpu: &Gpu) -> Option<Self> {
        use wgpu::BufferUsages as Usage;
        let has = gpu
            .device
            .features()
            .contains(wgpu::Features::TIMESTAMP_QUERY);
        if !(gpu.tracer.is_on() && has) {
            return None;
        }
        let make = || {
            let queries = gpu.scoped(|device| {
                device.create_query_set(&wgpu::QuerySetDescriptor {
                    label: Some("timestamps"),
                    ty: wgpu::QueryType::Timestamp,
                    count: 2,
                })
            })?;
            let buffer = |usage| gpu.buffer(Purpose::Table, "timestamps", BYTES, usage, false);
            Ok::<_, DeviceError>(Self {
                queries,
                resolved: buffer(Usage::QUERY_RESOLVE | Usage::COPY_SRC)?,
                readback: buffer(Usage::MAP_READ | Usage::COPY_DST)?,
                period: f64::from(gpu.queue.get_timestamp_period()),
                anchor: Cell::new(None),
                track: format!("GPU: {}", gpu.facts.adapter.name),
            })
        };
        // A trace without them is still a trace.
        make().ok()
    }

    /// Where a compute pass writes its timestamps.
    pub(crate) fn writes(&self) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        }
    }

    /// Has the timestamps copied to where the host can read them, after the pass.
    pub(crate) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.readback, 0, BYTES);
    }

    /// Asks for them, right after the submission.
    pub(crate) fn map(&self, gpu: &Gpu) -> Mapping {
        gpu.map(&self.readback, wgpu::MapMode::Read, BYTES)
    }

    /// Records when the submission ran.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        mapping: &Mapping,
        submission: &wgpu::SubmissionIndex,
        between: (Instant, Instant),
        label: Label,
    ) {
        let read = mapping.wait(gpu, submission).ok().and_then(|()| {
            let view = self.readback.get_mapped_range(..BYTES).ok()?;
            let ticks = bytemuck::pod_collect_to_vec::<u8, u64>(&view);
            Some([ticks[0], ticks[1]])
        });
        self.readback.unmap();
        if let Some(ticks) = read {
            let (anchor, span) = Anchor::place(self.anchor.get(), ticks, self.period, between);
            self.anchor.set(Some(anchor));
            let Label { kernel, probe } = label;
            gpu.tracer
                .span_on(&self.track, span, || What::Gpu { kernel, probe });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(origin: Instant, micros: u64) -> Instant {
        origin + Duration::from_micros(micros)
    }

    #[test]
    fn work_lies_between_its_submission_and_its_completion_and_the_offset_narrows() {
        let origin = Instant::now();
        // The device's clock ticks every 10 ns and is 5 ms ahead of the host's.
        let ticks = |micros: [u64; 2]| micros.map(|m| (m + 5000) * 100);
        let mut anchor = None;
        for (ran, seen) in [
            ([130, 150], (100, 190)),
            ([205, 250], (200, 290)),
            ([330, 390], (300, 391)),
            ([420, 440], (400, 500)),
        ] {
            let between = (at(origin, seen.0), at(origin, seen.1));
            let (learnt, span) = Anchor::place(anchor, ticks(ran), 10.0, between);
            assert!(between.0 <= span.0 && span.1 <= between.1);
            assert_eq!(span.1 - span.0, Duration::from_micros(ran[1] - ran[0]));
            anchor = Some(learnt);
        }
        // By now it is known to within 5 us before and 1 us after.
        let between = (at(origin, 500), at(origin, 600));
        let (_, span) = Anchor::place(anchor, ticks([550, 560]), 10.0, between);
        let error = span.0 - at(origin, 540);
        assert!(
            (Duration::from_micros(5)..=Duration::from_micros(15)).contains(&error),
            "{error:?}"
        );
    }

    #[test]
    fn a_clock_that_drifts_or_lies_moves_nothing_out_of_its_submission() {
        let origin = Instant::now();
        let between = (at(origin, 100), at(origin, 120));
        let (anchor, _) = Anchor::place(None, [1_000_000, 1_010_000], 1.0, between);
        // Now 1 ms later than it was.
        let between = (at(origin, 200), at(origin, 220));
        let (anchor, span) = Anchor::place(Some(anchor), [2_105_000, 2_115_000], 1.0, between);
        assert!(between.0 <= span.0 && span.1 <= between.1 && span.0 < span.1);
        // Longer than it was away, and backwards.
        let (anchor, span) = Anchor::place(Some(anchor), [3_000_000, 3_900_000], 1.0, between);
        assert_eq!(span, between);
        let (_, span) = Anchor::place(Some(anchor), [u64::MAX, 0], 1.0, between);
        assert!(between.0 <= span.0 && span.1 <= between.1);
    }
}
