//! Claims: what a pass needs, made resident and held until the pass is over.
//!
//! Claims are made in the order of addresses, so that two devices that need the same pages never wait for each other in a
//! circle. A claim that is *extended* (a probe found more) would break that order: it does not wait, it fails with `Busy`,
//! and its owner lets everything go and starts again.

use std::ops::Range;

use gmem_hal::trace::{PageRun, WaitFor, What};
use gmem_hal::{Access, Cause, FrameIndex};

use crate::context::{BATCH_BYTES, Context};
use crate::counters::add;
use crate::error::MoveError;
use crate::migrate::{Locked, Want, migrate};
use crate::space::Shared;
use crate::step::Event;

/// Pages needed at once, with the access wanted: sorted and disjoint once [`Needs::normalize`]d.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    reads: Vec<Range<u64>>,
    writes: Vec<Range<u64>>,
}

fn union(ranges: &mut Vec<Range<u64>>) {
    ranges.retain(|r| !r.is_empty());
    ranges.sort_unstable_by_key(|r| r.start);
    let mut out: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for r in ranges.drain(..) {
        match out.last_mut() {
            Some(last) if r.start <= last.end => last.end = last.end.max(r.end),
            _ => out.push(r),
        }
    }
    *ranges = out;
}

impl Needs {
    pub(crate) fn add(&mut self, pages: Range<u64>, access: Access) {
        match access {
            Access::Read => self.reads.push(pages),
            Access::Write => self.writes.push(pages),
        }
    }

    /// Adds what another set has for this access of some pages. The other set is normalized.
    pub(crate) fn add_common(&mut self, other: &Self, pages: &Range<u64>, access: Access) {
        let part = other.inside(pages);
        match access {
            Access::Read => self.reads.extend(part.reads),
            Access::Write => self.writes.extend(part.writes),
        }
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        self.reads.extend(other.reads.iter().cloned());
        self.writes.extend(other.writes.iter().cloned());
    }

    /// Sorts and joins the ranges.
    pub(crate) fn normalize(&mut self) {
        union(&mut self.reads);
        union(&mut self.writes);
    }

    /// Every page once, ascending, with the stronger access. The needs are normalized.
    pub(crate) fn pages(&self) -> Vec<(u64, Access)> {
        let mut out: Vec<(u64, Access)> = self
            .writes
            .iter()
            .flat_map(|r| r.clone().map(|p| (p, Access::Write)))
            .collect();
        out.extend(
            self.reads
                .iter()
                .flat_map(|r| r.clone().map(|p| (p, Access::Read))),
        );
        // Among equals the write comes first, and stays.
        out.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        out.dedup_by_key(|p| p.0);
        out
    }

    /// The ranges, for a record.
    pub(crate) fn runs(&self) -> Vec<PageRun> {
        let mut runs = Vec::with_capacity(self.reads.len() + self.writes.len());
        for (ranges, access) in [(&self.reads, Access::Read), (&self.writes, Access::Write)] {
            ranges
                .iter()
                .for_each(|r| PageRun::push(&mut runs, r.clone(), access));
        }
        runs
    }

    /// From the first to the last page needed of a range; `None` when none is. The needs are normalized.
    pub(crate) fn within(&self, span: &Range<u64>) -> Option<Range<u64>> {
        let inside = self
            .reads
            .iter()
            .chain(&self.writes)
            .filter(|r| r.start < span.end && span.start < r.end);
        let bounds = inside.fold((u64::MAX, 0), |(lo, hi), r| {
            (lo.min(r.start.max(span.start)), hi.max(r.end.min(span.end)))
        });
        (bounds.0 < bounds.1).then_some(bounds.0..bounds.1)
    }

    /// The pages needed for writing. The needs are normalized.
    pub(crate) fn writes(&self) -> impl Iterator<Item = u64> + '_ {
        self.writes.iter().cloned().flatten()
    }

    /// Whether all pages of a range are needed with this access at least. The needs are normalized.
    pub(crate) fn covers(&self, span: &Range<u64>, access: Access) -> bool {
        let whole = |ranges: &[Range<u64>]| {
            let mut ranges = ranges.iter();
            ranges.any(|r| r.start <= span.start && span.end <= r.end)
        };
        match access {
            Access::Write => whole(&self.writes),
            Access::Read => {
                let mut all = [self.reads.as_slice(), &self.writes].concat();
                union(&mut all);
                whole(&all)
            }
        }
    }

    /// What is needed of a range. The needs are normalized.
    pub(crate) fn inside(&self, span: &Range<u64>) -> Self {
        let cut = |ranges: &[Range<u64>]| {
            let parts = ranges
                .iter()
                .map(|r| r.start.max(span.start)..r.end.min(span.end));
            parts.filter(|r| !r.is_empty()).collect()
        };
        Self {
            reads: cut(&self.reads),
            writes: cut(&self.writes),
        }
    }

    /// How many pages that is. The needs are normalized.
    pub(crate) fn count(&self) -> u64 {
        let mut all: Vec<Range<u64>> = self.reads.iter().chain(&self.writes).cloned().collect();
        union(&mut all);
        all.iter().map(|r| r.end - r.start).sum()
    }
}

