//! Launches: a kernel over its whole grid, as passes whose pages are all resident.
//!
//! What a box of workgroups touches is known before it runs: from the kernel's *static* footprint; else by a *probe*; else,
//! when the footprint depends on what the launch writes, all bindings are made *resident*, and where they do not fit the box is
//! *attempted* ([`crate::transaction`]). A box that needs more than the device has is cut in halves, down to one workgroup; where
//! not even one seems to fit, as of a loop that strides over the whole grid, the box is probed or attempted before it is cut. A
//! workgroup that does not fit is run over pieces of its pages ([`crate::pieces`]), else with remote frames ([`crate::remote`]).
//! Boxes run in row-major order, each exactly once. Workgroups that wait for each other run in one piece, or not at all.
//!
//! ```text
//!        fits?  ──no──> static parts known?  ──no──> probe-able? ──no──> attempt-able? ──no──> MustBeResident
//!          │yes             │yes                        │yes                 │yes
//!      one pass       halve until it fits       probe sub-boxes, level    attempt boxes, undo
//!                                               by level, then run as     those that missed a
//!                                               many as fit               page, and try again
//! ```

use std::time::Instant;

use gmem_hal::trace::What;
use gmem_hal::{
    Access, BindingFootprint, ByteRange, Cause, Footprint, FrameRun, GridBox, Launch, Pass,
    Touched, Translation,
};

use crate::claim::{Claims, Needs};
use crate::context::Context;
use crate::counters::{Counters, add};
use crate::error::{LaunchError, MoveError};
use crate::probe::Prober;
use crate::space::Shared;
use crate::span::{Span, add_touched};
use crate::transaction::Transaction;

/// What a launch did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LaunchReport {
    /// Submissions that ran workgroups.
    pub passes: u64,
    /// Submissions that probed.
    pub probes: u64,
    /// Attempts that missed a page, and were undone.
    pub undone: u64,
    /// Bytes of remote frames that a workgroup had at most: 0 unless one needed more than the device's memory.
    pub remote_bytes: u64,
    /// Seconds in passes, from submission to completion.
    pub kernel_seconds: f64,
    /// Seconds in all.
    pub seconds: f64,
}

/// How a pass's footprint was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Static,
    Probe,
    Resident,
}

/// A launch on its device.
pub(crate) struct Run<'a> {
    pub(crate) space: &'a Shared,
    pub(crate) context: &'a Context,
    pub(crate) launch: &'a Launch,
    pub(crate) report: LaunchReport,
    /// The pages of each binding.
    pub(crate) spans: Vec<Span>,
    /// Pieces of the last workgroup's pages were tried, and did not fit.
    pub(crate) pieces_tried: bool,
}

/// Runs a launch to its end.
pub(crate) fn execute(
    space: &Shared,
    context: &Context,
    launch: &Launch,
) -> Result<LaunchReport, LaunchError> {
    let (started, began) = (Instant::now(), space.tracer.begin());
    if context.is_lost() {
        let reason = "it failed earlier".to_owned();
        return Err(gmem_hal::DeviceError::Lost { reason }.into());
    }
    // What a launch that failed could not give back.
    context.end_remote(space)?;
    // Even a kernel that touches nothing, or is probed before anything is resident, binds a window.
    context.grow_for(space, 1)?;
    let spans = Span::all(launch, &space.geometry);
    let mut run = Run {
        space,
        context,
        launch,
        report: LaunchReport::default(),
        spans,
        pieces_tried: false,
    };
    let done = run.all();
    let ended = context.end_remote(space);
    run.report.seconds = started.elapsed().as_secs_f64();
    let report = run.report;
    space.tracer.end(began, || What::Launch {
        node: context.node,
        kernel: launch.kernel.name().into(),
        workgroups: GridBox::whole(launch.grid).workgroups(),
    });
    done?;
    ended?;
    Ok(report)
}

/// A footprint as pages: what is known, and which bindings are open.
pub(crate) struct Known {
    pub(crate) needs: Needs,
    /// Bindings of which a probe has to say what is touched.
    pub(crate) open: Vec<usize>,
}

