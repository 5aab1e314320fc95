//! Breadth-first search with an atomic frontier, with the kernels of the plan under examples/.
//!
//! A found cell goes where an atomic counter says: the footprint depends on what the kernel writes. So it runs where all that it
//! binds is resident, and is refused, with memory as it was, where it is not.

use gmem::{Gmem, Kernel, LaunchReport, Vector};

use crate::{PAGE, Small, adapters, assert_refused};

const SOURCE: &str = include_str!("../../examples/plans/bfs.wgsl");
const CELLS: usize = 128 * 128;
const GROUPS: [u32; 3] = [CELLS as u32 / 64, 1, 1];

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

#[test]
fn a_search_with_all_resident_is_right() {
    for adapter in adapters::adapters() {
        let small = Small::new(&adapter, &bytes(), 1);
        let [build, expand, advance] =
            ["build", "expand", "advance"].map(|entry| small.kernel(SOURCE, entry));
        let mut search = Search::new(&small.gm);
        search.build(&build);
        let expected = search.on_cpu();
        let deepest = expected.iter().copied().max().unwrap_or_default();
        assert!(deepest > 50, "a search of {deepest} rounds is none");
        for round in 0..CELLS as u32 {
            if search.size[0] == 0 {
                break;
            }
            let report = search.expand(&expand, round).unwrap();
            assert_eq!(report.passes, 1);
            search.advance(&advance);
        }
        assert_eq!(search.size[0], 0);
        assert!(*search.level == *expected, "{adapter}: not the distances");
        let peak = small.gm.stats().devices[0].1.peak_windows;
        assert!(peak <= small.cap, "{adapter}: over the cap");
    }
}

#[test]
fn a_search_in_an_eighth_is_refused_and_leaves_memory_as_it_was() {
    for adapter in adapters::adapters() {
        let small = Small::new(&adapter, &bytes(), 8);
        let mut search = Search::new(&small.gm);
        // It knows what it writes.
        let passes = search.build(&small.kernel(SOURCE, "build")).passes;
        assert!(passes > 4, "{adapter}: {passes} passes");
        let before = search.level.to_vec();
        assert_refused(search.expand(&small.kernel(SOURCE, "expand"), 0), &adapter);
        assert_eq!(*search.level, *before);
        assert_eq!((search.size[0], search.found[0]), (1, 0));
        assert!(search.links.bytes() > 8 * PAGE);
        small.finish(&adapter);
    }
}
