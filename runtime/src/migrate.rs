//! Moves: planned by [`step`] under the locks of the blocks concerned, executed in the order of its phases with one
//! backend call per phase and device, coalesced into runs; then committed, or rolled back with [`settle`].

use gmem_hal::trace::{Began, Direction as Way, What};
use gmem_hal::{
    ByteRange, Cause, CopyRun, DeviceError, FrameIndex, FrameRun, NodeId, PageEntry, Rights,
};

use crate::block::BlockState;
use crate::counters::{Direction, add};
use crate::error::MoveError;
use crate::space::Shared;
use crate::step::{Action, Event, Mapping, Step, settle, step};
use crate::sync::Guard;

/// What is wanted of one page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    pub(crate) page: u64,
    pub(crate) event: Event,
    pub(crate) cause: Cause,
    /// The frame for a new copy on the event's device; unused when the device has one already.
    pub(crate) frame: Option<FrameIndex>,
}

/// The locked blocks of a move, lowest first.
pub(crate) struct Locked<'a> {
    blocks: Vec<(u64, Guard<'a, BlockState>)>,
    pages_per_block: u64,
}

impl<'a> Locked<'a> {
    /// Locks every block of some pages. The pages are sorted.
    /// LOCKING: takes block locks in order; no block and no frames may be held.
    pub(crate) fn of_pages(space: &'a Shared, pages: impl Iterator<Item = u64>) -> Self {
        let mut locked = Self {
            blocks: Vec::new(),
            pages_per_block: space.blocks.pages_per_block() as u64,
        };
        for page in pages {
            let (number, _) = space.blocks.locate(page);
            if locked.blocks.last().is_none_or(|(last, _)| *last != number) {
                locked
                    .blocks
                    .push((number, space.blocks.block(number).lock()));
            }
        }
        locked
    }

    /// One block that is locked already.
    pub(crate) fn one(space: &Shared, number: u64, guard: Guard<'a, BlockState>) -> Self {
        Self {
            blocks: vec![(number, guard)],
            pages_per_block: space.blocks.pages_per_block() as u64,
        }
    }

    /// Gives the only block back.
    pub(crate) fn into_one(mut self) -> Guard<'a, BlockState> {
        debug_assert_eq!(self.blocks.len(), 1);
        self.blocks.pop().expect("one block").1
    }

    /// The block of a page, and the page's number in it.
    pub(crate) fn at(&mut self, page: u64) -> (&mut BlockState, usize) {
        let number = page / self.pages_per_block;
        let i = self
            .blocks
            .binary_search_by_key(&number, |(n, _)| *n)
            .expect("the page's block is locked");
        (
            &mut self.blocks[i].1,
            (page % self.pages_per_block) as usize,
        )
    }
}

/// A page's part of a move.
struct Planned {
    want: Want,
    before: Mapping,
    step: Step,
}

/// The phases of the protocol, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Reserve,
    Revoke,
    Home,
    Fill,
    Withdraw,
    Enter,
    Grant,
}

fn phase(action: Action) -> Phase {
    match action {
        Action::Reserve => Phase::Reserve,
        Action::Revoke(_) => Phase::Revoke,
        Action::Home(_) => Phase::Home,
        Action::Zero(_) | Action::Out(_) => Phase::Fill,
        Action::Drop(_) | Action::Protect(_) => Phase::Withdraw,
        Action::Enter(..) => Phase::Enter,
        Action::Grant(_) => Phase::Grant,
    }
}

/// Pages into byte runs, adjacent ones joined. The pages are sorted.
fn byte_runs(pages: impl Iterator<Item = u64>, shift: u32) -> Vec<ByteRange> {
    let mut runs: Vec<ByteRange> = Vec::new();
    for page in pages {
        let offset = page << shift;
        match runs.last_mut() {
            Some(run) if run.end() == offset => run.len += 1 << shift,
            _ => runs.push(ByteRange::new(offset, 1 << shift)),
        }
    }
    runs
}

