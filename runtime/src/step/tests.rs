//! Every reachable mapping of three nodes, every event, every failure: against a model memory.

use std::collections::BTreeSet;

use super::*;

const HOST: NodeId = NodeId::HOST;
const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const NODES: [NodeId; 3] = [HOST, A, B];

/// What is physically there: bytes (a version number; zero is a zeroed page) and rights, apart from what the mapping says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Memory {
    bytes: [Option<u32>; 3],
    rights: [Rights; 3],
    reserved: bool,
    /// The version a read must see.
    truth: u32,
}

impl Memory {
    fn new() -> Self {
        Self {
            bytes: [Some(0), None, None],
            rights: [Rights::None; 3],
            reserved: false,
            truth: 0,
        }
    }

    fn apply(&mut self, action: Action) {
        let i = |n: NodeId| n.0 as usize;
        match action {
            Action::Reserve => self.reserved = true,
            Action::Revoke(to) => {
                assert_ne!(to, Rights::Write);
                self.rights[0] = self.rights[0].min(to);
            }
            Action::Home(d) => {
                assert_eq!(self.rights[0], Rights::None, "bytes change under the CPU");
                self.bytes[0] = Some(self.bytes[i(d)].expect("a copy to bring home"));
            }
            Action::Zero(d) => {
                assert_eq!(self.rights[i(d)], Rights::None);
                self.bytes[i(d)] = Some(0);
            }
            Action::Out(d) => {
                assert_ne!(
                    self.rights[0],
                    Rights::Write,
                    "torn copy: the CPU may be writing"
                );
                assert_eq!(self.rights[i(d)], Rights::None);
                self.bytes[i(d)] = Some(self.bytes[0].expect("the host has bytes"));
            }
            Action::Drop(d) => {
                self.rights[i(d)] = Rights::None;
                self.bytes[i(d)] = None;
            }
            Action::Protect(d) => self.rights[i(d)] = Rights::Read,
            Action::Enter(d, rights) => self.rights[i(d)] = rights,
            Action::Grant(rights) => self.rights[0] = rights,
        }
        let writers = self.rights.iter().filter(|&&r| r == Rights::Write).count();
        let users = self.rights.iter().filter(|&&r| r != Rights::None).count();
        assert!(
            writers == 0 || users == 1,
            "a writer beside another: {self:?}"
        );
    }

    /// The mapping tells the truth about the memory.
    fn check(&self, m: Mapping) {
        assert!(m.is_consistent(), "{m:?}");
        for n in NODES {
            let i = n.0 as usize;
            if m.valid.has(n) {
                assert_eq!(
                    self.bytes[i],
                    Some(self.truth),
                    "{m:?} {self:?}: node {i} is stale"
                );
            }
            if n == HOST {
                assert!(self.rights[i] <= m.rights(n), "{m:?} {self:?}");
            } else {
                assert_eq!(self.rights[i], m.rights(n), "{m:?} {self:?}: node {i}");
            }
        }
        if m.valid.is_empty() {
            assert_eq!(self.truth, 0, "a page lost its content");
        }
        if m.writer.is_some_and(|w| w != HOST) {
            assert!(
                self.reserved,
                "a device writes what could not be brought home"
            );
        }
    }
}

fn events() -> Vec<Event> {
    let mut all = vec![Event::Discard, Event::Hold(A)];
    for n in NODES {
        all.extend([Event::Read(n), Event::Write(n), Event::Evict(n)]);
    }
    all
}

