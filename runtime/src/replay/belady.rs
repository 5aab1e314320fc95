//! Belady's optimum over the passes: the page whose next use is farthest leaves, a clean one among equals.

use std::collections::BTreeSet;

use gmem_hal::Access;

use super::Moved;
use super::accesses::{Accesses, Step, Uses};

/// No use comes before the copy is taken away, or at all.
const NEVER: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, Default)]
struct Page {
    resident: bool,
    dirty: bool,
    known: bool,
    /// The step of its next use, as of now.
    next: u32,
}

impl Page {
    /// Where it stands among victims: the last goes first.
    const fn rank(self, number: u32) -> (u32, bool, u32) {
        (self.next, !self.dirty, number)
    }
}

fn each(uses: &Uses) -> impl DoubleEndedIterator<Item = (u32, Access)> + '_ {
    uses.iter()
        .flat_map(|(pages, access)| pages.clone().map(move |p| (p, *access)))
}

/// For every page of every pass, last to first, the step of the use after it.
fn next_uses(accesses: &Accesses) -> Vec<u32> {
    let mut next = vec![NEVER; accesses.pages()];
    let mut uses_backwards = Vec::new();
    for (at, step) in accesses.steps.iter().enumerate().rev() {
        match step {
            Step::Pass { uses } => {
                for (page, _) in each(uses).rev() {
                    uses_backwards.push(std::mem::replace(&mut next[page as usize], at as u32));
                }
            }
            // Whoever keeps a copy until then has nothing of it.
            Step::Discard { uses } | Step::GiveUp { uses } => {
                each(uses).for_each(|(page, _)| next[page as usize] = NEVER);
            }
            Step::Other { uses } => each(uses)
                .filter(|u| u.1 == Access::Write)
                .for_each(|(page, _)| next[page as usize] = NEVER),
            Step::Claim { .. } | Step::Release { .. } => {}
        }
    }
    uses_backwards
}

struct Optimum {
    pages: Vec<Page>,
    /// Resident pages that no pass holds, by when they are needed next.
    victims: BTreeSet<(u32, bool, u32)>,
    moved: Moved,
}

/// Replays accesses of which every pass fits.
pub(super) fn run(accesses: &Accesses, frames: u32) -> Moved {
    let mut coming = next_uses(accesses);
    let mut optimum = Optimum {
        pages: vec![Page::default(); accesses.pages()],
        victims: BTreeSet::new(),
        moved: Moved::default(),
    };
    for step in &accesses.steps {
        match step {
            Step::Pass { uses } => optimum.pass(uses, frames as usize, &mut coming),
            Step::Other { uses } => {
                for (page, access) in each(uses) {
                    optimum.away(page, true, access == Access::Read);
                    optimum.pages[page as usize].known = true;
                }
            }
            Step::Discard { uses } => {
                for (page, _) in each(uses) {
                    optimum.away(page, false, false);
                    optimum.pages[page as usize].known = false;
                }
            }
            Step::GiveUp { uses } => {
                each(uses).for_each(|(page, _)| optimum.away(page, true, false));
            }
            Step::Claim { .. } | Step::Release { .. } => {}
        }
    }
    optimum.moved
}

impl Optimum {
    fn pass(&mut self, uses: &Uses, frames: usize, coming: &mut Vec<u32>) {
        let mut needed = 0;
        for (number, _) in each(uses) {
            let page = self.pages[number as usize];
            self.victims.remove(&page.rank(number));
            needed += 1;
        }
        // What is left are the resident pages that this pass does not use.
        while self.victims.len() + needed > frames {
            let Some((_, _, victim)) = self.victims.pop_last() else {
                break;
            };
            let page = &mut self.pages[victim as usize];
            page.resident = false;
            self.moved.homed += u64::from(std::mem::take(&mut page.dirty));
            self.moved.evicted += 1;
        }
        for (number, access) in each(uses) {
            let page = &mut self.pages[number as usize];
            if !page.resident {
                if page.known {
                    self.moved.fetched += 1;
                } else {
                    self.moved.zeroed += 1;
                }
            }
            page.resident = true;
            page.known = true;
            page.dirty |= access == Access::Write;
            page.next = coming.pop().unwrap_or(NEVER);
            self.victims.insert(page.rank(number));
        }
    }

    /// Somebody else takes a page, or shares it if it `stays`; its content goes home if it is `wanted`.
    fn away(&mut self, number: u32, wanted: bool, stays: bool) {
        let page = &mut self.pages[number as usize];
        if !page.resident {
            return;
        }
        self.victims.remove(&page.rank(number));
        self.moved.homed += u64::from(std::mem::take(&mut page.dirty) && wanted);
        page.resident = stays;
        if stays {
            self.victims.insert(page.rank(number));
        }
    }
}
