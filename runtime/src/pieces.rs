//! Pieces: one workgroup run over 4 KiB pieces of the pages that it touches, where these do not fit as a whole.
//!
//! The pages stay at home. They are claimed and taken from everybody, so that nobody else looks at their bytes; the pieces that the
//! workgroup is known to touch are copied into frames, packed, and it is attempted over them, in an attempt whose table has an
//! entry for each piece. What it is undone by, when it missed a piece, are the bytes at home: what it stored to is copied
//! there again. When it missed nothing, what it stored to is copied home, and is as if it had been stored there.
//!
//! ```text
//!  hold the pages at home ──> copy pieces there ──> attempt ──missed──> fits with what it touched? ──no──> remote frames
//!          ^                                           │                          │yes
//!          └───────────────────────────────────────────┼──────────────────────────┘
//!                                                      done: stored pieces home
//! ```

use std::collections::HashMap;

use gmem_hal::trace::{Direction as Way, PageRun, What};
use gmem_hal::{
    Access, Attempt, Cause, CopyRun, DeviceError, FrameIndex, Geometry, GridBox, HostMemory,
    PageEntry, PageSize, PlainHost, Translation,
};

use crate::claim::Needs;
use crate::context::{BATCH_BYTES, Context};
use crate::counters::{Direction, add};
use crate::error::{LaunchError, MoveError};
use crate::launch::Run;
use crate::migrate::{Locked, Want, copy_runs, migrate};
use crate::shadow::patiently;
use crate::space::Shared;
use crate::span::{Span, add_touched};
use crate::step::Event;

/// The most pieces that the bindings of a launch may have: an attempt has a table of them all.
const MOST: u64 = 1 << 22;

/// Times that a workgroup begins again with nothing but what its last attempt touched.
const RESTARTS: u32 = 8;

/// Pages kept at home for one workgroup, and frames for the pieces of them. Dropping it lets all go.
struct Held<'a> {
    context: &'a Context,
    space: &'a Shared,
    /// The pages, ascending.
    pages: Vec<u64>,
    frames: Vec<FrameIndex>,
    /// Where pieces that are there as they are at home lie, counted in pieces over `frames`.
    there: HashMap<u64, u32>,
    /// Pieces of a page.
    each: u64,
}

