//! Probing: what a box touches, found by running its address-computing slice on the device, level by level.
//!
//! A box is cut in *parts*. Each round makes what the next parts are known to need resident, probes those that are not
//! settled, and adds what they touched. A part is settled when none of its lanes had to stop. Then as many settled parts as
//! fit run in one pass, under the claims that the probe ran under: what it read cannot have changed.

use std::collections::VecDeque;

use gmem_hal::trace::What;
use gmem_hal::{Access, Cause, GridBox};

use crate::claim::{Claims, Needs};
use crate::counters::add;
use crate::error::{LaunchError, MoveError};
use crate::launch::{Method, Run};

/// Some workgroups and what they are known to need so far.
struct Part {
    workgroups: GridBox,
    /// What it touches, as far as is known.
    touched: Needs,
    /// That, and pages fetched ahead of it while there is ample room.
    needs: Needs,
    settled: bool,
    /// Rounds in which it stopped: each doubles the pages fetched ahead of where it stopped.
    stops: u32,
}

/// Probes and runs one box.
pub(crate) struct Prober<'r, 'a> {
    run: &'r mut Run<'a>,
    parts: VecDeque<Part>,
    claims: Claims<'a>,
    /// What [`Context::foreign_writes`](crate::context::Context::foreign_writes) said when more was last claimed.
    foreign_writes: u64,
    /// The most pages that a group may need: what was found not to fit, less one.
    limit: u64,
}

impl<'r, 'a> Prober<'r, 'a> {
    pub(crate) fn new(run: &'r mut Run<'a>, workgroups: GridBox) -> Self {
        let width = run.context.device.probe_width(run.launch).max(1);
        let parts = workgroups.split(width);
        let foreign_writes = run.context.foreign_writes();
        let claims = Claims::none(run.context, run.space);
        let mut prober = Self {
            run,
            parts: VecDeque::new(),
            claims,
            foreign_writes,
            limit: u64::MAX,
        };
        prober.parts = parts.into_iter().map(|b| prober.part(b)).collect();
        prober
    }

    /// A part with what its static footprint says of it.
    fn part(&self, workgroups: GridBox) -> Part {
        let footprints = self
            .run
            .launch
            .kernel
            .footprint(self.run.launch, &workgroups);
        let capacity = self.run.capacity();
        // A static footprint that is itself too wide only says that a probe must be exact.
        let mut needs = self.run.known(&footprints, |_| false).needs;
        if !self.run.fits(&needs, capacity / 2) {
            needs = Needs::default();
        }
        Part {
            workgroups,
            touched: needs.clone(),
            needs,
            settled: false,
            stops: 0,
        }
    }

    /// Runs everything.
    pub(crate) fn run(mut self) -> Result<(), LaunchError> {
        self.groups()
    }

    /// Forgets what was settled if somebody else wrote since: some of what a probe loaded may not have been claimed then.
    /// Called when more was claimed; once all of it is, the next probe's word stands.
    fn unsettle(&mut self) {
        let foreign_writes = self.run.context.foreign_writes();
        if std::mem::replace(&mut self.foreign_writes, foreign_writes) == foreign_writes {
            return;
        }
        for i in 0..self.parts.len() {
            if self.parts[i].settled {
                self.parts[i] = self.part(self.parts[i].workgroups);
            }
        }
    }

    fn groups(&mut self) -> Result<(), LaunchError> {
        while !self.parts.is_empty() {
            let (count, needs) = self.fitting();
            if count == 0 {
                self.cut_first()?;
                continue;
            }
            let held = self.claims.len();
            match self.claims.extend(&needs, Cause::Demand) {
                Ok(()) if self.claims.len() > held => self.unsettle(),
                Ok(()) => {}
                // Extending claims must not wait, and a smaller group may need none of what is held: start again.
                Err(MoveError::Busy | MoveError::TooLarge { .. }) if !self.claims.is_empty() => {
                    self.claims.end(false);
                    continue;
                }
                // The device gave less than it said: try with fewer parts.
                Err(MoveError::TooLarge { .. }) if count > 1 => {
                    self.limit = needs.count() - 1;
                    continue;
                }
                Err(MoveError::TooLarge { .. }) => {
                    self.squeeze_first(needs.count())?;
                    continue;
                }
                Err(e) => return Err(e.into()),
            }
            if self.parts.iter().take(count).all(|p| p.settled) {
                let boxes: Vec<GridBox> = self.parts.drain(..count).map(|p| p.workgroups).collect();
                let result = self.run.submit(&boxes, &needs, Method::Probe);
                self.claims.end(true);
                result?;
                self.run.take_back()?;
            } else {
                self.probe(count)?;
            }
        }
        Ok(())
    }

