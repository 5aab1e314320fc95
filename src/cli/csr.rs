//! Graphs by their incoming edges, in compressed sparse rows: what a pull-style kernel reads.
//!
//! Row `v` lists where the edges into `v` come from, in ascending order; an edge that is there twice counts twice.

/// A graph by its incoming edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    /// Where each row begins in `sources`, and one more: the end of the last.
    pub row_ptr: Vec<u32>,
    /// Where each edge comes from, row after row.
    pub sources: Vec<u32>,
    /// How many edges leave each node.
    pub out_degree: Vec<u32>,
}

/// Why edges do not make a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// There is nothing in it.
    #[error("the graph has no nodes")]
    NoNodes,
    /// More nodes than 32 bits can name.
    #[error("the graph has {0} nodes: at most 4294967294 can be numbered")]
    Nodes(u64),
    /// More edges than 32 bits can count.
    #[error("the graph has {0} edges: at most 4294967295 can be counted")]
    Edges(u64),
    /// An edge leads to, or comes from, a node that is not there.
    #[error("an edge leads from node {from} to node {to}, and there {}, from 0", match .nodes {
        1 => "is 1 node".to_owned(),
        nodes => format!("are {nodes} nodes"),
    })]
    OutOfRange {
        /// Where from.
        from: u64,
        /// Where to.
        to: u64,
        /// Nodes that there are.
        nodes: u64,
    },
}

impl Csr {
    /// A graph of `nodes` nodes, from its edges as `(from, to)`. `edges` is asked for twice, for the same edges.
    ///
    /// # Errors
    /// When there are too many nodes or edges, or one leads nowhere.
    pub fn from_edges<I>(nodes: u64, edges: impl Fn() -> I) -> Result<Self, CsrError>
    where
        I: Iterator<Item = (u64, u64)>,
    {
        if nodes == 0 {
            return Err(CsrError::NoNodes);
        }
        if nodes >= u64::from(u32::MAX) {
            return Err(CsrError::Nodes(nodes));
        }
        let n = nodes as usize;
        let mut counts = vec![0_u64; n];
        let mut out_degree = vec![0_u32; n];
        let mut total = 0_u64;
        for (from, to) in edges() {
            if from >= nodes || to >= nodes {
                return Err(CsrError::OutOfRange { from, to, nodes });
            }
            counts[to as usize] += 1;
            total += 1;
            // No node has more than all edges, and too many of those are refused below.
            out_degree[from as usize] = out_degree[from as usize].saturating_add(1);
        }
        if total > u64::from(u32::MAX) {
            return Err(CsrError::Edges(total));
        }
        let mut row_ptr = Vec::with_capacity(n + 1);
        let mut end = 0_u32;
        row_ptr.push(0);
        for count in &counts {
            end += *count as u32;
            row_ptr.push(end);
        }
        drop(counts);
        let mut next = row_ptr.clone();
        let mut sources = vec![0_u32; total as usize];
        for (from, to) in edges() {
            let at = &mut next[to as usize];
            sources[*at as usize] = from as u32;
            *at += 1;
        }
        for row in row_ptr.windows(2) {
            sources[row[0] as usize..row[1] as usize].sort_unstable();
        }
        Ok(Self {
            row_ptr,
            sources,
            out_degree,
        })
    }

    /// How many nodes.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.out_degree.len()
    }

    /// How many edges.
    #[must_use]
    pub fn edges(&self) -> usize {
        self.sources.len()
    }

    /// Edges into the node that has most of them.
    #[must_use]
    pub fn longest_row(&self) -> usize {
        let rows = self.row_ptr.windows(2).map(|row| row[1] - row[0]);
        rows.max().unwrap_or(0) as usize
    }

    /// Where the edges into a node come from.
    #[must_use]
    pub fn row(&self, node: usize) -> &[u32] {
        &self.sources[self.row_ptr[node] as usize..self.row_ptr[node + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_become_rows_of_their_sources() {
        let edges = [(2, 0), (1, 0), (0, 1), (2, 1), (2, 2), (2, 0)];
        let csr = Csr::from_edges(4, || edges.into_iter()).unwrap();
        assert_eq!(csr.row_ptr, [0, 3, 5, 6, 6]);
        assert_eq!(
            (csr.row(0), csr.row(1), csr.row(2), csr.row(3)),
            (&[1, 2, 2][..], &[0, 2][..], &[2][..], &[][..])
        );
        assert_eq!(csr.out_degree, [1, 1, 4, 0]);
        assert_eq!((csr.nodes(), csr.edges()), (4, 6));
    }

    #[test]
    fn what_is_no_graph_is_refused() {
        assert_eq!(Csr::from_edges(0, std::iter::empty), Err(CsrError::NoNodes));
        assert_eq!(
            Csr::from_edges(1 << 32, std::iter::empty),
            Err(CsrError::Nodes(1 << 32))
        );
        for edge in [(0, 3), (3, 0)] {
            let result = Csr::from_edges(3, || [edge].into_iter());
            assert!(matches!(result, Err(CsrError::OutOfRange { nodes: 3, .. })));
        }
    }
}