impl Held<'_> {
    /// Lets the pages go. The frames stay.
    fn let_go(&mut self) {
        self.there.clear();
        let pages = std::mem::take(&mut self.pages);
        self.context.let_home_go(self.space, &pages);
    }

    /// Keeps the pages of some pieces at home: they are valid there alone, and nobody may touch them.
    ///
    /// # Errors
    /// None of them is held then that was not before.
    /// LOCKING: no lock held; takes block locks and frames.
    fn hold(&mut self, pieces: &[(u64, Access)]) -> Result<(), MoveError> {
        loop {
            let mut pages: Vec<u64> = pieces.iter().map(|p| p.0 / self.each).collect();
            pages.dedup();
            pages.retain(|page| self.pages.binary_search(page).is_err());
            match self
                .context
                .keep_home(self.space, &pages, self.pages.is_empty())
            {
                Ok(()) => {
                    self.pages.extend(pages);
                    self.pages.sort_unstable();
                    return Ok(());
                }
                // As when claims are extended: what is held must not wait for what another device holds.
                Err(MoveError::Busy) => self.let_go(),
                Err(e) => return Err(e),
            }
        }
    }

    /// Has frames for so many pieces. `false` when there are not as many.
    fn room(&mut self, pieces: u64) -> Result<bool, MoveError> {
        let wanted = pieces.div_ceil(self.each);
        if wanted > self.context.own_capacity() {
            return Ok(false);
        }
        let missing = wanted.saturating_sub(self.frames.len() as u64);
        match self.context.make_room(self.space, missing as usize) {
            Ok(()) => {}
            Err(MoveError::TooLarge { .. }) => return Ok(false),
            Err(e) => return Err(e),
        }
        let mut memory = self.context.memory.lock();
        let taken = (0..missing).map_while(|_| memory.pool.alloc_one());
        self.frames.extend(taken);
        Ok(self.frames.len() as u64 >= wanted)
    }

    /// The place of a slot, in frames of the size of a piece.
    fn frame(&self, slot: u32) -> FrameIndex {
        let (frame, piece) = (u64::from(slot) / self.each, u64::from(slot) % self.each);
        FrameIndex((u64::from(self.frames[frame as usize].0) * self.each + piece) as u32)
    }

    /// Has some pieces, for which there is room, in frames, with what they are at home; and no others.
    fn fill(&mut self, pieces: &[(u64, Access)]) -> Result<(), MoveError> {
        self.there
            .retain(|piece, _| pieces.binary_search_by_key(piece, |p| p.0).is_ok());
        let mut taken: Vec<bool> = vec![false; self.frames.len() * self.each as usize];
        self.there
            .values()
            .for_each(|&slot| taken[slot as usize] = true);
        let mut free = (0..).zip(taken).filter(|(_, taken)| !taken).map(|f| f.0);
        let missing: Vec<(u64, u32)> = (pieces.iter())
            .filter(|(piece, _)| !self.there.contains_key(piece))
            .map(|&(piece, _)| piece)
            .zip(&mut free)
            .collect();
        let host = &*self.space.host;
        let pairs = |part: &[(u64, u32)]| {
            part.iter()
                .map(|&(piece, slot)| (piece, self.frame(slot)))
                .collect()
        };
        self.copy(Way::ToDevice, &missing, |part| {
            let runs = self.runs(pairs(part));
            let done = self
                .context
                .device
                .upload_pieces(PageSize::MIN, &runs, host);
            done.map_err(|e| self.context.failed(e))?;
            Ok(runs.len() as u64)
        })?;
        self.there.extend(missing);
        Ok(())
    }

    /// Copies pieces home. They ascend. Nothing there changes before all of them are at hand.
    fn home(&self, pieces: &[u64]) -> Result<(), MoveError> {
        let size = PageSize::MIN.bytes();
        let aside = PlainHost::new(pieces.len() as u64 * size);
        let slots: Vec<(u64, u32)> = pieces.iter().map(|&p| (p, self.there[&p])).collect();
        let mut first = 0;
        self.copy(Way::Home, &slots, |part| {
            let at = first..first + part.len() as u64;
            let frames = part.iter().map(|&(_, slot)| self.frame(slot));
            let runs = self.runs(at.clone().zip(frames).collect());
            patiently(|| {
                let device = &self.context.device;
                let done = device.download_pieces(PageSize::MIN, &runs, &aside);
                done.map_err(|e| self.context.failed(e))
            })?;
            first = at.end;
            Ok(runs.len() as u64)
        })?;
        let mut bytes = vec![0; size as usize];
        let _locked = Locked::of_pages(self.space, pieces.iter().map(|p| p / self.each));
        for (i, piece) in (0..).zip(pieces) {
            aside.read_bytes(i * size, &mut bytes);
            self.space.host.write_bytes(piece * size, &bytes);
        }
        Ok(())
    }

    /// Pieces and their places as runs.
    fn runs(&self, pairs: Vec<(u64, FrameIndex)>) -> Vec<CopyRun> {
        let window = self.context.info.window_frames * self.each as u32;
        copy_runs(pairs.into_iter(), PageSize::MIN.shift(), window)
    }

    /// Has some pieces copied, part by part, and tells of it. They ascend; `call` answers with how many runs it made of its part.
    fn copy(
        &self,
        way: Way,
        pieces: &[(u64, u32)],
        mut call: impl FnMut(&[(u64, u32)]) -> Result<u64, MoveError>,
    ) -> Result<(), MoveError> {
        let size = PageSize::MIN.bytes();
        let direction = match way {
            Way::Home => Direction::DeviceToHost,
            Way::ToDevice => Direction::HostToDevice,
        };
        for part in pieces.chunks((BATCH_BYTES / size) as usize) {
            let began = self.space.tracer.begin();
            // The claim keeps everybody else from the bytes; the locks keep the rule.
            let locked = Locked::of_pages(self.space, part.iter().map(|p| p.0 / self.each));
            let runs = call(part)?;
            drop(locked);
            let bytes = part.len() as u64 * size;
            self.space.counters.moved(direction, Cause::Demand, bytes);
            self.space.tracer.end(began, || What::Copy {
                node: self.context.node,
                direction: way,
                moved: vec![(Cause::Demand, bytes)],
                runs,
            });
        }
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.let_go();
        self.context
            .release(std::mem::take(&mut self.frames).into_iter());
    }
}