    /// The longest row of parts from the first on whose needs fit together, and these needs.
    fn fitting(&self) -> (usize, Needs) {
        let capacity = self.run.capacity().min(self.limit);
        let mut needs = Needs::default();
        for (i, part) in self.parts.iter().enumerate() {
            let mut more = needs.clone();
            more.extend(&part.needs);
            more.normalize();
            // Until it is settled, a part will need more than is known: leave room, but never let one part starve.
            let room = if part.settled || i == 0 {
                capacity
            } else {
                capacity - capacity / 4
            };
            if !self.run.fits(&more, room) {
                return (i, needs);
            }
            needs = more;
        }
        (self.parts.len(), needs)
    }

    /// The first part is one workgroup that needs so many pages: it is done in pieces of them, or has remote frames.
    fn squeeze_first(&mut self, needed: u64) -> Result<(), LaunchError> {
        self.limit = u64::MAX;
        if self.run.squeeze(self.parts[0].workgroups, needed)? {
            self.parts.pop_front();
        }
        Ok(())
    }

    /// Cuts the first part, whose needs alone are more than the device has.
    fn cut_first(&mut self) -> Result<(), LaunchError> {
        self.claims.end(false);
        let part = self.parts.pop_front().expect("there is a part");
        match part.workgroups.halves() {
            Some((a, b)) => {
                let (a, b) = (self.part(a), self.part(b));
                self.parts.push_front(b);
                self.parts.push_front(a);
                Ok(())
            }
            None => {
                let needed = part.needs.count();
                self.parts.push_front(part);
                self.squeeze_first(needed)
            }
        }
    }

    /// One round over the parts among the first `count` that are not settled.
    fn probe(&mut self, count: usize) -> Result<(), LaunchError> {
        let open: Vec<usize> = (0..count).filter(|&i| !self.parts[i].settled).collect();
        let width = self.run.context.device.probe_width(self.run.launch).max(1);
        for group in open.chunks(width) {
            let boxes: Vec<GridBox> = group.iter().map(|&i| self.parts[i].workgroups).collect();
            let began = self.run.space.tracer.begin();
            let reports = self
                .run
                .context
                .device
                .probe(self.run.launch, &boxes)
                .map_err(|e| self.run.context.failed(e))?;
            self.run.space.tracer.end(began, || What::Probe {
                node: self.run.context.node,
                kernel: self.run.launch.kernel.name().into(),
                boxes: boxes.len() as u64,
            });
            add(&self.run.space.counters.probes, 1);
            self.run.report.probes += 1;
            for (&i, report) in group.iter().zip(&reports) {
                self.learn(i, report)?;
            }
        }
        Ok(())
    }

    fn learn(&mut self, i: usize, report: &gmem_hal::ProbeReport) -> Result<(), LaunchError> {
        let feeds = self.run.launch.kernel.feeds().to_vec();
        let capacity = self.run.capacity();
        let part = &mut self.parts[i];
        let before = part.touched.count();
        self.run.add_touched(&report.touched, &mut part.touched);
        part.touched.normalize();
        part.needs = part.touched.clone();
        part.settled = !report.stopped;
        if report.stopped {
            if part.touched.count() == before && part.stops > 0 && before <= capacity {
                // It stopped although everything it named was resident: the backend is wrong, and looping would not end.
                let reason = format!(
                    "a probe of `{}` makes no progress",
                    self.run.launch.kernel.name()
                );
                return Err(gmem_hal::DeviceError::Unsupported { reason }.into());
            }
            part.stops += 1;
            // A lane that walks along a binding stops at every page: fetch ahead of it, as far as there is ample room.
            let ahead = 1u64 << (part.stops - 1).min(16);
            let mut hinted = part.needs.clone();
            for (b, touched) in report
                .touched
                .iter()
                .enumerate()
                // Where pointers lead there is no ahead.
                .filter(|(b, _)| feeds[*b] && part.stops > 1 && !self.run.launch.follows(*b))
            {
                let span = &self.run.spans[b];
                if let Some(&last) = touched.reads.last() {
                    let from = span.pages.start + u64::from(last) + 1;
                    span.add(from..from + ahead, Access::Read, &mut hinted);
                }
            }
            hinted.normalize();
            if hinted.count() * 2 <= capacity {
                part.needs = hinted;
            }
        }
        Ok(())
    }
}
