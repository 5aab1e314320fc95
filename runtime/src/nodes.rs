//! Sets of nodes, one bit each.

use gmem_hal::NodeId;

/// A set of at most [`NodeId::MAX`] nodes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NodeSet(u8);

impl NodeSet {
    /// No node.
    pub const EMPTY: Self = Self(0);

    /// One node.
    #[must_use]
    pub const fn of(node: NodeId) -> Self {
        Self(1 << node.0)
    }

    /// Whether a node is in the set.
    #[must_use]
    pub const fn has(self, node: NodeId) -> bool {
        self.0 & (1 << node.0) != 0
    }

    /// The set with a node in it.
    #[must_use]
    pub const fn with(self, node: NodeId) -> Self {
        Self(self.0 | (1 << node.0))
    }

    /// The set without a node.
    #[must_use]
    pub const fn without(self, node: NodeId) -> Self {
        Self(self.0 & !(1 << node.0))
    }

    /// Whether there is no node in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many nodes are in it.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The nodes, lowest first.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        (0..NodeId::MAX as u8)
            .map(NodeId)
            .filter(move |&n| self.has(n))
    }
}

impl core::fmt::Debug for NodeSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.iter().map(|n| n.0)).finish()
    }
}