impl Context {
    /// Claims pages that are not claimed here, and keeps them at home. `patient`: nothing is held yet, so it may wait for other
    /// devices' passes. The pages ascend.
    fn keep_home(&self, space: &Shared, pages: &[u64], patient: bool) -> Result<(), MoveError> {
        let per_block = space.blocks.pages_per_block() as u64;
        let mut claimed = 0;
        let mut claim = || {
            for group in pages.chunk_by(|a, b| a / per_block == b / per_block) {
                let block = space.blocks.block(group[0] / per_block);
                let mut state = block.lock();
                for &page in group {
                    let i = (page % per_block) as usize;
                    while state.conflicts(self.node, i, Access::Write) {
                        if !patient {
                            return Err(MoveError::Busy);
                        }
                        block.wait(&mut state);
                    }
                    state.claim(self.node, i, Access::Write);
                    claimed += 1;
                }
            }
            Ok(())
        };
        let kept = claim().and_then(|()| {
            let batch = (BATCH_BYTES / space.geometry.page.bytes()).max(1) as usize;
            pages
                .chunks(batch)
                .try_for_each(|part| self.bring(space, part))
        });
        if kept.is_err() {
            self.let_home_go(space, &pages[..claimed]);
        }
        kept
    }

    /// Ends the claims of pages kept at home. Of no frame: one that a page still has here was never pinned.
    fn let_home_go(&self, space: &Shared, pages: &[u64]) {
        let per_block = space.blocks.pages_per_block() as u64;
        for group in pages.chunk_by(|a, b| a / per_block == b / per_block) {
            let block = space.blocks.block(group[0] / per_block);
            let mut state = block.lock();
            for &page in group {
                state.unclaim(self.node, (page % per_block) as usize);
            }
            state.tidy(self.node);
            drop(state);
            block.notify();
        }
    }

    /// Brings claimed pages home, from wherever they are.
    fn bring(&self, space: &Shared, pages: &[u64]) -> Result<(), MoveError> {
        let began = space.tracer.begin();
        let mut locked = Locked::of_pages(space, pages.iter().copied());
        let wants: Vec<Want> = (pages.iter())
            .map(|&page| Want {
                page,
                event: Event::Hold(self.node),
                cause: Cause::Demand,
                frame: None,
            })
            .collect();
        migrate(space, &mut locked, &wants)?;
        // To whoever replays this, it is what the CPU might have done.
        space.tracer.end(began, || What::HostAccess {
            cause: Cause::Demand,
            uses: PageRun::of(
                &pages
                    .iter()
                    .map(|&p| (p, Access::Write))
                    .collect::<Vec<_>>(),
            ),
        });
        Ok(())
    }
}

/// What became of one attempt.
enum Outcome {
    Done,
    /// It touched this, and missed some of it.
    Missed(Needs),
}

