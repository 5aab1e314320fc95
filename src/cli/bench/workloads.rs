//! Workloads that use the same pages again and again: several launches over one memory, on more data than the device holds.

use std::mem::swap;

use gmem::{Gmem, Vector};

use super::job::{Job, OnGmem, sum};
use crate::cli::Failure;
use crate::cli::csr::Csr;
use crate::cli::demo::{heat, pagerank};
use crate::cli::progress::Progress;

/// A workload. Its data is made once; it can be played in one address space after the other.
pub trait Workload {
    /// Its name in rows.
    fn name(&self) -> &'static str;

    /// Bytes of all that it binds.
    fn bytes(&self) -> u64;

    /// The most pages of so many bytes that one workgroup touches.
    fn widest(&self, page_bytes: u64) -> u64;

    /// Allocates and fills its memory by plain stores.
    ///
    /// # Errors
    /// When there is no room or a kernel is wrong.
    fn open<'a>(&'a self, gm: &Gmem) -> Result<Box<dyn Playing + 'a>, Failure>;
}

/// A workload with its memory in a space.
pub trait Playing {
    /// Runs all of its launches, from the state that `open` made.
    ///
    /// # Errors
    /// When a launch fails.
    fn play(&mut self) -> Result<(), Failure>;

    /// Makes the state again that `open` made, by plain stores to all of the memory: afterwards only the host has it.
    fn reset(&mut self);

    /// The sum of the words of the results of the last `play`, as the CPU reads them.
    fn sum(&self) -> u64;

    /// Whether the results of the last `play` are right.
    fn right(&self) -> bool;
}

/// The heat demonstration's plate, step by step between two grids.
pub struct Heat {
    plate: heat::Plate,
    steps: u32,
    seed: u64,
}

impl Heat {
    /// So many steps, an even number, of a plate of so many bytes in both grids.
    #[must_use]
    pub fn sized(bytes: u64, steps: u32, seed: u64) -> Self {
        Self {
            plate: heat::Plate::sized(bytes),
            steps,
            seed,
        }
    }
}

impl Workload for Heat {
    fn name(&self) -> &'static str {
        "stencil"
    }

    fn bytes(&self) -> u64 {
        self.plate.bytes()
    }

    fn widest(&self, page_bytes: u64) -> u64 {
        let row = self.plate.width as u64 * 4;
        (18 * row).div_ceil(page_bytes) + (16 * row).div_ceil(page_bytes) + 2
    }

    fn open<'a>(&'a self, gm: &Gmem) -> Result<Box<dyn Playing + 'a>, Failure> {
        let mut before = gm.alloc::<f32>(self.plate.cells())?;
        let after = gm.alloc::<f32>(self.plate.cells())?;
        heat::fill(&mut before, self.plate, self.seed, &Progress::hidden());
        Ok(Box::new(HeatPlaying {
            of: self,
            kernel: gm.kernel(heat::SOURCE)?,
            before,
            after,
        }))
    }
}

struct HeatPlaying<'a> {
    of: &'a Heat,
    kernel: gmem::Kernel,
    before: Vector<f32>,
    after: Vector<f32>,
}

impl Playing for HeatPlaying<'_> {
    fn play(&mut self) -> Result<(), Failure> {
        for _ in 0..self.of.steps {
            self.kernel
                .launch(self.of.plate.grid())
                .bind("before", &self.before)
                .bind("after", &mut self.after)
                .uniform("plate", &self.of.plate.uniform())
                .run()?;
            swap(&mut self.before, &mut self.after);
        }
        Ok(())
    }

    fn reset(&mut self) {
        // The grids change places at every step, of which there are an even number.
        heat::fill(
            &mut self.before,
            self.of.plate,
            self.of.seed,
            &Progress::hidden(),
        );
        self.after.fill(0.0);
    }

    fn sum(&self) -> u64 {
        sum(bytemuck::cast_slice(&self.before))
    }

    fn right(&self) -> bool {
        let Heat { plate, steps, seed } = *self.of;
        heat::verify(&self.before, plate, steps, seed, &Progress::hidden()).is_ok()
    }
}

/// The pagerank demonstration's random graph.
pub struct Pagerank {
    graph: Csr,
    iterations: u32,
}

