//! A replay under one of the runtime's policies, which is told of everything in the order in which the runtime tells it,
//! and asked with the same words: see [`claim`](crate::claim), [`placement`](crate::placement) and
//! [`context`](crate::context).

use gmem_hal::{Access, Cause, FrameIndex};

use super::Moved;
use super::accesses::{Accesses, Step, Uses, count};
use crate::context::BATCH_BYTES;
use crate::policy::{EvictionPolicy, PolicyKind, build};

/// A page as the device sees it.
#[derive(Clone, Copy, Debug, Default)]
struct Page {
    frame: Option<u32>,
    /// The device alone has its content.
    dirty: bool,
    /// Somebody touched it since it was allocated.
    known: bool,
    held: bool,
}

struct Online<'a> {
    accesses: &'a Accesses,
    policy: Box<dyn EvictionPolicy>,
    pages: Vec<Page>,
    /// The page of each frame.
    frames: Vec<Option<u32>>,
    free: Vec<u32>,
    /// Pages held; ascending when they are let go.
    held: Vec<u32>,
    /// Victims asked for at once, at most.
    batch: usize,
    moved: Moved,
}

/// Replays accesses of which every pass fits.
pub(super) fn run(accesses: &Accesses, frames: u32, kind: PolicyKind, seed: u64) -> Moved {
    let mut online = Online {
        accesses,
        policy: build(kind, seed),
        pages: vec![Page::default(); accesses.pages()],
        frames: vec![None; frames as usize],
        free: (0..frames).rev().collect(),
        held: Vec::new(),
        batch: (BATCH_BYTES / accesses.device().page_bytes).max(1) as usize,
        moved: Moved::default(),
    };
    for step in &accesses.steps {
        online.step(step);
    }
    online.moved
}

fn each(uses: &Uses) -> impl Iterator<Item = (u32, Access)> + '_ {
    uses.iter()
        .flat_map(|(pages, access)| pages.clone().map(move |p| (p, *access)))
}

impl Online<'_> {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Claim { cause, uses } => self.claim_ahead(uses, *cause),
            Step::Pass { uses } => {
                if !self.fits(uses) {
                    self.release(false);
                }
                self.claim(&each(uses).collect::<Vec<_>>(), Cause::Demand);
            }
            Step::Release { used } => self.release(*used),
            Step::Other { uses } => {
                for (page, access) in each(uses) {
                    if access == Access::Write {
                        self.take_away(page, true);
                    } else {
                        self.clean(page);
                    }
                    self.pages[page as usize].known = true;
                }
            }
            Step::Discard { uses } => {
                for (page, _) in each(uses) {
                    self.take_away(page, false);
                    self.pages[page as usize].known = false;
                }
            }
            Step::GiveUp { uses } => {
                for (page, _) in each(uses) {
                    if !self.pages[page as usize].held {
                        self.take_away(page, true);
                    }
                }
            }
        }
    }

    /// Whether pages can be held besides those that are.
    fn fits(&self, uses: &Uses) -> bool {
        let more = each(uses).filter(|(p, _)| !self.pages[*p as usize].held);
        self.held.len() + more.count() <= self.frames.len()
    }

    /// Claims what the runtime claimed, as far as it would have here.
    fn claim_ahead(&mut self, uses: &Uses, cause: Cause) {
        if cause == Cause::Prefetch {
            // As many of the first pages as the device holds.
            if !self.fits(uses) {
                self.release(false);
            }
            let first: Vec<_> = each(uses).take(self.frames.len()).collect();
            self.claim(&first, cause);
        } else if count(uses) <= self.frames.len() as u64 {
            // What was held cannot stay: a probe then begins again.
            if !self.fits(uses) {
                self.release(false);
            }
            self.claim(&each(uses).collect::<Vec<_>>(), cause);
        }
        // Else it was a guess: what the pass needs is claimed with it.
    }

    /// Makes pages resident and holds them. They fit beside those that are held.
    fn claim(&mut self, wanted: &[(u32, Access)], cause: Cause) {
        let mut missing = Vec::new();
        for &(number, _) in wanted {
            let page = &mut self.pages[number as usize];
            if page.frame.is_none() {
                missing.push(number);
            }
            if !page.held {
                page.held = true;
                self.held.push(number);
            }
        }
        let mut frames = Vec::with_capacity(missing.len());
        for run in missing.chunk_by(|&a, &b| a + 1 == b && self.accesses.adjacent(a)) {
            while self.free.len() < run.len() {
                self.evict((run.len() - self.free.len()).min(self.batch));
            }
            frames.extend(self.free.drain(self.free.len() - run.len()..));
        }
        for (&number, frame) in missing.iter().zip(frames) {
            let page = &mut self.pages[number as usize];
            if page.known {
                self.moved.fetched += 1;
            } else {
                self.moved.zeroed += 1;
            }
            page.known = true;
            page.frame = Some(frame);
            self.frames[frame as usize] = Some(number);
            self.policy.inserted(FrameIndex(frame), cause);
        }
        for &(number, _) in wanted.iter().filter(|w| w.1 == Access::Write) {
            self.pages[number as usize].dirty = true;
        }
    }

    fn release(&mut self, used: bool) {
        let mut held = std::mem::take(&mut self.held);
        held.sort_unstable();
        for number in held {
            let page = &mut self.pages[number as usize];
            page.held = false;
            if let Some(frame) = page.frame.filter(|_| used) {
                self.policy.touched(FrameIndex(frame));
            }
        }
    }

    /// Evicts at least one page and at most `want`: there is one that is not held.
    fn evict(&mut self, want: usize) {
        let Self {
            policy,
            pages,
            frames,
            ..
        } = self;
        let evictable = |f: FrameIndex| {
            let page = frames.get(f.0 as usize).copied().flatten();
            page.is_some_and(|p| !pages[p as usize].held)
        };
        let mut hints = Vec::new();
        policy.victims(want, &evictable, &mut hints);
        let mut seen = std::collections::HashSet::new();
        hints.retain(|&f| evictable(f) && seen.insert(f));
        hints.truncate(want);
        if hints.is_empty() {
            // A policy that knows nothing must not stop the system.
            let all = (0..frames.len() as u32).map(FrameIndex);
            hints.extend(all.filter(|&f| evictable(f)).take(want));
        }
        let mut victims: Vec<u32> = hints.iter().filter_map(|f| frames[f.0 as usize]).collect();
        victims.sort_unstable();
        self.moved.evicted += victims.len() as u64;
        for victim in victims {
            self.take_away(victim, true);
        }
    }

    /// The CPU, or another device, has what a page holds too.
    fn clean(&mut self, number: u32) {
        let page = &mut self.pages[number as usize];
        if page.frame.is_some() && std::mem::take(&mut page.dirty) {
            self.moved.homed += 1;
        }
    }

    /// The device's copy goes, home first if somebody still wants what only it holds.
    fn take_away(&mut self, number: u32, wanted: bool) {
        if wanted {
            self.clean(number);
        }
        let page = &mut self.pages[number as usize];
        page.dirty = false;
        let Some(frame) = page.frame.take() else {
            return;
        };
        // In a sound record nobody takes what is held.
        if std::mem::take(&mut page.held) {
            self.held.retain(|&h| h != number);
        }
        self.frames[frame as usize] = None;
        self.policy.removed(FrameIndex(frame));
        self.free.push(frame);
    }
}