impl Run<'_> {
    /// Runs one workgroup, whose pages do not fit, over pieces of them. `false` when these do not fit either, or it cannot be
    /// attempted: nothing has happened then. No page is claimed.
    pub(crate) fn in_pieces(&mut self, workgroup: GridBox) -> Result<bool, LaunchError> {
        let (space, context, launch) = (self.space, self.context, self.launch);
        let each = space.geometry.page.bytes() / PageSize::MIN.bytes();
        self.pieces_tried = false;
        if each == 1 || launch.kernel.attemptable(launch).is_err() {
            return Ok(false);
        }
        let geometry = Geometry {
            page: PageSize::MIN,
            ..space.geometry
        };
        let all = launch.bound.iter().map(|&bound| geometry.pages_of(bound));
        if all.map(|pages| pages.end - pages.start).sum::<u64>() > MOST {
            return Ok(false);
        }
        let spans = Span::all(launch, &geometry);
        // All of its own frames are to be had.
        context.grow_for(space, usize::MAX)?;
        let mut held = Held {
            context,
            space,
            pages: Vec::new(),
            frames: Vec::new(),
            there: HashMap::new(),
            each,
        };
        let fits = |needs: &Needs| needs.count().div_ceil(each) <= context.own_capacity();
        let (mut needs, mut restarts) = (Needs::default(), RESTARTS);
        loop {
            if !held.room(needs.count().max(1))? {
                self.pieces_tried = true;
                return Ok(false);
            }
            let touched = match self.attempt_pieces(workgroup, &mut held, &spans, &needs)? {
                Outcome::Done => return Ok(true),
                Outcome::Missed(touched) => touched,
            };
            let mut more = needs.clone();
            more.extend(&touched);
            more.normalize();
            if more == needs {
                let kernel = launch.kernel.name();
                let reason = format!("an attempt of `{kernel}` misses pieces that it has");
                return Err(DeviceError::Unsupported { reason }.into());
            }
            needs = if fits(&more) {
                more
            } else if restarts > 0 && fits(&touched) {
                restarts -= 1;
                touched
            } else {
                self.pieces_tried = true;
                return Ok(false);
            };
        }
    }

    /// One attempt over some pieces.
    fn attempt_pieces(
        &mut self,
        workgroup: GridBox,
        held: &mut Held<'_>,
        spans: &[Span],
        needs: &Needs,
    ) -> Result<Outcome, LaunchError> {
        let (space, context, launch) = (self.space, self.context, self.launch);
        let pieces = needs.pages();
        held.hold(&pieces)?;
        held.fill(&pieces)?;
        let pages: Vec<PageEntry> = (pieces.iter())
            .map(|&(piece, access)| PageEntry {
                page: piece,
                frame: Some((held.frame(held.there[&piece]), access == Access::Write)),
            })
            .collect();
        let translations = vec![Translation::Paged; launch.bound.len()];
        let began = space.tracer.begin();
        let report = context
            .device
            .attempt(&Attempt {
                launch,
                boxes: &[workgroup],
                translations: &translations,
                page: PageSize::MIN,
                pages: &pages,
            })
            .map_err(|e| context.failed(e))?;
        let mut touched = Needs::default();
        add_touched(spans, &report.touched, &mut touched);
        touched.normalize();
        self.report.kernel_seconds += report.seconds;
        add(&space.counters.kernel_nanos, (report.seconds * 1e9) as u64);
        let granted = |piece: &u64| {
            let found = pieces.binary_search_by_key(piece, |p| p.0);
            found.is_ok_and(|i| pieces[i].1 == Access::Write)
        };
        let stored: Vec<u64> = touched.writes().filter(granted).collect();
        if report.missed {
            // At home they are as before.
            for piece in &stored {
                held.there.remove(piece);
            }
            space.tracer.end(began, || What::Probe {
                node: context.node,
                kernel: launch.kernel.name().into(),
                boxes: 1,
            });
            self.report.undone += 1;
            add(&space.counters.undone_passes, 1);
            return Ok(Outcome::Missed(touched));
        }
        held.home(&stored)?;
        space.tracer.end(began, || What::Pass {
            node: context.node,
            kernel: launch.kernel.name().into(),
            workgroups: 1,
            // Of its pages it had none.
            uses: Vec::new(),
        });
        self.report.passes += 1;
        self.count_translations(&translations);
        add(&space.counters.passes, 1);
        add(&space.counters.attempted_passes, 1);
        add(&space.counters.piece_passes, 1);
        Ok(Outcome::Done)
    }
}
