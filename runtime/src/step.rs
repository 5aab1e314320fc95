//! The coherence protocol: one pure function.
//!
//! A page is `Nil` (no valid copy: it reads as zero) or has a set of nodes with valid copies, of which at most one
//! may write: MSI at page granularity. [`step`] takes a mapping and what a node wants and answers with the next
//! mapping and the actions that make it true, in an order that never loses the only copy:
//!
//! ```text
//! Reserve  host memory that the page could one day be brought back to
//! Revoke   what the CPU may do, so that the bytes stand still
//! Home     a device's copy to the host            (reads the device, writes the host's bytes)
//! Zero|Out a new copy on a device                 (writes a frame nobody can reach yet)
//! Drop     copies that are now stale or not wanted, Protect: a device may no longer write
//! Enter    the translation of the new copy        (from here on the device may reach it)
//! Grant    what the CPU may do
//! ```
//!
//! When an action fails, those before it have destroyed nothing that the old mapping needs: the page goes on with
//! [`settle`], which is the old mapping less the redundant copies already dropped. GMEM's defect of losing a page when
//! `peer_map` fails is therefore impossible by construction; the tests below go through every state, event and failure.
//!
//! A device's translation exists exactly while its copy is valid and is writable exactly while it is the writer.
//! The CPU's user mapping may lag behind (`host_mapped`): a touch then faults and only grants again.

use gmem_hal::{NodeId, Rights};

use crate::nodes::NodeSet;

/// The logical page table's entry for one page: which nodes hold valid copies, with which rights.
#[doc(alias = "gm_mapping")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Mapping {
    /// Nodes whose copy is the page's content. Empty: never touched, reads as zero.
    pub valid: NodeSet,
    /// The node that may write; it is then the only valid one.
    pub writer: Option<NodeId>,
    /// Whether the CPU may read without a fault.
    pub host_mapped: bool,
}

impl Mapping {
    /// A page that was never touched.
    pub const NIL: Self = Self {
        valid: NodeSet::EMPTY,
        writer: None,
        host_mapped: false,
    };

    /// What a node may do now.
    #[must_use]
    pub fn rights(&self, node: NodeId) -> Rights {
        let readable = if node == NodeId::HOST {
            self.host_mapped
        } else {
            self.valid.has(node)
        };
        match (self.writer == Some(node), readable) {
            (true, _) => Rights::Write,
            (false, true) => Rights::Read,
            (false, false) => Rights::None,
        }
    }

    /// Whether the invariants hold that every reader of a mapping relies on.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let alone = self.writer.is_none_or(|w| self.valid == NodeSet::of(w));
        let mapped = !self.host_mapped || self.valid.has(NodeId::HOST);
        let host_writes = self.writer != Some(NodeId::HOST) || self.host_mapped;
        alone && mapped && host_writes
    }
}

/// What a node wants of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// To load from it.
    Read(NodeId),
    /// To store to it.
    Write(NodeId),
    /// A device gives up its copy (eviction).
    Evict(NodeId),
    /// A device will work on the host's bytes, which nobody else may use meanwhile: they are the only copy, and the CPU has no rights.
    Hold(NodeId),
    /// The content is not needed any more: the page becomes `Nil`.
    Discard,
}

/// One thing to do; in the order of the phases of the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Make sure that the host has memory behind the page.
    Reserve,
    /// Take rights from the CPU.
    Revoke(Rights),
    /// Copy a device's frame to the host's bytes.
    Home(NodeId),
    /// Fill a new frame of a device with zeroes.
    Zero(NodeId),
    /// Copy the host's bytes to a new frame of a device.
    Out(NodeId),
    /// Take a device's translation away and retire its frame.
    Drop(NodeId),
    /// Take a device's right to write away.
    Protect(NodeId),
    /// Give a device a translation (or the right to write).
    Enter(NodeId, Rights),
    /// Give the CPU rights.
    Grant(Rights),
}

/// At most this many actions answer an event.
pub const MAX_ACTIONS: usize = 6 + NodeId::MAX;

/// The answer to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The mapping once all actions have succeeded.
    pub next: Mapping,
    actions: [Option<Action>; MAX_ACTIONS],
    len: usize,
}

impl Step {
    fn new(next: Mapping) -> Self {
        Self {
            next,
            actions: [None; MAX_ACTIONS],
            len: 0,
        }
    }

    fn push(&mut self, action: Action) {
        self.actions[self.len] = Some(action);
        self.len += 1;
    }

    /// What to do, in order.
    pub fn actions(&self) -> impl Iterator<Item = Action> + '_ {
        self.actions[..self.len].iter().flatten().copied()
    }
}

/// The protocol. `sharing` says whether the CPU can hold a page for reading only; without it a CPU read takes the page
/// for itself, as a write would.
#[must_use]
pub fn step(m: Mapping, event: Event, sharing: bool) -> Step {
    match event {
        Event::Read(NodeId::HOST) if sharing => host_read(m),
        Event::Read(NodeId::HOST) | Event::Write(NodeId::HOST) => host_write(m),
        Event::Read(d) => device_read(m, d, sharing),
        Event::Write(d) => device_write(m, d),
        Event::Evict(NodeId::HOST) => Step::new(m),
        Event::Evict(d) => evict(m, d),
        Event::Hold(_) => hold(m),
        Event::Discard => discard(m),
    }
}

