//! Transactions: boxes of workgroups whose footprint depends on what the launch itself writes.
//!
//! Nobody knows beforehand what such a box touches, so it is *attempted* over a guess: what it may store to is saved, it runs
//! with its effects, and says what it touched. When it missed a page, all that it stored is undone, what it touched is made
//! resident, and it is attempted again. A box that needs more than the device has is cut in halves, down to one
//! workgroup. So each workgroup takes effect exactly once, in an attempt that missed nothing.
//!
//! ```text
//!  guess ──> claim ──> save ──> attempt ──missed──> restore ──> fits with what it touched? ──yes──> claim ..
//!                                  │                                    │no
//!                                 done                      halves; one workgroup: pieces, remote frames, FootprintTooLarge
//! ```
//!
//! After a page was missed the rest of an attempt works on zeroes, and what it touches may have nothing to do with what the box
//! will touch. What it touched until then is right, and the page it missed first is among it. So the set that comes out of
//! one attempt always serves a longer part of the box than the set before it, and it may be used alone where both together do not
//! fit.

use gmem_hal::trace::What;
use gmem_hal::{Access, Attempt, Cause, DeviceError, GridBox, PageEntry, Touched, Translation};

use crate::claim::{Claims, Needs};
use crate::counters::add;
use crate::error::{LaunchError, MoveError};
use crate::launch::Run;
use crate::shadow::{FRAMES_PER_SHADOW, Shadows};

/// Times that a box of several workgroups begins again with nothing but what its last attempt touched, before it is cut.
const RESTARTS: u64 = 2;

/// The part of a launch that its first box is: nothing is known of what it touches, and so it is made twice.
const FIRST: u64 = 8;

/// A box that was done: where it was, and what it touched.
struct Done {
    workgroups: u64,
    touched: Vec<Touched>,
}

/// How far ahead of the last box its successor is thought to be.
#[derive(Clone, Copy)]
enum Ahead {
    /// As far as that one went, and its last page again.
    FromLast,
    /// As far as that one went.
    BehindLast,
    /// Not at all.
    No,
}

/// What became of one attempt.
enum Outcome {
    Done,
    /// It touched this, and missed some of it.
    Missed(Needs),
    /// What it was to be given does not fit.
    TooLarge,
}

/// The boxes of a launch that are still to be done.
pub(crate) struct Transaction<'r, 'a> {
    run: &'r mut Run<'a>,
    boxes: Vec<GridBox>,
    /// Workgroups of a box, as far as is known what fits.
    most: u64,
    /// The last boxes that were done, the latest first.
    last: [Option<Done>; 2],
    shadows: Shadows<'a>,
}

impl<'r, 'a> Transaction<'r, 'a> {
    pub(crate) fn new(run: &'r mut Run<'a>, workgroups: GridBox) -> Self {
        let shadows = Shadows::new(run.context, run.space);
        Self {
            run,
            boxes: vec![workgroups],
            most: workgroups.workgroups().div_ceil(FIRST),
            last: [None, None],
            shadows,
        }
    }

    /// Runs everything.
    pub(crate) fn run(mut self) -> Result<(), LaunchError> {
        while let Some(workgroups) = self.boxes.pop() {
            match workgroups.halves() {
                Some((first, second)) if workgroups.workgroups() > self.most => {
                    self.boxes.extend([second, first]);
                }
                _ => self.piece(workgroups)?,
            }
            if self.run.context.lent() > 0 {
                self.shadows.shrink(0);
                self.run.take_back()?;
            }
        }
        Ok(())
    }

    /// Does a box, or puts its halves back on the stack.
    fn piece(&mut self, workgroups: GridBox) -> Result<(), LaunchError> {
        let capacity = self.run.capacity();
        let halves = workgroups.halves();
        let mut sure = self.sure(&workgroups);
        if !self.run.fits(&sure, capacity - capacity / 4) {
            if halves.is_some() {
                return self.cut(workgroups, sure.count());
            }
            // Known so loosely that it says nothing.
            sure = Needs::default();
        }
        // Of several workgroups the device holds shadows too.
        let room = |capacity: u64| match halves {
            Some(_) => (capacity - capacity / FRAMES_PER_SHADOW).max(1),
            None => capacity,
        };
        let guesses = [Ahead::FromLast, Ahead::BehindLast, Ahead::No].into_iter();
        let mut needs = guesses
            .map(|ahead| {
                let mut guess = self.guess(&workgroups, ahead);
                guess.extend(&sure);
                guess.normalize();
                guess
            })
            .find(|guess| self.run.fits(guess, room(capacity)))
            .unwrap_or_else(|| sure.clone());
        let mut restarts = match halves {
            Some(_) => RESTARTS,
            // Each serves more of the workgroup than the one before.
            None => 2 * capacity + RESTARTS,
        };
        loop {
            let touched = match self.attempt(workgroups, &needs)? {
                Outcome::Done => {
                    let comfortable = needs.count() * 2 <= capacity - capacity / 4;
                    if comfortable && workgroups.workgroups() >= self.most {
                        self.most = self.most.saturating_mul(2);
                    }
                    return Ok(());
                }
                Outcome::Missed(touched) => touched,
                Outcome::TooLarge if halves.is_none() => {
                    if self.squeeze(workgroups, needs.count())? {
                        return Ok(());
                    }
                    continue;
                }
                Outcome::TooLarge => return self.cut(workgroups, needs.count()),
            };
            let mut more = needs.clone();
            more.extend(&touched);
            more.normalize();
            if more == needs {
                let kernel = self.run.launch.kernel.name();
                let reason = format!("an attempt of `{kernel}` misses pages that it has");
                return Err(DeviceError::Unsupported { reason }.into());
            }
            let room = room(self.run.capacity());
            if self.run.fits(&more, room) {
                needs = more;
                continue;
            }
            let mut alone = sure.clone();
            alone.extend(&touched);
            alone.normalize();
            if restarts > 0 && self.run.fits(&alone, room) && alone != needs {
                restarts -= 1;
                needs = alone;
            } else if halves.is_some() {
                return self.cut(workgroups, alone.count());
            } else {
                if self.squeeze(workgroups, alone.count())? {
                    return Ok(());
                }
                needs = alone;
            }
        }
    }