/// Pages claimed for one device, ascending. Dropping it ends the claims, so that nobody waits for a pass that failed.
pub(crate) struct Claims<'a> {
    context: &'a Context,
    space: &'a Shared,
    pages: Vec<u64>,
    /// Those claimed for writing that were not written here before: the host's bytes are what they hold.
    brought: Vec<u64>,
}

impl<'a> Claims<'a> {
    /// Nothing yet.
    pub(crate) fn none(context: &'a Context, space: &'a Shared) -> Self {
        Self {
            context,
            space,
            pages: Vec::new(),
            brought: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// Makes pages resident with the access needed and claims them, on top of what is held already.
    ///
    /// # Errors
    /// Nothing new is claimed then.
    /// LOCKING: no lock held; takes block locks and frames. Called by the device's worker alone.
    pub(crate) fn extend(&mut self, needs: &Needs, cause: Cause) -> Result<(), MoveError> {
        let (fresh, brought) = self
            .context
            .claim(self.space, needs, cause, self.is_empty())?;
        self.pages.extend(fresh);
        self.brought.extend(brought);
        self.pages.sort_unstable();
        Ok(())
    }

    /// The pages claimed for writing whose content was the host's, or nobody's, until then: the host's bytes still hold it.
    pub(crate) fn brought(&self) -> &[u64] {
        &self.brought
    }

    /// Ends all claims. `used`: a pass touched the pages.
    /// LOCKING: takes block locks and frames.
    pub(crate) fn end(&mut self, used: bool) {
        let pages = self.release(used);
        self.context.let_go(self.space, &pages, used);
    }

    /// Ends all claims, of which a pass touched some.
    /// LOCKING: takes block locks and frames.
    pub(crate) fn end_used(&mut self, touched: &Needs) {
        let pages = self.release(true);
        let touched = touched.pages();
        let is_used = |page: &u64| touched.binary_search_by_key(page, |t| t.0).is_ok();
        let (used, unused): (Vec<u64>, Vec<u64>) = pages.into_iter().partition(is_used);
        self.context.let_go(self.space, &unused, false);
        self.context.let_go(self.space, &used, true);
    }

    /// The pages, which are about to be let go.
    fn release(&mut self, used: bool) -> Vec<u64> {
        let pages = std::mem::take(&mut self.pages);
        self.brought.clear();
        if !pages.is_empty() {
            // Before anybody else can have them.
            self.space.tracer.note(|| What::Release {
                node: self.context.node,
                used,
            });
        }
        pages
    }
}

impl Drop for Claims<'_> {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// Of the pages wanted, those newly claimed (`fresh`) or brought or made writable (`todo`). All ascend.
fn changed(wanted: &[(u64, Access)], fresh: &[u64], todo: &[(u64, Access)]) -> Vec<(u64, Access)> {
    let is_new = |page: u64| {
        fresh.binary_search(&page).is_ok() || todo.binary_search_by_key(&page, |t| t.0).is_ok()
    };
    wanted.iter().copied().filter(|w| is_new(w.0)).collect()
}

impl Context {
    /// The pages newly claimed, and those of [`Claims::brought`]. `patient`: nothing is held yet, so waiting for other devices' passes is allowed.
    fn claim(
        &self,
        space: &Shared,
        needs: &Needs,
        cause: Cause,
        patient: bool,
    ) -> Result<(Vec<u64>, Vec<u64>), MoveError> {
        let wanted = needs.pages();
        let capacity = self.capacity();
        if wanted.len() as u64 > capacity {
            return Err(MoveError::TooLarge {
                needed: wanted.len() as u64,
                capacity,
            });
        }
        let began = space.tracer.begin();
        let mut fresh = Vec::new();
        let result = self
            .take(space, &wanted, patient, &mut fresh)
            .and_then(|todo| self.fetch(space, &todo, cause).map(|()| todo));
        match result {
            Ok(todo) => {
                if !(fresh.is_empty() && todo.is_empty()) {
                    space.tracer.end(began, || What::Claim {
                        node: self.node,
                        cause,
                        uses: PageRun::of(&changed(&wanted, &fresh, &todo)),
                    });
                }
                let written = todo.iter().filter(|t| t.1 == Access::Write);
                let brought = written.map(|t| t.0).collect();
                Ok((fresh, brought))
            }
            Err(e) => {
                self.let_go(space, &fresh, false);
                Err(e)
            }
        }
    }

    fn let_go(&self, space: &Shared, pages: &[u64], used: bool) {
        let per_block = space.blocks.pages_per_block() as u64;
        for group in pages.chunk_by(|a, b| a / per_block == b / per_block) {
            let block = space.blocks.block(group[0] / per_block);
            let mut state = block.lock();
            let mut frames = Vec::with_capacity(group.len());
            for &page in group {
                let i = (page % per_block) as usize;
                state.unclaim(self.node, i);
                frames.extend(state.frame(self.node, i));
            }
            self.unpin(frames.into_iter(), used);
            state.tidy(self.node);
            drop(state);
            block.notify();
        }
    }

    /// Claims pages in ascending order, waiting for other devices' passes if `patient`. Answers with those that have to be
    /// fetched or upgraded; `fresh` gets those that were not claimed before.
    fn take(
        &self,
        space: &Shared,
        wanted: &[(u64, Access)],
        patient: bool,
        fresh: &mut Vec<u64>,
    ) -> Result<Vec<(u64, Access)>, MoveError> {
        let per_block = space.blocks.pages_per_block() as u64;
        let mut todo = Vec::new();
        for group in wanted.chunk_by(|a, b| a.0 / per_block == b.0 / per_block) {
            let block = space.blocks.block(group[0].0 / per_block);
            let mut state = block.lock();
            let mut frames = Vec::new();
            for &(page, access) in group {
                let i = (page % per_block) as usize;
                if state.conflicts(self.node, i, access) {
                    if !patient {
                        self.pin(frames.into_iter());
                        return Err(MoveError::Busy);
                    }
                    let began = space.tracer.begin();
                    while state.conflicts(self.node, i, access) {
                        block.wait(&mut state);
                    }
                    space
                        .tracer
                        .end(began, || What::Wait { on: WaitFor::Claim });
                }
                let mapping = state.mapping(i);
                let claimed = state.claimed(self.node, i);
                state.claim(self.node, i, access);
                if claimed.is_none() {
                    fresh.push(page);
                    frames.extend(state.frame(self.node, i));
                }
                let resident = mapping.valid.has(self.node);
                if !resident || (access == Access::Write && mapping.writer != Some(self.node)) {
                    todo.push((page, access));
                }
            }
            self.pin(frames.into_iter());
        }
        Ok(todo)
    }

    /// Brings claimed pages here, or gives them the right to be written.
    fn fetch(&self, space: &Shared, todo: &[(u64, Access)], cause: Cause) -> Result<(), MoveError> {
        if todo.is_empty() {
            return Ok(());
        }
        let frame_of = |page: u64| {
            let (number, i) = space.blocks.locate(page);
            space
                .blocks
                .existing(number)
                .and_then(|b| b.lock().frame(self.node, i))
        };
        // Claimed pages do not change residency here behind our back, except that nobody else makes them resident either.
        let missing: Vec<u64> = todo
            .iter()
            .map(|t| t.0)
            .filter(|&p| frame_of(p).is_none())
            .collect();
        let before = |page: u64| page.checked_sub(1).and_then(frame_of);
        let frames = self.allocate(space, &missing, before)?;
        add(&space.counters.device_faults, missing.len() as u64);
        let mut spare: std::collections::VecDeque<(u64, FrameIndex)> =
            missing.into_iter().zip(frames).collect();
        let batch = (BATCH_BYTES / space.geometry.page.bytes()).max(1) as usize;
        for part in todo.chunks(batch) {
            let mut locked = Locked::of_pages(space, part.iter().map(|t| t.0));
            let wants: Vec<Want> = part
                .iter()
                .map(|&(page, access)| Want {
                    page,
                    event: match access {
                        Access::Read => Event::Read(self.node),
                        Access::Write => Event::Write(self.node),
                    },
                    cause,
                    frame: (spare.front().map(|s| s.0) == Some(page))
                        .then(|| spare.pop_front().expect("it is there").1),
                })
                .collect();
            if let Err(e) = migrate(space, &mut locked, &wants) {
                drop(locked);
                self.release(
                    wants
                        .iter()
                        .filter_map(|w| w.frame)
                        .chain(spare.into_iter().map(|s| s.1)),
                );
                return Err(e);
            }
            self.pin(wants.iter().filter_map(|w| w.frame));
        }
        Ok(())
    }

    /// The frames of sorted, resident pages.
    pub(crate) fn frames_of(&self, space: &Shared, pages: Range<u64>) -> Vec<Option<FrameIndex>> {
        let per_block = space.blocks.pages_per_block() as u64;
        let mut out = Vec::with_capacity((pages.end - pages.start) as usize);
        let mut page = pages.start;
        while page < pages.end {
            let end = ((page / per_block + 1) * per_block).min(pages.end);
            match space.blocks.existing(page / per_block) {
                Some(block) => {
                    let state = block.lock();
                    out.extend(
                        (page..end).map(|p| state.frame(self.node, (p % per_block) as usize)),
                    );
                }
                None => out.extend((page..end).map(|_| None)),
            }
            page = end;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_list_every_page_once_with_the_stronger_access() {
        let mut needs = Needs::default();
        needs.add(3..6, Access::Read);
        needs.add(5..8, Access::Read);
        needs.add(4..5, Access::Write);
        needs.add(20..20, Access::Write);
        needs.normalize();
        let pages = needs.pages();
        assert_eq!(
            pages.iter().map(|p| p.0).collect::<Vec<_>>(),
            [3, 4, 5, 6, 7]
        );
        assert_eq!(pages[1].1, Access::Write);
        assert!(pages.iter().filter(|p| p.1 == Access::Write).count() == 1);
        assert_eq!(needs.count(), 5);
    }
}