/// Pages with their frames into copy runs: joined where pages, frames and windows are adjacent.
pub(crate) fn copy_runs(
    pairs: impl Iterator<Item = (u64, FrameIndex)>,
    shift: u32,
    window_frames: u32,
) -> Vec<CopyRun> {
    let mut runs: Vec<CopyRun> = Vec::new();
    for (page, frame) in pairs {
        let offset = page << shift;
        match runs.last_mut() {
            Some(run)
                if run.offset + (u64::from(run.frames.frames) << shift) == offset
                    && run.frames.first.0 + run.frames.frames == frame.0
                    && frame.0 % window_frames != 0 =>
            {
                run.frames.frames += 1;
            }
            _ => runs.push(CopyRun {
                offset,
                frames: FrameRun::new(frame, 1),
            }),
        }
    }
    runs
}

/// Runs events on pages whose blocks are locked. `wants` are sorted by page, one each.
///
/// On success every page is in its new mapping. On an error every page is in a mapping that has lost nothing, and no
/// frame of `wants` is in use: the caller releases them.
/// LOCKING: block locks held; takes frames.
pub(crate) fn migrate(
    space: &Shared,
    locked: &mut Locked<'_>,
    wants: &[Want],
) -> Result<(), MoveError> {
    let sharing = space.host.read_sharing();
    let planned: Vec<Planned> = wants
        .iter()
        .map(|&want| {
            let (block, page) = locked.at(want.page);
            let before = block.mapping(page);
            Planned {
                want,
                before,
                step: step(before, want.event, sharing),
            }
        })
        .collect();
    let mut run = Execution {
        space,
        locked,
        planned: &planned,
        withdrawn: Vec::new(),
    };
    match run.all() {
        Ok(()) => {
            run.commit();
            Ok(())
        }
        Err((failed, error)) => {
            run.roll_back(failed);
            Err(error)
        }
    }
}

struct Execution<'e, 'l, 'a> {
    space: &'e Shared,
    locked: &'e mut Locked<'l>,
    planned: &'a [Planned],
    /// Devices whose withdrawals are done.
    withdrawn: Vec<NodeId>,
}

type Failed = (Phase, MoveError);

