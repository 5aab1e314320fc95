//! The bed that cases are measured on: which device, how long, how large; and the loop that runs two sides in turn.

use std::ops::Range;
use std::time::{Duration, Instant};

use gmem::gpu::{AdapterKind, AdapterSummary};
use gmem::{Builder, Gmem, Placement};

use super::row::Measured;
use crate::cli::Failure;
use crate::cli::args::Common;
use crate::cli::space::{Engine, builder};

/// What all cases of one command share.
pub struct Bed<'a> {
    /// Common options.
    pub common: &'a Common,
    /// Whether fewer readings will do.
    pub quick: bool,
    engine: &'a Engine,
    adapter: AdapterSummary,
}

impl<'a> Bed<'a> {
    /// The bed over a GPU.
    ///
    /// # Errors
    /// When there is no adapter.
    pub fn new(common: &'a Common, quick: bool, engine: &'a Engine) -> Result<Self, Failure> {
        let gm = engine.builder(common).build()?;
        let device = gm.device(0)?;
        let gpu = device.gpu().ok_or_else(|| {
            Failure::run("`gmem bench` needs a GPU adapter, which `gmem info` lists")
        })?;
        Ok(Self {
            common,
            quick,
            engine,
            adapter: gpu.adapter().clone(),
        })
    }

    /// The adapter.
    #[must_use]
    pub const fn adapter(&self) -> &AdapterSummary {
        &self.adapter
    }

    /// Whether the adapter is the CPU itself: then kernels and the runtime share its cores.
    #[must_use]
    pub fn software(&self) -> bool {
        self.adapter.kind == AdapterKind::Cpu
    }

    /// How many times larger a case is made than on a software adapter, where all sizes are for some 10 to 50 ms of work.
    #[must_use]
    pub fn scale(&self) -> usize {
        if self.software() { 1 } else { 8 }
    }

    /// An address space with so many bytes of device memory; page size, policy and host mechanism as the common options say.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn space(&self, device_memory: u64) -> Result<Gmem, Failure> {
        Ok(self.builder(device_memory).build()?)
    }

    /// The same, to be changed before it is built.
    pub fn builder(&self, device_memory: u64) -> Builder {
        // A cap given on the command line is for demos and runs: cases choose their own.
        let common = Common {
            device_memory: None,
            ..self.common.clone()
        };
        self.engine.builder(&common).device_memory(device_memory)
    }

    /// A space whose bindings never lie in one run of frames: everything is paged.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn fragmented(&self, device_memory: u64) -> Result<Gmem, Failure> {
        Ok(self
            .builder(device_memory)
            .placement(Placement::Scattered)
            .build()?)
    }

    /// A space without any device.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn host_only(&self) -> Result<Gmem, Failure> {
        Ok(builder(self.common)
            .device(gmem::DeviceChoice::None)
            .build()?)
    }

    /// How long both sides of one case are run, at most; a pair that takes longer is still run to its end.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        if self.quick {
            Duration::from_millis(1500)
        } else {
            Duration::from_secs(6)
        }
    }

    /// Pairs of readings: at least, at most.
    #[must_use]
    pub const fn pairs(&self) -> (usize, usize) {
        if self.quick { (5, 41) } else { (9, 201) }
    }

    /// Runs both sides in turn (A B A B, every other pair B A), after a warm-up of one each, until the patience is over.
    /// Each side gives its own seconds.
    ///
    /// # Errors
    /// The first of either side.
    pub fn measure(
        &self,
        ours: &mut dyn FnMut() -> Result<f64, Failure>,
        baseline: &mut dyn FnMut() -> Result<f64, Failure>,
    ) -> Result<Measured, Failure> {
        let (least, most) = self.pairs();
        measure_within(self.patience(), least..most, ours, baseline)
    }

    /// The same for one of very many cases of a group: less patience, and fewer pairs.
    ///
    /// # Errors
    /// The first of either side.
    pub fn measure_briefly(
        &self,
        ours: &mut dyn FnMut() -> Result<f64, Failure>,
        baseline: &mut dyn FnMut() -> Result<f64, Failure>,
    ) -> Result<Measured, Failure> {
        let (least, most) = self.pairs();
        let least = least.min(7);
        measure_within(self.patience() / 3, least..most, ours, baseline)
    }
}

/// Runs both sides in turn, after a warm-up of one each: `pairs.start` times at least, `pairs.end` at most, until the patience is over.
fn measure_within(
    patience: Duration,
    pairs: Range<usize>,
    ours: &mut dyn FnMut() -> Result<f64, Failure>,
    baseline: &mut dyn FnMut() -> Result<f64, Failure>,
) -> Result<Measured, Failure> {
    ours()?;
    baseline()?;
    let (least, most) = (pairs.start, pairs.end);
    let began = Instant::now();
    let mut pairs = Vec::new();
    while pairs.len() < least || (pairs.len() < most && began.elapsed() < patience) {
        pairs.push(if pairs.len() % 2 == 0 {
            let a = ours()?;
            (a, baseline()?)
        } else {
            let b = baseline()?;
            (ours()?, b)
        });
    }
    Ok(Measured::of(&pairs))
}

/// Seconds that something takes.
///
/// # Errors
/// Its own.
pub fn seconds<R>(f: impl FnOnce() -> Result<R, Failure>) -> Result<f64, Failure> {
    let began = Instant::now();
    f()?;
    Ok(began.elapsed().as_secs_f64())
}