/// The mapping of a page whose step failed after `done` of its actions had succeeded: as before, less the redundant
/// copies already dropped; a copy brought home counts from the moment its device may no longer write.
#[must_use]
pub fn settle(before: Mapping, done: impl Iterator<Item = Action>) -> Mapping {
    let mut m = before;
    let mut home = false;
    for action in done {
        match action {
            Action::Home(_) => home = true,
            Action::Drop(d) => {
                m.valid = m.valid.without(d);
                m.writer = m.writer.filter(|&w| w != d);
            }
            Action::Protect(d) => m.writer = m.writer.filter(|&w| w != d),
            _ => {}
        }
    }
    if home && m.writer.is_none() {
        m.valid = m.valid.with(NodeId::HOST);
    }
    m
}

fn devices(set: NodeSet) -> impl Iterator<Item = NodeId> {
    set.iter().filter(|&n| n != NodeId::HOST)
}

/// Brings a copy to the host's bytes if it has none, from the lowest device that has one.
fn fetch_home(s: &mut Step, m: Mapping) {
    if !m.valid.is_empty() && !m.valid.has(NodeId::HOST) {
        s.push(Action::Home(
            m.valid
                .iter()
                .next()
                .expect("a touched page has a valid copy"),
        ));
    }
}

fn host_read(m: Mapping) -> Step {
    if m.rights(NodeId::HOST) >= Rights::Read {
        // The user mapping may lag behind the mapping: grant what is already ours.
        let mut s = Step::new(m);
        s.push(Action::Grant(m.rights(NodeId::HOST)));
        return s;
    }
    let others = m.valid.without(NodeId::HOST);
    if others.is_empty() {
        // Nobody else has it: being the writer at once saves the fault of a first store.
        return host_write(m);
    }
    let mut s = Step::new(Mapping {
        valid: m.valid.with(NodeId::HOST),
        writer: None,
        host_mapped: true,
    });
    fetch_home(&mut s, m);
    if let Some(w) = m.writer {
        s.push(Action::Protect(w));
    }
    s.push(Action::Grant(Rights::Read));
    s
}

fn host_write(m: Mapping) -> Step {
    let mut s = Step::new(Mapping {
        valid: NodeSet::of(NodeId::HOST),
        writer: Some(NodeId::HOST),
        host_mapped: true,
    });
    fetch_home(&mut s, m);
    for d in devices(m.valid) {
        s.push(Action::Drop(d));
    }
    s.push(Action::Grant(Rights::Write));
    s
}

fn device_read(m: Mapping, d: NodeId, sharing: bool) -> Step {
    if m.valid.has(d) {
        return Step::new(m);
    }
    // A page that was never touched is valid on the host: a hole there reads as zero.
    let mut s = Step::new(Mapping {
        valid: m.valid.with(NodeId::HOST).with(d),
        writer: None,
        host_mapped: m.host_mapped && sharing,
    });
    if m.host_mapped {
        s.push(Action::Revoke(if sharing {
            Rights::Read
        } else {
            Rights::None
        }));
    }
    fetch_home(&mut s, m);
    s.push(if m.valid.is_empty() {
        Action::Zero(d)
    } else {
        Action::Out(d)
    });
    if let Some(w) = m.writer.filter(|&w| w != NodeId::HOST) {
        s.push(Action::Protect(w));
    }
    s.push(Action::Enter(d, Rights::Read));
    s
}

fn device_write(m: Mapping, d: NodeId) -> Step {
    if m.writer == Some(d) {
        return Step::new(m);
    }
    let mut s = Step::new(Mapping {
        valid: NodeSet::of(d),
        writer: Some(d),
        host_mapped: false,
    });
    s.push(Action::Reserve);
    if m.host_mapped {
        s.push(Action::Revoke(Rights::None));
    }
    if !m.valid.has(d) {
        fetch_home(&mut s, m);
        s.push(if m.valid.is_empty() {
            Action::Zero(d)
        } else {
            Action::Out(d)
        });
    }
    for other in devices(m.valid.without(d)) {
        s.push(Action::Drop(other));
    }
    s.push(Action::Enter(d, Rights::Write));
    s
}

fn evict(m: Mapping, d: NodeId) -> Step {
    if !m.valid.has(d) {
        return Step::new(m);
    }
    let alone = m.valid == NodeSet::of(d);
    let mut s = Step::new(Mapping {
        valid: if alone {
            NodeSet::of(NodeId::HOST)
        } else {
            m.valid.without(d)
        },
        writer: m.writer.filter(|&w| w != d),
        ..m
    });
    if alone {
        s.push(Action::Home(d));
    }
    s.push(Action::Drop(d));
    s
}

fn hold(m: Mapping) -> Step {
    let mut s = Step::new(Mapping {
        valid: NodeSet::of(NodeId::HOST),
        writer: None,
        host_mapped: false,
    });
    // They will be written.
    s.push(Action::Reserve);
    if m.host_mapped {
        s.push(Action::Revoke(Rights::None));
    }
    fetch_home(&mut s, m);
    for d in devices(m.valid) {
        s.push(Action::Drop(d));
    }
    s
}

fn discard(m: Mapping) -> Step {
    let mut s = Step::new(Mapping::NIL);
    if m.host_mapped {
        s.push(Action::Revoke(Rights::None));
    }
    for d in devices(m.valid) {
        s.push(Action::Drop(d));
    }
    s
}

#[cfg(test)]
mod tests;