    /// Does one workgroup that needs so many pages in pieces of them, or has remote frames for it. Whether it is done.
    fn squeeze(&mut self, workgroup: GridBox, needed: u64) -> Result<bool, LaunchError> {
        self.shadows.shrink(0);
        let done = self.run.squeeze(workgroup, needed)?;
        if done {
            // What it stored, nobody noted here.
            self.shadows.forget();
        }
        Ok(done)
    }

    /// Puts the halves of a box that needs so many pages on the stack, and sees to it that those that are still too large are
    /// cut at once.
    fn cut(&mut self, workgroups: GridBox, needed: u64) -> Result<(), LaunchError> {
        let Some((first, second)) = workgroups.halves() else {
            return Err(self.run.too_large(needed));
        };
        let all = workgroups.workgroups();
        let share = self.run.capacity().saturating_mul(all) / needed.max(1);
        self.most = share.clamp(1, all.div_ceil(2));
        self.boxes.extend([second, first]);
        Ok(())
    }

    /// What a box touches as far as its kernel knows, and bindings that are so small that they are kept whole.
    fn sure(&self, workgroups: &GridBox) -> Needs {
        let run = &self.run;
        let footprints = run.launch.kernel.footprint(run.launch, workgroups);
        let uses = run.launch.kernel.bindings();
        let capacity = run.capacity();
        let small = |b: usize| {
            let pages = run.spans[b].count();
            pages * 8 <= capacity && (pages <= 1 || !uses[b].writes)
        };
        run.known(&footprints, small).needs
    }

    /// What a box may touch, going by those before it: after the first, the same, and as much again behind each run of pages; then
    /// what two touched, and as much further along each binding as the last one was further than the one before.
    fn guess(&self, workgroups: &GridBox, ahead: Ahead) -> Needs {
        let mut needs = Needs::default();
        let Some(last) = &self.last[0] else {
            return needs;
        };
        let scale = |pages: u32| {
            let pages = u64::from(pages) * workgroups.workgroups();
            pages.div_ceil(last.workgroups.max(1)).min(1 << 20) as u32
        };
        let next = |last: &[u32], before: Option<&[u32]>| {
            let is_common = |page: &u32| before.is_none_or(|b| b.binary_search(page).is_ok());
            let mut pages: Vec<u32> = last.iter().copied().filter(is_common).collect();
            let to = last.last().copied().unwrap_or(0);
            let further = match before {
                // Nearly a page more than the two tell, since each ends somewhere in its last page.
                Some(before) => match before.last() {
                    Some(&from) if from < to => to - from + 1,
                    _ => 0,
                },
                // Several pages without a gap may be a list that grows.
                None if last.len() > 1 && is_run(last) => last.len() as u32,
                None => 0,
            };
            if further > 0 {
                let end = to.saturating_add(scale(further));
                match (ahead, before) {
                    (Ahead::FromLast, _) => pages.extend(to..=end),
                    (Ahead::BehindLast, Some(_)) => pages.extend(to + 1..=end),
                    // Both do not fit.
                    (Ahead::BehindLast, None) => pages = (to..=end).collect(),
                    (Ahead::No, _) => {}
                }
            }
            pages.sort_unstable();
            pages.dedup();
            pages
        };
        let touched: Vec<Touched> = (last.touched.iter().enumerate())
            .map(|(b, last)| {
                let before = self.last[1].as_ref().map(|before| &before.touched[b]);
                Touched {
                    reads: next(&last.reads, before.map(|t| t.reads.as_slice())),
                    writes: next(&last.writes, before.map(|t| t.writes.as_slice())),
                }
            })
            .collect();
        self.run.add_touched(&touched, &mut needs);
        needs.normalize();
        needs
    }

