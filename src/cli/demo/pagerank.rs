//! `pagerank`: a sparse matrix times a vector, again and again. Rows and edges are streams; what they point to is scattered.
//!
//! The kernel only adds, in the order of the rows, and multiplies what it stores: there is nothing to contract, and the reference adds in
//! the same order, so both agree bit for bit unless a driver adds in an order of its own, which WGSL allows: hence a tolerance of 1e-5.
//! What dangling nodes hold is not given to others: ranks are those of the plain recurrence, and add up to less than 1.

use super::verify::{Comparison, Mismatch, Verified};
use crate::cli::csr::Csr;
use crate::cli::graph::Rmat;
use crate::cli::progress::Progress;

/// The kernel.
pub const SOURCE: &str = include_str!("pagerank.wgsl");
/// Its entry point.
pub const ENTRY: &str = "pagerank";
/// Data when nobody says how much: 2^19 nodes and some 2^22 edges.
pub const DEFAULT_BYTES: u64 = 26 << 20;
/// Iterations.
pub const ITERATIONS: u32 = 5;
/// The chance to follow an edge.
pub const DAMPING: f32 = 0.85;
/// By how much ranks may differ, relatively.
pub const TOLERANCE: f32 = 1e-5;

/// Lanes in a workgroup, each with a row.
pub const LANES: usize = 64;

/// A random graph whose data fill so many bytes, with some eight edges to a node.
#[must_use]
pub fn sized(bytes: u64, seed: u64) -> Rmat {
    // Five words a node and one an edge.
    let scale = (bytes / (20 + 32)).max(64).ilog2().min(30);
    let edges = (bytes.saturating_sub(20 << scale) / 4).clamp(64, u64::from(u32::MAX));
    Rmat { scale, edges, seed }
}

/// Bytes of all arrays for a graph: `row_ptr`, `sources`, `weight`, two of shares and `rank`.
#[must_use]
pub fn bytes(graph: &Csr) -> u64 {
    4 * (graph.nodes() as u64 * 5 + 1 + graph.edges() as u64)
}

/// Workgroups to launch.
#[must_use]
pub fn grid(graph: &Csr) -> [u32; 3] {
    [graph.nodes().div_ceil(LANES) as u32, 1, 1]
}

/// What a node has without any edge: the `base` of the uniform `graph`.
#[must_use]
pub fn base(graph: &Csr) -> f32 {
    (1.0 - DAMPING) / graph.nodes() as f32
}

/// The bytes of the uniform `graph`.
#[must_use]
pub fn uniform(graph: &Csr) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&(graph.nodes() as u32).to_le_bytes());
    bytes[4..].copy_from_slice(&base(graph).to_le_bytes());
    bytes
}

/// Fills the arrays that an iteration reads.
///
/// # Panics
/// When an array is not as long as the graph needs: `row_ptr` one more than its nodes, `sources` its edges, the others its nodes.
pub fn fill(
    graph: &Csr,
    row_ptr: &mut [u32],
    sources: &mut [u32],
    weight: &mut [f32],
    share: &mut [f32],
) {
    row_ptr.copy_from_slice(&graph.row_ptr);
    sources.copy_from_slice(&graph.sources);
    let rank = 1.0 / graph.nodes() as f32;
    for ((weight, share), degree) in weight.iter_mut().zip(share).zip(&graph.out_degree) {
        *weight = weight_of(*degree);
        *share = rank * *weight;
    }
}

fn weight_of(out_degree: u32) -> f32 {
    if out_degree == 0 {
        0.0
    } else {
        DAMPING / out_degree as f32
    }
}

/// Compares ranks with a computation on the CPU.
///
/// # Errors
/// When one is further off than [`TOLERANCE`].
pub fn verify(
    rank: &[f32],
    graph: &Csr,
    iterations: u32,
    progress: &Progress,
) -> Result<Verified, Mismatch> {
    let mut ranks = Comparison::new("rank", TOLERANCE);
    let expected = reference(graph, iterations, progress);
    for (got, want) in rank.iter().zip(&expected) {
        ranks.float(*got, *want);
    }
    ranks.finish(expected.len())
}

fn reference(graph: &Csr, iterations: u32, progress: &Progress) -> Vec<f32> {
    let nodes = graph.nodes();
    let mut ranks = vec![1.0 / nodes as f32; nodes];
    for _ in 0..iterations {
        let shares: Vec<f32> = ranks
            .iter()
            .zip(&graph.out_degree)
            .map(|(rank, degree)| rank * weight_of(*degree))
            .collect();
        for (node, rank) in ranks.iter_mut().enumerate() {
            *rank = graph
                .row(node)
                .iter()
                .fold(base(graph), |sum, source| sum + shares[*source as usize]);
        }
        progress.advance(bytes(graph));
    }
    ranks
}