impl Run<'_> {
    fn all(&mut self) -> Result<(), LaunchError> {
        let whole = GridBox::whole(self.launch.grid);
        let footprints = self.launch.kernel.footprint(self.launch, &whole);
        let everything = self.known(&footprints, |_| true);
        if self.fits(&everything.needs, self.capacity()) {
            let method = if footprints.iter().any(is_open) {
                Method::Resident
            } else {
                Method::Static
            };
            match self.pass(&[whole], &everything.needs, method) {
                Err(LaunchError::Move(MoveError::TooLarge { .. })) => {}
                other => return other,
            }
        }
        if let Some(reason) = self.launch.kernel.waits() {
            return Err(self.must_run_in_one_piece(reason));
        }
        let mut boxes = vec![whole];
        while let Some(workgroups) = boxes.pop() {
            self.piece(workgroups, &mut boxes)?;
        }
        Ok(())
    }

    /// Runs a box, or puts its parts back on the stack.
    fn piece(&mut self, workgroups: GridBox, boxes: &mut Vec<GridBox>) -> Result<(), LaunchError> {
        let footprints = self.launch.kernel.footprint(self.launch, &workgroups);
        let capacity = self.capacity();
        // A binding with an open footprint that is small beside the device is simply kept whole.
        let small = |b: usize| self.spans[b].count() * 8 <= capacity;
        let known = self.known(&footprints, small);
        let halves = workgroups.halves();
        if known.open.is_empty() {
            // Room for one run per binding, and for what the last pass used.
            let comfortable = if halves.is_some() {
                capacity - capacity / 4
            } else {
                capacity
            };
            if self.fits(&known.needs, comfortable.max(1)) {
                match self.pass(&[workgroups], &known.needs, Method::Static) {
                    Err(LaunchError::Move(MoveError::TooLarge { .. })) => {}
                    other => return other,
                }
            }
            if let Some((first, second)) = halves
                && !self.is_loose(workgroups)
            {
                boxes.extend([second, first]);
                return Ok(());
            }
        }
        // Open, or known so loosely that one workgroup seems not to fit: a probe tells exactly.
        let Err(reason) = self.launch.kernel.probeable(self.launch) else {
            return Prober::new(self, workgroups).run();
        };
        match self.launch.kernel.attemptable(self.launch) {
            Ok(()) => Transaction::new(self, workgroups).run(),
            Err(_) if known.open.is_empty() => {
                self.lend(known.needs.count())?;
                self.pass(&[workgroups], &known.needs, Method::Static)?;
                self.take_back()
            }
            Err(also) => Err(self.must_be_resident(format!("{reason}, and {also}"))),
        }
    }

    /// Whether so little is known of a box that not even its first workgroup seems to fit, and something else can tell more: then
    /// cutting it helps nothing, and workgroups that share their pages are not to be parted.
    fn is_loose(&self, workgroups: GridBox) -> bool {
        let first = GridBox {
            size: [1; 3],
            ..workgroups
        };
        let kernel = &self.launch.kernel;
        let known = self.known(&kernel.footprint(self.launch, &first), |_| false);
        !self.fits(&known.needs, self.capacity())
            && (kernel.probeable(self.launch).is_ok() || kernel.attemptable(self.launch).is_ok())
    }

    fn must_run_in_one_piece(&self, reason: &str) -> LaunchError {
        let (needed_bytes, capacity_bytes) = self.all_bytes();
        LaunchError::MustRunInOnePiece {
            kernel: self.launch.kernel.name().to_owned(),
            reason: reason.to_owned(),
            needed_bytes,
            capacity_bytes,
        }
    }

    fn must_be_resident(&self, reason: String) -> LaunchError {
        let (needed_bytes, capacity_bytes) = self.all_bytes();
        LaunchError::MustBeResident {
            kernel: self.launch.kernel.name().to_owned(),
            reason,
            needed_bytes,
            capacity_bytes,
        }
    }

    /// Device memory that would hold all bindings, and what there is for them.
    fn all_bytes(&self) -> (u64, u64) {
        let mut all = Needs::default();
        self.spans
            .iter()
            .for_each(|s| s.add_all(Access::Read, &mut all));
        all.normalize();
        let page = self.space.geometry.page.bytes();
        (
            self.context.info.bytes_for(all.count(), page),
            self.capacity() * page,
        )
    }

    /// Adds what a probe or an attempt touched of each binding.
    pub(crate) fn add_touched(&self, touched: &[Touched], to: &mut Needs) {
        add_touched(&self.spans, touched, to);
    }

    pub(crate) fn too_large(&self, needed: u64) -> LaunchError {
        let page_bytes = self.space.geometry.page.bytes();
        LaunchError::FootprintTooLarge {
            kernel: self.launch.kernel.name().to_owned(),
            needed,
            capacity: self.context.own_capacity(),
            remote: self.context.remote_capacity(),
            remote_limit: self.context.info.remote_limit,
            needed_bytes: self.context.info.bytes_for(needed, page_bytes),
            page_bytes,
            in_pieces: self.pieces_tried,
        }
    }

    /// Runs one workgroup that needs so many pages, which is more than there is room for, over pieces of them; else has remote
    /// frames for it. Whether it is done. No page is claimed.
    pub(crate) fn squeeze(&mut self, workgroup: GridBox, needed: u64) -> Result<bool, LaunchError> {
        if self.context.lent() == 0 && self.in_pieces(workgroup)? {
            return Ok(true);
        }
        self.lend(needed)?;
        Ok(false)
    }

    /// Has remote frames for one workgroup.
    fn lend(&mut self, needed: u64) -> Result<(), LaunchError> {
        if !self.context.lend(self.space, needed)? {
            return Err(self.too_large(needed));
        }
        let bytes = self.context.lent() * self.space.geometry.page.bytes();
        self.report.remote_bytes = self.report.remote_bytes.max(bytes);
        Ok(())
    }

    /// Has them no more, if it has any: that workgroup is done. No page is claimed.
    pub(crate) fn take_back(&self) -> Result<(), LaunchError> {
        Ok(self.context.take_back(self.space)?)
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.context.capacity()
    }

    pub(crate) fn fits(&self, needs: &Needs, capacity: u64) -> bool {
        needs.count() <= capacity
    }

    /// Turns footprints into pages. An open binding is taken whole where `whole` says so.
    pub(crate) fn known(
        &self,
        footprints: &[BindingFootprint],
        whole: impl Fn(usize) -> bool,
    ) -> Known {
        let mut known = Known {
            needs: Needs::default(),
            open: Vec::new(),
        };
        let uses = self.launch.kernel.bindings();
        for (b, footprint) in footprints.iter().enumerate() {
            for (part, access) in [
                (&footprint.reads, Access::Read),
                (&footprint.writes, Access::Write),
            ] {
                let used = if access == Access::Read {
                    uses[b].reads
                } else {
                    uses[b].writes
                };
                match part {
                    Footprint::Ranges(ranges) => {
                        for r in ranges {
                            let bytes =
                                ByteRange::new(self.launch.bound[b].offset + r.offset, r.len);
                            let pages = self.space.geometry.pages_of(bytes);
                            self.spans[b].add(pages, access, &mut known.needs);
                        }
                    }
                    Footprint::Unknown if !used => {}
                    Footprint::Unknown if whole(b) => {
                        self.spans[b].add_all(access, &mut known.needs);
                    }
                    Footprint::Unknown => {
                        if known.open.last() != Some(&b) {
                            known.open.push(b);
                        }
                    }
                }
            }
        }
        known.needs.normalize();
        known
    }

    /// Makes the needs resident, runs the boxes, lets go.
    fn pass(
        &mut self,
        boxes: &[GridBox],
        needs: &Needs,
        method: Method,
    ) -> Result<(), LaunchError> {
        let mut claims = Claims::none(self.context, self.space);
        claims.extend(needs, Cause::Demand)?;
        let result = self.submit(boxes, needs, method);
        claims.end(true);
        result
    }

    /// Runs boxes whose needs are claimed.
    pub(crate) fn submit(
        &mut self,
        boxes: &[GridBox],
        needs: &Needs,
        method: Method,
    ) -> Result<(), LaunchError> {
        let translations: Vec<Translation> = (0..self.spans.len())
            .map(|b| self.translation(b, needs))
            .collect();
        let pass = Pass {
            launch: self.launch,
            boxes,
            translations: &translations,
        };
        let began = self.space.tracer.begin();
        let done = self
            .context
            .device
            .run(&pass)
            .map_err(|e| self.context.failed(e))?;
        self.space.tracer.end(began, || What::Pass {
            node: self.context.node,
            kernel: self.launch.kernel.name().into(),
            workgroups: boxes.iter().map(GridBox::workgroups).sum(),
            uses: needs.runs(),
        });
        self.report.passes += 1;
        self.report.kernel_seconds += done.seconds;
        self.count_translations(&translations);
        let counters: &Counters = &self.space.counters;
        add(&counters.passes, 1);
        add(&counters.kernel_nanos, (done.seconds * 1e9) as u64);
        add(
            match method {
                Method::Static => &counters.static_passes,
                Method::Probe => &counters.probed_passes,
                Method::Resident => &counters.resident_passes,
            },
            1,
        );
        Ok(())
    }

    /// Counts how a pass reached its pages.
    pub(crate) fn count_translations(&self, translations: &[Translation]) {
        let counters: &Counters = &self.space.counters;
        add(&counters.remote_passes, u64::from(self.context.lent() > 0));
        for translation in translations {
            match translation {
                Translation::Slid { .. } => add(&counters.slid_bindings, 1),
                Translation::Paged => add(&counters.paged_bindings, 1),
                Translation::Untouched => {}
            }
        }
    }

    /// Slid when what the pass needs of a binding lies in one run of frames, else paged.
    pub(crate) fn translation(&self, b: usize, needs: &Needs) -> Translation {
        let span = &self.spans[b];
        let Some(pages) = needs.within(&span.pages) else {
            return Translation::Untouched;
        };
        if !needs.covers(&pages, Access::Read) && self.launch.follows(b) {
            // Of what lies between nobody knows whose it is.
            return Translation::Paged;
        }
        let frames = self.context.frames_of(self.space, pages.clone());
        let Some(Some(first)) = frames.first().copied() else {
            return Translation::Paged;
        };
        let window = self.context.info.window_frames;
        let in_one_run = first.0 / window == (first.0 + frames.len() as u32 - 1) / window
            && frames
                .iter()
                .zip(first.0..)
                .all(|(f, expected)| f.is_some_and(|f| f.0 == expected));
        if !in_one_run {
            return Translation::Paged;
        }
        let shift = self.space.geometry.page.shift();
        let bound = self.launch.bound[b];
        let start = (pages.start << shift).max(bound.offset);
        let end = (pages.end << shift).min(bound.end());
        Translation::Slid {
            slice: ByteRange::new(start - bound.offset, end - start),
            frames: FrameRun::new(first, frames.len() as u32),
            skip: start - (pages.start << shift),
        }
    }
}

fn is_open(f: &BindingFootprint) -> bool {
    f.reads == Footprint::Unknown || f.writes == Footprint::Unknown
}