    /// One attempt over some pages.
    fn attempt(&mut self, workgroups: GridBox, needs: &Needs) -> Result<Outcome, LaunchError> {
        let (space, context, launch) = (self.run.space, self.run.context, self.run.launch);
        let capacity = self.run.capacity();
        self.shadows.shrink(capacity.saturating_sub(needs.count()));
        let mut claims = Claims::none(context, space);
        match claims.extend(needs, Cause::Demand) {
            Ok(()) => {}
            Err(MoveError::TooLarge { .. }) => return Ok(Outcome::TooLarge),
            Err(e) => return Err(e.into()),
        }
        self.shadows.brought(claims.brought());
        let pages = self.pages(needs);
        let writable: Vec<u64> = pages
            .iter()
            .filter(|entry| entry.frame.is_some_and(|(_, writable)| writable))
            .map(|entry| entry.page)
            .collect();
        self.shadows.save(&writable)?;
        let translations: Vec<Translation> = (0..self.run.spans.len())
            .map(|b| self.translation(b, needs))
            .collect();
        let began = space.tracer.begin();
        let done = context.device.attempt(&Attempt {
            launch,
            boxes: &[workgroups],
            translations: &translations,
            page: space.geometry.page,
            pages: &pages,
        });
        let report = match done {
            Ok(report) => report,
            Err(e) => {
                if !matches!(e, DeviceError::Refused { .. }) {
                    // The launch has failed with `e`, whatever becomes of this.
                    let _ = self.shadows.restore(&writable);
                }
                return Err(context.failed(e).into());
            }
        };
        let mut touched = Needs::default();
        self.run.add_touched(&report.touched, &mut touched);
        for (span, translation) in self.run.spans.iter().zip(&translations) {
            if matches!(translation, Translation::Slid { .. }) {
                touched.extend(&needs.inside(&span.pages));
            }
        }
        touched.normalize();
        self.run.report.kernel_seconds += report.seconds;
        add(&space.counters.kernel_nanos, (report.seconds * 1e9) as u64);
        let stored = touched
            .writes()
            .filter(|p| writable.binary_search(p).is_ok());
        if report.missed {
            let stored: Vec<u64> = stored.collect();
            self.shadows.restore(&stored)?;
            claims.end(false);
            space.tracer.end(began, || What::Probe {
                node: context.node,
                kernel: launch.kernel.name().into(),
                boxes: 1,
            });
            self.run.report.undone += 1;
            add(&space.counters.undone_passes, 1);
            return Ok(Outcome::Missed(touched));
        }
        self.shadows.stored(stored);
        claims.end_used(&touched);
        space.tracer.end(began, || What::Pass {
            node: context.node,
            kernel: launch.kernel.name().into(),
            workgroups: workgroups.workgroups(),
            uses: touched.runs(),
        });
        self.run.report.passes += 1;
        self.run.count_translations(&translations);
        add(&space.counters.passes, 1);
        add(&space.counters.attempted_passes, 1);
        self.last.swap(0, 1);
        self.last[0] = Some(Done {
            workgroups: workgroups.workgroups(),
            touched: report.touched,
        });
        Ok(Outcome::Done)
    }

    /// The pages of claimed needs, with their frames.
    fn pages(&self, needs: &Needs) -> Vec<PageEntry> {
        let (space, context) = (self.run.space, self.run.context);
        let pages = needs.pages();
        let mut entries = Vec::with_capacity(pages.len());
        for run in pages.chunk_by(|a, b| a.0 + 1 == b.0) {
            let span = run[0].0..run[0].0 + run.len() as u64;
            let frames = context.frames_of(space, span);
            entries.extend(
                run.iter()
                    .zip(frames)
                    .map(|(&(page, access), frame)| PageEntry {
                        page,
                        frame: frame.map(|frame| (frame, access == Access::Write)),
                    }),
            );
        }
        entries.retain(|entry| entry.frame.is_some());
        entries
    }

    /// Slid when all of the binding is claimed and lies in one run. Not when that would have much of it saved that is not
    /// stored to: what a slid binding is stored to nobody notes.
    fn translation(&self, b: usize, needs: &Needs) -> Translation {
        let span = &self.run.spans[b].pages;
        let used = &self.run.launch.kernel.bindings()[b];
        let access = if used.writes {
            Access::Write
        } else {
            Access::Read
        };
        if !needs.covers(span, access) || (used.writes && span.end - span.start > 1) {
            return Translation::Paged;
        }
        match self.run.translation(b, needs) {
            Translation::Untouched => Translation::Paged,
            other => other,
        }
    }
}

/// Whether ascending pages follow each other without a gap.
fn is_run(pages: &[u32]) -> bool {
    pages.windows(2).all(|two| two[0] + 1 == two[1])
}