/// The most pages that one workgroup touches, with every array at the beginning of a page: what a device must hold at the least.
#[must_use]
pub fn widest_workgroup(graph: &Csr, page_size: u64) -> u64 {
    let nodes = graph.nodes();
    let pages = |first: u64, end: u64| {
        if first == end {
            0
        } else {
            (end - 1) / page_size - first / page_size + 1
        }
    };
    // Which workgroup last touched each page of shares.
    let mut touched = vec![usize::MAX; (nodes as u64 * 4).div_ceil(page_size) as usize];
    let mut widest = 0;
    for (group, first) in (0..nodes).step_by(LANES).enumerate() {
        let end = (first + LANES).min(nodes);
        let edges = graph.row_ptr[first] as usize..graph.row_ptr[end] as usize;
        let mut scattered = 0;
        for source in &graph.sources[edges.clone()] {
            let page = &mut touched[(u64::from(*source) * 4 / page_size) as usize];
            if *page != group {
                *page = group;
                scattered += 1;
            }
        }
        let (first, end) = (first as u64 * 4, end as u64 * 4);
        // `weight`, `next_share` and `rank`, then the rows and the edges.
        let streams = 3 * pages(first, end)
            + pages(first, end + 4)
            + pages(edges.start as u64 * 4, edges.end as u64 * 4);
        widest = widest.max(streams + scattered);
    }
    widest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Csr {
        // 0 -> 1, 0 -> 2, 1 -> 2, 2 -> 0, and 3 -> 2 with nothing into 3.
        Csr::from_edges(4, || [(0, 1), (0, 2), (1, 2), (2, 0), (3, 2)].into_iter()).unwrap()
    }

    /// The same by pushing along outgoing edges, in 64 bits.
    fn pushed(graph: &Csr, iterations: u32) -> Vec<f64> {
        let n = graph.nodes();
        let mut ranks = vec![1.0 / n as f64; n];
        for _ in 0..iterations {
            let mut next = vec![0.15 / n as f64; n];
            for (node, next) in next.iter_mut().enumerate() {
                for source in graph.row(node) {
                    let source = *source as usize;
                    *next += 0.85 * ranks[source] / f64::from(graph.out_degree[source]);
                }
            }
            ranks = next;
        }
        ranks
    }

    #[test]
    fn ranks_of_a_small_graph_are_those_worked_out_by_hand() {
        let ranks = reference(&small(), 1, &Progress::hidden());
        // 0.0375, and 0.85 / 4 = 0.2125 from each source, divided by its edges.
        for (got, want) in ranks.iter().zip([0.25, 0.14375, 0.56875, 0.0375]) {
            assert!((got - want).abs() < 1e-6, "{ranks:?}");
        }
    }

    #[test]
    fn the_reference_agrees_with_pushing_in_64_bits() {
        let graph = Rmat {
            scale: 9,
            edges: 4096,
            seed: 5,
        }
        .build()
        .unwrap();
        let ranks = reference(&graph, ITERATIONS, &Progress::hidden());
        for (got, want) in ranks.iter().zip(pushed(&graph, ITERATIONS)) {
            assert!((f64::from(*got) - want).abs() < want * 1e-5, "{got} {want}");
        }
        assert_eq!(
            verify(&ranks, &graph, ITERATIONS, &Progress::hidden()),
            Ok(Verified::Exact)
        );
        let mut wrong = ranks.clone();
        wrong[77] *= 1.001;
        assert_eq!(
            verify(&wrong, &graph, ITERATIONS, &Progress::hidden())
                .unwrap_err()
                .index,
            77
        );
        assert!(verify(&ranks[1..], &graph, ITERATIONS, &Progress::hidden()).is_err());
        assert!(verify(&ranks, &graph, ITERATIONS - 1, &Progress::hidden()).is_err());
    }

    #[test]
    fn arrays_are_filled_for_the_first_iteration() {
        let graph = small();
        let (mut row_ptr, mut sources) = (vec![0; 5], vec![0; 5]);
        let (mut weight, mut share) = (vec![9.0; 4], vec![9.0; 4]);
        fill(&graph, &mut row_ptr, &mut sources, &mut weight, &mut share);
        assert_eq!(
            (row_ptr, sources),
            (graph.row_ptr.clone(), graph.sources.clone())
        );
        assert_eq!(weight, [0.425, 0.85, 0.85, 0.85]);
        assert!(
            share
                .iter()
                .zip(&weight)
                .all(|(share, weight)| *share == weight / 4.0)
        );
        assert_eq!((bytes(&graph), grid(&graph)), (4 * 26, [1, 1, 1]));
    }

    #[test]
    fn the_widest_workgroup_is_counted_in_pages() {
        // 2048 nodes fill two pages of 4 KiB. Node 0 hears from both halves, nobody else from anybody.
        let graph = Csr::from_edges(2048, || [(5, 0), (6, 0), (2000, 0)].into_iter()).unwrap();
        // Three streams, the rows, the edges, and two pages of shares.
        assert_eq!(widest_workgroup(&graph, 4096), 7);
        assert_eq!(widest_workgroup(&graph, 1 << 20), 6);
        let lonely = Csr::from_edges(64, std::iter::empty).unwrap();
        assert_eq!(widest_workgroup(&lonely, 4096), 4);
    }

    #[test]
    fn a_graph_fills_its_bytes() {
        let rmat = sized(DEFAULT_BYTES, 0);
        assert_eq!((rmat.scale, rmat.edges), (19, 1 << 22));
        for bytes in [0, 100, 1 << 20, 300 << 20, u64::MAX] {
            let rmat = sized(bytes, 0);
            assert!(
                rmat.scale >= 6 && rmat.scale <= 30 && rmat.edges >= 64,
                "{rmat:?}"
            );
        }
    }
}
