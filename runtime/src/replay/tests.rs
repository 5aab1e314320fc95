//! Belady against every possible choice, policies against sequences worked out by hand.

use std::collections::HashSet;

use gmem_hal::trace::{AttachFacts, Direction, Event, PageRun, Recording, What};
use gmem_hal::{Access, Cause, NodeId};

use super::accesses::normalized;
use super::*;

const NODE: NodeId = NodeId(1);

/// Builds records by hand.
#[derive(Default)]
struct Story(Recording);

impl Story {
    fn new() -> Self {
        let mut story = Self::default();
        story.attach(1, NODE, 100);
        story
    }

    fn event(&mut self, space: u32, what: What) {
        let at = self.0.events.len() as u64;
        self.0.events.push(Event {
            start: at,
            end: at,
            track: 0,
            space,
            what,
        });
    }

    fn attach(&mut self, space: u32, node: NodeId, frames: u32) {
        let facts = AttachFacts {
            name: "a device".to_owned(),
            backend: "sim".to_owned(),
            policy: "lru".to_owned(),
            frames,
            page_bytes: 4096,
            window_frames: 64,
            window_overhead: 256,
        };
        let facts = Box::new(facts);
        self.event(space, What::Attach { node, facts });
    }

    fn claim(&mut self, node: NodeId, cause: Cause, uses: &[(u64, Access)]) {
        let uses = PageRun::of(uses);
        self.event(1, What::Claim { node, cause, uses });
    }

    /// A pass as the runtime records it: claimed, run, let go.
    fn pass(&mut self, uses: &[(u64, Access)]) {
        self.claim(NODE, Cause::Demand, uses);
        let uses = PageRun::of(uses);
        let pass = What::Pass {
            node: NODE,
            kernel: "k".into(),
            workgroups: 1,
            uses,
        };
        self.event(1, pass);
        self.release(true);
    }

    fn release(&mut self, used: bool) {
        self.event(1, What::Release { node: NODE, used });
    }

    fn reads(&mut self, pages: &[u64]) {
        let uses: Vec<_> = pages.iter().map(|&p| (p, Access::Read)).collect();
        self.pass(&uses);
    }

    fn writes(&mut self, pages: &[u64]) {
        let uses: Vec<_> = pages.iter().map(|&p| (p, Access::Write)).collect();
        self.pass(&uses);
    }

    fn cpu(&mut self, pages: std::ops::Range<u64>, access: Access) {
        let mut uses = Vec::new();
        PageRun::push(&mut uses, pages, access);
        let cause = Cause::Demand;
        self.event(1, What::HostAccess { cause, uses });
    }

    fn discard(&mut self, pages: std::ops::Range<u64>) {
        let mut runs = Vec::new();
        PageRun::push(&mut runs, pages, Access::Write);
        self.event(1, What::Discard { pages: runs });
    }

    fn give_up(&mut self, pages: std::ops::Range<u64>) {
        let mut runs = Vec::new();
        PageRun::push(&mut runs, pages, Access::Write);
        let node = NODE;
        self.event(1, What::GiveUp { node, pages: runs });
    }

    fn accesses(&self) -> Accesses {
        accesses(&self.0).unwrap().remove(0)
    }

    fn moved(&self, frames: u64, strategy: Strategy) -> Moved {
        replay(&self.accesses(), frames, strategy, 0).unwrap()
    }

    fn lru(&self, frames: u64) -> Moved {
        self.moved(frames, Strategy::Policy(PolicyKind::Lru))
    }

    fn belady(&self, frames: u64) -> Moved {
        self.moved(frames, Strategy::Belady)
    }
}

fn moved(fetched: u64, homed: u64, zeroed: u64, evicted: u64) -> Moved {
    Moved {
        fetched,
        homed,
        zeroed,
        evicted,
    }
}