impl Pagerank {
    /// So many iterations over a graph whose arrays take so many bytes.
    ///
    /// # Errors
    /// When there are too many nodes or edges.
    pub fn sized(bytes: u64, iterations: u32, seed: u64) -> Result<Self, Failure> {
        Ok(Self {
            graph: pagerank::sized(bytes, seed).build()?,
            iterations,
        })
    }
}

impl Workload for Pagerank {
    fn name(&self) -> &'static str {
        "pagerank"
    }

    fn bytes(&self) -> u64 {
        pagerank::bytes(&self.graph)
    }

    fn widest(&self, page_bytes: u64) -> u64 {
        pagerank::widest_workgroup(&self.graph, page_bytes)
    }

    fn open<'a>(&'a self, gm: &Gmem) -> Result<Box<dyn Playing + 'a>, Failure> {
        let (nodes, edges) = (self.graph.nodes(), self.graph.edges());
        let mut playing = PagerankPlaying {
            graph: &self.graph,
            iterations: self.iterations,
            kernel: gm.kernel(pagerank::SOURCE)?,
            row_ptr: gm.alloc(nodes + 1)?,
            sources: gm.alloc(edges)?,
            weight: gm.alloc(nodes)?,
            share: gm.alloc(nodes)?,
            next_share: gm.alloc(nodes)?,
            rank: gm.alloc(nodes)?,
        };
        pagerank::fill(
            &self.graph,
            &mut playing.row_ptr,
            &mut playing.sources,
            &mut playing.weight,
            &mut playing.share,
        );
        Ok(Box::new(playing))
    }
}

struct PagerankPlaying<'a> {
    graph: &'a Csr,
    iterations: u32,
    kernel: gmem::Kernel,
    row_ptr: Vector<u32>,
    sources: Vector<u32>,
    weight: Vector<f32>,
    share: Vector<f32>,
    next_share: Vector<f32>,
    rank: Vector<f32>,
}

impl Playing for PagerankPlaying<'_> {
    fn play(&mut self) -> Result<(), Failure> {
        for _ in 0..self.iterations {
            self.kernel
                .launch(pagerank::grid(self.graph))
                .bind("row_ptr", &self.row_ptr)
                .bind("sources", &self.sources)
                .bind("weight", &self.weight)
                .bind("share", &self.share)
                .bind("next_share", &mut self.next_share)
                .bind("rank", &mut self.rank)
                .uniform_bytes("graph", &pagerank::uniform(self.graph))
                .run()?;
            swap(&mut self.share, &mut self.next_share);
        }
        Ok(())
    }

    fn reset(&mut self) {
        pagerank::fill(
            self.graph,
            &mut self.row_ptr,
            &mut self.sources,
            &mut self.weight,
            &mut self.share,
        );
        self.next_share.fill(0.0);
        self.rank.fill(0.0);
    }

    fn sum(&self) -> u64 {
        sum(bytemuck::cast_slice(&self.rank))
    }

    fn right(&self) -> bool {
        pagerank::verify(&self.rank, self.graph, self.iterations, &Progress::hidden()).is_ok()
    }
}

/// A job, launched several times over the same memory; its results after each launch are the same.
pub struct Again {
    job: Job,
    launches: u32,
    widest: fn(&Job, u64) -> u64,
}

impl Again {
    /// So many launches of a job whose workgroups touch at most `widest(job, page bytes)` pages.
    #[must_use]
    pub const fn new(job: Job, launches: u32, widest: fn(&Job, u64) -> u64) -> Self {
        Self {
            job,
            launches,
            widest,
        }
    }
}

impl Workload for Again {
    fn name(&self) -> &'static str {
        self.job.name
    }

    fn bytes(&self) -> u64 {
        self.job.bytes()
    }

    fn widest(&self, page_bytes: u64) -> u64 {
        (self.widest)(&self.job, page_bytes)
    }

    fn open<'a>(&'a self, gm: &Gmem) -> Result<Box<dyn Playing + 'a>, Failure> {
        Ok(Box::new(AgainPlaying {
            of: self,
            on: OnGmem::new(gm, &self.job)?,
        }))
    }
}

struct AgainPlaying<'a> {
    of: &'a Again,
    on: OnGmem<'a>,
}

impl Playing for AgainPlaying<'_> {
    fn play(&mut self) -> Result<(), Failure> {
        for _ in 0..self.of.launches {
            self.on.launch()?;
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.on.reset_all();
    }

    fn sum(&self) -> u64 {
        self.on.sum()
    }

    fn right(&self) -> bool {
        self.on.right()
    }
}
