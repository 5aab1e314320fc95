//! Random graphs with the skew of real ones: RMAT, with Graph500's parameters.
//!
//! Every edge is a function of the seed and its number alone, so a list of edges is never held.

use super::csr::{Csr, CsrError};
use super::seeded::Seeded;

/// Chances of the four quadrants, in 65536ths: a = 0.57, b = 0.19, c = 0.19, and d what is left.
const A: u64 = 37_356;
const AB: u64 = A + 12_452;
const ABC: u64 = AB + 12_452;

/// A random graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rmat {
    /// log2 of the nodes, at most 31.
    pub scale: u32,
    /// How many edges.
    pub edges: u64,
    /// What it is made from.
    pub seed: u64,
}

impl Rmat {
    /// The `index`th edge, as `(from, to)`.
    #[must_use]
    pub fn edge(&self, index: u64) -> (u64, u64) {
        let draws = Seeded::new(self.seed, 0x0072_6d61_7400).at(index);
        let draws = Seeded::new(draws, index);
        let (mut from, mut to) = (0, 0);
        for level in 0..u64::from(self.scale) {
            // Four draws of 16 bits out of each value.
            let draw = draws.at(level / 4) >> (16 * (level % 4)) & 0xffff;
            from = from << 1 | u64::from(draw >= AB);
            to = to << 1 | u64::from((A..AB).contains(&draw) || draw >= ABC);
        }
        (self.shuffled(from), self.shuffled(to))
    }

    /// Another name for each node, one to one: without it the busy ones would all be neighbours.
    fn shuffled(&self, node: u64) -> u64 {
        let mask = (1_u64 << self.scale) - 1;
        let key = Seeded::new(self.seed, 0x0073_6875_6600);
        let half = self.scale.div_ceil(2);
        let mut node = node;
        for round in 0..3 {
            // Each step can be undone: adding, multiplying by an odd number, and folding the high bits into the low.
            node = node
                .wrapping_add(key.at(round))
                .wrapping_mul(key.at(round + 8) | 1)
                & mask;
            node ^= node >> half.max(1);
        }
        node & mask
    }

    /// The graph.
    ///
    /// # Errors
    /// When it has too many nodes or edges.
    pub fn build(&self) -> Result<Csr, CsrError> {
        if self.scale > 31 {
            return Err(CsrError::Nodes(
                1_u64.checked_shl(self.scale).unwrap_or(u64::MAX),
            ));
        }
        if self.edges > u64::from(u32::MAX) {
            return Err(CsrError::Edges(self.edges));
        }
        Csr::from_edges(1 << self.scale, || {
            (0..self.edges).map(|index| self.edge(index))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_a_function_of_its_seed() {
        let rmat = Rmat {
            scale: 8,
            edges: 2000,
            seed: 3,
        };
        let graph = rmat.build().unwrap();
        assert_eq!(graph, rmat.build().unwrap());
        assert_ne!(graph, Rmat { seed: 4, ..rmat }.build().unwrap());
        assert_eq!((graph.nodes(), graph.edges()), (256, 2000));
    }

    #[test]
    fn shuffling_keeps_nodes_apart_at_every_scale() {
        for scale in 0..=12 {
            let rmat = Rmat {
                scale,
                edges: 0,
                seed: 11,
            };
            let mut seen = vec![false; 1 << scale];
            for node in 0..1_u64 << scale {
                seen[rmat.shuffled(node) as usize] = true;
            }
            assert!(seen.iter().all(|seen| *seen), "scale {scale}");
        }
    }

    #[test]
    fn edges_crowd_on_a_few_nodes() {
        let graph = Rmat {
            scale: 10,
            edges: 16_384,
            seed: 1,
        }
        .build()
        .unwrap();
        let mut degrees: Vec<usize> = (0..graph.nodes())
            .map(|node| graph.row(node).len())
            .collect();
        degrees.sort_unstable_by(|a, b| b.cmp(a));
        let top: usize = degrees[..102].iter().sum();
        assert!(
            top > graph.edges() * 2 / 5,
            "the busiest tenth has {top} of {} edges",
            graph.edges()
        );
    }

    #[test]
    fn absurd_graphs_are_refused() {
        assert!(matches!(
            Rmat {
                scale: 99,
                edges: 1,
                seed: 0
            }
            .build(),
            Err(CsrError::Nodes(_))
        ));
        assert!(matches!(
            Rmat {
                scale: 4,
                edges: 1 << 33,
                seed: 0
            }
            .build(),
            Err(CsrError::Edges(_))
        ));
    }
}