impl Execution<'_, '_, '_> {
    fn all(&mut self) -> Result<(), Failed> {
        self.reserve().map_err(|e| (Phase::Reserve, e))?;
        self.set_rights(Phase::Revoke)
            .map_err(|e| (Phase::Revoke, e))?;
        self.home().map_err(|e| (Phase::Home, e))?;
        self.fill().map_err(|e| (Phase::Fill, e))?;
        self.withdraw().map_err(|e| (Phase::Withdraw, e))?;
        self.enter().map_err(|e| (Phase::Enter, e))?;
        self.set_rights(Phase::Grant).map_err(|e| (Phase::Grant, e))
    }

    /// (page, cause) of every page with a matching action.
    fn pages(&self, matching: impl Fn(Action) -> bool) -> Vec<(u64, Cause)> {
        self.planned
            .iter()
            .filter(|p| p.step.actions().any(&matching))
            .map(|p| (p.want.page, p.want.cause))
            .collect()
    }

    fn shift(&self) -> u32 {
        self.space.geometry.page.shift()
    }

    fn reserve(&mut self) -> Result<(), MoveError> {
        let mut pages = self.pages(|a| a == Action::Reserve);
        pages.retain(|&(page, _)| {
            let (block, i) = self.locked.at(page);
            !block.is_reserved(i)
        });
        for run in byte_runs(pages.iter().map(|p| p.0), self.shift()) {
            self.space.host.reserve(run)?;
        }
        for (page, _) in pages {
            let (block, i) = self.locked.at(page);
            block.set_reserved(i);
        }
        Ok(())
    }

    fn set_rights(&mut self, phase: Phase) -> Result<(), MoveError> {
        for rights in [Rights::None, Rights::Read, Rights::Write] {
            let action = if phase == Phase::Revoke {
                Action::Revoke(rights)
            } else {
                Action::Grant(rights)
            };
            for run in byte_runs(
                self.pages(|a| a == action).iter().map(|p| p.0),
                self.shift(),
            ) {
                self.space.host.set_rights(run, rights)?;
            }
        }
        Ok(())
    }

    fn home(&mut self) -> Result<(), MoveError> {
        for context in self.space.contexts() {
            let pages = self.pages(|a| a == Action::Home(context.node));
            if pages.is_empty() {
                continue;
            }
            let pairs: Vec<(u64, FrameIndex)> = pages
                .iter()
                .map(|&(page, _)| {
                    let (block, i) = self.locked.at(page);
                    (
                        page,
                        block
                            .frame(context.node, i)
                            .expect("a valid copy has a frame"),
                    )
                })
                .collect();
            let runs = copy_runs(pairs.into_iter(), self.shift(), context.info.window_frames);
            let began = self.space.tracer.begin();
            context
                .device
                .download(&runs, &*self.space.host)
                .map_err(|e| context.failed(e))?;
            self.count(Direction::DeviceToHost, &pages);
            self.trace_copy(began, context.node, Way::Home, &pages, runs.len());
        }
        Ok(())
    }

    fn count(&self, direction: Direction, pages: &[(u64, Cause)]) {
        for &(_, cause) in pages {
            self.space
                .counters
                .moved(direction, cause, self.space.geometry.page.bytes());
        }
    }

    fn trace_copy(
        &self,
        began: Began,
        node: NodeId,
        direction: Way,
        pages: &[(u64, Cause)],
        runs: usize,
    ) {
        self.space.tracer.end(began, || {
            let of = |cause| pages.iter().filter(|p| p.1 == cause).count() as u64;
            let bytes = Cause::ALL.map(|cause| (cause, of(cause) << self.shift()));
            What::Copy {
                node,
                direction,
                moved: bytes.into_iter().filter(|(_, bytes)| *bytes > 0).collect(),
                runs: runs as u64,
            }
        });
    }

    fn fill(&mut self) -> Result<(), MoveError> {
        for context in self.space.contexts() {
            let with_frames = |matching: Action| {
                self.planned
                    .iter()
                    .filter(move |p| p.step.actions().any(|a| a == matching))
                    .map(|p| {
                        (
                            p.want.page,
                            p.want.frame.expect("a new copy was given a frame"),
                        )
                    })
            };
            let shift = self.space.geometry.page.shift();
            let window_frames = context.info.window_frames;
            let zero = copy_runs(
                with_frames(Action::Zero(context.node)),
                shift,
                window_frames,
            );
            if !zero.is_empty() {
                let frames: Vec<FrameRun> = zero.iter().map(|r| r.frames).collect();
                let began = self.space.tracer.begin();
                context
                    .device
                    .zero(&frames)
                    .map_err(|e| context.failed(e))?;
                let pages = frames.iter().map(|r| u64::from(r.frames)).sum();
                add(&self.space.counters.zeroed_pages, pages);
                self.space.tracer.end(began, || What::Zero {
                    node: context.node,
                    pages,
                });
            }
            let out = copy_runs(with_frames(Action::Out(context.node)), shift, window_frames);
            if !out.is_empty() {
                let began = self.space.tracer.begin();
                context
                    .device
                    .upload(&out, &*self.space.host)
                    .map_err(|e| context.failed(e))?;
                let pages = self.pages(|a| a == Action::Out(context.node));
                self.count(Direction::HostToDevice, &pages);
                self.trace_copy(began, context.node, Way::ToDevice, &pages, out.len());
            }
        }
        Ok(())
    }

    fn withdraw(&mut self) -> Result<(), MoveError> {
        for context in self.space.contexts() {
            let mut entries = Vec::new();
            for p in self.planned {
                for action in p.step.actions() {
                    let frame = match action {
                        Action::Drop(d) if d == context.node => None,
                        Action::Protect(d) if d == context.node => {
                            let (block, i) = self.locked.at(p.want.page);
                            block.frame(d, i).map(|f| (f, false))
                        }
                        _ => continue,
                    };
                    entries.push(PageEntry {
                        page: p.want.page,
                        frame,
                    });
                }
            }
            if !entries.is_empty() {
                match context.device.set_entries(&entries) {
                    // A device that is gone has no translation left to take away.
                    Ok(()) | Err(DeviceError::Lost { .. }) => {}
                    Err(e) => return Err(context.failed(e)),
                }
            }
            self.withdrawn.push(context.node);
        }
        Ok(())
    }

    fn enter(&mut self) -> Result<(), MoveError> {
        for context in self.space.contexts() {
            let mut entries = Vec::new();
            for p in self.planned {
                for action in p.step.actions() {
                    if let Action::Enter(d, rights) = action
                        && d == context.node
                    {
                        let (block, i) = self.locked.at(p.want.page);
                        let frame = block
                            .frame(d, i)
                            .or(p.want.frame)
                            .expect("a copy has a frame");
                        entries.push(PageEntry {
                            page: p.want.page,
                            frame: Some((frame, rights == Rights::Write)),
                        });
                    }
                }
            }
            if !entries.is_empty() {
                context
                    .device
                    .set_entries(&entries)
                    .map_err(|e| context.failed(e))?;
            }
        }
        Ok(())
    }

    /// Takes the frames of dropped copies back, and assigns the new ones.
    fn commit(&mut self) {
        for p in self.planned {
            self.write_back(p, p.step.next, true);
        }
        for context in self.space.contexts() {
            let changes = |p: &Planned| {
                let writer = p.step.next.writer;
                let held = matches!(p.want.event, Event::Hold(by) if by != context.node);
                p.want.event == Event::Discard
                    || held
                    || (writer.is_some()
                        && writer != p.before.writer
                        && writer != Some(context.node))
            };
            if self.planned.iter().any(changes) {
                context.note_foreign_write();
            }
            let fresh = self.planned.iter().filter_map(|p| {
                p.step
                    .actions()
                    .find(|&a| a == Action::Zero(context.node) || a == Action::Out(context.node))?;
                Some((p.want.frame?, p.want.page, p.want.cause))
            });
            context.adopt(fresh);
        }
    }

    fn roll_back(&mut self, failed: Phase) {
        for p in self.planned {
            let done = p.step.actions().filter(|&a| {
                phase(a) < failed
                    || matches!(a, Action::Drop(d) | Action::Protect(d)
                        if failed == Phase::Withdraw && self.withdrawn.contains(&d))
            });
            let settled = settle(p.before, done);
            self.write_back(p, settled, false);
        }
    }

    /// Makes `next` the mapping of a page: the frames of copies that are no longer valid go back to their pools.
    fn write_back(&mut self, p: &Planned, next: Mapping, complete: bool) {
        let (block, i) = self.locked.at(p.want.page);
        for node in p
            .before
            .valid
            .iter()
            .filter(|&n| n != NodeId::HOST && !next.valid.has(n))
        {
            if let (Some(frame), Some(context)) = (block.frame(node, i), self.space.context(node)) {
                context.abandon(frame);
            }
        }
        block.set_mapping(i, next);
        for action in p.step.actions().filter(|_| complete) {
            match action {
                Action::Zero(d) | Action::Out(d) => {
                    block.set_frame(d, i, p.want.frame.expect("a new copy was given a frame"));
                }
                // The host's bytes were written: there is memory behind them.
                Action::Home(_) | Action::Grant(_) => block.set_reserved(i),
                _ => {}
            }
        }
        if next.valid.iter().all(|n| n == NodeId::HOST) {
            for node in p.before.valid.iter().filter(|&n| n != NodeId::HOST) {
                block.tidy(node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_only_what_is_adjacent_in_pages_frames_and_window() {
        let f = FrameIndex;
        let pairs = [
            (1, f(5)),
            (2, f(6)),
            (3, f(8)),
            (4, f(9)),
            (6, f(10)),
            (7, f(16)),
        ];
        let runs = copy_runs(pairs.into_iter(), 12, 16);
        let flat: Vec<_> = runs
            .iter()
            .map(|r| (r.offset >> 12, r.frames.first.0, r.frames.frames))
            .collect();
        assert_eq!(flat, [(1, 5, 2), (3, 8, 2), (6, 10, 1), (7, 16, 1)]);
        let across = copy_runs([(1, f(15)), (2, f(16))].into_iter(), 12, 16);
        assert_eq!(across.len(), 2, "a run never crosses a window");
        assert_eq!(
            byte_runs([1, 2, 4].into_iter(), 12),
            [ByteRange::new(4096, 8192), ByteRange::new(16384, 4096)]
        );
    }
}
