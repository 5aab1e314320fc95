use super::random::Lots;
use super::*;
use std::collections::{BTreeMap, BTreeSet};

fn frames(numbers: &[u32]) -> Vec<FrameIndex> {
    numbers.iter().copied().map(FrameIndex).collect()
}

fn ask(policy: &mut dyn EvictionPolicy, want: usize, evictable: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut out = Vec::new();
    policy.victims(want, &|frame| evictable(frame.0), &mut out);
    out.into_iter().map(|frame| frame.0).collect()
}

fn filled(kind: PolicyKind, numbers: &[u32]) -> Box<dyn EvictionPolicy> {
    let mut policy = build(kind, 1);
    for frame in frames(numbers) {
        policy.inserted(frame, Cause::Demand);
    }
    policy
}

#[test]
fn names_choose_policies_and_nothing_else_does() {
    for kind in PolicyKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
        assert_eq!(build(kind, 0).name(), kind.name());
    }
    let error = "fifo".parse::<PolicyKind>().unwrap_err();
    assert!(error.to_string().contains("`fifo`"), "{error}");
}

#[test]
fn lru_takes_what_was_used_longest_ago() {
    let mut policy = filled(PolicyKind::Lru, &[5, 3, 9, 1]);
    policy.touched(FrameIndex(5));
    assert_eq!(ask(&mut *policy, 3, |_| true), [3, 9, 1]);
    assert_eq!(ask(&mut *policy, 2, |f| f != 9), [3, 1]);
    policy.removed(FrameIndex(3));
    assert_eq!(ask(&mut *policy, 9, |_| true), [9, 1, 5]);
}

#[test]
fn clock_spares_what_was_used_since_the_hand_last_passed() {
    let mut policy = filled(PolicyKind::Clock, &[0, 1, 2, 3]);
    assert_eq!(
        ask(&mut *policy, 1, |_| true),
        [0],
        "all are marked, so the hand goes round once"
    );
    policy.touched(FrameIndex(1));
    assert_eq!(ask(&mut *policy, 2, |_| true), [2, 3]);
    assert_eq!(
        ask(&mut *policy, 1, |_| true),
        [0],
        "it was not taken, and is cold"
    );
    assert_eq!(
        ask(&mut *policy, 1, |_| true),
        [1],
        "its mark went when the hand passed"
    );
}

#[test]
fn clock_takes_wrong_guesses_first() {
    let mut policy = filled(PolicyKind::Clock, &[0, 1]);
    policy.inserted(FrameIndex(2), Cause::Prefetch);
    assert_eq!(ask(&mut *policy, 1, |_| true), [2]);
}

#[test]
fn clock_keeps_its_hand_in_the_ring_when_its_frame_goes() {
    let mut policy = filled(PolicyKind::Clock, &[0, 1, 2]);
    assert_eq!(ask(&mut *policy, 1, |_| true), [0]);
    policy.removed(FrameIndex(1));
    assert_eq!(ask(&mut *policy, 1, |_| true), [2]);
    policy.removed(FrameIndex(0));
    policy.removed(FrameIndex(2));
    assert!(ask(&mut *policy, 1, |_| true).is_empty());
    policy.inserted(FrameIndex(7), Cause::Demand);
    assert_eq!(ask(&mut *policy, 1, |_| true), [7]);
}

#[test]
fn random_gives_every_frame_a_chance_and_repeats_itself_from_a_seed() {
    let mut first = BTreeMap::<u32, u32>::new();
    for seed in 0..4000 {
        let draw = |seed| {
            let mut policy = build(PolicyKind::Random, seed);
            for frame in frames(&[0, 1, 2, 3, 4, 5, 6, 7]) {
                policy.inserted(frame, Cause::Demand);
            }
            ask(&mut *policy, 8, |_| true)
        };
        let order = draw(seed);
        assert_eq!(order, draw(seed));
        *first.entry(order[0]).or_default() += 1;
    }
    assert!(
        first.len() == 8 && first.values().all(|n| (350..650).contains(n)),
        "{first:?}"
    );
}

#[test]
fn zeal_names_all_it_knows_and_things_that_are_not() {
    let known: Vec<u32> = (0..64).collect();
    let mut policy = filled(PolicyKind::Zeal, &known);
    let answer = ask(&mut *policy, 1, |f| f % 2 == 0);
    let named: BTreeSet<_> = answer.iter().copied().collect();
    assert!(known.iter().all(|frame| named.contains(frame)));
    assert!(named.iter().any(|&frame| frame >= 64), "bogus frames");
    assert!(named.len() < answer.len(), "duplicates");
    policy.removed(FrameIndex(9));
    assert!(!ask(&mut *policy, 1, |_| true).contains(&9));
}

/// What a policy must answer, written without any cleverness.
trait Model {
    fn inserted(&mut self, frame: u32, cause: Cause);
    fn touched(&mut self, frame: u32);
    fn removed(&mut self, frame: u32);
    /// The exact answer, or `None` when any evictable frames will do.
    fn victims(&mut self, want: usize, evictable: &dyn Fn(u32) -> bool) -> Option<Vec<u32>>;
}

#[derive(Default)]
struct NaiveLru {
    now: u64,
    used_at: BTreeMap<u32, u64>,
}