#[test]
fn a_cycle_longer_than_the_memory_is_the_worst_of_lru_and_not_of_the_optimum() {
    let mut story = Story::new();
    story.cpu(0..4, Access::Write);
    for _ in 0..3 {
        (0..4).for_each(|page| story.reads(&[page]));
    }
    assert_eq!(story.lru(3), moved(12, 0, 0, 9));
    // 0 1 2 | 3 for 2 | 0 1 stay | 2 for 1 | 3 0 stay | 1 for 0 | 2 3 stay.
    assert_eq!(story.belady(3), moved(6, 0, 0, 3));
    for strategy in Strategy::ALL {
        assert_eq!(story.moved(4, strategy), moved(4, 0, 0, 0), "{strategy:?}");
    }
}

#[test]
fn untouched_pages_are_zeroed_clean_ones_leave_for_nothing_and_dirty_ones_go_home() {
    let mut story = Story::new();
    story.writes(&[0]);
    story.reads(&[1]);
    story.reads(&[2]);
    story.reads(&[0]);
    for replayed in [story.lru(1), story.belady(1)] {
        assert_eq!(
            replayed,
            moved(1, 1, 3, 3),
            "only page 0 had content to move"
        );
    }
    assert_eq!(story.lru(2), moved(1, 1, 3, 2));
    assert_eq!(
        story.belady(2),
        moved(0, 0, 3, 1),
        "page 1 is never used again"
    );
}

#[test]
fn what_others_do_counts_for_every_strategy() {
    let mut story = Story::new();
    story.writes(&[0, 1, 2, 3]);
    // A load brings dirty pages home and leaves them; a store takes them away.
    story.cpu(0..2, Access::Read);
    story.cpu(0..1, Access::Read);
    story.cpu(2..3, Access::Write);
    story.discard(3..4);
    story.reads(&[0, 1, 2, 3]);
    story.writes(&[0]);
    story.give_up(0..2);
    story.reads(&[0, 1]);
    for strategy in Strategy::ALL {
        // Home: 0, 1, 2, then 0 again. Zeroed: four, then page 3 again. Fetched: 2, then 0 and 1.
        assert_eq!(story.moved(4, strategy), moved(3, 4, 5, 0), "{strategy:?}");
    }
}

#[test]
fn the_optimum_keeps_nothing_that_will_be_taken_away() {
    let mut story = Story::new();
    story.cpu(0..3, Access::Write);
    story.reads(&[0, 1]);
    story.reads(&[2]);
    // Page 0 would be next, but the CPU writes it before.
    story.cpu(0..1, Access::Write);
    story.reads(&[0]);
    story.reads(&[1]);
    assert_eq!(story.belady(2), moved(4, 0, 0, 2));
}

#[test]
fn among_equals_a_clean_page_leaves() {
    for dirty in 0..3 {
        let mut story = Story::new();
        story.cpu(0..4, Access::Write);
        let uses: Vec<_> = (0..3)
            .map(|p| {
                (
                    p,
                    if p == dirty {
                        Access::Write
                    } else {
                        Access::Read
                    },
                )
            })
            .collect();
        story.pass(&uses);
        story.reads(&[3]);
        assert_eq!(story.belady(3), moved(4, 0, 0, 1));
    }
}

#[test]
fn another_device_is_to_this_one_what_the_cpu_is() {
    let mut story = Story::new();
    story.attach(1, NodeId(2), 100);
    story.attach(2, NODE, 100);
    story.writes(&[0, 1]);
    story.claim(NodeId(2), Cause::Demand, &[(0, Access::Read)]);
    story.claim(NodeId(2), Cause::Demand, &[(1, Access::Write)]);
    story.reads(&[0, 1]);
    let all = accesses(&story.0).unwrap();
    let facts: Vec<_> = all
        .iter()
        .map(|a| (a.device().space, a.device().node))
        .collect();
    assert_eq!(facts, [(1, NODE), (1, NodeId(2)), (2, NODE)]);
    let replayed = replay(&all[0], 2, Strategy::Policy(PolicyKind::Lru), 0).unwrap();
    assert_eq!(replayed, moved(1, 2, 2, 0));
    assert_eq!(
        (all[2].pages(), all[2].passes()),
        (0, 0),
        "other spaces are apart"
    );
}