/// All (mapping, physical rights) pairs that any sequence of events and failures leads to; the versions are normalised.
fn explore(sharing: bool, mut visit: impl FnMut(Mapping, &Memory, Event, &Step)) -> usize {
    let mut seen = BTreeSet::new();
    let mut todo = vec![(Mapping::NIL, Memory::new())];
    while let Some((m, memory)) = todo.pop() {
        let key = format!(
            "{m:?}{:?}{}{}",
            memory.rights,
            memory.reserved,
            memory.truth != 0
        );
        if !seen.insert(key) {
            continue;
        }
        for event in events() {
            let s = step(m, event, sharing);
            visit(m, &memory, event, &s);
            let actions: Vec<Action> = s.actions().collect();
            // Every failure: the page goes on as if nothing had happened.
            for fail in 0..actions.len() {
                let mut after = memory.clone();
                actions[..fail].iter().for_each(|&a| after.apply(a));
                // A copy that fails leaves anything in its destination.
                match actions[fail] {
                    Action::Home(_) => after.bytes[0] = Some(999),
                    Action::Zero(d) | Action::Out(d) => after.bytes[d.0 as usize] = Some(999),
                    _ => {}
                }
                let settled = settle(m, actions[..fail].iter().copied());
                if event != Event::Discard {
                    after.check(settled);
                    todo.push((settled, after));
                }
            }
            let mut after = memory.clone();
            actions.iter().for_each(|&a| after.apply(a));
            match event {
                Event::Write(n) => {
                    after.truth = 1 + n.0 as u32;
                    after.bytes[n.0 as usize] = Some(after.truth);
                }
                Event::Hold(_) => {
                    assert!(after.reserved && after.rights == [Rights::None; 3]);
                    after.truth = 77;
                    after.bytes[0] = Some(77);
                }
                Event::Discard => {
                    after.truth = 0;
                    after.bytes[0] = Some(0);
                    after.reserved = false;
                }
                _ => {}
            }
            after.check(s.next);
            todo.push((s.next, after));
        }
    }
    seen.len()
}

#[test]
fn every_state_event_and_failure_keeps_the_page() {
    for sharing in [false, true] {
        let states = explore(sharing, |m, _, event, s| {
            let node_rights = |n| s.next.rights(n);
            match event {
                Event::Read(n) => assert!(node_rights(n) >= Rights::Read, "{m:?} {event:?}"),
                Event::Write(n) => assert_eq!(node_rights(n), Rights::Write, "{m:?} {event:?}"),
                Event::Evict(HOST) => assert_eq!(s.next, m),
                Event::Evict(n) => assert!(!s.next.valid.has(n), "{m:?} {event:?}"),
                Event::Hold(_) => {
                    assert_eq!(s.next.valid, NodeSet::of(HOST), "{m:?}");
                    assert!(NODES.iter().all(|&n| node_rights(n) == Rights::None));
                }
                Event::Discard => assert_eq!(s.next, Mapping::NIL),
            }
            if !sharing {
                assert_ne!(
                    node_rights(HOST),
                    Rights::Read,
                    "{m:?} {event:?}: nobody can hold it read-only"
                );
            }
        });
        assert!(states > 10, "the exploration went nowhere: {states}");
    }
}

#[test]
fn actions_come_in_the_order_of_their_phases() {
    let phase = |a: Action| match a {
        Action::Reserve => 0,
        Action::Revoke(_) => 1,
        Action::Home(_) => 2,
        Action::Zero(_) | Action::Out(_) => 3,
        Action::Drop(_) | Action::Protect(_) => 4,
        Action::Enter(..) => 5,
        Action::Grant(_) => 6,
    };
    for sharing in [false, true] {
        explore(sharing, |_, _, _, s| {
            let phases: Vec<i32> = s.actions().map(phase).collect();
            assert!(phases.is_sorted(), "{s:?}");
        });
    }
}

#[test]
fn only_the_last_valid_copy_moves_on_eviction() {
    for sharing in [false, true] {
        explore(sharing, |m, _, event, s| {
            if let Event::Evict(d) = event
                && d != HOST
                && m.valid.has(d)
            {
                let moves = s.actions().any(|a| matches!(a, Action::Home(_)));
                assert_eq!(moves, m.valid == NodeSet::of(d), "{m:?}");
            }
        });
    }
}

#[test]
fn a_second_request_for_the_same_right_moves_nothing() {
    explore(true, |m, _, event, s| {
        let repeat = step(s.next, event, true);
        assert_eq!(repeat.next, s.next, "{m:?} {event:?}");
        assert!(
            repeat
                .actions()
                .all(|a| !matches!(a, Action::Home(_) | Action::Out(_) | Action::Zero(_)))
        );
    });
}