impl Model for NaiveLru {
    fn inserted(&mut self, frame: u32, _cause: Cause) {
        self.now += 1;
        self.used_at.insert(frame, self.now);
    }
    fn touched(&mut self, frame: u32) {
        self.now += 1;
        if let Some(at) = self.used_at.get_mut(&frame) {
            *at = self.now;
        }
    }
    fn removed(&mut self, frame: u32) {
        self.used_at.remove(&frame);
    }
    fn victims(&mut self, want: usize, evictable: &dyn Fn(u32) -> bool) -> Option<Vec<u32>> {
        let mut all: Vec<_> = self
            .used_at
            .iter()
            .map(|(&frame, &at)| (at, frame))
            .collect();
        all.sort_unstable();
        let may_go = all
            .into_iter()
            .map(|(_, frame)| frame)
            .filter(|&f| evictable(f));
        Some(may_go.take(want).collect())
    }
}

#[derive(Default)]
struct NaiveClock {
    ring: Vec<(u32, bool)>,
    hand: usize,
}

impl Model for NaiveClock {
    fn inserted(&mut self, frame: u32, cause: Cause) {
        let marked = cause != Cause::Prefetch;
        match self.ring.iter_mut().find(|(f, _)| *f == frame) {
            Some(entry) => entry.1 = marked,
            None => self.ring.push((frame, marked)),
        }
    }
    fn touched(&mut self, frame: u32) {
        if let Some(entry) = self.ring.iter_mut().find(|(f, _)| *f == frame) {
            entry.1 = true;
        }
    }
    fn removed(&mut self, frame: u32) {
        if let Some(at) = self.ring.iter().position(|&(f, _)| f == frame) {
            self.ring.remove(at);
            self.hand -= usize::from(at < self.hand);
            if self.hand >= self.ring.len() {
                self.hand = 0;
            }
        }
    }
    fn victims(&mut self, want: usize, evictable: &dyn Fn(u32) -> bool) -> Option<Vec<u32>> {
        let mut out = Vec::new();
        for _ in 0..2 * self.ring.len() {
            if out.len() == want {
                break;
            }
            let (frame, marked) = &mut self.ring[self.hand];
            if evictable(*frame) && !out.contains(frame) && !core::mem::take(marked) {
                out.push(*frame);
            }
            self.hand = (self.hand + 1) % self.ring.len();
        }
        Some(out)
    }
}

#[derive(Default)]
struct AnyOrder {
    known: BTreeSet<u32>,
}

impl Model for AnyOrder {
    fn inserted(&mut self, frame: u32, _cause: Cause) {
        self.known.insert(frame);
    }
    fn touched(&mut self, _frame: u32) {}
    fn removed(&mut self, frame: u32) {
        self.known.remove(&frame);
    }
    fn victims(&mut self, _want: usize, _evictable: &dyn Fn(u32) -> bool) -> Option<Vec<u32>> {
        None
    }
}

fn agree(policy: &mut dyn EvictionPolicy, model: &mut dyn Model, seed: u64) {
    let mut lots = Lots::new(seed);
    let mut known = BTreeSet::new();
    for _ in 0..3000 {
        let frame = lots.below(48) as u32;
        match lots.below(8) {
            0..=2 => {
                let cause = Cause::ALL[lots.below(6)];
                policy.inserted(FrameIndex(frame), cause);
                model.inserted(frame, cause);
                known.insert(frame);
            }
            3..=4 => {
                policy.touched(FrameIndex(frame));
                model.touched(frame);
            }
            5 => {
                policy.removed(FrameIndex(frame));
                model.removed(frame);
                known.remove(&frame);
            }
            _ => {
                let want = lots.below(12);
                let pinned = lots.draw();
                let evictable = |frame: u32| pinned & 1 << frame == 0;
                let answer = ask(policy, want, evictable);
                let may_go = known.iter().filter(|&&frame| evictable(frame)).count();
                assert_eq!(answer.len(), want.min(may_go));
                assert!(answer.iter().all(|f| known.contains(f) && evictable(*f)));
                assert_eq!(answer.iter().collect::<BTreeSet<_>>().len(), answer.len());
                if let Some(expected) = model.victims(want, &evictable) {
                    assert_eq!(answer, expected);
                }
                // Some hints are followed, some are not.
                for &frame in answer.iter().filter(|_| lots.below(2) == 0) {
                    policy.removed(FrameIndex(frame));
                    model.removed(frame);
                    known.remove(&frame);
                }
            }
        }
    }
}

#[test]
fn random_histories_agree_with_naive_models() {
    for seed in 0..8 {
        agree(&mut Lru::new(), &mut NaiveLru::default(), seed);
        agree(&mut Clock::new(), &mut NaiveClock::default(), seed);
        agree(&mut Random::new(seed), &mut AnyOrder::default(), seed);
    }
}

#[test]
fn answers_are_appended_and_frames_unknown_are_harmless() {
    for kind in PolicyKind::ALL {
        let mut policy = build(kind, 3);
        policy.touched(FrameIndex(1 << 20));
        policy.removed(FrameIndex(7));
        let mut out = frames(&[99]);
        policy.victims(4, &|_| true, &mut out);
        assert_eq!(out, frames(&[99]), "{kind} knows of no frame");
        policy.inserted(FrameIndex(2), Cause::Demand);
        policy.inserted(FrameIndex(2), Cause::Demand);
        policy.victims(4, &|_| true, &mut out);
        assert_eq!(out[0], FrameIndex(99));
        assert!(out[1..].contains(&FrameIndex(2)), "{kind}");
    }
}