#[test]
fn what_is_claimed_ahead_is_the_policies_to_pay_and_not_the_optimums() {
    let mut story = Story::new();
    story.cpu(0..4, Access::Write);
    let ahead: Vec<_> = (0..4).map(|p| (p, Access::Read)).collect();
    story.claim(NODE, Cause::Prefetch, &ahead);
    story.release(false);
    // A probe's group: claimed in two steps, of which the pass needs the second.
    story.claim(NODE, Cause::Demand, &ahead[..2]);
    story.claim(NODE, Cause::Demand, &ahead[2..3]);
    story.event(
        1,
        What::Pass {
            node: NODE,
            kernel: "k".into(),
            workgroups: 1,
            uses: PageRun::of(&ahead[2..3]),
        },
    );
    story.release(true);
    assert_eq!(story.belady(4), moved(1, 0, 0, 0));
    assert_eq!(story.lru(4), moved(4, 0, 0, 0));
    // Three frames: the prefetch brings 0 to 2, and no claim misses. Two: 0 and 1, which then have to go for 2.
    assert_eq!(story.lru(3), moved(3, 0, 0, 0));
    assert_eq!(story.lru(2), moved(3, 0, 0, 1));
    assert_eq!(
        story.lru(1),
        moved(2, 0, 0, 1),
        "the group is more than there is"
    );
}

#[test]
fn a_pass_that_does_not_fit_is_an_error_that_says_what_would() {
    let mut story = Story::new();
    story.reads(&[1]);
    story.reads(&[1, 2, 9]);
    for strategy in Strategy::ALL {
        let error = replay(&story.accesses(), 2, strategy, 0).unwrap_err();
        assert_eq!(
            error,
            ReplayError::TooLarge {
                pass: 2,
                pages: 3,
                frames: 2,
                needed_bytes: 3 * 4096 + 256
            }
        );
    }
}

#[test]
fn records_that_cannot_be_replayed_are_refused() {
    let mut story = Story::new();
    story.0.dropped = 3;
    assert_eq!(
        accesses(&story.0),
        Err(ReplayError::Incomplete { dropped: 3 })
    );
    assert_eq!(accesses(&Recording::default()), Err(ReplayError::NoDevice));
    let mut story = Story::new();
    let mut uses = Vec::new();
    PageRun::push(&mut uses, 0..1 << 40, Access::Read);
    let cause = Cause::Demand;
    let node = NODE;
    story.event(1, What::Claim { node, cause, uses });
    assert!(matches!(
        accesses(&story.0),
        Err(ReplayError::Damaged { .. })
    ));
}

#[test]
fn what_was_recorded_is_summed_up_by_device() {
    let mut story = Story::new();
    let copy = |node, direction, pages: u64| What::Copy {
        node,
        direction,
        moved: vec![(Cause::Demand, pages * 4096), (Cause::Prefetch, 4096)],
        runs: 1,
    };
    story.event(1, copy(NODE, Direction::ToDevice, 2));
    story.event(1, copy(NODE, Direction::Home, 5));
    story.event(1, copy(NodeId(2), Direction::Home, 7));
    story.event(2, copy(NODE, Direction::Home, 7));
    let (node, pages) = (NODE, 8);
    story.event(1, What::Zero { node, pages });
    story.event(1, What::Evict { node, pages: 9 });
    assert_eq!(story.accesses().recorded(), moved(3, 6, 8, 9));
}

#[test]
fn frames_and_bytes_agree_about_guards() {
    let facts = Story::new().accesses().device().clone();
    for frames in [0, 1, 63, 64, 65, 128, 1000] {
        let bytes = facts.bytes_for(frames);
        assert_eq!(facts.frames_in(bytes), frames);
        assert!(frames == 0 || facts.frames_in(bytes - 1) < frames);
    }
}

#[test]
fn ratios_of_nothing() {
    let (none, some) = (moved(0, 0, 0, 0), moved(6, 2, 0, 0));
    assert_eq!(none.fetched_ratio(&none), Some(1.0));
    assert_eq!(some.fetched_ratio(&none), None);
    assert_eq!(some.fetched_ratio(&moved(4, 0, 0, 0)), Some(1.5));
    assert_eq!(some.moved_ratio(&moved(4, 0, 0, 0)), Some(2.0));
}

