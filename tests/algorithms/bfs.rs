//! Breadth-first search with an atomic frontier, with the kernels of the plan under examples/.
//!
//! A found cell goes where an atomic counter says: the footprint depends on what the kernel writes. Where not all that it binds
//! fits, it runs in attempts.

use gmem::gpu::AdapterChoice;
use gmem::{Gmem, Kernel, LaunchReport, Vector};

use crate::{Small, adapters};

const PLAN: &str = include_str!("../../examples/plans/bfs.wgsl");
const CELLS: usize = 256 * 256;

/// The plan's kernels over a larger maze, whose eighth has room for what 16 cells are linked to, wherever they are.
fn source() -> String {
    let mut source = PLAN.to_owned();
    for (theirs, ours) in [
        ("const SIDE = 128u;", "const SIDE = 256u;"),
        (
            "@compute @workgroup_size(64)",
            "@compute @workgroup_size(16)",
        ),
    ] {
        assert!(source.contains(theirs), "{theirs}");
        source = source.replace(theirs, ours);
    }
    source
}
const GROUPS: [u32; 3] = [CELLS as u32 / 16, 1, 1];

struct Search {
    links: Vector<[u32; 4]>,
    level: Vector<u32>,
    frontier: Vector<u32>,
    next: Vector<u32>,
    size: Vector<u32>,
    found: Vector<u32>,
}

/// The bytes of its buffers.
const BYTES: [u64; 6] = [16, 4, 4, 4, 0, 0];

fn bytes() -> Vec<u64> {
    BYTES.iter().map(|&b| (b * CELLS as u64).max(4)).collect()
}

impl Search {
    fn new(gm: &Gmem) -> Self {
        Self {
            links: gm.alloc(CELLS).unwrap(),
            level: gm.alloc(CELLS).unwrap(),
            frontier: gm.alloc(CELLS).unwrap(),
            next: gm.alloc(CELLS).unwrap(),
            size: gm.alloc(1).unwrap(),
            found: gm.alloc(1).unwrap(),
        }
    }

    fn build(&mut self, kernel: &Kernel) -> LaunchReport {
        kernel
            .launch(GROUPS)
            .bind("links", &mut self.links)
            .bind("level", &mut self.level)
            .bind("frontier", &mut self.frontier)
            .bind("size", &mut self.size)
            .run()
            .unwrap_or_else(|e| panic!("build: {e}"))
    }

    fn expand(&mut self, kernel: &Kernel, round: u32) -> Result<LaunchReport, gmem::Error> {
        kernel
            .launch(GROUPS)
            .bind("links", &mut self.links)
            .bind("level", &mut self.level)
            .bind("frontier", &mut self.frontier)
            .bind("next", &mut self.next)
            .bind("size", &mut self.size)
            .bind("found", &mut self.found)
            .uniform("round", &round)
            .run()
    }

    fn advance(&mut self, kernel: &Kernel) {
        kernel
            .launch([1, 1, 1])
            .bind("size", &mut self.size)
            .bind("found", &mut self.found)
            .run()
            .unwrap_or_else(|e| panic!("advance: {e}"));
        std::mem::swap(&mut self.frontier, &mut self.next);
    }

    /// Each cell's distance from the first and 1, or 0 where no way leads.
    fn on_cpu(&self) -> Vec<u32> {
        let mut level = vec![0; CELLS];
        level[0] = 1;
        let mut frontier = vec![0_u32];
        while !frontier.is_empty() {
            let mut next = Vec::new();
            for cell in frontier {
                for other in self.links[cell as usize] {
                    if level[other as usize] == 0 {
                        level[other as usize] = level[cell as usize] + 1;
                        next.push(other);
                    }
                }
            }
            frontier = next;
        }
        level
    }
}

/// A search to its end, in a `part`th of its memory: passes of the rounds.
fn search(adapter: &AdapterChoice, part: u64) -> (Small, u64) {
    let small = Small::new(adapter, &bytes(), part);
    let [build, expand, advance] =
        ["build", "expand", "advance"].map(|entry| small.kernel(&source(), entry));
    let mut search = Search::new(&small.gm);
    search.build(&build);
    let expected = search.on_cpu();
    let deepest = expected.iter().copied().max().unwrap_or_default();
    assert!(deepest > 50, "a search of {deepest} rounds is none");
    let (mut passes, mut rounds) = (0, 0);
    while search.size[0] > 0 {
        passes += search.expand(&expand, rounds).unwrap().passes;
        search.advance(&advance);
        rounds += 1;
        assert!(rounds < CELLS as u32, "{adapter}: it finds no end");
    }
    assert!(*search.level == *expected, "{adapter}: not the distances");
    let peak = small.gm.stats().devices[0].1.peak_windows;
    assert!(peak <= small.cap, "{adapter}: over the cap");
    println!("{adapter}: 1/{part}: {passes} passes in {rounds} rounds");
    assert!(passes >= rounds.into(), "{adapter}");
    (small, passes - u64::from(rounds))
}

#[test]
fn a_search_with_all_resident_is_right() {
    for adapter in adapters::adapters() {
        let (_, more) = search(&adapter, 1);
        assert_eq!(more, 0, "{adapter}: a round is one pass");
    }
}

#[test]
fn a_search_in_an_eighth_is_right() {
    for adapter in adapters::adapters() {
        let (small, more) = search(&adapter, 8);
        assert!(more > 0, "{adapter}");
        small.finish(&adapter);
    }
}