#[test]
fn runs_in_any_order_become_disjoint_with_the_stronger_access() {
    use Access::{Read, Write};
    let run = |first, count, access| PageRun {
        first,
        count,
        access,
    };
    let runs = [
        run(10, 5, Read),
        run(0, 4, Read),
        run(2, 1, Write),
        run(12, 9, Write),
        run(4, 2, Read),
        run(30, 0, Write),
    ];
    assert_eq!(
        normalized(&runs),
        [
            (0..2, Read),
            (2..3, Write),
            (3..6, Read),
            (10..12, Read),
            (12..21, Write)
        ]
    );
}

/// splitmix64.
fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % below
}

/// What one device may meet, over at most eight pages as bits.
#[derive(Clone, Copy, Debug)]
enum Met {
    Pass(u8),
    Shared(u8),
    Lost(u8),
    Forgotten(u8),
}

/// The fewest fetches of all: every set of pages that could be on the device after every step is tried.
fn fewest_fetches(story: &[Met], frames: u32) -> u64 {
    use std::collections::HashMap;
    // Pages with content; it does not depend on who evicts what.
    let mut known = 0xff_u8;
    let mut states: HashMap<u8, u64> = HashMap::from([(0, 0)]);
    for met in story {
        let mut next: HashMap<u8, u64> = HashMap::new();
        for (&resident, &fetched) in &states {
            let mut reach = |to: u8, fetched: u64| {
                let best = next.entry(to).or_insert(u64::MAX);
                *best = fetched.min(*best);
            };
            match *met {
                Met::Shared(_) => reach(resident, fetched),
                Met::Lost(pages) | Met::Forgotten(pages) => reach(resident & !pages, fetched),
                Met::Pass(pages) => {
                    let more = u64::from((pages & !resident & known).count_ones());
                    let others = resident & !pages;
                    // Any of the others may stay, as far as there is room.
                    let mut keep = others;
                    loop {
                        if (keep | pages).count_ones() <= frames {
                            reach(keep | pages, fetched + more);
                        }
                        if keep == 0 {
                            break;
                        }
                        keep = (keep - 1) & others;
                    }
                }
            }
        }
        match *met {
            Met::Pass(pages) | Met::Lost(pages) | Met::Shared(pages) => known |= pages,
            Met::Forgotten(pages) => known &= !pages,
        }
        states = next;
    }
    states.into_values().min().unwrap()
}

#[test]
fn no_choice_of_victims_fetches_less_than_beladys() {
    let mut better = HashSet::new();
    for seed in 0..400 {
        let state = &mut (seed << 20);
        let pages = 3 + draw(state, 5);
        let frames = 1 + draw(state, pages.min(5)) as u32;
        let mut story = Story::new();
        story.cpu(0..8, Access::Write);
        let mut met = Vec::new();
        for _ in 0..14 {
            let mut some = 0_u8;
            let most = 1 + draw(state, u64::from(frames));
            (0..most).for_each(|_| some |= 1 << draw(state, pages));
            let bits: Vec<u64> = (0..8).filter(|&p| some & 1 << p != 0).collect();
            let one = bits[0]..bits[0] + 1;
            match draw(state, 10) {
                0 => {
                    story.cpu(one, Access::Write);
                    met.push(Met::Lost(1 << bits[0]));
                }
                1 => {
                    story.discard(one);
                    met.push(Met::Forgotten(1 << bits[0]));
                }
                2 => {
                    story.cpu(one, Access::Read);
                    met.push(Met::Shared(1 << bits[0]));
                }
                kind => {
                    if kind % 2 == 0 {
                        story.reads(&bits);
                    } else {
                        story.writes(&bits);
                    }
                    met.push(Met::Pass(some));
                }
            }
        }
        let best = story.belady(u64::from(frames)).fetched;
        assert_eq!(best, fewest_fetches(&met, frames), "seed {seed}: {met:?}");
        for kind in PolicyKind::ALL {
            let policy = Strategy::Policy(kind);
            let online = replay(&story.accesses(), u64::from(frames), policy, seed).unwrap();
            assert!(online.fetched >= best, "seed {seed}, {kind}");
            if online.fetched > best {
                better.insert(kind.name());
            }
        }
    }
    assert_eq!(
        better.len(),
        4,
        "it is a bound that others miss: {better:?}"
    );
}
